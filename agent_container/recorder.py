"""Record a call: the caller left, the agent right, both where they were heard on one timeline.

The caller's sound stays in memory until it is cleared. While the caller speaks, and until their
words have been checked, `hold` keeps it there; `release` lets it go to the file, `silence` replaces
it with exact zeros. What is not held and nobody claims is released by itself. A secure segment
(`secure` to `open`) is never kept at all. So no byte of a badge ID reaches a disk.

Times in this module's interface are epoch seconds, as the session's own events give them.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aurion.errors import RecordingLost
from av.error import FFmpegError
from livekit.agents.voice import io

from agent_container import recording_files
from agent_container.audio_taps import STALLED, TappedInput, TappedOutput, Timeline, Track
from agent_container.recording_files import (
    AGENT,
    CALLER,
    FRAME,
    SAMPLE_RATE,
    Recording,
    Samples,
    WorkingFile,
)

logger = logging.getLogger(__name__)

# Sound nobody holds is released after so long: more than a voice detector takes to notice speech,
# on a machine that is far too busy as well.
_AUTO_RELEASE = 3 * SAMPLE_RATE
# What was played is placed this much later, when no interruption can take it back.
_AGENT_LAG = int(0.5 * SAMPLE_RATE)
_WRITE_EVERY_S = 0.5
# An utterance is noticed no earlier than so long before the time at which it is said to begin.
_NOTICED_EARLY = int(0.5 * SAMPLE_RATE)


class Recorder:
    """Record one call into `path`; everything but `finish` and `discard` returns at once.

    Args:
        path: Where the finished Ogg/Opus file goes; its directory exists.
        secure: Begin with the caller muted, as every call does that verifies the caller.
        max_hold_s: Held for longer without a verdict, sound is silenced: the check has died.
    """

    def __init__(self, path: Path, *, secure: bool = True, max_hold_s: float = 120.0) -> None:
        self._path = path
        self._max_hold = int(max_hold_s * SAMPLE_RATE)
        self._timeline = Timeline()
        self._caller = Track()
        self._agent = Track()
        self._output: TappedOutput | None = None
        self._writer: _Writer | None = None
        self._task: asyncio.Task[None] | None = None

        self._cleared = 0  # every caller sample before this has its verdict
        self._written = [0, 0]  # frames handed to the writer, per channel
        self._holds: list[int] = []  # when each utterance that awaits its verdict was noticed
        self._waits: list[tuple[int, int]] = []  # (nothing from here on, before then)
        self._muted_since: int | None = 0 if secure else None
        self._caller_stopped = False
        self._guarded: list[tuple[int, int]] = []

    @property
    def started_at(self) -> float:
        """Return when the recording started (epoch seconds)."""
        return time.time() - self._timeline.now / SAMPLE_RATE

    def tap_input(self, source: io.AudioInput) -> io.AudioInput:
        """Return an input that passes the caller's audio on and records it."""
        return TappedInput(source, self._heard)

    def tap_output(self, sink: io.AudioOutput) -> io.AudioOutput:
        """Return an output that passes the agent's audio on and records what was really played."""
        self._output = TappedOutput(sink, self._timeline, self._agent)
        return self._output

    def start(self) -> None:
        """Begin the timeline and the working file; needs a running event loop.

        A working file that a process left which died in this call is continued where it stands.

        Raises:
            RecordingDamaged: There is a working file, and it is none of ours.
        """
        file = WorkingFile(recording_files.working_path(self._path))
        age_s = max(0.0, time.time() - file.started_at) if file.continued else 0.0
        self._timeline.start(age_s=age_s)
        self._writer = _Writer(file)
        now = int(age_s * SAMPLE_RATE)
        self._written = [now // FRAME, now // FRAME]
        self._cleared = now
        if file.continued:
            self._guarded.append((0, now))  # what is written stays, and the seam is silent
        if file.muted_since_ms is not None:
            self._writer.guard(file.muted_since_ms, now * 1000 // SAMPLE_RATE)
        if self._muted_since is not None:
            self._muted_since = now
            self._writer.mute(now * 1000 // SAMPLE_RATE)
        self._task = asyncio.create_task(self._write_regularly())

    def hold(self) -> None:
        """Keep everything that has no verdict yet: the caller has begun to speak.

        Each utterance that is held gets one verdict, in the order of speaking.
        """
        self._holds.append(self._timeline.now)

    def release(self, until: float, *, after_s: float = 0.0) -> None:
        """Let the caller's audio up to `until` go to the file.

        With `after_s` it stays in memory so much longer, and `silence` can still take it out
        without trace: for digits that may be the first half of a badge ID.
        """
        sample = self._timeline.at(until)
        if after_s > 0:
            self._waits.append((self._cleared, self._timeline.now + int(after_s * SAMPLE_RATE)))
        if sample > self._cleared:
            # On a busy machine an utterance may be noticed after the time at which it ended.
            del self._holds[:1]
            self._cleared = sample

    def silence(self, start: float, end: float) -> None:
        """Replace the caller's audio between `start` and `end` with silence, in the file too."""
        first, last = self._timeline.at(start), self._timeline.at(end)
        if last > self._cleared:
            earlier = sum(noticed < first - _NOTICED_EARLY for noticed in self._holds)
            del self._holds[earlier : earlier + 1]
            if not earlier:
                self._cleared = last
        self._guard(first, last)

    def secure(self) -> None:
        """Mute the caller from here on, and whatever of them has no verdict yet."""
        self._holds.clear()
        if self._muted_since is None:
            self._muted_since = min(self._cleared, self._timeline.now)
            self._caller.forget(self._muted_since)
            if self._writer is not None:
                self._writer.mute(self._muted_since * 1000 // SAMPLE_RATE)

    def open(self) -> None:
        """End the secure segment: what the caller says from here on is recorded again.

        Holds end with it; when the caller is speaking at this moment, `hold` again.
        """
        if self._muted_since is not None and not self._caller_stopped:
            now = self._timeline.now
            self._guard(self._muted_since, now)
            self._cleared = now
            self._muted_since = None
            self._holds.clear()

    def stop_caller(self) -> None:
        """Mute the caller for the rest of the call: they asked not to be recorded."""
        self.secure()
        self._caller_stopped = True

    async def finish(self) -> Recording:
        """End the recording and write its file; `recording_files.remove` removes it.

        Raises:
            RecordingLost: The disk took no more of it.
        """
        writer = await self._end()
        end = self._timeline.now
        if self._muted_since is not None:
            self._guard(self._muted_since, end)
        elif self._holds:
            self._guard(self._cleared, end)
        # What has no verdict by now gets none any more.
        self._caller.forget(self._cleared)
        if self._output is not None:
            self._output.settle(end)
        self._write_until(CALLER, end + FRAME)
        self._write_until(AGENT, end + FRAME)
        self._writer = None
        return await asyncio.to_thread(writer.finish, self._path, end * 1000 // SAMPLE_RATE)

    async def discard(self) -> None:
        """End the recording and keep nothing of it."""
        writer = await self._end()
        self._writer = None
        await asyncio.to_thread(writer.stop)
        recording_files.remove(self._path)

    def _heard(self, samples: Samples) -> None:
        if self._writer is None:
            return
        self._caller.extend(samples, self._timeline.now, keep=self._muted_since is None)

    def _guard(self, first: int, last: int) -> None:
        if last <= first or self._writer is None:
            return
        self._guarded.append((first, last))
        self._writer.guard(first * 1000 // SAMPLE_RATE, -(-last * 1000 // SAMPLE_RATE))
        self._caller.forget(first, last)
        muted = _muted_frames(first, last)
        if muted.start < self._written[CALLER]:
            self._writer.erase_caller(muted.start, min(muted.stop, self._written[CALLER]))

    async def _write_regularly(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY_S)
            now = self._timeline.now
            if self._output is not None:
                self._output.settle(now - _AGENT_LAG)
            self._write_until(AGENT, now - _AGENT_LAG)
            if self._muted_since is None:
                self._clear_unclaimed(now)
            else:
                self._cleared = now
            self._waits = [(start, ready) for start, ready in self._waits if ready > now]
            arrived = max(self._caller.frontier or 0, now - STALLED)
            free = min([self._cleared, arrived, *(start for start, _ in self._waits)])
            # The last frame is kept back too: a guarded stretch may begin right behind it.
            self._write_until(CALLER, free - FRAME)

    def _clear_unclaimed(self, now: int) -> None:
        if self._holds and now - self._holds[0] > self._max_hold:
            logger.error("caller audio was held without a verdict and has been silenced")
            self._guard(self._cleared, now)
            self._cleared = now
            self._holds.clear()
        elif not self._holds:
            self._cleared = max(self._cleared, now - _AUTO_RELEASE)

    def _write_until(self, channel: int, sample: int) -> None:
        first, end = self._written[channel], sample // FRAME
        if end <= first or self._writer is None:
            return
        track = self._caller if channel == CALLER else self._agent
        samples = track.take(first * FRAME, end * FRAME)
        muted: set[int] = set()
        if channel == CALLER:
            muted = {frame for frame in range(first, end) if self._is_muted(frame)}
            for frame in muted:
                samples[(frame - first) * FRAME : (frame - first + 1) * FRAME] = 0
        self._writer.append(channel, first, samples, frozenset(muted))
        self._written[channel] = end

    def _is_muted(self, frame: int) -> bool:
        if self._muted_since is not None and frame >= self._muted_since // FRAME - 1:
            return True
        return any(frame in _muted_frames(*span) for span in reversed(self._guarded))

    async def _end(self) -> "_Writer":
        if self._task is None or self._writer is None:
            raise RecordingLost
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        writer, self._task = self._writer, None
        return writer


def _muted_frames(first: int, last: int) -> range:
    """Give a guarded stretch whole frames and one more on each side, for Opus's overlap."""
    return range(max(0, first // FRAME - 1), -(-last // FRAME) + 1)


class _Writer:
    """Encode and write on a thread of its own, in order."""

    def __init__(self, file: WorkingFile) -> None:
        self._file = file
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def append(
        self, channel: int, first_frame: int, samples: Samples, muted: frozenset[int]
    ) -> None:
        self._work.put(lambda: self._file.append(channel, first_frame, samples, muted))

    def mute(self, start_ms: int) -> None:
        self._work.put(lambda: self._file.mute(start_ms))

    def guard(self, start_ms: int, end_ms: int) -> None:
        self._work.put(lambda: self._file.guard(start_ms, end_ms))

    def erase_caller(self, first_frame: int, end_frame: int) -> None:
        self._work.put(lambda: self._file.erase_caller(first_frame, end_frame))

    def finish(self, path: Path, duration_ms: int) -> Recording:
        self._work.put(lambda: self._file.end(duration_ms))
        self.stop()
        if self._failed:
            raise RecordingLost
        return recording_files.finish(path)

    def stop(self) -> None:
        self._work.put(None)
        self._thread.join()
        self._file.close()

    def _run(self) -> None:
        while (step := self._work.get()) is not None:
            if self._failed:
                continue
            try:
                step()
            except (OSError, FFmpegError):
                self._failed = True
                logger.exception("the recording can't be written")
