"""Every form in which a value can lie in a heap of bytes, and the search for all of them."""

import base64
import contextlib
import re
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote_from_bytes

from local.scan.spoken import LANGUAGES, digit_words, ways_to_say, words_for

_FIELD_GAP = b"\n----------------\n"
"""Put between values that only lie beside each other because we read them so."""

_NUMBERS = re.compile(rb"[0-9](?:[^0-9a-z]{0,6}[0-9]){2,}")
_MOST_UNPACKED = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Canary:
    """One value to look for, known by its place in the input so that no report repeats it."""

    number: int
    is_code: bool
    is_number: bool
    plain: tuple[tuple[str, bytes], ...]
    patterns: tuple[tuple[str, re.Pattern[bytes]], ...]
    folded: tuple[tuple[str, bytes], ...]
    exact: tuple[tuple[str, bytes], ...]
    spoken: tuple[tuple[str, bytes], ...]
    mixed: tuple[tuple[str, re.Pattern[bytes]], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A canary by its number, and the form it was found in."""

    canary: int
    form: str


def canary(value: str, number: int = 1) -> Canary:
    """Prepare a badge, or any other text of at least four characters, to be looked for."""
    compact = re.sub(r"[^a-z0-9]", "", value.lower())
    if len(compact) < 4:
        raise ValueError("A value this short is found everywhere.")
    is_code = len(compact) <= 12 and any(c.isdigit() for c in compact)
    texts = {"as given": value, "reversed": compact[::-1]}
    spoken: dict[bytes, str] = {}
    patterns: list[tuple[str, re.Pattern[bytes]]] = []
    mixed: list[tuple[str, re.Pattern[bytes]]] = []
    if is_code:
        texts |= {"digits": compact, "spaced": " ".join(compact), "dashed": "-".join(compact)}
        texts["commas"] = ", ".join(compact)
        patterns = [
            ("separated", _separated(compact)),
            ("grouped", _grouped(compact)),
            ("in pieces", _in_pieces(compact)),
        ]
        mixed = [(f"digits and words {name}", _mixed(compact, name)) for name in LANGUAGES]
        for language, words in ways_to_say(compact):
            said = " ".join(words)
            without_accents = collapse(said.encode("ascii", "ignore").decode())
            for form in (collapse(said), without_accents, collapse(_transliterate(said))):
                spoken[form] = f"words {language}"
            texts.setdefault(f"words {language}", said)
    folded: dict[bytes, str] = {}
    exact: dict[bytes, str] = {}
    for form, text in texts.items():
        for encoded, name in _encodings(text.lower()):
            folded.setdefault(encoded, f"{form}, {name}")
        for written in {text, text.lower(), text.upper(), text.capitalize()}:
            for encoded in _base64(written.encode()):
                exact.setdefault(encoded, f"{form}, base64")
    plain = {
        text.lower().encode(): form for form, text in texts.items() if not form.startswith("words")
    }
    if not is_code:
        spoken[collapse(value)] = "folded"
        spoken[collapse(value.encode("ascii", "ignore").decode())] = "folded"
    return Canary(
        number,
        is_code,
        compact.isdigit(),
        tuple((form, text) for text, form in plain.items()),
        tuple(patterns),
        tuple((form, text) for text, form in folded.items()),
        tuple((form, text) for text, form in exact.items()),
        tuple((form, text) for text, form in spoken.items()),
        tuple(mixed),
    )


def join(values: Iterable[bytes]) -> bytes:
    """Lay values side by side, far enough apart that no two of them read as one."""
    return _FIELD_GAP.join(values)


def find(data: bytes, canaries: Iterable[Canary], *, unpack: bool = True) -> set[Found]:
    """Look for every form of every canary in a piece of data, in UTF-8, Latin-1 and UTF-16."""
    canaries = tuple(canaries)
    found: set[Found] = set()
    views = [data]
    if b"\0" in data:
        # Empty pages tell nothing; without its zeros UTF-16 reads as UTF-8.
        views = [_ZEROS.sub(b"\0\0", data), data.replace(b"\0", b"")]
    for view in views:
        lower = view.lower()
        collapsed = _collapse_bytes(lower)
        numbers = _stretches(_NUMBERS, lower, before=2, after=1)
        said = _stretches(_digit_beside_word(), collapsed, before=48, after=48)
        for wanted in canaries:
            found |= _find_one(view, lower, collapsed, wanted)
            # Where no number stands, no pattern of a number has to be tried.
            found |= _find_patterns(wanted.patterns, numbers if wanted.is_number else lower, wanted)
            found |= _find_patterns(wanted.mixed, said if wanted.is_number else collapsed, wanted)
    if unpack:
        for inner in _unpacked(data):
            found |= {
                Found(f.canary, f"compressed, {f.form}")
                for f in find(inner, canaries, unpack=False)
            }
    return found


def collapse(text: str) -> bytes:
    """Keep letters and digits only, without accents and case, however the words are joined."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("ß", "ss"))
    return plain.encode("ascii", "ignore").translate(None, _NEITHER_LETTER_NOR_DIGIT)


def _collapse_bytes(lower: bytes) -> bytes:
    # Whatever the encoding, an accented letter is lost here: words are looked for without it too.
    if b"\\u" in lower:
        lower = re.sub(rb"\\u[0-9a-f]{4}", b"", lower)
    return lower.translate(None, _NEITHER_LETTER_NOR_DIGIT)


def _find_one(view: bytes, lower: bytes, collapsed: bytes, wanted: Canary) -> set[Found]:
    found: set[Found] = set()
    for form, text in wanted.plain:
        if text in lower and (not wanted.is_code or _stands_alone(lower, text)):
            found.add(Found(wanted.number, form))
    for form, text in wanted.folded:
        if text in lower:
            found.add(Found(wanted.number, form))
    for form, text in wanted.exact:
        if text in view:
            found.add(Found(wanted.number, form))
    for form, text in wanted.spoken:
        if text in collapsed:
            found.add(Found(wanted.number, form))
    return found


def _find_patterns(
    patterns: Iterable[tuple[str, re.Pattern[bytes]]], text: bytes, wanted: Canary
) -> set[Found]:
    return {Found(wanted.number, form) for form, pattern in patterns if pattern.search(text)}


def _stretches(pattern: re.Pattern[bytes], text: bytes, *, before: int, after: int) -> bytes:
    """Return the places where a pattern matches, with so much text around each."""
    spans: list[list[int]] = []
    for match in pattern.finditer(text):
        start, end = max(0, match.start() - before), match.end() + after
        if spans and start <= spans[-1][1]:
            spans[-1][1] = end
        else:
            spans.append([start, end])
    return join(text[start:end] for start, end in spans)


@cache
def _digit_beside_word() -> re.Pattern[bytes]:
    words = b"|".join(map(re.escape, sorted(set(filter(None, map(collapse, digit_words()))))))
    return re.compile(b"[0-9](?:%s)|(?:%s)[0-9]" % (words, words))


def _stands_alone(lower: bytes, text: bytes) -> bool:
    """Say whether digits are more than a stretch of a longer number or of a clock's fraction."""
    at = lower.find(text)
    while at >= 0:
        before, after = lower[max(0, at - 2) : at], lower[at + len(text) : at + len(text) + 1]
        inside = before[-1:].isdigit() or after.isdigit()
        fraction = before[-1:] == b"." and before[:1].isdigit()
        if not inside and not fraction:
            return True
        at = lower.find(text, at + 1)
    return False


def _separated(compact: str) -> re.Pattern[bytes]:
    between = r"[^0-9a-z]{1,6}"
    body = between.join(map(re.escape, compact))
    return re.compile(rf"(?<![0-9]){body}(?![0-9])".encode())


def _grouped(compact: str) -> re.Pattern[bytes]:
    # No colon between the groups: 47:11:29 is a time.
    ways = []
    for size in (2, 3, 4):
        groups = [compact[i : i + size] for i in range(0, len(compact), size)]
        ways.append(r"[ _,./-]{1,3}".join(map(re.escape, groups)))
    return re.compile(rf"(?<![0-9])(?<![0-9][.,/-])(?:{'|'.join(ways)})(?![0-9])".encode())


def _in_pieces(compact: str) -> re.Pattern[bytes]:
    # As a recogniser writes what was said with pauses: "471. 1, 2, 9".
    body = r"(?:[,.;]? |-)?".join(map(re.escape, compact))
    return re.compile(rf"(?<![0-9])(?!{re.escape(compact)}){body}(?![0-9])".encode())


def _mixed(compact: str, language: str) -> re.Pattern[bytes]:
    """Match digits of which some are words, in text that has letters and digits only."""
    body = b""
    for character in compact:
        words = next(words for name, words in words_for(character) if name == language)
        ways = [character.encode(), *(re.escape(collapse(word)) for word in words)]
        body += b"(?:" + b"|".join(ways) + b")"
    return re.compile(b"(?<![0-9])(?!%s)%s(?![0-9])" % (re.escape(compact).encode(), body))


def _encodings(text: str) -> list[tuple[bytes, str]]:
    raw = text.encode()
    ways = [
        (raw.hex().encode(), "hex"),
        (raw.hex(" ").encode(), "hex"),
        (b"".join(b"%%%02x" % byte for byte in raw), "URL-encoded"),
        (b"".join(b"\\x%02x" % byte for byte in raw), "escaped"),
        (b"".join(b"\\u%04x" % byte for byte in raw), "escaped"),
    ]
    if (url := quote_from_bytes(raw).lower().encode()) != raw.lower():
        ways.append((url, "URL-encoded"))
    return ways


def _base64(raw: bytes) -> set[bytes]:
    ways: set[bytes] = set()
    for shift in range(3):  # where the value begins within base64's groups of three bytes
        coded = base64.b64encode(bytes(shift) + raw)
        whole = coded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        ways |= {whole, whole.translate(_URL_SAFE)}
    return ways


def _unpacked(data: bytes) -> Iterable[bytes]:
    at = data.find(b"\x1f\x8b\x08")
    while at >= 0:
        with contextlib.suppress(zlib.error):  # the three bytes can be something else
            yield zlib.decompressobj(wbits=31).decompress(data[at:], _MOST_UNPACKED)
        at = data.find(b"\x1f\x8b\x08", at + 1)
    if data[:2] in {b"\x78\x01", b"\x78\x9c", b"\x78\xda"}:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj().decompress(data, _MOST_UNPACKED)


def _transliterate(text: str) -> str:
    for letter, pair in (("ä", "ae"), ("ö", "oe"), ("ü", "ue")):
        text = text.replace(letter, pair)
    return text


_ZEROS = re.compile(rb"\0{3,}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_NEITHER_LETTER_NOR_DIGIT = bytes(
    byte for byte in range(256) if not (byte < 128 and chr(byte).isalnum())
)
