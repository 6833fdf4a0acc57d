"""The desk's hearing: every sentence is judged for a badge before anything else may see it."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass

from aurion import badges
from aurion.guard import BadgeGuard, Verdict
from livekit import rtc

from agent_container import config
from agent_container.call_state import CallState
from agent_container.hearing import Ears, Utterance
from agent_container.recording import Tape


@dataclass(frozen=True, slots=True)
class Sentence:
    """Hold what may be known of an utterance, and when the caller stopped speaking (epoch s)."""

    text: str
    confidence: float
    ended_at: float


class GuardedEars:
    """Let a caller's sentences through without any badge, and their sound with them."""

    def __init__(self, state: CallState, ears: Ears, tape: Tape) -> None:
        self._ears = ears
        self._tape = tape
        # The language of the call first, but a badge may be said in any of the company's.
        languages = (state.language, *state.tenant.languages)
        self._guard = BadgeGuard(badges.read_format(state.tenant.badge_format), languages)

    @property
    def busy(self) -> bool:
        """Say whether the caller is speaking, or waits for being understood."""
        return self._ears.busy

    async def feed(self, frames: AsyncIterable[rtc.AudioFrame]) -> None:
        """Listen to these frames until they end."""
        await self._ears.feed(frames)

    def judge_typed(self, text: str) -> str:
        """Return a typed sentence without any badge in it."""
        verdict = self._guard.check(text)
        return (self._guard.flush() if verdict.state == "hold" else verdict).text

    async def sentences(self) -> AsyncGenerator[Sentence]:
        """Yield what the caller says, one sentence at a time.

        What may be the beginning of a badge waits for its continuation; then all of it goes on at
        once, or none of it.
        """
        held: list[Utterance] = []
        while True:
            utterance = await self._ears.next()
            if utterance.heard is None:
                # Nobody knows what was said, so nobody may keep its sound.
                self._tape.silence(utterance.started_at, utterance.ended_at)
                continue
            text = utterance.heard.text.strip()
            if not text and not held:
                self._tape.release(utterance.ended_at)
                continue
            held.append(utterance)
            verdict = self._guard.check(text)
            if verdict.state == "hold":
                if self._ears.busy or await self._ears.wait_for_speech(config.CONTINUATION_S):
                    continue
                verdict = self._guard.flush()
            self._settle_sound(held, verdict)
            held.clear()
            if verdict.text.strip():
                yield Sentence(verdict.text, utterance.heard.confidence, utterance.ended_at)

    def _settle_sound(self, utterances: list[Utterance], verdict: Verdict) -> None:
        """Let the sound of each utterance go to the recording, or take it out."""
        for utterance, part in zip(utterances, verdict.parts, strict=True):
            if part.redacted:
                self._tape.silence(utterance.started_at, utterance.ended_at)
            else:
                self._tape.release(utterance.ended_at)
