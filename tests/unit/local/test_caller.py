"""The recorded caller: reads what it is given, speaks when it is its turn, hangs up in the end."""

import asyncio
import time
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from aurion.errors import AudioUnreadable
from livekit import rtc

from local.audio_line import LocalLine
from local.caller import Caller, read_audio
from tests.typed_calls import Witness

CALLERS = Path(__file__).parents[3] / "local" / "callers"


def write_tone(path: Path, *, rate: int, channels: int, width: int, seconds: float = 1.0) -> Path:
    """Write a 440 Hz tone at half scale as WAV."""
    tone = np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate) / 2
    whole = (tone * (2 ** (8 * width - 1) - 1)).astype(np.int32)
    frames = np.repeat(whole[:, None], channels, axis=1).astype("<i4")
    body = frames.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(body)
    return path


@pytest.mark.parametrize(
    ("rate", "channels", "width"),
    [(8_000, 1, 2), (16_000, 1, 2), (44_100, 2, 2), (48_000, 2, 3), (22_050, 1, 4)],
)
def test_wav_files_of_every_kind_become_16_khz_mono(
    tmp_path: Path, rate: int, channels: int, width: int
) -> None:
    samples = read_audio(write_tone(tmp_path / "x.wav", rate=rate, channels=channels, width=width))
    assert samples.dtype == np.int16
    assert len(samples) == pytest.approx(16_000, abs=40)
    wanted = np.sin(2 * np.pi * 440 * np.arange(14_000) / 16_000)
    middle = samples[1000:15_000].astype(float)
    spectrum = np.abs(np.fft.rfft(middle))
    assert np.argmax(spectrum) == np.argmax(np.abs(np.fft.rfft(wanted)))
    assert np.abs(middle).max() == pytest.approx(16_384, rel=0.05)


def test_other_formats_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=32_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.full((1, 32_000), 1000, dtype=np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 32_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(read_audio(path)) == pytest.approx(16_000, abs=40)


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"This is a letter, not a sound.\n" * 100, bytes(5000)],
    ids=["empty", "cut off", "text", "zeros"],
)
def test_what_holds_no_audio_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(AudioUnreadable):
        read_audio(path)


def test_a_wav_without_a_sample_is_refused(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "x.wav", rate=8_000, channels=1, width=2, seconds=0)
    with pytest.raises(AudioUnreadable):
        read_audio(path)
    with pytest.raises(AudioUnreadable):
        read_audio(tmp_path / "missing.wav")


class Answering:
    """An agent without a mind: greets, and answers each thing it hears after a fixed time."""

    def __init__(self, line: LocalLine, *, after_s: float) -> None:
        self.line = line
        self.after_s = after_s
        self.heard: list[str] = []
        self.spoken_over = False
        self._loud_at: float | None = None
        line.on_key(self._key)

    async def run(self) -> None:
        await self._answer(0.3)
        async for frame in self.line.audio_input:
            samples = np.frombuffer(frame.data, dtype=np.int16)
            now = time.perf_counter()
            if np.abs(samples).max() > 1000:
                self._loud_at = now
                self.spoken_over |= self.line.audio_output.playing
            elif self._loud_at is not None and now - self._loud_at > self.after_s:
                self._loud_at = None
                self.heard.append("speech")
                await self._answer(0.5)

    def _key(self, key: str) -> None:
        self.heard.append(key)
        if key == "#":
            self._answering = asyncio.create_task(self._answer(0.4))

    async def _answer(self, seconds: float) -> None:
        samples = np.full(int(24_000 * seconds), 5000, dtype=np.int16)
        await self.line.audio_output.capture_frame(
            rtc.AudioFrame(samples.tobytes(), 24_000, 1, len(samples))
        )
        self.line.audio_output.flush()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        write_tone(tmp_path / f"{number:02}.wav", rate=8_000, channels=1, width=2, seconds=0.4)
        for number in (1, 2, 3)
    ]


async def call(line: LocalLine, caller: Caller, agent: Answering) -> None:
    talking = asyncio.create_task(agent.run())
    async with asyncio.timeout(30):
        await caller.run()
    talking.cancel()


async def test_sentences_follow_the_agents_answers(files: list[Path]) -> None:
    line = LocalLine(calling_number=None)
    caller = Caller(line, files, silent_s=1.0)
    agent = Answering(line, after_s=0.5)
    replies: list[int] = []
    caller.on_reply(replies.append)
    await call(line, caller, agent)
    assert agent.heard == ["speech"] * 3
    assert not agent.spoken_over
    assert [turn.name for turn in caller.spoken] == ["01.wav", "02.wav", "03.wav"]
    assert replies == [turn.reply_ms for turn in caller.spoken]
    for reply_ms in replies:
        assert 480 <= reply_ms <= 700
    assert line.closed.is_set()


async def test_keys_are_pressed_in_place_of_the_badge(files: list[Path]) -> None:
    line = LocalLine(calling_number=None)
    caller = Caller(line, files, keys="471129", silent_s=0.2)
    agent = Answering(line, after_s=0.3)
    await call(line, caller, agent)
    assert agent.heard == ["speech", *"471129#", "speech"]
    assert [turn.name for turn in caller.spoken] == ["01.wav", "03.wav"]


async def test_a_caller_waits_while_a_person_is_looked_for(files: list[Path]) -> None:
    line = LocalLine(calling_number=None)
    caller = Caller(line, files[:1], silent_s=0.3)
    witness = Witness()
    events = caller.watch(witness)
    agent = Answering(line, after_s=0.3)
    running = asyncio.create_task(call(line, caller, agent))
    while not agent.heard:
        await asyncio.sleep(0.02)
    events.state("transferring")
    await asyncio.sleep(2.5)
    assert not line.closed.is_set()
    events.state("desk")
    await running
    assert line.closed.is_set()
    assert witness.stages == ["transferring", "desk"]


async def test_a_call_the_agent_ends_is_over_for_the_caller(files: list[Path]) -> None:
    line = LocalLine(calling_number=None)
    caller = Caller(line, files)
    running = asyncio.create_task(caller.run())
    await asyncio.sleep(0.1)
    await line.hang_up()
    async with asyncio.timeout(2):
        await running


def test_an_unreadable_sentence_is_noticed_before_the_call(files: list[Path]) -> None:
    files[1].write_bytes(b"nothing")
    with pytest.raises(AudioUnreadable):
        Caller(LocalLine(calling_number=None), files)


def test_every_demo_caller_can_be_heard() -> None:
    for path in CALLERS.glob("*/*.wav"):
        samples = read_audio(path)
        assert 1.0 < len(samples) / 16_000 < 10
        assert np.abs(samples).max() > 3000
