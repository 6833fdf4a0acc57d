"""Hear a badge: hear an utterance several ways at once, and weigh what it may have said.

A plain decode of a general recogniser loses digits (a French "quatre un six" becomes 86). Prompts,
a slower pace and its further guesses bring them back. Guesses that agree make a reading heavy; on a
line that is not clear, what stays light is no attempt, and the caller is asked again. Nothing
missing is ever filled in. The sound stays in memory and every decode on this machine.
"""

import math
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Protocol, TypedDict

import numpy as np
from aurion import spoken
from aurion.badges import BadgeFormat

from agent_container.speech import hallucinations, sounds
from agent_container.speech.client import LISTENING_RATE, Guess

_LONGEST_S = 20.0
# A badge is some six tokens: a mean log-probability times six tells two guesses apart as their
# whole texts' probabilities do, without making a long sentence around the badge matter.
_TOKENS = 6
_NEXT_READING = 0.6  # what a text's second reading weighs beside its first
_WORTH_TRYING = 0.1  # beside the heaviest reading


class _Hearing(TypedDict):
    sure: float
    clear: float
    least: float
    paces: list[float]
    prompts: list[str]


class Ear(Protocol):
    """What hears an utterance, as the speech client does."""

    async def guess(
        self, pcm: np.ndarray, *, language: str, prompts: tuple[str, ...] = ("",)
    ) -> list[list[Guess]]:
        """Return what one utterance (int16, 16 kHz, mono) may say: a list for each prompt."""
        ...


async def capture(
    ear: Ear,
    pcm: np.ndarray,
    *,
    language: str,
    badge_format: BadgeFormat,
    plain: str = "",
    confidence: float = 0.0,
) -> tuple[str, ...]:
    """Return at most four badges that an utterance (int16, 16 kHz, mono) may say, likeliest first.

    They are the variants of one attempt; none when nothing fits, which is no attempt. `plain` and
    `confidence` (0 to 1) are of a decode without a prompt, when there is one already.

    Raises:
        SpeechUnavailable: The speech server does not answer.
    """
    hearing = _hearing(language)
    found = spoken.readings(plain, language, badge_format)
    if found and confidence >= hearing["sure"]:
        return found
    pcm = pcm[-int(_LONGEST_S * LISTENING_RATE) :]
    lists: list[list[Guess]] = []
    for pace in hearing["paces"]:
        slower = sounds.resample(pcm, round(pace * LISTENING_RATE), LISTENING_RATE)
        lists += await ear.guess(slower, language=language, prompts=("", *hearing["prompts"]))
    return choose(lists, language=language, badge_format=badge_format)


def choose(
    lists: Sequence[Sequence[Guess]], *, language: str, badge_format: BadgeFormat
) -> tuple[str, ...]:
    """Return the readings of guesses, the heaviest first; none when all are light and unclear.

    Each list weighs 1, shared among its guesses by their probability.
    """
    weights: defaultdict[str, float] = defaultdict(float)
    for guesses in lists:
        shares = [math.exp(guess.score * _TOKENS) for guess in guesses]
        for guess, share in zip(guesses, shares, strict=True):
            # A text that stopped at the token limit is a loop, and a loop can end in six digits.
            if guess.cut or hallucinations.is_loop(guess.text):
                continue
            for at, said in enumerate(spoken.readings(guess.text, language, badge_format)):
                weights[said] += share / sum(shares) * _NEXT_READING**at
    heaviest = max(weights.values(), default=0.0)
    best = max((guesses[0].score for guesses in lists if guesses), default=-math.inf)
    unclear = math.exp(best) < _hearing(language)["clear"]
    if unclear and heaviest < _hearing(language)["least"] * len(lists):
        return ()
    likeliest = sorted(weights, key=lambda said: (-weights[said], said))[: spoken.MOST_READINGS]
    return tuple(said for said in likeliest if weights[said] >= _WORTH_TRYING * heaviest)


@cache
def _hearing(language: str) -> _Hearing:
    text = files("agent_container").joinpath("badge_hearing.toml").read_text("utf-8")
    hearing: dict[str, _Hearing] = tomllib.loads(text)
    return hearing.get(language, hearing["en"])
