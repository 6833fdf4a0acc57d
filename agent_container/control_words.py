"""What a caller can say at any moment of a call and is obeyed without asking a model."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from agent_container.folding import fold

type Control = Literal["person", "silent", "goodbye"]

_BESIDE = re.compile(
    r"^(?:(?:yes|no|please|ok|okay|hello|oui|non|bonjour|ja|nee|nein|bitte|alstublieft|uh|um) )+"
    r"|(?: (?:please|thanks|thank you|s il vous plait|svp|merci|alstublieft|bitte|danke))+$"
)


@dataclass(frozen=True, slots=True)
class _Words:
    person: re.Pattern[str]
    person_alone: re.Pattern[str]
    silent: re.Pattern[str]
    goodbye: re.Pattern[str]
    against: re.Pattern[str]


def find(text: str, languages: Iterable[str]) -> Control | None:
    """Return what the caller demands in any of the languages: a person, silence, or the end."""
    said = fold(text)
    alone = _BESIDE.sub("", said)
    for language in languages:
        words = _words(language)
        if words.silent.search(said):
            return "silent"
        if words.against.search(said):
            continue
        if words.person.search(said) or words.person_alone.fullmatch(alone):
            return "person"
        if words.goodbye.search(said):
            return "goodbye"
    return None


@cache
def _words(language: str) -> _Words:
    text = files("agent_container").joinpath("control_words.toml").read_text(encoding="utf-8")
    table: dict[str, list[str]] = tomllib.loads(text)[language]
    return _Words(**{name: _any_of(patterns) for name, patterns in table.items()})


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
