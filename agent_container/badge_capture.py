"""Hear a badge: decode an utterance once more, differently, until what is written can be one.

A plain decode of a general recogniser loses digits (a French "quatre un six" becomes 86). Prompts
and pauses bring some of them back; what still does not fit is no attempt, and the caller is asked
again. The sound stays in memory and every decode on this machine.
"""

import itertools
import tomllib
from functools import cache
from importlib.resources import files
from typing import Protocol, TypedDict

import numpy as np
from aurion import spoken
from aurion.badges import BadgeFormat

from agent_container.speech import hallucinations
from agent_container.speech.client import LISTENING_RATE, Heard

_FRAME = LISTENING_RATE // 50
_PAUSE_S = 0.18
# Single digits alone make the recogniser invent ("2344444…"), so parts are no shorter.
_SHORTEST_PART_S = 0.8
_LONGEST_S = 20.0


class _Prompts(TypedDict):
    sure: float
    whole: list[str]
    parts: str


class Ear(Protocol):
    """What hears an utterance, as the speech client does."""

    async def transcribe(
        self,
        pcm: np.ndarray,
        *,
        language: str | None,
        languages: tuple[str, ...] = (),
        prompt: str | None = None,
    ) -> Heard:
        """Turn one utterance (int16, 16 kHz, mono) into text."""
        ...


async def capture(
    ear: Ear,
    pcm: np.ndarray,
    *,
    language: str,
    badge_format: BadgeFormat,
    plain: str | None = None,
    confidence: float = 0.0,
) -> tuple[str, ...] | None:
    """Return at most four badges that an utterance (int16, 16 kHz, mono) may say, likeliest first.

    They are the variants of one attempt; None when nothing fits, which is not an attempt. `plain`
    and `confidence` (0 to 1) are of a decode without a prompt, when there is one already.

    Raises:
        SpeechUnavailable: The speech server does not answer.
    """
    if len(pcm) > _LONGEST_S * LISTENING_RATE:
        pcm = pcm[-int(_LONGEST_S * LISTENING_RATE) :]
    prompts = _prompts(language)
    if plain is None:
        plain, confidence = await _decode(ear, pcm, language, None)
    found = spoken.readings(plain, language, badge_format)
    if found and confidence >= prompts["sure"]:
        return found
    for prompt in prompts["whole"]:
        again, _ = await _decode(ear, pcm, language, prompt)
        found = _join(found, spoken.readings(again, language, badge_format))
        if found:
            return found
    parts = cut_at_pauses(pcm)
    if len(parts) == 1:
        return None
    said = [(await _decode(ear, part, language, prompts["parts"]))[0] for part in parts]
    return spoken.readings(", ".join(said), language, badge_format) or None


def cut_at_pauses(pcm: np.ndarray) -> list[np.ndarray]:
    """Cut an utterance in its pauses of 0.18 s or more, into parts of 0.8 s or more."""
    loud = _loud(pcm)
    cuts = [0]
    quiet = 0
    for at, is_loud in enumerate([*loud, True]):
        if not is_loud:
            quiet += 1
            continue
        if quiet * _FRAME >= _PAUSE_S * LISTENING_RATE and at < len(loud):
            cuts.append((at - quiet // 2) * _FRAME)
        quiet = 0
    cuts.append(len(pcm))
    shortest = _SHORTEST_PART_S * LISTENING_RATE
    kept = [0]
    for cut in cuts[1:-1]:
        if cut - kept[-1] >= shortest and len(pcm) - cut >= shortest:
            kept.append(cut)
    kept.append(len(pcm))
    return [pcm[start:end] for start, end in itertools.pairwise(kept)]


def _join(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return variants of both, the likeliest of either first, no more than one attempt may have."""
    pairs = itertools.chain.from_iterable(itertools.zip_longest(one, other))
    return tuple(dict.fromkeys(filter(None, pairs)))[: spoken.MOST_READINGS]


async def _decode(
    ear: Ear, pcm: np.ndarray, language: str, prompt: str | None
) -> tuple[str, float]:
    heard = await ear.transcribe(pcm, language=language, prompt=prompt)
    # A text that stopped at the token limit is a loop, and a loop can end in six digits.
    looped = heard.cut or hallucinations.is_loop(heard.text)
    return ("", 0.0) if looped else (heard.text, heard.confidence)


def _loud(pcm: np.ndarray) -> np.ndarray:
    """Return which frames of 20 ms are speech: well above the line's own noise."""
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    if len(frames) == 0:
        return np.zeros(0, bool)
    level = np.sqrt(np.mean(np.square(frames), axis=1))
    floor, peak = np.percentile(level, 10), np.percentile(level, 95)
    return level > max(floor * 2.0, peak * 0.08)


@cache
def _prompts(language: str) -> _Prompts:
    text = files("agent_container").joinpath("badge_prompts.toml").read_text("utf-8")
    prompts: dict[str, _Prompts] = tomllib.loads(text)
    return prompts.get(language, prompts["en"])
