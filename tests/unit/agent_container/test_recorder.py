"""What a recording holds: both channels where they were heard, not a byte that was guarded."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from aurion.errors import RecordingDamaged, RecordingLost, RecordingNotFound

from agent_container import recording_files
from agent_container.recorder import Recorder
from tests import recorded_calls
from tests.recorded_calls import RecordedCall, decode, find, loud_spans, sentence, stretch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "call.ogg"


async def test_a_guarded_sentence_is_exact_silence_and_the_rest_is_whole(path: Path) -> None:
    question, badge = sentence("alice", 3), sentence("alice", 2)
    async with RecordedCall(path) as call:
        await asyncio.sleep(0.6)  # a busy machine's late first frame is set right by then
        call.recorder.hold()
        first = await call.say(question)
        first_end = call.last_audible
        call.recorder.release(first[1])
        call.recorder.hold()
        guarded = await call.say(badge)
        answering = asyncio.create_task(call.answer(1.0))  # the agent is loud meanwhile
        call.recorder.silence(*guarded)
        await answering
        call.recorder.hold()
        second = await call.say(question)
        call.recorder.release(second[1])
        recording = await call.recorder.finish()

    sound = decode(path)
    assert sound.shape[1] == recording.duration_ms * 48
    assert recording.whole
    ((start, end),) = recording.guarded
    assert start == pytest.approx(call.at(guarded[0]) * 1000, abs=20)
    assert end == pytest.approx(call.at(guarded[1]) * 1000, abs=20)
    assert not stretch(sound, start / 1000, end / 1000)[0].any()
    length = (np.flatnonzero(np.abs(question.astype(np.int32)) > 200)[-1] + 1) / 16_000
    for spoken, last_audible in ((first, first_end), (second, call.last_audible)):
        at, correlation = find(sound[0], question, call.at(spoken[0]))
        assert correlation > 0.95
        assert at + length == pytest.approx(call.at(last_audible), abs=0.02)


async def test_the_agent_is_silent_where_it_was_interrupted(path: Path) -> None:
    async with RecordedCall(path) as call:
        await asyncio.sleep(0.5)
        await call.answer(3.0, cut_after=1.2)
        await asyncio.sleep(0.6)
        await call.answer(0.5)
        heard = call.line.audio_output.heard
        await asyncio.sleep(0.7)
        began = time.time() - time.perf_counter()
        await call.recorder.finish()

    runs = [(call.at(began + p.started_at), len(p.samples) / p.sample_rate) for p in heard]
    expected = [
        (part[0][0], part[-1][0] + part[-1][1])
        for part in ([r for r in runs if r[0] < 2.0], [r for r in runs if r[0] >= 2.0])
    ]
    assert expected[0][1] - expected[0][0] < 2.0  # cut off, not played out
    for (start, end), (heard_from, heard_until) in zip(
        loud_spans(decode(path)[1]), expected, strict=True
    ):
        assert start == pytest.approx(heard_from, abs=0.02)
        assert end == pytest.approx(heard_until, abs=0.02)


async def test_a_paused_answer_is_recorded_with_its_pause(path: Path) -> None:
    async with RecordedCall(path) as call:
        answering = asyncio.create_task(call.answer(2.0))
        await asyncio.sleep(0.8)
        call.output.pause()
        paused = time.time()
        await asyncio.sleep(1.0)
        call.output.resume()
        resumed = time.time()
        await answering
        await call.recorder.finish()

    (first, second) = loud_spans(decode(path)[1])
    assert first[1] == pytest.approx(call.at(paused), abs=0.03)
    assert second[0] == pytest.approx(call.at(resumed), abs=0.03)
    assert first[1] - first[0] + second[1] - second[0] == pytest.approx(2.0, abs=0.03)


async def test_nothing_held_is_in_the_file_before_it_is_released(path: Path) -> None:
    async with RecordedCall(path) as call:
        call.recorder.hold()
        spoken = await call.say(sentence("alice", 3))
        await call.answer(2.0)
        await asyncio.sleep(1.0)  # longer than what nobody holds waits
        early = decode(recording_files.finish(path).path)
        assert early.shape[1] > 3 * 48_000  # the agent's channel is there
        assert not early[0].any()
        call.recorder.release(spoken[1])
        await asyncio.sleep(1.0)
        late = decode(recording_files.finish(path).path)
        assert find(late[0], sentence("alice", 3), call.at(spoken[0]))[1] > 0.95


async def test_verdicts_belong_to_the_utterances_they_name(path: Path) -> None:
    async with RecordedCall(path) as call:
        first = await call.say(sentence("alice", 3))
        await asyncio.sleep(0.3)
        call.recorder.hold()  # a busy machine noticed it when it was over already
        call.recorder.release(first[1])
        call.recorder.hold()
        second = await call.say(sentence("alice", 5))
        await asyncio.sleep(0.6)
        call.recorder.hold()
        badge = await call.say(sentence("alice", 2))
        call.recorder.silence(*badge)
        await call.answer(3.5)
        # The second still waits for its verdict, though a later one has got its own.
        early = decode(recording_files.finish(path).path)
        assert find(early[0], sentence("alice", 3), call.at(first[0]))[1] > 0.95
        assert not stretch(early, call.at(second[0]), 99)[0].any()
        call.recorder.release(second[1])
        recording = await call.recorder.finish()
    sound = decode(path)
    assert find(sound[0], sentence("alice", 5), call.at(second[0]))[1] > 0.95
    ((start, end),) = recording.guarded
    assert not stretch(sound, start / 1000, end / 1000)[0].any()


async def test_what_nobody_holds_is_recorded_by_itself(path: Path) -> None:
    async with RecordedCall(path) as call:
        call.recorder.hold()
        first = await call.say(sentence("alice", 3))
        call.recorder.release(first[1])
        unheld = await call.say(sentence("alice", 5))
        await asyncio.sleep(3.7)
        await call.recorder.finish()
    assert find(decode(path)[0], sentence("alice", 5), call.at(unheld[0]))[1] > 0.95


async def test_digits_that_may_go_on_can_be_taken_back_from_memory(path: Path) -> None:
    async with RecordedCall(path) as call:
        call.recorder.hold()
        first = await call.say(sentence("tom", 2))
        call.recorder.release(first[1], after_s=20)
        await call.answer(1.5)
        await asyncio.sleep(1.0)
        early = decode(recording_files.finish(path).path)
        assert early.shape[1] > 2 * 48_000
        assert not early[0].any()
        call.recorder.silence(*first)
        recording = await call.recorder.finish()
    start, end = recording.guarded[0]
    assert not stretch(decode(path), start / 1000, end / 1000)[0].any()


async def test_a_verdict_that_comes_late_takes_the_sound_out_of_the_file(path: Path) -> None:
    working = recording_files.working_path(path)
    async with RecordedCall(path) as call:
        call.recorder.hold()
        badge = await call.say(sentence("alice", 2))
        call.recorder.release(badge[1])
        await asyncio.sleep(1.0)
        before = working.read_bytes()
        call.recorder.silence(*badge)
        call.recorder.hold()
        question = await call.say(sentence("alice", 3))
        call.recorder.release(question[1])
        after = working.read_bytes()
        recording = await call.recorder.finish()

    differing = np.frombuffer(before, np.uint8) != np.frombuffer(after[: len(before)], np.uint8)
    assert differing.sum() > 1000  # a second and more of packets was overwritten where they lay
    start, end = recording.guarded[0]
    sound = decode(path)
    assert not stretch(sound, start / 1000, end / 1000)[0].any()
    assert find(sound[0], sentence("alice", 3), call.at(question[0]))[1] > 0.95


async def test_a_secure_segment_is_silent_and_recording_goes_on_after_it(path: Path) -> None:
    async with RecordedCall(path, secure=True) as call:
        await call.say(sentence("alice", 1))
        await call.say(sentence("alice", 2))
        call.recorder.open()
        opened = call.at(time.time())
        call.recorder.hold()
        question = await call.say(sentence("alice", 3))
        call.recorder.release(question[1])
        recording = await call.recorder.finish()

    sound = decode(path)
    ((start, end),) = recording.guarded
    assert start == 0
    assert end == pytest.approx(opened * 1000, abs=20)
    assert not stretch(sound, 0, end / 1000)[0].any()
    assert find(sound[0], sentence("alice", 3), call.at(question[0]))[1] > 0.95


async def test_a_caller_who_asks_not_to_be_recorded_is_silent_from_then_on(path: Path) -> None:
    async with RecordedCall(path) as call:
        call.recorder.hold()
        first = await call.say(sentence("alice", 5))
        call.recorder.release(first[1])
        call.recorder.hold()
        asking = await call.say(sentence("alice", 6))
        call.recorder.stop_caller()
        call.recorder.open()  # nothing opens it again
        await call.say(sentence("alice", 3))
        await call.answer(0.5)
        recording = await call.recorder.finish()

    sound = decode(path)
    assert find(sound[0], sentence("alice", 5), call.at(first[0]))[1] > 0.95
    assert not stretch(sound, call.at(asking[0]) + 0.1, 99)[0].any()
    assert len(loud_spans(sound[1])) == 1
    assert recording.guarded[-1][1] == recording.duration_ms


async def test_sound_without_a_verdict_is_silenced_in_the_end(path: Path) -> None:
    async with RecordedCall(path, max_hold_s=2.0) as call:
        call.recorder.hold()
        spoken = await call.say(sentence("alice", 3))
        await asyncio.sleep(1.0)
        forgotten = call.at(time.time())
        call.recorder.hold()
        await call.say(sentence("alice", 5))
        recording = await call.recorder.finish()
    assert len(recording.guarded) == 2 or recording.guarded[0][1] >= forgotten * 1000
    assert not stretch(decode(path), call.at(spoken[0]), 99)[0].any()


async def test_a_discarded_recording_leaves_nothing(path: Path) -> None:
    async with RecordedCall(path) as call:
        await call.answer(0.3)
        await asyncio.sleep(0.6)
        assert list(path.parent.iterdir())
        await call.recorder.discard()
        assert not list(path.parent.iterdir())
        with pytest.raises(RecordingLost):
            await call.recorder.finish()


async def test_only_its_owner_may_read_a_recording(path: Path) -> None:
    async with RecordedCall(path) as call:
        await asyncio.sleep(0.1)
        assert recording_files.working_path(path).stat().st_mode & 0o777 == 0o600
        await call.recorder.finish()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_killed_process_loses_less_than_five_seconds(path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, recorded_calls.__file__, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(recorded_calls.__file__).parent.parent)},
    )
    assert process.stdout
    began = float(process.stdout.readline())
    time.sleep(9)
    process.send_signal(signal.SIGKILL)
    lasted = time.time() - began
    process.wait()

    recording = recording_files.finish(path)
    assert not recording.whole
    assert lasted - recording.duration_ms / 1000 < 5
    assert recording.started_at == pytest.approx(began, abs=0.1)
    sound = decode(path)
    assert sound.shape[1] == recording.duration_ms * 48
    ((start, end),) = recording.guarded
    assert start == 0
    assert not stretch(sound, 0, end / 1000)[0].any()
    assert find(sound[0], sentence("alice", 3), end / 1000)[1] > 0.95
    recording_files.remove(path)
    assert not list(path.parent.iterdir())
    with pytest.raises(RecordingNotFound):
        recording_files.finish(path)


async def test_another_process_goes_on_with_the_recording_of_one_that_died(path: Path) -> None:
    async with RecordedCall(path, secure=True) as first:
        await first.say(sentence("alice", 2))
        first.recorder.open()
        first.recorder.hold()
        before = await first.say(sentence("alice", 3))
        first.recorder.release(before[1])
        first.recorder.secure()
        await asyncio.sleep(0.6)
        left = recording_files.working_path(path).read_bytes()
    recording_files.working_path(path).write_bytes(left[:-3])
    async with RecordedCall(path) as second:
        assert second.began == pytest.approx(first.began, abs=0.05)
        second.recorder.hold()
        after = await second.say(sentence("alice", 5))
        second.recorder.release(after[1])
        recording = await second.recorder.finish()

    sound = decode(path)
    # A frame that a busy machine delivers late stands a little later: the rest is what was said.
    assert find(sound[0], sentence("alice", 3), first.at(before[0]))[1] > 0.9
    assert find(sound[0], sentence("alice", 5), second.at(after[0]))[1] > 0.9
    (_, again) = recording.guarded
    assert first.at(before[1]) * 1000 - 20 <= again[0] <= first.at(before[1]) * 1000 + 200
    assert again[1] <= second.at(after[0]) * 1000 + 20
    assert not stretch(sound, again[0] / 1000, again[1] / 1000)[0].any()


def test_a_kill_in_a_secure_segment_still_tells_that_it_was_one(path: Path) -> None:
    working = recording_files.WorkingFile(recording_files.working_path(path))
    noise = np.random.default_rng(0).integers(-9000, 9000, 50 * 320).astype(np.int16)
    working.append(recording_files.CALLER, 0, noise, frozenset())
    working.mute(1000)
    working.append(recording_files.AGENT, 0, np.r_[noise, noise], frozenset())
    working.close()
    assert recording_files.finish(path).guarded == ((1000, 2000),)


def test_a_record_cut_off_in_the_middle_ends_the_recording_there(path: Path) -> None:
    working_path = recording_files.working_path(path)
    working = recording_files.WorkingFile(working_path)
    loud = np.random.default_rng(0).integers(-32768, 32767, 100 * 320).astype(np.int16)
    working.append(recording_files.CALLER, 0, loud, frozenset())
    working.close()
    whole = working_path.read_bytes()
    for cut in (1, 5, 40):
        working_path.write_bytes(whole[:-cut])
        recording = recording_files.finish(path)
        assert recording.duration_ms == 99 * 20
        assert decode(path).shape[1] == 99 * 960
    working_path.write_bytes(b"OggS and something else")
    with pytest.raises(RecordingDamaged):
        recording_files.finish(path)


def test_channels_do_not_leak_into_each_other(path: Path) -> None:
    working = recording_files.WorkingFile(recording_files.working_path(path))
    noise = np.random.default_rng(0).integers(-30000, 30000, 100 * 320).astype(np.int16)
    working.append(recording_files.AGENT, 0, noise, frozenset())
    working.close()
    recording_files.finish(path)
    sound = decode(path)
    assert not sound[0].any()
    assert np.abs(sound[1]).max() > 0.5


async def test_a_full_disk_loses_the_recording_and_nothing_else(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "missing" / "call.ogg")
    with pytest.raises(FileNotFoundError):
        recorder.start()
    with pytest.raises(RecordingLost):
        await recorder.finish()
