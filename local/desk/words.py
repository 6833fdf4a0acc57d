"""How the desk reads words: the same way in its articles and in what somebody says.

Speech-to-text spells one word in many ways ("V.P.N.", "wi-fi", "out look") and a caller bends it in
more ("disconnects", "déconnectée"), so a text becomes plain stems and each way of saying a thing
becomes one of them. `synonyms.toml` holds the ways, and the words that say nothing about a topic.
"""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

_WORD = re.compile(r"[a-z0-9]+")
_ELISION = re.compile(r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu)['’]", re.IGNORECASE)
# "v p n", "V.P.N."; a lone "a" or "I" before it is a word of its own.
_SPELLED = re.compile(r"\b(?!(?:a|i|y) )(?:[a-z][ .-]){1,4}[a-z]\b\.?")
_VOWELS = frozenset("aeiouy")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """One language's sayings (stems -> the stem they stand for), empty words and weak words."""

    sayings: dict[tuple[str, ...], str]
    longest: int
    empty: frozenset[str]
    weak: frozenset[str]


def weak(language: str) -> frozenset[str]:
    """List the stems that fit many topics ("new", "lost"): alone they find nothing."""
    return _lexicon(language).weak


@lru_cache(maxsize=8192)
def terms(text: str, language: str) -> tuple[str, ...]:
    """Read a text as the stems it can be found by, in order, empty words left out."""
    lexicon = _lexicon(language)
    stems = _stems(text, language)
    found: list[str] = []
    at = 0
    while at < len(stems):
        for length in range(min(lexicon.longest, len(stems) - at), 0, -1):
            canonical = lexicon.sayings.get(tuple(stems[at : at + length]))
            if canonical is not None:
                found.append(canonical)
                at += length
                break
        else:
            if stems[at] not in lexicon.empty:
                found.append(stems[at])
            at += 1
    return tuple(found)


@cache
def _lexicon(language: str) -> Lexicon:
    with Path(__file__).with_name("synonyms.toml").open("rb") as file:
        entry = tomllib.load(file).get(language, {})
    sayings: dict[tuple[str, ...], str] = {}
    for word, others in entry.get("same", {}).items():
        canonical = "".join(_stems(word, language))
        for saying in (word, *others):
            sayings[tuple(_stems(saying, language))] = canonical
    empty = {stem for word in entry.get("empty", []) for stem in _stems(word, language)}
    weak_stems = {
        sayings.get((stem,), stem)
        for word in entry.get("weak", [])
        for stem in _stems(word, language)
    }
    longest = max((len(saying) for saying in sayings), default=0)
    return Lexicon(
        sayings=sayings, longest=longest, empty=frozenset(empty), weak=frozenset(weak_stems)
    )


def _stems(text: str, language: str) -> list[str]:
    if language == "fr":
        text = _ELISION.sub(" ", text)
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(letter)
    )
    plain = plain.replace("'", "").replace("’", "")
    plain = _SPELLED.sub(lambda match: re.sub(r"[ .-]", "", match[0]) + " ", plain)
    stem = _french if language == "fr" else _english
    return [stem(word) for word in _WORD.findall(plain)]


def _english(word: str) -> str:
    if len(word) < 4 or word.isdigit():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ations", "ation", "ions", "ion", "ings", "ing", "edly", "ed", "er", "ly"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) >= 4 - (ending in ("ing", "ed")):
            if not _VOWELS.isdisjoint(root):
                word = root
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word


def _french(word: str) -> str:
    if len(word) < 4 or word.isdigit():
        return word
    if word.endswith("eaux") or word[-1] in "sx":
        word = word[:-1]
    if word.endswith("xion"):
        return word[:-4] + "ct"
    for ending in (
        *("ations", "ation", "ements", "ement", "ateur", "aient", "antes", "ante"),
        *("erait", "ions", "ion", "eur", "ent", "ais", "ait", "ant", "ee", "er", "ez", "ir", "e"),
    ):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    return word
