"""How digits and letters are said in each language, read from the files beside this one."""

import itertools
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "fr", "nl", "de")

Phrase = tuple[str, ...]
_PLAIN_LETTERS = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ı": "i", "’": "'"}
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Hold one language's words, folded; a phrase is the tuple of its words.

    `strong` phrases say characters and nothing else; `weak` ones are ordinary words too, and count
    only beside others, `inside` ones only between others. `compounds` are numbers of ten and more,
    also said part by part.
    """

    strong: dict[Phrase, frozenset[str]]
    weak: dict[Phrase, frozenset[str]]
    inside: dict[Phrase, frozenset[str]]
    compounds: frozenset[Phrase]
    plurals: dict[Phrase, str]
    doubles: frozenset[Phrase]
    triples: frozenset[Phrase]
    times: frozenset[Phrase]
    fillers: frozenset[Phrase]
    corrections: frozenset[Phrase]
    spelled_as: frozenset[Phrase]
    badge_cues: frozenset[Phrase]
    cue_links: frozenset[Phrase]
    longest: int


def fold(text: str) -> str:
    """Return text without case and accents, and with plain letters for ligatures."""
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(character for character in text if not unicodedata.combining(character))
    return text.translate(_PLAIN_LETTERS)


def phrase(text: str) -> Phrase:
    """Return the folded words of a text."""
    return tuple(_WORD.findall(fold(text)))


@cache
def lexicon(language: str) -> Lexicon:
    """Return a language's lexicon; English for a language we have none for."""
    file = files(__package__).joinpath(f"{language if language in LANGUAGES else 'en'}.toml")
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    radio = tomllib.loads(files(__package__).joinpath("nato.toml").read_text(encoding="utf-8"))
    numbers = dict(_numbers(raw))
    strong: dict[Phrase, set[str]] = {}
    weak: dict[Phrase, set[str]] = {}
    for words, digits in numbers.items():
        strong.setdefault(words, set()).add(digits)
    _add(strong, raw["digits"])
    _add(weak, raw["homophones"])
    _add(strong, raw["letters"])
    _add(weak, raw["weak_letters"])
    inside: dict[Phrase, set[str]] = {}
    _add(inside, raw["inside"])
    _add(strong, radio["spelling"])
    _add(strong, raw["spelling"])
    for letter in "abcdefghijklmnopqrstuvwxyz":
        table = weak if (letter,) in weak else strong
        table.setdefault((letter,), set()).add(letter.upper())
    plurals = {
        words: digit for digit, texts in raw["plurals"].items() for words in map(phrase, texts)
    }
    read = {
        name: frozenset(map(phrase, raw[name]))
        for name in (
            "doubles",
            "triples",
            "times",
            "fillers",
            "corrections",
            "spelled_as",
            "badge_cues",
            "cue_links",
        )
    }
    longest = max(map(len, itertools.chain(strong, weak, *read.values())))
    return Lexicon(
        strong={words: frozenset(said) for words, said in strong.items()},
        weak={words: frozenset(said) for words, said in weak.items()},
        inside={words: frozenset(said) for words, said in inside.items()},
        compounds=frozenset(words for words, digits in numbers.items() if len(digits) > 1),
        plurals=plurals,
        longest=longest,
        **read,
    )


def _add(table: dict[Phrase, set[str]], raw: dict[str, list[str]]) -> None:
    for said, texts in raw.items():
        for text in texts:
            table.setdefault(phrase(text), set()).add(said)


def _numbers(raw: dict[str, Any]) -> Iterable[tuple[Phrase, str]]:
    """Yield every way to say 0 to 999, as one word too in a language that writes it so."""
    below_hundred: dict[int, set[Phrase]] = {
        value: {phrase(word)} for value, word in enumerate(raw["small"])
    }
    ones = {value: phrase(raw["small"][value]) for value in range(1, 10)}
    if "one_inside" in raw:
        ones[1] = phrase(raw["one_inside"])
    joiner = phrase(raw["joiner"])
    for value, said in raw["tens"].items():
        for word in [said] if isinstance(said, str) else said:
            tens = phrase(word)
            below_hundred.setdefault(int(value), set()).add(tens)
            for one, unit in ones.items():
                ways = below_hundred.setdefault(int(value) + one, set())
                if not raw["tens_first"]:
                    ways.add(unit + joiner + tens)
                    continue
                ways.add(tens + unit)
                if one in raw["joined_before"]:
                    ways.add(tens + joiner + unit)
    for value, word in raw["teen_bases"].items():
        for teen in range(10, 20):
            ways = below_hundred.setdefault(int(value) + teen, set())
            ways.add(phrase(word) + phrase(raw["small"][teen]))
            if teen in raw["joined_before"]:
                ways.add(phrase(word) + joiner + phrase(raw["small"][teen]))
    hundreds: dict[int, set[Phrase]] = {}
    joiners = [phrase(text) for text in raw["hundred_joiners"]]
    for count, word in itertools.product(range(1, 10), map(phrase, raw["hundreds"])):
        starts = [ones[count] + word] + ([word] if count == 1 else [])
        for start in starts:
            hundreds.setdefault(100 * count, set()).add(start)
            for rest in range(1, 100):
                hundreds.setdefault(100 * count + rest, set()).update(
                    start + between + end for between in joiners for end in below_hundred[rest]
                )
    for value, ways in itertools.chain(below_hundred.items(), hundreds.items()):
        for words in ways:
            yield words, str(value)
            if raw["one_word"] and len(words) > 1:
                yield ("".join(words),), str(value)
