"""Names as they are heard: which person a spoken name may mean, however a recogniser spells it.

A recogniser writes "Mark A Conquo" for Mark Okonkwo: words are no unit to compare, sounds joined
over the whole utterance are. Two steps: keys, equal as text, let an index find a few people; a
weighted distance between sounds then scores each of them. A recogniser's further guesses at the
same utterance are compared too, and a name that is merely near counts when no name is surely meant.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from aurion.lexicons import fold

# A part is a given or a family name: each must be recognisable, and so must the two together.
PART_THRESHOLD = 0.78
THRESHOLD = 0.84
# In a noisy room "Peter Lindqvist" is written "Peter Lindford". This near is never enough alone:
# the badge decides, and only while nobody's name fits better.
NEAR_PART_THRESHOLD = 0.5
NEAR_THRESHOLD = 0.66

_WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*")
_MOST_WORDS = 16
_LONGEST_WINDOW = 5
# Spelling to sound, in this order; capital S is "sh", J is "zh" and "dj", c is "tsh".
_SOUNDS = [
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"aul(?=[tdx])", "o"),
        (r"tsch|tch|cz|cs", "c"),
        (r"sch|sh|sz", "S"),
        (r"^chr|chr", "kr"),
        (r"ch", "S"),
        (r"ph", "f"),
        (r"dg", "J"),
        (r"gh", "g"),
        (r"th|dt", "t"),
        (r"ck", "k"),
        (r"qu(?=[eiy])", "k"),
        (r"qu", "kw"),
        (r"q", "k"),
        (r"x", "ks"),
        (r"c(?=[eiy])", "s"),
        (r"(?<!t)c(?=[aoulrknmtdsgbp]|$)", "k"),
        (r"tz", "ts"),
        (r"j", "J"),
        (r"^y(?=[aeiou])", "Y"),
        (r"oi(?=[^n]|$)|oy|oa$", "wa"),
        (r"ij|y", "i"),
        (r"h", ""),
        (r"(?<=[aeiou][^aeiou])e$|(?<=[aeiou][^aeiou]{2})e$", ""),
        (r"([aeiou])[aeiou]+", r"\1"),
        (r"(.)\1+", r"\1"),
    )
]
_VOWELS = frozenset("aeiou")
_NEAR = {
    frozenset(pair): cost
    for pairs, cost in (
        (("pb", "fv", "vw", "fw", "td", "kg", "sz", "mn", "Sc", "JY", "SJ", "cJ"), 0.25),
        (("sS", "zS", "zJ", "gJ", "sc", "kS", "gS", "tc", "bv", "iY", "uw", "ow", "iJ"), 0.4),
    )
    for pair in pairs
}
_SILENT_LAST = frozenset("stdxp")
# Coarse classes for the keys: what a recogniser mixes up is one letter there, and vowels are none.
_CLASSES = str.maketrans("pbfvwtdkgszScJYlmnr", "PPFFFTTKKSSSSYYLNNR", "aeiou")


@dataclass(frozen=True, slots=True)
class Heard:
    """Hold the words of an utterance that may hold a name."""

    words: tuple[str, ...]
    sounds: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Say whether there is nothing a name could be in."""
        return not any(self.sounds)


@dataclass(frozen=True, slots=True)
class Match:
    """Hold how well a name fits an utterance (0 to 1), and the words it was found in.

    `sure` says that it and each of its parts fit well; a match that is not sure is merely near.
    """

    score: float
    first: int
    end: int
    sure: bool = True

    def overlaps(self, other: "Match") -> bool:
        """Say whether both were found in some of the same words."""
        return self.first < other.end and other.first < self.end


NO_MATCH = Match(0.0, 0, 0, sure=False)


def normalise(name: str) -> str:
    """Return a name for comparing as text: NFKC, no case, no accents, single spaces."""
    folded = fold(unicodedata.normalize("NFKC", name))
    return " ".join(re.sub(r"[^a-z0-9' ]+", " ", folded).split())


def sound(word: str) -> str:
    """Return how a word sounds, roughly alike for English, French, Dutch and German readers."""
    spoken = re.sub(r"[^a-z]", "", fold(word))
    for pattern, replacement in _SOUNDS:
        spoken = pattern.sub(replacement, spoken)
    return spoken


def hear(text: str) -> Heard:
    """Split an utterance into words with their sounds."""
    words = [fold(word) for word in _WORD.findall(unicodedata.normalize("NFKC", text))]
    words = words[:_MOST_WORDS]
    return Heard(tuple(words), tuple(map(sound, words)))


def blocking_keys(name: str) -> frozenset[str]:
    """Return the keys under which a person is found; stored beside them, compared for equality."""
    keys: set[str] = set()
    for given, family in _parts(name):
        for parts in ((given, family), (family, given)):
            keys |= _with_deletions(_key("".join(parts)))
        for part in (given, family):
            keys |= _with_deletions(_key(part))
    return frozenset(key for key in keys if len(key) >= 2)


def lookup_keys(heard: Heard) -> frozenset[str]:
    """Return the keys to look up for an utterance: of each stretch of a few words, joined."""
    keys: set[str] = set()
    for first in range(len(heard.words)):
        for end in range(first + 1, min(first + _LONGEST_WINDOW, len(heard.words)) + 1):
            keys |= _with_deletions(_key("".join(heard.words[first:end])))
    return frozenset(key for key in keys if len(key) >= 2)


def match(name: str, heard: Heard) -> Match:
    """Return how well a person's name surely fits an utterance, or `NO_MATCH`."""
    best = nearest(name, heard)
    return best if best.sure else NO_MATCH


def nearest(name: str, heard: Heard) -> Match:
    """Return how well a person's name fits an utterance, surely or merely nearly, or `NO_MATCH`."""
    best = NO_MATCH
    for given, family in _parts(name):
        for parts in ((given, family), (family, given)):
            found = _align([sound(part) for part in parts if part], heard)
            if "".join(parts) not in "".join(heard.words[found.first : found.end]):
                # Peeters and Peters sound alike: the one that is spelled as heard goes first.
                found = replace(found, score=max(found.score - 0.01, 0.0))
            best = max(best, found, key=_rank)
    return best


def choose(people: Sequence[str], guesses: Sequence[Heard]) -> list[tuple[int, float]]:
    """Return which of these people's names may be meant, as (index, score), the best first.

    `guesses` are what a recogniser may have heard in one utterance. Nobody is meant when one guess
    holds two names side by side: taking both would let a guesser charge neither.
    """
    found = [[nearest(person, heard) for person in people] for heard in guesses]
    # The likelier guess wins where two of them name different people.
    found = [
        [replace(match, score=max(match.score - 0.01 * number, 0.0)) for match in row]
        for number, row in enumerate(found)
    ]
    for sure in (True, False):
        rows = [[match if match.sure or not sure else NO_MATCH for match in row] for row in found]
        meant = [(at, max(row[at].score for row in rows)) for at in range(len(people))]
        meant = sorted((pair for pair in meant if pair[1] > 0), key=lambda pair: -pair[1])
        if sure and any(map(_names_two, rows)):
            return []
        if meant:
            return meant
    return []


def _names_two(row: Sequence[Match]) -> bool:
    best = max(row, key=_rank, default=NO_MATCH)
    return not all(match.overlaps(best) for match in row if match.score > 0)


def _rank(match: Match) -> tuple[bool, float]:
    return match.sure, match.score


def _parts(name: str) -> Iterable[tuple[str, str]]:
    """Yield the ways to split a name into given and family name, each joined to one word."""
    if "," in name:
        family, _, given = name.partition(",")
        name = f"{given} {family}"
    words = [fold(word).replace("'", "") for word in name.replace(".", " ").split()]
    words = [word for word in words if any(character.isalpha() for character in word)]
    if len(words) < 2:
        yield "".join(words), ""
        return
    given, rest = words[0], words[1:]
    first_particle = next((at for at, word in enumerate(rest) if word in _particles()), None)
    families = {"".join(rest): None}
    if first_particle is not None:
        families["".join(rest[first_particle:])] = None
        bare = [word for word in rest[first_particle:] if word not in _particles()]
        families["".join(bare)] = None
    else:
        families |= dict.fromkeys((rest[0], rest[-1], "".join(rest[-2:])))
    for family in filter(None, families):
        yield given, family


def _key(joined: str) -> str:
    spoken = sound(joined)
    key = re.sub(r"(.)\1+", r"\1", spoken.translate(_CLASSES))
    return ("A" if spoken[:1] in _VOWELS else "") + key if spoken else ""


def _with_deletions(key: str) -> set[str]:
    if not 4 <= len(key) <= 14:
        return {key}
    return {key} | {key[:at] + key[at + 1 :] for at in range(len(key))}


def _align(parts: Sequence[str], heard: Heard) -> Match:
    """Find where in an utterance the parts sound best, one behind the other.

    Dynamic programming over the joined sounds: a match starts where a word starts and ends where
    one ends; between the parts, words that lead to a name ("and my last name is") cost little.
    """
    if not parts or not all(parts) or heard.empty:
        return NO_MATCH
    said = "".join(heard.sounds)
    starts, ends = _borders(heard.sounds)
    # Per place in `said`: cost so far, cost of the first part, first word.
    row: list[tuple[float, float, int]] = [_FAR] * (len(said) + 1)
    for at, word in starts.items():
        row[at] = (0.0, 0.0, word)
    weights = [sum(map(_weight, part)) for part in parts]
    for number, part in enumerate(parts):
        if number:
            row = _skip_leads([(cost, cost, word) for cost, _, word in row], heard, starts, ends)
        row = _extend(row, part, said)
    best = NO_MATCH
    for at, word_end in ends.items():
        cost, first_cost, word = row[at]
        costs = [first_cost, cost - first_cost] if len(parts) == 2 else [cost]
        scores = [1 - spent / weight for spent, weight in zip(costs, weights, strict=True)]
        score = 1 - cost / sum(weights)
        if min(scores) < NEAR_PART_THRESHOLD or score < NEAR_THRESHOLD:
            continue
        sure = min(scores) >= PART_THRESHOLD and score >= THRESHOLD
        best = max(best, Match(score, word, word_end, sure), key=_rank)
    return best


_FAR = (99.0, 0.0, 0)


def _extend(
    row: list[tuple[float, float, int]], part: str, said: str
) -> list[tuple[float, float, int]]:
    for at, wanted in enumerate(part):
        last = at == len(part) - 1
        left_out = _gap(wanted, part[at + 1 : at + 2])
        if last:
            # Dubois, Laurent, Renaud; and the end of a name is where a line is worst understood.
            left_out = 0.4 if wanted in _SILENT_LAST else min(left_out, 0.7)
        cost, first, word = row[0]
        following = [(cost + left_out, first, word)]
        for place in range(1, len(said) + 1):
            got = said[place - 1]
            best = row[place - 1]
            best = (best[0] + _swap(wanted, got), best[1], best[2])
            cost = row[place][0] + left_out
            if cost < best[0]:
                best = (cost, row[place][1], row[place][2])
            cost = following[place - 1][0] + _gap(got, said[place : place + 1])
            if cost < best[0]:
                best = (cost, following[place - 1][1], following[place - 1][2])
            following.append(best)
        row = following
    return row


def _skip_leads(
    row: list[tuple[float, float, int]],
    heard: Heard,
    starts: dict[int, int],
    ends: dict[int, int],
) -> list[tuple[float, float, int]]:
    leads = _leads()
    place_of_word = {word: at for at, word in starts.items()}
    skipped = list(row)
    for at, word_end in ends.items():
        word = word_end
        while word < len(heard.words) and heard.words[word] in leads:
            word += 1
            place = place_of_word.get(word)
            if place is not None and row[at][0] + 0.1 < skipped[place][0]:
                cost = row[at][0]
                # The words between are no part of either name: the first part's cost stays.
                skipped[place] = (cost + 0.1, cost, row[at][2])
    return skipped


def _borders(sounds: Sequence[str]) -> tuple[dict[int, int], dict[int, int]]:
    """Return place -> word starting there, and place -> word after the one ending there."""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    at = 0
    for number, spoken in enumerate(sounds):
        if spoken:
            starts[at] = number
            at += len(spoken)
            ends[at] = number + 1
    return starts, ends


def _weight(character: str) -> float:
    return 0.4 if character in _VOWELS else 0.6 if character in "wY" else 1.0


def _gap(character: str, following: str) -> float:
    """Return the cost of a sound that one side has and the other has not."""
    if character in _VOWELS:
        return 0.35
    if character in "wY" or (character == "t" and following in ("s", "S", "c")):
        return 0.5
    if character == "r":
        return 0.8 if following and following in _VOWELS else 0.4  # "Haddard" for Haddad
    return 1.2


@cache
def _swap(wanted: str, got: str) -> float:
    if wanted == got:
        return 0.0
    near = _NEAR.get(frozenset((wanted, got)))
    if near is not None:
        return near
    if wanted in _VOWELS and got in _VOWELS:
        return 0.25
    return 1.2


@cache
def _leads() -> frozenset[str]:
    return frozenset(fold(word) for words in _lexicon()["leads"].values() for word in words)


@cache
def _particles() -> frozenset[str]:
    return frozenset(_lexicon()["particles"])


@cache
def _lexicon() -> dict[str, Any]:
    return tomllib.loads(files("aurion.lexicons").joinpath("names.toml").read_text("utf-8"))
