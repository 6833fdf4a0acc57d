"""The badge guard: finds a badge in what a caller says later, before anybody else reads it.

A caller may repeat a badge at any time ("my badge 471129 doesn't open the door"). Rather too much
is taken out than too little:

- Taken out: every row of characters that holds a badge of the company's format, or all of one but a
  single character, as digits, words, letters or a mix, in each of the company's languages, also
  spread over following utterances. Phone numbers, postcodes and build numbers go with them.
- After a word like "badge", half a badge is enough, and rows apart from each other count as one.
- Let through: fewer characters (with six digits: four-digit codes and times of day); dates with the
  month's name or a four-digit year; ticket numbers (T-1042, INC0012345), error codes (0x80070005)
  and private network addresses, unless what they hold is itself exactly a badge.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from aurion.badges import BadgeFormat, NearBadge, NearStates, canonical
from aurion.lexicons import Lexicon, lexicon
from aurion.spoken import Edge, Lattice, Token, bridge, lattice, readings, tokenize

REDACTED = "[redacted: badge]"

_HOLD_FROM = 3  # characters at the end of an utterance that may be the start of a badge
_BRIDGED_WORDS = 4  # words with which somebody goes on ("and then it's …")
_BLANK = "\x00"

_MONTH = (
    r"(?:jan|feb|fév|mar|mär|maa|apr|avr|may|mai|mei|jun|juin|jul|juil|aug|août|aou|sep|oct|okt|nov"
    r"|dec|déc|dez)[^\W\d_]*"
)
_HARMLESS = [
    # Pattern, and the group whose characters may be a badge all the same.
    (re.compile(rf"\b{_MONTH}\.?\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+(?:19|20)\d\d\b", re.I), None),
    (re.compile(rf"\b\d{{1,2}}\.?\s+{_MONTH}\.?,?\s+(?:19|20)\d\d\b", re.I), None),
    (re.compile(r"\b(?:0?[1-9]|[12]\d|3[01])([./-])(?:0?[1-9]|1[0-2])\1(?:19|20)\d\d\b"), 0),
    (re.compile(r"\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\b"), 0),
    (
        re.compile(
            r"\b(?:(?:10|127)\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}\b"
        ),
        None,
    ),
    (re.compile(r"\b0x([0-9a-f]{4,16})\b", re.I), 1),
    (re.compile(r"\b[A-Z]{1,6}-(\d{2,10})\b"), 1),
    (re.compile(r"\b(?:INC|REQ|RITM|CHG|PRB|SCTASK|TASK|TKT|SR|CS|KB)\s?(\d{3,10})\b", re.I), 1),
]

type State = Literal["pass", "redacted", "hold"]
type Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """One utterance as it may go on; if anything was taken out, its sound goes as silence."""

    text: str
    redacted: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an utterance, and of the ones held before it.

    With 'hold' nothing goes on yet: wait briefly for the next utterance and check it, or flush.
    Otherwise `parts` are the utterances decided now, the oldest first, and `text` is all of them.
    `spans` are the places that were taken out, in the utterances as they came, joined by spaces.
    """

    state: State
    text: str = ""
    parts: tuple[Part, ...] = ()
    spans: tuple[Span, ...] = ()


class BadgeGuard:
    """Decide over each utterance of one call; it remembers how the last one ended."""

    def __init__(self, badge_format: BadgeFormat, languages: Sequence[str]) -> None:
        self._format = badge_format
        self._near = NearBadge(badge_format, errors=1)
        self._exact = NearBadge(badge_format, errors=0)
        self._lexicons = [(language, lexicon(language)) for language in dict.fromkeys(languages)]
        self._held: list[str] = []
        self._before = ""  # the row of characters the last utterance ended with

    def check(self, text: str) -> Verdict:
        """Decide over the caller's next utterance."""
        self._held.append(unicodedata.normalize("NFKC", text))
        return self._decide(final=False)

    def flush(self) -> Verdict:
        """Decide over what is held: nothing came to continue it."""
        return self._decide(final=True) if self._held else Verdict("pass")

    def _decide(self, *, final: bool) -> Verdict:
        joined, borders = _join([self._before, *self._held])
        found = self._find(joined, borders)
        row = self._trailing_row(joined, borders)
        unfinished = row is not None and not any(end >= row[1] for _, end in found)
        if not final and unfinished and self._may_go_on(joined[row[0] : row[1]]):
            return Verdict("hold")
        found = _merge([*found, *self._announced(joined, borders)])
        parts: list[Part] = []
        spans: list[Span] = []
        shift = borders[1][0]
        for start, end in borders[1:]:
            inside = [
                (max(first, start), min(last, end))
                for first, last in found
                if first < end and last > start
            ]
            spans += [(first - shift, last - shift) for first, last in inside]
            parts.append(Part(_replace(joined, start, end, inside), redacted=bool(inside)))
        self._before = joined[row[0] : row[1]] if row is not None else ""
        if self._length(self._before) >= self._format.longest:
            self._before = ""  # a whole badge goes on nowhere
        self._held.clear()
        return Verdict(
            "redacted" if spans else "pass",
            " ".join(part.text for part in parts),
            tuple(parts),
            tuple(spans),
        )

    def _find(self, text: str, borders: Sequence[Span]) -> list[Span]:
        blanked = self._blank_harmless(text)
        found: list[Span] = []
        for language, words in self._lexicons:
            tokens = tokenize(blanked)
            read = lattice(tokens, words, self._format.alphabet, loops=True)
            bridges = _bridges(read, borders, words)
            rows = list(_rows(read, bridges))
            hits = [row for row in rows if self._holds_badge(read, row, bridges, words)]
            # A reading that takes a number apart ("quatre vingt six" as 4, 20, 6) is rarely meant,
            # but a row that fits that way would verify somebody.
            hits += [row for row in rows if self._fits(blanked, read, row, language)]
            if not hits and _cue_ends(tokens, words):
                hits = self._apart(read, rows, words)
            found += [(tokens[first].start, tokens[end - 1].end) for first, end in hits]
        return _merge(found)

    def _holds_badge(
        self, read: Lattice, row: Span, bridges: dict[int, int], words: Lexicon
    ) -> bool:
        if _is_error_code(read, row):
            return False
        return _follow(self._near, read, row, bridges, words)[1]

    def _fits(self, text: str, read: Lattice, row: Span, language: str) -> bool:
        first, last = read.tokens[row[0]], read.tokens[row[1] - 1]
        return bool(readings(text[first.start : last.end], language, self._format))

    def _apart(self, read: Lattice, rows: Sequence[Span], words: Lexicon) -> list[Span]:
        lengths = [_longest(read, row, words) for row in rows]
        if sum(lengths) < self._near.shortest:
            return []
        return [row for row, length in zip(rows, lengths, strict=True) if length >= 2]

    def _announced(self, text: str, borders: Sequence[Span]) -> list[Span]:
        """Return the rows right behind a word like "badge" that are half a badge or more."""
        found: list[Span] = []
        for _, words in self._lexicons:
            tokens = tokenize(self._blank_harmless(text))
            read = lattice(tokens, words, self._format.alphabet, loops=True)
            rows = list(_rows(read, _bridges(read, borders, words)))
            for at in _cue_ends(tokens, words):
                while at < len(tokens) and not read.strong[at] and _is_link(tokens, at, words):
                    at += 1
                for first, end in rows:
                    length = _longest(read, (first, end), words)
                    if first == at and 2 * length >= self._format.shortest:
                        found.append((tokens[first].start, tokens[end - 1].end))
        return found

    def _trailing_row(self, text: str, borders: Sequence[Span]) -> Span | None:
        """Return the place of the row that the text ends with, in the language it is longest in."""
        best: Span | None = None
        blanked = self._blank_harmless(text)
        for _, words in self._lexicons:
            tokens = tokenize(blanked)
            read = lattice(tokens, words, self._format.alphabet, loops=True)
            for first, end in _rows(read, _bridges(read, borders, words)):
                if bridge(read, end) == len(tokens):
                    start = tokens[first].start
                    if best is None or start < best[0]:
                        best = (start, tokens[end - 1].end)
        return best

    def _may_go_on(self, row_text: str) -> bool:
        """Say whether a row can be the first characters of a badge, three of them or more."""
        for _, words in self._lexicons:
            read = lattice(tokenize(row_text), words, self._format.alphabet, loops=True)
            for row in _rows(read, {}):
                states, _ = _follow(self._exact, read, row, {}, words)
                if any(at >= _HOLD_FROM for at, _ in states):
                    return True
        return False

    def _length(self, text: str) -> int:
        lengths = [0]
        for _, words in self._lexicons:
            read = lattice(tokenize(text), words, self._format.alphabet, loops=True)
            lengths += [_longest(read, row, words) for row in _rows(read, {})]
        return max(lengths)

    def _blank_harmless(self, text: str) -> str:
        for pattern, group in _HARMLESS:
            for match in pattern.finditer(text):
                holds = [] if group is None else [canonical(match[0]), canonical(match[group])]
                if any(map(self._format.fits, holds)):
                    continue
                blank = _BLANK * len(match[0])
                text = text[: match.start()] + blank + text[match.end() :]
        return text


def _follow(
    near: NearBadge, read: Lattice, row: Span, bridges: dict[int, int], words: Lexicon
) -> tuple[NearStates, bool]:
    """Return the states at the end of a row, and whether a badge ended anywhere in it."""
    reached: dict[int, NearStates] = {row[0]: set()}
    complete = False
    for at in range(row[0], row[1]):
        states = reached.pop(at, None)
        if states is None:
            continue
        steps = list(_whole_numbers(read, at, words))
        if at in bridges:
            steps.append(Edge(bridges[at], "", 0))
        for edge in steps:
            after = states
            for character in edge.said:
                after = near.advance(after, character)
                complete = complete or near.complete(after)
            reached.setdefault(edge.end, set()).update(after)
    return reached.get(row[1], set()), complete


def _join(parts: Sequence[str]) -> tuple[str, list[Span]]:
    borders: list[Span] = []
    at = 0
    for part in parts:
        borders.append((at, at + len(part)))
        at += len(part) + 1
    return " ".join(parts), borders


def _replace(text: str, start: int, end: int, spans: Sequence[Span]) -> str:
    kept: list[str] = []
    for first, last in spans:
        kept += [text[start:first], REDACTED]
        start = last
    return "".join([*kept, text[start:end]])


def _merge(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _bridges(read: Lattice, borders: Sequence[Span], words: Lexicon) -> dict[int, int]:
    """Return where a row goes on behind words: a correction, the start of the next utterance."""
    bridges: dict[int, int] = {}
    for at in range(len(read.tokens)):
        for length in (1, 2, 3, 4):
            said = tuple(token.word for token in read.tokens[at : at + length])
            if said in words.corrections:
                bridges[at] = at + len(said)
    for start, _ in borders[1:]:
        at = next((at for at, token in enumerate(read.tokens) if token.start >= start), None)
        if not at:
            continue
        end = at
        while end < len(read.tokens) and end - at < _BRIDGED_WORDS and not read.strong[end]:
            end += 1
        if end > at and end < len(read.tokens) and read.strong[end]:
            bridges[at] = end
    return bridges


def _rows(read: Lattice, bridges: dict[int, int]) -> Iterator[Span]:
    """Yield the stretches of tokens that say characters, over fillers, weak words and bridges."""
    at = 0
    while at < len(read.tokens):
        if not read.strong[at]:
            at += 1
            continue
        first, end = at, at + 1
        reach = end
        while reach < len(read.tokens):
            if read.strong[reach]:
                reach += 1
                end = reach
            elif reach in bridges:
                reach = bridges[reach]
            elif read.edges[reach]:
                reach += 1
            else:
                break
        yield _with_weak_start(read, first), end
        at = end


def _with_weak_start(read: Lattice, first: int) -> int:
    """Return where a row starts once words that may be characters count too ("to for 7 1 …")."""
    while first > 0 and any(edge.said and edge.end == first for edge in read.edges[first - 1]):
        first -= 1
    return first


def _whole_numbers(read: Lattice, at: int, words: Lexicon) -> Iterator[Edge]:
    """Yield the edges that leave numbers whole: "forty seven" is not forty and seven."""
    longest = 0
    for edge in read.edges[at]:
        if tuple(token.word for token in read.tokens[at : edge.end]) in words.compounds:
            longest = max(longest, edge.end - at)
    for edge in read.edges[at]:
        if not edge.said or edge.end - at >= longest:
            yield edge


def _longest(read: Lattice, row: Span, words: Lexicon) -> int:
    """Return how many characters a row says, numbers left whole."""
    reached = {row[0]: 0}
    for at in range(row[0], row[1]):
        if at not in reached:
            continue
        for edge in _whole_numbers(read, at, words):
            length = reached[at] + len(edge.said)
            reached[edge.end] = max(reached.get(edge.end, 0), length)
    return max(reached.values())


def _cue_ends(tokens: Sequence[Token], words: Lexicon) -> list[int]:
    return [
        at + length
        for at in range(len(tokens))
        for length in (1, 2, 3)
        if tuple(token.word for token in tokens[at : at + length]) in words.badge_cues
    ]


def _is_link(tokens: Sequence[Token], at: int, words: Lexicon) -> bool:
    return (tokens[at].word,) in words.cue_links


def _is_error_code(read: Lattice, row: Span) -> bool:
    """Say whether a row is the spoken rest of "zero x eight zero zero seven …"."""
    before = [token.word for token in read.tokens[max(row[0] - 2, 0) : row[0]]]
    return len(before) == 2 and before[1] == "x" and before[0] in ("0", "zero", "null", "nul", "oh")
