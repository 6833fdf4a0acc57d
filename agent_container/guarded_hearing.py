"""The desk's hearing: every sentence is judged for a badge before anything else may see it."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass

from aurion import badges, spoken
from livekit import rtc

from agent_container.call_state import CallState
from agent_container.hearing import Ears
from agent_container.recording import Tape
from agent_container.turn_log import REDACTED_BADGE


@dataclass(frozen=True, slots=True)
class Sentence:
    """Hold what may be known of an utterance, and when the caller stopped speaking (epoch s)."""

    text: str
    confidence: float
    ended_at: float


class GuardedEars:
    """Let a caller's sentences through, without any badge in them."""

    def __init__(self, state: CallState, ears: Ears, tape: Tape) -> None:
        self._state = state
        self._ears = ears
        self._tape = tape
        self._format = badges.read_format(state.tenant.badge_format)

    @property
    def busy(self) -> bool:
        """Say whether the caller is speaking or waits for being understood."""
        return self._ears.busy

    async def feed(self, frames: AsyncIterable[rtc.AudioFrame]) -> None:
        """Listen to these frames until they end."""
        await self._ears.feed(frames)

    def judge_typed(self, text: str) -> str:
        """Return a typed sentence without any badge in it."""
        return REDACTED_BADGE if self._is_badge(text) else text

    async def sentences(self) -> AsyncGenerator[Sentence]:
        """Yield what the caller says, one sentence at a time, judged."""
        while True:
            utterance = await self._ears.next()
            if utterance.heard is None:
                # Nobody knows what was said, so nobody may keep its sound either.
                self._tape.silence(utterance.started_at, utterance.ended_at)
                continue
            text = utterance.heard.text
            if self._is_badge(text):
                self._tape.silence(utterance.started_at, utterance.ended_at)
                text = REDACTED_BADGE
            else:
                self._tape.release(utterance.ended_at)
            if text:
                yield Sentence(text, utterance.heard.confidence, utterance.ended_at)

    def _is_badge(self, text: str) -> bool:
        return bool(spoken.readings(text, self._state.language, self._format))
