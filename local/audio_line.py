"""A phone line on this machine: the caller's audio comes in at real time, the agent's goes nowhere.

Both ends behave as a trunk does: a frame every 20 ms, line noise when nobody speaks, an answer that
plays for as long as it is. That is all a session notices of a phone.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, override

import numpy as np
import numpy.typing as npt
from livekit import rtc
from livekit.agents.voice import io

SAMPLE_RATE = 16_000
_FRAME = 320  # samples: 20 ms
_NOISE = 10  # of 32767: a real line is never digitally silent, and turn detectors count on that
_AUDIBLE = 200  # of 32767
# A process that stood still for longer has missed the time; the line doesn't replay its noise.
_SKIP_AFTER_S = 1.0

type Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Played:
    """Agent audio as it was heard: when it began (`time.perf_counter` seconds), mono samples."""

    started_at: float
    sample_rate: int
    samples: Samples


class LocalAudioInput(io.AudioInput):
    """The caller's end: what is said plays at real time, line noise otherwise."""

    def __init__(self) -> None:
        super().__init__(label="LocalLine")
        noise = np.random.default_rng(1).standard_normal(SAMPLE_RATE) * _NOISE
        self._noise = noise.astype(np.int16)
        self._noise_at = 0
        self._due: float | None = None
        self._speech: Samples | None = None
        self._spoken = 0
        self._done: asyncio.Future[float] | None = None
        self._closed = False

    def say(self, samples: Samples) -> asyncio.Future[float]:
        """Speak 16 kHz mono samples; the future gives when the last audible one was heard.

        That time is in `time.perf_counter` seconds. One utterance at a time.
        """
        assert self._speech is None, "the caller is speaking already"
        self._done = asyncio.get_running_loop().create_future()
        self._speech, self._spoken = samples, 0
        return self._done

    def close(self) -> None:
        """End the stream."""
        self._closed = True
        if self._done is not None and not self._done.done():
            self._done.cancel()

    @override
    async def __anext__(self) -> rtc.AudioFrame:
        now = time.perf_counter()
        if self._due is None or (self._speech is None and now - self._due > _SKIP_AFTER_S):
            self._due = now
        self._due += _FRAME / SAMPLE_RATE
        if self._due > now:
            await asyncio.sleep(self._due - now)
        if self._closed:
            raise StopAsyncIteration
        samples = self._next_samples(ends_at=self._due)
        return rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE, 1, _FRAME)

    def _next_samples(self, *, ends_at: float) -> Samples:
        start = self._noise_at % (SAMPLE_RATE - _FRAME)
        self._noise_at += _FRAME
        mixed = self._noise[start : start + _FRAME].astype(np.int32)
        if self._speech is not None:
            piece = self._speech[self._spoken : self._spoken + _FRAME]
            mixed[: len(piece)] += piece
            self._spoken += len(piece)
            if self._spoken >= len(self._speech):
                assert self._done is not None
                unheard = _trailing_silence(self._speech) + _FRAME - len(piece)
                if not self._done.done():
                    self._done.set_result(ends_at - unheard / SAMPLE_RATE)
                self._speech = None
        return mixed.clip(-32768, 32767).astype(np.int16)


class LocalAudioOutput(io.AudioOutput):
    """The agent's end: a virtual loudspeaker that plays at real time and can pause."""

    def __init__(self, *, keep: bool = False) -> None:
        """Play into nothing; `keep` remembers what was heard in `heard`."""
        super().__init__(
            label="LocalLine", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=None
        )
        self.heard: list[Played] = []
        self._keep = keep
        self._listeners: list[Callable[[float], None]] = []
        self._finish: asyncio.TimerHandle | None = None
        self._begin_segment()

    def _begin_segment(self) -> None:
        self._frames: list[Samples] = []
        self._rate = 0
        self._captured = 0.0  # seconds of the segment
        self._audible = False
        # The run that plays: since when, from which second of the segment; none while paused.
        self._run: tuple[float, float] | None = None
        self._position = 0.0
        self._started = False
        self._flushed = False
        self._paused = False

    @property
    def playing(self) -> bool:
        """Tell whether the agent is being heard or has more to say."""
        return self._captured > 0

    def on_audible(self, listener: Callable[[float], None]) -> None:
        """Have the time of each segment's first audible sample reported (perf_counter seconds)."""
        self._listeners.append(listener)

    @override
    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        now = time.perf_counter()
        if not self._started:
            self._started = True
            if not self._paused:
                self._run = (now, 0.0)
            self.on_playback_started(created_at=time.time())
        elif self._run is not None and now > self._run[0] + self._captured - self._run[1]:
            self._end_run(now)  # the source was too slow: nothing was heard meanwhile
            self._run = (now, self._captured)
        self._note_samples(frame)
        self._captured += frame.duration

    @override
    def flush(self) -> None:
        super().flush()
        if self._captured:
            self._flushed = True
            self._schedule_finish()

    @override
    def clear_buffer(self) -> None:
        if self._captured:
            self._end(interrupted=True)

    @override
    def pause(self) -> None:
        super().pause()
        self._end_run(time.perf_counter())
        self._paused = True
        self._cancel_finish()

    @override
    def resume(self) -> None:
        super().resume()
        if self._paused:
            self._paused = False
            if self._started:
                self._run = (time.perf_counter(), self._position)
            if self._flushed:
                self._schedule_finish()

    def _note_samples(self, frame: rtc.AudioFrame) -> None:
        samples = np.frombuffer(frame.data, dtype=np.int16)[:: frame.num_channels]
        if not self._audible and self._run is not None:
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _AUDIBLE)
            if loud.size:
                self._audible = True
                offset = self._captured + loud[0] / frame.sample_rate
                at = self._run[0] + offset - self._run[1]
                for listener in self._listeners:
                    listener(at)
        if self._keep:
            self._rate = frame.sample_rate
            self._frames.append(samples.copy())

    def _schedule_finish(self) -> None:
        self._cancel_finish()
        if self._run is not None:
            left = self._run[0] + self._captured - self._run[1] - time.perf_counter()
            loop = asyncio.get_running_loop()
            self._finish = loop.call_later(max(0.0, left), lambda: self._end(interrupted=False))

    def _cancel_finish(self) -> None:
        if self._finish is not None:
            self._finish.cancel()
            self._finish = None

    def _end_run(self, now: float) -> None:
        """Report what the present run played."""
        if self._run is None:
            return
        started, offset = self._run
        end = min(self._captured, offset + max(0.0, now - started))
        self._run, self._position = None, end
        if end <= offset:
            return
        if self._keep:
            samples = np.concatenate(self._frames)
            low, high = round(offset * self._rate), round(end * self._rate)
            self.heard.append(Played(started, self._rate, samples[low:high]))
        self.on_playback_progressed(
            started_at=time.time() - (time.perf_counter() - started),
            offset=offset,
            duration=end - offset,
        )

    def _end(self, *, interrupted: bool) -> None:
        self._cancel_finish()
        if interrupted:
            self._end_run(time.perf_counter())
        elif self._run is not None:
            self._end_run(self._run[0] + self._captured)
        position, paused = self._position, self._paused
        self._begin_segment()
        self._paused = paused
        self.on_playback_finished(playback_position=position, interrupted=interrupted)


class LocalLine:
    """A call on this machine, by audio; `caller` code speaks, presses keys and hangs up."""

    kind: Literal["local"] = "local"
    room: rtc.Room | None = None
    caller_identity: str | None = None
    typed: asyncio.Queue[str] | None = None

    def __init__(self, *, calling_number: str | None, keep_audio: bool = False) -> None:
        self.calling_number = calling_number
        self.audio_input = LocalAudioInput()
        self.audio_output = LocalAudioOutput(keep=keep_audio)
        self.closed = asyncio.Event()
        self._key_listeners: list[Callable[[str], None]] = []

    def on_key(self, callback: Callable[[str], None]) -> None:
        """Have each key the caller presses reported: one of 0-9, * and #."""
        self._key_listeners.append(callback)

    def press(self, key: str) -> None:
        """Press a key on the caller's phone."""
        for listener in self._key_listeners:
            listener(key)

    async def put_through(self, number: str, *, ringing_s: float) -> bool:
        """Take the caller as handed over: on this machine nobody can be rung."""
        return True

    async def hang_up(self) -> None:
        """End the call, from either side."""
        self.audio_input.close()
        self.closed.set()


class TextLine:
    """A call on this machine, typed."""

    kind: Literal["text"] = "text"
    room: rtc.Room | None = None
    caller_identity: str | None = None
    audio_input: io.AudioInput | None = None
    audio_output: io.AudioOutput | None = None

    def __init__(self, *, calling_number: str | None) -> None:
        self.calling_number = calling_number
        self.typed: asyncio.Queue[str] = asyncio.Queue()
        self.closed = asyncio.Event()
        self._key_listeners: list[Callable[[str], None]] = []

    def on_key(self, callback: Callable[[str], None]) -> None:
        """Have each key the caller presses reported: one of 0-9, * and #."""
        self._key_listeners.append(callback)

    def press(self, key: str) -> None:
        """Press a key on the caller's phone."""
        for listener in self._key_listeners:
            listener(key)

    async def put_through(self, number: str, *, ringing_s: float) -> bool:
        """Take the caller as handed over: on this machine nobody can be rung."""
        return True

    async def hang_up(self) -> None:
        """End the call, from either side."""
        self.closed.set()


def _trailing_silence(samples: Samples) -> int:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _AUDIBLE)
    return len(samples) - 1 - int(loud[-1]) if loud.size else 0
