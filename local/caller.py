"""Be the caller: say recorded sentences or press keys whenever the agent listens, then hang up."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from aurion.errors import AudioUnreadable
from av.error import FFmpegError

from agent_container.call_state import CallEvents, Speaker, Stage, ToolStatus
from local.audio_line import SAMPLE_RATE, LocalLine, Samples

# The agent has given the turn over when nothing was heard of it for so long.
_TURN_GIVEN_S = 0.7
# A reply that has not begun by then isn't coming; the caller goes on, as a person would.
_NO_REPLY_S = 30.0
_SILENT_BEFORE_HANG_UP_S = 20.0
_BETWEEN_KEYS_S = 0.15
_BADGE_TURN = 1  # the second thing a caller is asked for


@dataclass(frozen=True, slots=True)
class Spoken:
    """One turn of the caller: what was played, and how long the agent took to be heard (ms)."""

    name: str
    reply_ms: int | None


class Caller:
    """Call on a local line with recorded sentences, in order.

    With `keys`, these digits and # are pressed where the second sentence, the badge ID, would be.
    After the last sentence the caller says nothing for `silent_s`, then hangs up.
    """

    def __init__(
        self,
        line: LocalLine,
        files: Sequence[Path],
        *,
        keys: str | None = None,
        silent_s: float = _SILENT_BEFORE_HANG_UP_S,
    ) -> None:
        """Read every file.

        Raises:
            AudioUnreadable: A file holds no audio.
        """
        self._line = line
        self._turns = [(path.name, read_audio(path)) for path in files]
        self._keys = keys
        self._silent_s = silent_s
        self._looking_for_person = False
        self._awaiting_reply: float | None = None
        self._replied = asyncio.Event()
        self._reply_listeners: list[Callable[[int], None]] = []
        self.spoken: list[Spoken] = []
        line.audio_output.on_audible(self._agent_heard)

    def on_reply(self, listener: Callable[[int], None]) -> None:
        """Have each reply time reported (ms), when the reply is first heard."""
        self._reply_listeners.append(listener)

    def watch(self, events: CallEvents) -> CallEvents:
        """Return events that pass everything on and tell the caller when to be patient."""
        return _Watched(events, self._stage_changed)

    async def run(self) -> None:
        """Talk until the sentences are over and the agent has had time to hang up; then do so."""
        talking = asyncio.create_task(self._talk())
        closed = asyncio.create_task(self._line.closed.wait())
        await asyncio.wait({talking, closed}, return_when=asyncio.FIRST_COMPLETED)
        for task in (talking, closed):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await talking
        if not self._line.closed.is_set():
            await self._line.hang_up()

    async def _talk(self) -> None:
        for number, (name, samples) in enumerate(self._turns):
            await self._wait_for_turn()
            if number == _BADGE_TURN and self._keys is not None:
                await self._press_keys(self._keys)
            else:
                await self._say(name, samples)
        await self._wait_for_turn()
        await self._wait(self._silent_s, lambda: self._looking_for_person)

    async def _say(self, name: str, samples: Samples) -> None:
        self._replied.clear()
        self.spoken.append(Spoken(name, None))
        self._awaiting_reply = await self._line.audio_input.say(samples)

    async def _press_keys(self, keys: str) -> None:
        self._replied.clear()
        for key in [*keys, "#"]:
            self._line.press(key)
            await asyncio.sleep(_BETWEEN_KEYS_S)

    async def _wait_for_turn(self) -> None:
        """Wait for the reply, its end, and a moment in which nothing is heard."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._replied.wait(), _NO_REPLY_S)
        output = self._line.audio_output
        await self._wait(_TURN_GIVEN_S, lambda: output.playing or self._looking_for_person)

    async def _wait(self, for_s: float, busy: Callable[[], bool]) -> None:
        """Wait until the agent has not been busy for so long."""
        since = time.perf_counter()
        while time.perf_counter() - since < for_s:
            await asyncio.sleep(0.02)
            if busy():
                since = time.perf_counter()

    def _stage_changed(self, stage: Stage) -> None:
        self._looking_for_person = stage == "transferring"

    def _agent_heard(self, at: float) -> None:
        self._replied.set()
        if self._awaiting_reply is not None:
            reply_ms = round((at - self._awaiting_reply) * 1000)
            self._awaiting_reply = None
            self.spoken[-1] = replace(self.spoken[-1], reply_ms=reply_ms)
            for listener in self._reply_listeners:
                listener(reply_ms)


@dataclass(frozen=True, slots=True)
class _Watched:
    events: CallEvents
    stage_changed: Callable[[Stage], None]

    def said(self, speaker: Speaker, text: str, at: float, reply_ms: int | None) -> None:
        self.events.said(speaker, text, at, reply_ms)

    def tool(self, name: str, status: ToolStatus, ms: int) -> None:
        self.events.tool(name, status, ms)

    def state(self, name: Stage) -> None:
        self.stage_changed(name)
        self.events.state(name)


def read_audio(path: Path) -> Samples:
    """Read any audio file as 16 kHz mono samples.

    Raises:
        AudioUnreadable: The file is missing, empty or holds no audio.
    """
    pieces: list[Samples] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioUnreadable
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(audio=0):
                pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            pieces += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (FFmpegError, OSError) as error:
        raise AudioUnreadable from error
    samples = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.int16)
    if not samples.size:
        raise AudioUnreadable
    return samples.astype(np.int16, copy=False)
