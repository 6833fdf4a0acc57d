"""What a caller says while introducing themselves: a name, a badge, and why they call."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aurion import lexicons, names, spoken
from aurion.badges import BadgeFormat

from agent_container.folding import fold

_JOINT = r"(?:and|et|en|und|but|mais|maar|aber|because|parce que|omdat|weil)"
_CLAUSE = re.compile(rf"(?<=[.!?;,])\s+(?:{_JOINT}\s+)?|\s+{_JOINT}\s+")
_DIGIT = re.compile(r"\d")
_LEAST_WORDS = 3
_MOST_NAME_WORDS = 5


@dataclass(frozen=True, slots=True)
class _Words:
    language: frozenset[str]
    badge: frozenset[str]
    name: re.Pattern[str]


def language_of(text: str, languages: Sequence[str]) -> str:
    """Return in which of the languages a typed sentence is, the first one when in doubt."""
    words = fold(text).split()
    scores = {
        language: sum(word in _words(language).language for word in words) for language in languages
    }
    return max(languages, key=lambda language: (scores[language], -languages.index(language)))


def may_hold_name(text: str, language: str) -> bool:
    """Say whether an utterance is short enough for a name, or introduces one."""
    return introduces(text, language) or (
        2 <= len(_foreign_words(text, language)) <= _MOST_NAME_WORDS
    )


def introduces(text: str, language: str) -> bool:
    """Say whether somebody says who they are ("this is ...") beside digits and badge words."""
    introduced = _words(language).name.search(fold(text)) is not None
    return introduced and len(_foreign_words(text, language)) >= 2


def says_digits(text: str, language: str) -> bool:
    """Say whether an utterance may be a part of a badge."""
    return bool(_DIGIT.search(text)) or any(
        word in _number_words(language) for word in fold(text).split()
    )


def reason_for_call(
    utterances: Sequence[str], *, person: str, language: str, badge_format: BadgeFormat
) -> str:
    """Return what was said beside name and badge, now that it is known whose they are."""
    kept: list[str] = []
    for utterance in utterances:
        for clause in _CLAUSE.split(utterance):
            words = fold(clause).split()
            about_name = names.match(person, names.hear(clause)).score > 0
            if len(words) < _LEAST_WORDS or about_name or _DIGIT.search(clause):
                continue
            if _words(language).name.search(fold(clause)) and len(words) <= _LEAST_WORDS + 2:
                continue
            if spoken.readings(clause, language, badge_format):
                continue
            if len(_foreign_words(clause, language)) >= 2:
                kept.append(clause.strip(" ,;"))
    return " ".join(part if part[-1] in ".!?" else f"{part}." for part in kept)


def _foreign_words(text: str, language: str) -> list[str]:
    words = _words(language)
    return [
        word
        for word in fold(words.name.sub(" ", fold(text))).split()
        if word not in words.badge and not word.isdigit() and word not in _number_words(language)
    ]


@cache
def _number_words(language: str) -> frozenset[str]:
    lexicon = lexicons.lexicon(language)
    digits = (phrase for phrase, said in lexicon.strong.items() if any(map(str.isdigit, said)))
    helpers = (*lexicon.doubles, *lexicon.triples, *lexicon.times)
    return frozenset(word for phrase in (*digits, *helpers) for word in phrase)


@cache
def _words(language: str) -> _Words:
    text = files("agent_container").joinpath("verifying.toml").read_text(encoding="utf-8")
    table: dict[str, list[str]] = tomllib.loads(text)[language]
    return _Words(
        frozenset(table["language"]),
        frozenset(table["badge"]),
        re.compile("|".join(f"(?:{pattern})" for pattern in table["name"])),
    )
