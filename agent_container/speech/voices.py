"""Who speaks which language, and how a text becomes the sounds that are sent one after another."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aurion import errors
from hibari import Hibari

from agent_container.speech import clauses, espeak, models, ready_made, sounds
from agent_container.speech.kokoro import Kokoro
from agent_container.speech.spoken_forms import speakable

ENGLISH, FRENCH = "hibari-heart", "ff_siwis"
ROBOTIC = {"nl": "espeak-nl", "de": "espeak-de"}
_SENTENCE_PAUSE, _CLAUSE_PAUSE = 220, 90  # ms
LONGEST_TEXT = 4000


@dataclass(frozen=True, slots=True)
class Breath:
    """Hold what is rendered at once: a sentence or clause as it is said, and the pause after."""

    spoken: str
    pause_ms: int


class Voices:
    """Hold the offline voices: quick ones, and a slow one that ready-made sentences hide."""

    def __init__(self, cache: Path, *, threads: int = 2) -> None:
        self._cache = ready_made.Cache(cache / "renderings")
        self._model_cache = cache / "models"
        self._threads = threads
        self.pack = ready_made.Pack()
        self._hibari: Hibari | None = None
        self._kokoro: Kokoro | None = None
        self._siwis: np.ndarray | None = None

    def load_quick(self) -> None:
        """Load the voices that render faster than a caller notices."""
        self._hibari = Hibari(threads=1)
        self._hibari("Ready.")
        espeak.speak("klaar", "nl")

    def load_slow(self) -> None:
        """Load Kokoro and its French voice."""
        self._siwis = models.french_voice()
        self._kokoro = Kokoro(models.kokoro_file(self._model_cache), threads=self._threads)

    def describe(self) -> dict[str, dict[str, object]]:
        """Say for each language which voice it has and whether it sounds like a robot."""
        quick = {"robotic": False, "slow": False}
        robots = {
            language: {"voice": voice, "robotic": True, "slow": False}
            for language, voice in ROBOTIC.items()
        }
        french = {
            "voice": FRENCH,
            "robotic": False,
            "slow": True,
            "ready_made": len(self.pack.entries),
        }
        return {"en": {"voice": ENGLISH, **quick}, "fr": french, **robots}

    def breaths(self, text: str, language: str) -> list[Breath]:
        """Cut a text into what is rendered at once, in order.

        Raises:
            SpeechRejected: no voice speaks the language, or the text is longer than any reply.
        """
        language = language[:2].lower()
        if language not in ("en", "fr", *ROBOTIC) or len(text) > LONGEST_TEXT:
            raise errors.SpeechRejected
        planned: list[Breath] = []
        for sentence in clauses.sentences(text):
            spoken = speakable(sentence, language)
            if language != "fr" or self._has(spoken):
                planned.append(Breath(spoken, _SENTENCE_PAUSE))
                continue
            # the parts are made speakable one by one, as the pack's were
            parts = [speakable(part, language) for part in clauses.clauses(sentence)]
            planned += [Breath(part, _CLAUSE_PAUSE) for part in parts[:-1]]
            planned += [Breath(part, _SENTENCE_PAUSE) for part in parts[-1:]]
        return [breath for breath in planned if any(map(str.isalnum, breath.spoken))]

    def whole(self, text: str, language: str) -> list[str]:
        """Return a fixed text's sentences as they are said, for a voice worth preparing."""
        if language[:2].lower() != "fr":
            return []
        return [speakable(sentence, "fr") for sentence in clauses.sentences(text)]

    def ready(self, spoken: str, language: str) -> np.ndarray | None:
        """Return the sound when it is ready-made or made at once; None when it must be rendered."""
        match language[:2].lower():
            case "en":
                assert self._hibari is not None
                return sounds.trim(sounds.from_float(self._hibari(spoken)))
            case "fr":
                name = ready_made.key(FRENCH, spoken)
                found = self.pack.find(name)
                return self._cache.find(name) if found is None else found
            case other:
                return sounds.trim(
                    sounds.resample(espeak.speak(spoken, other), espeak.RATE, 24_000)
                )

    def render(self, spoken: str, *, cacheable: bool) -> np.ndarray:
        """Render French with the slow voice; keep it when it is the company's own text."""
        assert self._kokoro is not None
        assert self._siwis is not None
        pcm = self._kokoro.speak(spoken, voice=self._siwis, language="fr")
        if cacheable:
            self._cache.keep(ready_made.key(FRENCH, spoken), pcm)
        return pcm

    def _has(self, spoken: str) -> bool:
        name = ready_made.key(FRENCH, spoken)
        return name in self.pack.entries or self._cache.has(name)
