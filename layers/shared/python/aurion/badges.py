"""Badge IDs: their canonical form, a company's format, and the hash that is all we keep."""

import base64
import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from uuid import UUID

import bcrypt

from aurion import keys
from aurion.errors import BadgeFormatMalformed, BadgeMalformed

_COST = 12
_WEAK_BITS = 20
_LONGEST = 16
_FEWEST_BITS = 13  # four digits; anything shorter is guessed in an afternoon
_ITEM = re.compile(
    r"(?P<one>\[[A-Z0-9-]+\]|\\d|[A-Z0-9])(?:\{(?P<least>\d+)(?:,(?P<most>\d+))?\})?"
)
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"

# A hash that no badge has, for evaluations that must cost the same and come to nothing.
_NOBODYS_HASH = b"$2b$12$KIXQ1yZtY0sV0dYkS3oUOuX3Jmo4n1T6Z9m8bW5cR2aQ7eH0fLkGa"

States = frozenset[int]
NearStates = set[tuple[int, int]]  # (place in the format, errors so far)


def canonical(text: str) -> str:
    """Return a badge ID as it is compared: NFKC, upper case, `[A-Z0-9]` only."""
    return re.sub(r"[^A-Z0-9]", "", unicodedata.normalize("NFKC", text).upper())


@dataclass(frozen=True, slots=True)
class Place:
    """Hold one place of a badge format: the characters it takes, and whether it may be empty."""

    characters: frozenset[str]
    optional: bool


@dataclass(frozen=True, slots=True)
class BadgeFormat:
    """Hold a company's badge format as places, read from a small subset of regular expressions."""

    pattern: str
    places: tuple[Place, ...]

    @property
    def alphabet(self) -> frozenset[str]:
        """Return every character a badge of this format can hold."""
        return frozenset[str]().union(*(place.characters for place in self.places))

    @property
    def longest(self) -> int:
        """Return the most characters a badge of this format has."""
        return len(self.places)

    @property
    def shortest(self) -> int:
        """Return the fewest characters a badge of this format has."""
        return sum(not place.optional for place in self.places)

    @property
    def bits(self) -> float:
        """Return the entropy of a badge drawn evenly from all that the format allows, in bits."""
        return math.log2(self._count(self.start()))

    @property
    def weak(self) -> bool:
        """Say whether it is too guessable (under 20 bits) to ever reach more than level 1."""
        return self.bits < _WEAK_BITS

    def fits(self, badge: str) -> bool:
        """Say whether a canonical string is a badge of this format."""
        states = self.start()
        for character in badge:
            states = self.advance(states, character)
        return self.complete(states)

    def start(self) -> States:
        """Return the states of the empty string, for reading a badge character by character."""
        return self._skip({0})

    def advance(self, states: States, character: str) -> States:
        """Return the states after one more character; none are left when nothing can fit."""
        return self._skip(
            {
                at + 1
                for at in states
                if at < len(self.places) and character in self.places[at].characters
            }
        )

    def complete(self, states: States) -> bool:
        """Say whether a string that led to these states is a whole badge."""
        return len(self.places) in states

    def _skip(self, states: set[int]) -> States:
        reached = set(states)
        for at, place in enumerate(self.places):
            if place.optional and at in reached:
                reached.add(at + 1)
        return frozenset(reached)

    def _count(self, states: States) -> int:
        # Sets of states, not states: an optional place beside a like one counts no badge twice.
        followers = Counter(self.advance(states, character) for character in self.alphabet)
        return self.complete(states) + sum(
            times * self._count(after) for after, times in followers.items() if after
        )


class NearBadge:
    """Recognise a badge with some characters missing, wrong or too many; four or less have none.

    A place that takes one character only tells nothing, so it may be left out freely.
    """

    def __init__(self, badge_format: BadgeFormat, *, errors: int) -> None:
        self._places = [
            Place(place.characters, place.optional or len(place.characters) == 1)
            for place in badge_format.places
        ]
        telling = sum(not place.optional for place in self._places)
        self._errors = errors if telling > 4 else 0
        self.shortest = telling - self._errors
        self._start = self._skip({(0, 0)})

    def advance(self, states: NearStates, character: str) -> NearStates:
        """Return the states (place, errors) after a character; a badge may start at any of them."""
        after: NearStates = set()
        for at, errors in states | self._start:
            if at == len(self._places):
                continue
            if character in self._places[at].characters:
                after.add((at + 1, errors))
            elif errors < self._errors:
                after |= {(at + 1, errors + 1), (at, errors + 1)}
        return self._skip(after)

    def complete(self, states: NearStates) -> bool:
        """Say whether a badge ends here."""
        return any(at == len(self._places) for at, _ in states)

    def _skip(self, states: NearStates) -> NearStates:
        reached = set(states)
        waiting = list(states)
        while waiting:
            at, errors = waiting.pop()
            if at == len(self._places):
                continue
            cost = 0 if self._places[at].optional else 1
            following = (at + 1, errors + cost)
            if following[1] <= self._errors and following not in reached:
                reached.add(following)
                waiting.append(following)
        return reached


@cache
def read_format(pattern: str) -> BadgeFormat:
    r"""Read a badge format: classes (`[A-Z0-9]`), `\d` and plain characters with `{n}` or `{m,n}`.

    Raises:
        BadgeFormatMalformed: It is no such pattern, over 16 characters long, or under 13 bits.
    """
    places: list[Place] = []
    at = 0
    while at < len(pattern):
        item = _ITEM.match(pattern, at)
        if item is None:
            raise BadgeFormatMalformed
        least = int(item["least"] or 1)
        most = int(item["most"] or least)
        if most < least or most > _LONGEST or most == 0:
            raise BadgeFormatMalformed
        characters = _read_class(item["one"])
        places += [Place(characters, optional=number >= least) for number in range(most)]
        at = item.end()
    read = BadgeFormat(pattern, tuple(places))
    if not places or len(places) > _LONGEST or read.bits < _FEWEST_BITS:
        raise BadgeFormatMalformed
    return read


def check_format(text: str, badge_format: BadgeFormat) -> str:
    """Return the canonical badge of a written one, for enrolment.

    Raises:
        BadgeMalformed: It does not have the format.
    """
    badge = canonical(text)
    if not badge_format.fits(badge):
        raise BadgeMalformed
    return badge


def hash_badge(tenant_id: UUID, person_id: UUID, badge: str) -> str:
    """Return what is stored of a canonical badge; takes about 0.3 s of one core.

    Raises:
        KeysUnavailable: KMS does not answer.
    """
    pepper = _peppered(tenant_id, person_id, badge)
    return bcrypt.hashpw(pepper, bcrypt.gensalt(_COST)).decode()


def is_badge_of(tenant_id: UUID, person_id: UUID, badge: str, badge_hash: str | None) -> bool:
    """Say whether a canonical badge is this person's; costs the same when there is no hash.

    Raises:
        KeysUnavailable: KMS does not answer, so nothing can be said.
    """
    pepper = _peppered(tenant_id, person_id, badge)
    same = bcrypt.checkpw(pepper, badge_hash.encode() if badge_hash else _NOBODYS_HASH)
    return same and badge_hash is not None


def _peppered(tenant_id: UUID, person_id: UUID, badge: str) -> bytes:
    # 44 bytes without a NUL: bcrypt takes 72 at most and stops at a NUL.
    return base64.b64encode(keys.badge_mac(tenant_id, person_id, badge))


def _read_class(text: str) -> frozenset[str]:
    if text == r"\d":
        return frozenset(_DIGITS)
    if not text.startswith("["):
        return frozenset(text)
    body = text[1:-1]
    characters: set[str] = set()
    at = 0
    while at < len(body):
        if body[at + 1 : at + 2] == "-" and at + 2 < len(body):
            first, last = body[at], body[at + 2]
            row = _DIGITS if first in _DIGITS else _UPPER
            if first not in row or last not in row or row.index(first) > row.index(last):
                raise BadgeFormatMalformed
            characters.update(row[row.index(first) : row.index(last) + 1])
            at += 3
        elif body[at] == "-":
            raise BadgeFormatMalformed
        else:
            characters.add(body[at])
            at += 1
    return frozenset(characters)
