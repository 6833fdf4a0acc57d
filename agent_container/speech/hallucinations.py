"""Tell what a caller said from what Whisper makes up on silence, noise and hold music."""

import itertools
import re
import tomllib
import unicodedata
from functools import cache
from pathlib import Path

from agent_container.speech.client import Heard

# Whisper's own rule for "nobody spoke": it believes so, and it doubts the words it wrote.
_NO_SPEECH = 0.6
_DOUBT = 0.37  # e ** -1, the mean token probability
_DOUBTFUL_NO_SPEECH = 0.3
_DOUBTFUL = 0.5
_MARKS = re.compile(r"[^\w]+")
_SIGN_RUN = re.compile(r"([^\W_])\1{9,}")
_LONGEST_LOOP = 12  # words


@cache
def _phrases() -> dict[str, list[str]]:
    with (Path(__file__).parent / "hallucinations.toml").open("rb") as file:
        return tomllib.load(file)


def is_invented(heard: Heard) -> bool:
    """Say whether this text is more likely the model's than a caller's."""
    said = _fold(heard.text)
    if not said:
        return True
    if heard.no_speech > _NO_SPEECH and heard.confidence < _DOUBT:
        return True
    if any(caption in said for caption in _phrases()["captions"]):
        return True
    doubts = heard.no_speech > _DOUBTFUL_NO_SPEECH or heard.confidence < _DOUBTFUL
    if doubts and said in _phrases()["doubtful"]:
        return True
    return is_loop(heard.text)


def is_loop(text: str) -> bool:
    """Say whether a text repeats itself as a stuck decoder does: the same words again and again."""
    if _SIGN_RUN.search(text):
        return True
    words = _fold(text).split()
    for size in range(1, min(_LONGEST_LOOP, len(words) // 3) + 1):
        # people do say "no no no no"; nobody says a phrase four times running
        enough = 8 if size == 1 else 4 if size <= 4 else 3
        same = [words[at] == words[at + size] for at in range(len(words) - size)]
        longest = max(
            (len(list(run)) for equal, run in itertools.groupby(same) if equal), default=0
        )
        if longest >= size * (enough - 1) and not all(word.isdigit() for word in words):
            return True
    return False


def _fold(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(sign for sign in bare if not unicodedata.combining(sign))
    return _MARKS.sub(" ", letters).strip()
