"""A call on a local line with a recorder on it, and how to look into what was recorded."""

import asyncio
import contextlib
import sys
import time
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from livekit import rtc

from agent_container.recorder import Recorder
from local.audio_line import LocalLine, Samples
from local.caller import read_audio

CALLERS = Path(__file__).parent.parent / "local" / "callers"
type Sound = npt.NDArray[np.float32]


class RecordedCall:
    """A recorder between a session's two ends; the test is the session and the caller."""

    def __init__(self, path: Path, *, secure: bool = False, max_hold_s: float = 120.0) -> None:
        self.path = path
        self.line = LocalLine(calling_number=None, keep_audio=True)
        self.recorder = Recorder(path, secure=secure, max_hold_s=max_hold_s)
        self._input = self.recorder.tap_input(self.line.audio_input)
        self.output = self.recorder.tap_output(self.line.audio_output)

    async def __aenter__(self) -> "RecordedCall":
        self.recorder.start()
        self.began = self.recorder.started_at
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listening
        with contextlib.suppress(Exception):
            await self.recorder.discard()

    async def _listen(self) -> None:
        async for _ in self._input:
            pass

    def at(self, epoch: float) -> float:
        """Seconds into the recording."""
        return epoch - self.began

    async def say(self, samples: Samples) -> tuple[float, float]:
        """The caller speaks; returns when it began and ended (epoch seconds)."""
        start = time.time()
        self.last_audible = await self.line.audio_input.say(samples) - time.perf_counter()
        end = time.time()
        self.last_audible += end
        return start, end

    async def answer(self, seconds: float, *, cut_after: float | None = None) -> None:
        """The agent speaks a tone at 24 kHz, faster than real time as a voice does."""
        size = 480
        for start in range(0, int(seconds * 24_000), size):
            wave = 6000 * np.sin(2 * np.pi * 440 * np.arange(start, start + size) / 24_000)
            frame = rtc.AudioFrame(wave.astype(np.int16).tobytes(), 24_000, 1, size)
            await self.output.capture_frame(frame)
        self.output.flush()
        if cut_after is not None:
            await asyncio.sleep(cut_after)
            self.output.clear_buffer()
        await self.output.wait_for_playout()


def sentence(caller: str, number: int) -> Samples:
    """The first second and a half of a demo caller's sentence, at 16 kHz."""
    samples = read_audio(CALLERS / caller / f"{number:02}.wav")
    start = int(np.flatnonzero(np.abs(samples.astype(np.int32)) > 200)[0])
    return samples[start : start + 24_000]


def decode(path: Path) -> Sound:
    """Decode a recording as a player does: (2, samples) at 48 kHz, full scale 1."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(parts, axis=1).astype(np.float32, copy=False)


def stretch(sound: Sound, start_s: float, end_s: float) -> Sound:
    """Cut both channels between two times."""
    return sound[:, int(start_s * 48_000) : int(end_s * 48_000)]


def find(channel: Sound, samples: Samples, near_s: float) -> tuple[float, float]:
    """Find samples in a channel: (seconds at which they begin, correlation there)."""
    heard = np.pad(channel[::3].astype(np.float64), (0, 16_000))
    low = max(0, int((near_s - 0.3) * 16_000))
    window = heard[low : int((near_s + 0.3) * 16_000) + len(samples)]
    wanted = samples.astype(np.float64)
    at = int(np.correlate(window, wanted, "valid").argmax())
    correlation = np.corrcoef(window[at : at + len(wanted)], wanted)[0, 1]
    return (low + at) / 16_000, float(correlation)


def loud_spans(channel: Sound) -> list[tuple[float, float]]:
    """Where a channel is louder than -34 dBFS, in seconds; gaps under 50 ms are bridged."""
    size = 480
    blocks = channel[: len(channel) // size * size].reshape(-1, size)
    loud = np.flatnonzero(np.abs(blocks).max(axis=1) > 0.02)
    if not loud.size:
        return []
    breaks = np.flatnonzero(np.diff(loud) > 5)
    starts, ends = np.r_[loud[0], loud[breaks + 1]], np.r_[loud[breaks], loud[-1]]
    return [(float(a) / 100, float(b + 1) / 100) for a, b in zip(starts, ends, strict=True)]


async def _call_until_killed(path: Path) -> None:
    async with RecordedCall(path, secure=True) as call:
        print(time.time(), flush=True)
        await call.say(sentence("alice", 1))
        call.recorder.open()
        for _ in range(10):
            call.recorder.hold()
            _, end = await call.say(sentence("alice", 3))
            call.recorder.release(end)
            await call.answer(2.0)


if __name__ == "__main__":
    asyncio.run(_call_until_killed(Path(sys.argv[1])))
