"""Listen in on a session's audio: what the caller said and what was really played to them.

Both go onto one timeline, in samples at 16 kHz since the recording's start: the caller's frames at
the time they arrived, the agent's at the time the sink says they were heard.
"""

import time
from collections.abc import Callable
from typing import override

import numpy as np
from livekit import rtc
from livekit.agents.voice import io

from agent_container.recording_files import FRAME, SAMPLE_RATE, Samples

# A live stream is set right when all of its last second came so much later than its place, or
# when a frame comes so much earlier.
_LATE = int(0.03 * SAMPLE_RATE)
_LATE_IN_SPEECH = int(0.15 * SAMPLE_RATE)  # a gap in a word is heard
_EARLY = int(0.005 * SAMPLE_RATE)
# A sink's report within this of where its run was expected goes on with the run.
_SAME_RUN = int(0.06 * SAMPLE_RATE)
# A stream that was silent for so long has stopped; what comes later isn't what was missing.
STALLED = 3 * SAMPLE_RATE
# After so long without a frame louder than this (of 32767), the stream can be moved unheard.
_BETWEEN_WORDS = int(0.4 * SAMPLE_RATE)
_QUIET_PEAK = 300


class Timeline:
    """Count samples since the start."""

    def __init__(self) -> None:
        self._started: float | None = None

    def start(self, *, age_s: float = 0.0) -> None:
        """Begin, at zero or as many seconds later as the recording is old."""
        self._started = time.perf_counter() - age_s

    @property
    def now(self) -> int:
        """Return how many samples have passed; none before the start."""
        if self._started is None:
            return 0
        return int((time.perf_counter() - self._started) * SAMPLE_RATE)

    def at(self, epoch: float) -> int:
        """Translate a wall-clock time by its age; setting the clock meanwhile can't bend it."""
        return max(0, self.now - round((time.time() - epoch) * SAMPLE_RATE))


class Track:
    """One channel: stretches of sound at their place on the timeline, silence between them."""

    def __init__(self) -> None:
        self._placed: list[tuple[int, Samples]] = []
        self._next: int | None = None  # where the live stream goes on
        self._late = 0  # how late the frames of its running second came at least
        self._counted = 0  # samples of its running second
        self._quiet = 0  # samples since its last loud frame

    @property
    def frontier(self) -> int | None:
        """Return up to where a live stream has arrived; None before its first frame."""
        return self._next

    def place(self, start: int, samples: Samples) -> None:
        """Put sound where it was heard."""
        self._placed.append((start, samples))

    def extend(self, samples: Samples, arrived: int, *, keep: bool = True) -> None:
        """Follow a live stream, whose next samples ended when they arrived; keep them or not.

        They stand right behind the last ones unless the stream has lost or gained time. Frames
        come in bursts after a stall of this process, so lateness counts only when a whole second
        of frames was late. A frame that comes early proves the earlier ones late.
        """
        spoken = max(0, arrived - len(samples))
        if self._next is None or spoken - self._next > STALLED:
            self._next, self._counted = spoken, 0
        late = spoken - self._next
        quiet = np.abs(samples).max(initial=0) < _QUIET_PEAK
        self._quiet = self._quiet + len(samples) if quiet else 0
        if late < -_EARLY and self._quiet >= _BETWEEN_WORDS:
            samples = samples[-late:]
            late = 0
        self._late = min(self._late, late) if self._counted else late
        self._counted += len(samples)
        if self._counted >= SAMPLE_RATE:
            if self._late > (_LATE if self._quiet >= _BETWEEN_WORDS else _LATE_IN_SPEECH):
                self._next += self._late
            self._counted = 0
        if keep:
            self.place(self._next, samples)
        self._next += len(samples)

    def take(self, start: int, end: int) -> Samples:
        """Return the channel over [start, end) and forget it and everything before."""
        block = np.zeros(end - start, dtype=np.int16)
        left: list[tuple[int, Samples]] = []
        for position, samples in self._placed:
            low, high = max(position, start), min(position + len(samples), end)
            if low < high:
                block[low - start : high - start] = samples[low - position : high - position]
            if position + len(samples) > end:
                cut = max(0, end - position)
                left.append((position + cut, samples[cut:]))
        self._placed = left
        return block

    def forget(self, start: int, end: int | None = None) -> None:
        """Drop the sound in [start, end), or from `start` on."""
        left: list[tuple[int, Samples]] = []
        for position, samples in self._placed:
            if position < start:
                left.append((position, samples[: start - position]))
            if end is not None and position + len(samples) > end:
                cut = max(0, end - position)
                left.append((position + cut, samples[cut:]))
        self._placed = left


class TappedInput(io.AudioInput):
    """Pass the caller's frames on and hand the recorder each at 16 kHz mono."""

    def __init__(self, source: io.AudioInput, heard: Callable[[Samples], None]) -> None:
        """Report what arrives at `source` to `heard`."""
        super().__init__(label="Recorder", source=source)
        self._heard = heard
        self._resampler = _Resampler()

    @override
    async def __anext__(self) -> rtc.AudioFrame:
        frame = await super().__anext__()
        for samples in self._resampler.push(frame):
            self._heard(samples)
        return frame


class TappedOutput(io.AudioOutput):
    """Pass the agent's frames on and place what the sink says it has played.

    A sink reports a segment only when it ends or stalls. So that a long answer isn't lost with
    the process, what must have played half a second ago is placed without waiting for the report.
    """

    def __init__(self, sink: io.AudioOutput, timeline: Timeline, track: Track) -> None:
        """Place what `sink` plays on `track`."""
        super().__init__(
            label="Recorder",
            next_in_chain=sink,
            capabilities=io.AudioOutputCapabilities(pause=True),
        )
        self._timeline = timeline
        self._track = track
        self._reset()

    def _reset(self) -> None:
        """Begin a new segment."""
        self._resampler = _Resampler()
        self._segment: list[Samples] = []
        self._received = 0  # samples of the segment given to the sink, resampled or still to be
        self._placed = 0  # samples of the segment that have their place
        self._playing: tuple[int, int] | None = None  # (timeline, segment) samples of a run's start
        self._paused_at: int | None = None
        self._reported = False
        self._cleared = False

    @property
    @override
    def sample_rate(self) -> int | None:
        return self.next_in_chain.sample_rate if self.next_in_chain else None

    @override
    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        if self.next_in_chain:
            await self.next_in_chain.capture_frame(frame)
        await super().capture_frame(frame)
        now = self._timeline.now
        if self._playing is not None:
            start, offset = self._playing
            ran_dry = start + self._received - offset
            if now > ran_dry + FRAME:
                self.settle(now)
                self._playing = (now, self._received)
        self._segment.extend(self._resampler.push(frame))
        self._received += round(frame.duration * SAMPLE_RATE)

    @override
    def flush(self) -> None:
        super().flush()
        if self.next_in_chain:
            self.next_in_chain.flush()

    @override
    def clear_buffer(self) -> None:
        self._cleared = True  # only the sink knows how far it got
        if self.next_in_chain:
            self.next_in_chain.clear_buffer()

    @override
    def pause(self) -> None:
        now = self._timeline.now
        self.settle(now)
        if self._playing is not None:
            self._paused_at = self._played_by(now)
            self._playing = None
        super().pause()

    @override
    def resume(self) -> None:
        super().resume()
        if self._paused_at is not None:
            self._playing = (self._timeline.now, max(self._paused_at, self._placed))
            self._paused_at = None

    @override
    def on_playback_started(self, *, created_at: float) -> None:
        super().on_playback_started(created_at=created_at)
        if self._playing is None and self._paused_at is None:
            self._playing = (self._timeline.at(created_at), self._placed)

    @override
    def on_playback_progressed(self, *, started_at: float, offset: float, duration: float) -> None:
        super().on_playback_progressed(started_at=started_at, offset=offset, duration=duration)
        self._reported = True
        low = max(round(offset * SAMPLE_RATE), self._placed)
        high = round((offset + duration) * SAMPLE_RATE)
        if high <= low:
            return
        at = self._timeline.at(started_at) + low - round(offset * SAMPLE_RATE)
        if self._playing is not None:
            expected = self._playing[0] + low - self._playing[1]
            if abs(at - expected) < _SAME_RUN:
                at = expected  # one continuous run: a seam would click
        self._place(at, low, high)
        if self._playing is not None:
            self._playing = (at + high - low, high)
        elif self._paused_at is not None:
            self._paused_at = high

    @override
    def on_playback_finished(
        self,
        *,
        playback_position: float,
        interrupted: bool,
        synchronized_transcript: str | None = None,
    ) -> None:
        super().on_playback_finished(
            playback_position=playback_position,
            interrupted=interrupted,
            synchronized_transcript=synchronized_transcript,
        )
        end = round(playback_position * SAMPLE_RATE)
        self._segment.extend(self._resampler.flush())
        if not self._reported and end > self._placed:
            start, offset = self._playing or (self._timeline.now - end, 0)
            self._place(start + self._placed - offset, self._placed, end)
        self._reset()

    def settle(self, until: int) -> None:
        """Place what must have played by `until`."""
        if self._playing is not None and not self._cleared:
            played = self._played_by(until)
            if played > self._placed:
                self._place(
                    self._playing[0] + self._placed - self._playing[1], self._placed, played
                )

    def _played_by(self, sample: int) -> int:
        assert self._playing is not None
        start, offset = self._playing
        return max(offset, min(offset + sample - start, self._received))

    def _place(self, at: int, low: int, high: int) -> None:
        samples = np.concatenate(self._segment) if self._segment else np.empty(0, dtype=np.int16)
        self._segment = [samples]
        piece = samples[low:high]
        self._track.place(at, piece)
        self._placed = low + len(piece)


class _Resampler:
    """Turn frames of any rate into mono samples at 16 kHz."""

    def __init__(self) -> None:
        self._resampler: rtc.AudioResampler | None = None
        self._rate = SAMPLE_RATE

    def push(self, frame: rtc.AudioFrame) -> list[Samples]:
        samples = np.frombuffer(frame.data, dtype=np.int16)
        if frame.num_channels > 1:
            samples = samples.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
        if frame.sample_rate == SAMPLE_RATE:
            return [samples.copy()]
        if self._resampler is None or self._rate != frame.sample_rate:
            self._rate = frame.sample_rate
            self._resampler = rtc.AudioResampler(frame.sample_rate, SAMPLE_RATE, num_channels=1)
        mono = rtc.AudioFrame(samples.tobytes(), frame.sample_rate, 1, len(samples))
        return [np.frombuffer(f.data, dtype=np.int16).copy() for f in self._resampler.push(mono)]

    def flush(self) -> list[Samples]:
        if self._resampler is None:
            return []
        rest = self._resampler.flush()
        self._resampler = None
        return [np.frombuffer(f.data, dtype=np.int16).copy() for f in rest]
