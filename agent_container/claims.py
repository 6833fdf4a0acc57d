"""What a caller claims to be: a name and a badge, put together from all they say and key."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from aurion import badges, spoken
from aurion.badges import BadgeFormat
from aurion.errors import SpeechRejected, SpeechUnavailable
from livekit import rtc

from agent_container import badge_capture, introductions
from agent_container.badge_capture import Ear
from agent_container.speech.stt import samples


@dataclass(frozen=True, slots=True)
class Said:
    """Hold an utterance of the secure segment; it is in memory here and goes nowhere."""

    text: str
    language: str | None
    sound: rtc.AudioFrame | None
    ended_at: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Keyed:
    """Hold what was keyed in one go."""

    keys: str
    ended_at: float


type Input = Said | Keyed


@dataclass(slots=True)
class Claim:
    """What the caller has said of themselves so far."""

    ear: Ear
    badge_format: BadgeFormat
    name: str = ""
    badges: Sequence[str] = ()
    unread: list[Said] = field(default_factory=list)
    asked_digits: bool = False
    _guessing: asyncio.Task[list[str]] | None = None

    def forget(self) -> None:
        """Forget it all: the caller begins anew."""
        self.name, self.badges = "", ()
        self.unread.clear()
        if self._guessing is not None:
            self._guessing.cancel()
            self._guessing = None

    async def names(self) -> list[str]:
        """Return what the name may be as it was heard, the likeliest first."""
        further = await self._guessing if self._guessing is not None else []
        return list(dict.fromkeys((self.name, *further)))

    async def take(self, said: Input, language: str) -> None:
        """Take name and badge from what was said, in either order or both at once."""
        if isinstance(said, Keyed):
            keyed = badges.canonical(said.keys)
            if self.badge_format.fits(keyed):
                self.badges = (keyed,)
                self.unread.clear()
            return
        digits = introductions.says_digits(said.text, language)
        found = await self._read(said, language, digits=digits)
        if found:
            self.badges = found
            self.unread.clear()
        elif digits:
            self.unread.append(said)
        if introductions.introduces(said.text, language) or (
            not self.name and introductions.may_hold_name(said.text, language)
        ):
            self.name = said.text
            self._guess_name(said, language)

    def badge_question(self, said: Input) -> str:
        """Choose how to ask for the badge: plainly, then digit by digit, then by keypad."""
        if isinstance(said, Said) and not self.unread:
            return "verify.ask_badge"
        if not self.asked_digits:
            self.asked_digits = True
            return "verify.ask_badge_digits"
        self.unread.clear()
        return "verify.ask_badge_keys"

    async def _read(self, said: Said, language: str, *, digits: bool) -> Sequence[str]:
        """Return the badges that may have been said, over a pause between two utterances too."""
        found = spoken.readings(said.text, language, self.badge_format)
        if not found and self.unread:
            whole = " ".join(part.text for part in (*self.unread, said))
            if found := spoken.readings(whole, language, self.badge_format):
                return found
        if said.sound is None or not (found or digits):
            return found
        with contextlib.suppress(SpeechUnavailable):
            return await badge_capture.capture(
                self.ear,
                samples([said.sound]),
                language=language,
                badge_format=self.badge_format,
                plain=said.text,
                confidence=said.confidence,
            )
        return found

    def _guess_name(self, said: Said, language: str) -> None:
        """Have the recogniser guess again while the caller is asked for the badge."""
        if self._guessing is not None:
            self._guessing.cancel()
            self._guessing = None
        if said.sound is not None:
            guessing = _guess(self.ear, said.sound, language)
            self._guessing = asyncio.create_task(guessing, name="guess a name")


async def _guess(ear: Ear, sound: rtc.AudioFrame, language: str) -> list[str]:
    with contextlib.suppress(SpeechUnavailable, SpeechRejected):
        (guesses,) = await ear.guess(samples([sound]), language=language)
        return [guess.text for guess in guesses]
    return []
