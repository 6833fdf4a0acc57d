"""Cut text into what is spoken in one breath: sentences, and their clauses."""

import re
import unicodedata

_SPACES = re.compile(r"\s+")
_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "‘": "'", "′": "'"})
_END = re.compile(r"(?<=[.!?…])(?:\s?»|[\"'”’)\]])*\s+(?=\S)|\n+")
_BREATH = re.compile(r"(?<=[,;:—–])\s+|\s+(?=[—–]\s)")
_LETTER = re.compile(r"\b[A-ZÀ-Ý]\.$")
_TITLES = frozenset(
    [
        "m",
        "mm",
        "mme",
        "mlle",
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "st",
        "nr",
        "tel",
        "tél",
        "ext",
        "bzw",
        "usw",
        "z.b",
        "bijv",
        "o.a",
        "e.g",
        "i.e",
        "etc",
        "vs",
    ]
)
# A shorter clause sounds clipped when it is rendered alone; it joins its neighbour.
SHORTEST = 10


def normalise(text: str) -> str:
    """Write a text in the one form that two spellings of the same sentence share."""
    composed = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    return _SPACES.sub(" ", composed).strip()


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order, without the space between them."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        if "\n" not in end.group() and not _ends(text[start : end.start()], text[end.end() :]):
            continue
        said = text[start : end.end()]
        if said.strip():
            found.append(said.strip())
        start = end.end()
    if text[start:].strip():
        found.append(text[start:].strip())
    return found


def clauses(sentence: str) -> list[str]:
    """Return the clauses of a sentence, none shorter than a breath unless the sentence is."""
    found: list[str] = []
    for part in _BREATH.split(sentence):
        if found and (len(found[-1]) < SHORTEST or len(part) < SHORTEST):
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return [part for part in found if part.strip()]


class Cutter:
    """Cut text that is still being written: sentences, but the first clause as soon as it is there.

    `first_clause` is how many characters must stand before a clause is given out alone.
    """

    def __init__(self, first_clause: int) -> None:
        self._first_clause = first_clause
        self._written = ""
        self._begun = False

    def feed(self, text: str) -> list[str]:
        """Add text; return what can be spoken now."""
        self._written += text
        *whole, rest = sentences(self._written) or [""]
        if whole:
            # the rest keeps the space at its end, which the next piece of text may need
            self._written = self._written[self._written.rindex(rest) :]
            self._begun = True
            return whole
        *early, rest = clauses(self._written) or [""]
        if not self._begun and early and len(" ".join(early)) >= self._first_clause:
            self._written = self._written[self._written.rindex(rest) :]
            self._begun = True
            return [" ".join(early)]
        return []

    def flush(self) -> list[str]:
        """Return all that is left."""
        left, self._written = sentences(self._written), ""
        return left


def _ends(said: str, following: str) -> bool:
    """Tell a full stop from the dot of an abbreviation or an initial."""
    if said.endswith("...") or said.endswith("…"):
        return not following[:1].islower()
    if not said.endswith("."):
        return True
    if following[:1].islower() or _LETTER.search(said):
        return False
    return said.rsplit(maxsplit=1)[-1].rstrip(".").lower().lstrip("(\"'«“") not in _TITLES
