"""A line on this machine keeps a telephone's time."""

import asyncio
import time

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice import io

from local.audio_line import LocalAudioOutput, LocalLine


class Listener:
    """What an output tells a session."""

    def __init__(self, output: LocalAudioOutput) -> None:
        self.started: list[float] = []
        self.progressed: list[io.PlaybackProgressedEvent] = []
        self.finished: list[io.PlaybackFinishedEvent] = []
        output.on("playback_started", lambda event: self.started.append(event.created_at))
        output.on("playback_progressed", self.progressed.append)
        output.on("playback_finished", self.finished.append)


async def play(output: LocalAudioOutput, seconds: float, *, silent_s: float = 0.0) -> None:
    for number in range(round(seconds * 50)):
        loud = number >= silent_s * 50
        samples = np.full(480, 5000 if loud else 0, dtype=np.int16)
        await output.capture_frame(rtc.AudioFrame(samples.tobytes(), 24_000, 1, 480))
    output.flush()


async def test_what_is_said_is_heard_at_real_time_over_line_noise() -> None:
    line = LocalLine(calling_number=None)
    speech = np.r_[np.full(4000, 9000), np.zeros(800)].astype(np.int16)
    frames: list[np.ndarray] = []
    began = time.perf_counter()

    async def listen() -> None:
        async for frame in line.audio_input:
            assert (frame.sample_rate, frame.samples_per_channel) == (16_000, 320)
            frames.append(np.frombuffer(frame.data, dtype=np.int16))
            if len(frames) == 50:
                return

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.3)
    asked = time.perf_counter()
    last_audible = await line.audio_input.say(speech)
    await listening
    assert time.perf_counter() - began == pytest.approx(1.0, abs=0.08)
    assert last_audible - asked == pytest.approx(0.25, abs=0.05)
    heard = np.concatenate(frames)
    loud = np.flatnonzero(heard > 4000)
    assert len(loud) == 4000
    assert loud[-1] - loud[0] == 3999
    noise = heard[:3200].astype(float)
    assert 7 < noise.std() < 13


async def test_frames_missed_by_a_stalled_process_come_at_once_afterwards() -> None:
    line = LocalLine(calling_number=None)
    said: asyncio.Future[float] | None = None
    began = time.perf_counter()
    for number in range(40):
        await line.audio_input.__anext__()
        if number == 5:
            said = line.audio_input.say(np.full(8000, 9000, dtype=np.int16))
        if number == 10:
            time.sleep(0.4)  # the process stands still
    assert time.perf_counter() - began == pytest.approx(0.8, abs=0.08)
    assert said is not None
    assert await said - began == pytest.approx(0.62, abs=0.04)


async def test_a_line_that_ends_ends_the_stream() -> None:
    line = LocalLine(calling_number=None)
    await line.audio_input.__anext__()
    await line.hang_up()
    assert [frame async for frame in line.audio_input] == []
    assert line.closed.is_set()


async def test_an_answer_plays_as_long_as_it_is() -> None:
    output = LocalAudioOutput(keep=True)
    events = Listener(output)
    audible: list[float] = []
    output.on_audible(audible.append)
    began = time.perf_counter()
    await play(output, 0.6, silent_s=0.2)
    assert output.playing
    ended = await output.wait_for_playout()
    assert time.perf_counter() - began == pytest.approx(0.6, abs=0.08)
    assert (ended.playback_position, ended.interrupted) == (pytest.approx(0.6), False)
    assert not output.playing
    assert len(events.started) == len(events.finished) == 1
    assert [(e.offset, e.duration) for e in events.progressed] == [(0.0, pytest.approx(0.6))]
    assert audible[0] - began == pytest.approx(0.2, abs=0.03)
    assert sum(len(run.samples) for run in output.heard) == 0.6 * 24_000


async def test_an_interrupted_answer_stops_where_it_was() -> None:
    output = LocalAudioOutput(keep=True)
    events = Listener(output)
    await play(output, 2.0)
    await asyncio.sleep(0.5)
    output.clear_buffer()
    ended = await output.wait_for_playout()
    assert ended.interrupted
    assert ended.playback_position == pytest.approx(0.5, abs=0.08)
    assert sum(e.duration for e in events.progressed) == pytest.approx(ended.playback_position)
    await play(output, 0.1)  # the next one is whole again
    ended = await output.wait_for_playout()
    assert (ended.playback_position, ended.interrupted) == (pytest.approx(0.1), False)


async def test_a_paused_answer_goes_on_where_it_was() -> None:
    output = LocalAudioOutput()
    events = Listener(output)
    began = time.perf_counter()
    await play(output, 0.6)
    await asyncio.sleep(0.2)
    output.pause()
    await asyncio.sleep(0.5)
    assert not events.finished
    output.resume()
    ended = await output.wait_for_playout()
    assert time.perf_counter() - began == pytest.approx(1.1, abs=0.1)
    assert (ended.playback_position, ended.interrupted) == (pytest.approx(0.6), False)
    assert len(events.started) == 1
    assert events.progressed[1].offset == pytest.approx(events.progressed[0].duration)
    assert output.can_pause


async def test_a_slow_voice_leaves_a_gap_that_is_not_counted_as_heard() -> None:
    output = LocalAudioOutput(keep=True)
    for wait_s in (0.0, 0.4):
        await asyncio.sleep(wait_s)
        samples = np.full(4800, 5000, dtype=np.int16)
        await output.capture_frame(rtc.AudioFrame(samples.tobytes(), 24_000, 1, 4800))
    output.flush()
    ended = await output.wait_for_playout()
    assert ended.playback_position == pytest.approx(0.4)
    first, second = output.heard
    assert second.started_at - first.started_at == pytest.approx(0.4, abs=0.08)


def test_keys_reach_whoever_listens() -> None:
    line = LocalLine(calling_number="+33199000101")
    pressed: list[str] = []
    line.on_key(pressed.append)
    for key in "47#":
        line.press(key)
    assert pressed == ["4", "7", "#"]
