"""Where sound becomes text: the caller's speech cut into utterances, recognised before it is over.

A pause of a fifth of a second starts the recogniser; if the caller goes on, its result is thrown
away. So an utterance that has really ended has its text earlier. One pair of ears serves the whole
call: nothing is lost while one agent hands over to the next.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import override

from livekit import rtc
from livekit.agents import inference, utils
from livekit.agents.vad import VADEvent, VADEventType, VADStream

from agent_container import config
from agent_container.speech.client import Heard

_LEAST_SPEECH_S = 0.1

type Recognise = Callable[[rtc.AudioFrame], Awaitable[Heard | None]]


class InlineExecutor(Executor):
    """Run at once: a voice detector's step takes 15 us, a hop to a thread several times that."""

    @override
    def submit[**P, T](self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - a future carries whatever was raised
            future.set_exception(error)
        return future


def voice_detector(*, end_of_speech_s: float) -> inference.VAD:
    """Make a voice detector that runs on the event loop."""
    return inference.VAD(executor=InlineExecutor(), min_silence_duration=end_of_speech_s)


@dataclass(frozen=True, slots=True)
class Utterance:
    """Hold what was heard in one utterance, its sound, and when it was spoken (epoch seconds).

    `heard` is None when the recogniser did not answer.
    """

    heard: Heard | None
    sound: rtc.AudioFrame | None
    started_at: float
    ended_at: float


class Ears:
    """Cut one call's sound into utterances; `began` is told at the start of each.

    `recognise` may be changed at any time: the next utterance is recognised by the new one.
    """

    def __init__(self, recognise: Recognise, *, began: Callable[[], None]) -> None:
        self.recognise = recognise
        self._began = began
        self._vad = voice_detector(end_of_speech_s=config.END_OF_SPEECH_S)
        self._stream: VADStream | None = None
        self._cutting: asyncio.Task[None] | None = None
        self._ready: asyncio.Queue[_Cut] = asyncio.Queue()
        self._next: _Cut | None = None
        self._waiting = 0
        self._speaking = False
        self._pulse = asyncio.Event()

    def start(self) -> None:
        """Begin to listen; needs a running event loop."""
        self._stream = self._vad.stream()
        self._cutting = asyncio.create_task(self._cut(self._stream), name="ears")

    async def aclose(self) -> None:
        """Stop listening."""
        if self._cutting is not None and self._stream is not None:
            await utils.aio.cancel_and_wait(self._cutting)
            await self._stream.aclose()

    def be_patient(self, end_of_speech_s: float) -> None:
        """Let an utterance go on over pauses of so many seconds."""
        self._vad.update_options(min_silence_duration=end_of_speech_s)

    @property
    def speaking(self) -> bool:
        """Say whether the caller is speaking now."""
        return self._speaking

    @property
    def busy(self) -> bool:
        """Say whether the caller is speaking, or what they said is still being recognised."""
        return self._speaking or self._waiting > 0

    async def wait_for_speech(self, timeout_s: float) -> bool:
        """Wait until the caller speaks, for so long at most; return whether they do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._speaking:
                    await self._pulse.wait()
        return self._speaking

    async def feed(self, frames: AsyncIterable[rtc.AudioFrame]) -> None:
        """Listen to these frames until they end."""
        assert self._stream is not None
        async for frame in frames:
            self._stream.push_frame(frame)

    async def next(self) -> Utterance:
        """Wait for the next utterance, in the order of speaking."""
        if self._next is None:
            self._next = await self._ready.get()
        cut = self._next
        # Whoever waits here may be replaced by the next agent, who must still get this utterance.
        heard = await asyncio.shield(cut.text)
        self._next = None
        self._waiting -= 1
        return Utterance(heard, cut.sound, cut.started_at, cut.ended_at)

    async def _cut(self, stream: VADStream) -> None:
        early: asyncio.Task[Heard | None] | None = None
        heard: list[rtc.AudioFrame] = []
        started_at = 0.0
        try:
            async for event in stream:
                if event.type == VADEventType.START_OF_SPEECH:
                    heard = list(event.frames)
                    started_at = time.time() - _seconds(event.frames)
                    self._set_speaking(True)
                    self._began()
                elif event.type == VADEventType.INFERENCE_DONE and self._speaking:
                    heard.extend(event.frames)
                    if event.raw_accumulated_speech > 0 and early is not None:
                        early.cancel()
                        early = None
                    elif early is None and _may_have_ended(event):
                        early = self._start(rtc.combine_audio_frames(heard))
                elif event.type == VADEventType.END_OF_SPEECH:
                    sound = rtc.combine_audio_frames(event.frames)
                    text = early if early is not None else self._start(sound)
                    early = None
                    self._waiting += 1
                    ended_at = time.time() - event.silence_duration
                    self._ready.put_nowait(_Cut(text, sound, started_at, ended_at))
                    self._set_speaking(False)
        finally:
            self._set_speaking(False)
            if early is not None:
                await utils.aio.cancel_and_wait(early)

    def _start(self, sound: rtc.AudioFrame) -> asyncio.Task[Heard | None]:
        async def run() -> Heard | None:
            return await self.recognise(sound)

        return asyncio.create_task(run(), name="recognise")

    def _set_speaking(self, speaking: bool) -> None:
        self._speaking = speaking
        self._pulse.set()
        self._pulse = asyncio.Event()


@dataclass(frozen=True, slots=True)
class _Cut:
    text: asyncio.Task[Heard | None]
    sound: rtc.AudioFrame
    started_at: float
    ended_at: float


def _may_have_ended(event: VADEvent) -> bool:
    return (
        event.raw_accumulated_silence >= config.SPECULATE_AFTER_S
        and event.speech_duration >= _LEAST_SPEECH_S
    )


def _seconds(frames: list[rtc.AudioFrame]) -> float:
    return sum(frame.duration for frame in frames)
