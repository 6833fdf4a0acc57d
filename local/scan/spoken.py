"""The ways a badge can be said in words, for a search."""

import itertools
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "fr", "nl", "de")


def ways_to_say(value: str) -> Iterator[tuple[str, list[str]]]:
    """Give (language, words) for each way to say a value of digits and letters.

    Digit by digit, with "double" and "triple", in pairs and in threes, and letters by NATO's words.
    """
    for language in LANGUAGES:
        seen: set[tuple[str, ...]] = set()
        for words in _ways(value, _lexicon()[language]):
            if tuple(words) not in seen:
                seen.add(tuple(words))
                yield language, words


def words_for(character: str) -> Iterator[tuple[str, list[str]]]:
    """Give (language, words) for one character: as it is said, and as it may be written down."""
    nato = _lexicon()["nato"]["letters"]
    for language in LANGUAGES:
        lexicon = _lexicon()[language]
        if not character.isdigit():
            yield language, [nato[ord(character) - 97]]
            continue
        word = _digit(character, lexicon)
        others = (lexicon.get(table, {}).get(word, []) for table in ("also", "heard"))
        yield language, [word, *itertools.chain.from_iterable(others)]


def digit_words() -> set[str]:
    """Give every word of every language that may stand for a digit."""
    return {word for digit in "0123456789" for _, words in words_for(digit) for word in words}


def _ways(value: str, lexicon: dict[str, Any]) -> Iterator[list[str]]:
    nato = _lexicon()["nato"]["letters"]
    for spell in (lambda c: c, lambda c: nato[ord(c) - 97]):
        singles = [_digit(c, lexicon) if c.isdigit() else spell(c) for c in value]
        yield from _with_synonyms(singles, lexicon)
        for twice, thrice in itertools.product(lexicon["twice"], lexicon["thrice"]):
            yield from _with_synonyms(_with_multiples(singles, twice, thrice), lexicon)
    for size in (2, 3):
        if value.isdigit() and len(value) % size == 0:
            groups = [value[i : i + size] for i in range(0, len(value), size)]
            ways = [list(_number(group, lexicon)) for group in groups]
            yield from (list(words) for words in itertools.product(*ways))


def _with_synonyms(words: list[str], lexicon: dict[str, Any]) -> Iterator[list[str]]:
    yield words
    for word, others in lexicon["also"].items():
        for other in others:
            if word in words:
                yield [other if w == word else w for w in words]


def _with_multiples(words: list[str], twice: str, thrice: str) -> list[str]:
    said: list[str] = []
    for word, run in itertools.groupby(words):
        left = len(list(run))
        while left >= 3:
            said += [thrice, word]
            left -= 3
        if left == 2:
            said += [twice, word]
        elif left:
            said.append(word)
    return said


def _digit(digit: str, lexicon: dict[str, Any]) -> str:
    word: str = lexicon["small"][int(digit)]
    return word


def _number(digits: str, lexicon: dict[str, Any]) -> Iterator[str]:
    if len(digits) == 3 and digits[0] != "0":
        hundreds, rest = int(digits[0]), int(digits[1:])
        one = {"", re.sub("^eins$", "ein", lexicon["small"][1])}
        leading = {lexicon["small"][hundreds]} if hundreds > 1 else one
        tails = list(_below_hundred(rest, lexicon)) if rest else [""]
        for lead, joiner, tail in itertools.product(leading, lexicon["hundred_and"], tails):
            yield f"{lead} {lexicon['hundred']} {joiner if tail else ''} {tail}"
    elif digits[0] == "0":
        yield " ".join(_digit(digit, lexicon) for digit in digits)
    else:
        yield from _below_hundred(int(digits), lexicon)


def _below_hundred(number: int, lexicon: dict[str, Any]) -> Iterator[str]:
    small, tens = lexicon["small"], lexicon["tens"]
    if number < 20:
        yield small[number]
        return
    ten, unit = divmod(number, 10)
    base = tens[ten - 2]
    if lexicon is _lexicon()["fr"]:
        joiner = " et " if unit == 1 and ten != 8 else " "
        yield f"{base}{joiner}{small[unit]}" if unit else base
        if ten in {7, 9}:  # soixante-dix, quatre-vingt-dix
            lower = "soixante" if ten == 7 else "quatre vingt"
            yield f"{lower}{' et ' if number == 71 else ' '}{small[10 + unit]}"
        if number == 80:
            yield "quatre vingts"
    elif lexicon is _lexicon()["en"]:
        yield f"{base} {small[unit]}" if unit else base
    else:
        first = re.sub("^eins$", "ein", small[unit])
        joiner = "und" if lexicon is _lexicon()["de"] else "en"
        yield f"{first}{joiner}{base}" if unit else base


@cache
def _lexicon() -> dict[str, Any]:
    with Path(__file__).with_name("words.toml").open("rb") as file:
        return tomllib.load(file)
