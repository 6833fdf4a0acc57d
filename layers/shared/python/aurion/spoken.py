"""Spoken characters: what a recogniser wrote of digits and letters -> the badges it may mean.

A text becomes tokens, each token or phrase becomes edges that say characters, and a reading is a
path of edges that spells a badge of the company's format from one end of a row of characters to the
other. A row is never cut to size and nothing missing is filled in: a caller is asked again instead.
"""

import heapq
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aurion.badges import BadgeFormat, States
from aurion.lexicons import Lexicon, Phrase, fold, lexicon

MOST_READINGS = 4

_TOKEN = re.compile(r"\d+|[^\W\d_]+(?:['’][^\W\d_]+)*")
_HYPHENS = frozenset("-‐‑–")
# Five alike in a written row are a recogniser's loop; who has such a badge can use the keypad.
_LOOP = re.compile(r"(\d)\1{4}")
_MOST_TOKENS = 80
_MOST_STEPS = 20_000

_PLAIN = 2
_UNSURE = 3  # a word that is usually another one
_DROPPED = 4  # a word beside the row that may have been part of it
_SWAPPED = 5  # a zero written for the letter O, and the like
_READ = -1  # the place of a path that has closed its row
_LOOKALIKES = {"0": "O", "O": "0", "1": "I", "I": "1"}


@dataclass(frozen=True, slots=True)
class Token:
    """Hold a word or a written number of a text, and where it stands there."""

    word: str
    raw: str
    start: int
    end: int
    hyphenated: bool  # a hyphen and nothing else stands before it

    @property
    def written(self) -> bool:
        """Say whether it is a number in digits."""
        return self.raw[0].isdigit()


@dataclass(frozen=True, slots=True)
class Edge:
    """Hold one way to read the tokens up to `end`: the characters they say ('' for a filler)."""

    end: int
    said: str
    cost: int
    weak: bool = False
    inside: bool = False  # only between other characters


@dataclass(frozen=True, slots=True)
class Lattice:
    """Hold every way to read a text's tokens in one language.

    `strong` marks the tokens that say characters whatever stands around them.
    """

    tokens: tuple[Token, ...]
    edges: tuple[tuple[Edge, ...], ...]
    strong: tuple[bool, ...]


def readings(text: str, language: str, badge_format: BadgeFormat) -> tuple[str, ...]:
    """Return at most four canonical badges of this format that a text may say, most likely first.

    Empty when nothing fits: too few or too many characters, a correction that starts in the middle
    of a badge, a recogniser's loop.
    """
    words = lexicon(language)
    tokens = tokenize(text)
    kept, whole = _after_correction(tokens, words, badge_format)
    found = _spell(lattice(kept, words, badge_format.alphabet), badge_format)
    if not found and whole is not None:
        # "nein" is also what a recogniser writes for "neun".
        found = _spell(lattice(whole, words, badge_format.alphabet), badge_format)
    return found


def tokenize(text: str) -> tuple[Token, ...]:
    """Split a text into words and written numbers."""
    text = unicodedata.normalize("NFKC", text)
    tokens: list[Token] = []
    before = 0
    for match in _TOKEN.finditer(text):
        between = text[before : match.start()]
        tokens.append(
            Token(fold(match[0]), match[0], match.start(), match.end(), between in _HYPHENS)
        )
        before = match.end()
    return tuple(tokens[:_MOST_TOKENS])


def lattice(
    tokens: tuple[Token, ...], words: Lexicon, alphabet: frozenset[str], *, loops: bool = False
) -> Lattice:
    """Return every way to read tokens as characters of an alphabet, looping numbers if `loops`."""
    sealed = _sealed(tokens, words)
    edges: list[tuple[Edge, ...]] = []
    for at in range(len(tokens)):
        if at in sealed:
            edges.append(())
            continue
        edges.append(
            tuple(
                edge
                for edge in _edges(tokens, at, words, loops)
                if edge.end not in sealed and alphabet.issuperset(edge.said)
            )
        )
    strong = [False] * len(tokens)
    for at, ways in enumerate(edges):
        for edge in ways:
            if edge.said and not edge.weak:
                strong[at : edge.end] = [True] * (edge.end - at)
    # A written number says characters even where none of them can be read, as a loop's can't.
    for at, token in enumerate(tokens):
        strong[at] = strong[at] or token.written
    return Lattice(tokens, tuple(edges), tuple(strong))


def bridge(lattice: Lattice, at: int) -> int:
    """Return the first token from `at` on that is not a filler."""
    while at < len(lattice.tokens):
        filler = next((edge for edge in lattice.edges[at] if not edge.said), None)
        if filler is None:
            break
        at = filler.end
    return at


def _edges(tokens: Sequence[Token], at: int, words: Lexicon, loops: bool) -> Iterator[Edge]:
    token = tokens[at]
    if token.written:
        if loops or not _LOOP.search(token.raw):
            yield from _with_lookalikes(Edge(at + 1, token.raw, _PLAIN))
        yield from _times(tokens, at, token.raw, at + 1, words)
        return
    if _shouted(token):
        yield from _with_lookalikes(Edge(at + 1, token.raw, _PLAIN))
    for length in range(1, min(words.longest, len(tokens) - at) + 1):
        said = tuple(token.word for token in tokens[at : at + length])
        end = at + length
        if said in words.fillers:
            yield Edge(end, "", 0)
        for characters in words.strong.get(said, ()):
            yield from _with_lookalikes(Edge(end, characters, _PLAIN))
            if len(characters) == 1:
                yield from _times(tokens, at, characters, end, words)
                yield from _spelled(tokens, at, characters, end, words)
        for characters in words.inside.get(said, ()):
            yield Edge(end, characters, _UNSURE, weak=True, inside=True)
        for characters in words.weak.get(said, ()):
            yield from _with_lookalikes(Edge(end, characters, _UNSURE, weak=True))
            yield from _spelled(tokens, at, characters, end, words)
        for several, phrases in ((2, words.doubles), (3, words.triples)):
            if said in phrases:
                yield from _repeated(tokens, end, several, words)


def _repeated(tokens: Sequence[Token], at: int, several: int, words: Lexicon) -> Iterator[Edge]:
    """Read "double four": what follows, with its first character said more often."""
    if at == len(tokens):
        return
    if tokens[at].written:
        first, rest = tokens[at].raw[0], tokens[at].raw[1:]
        yield Edge(at + 1, first * several + rest, _PLAIN)
        return
    for length in range(1, min(3, len(tokens) - at) + 1):
        said = tuple(token.word for token in tokens[at : at + length])
        for weak, table in ((False, words.strong), (True, words.weak)):
            for characters in table.get(said, ()):
                if len(characters) == 1:
                    cost = _UNSURE if weak else _PLAIN
                    yield Edge(at + length, characters * several, cost)


def _times(
    tokens: Sequence[Token], at: int, count: str, end: int, words: Lexicon
) -> Iterator[Edge]:
    """Read "three zeros" and "deux fois quatre"."""
    if count not in ("2", "3", "4", "5"):
        return
    several = int(count)
    plural = tuple(token.word for token in tokens[end : end + 1])
    if plural in words.plurals:
        yield Edge(end + 1, words.plurals[plural] * several, _PLAIN)
    if plural in words.times and end + 1 < len(tokens):
        repeated = tokens[end + 1]
        if repeated.written and len(repeated.raw) == 1:
            yield Edge(end + 2, repeated.raw * several, _PLAIN)
        for characters in words.strong.get((repeated.word,), ()):
            if len(characters) == 1:
                yield Edge(end + 2, characters * several, _PLAIN)


def _spelled(
    tokens: Sequence[Token], at: int, letter: str, end: int, words: Lexicon
) -> Iterator[Edge]:
    """Read "B as in bravo": any word that starts with the letter settles it."""
    if not letter.isalpha():
        return
    for length in (1, 2):
        link: Phrase = tuple(token.word for token in tokens[end : end + length])
        named = end + length
        if link in words.spelled_as and named < len(tokens):
            after = named + 1
            while after < len(tokens) and tokens[after].hyphenated:
                after += 1
            word = "".join(token.word for token in tokens[named:after])
            if word[:1].upper() == letter and len(word) > 1:
                yield Edge(after, letter, 1)


def _with_lookalikes(edge: Edge) -> Iterator[Edge]:
    yield edge
    if len(edge.said) <= 4:
        for at, character in enumerate(edge.said):
            other = _LOOKALIKES.get(character)
            if other is not None:
                said = edge.said[:at] + other + edge.said[at + 1 :]
                yield Edge(edge.end, said, edge.cost + _SWAPPED, weak=True)


def _shouted(token: Token) -> bool:
    """Say whether a word is a group of letters ("AC"), as recognisers write spelled ones."""
    return 2 <= len(token.raw) <= 4 and token.raw.isascii() and token.raw.isupper()


def _sealed(tokens: Sequence[Token], words: Lexicon) -> frozenset[int]:
    """Return the joints inside a hyphenated number: "quatre-vingt-six" is not 4, 20, 6."""
    sealed: set[int] = set()
    for at in range(len(tokens)):
        end = at + 1
        while end < len(tokens) and tokens[end].hyphenated and end - at < words.longest:
            end += 1
            if tuple(token.word for token in tokens[at:end]) in words.compounds:
                sealed.update(range(at + 1, end))
    return frozenset(sealed)


def _after_correction(
    tokens: tuple[Token, ...], words: Lexicon, badge_format: BadgeFormat
) -> tuple[tuple[Token, ...], tuple[Token, ...] | None]:
    """Return what counts once the caller has corrected themselves, and the whole if that is unsure.

    What stood before the last correction is dropped, not joined. A correction right after a row and
    with nothing after it takes the row back.
    """
    whole = lattice(tokens, words, badge_format.alphabet)
    for at in range(len(tokens) - 1, -1, -1):
        for length in (4, 3, 2, 1):
            said = tuple(token.word for token in tokens[at : at + length])
            if len(said) < length or said not in words.corrections:
                continue
            if not any(whole.strong[:at]):
                continue
            unsure = tokens if said in words.weak else None
            after = tokens[at + length :]
            if any(whole.strong[at + length :]):
                return after, unsure
            if whole.strong[at - 1]:
                return (), unsure
    return tokens, None


@dataclass(frozen=True, slots=True, order=True)
class _Path:
    """Hold a path through a lattice on its way: the cheapest goes on first."""

    cost: int
    start: int
    said: str
    at: int
    states: States = field(compare=False)
    inside: bool = False  # the last word counts only if more characters follow


def _spell(lattice: Lattice, badge_format: BadgeFormat) -> tuple[str, ...]:
    """Return the badges along the cheapest paths; a path fills a whole row of characters."""
    # A row opens where no character stands before, fillers aside.
    behind_strong = _behind_strong(lattice)
    heap: list[_Path] = []
    for at in range(len(lattice.tokens)):
        if at not in behind_strong:
            cost = _DROPPED if at > 0 and _may_say(lattice, at - 1) else 0
            heapq.heappush(heap, _Path(cost, at, "", at, badge_format.start()))
    found: dict[str, None] = {}
    seen: set[tuple[int, str, bool]] = set()
    steps = 0
    while heap and len(found) < MOST_READINGS and steps < _MOST_STEPS:
        path = heapq.heappop(heap)
        steps += 1
        if path.at == _READ:
            found[path.said] = None
            continue
        if (path.at, path.said, path.inside) in seen:
            continue
        seen.add((path.at, path.said, path.inside))
        whole = path.said and not path.inside and badge_format.complete(path.states)
        if whole and _closes(lattice, path.at):
            cost = path.cost + (_DROPPED if _may_say(lattice, path.at) else 0)
            heapq.heappush(heap, _Path(cost, path.start, path.said, _READ, path.states))
        for edge in lattice.edges[path.at] if path.at < len(lattice.tokens) else ():
            if not path.said and (edge.inside or not edge.said):
                continue  # a row does not start with a filler
            after = path.states
            for character in edge.said:
                after = badge_format.advance(after, character)
            if after:
                cost, said = path.cost + edge.cost, path.said + edge.said
                inside = edge.inside if edge.said else path.inside
                heapq.heappush(heap, _Path(cost, path.start, said, edge.end, after, inside))
    return tuple(found)


def _behind_strong(lattice: Lattice) -> frozenset[int]:
    behind: set[int] = set()
    for at, strong in enumerate(lattice.strong):
        if strong:
            end = bridge(lattice, at + 1)
            behind.update(range(at + 1, end + 1))
    return frozenset(behind)


def _may_say(lattice: Lattice, at: int) -> bool:
    """Say whether a token may stand for characters, as "to" may for a two."""
    return at < len(lattice.tokens) and any(
        edge.said and not edge.inside for edge in lattice.edges[at]
    )


def _closes(lattice: Lattice, at: int) -> bool:
    """Say whether no character stands behind this token, fillers aside."""
    after = bridge(lattice, at)
    return after == len(lattice.tokens) or not lattice.strong[after]
