"""What is said in fixed words, one file per language; sentences without slots are made ready."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

type Language = Literal["en", "fr", "nl", "de"]

LANGUAGES: tuple[Language, ...] = ("en", "fr", "nl", "de")

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


def say(key: str, language: str, **slots: str) -> str:
    """Return a phrase ("greeting.ai") in one language with its slots filled."""
    return _phrases(language)[key].format(**slots)


def sentences(language: str) -> tuple[str, ...]:
    """Return every sentence without a slot, once: what can be rendered before any call."""
    found: dict[str, None] = {}
    for phrase in _phrases(language).values():
        for sentence in split(phrase):
            if "{" not in sentence:
                found[sentence] = None
    return tuple(found)


def keys(language: str) -> dict[str, frozenset[str]]:
    """Return each phrase's key and the slots it has."""
    return {
        key: frozenset(re.findall(r"\{(\w+)\}", phrase))
        for key, phrase in _phrases(language).items()
    }


def split(text: str) -> list[str]:
    """Split a text at its sentences' ends."""
    return _SENTENCE_END.split(text)


def known(language: str | None) -> Language | None:
    """Return the language if it has phrases."""
    return next((name for name in LANGUAGES if name == language), None)


@cache
def _phrases(language: str) -> dict[str, str]:
    text = files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    tables: dict[str, dict[str, str]] = tomllib.loads(text)
    return {
        f"{table}.{key}": value
        for table, phrases in tables.items()
        for key, value in phrases.items()
    }
