"""Lists of people as companies export them: read line by line, each bad line named by its number.

A line is one person: a quoted line break has no place in a name, and reading by line means that a
stray quote spoils one row instead of the rest of the file.
"""

import codecs
import csv
import hashlib
import io
import re
import secrets
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import BinaryIO, Literal

from aurion import badges, names
from aurion.badges import BadgeFormat
from aurion.errors import BadgeMalformed, PeopleFileRejected
from aurion.tenants import LANGUAGES, Language

type Reason = Literal[
    "encoding",
    "malformed",
    "too_long",
    "columns",
    "name_missing",
    "name_malformed",
    "email_missing",
    "email_malformed",
    "email_duplicate",
    "badge_missing",
    "badge_malformed",
    "badge_duplicate",
    "language_unknown",
    "phone_malformed",
]
type Column = Literal["name", "given", "family", "badge", "language", "email", "phone"]

_CHUNK = 65_536
_LONGEST_LINE = 2_000
_LONGEST_NAME = 200
_LONGEST_EMAIL = 254
_EMAIL = re.compile(
    r"[^\W_][^\s@,;:<>\"()\[\]\\]*@[^\W_](?:[^\s@_,;:<>\"()\[\]\\/]*)\.[^\W\d_]{2,}"
)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_DELIMITERS = (",", ";", "\t")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TABLES = tomllib.loads(files("aurion").joinpath("people_files.toml").read_text("utf-8"))
_HEADERS: dict[str, Column] = {
    header: column for column, headers in _TABLES["columns"].items() for header in headers
}
_LANGUAGE_NAMES: dict[str, Language] = {
    word: language for language, words in _TABLES["languages"].items() for word in words
}


@dataclass(frozen=True, slots=True)
class Row:
    """One person of a file; the badge is canonical and shows in no representation."""

    line: int
    name: str
    name_norm: str
    language: Language
    email: str
    email_norm: str
    phone: str | None
    badge: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that was left out, and why; what stood there is not said."""

    line: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class _Header:
    delimiter: str
    columns: Mapping[Column, int]
    width: int


class _BadRow(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def read(
    stream: BinaryIO, *, badge_format: BadgeFormat, language: Language
) -> Iterator[Row | Rejection]:
    """Read a file's rows; `language` is for those that name none. Line numbers start at 1.

    UTF-8 with or without a byte order mark, and UTF-16 with one. Separated by commas, semicolons or
    tabs. The columns may stand in any order and be named in any of our languages.

    Raises:
        PeopleFileRejected: There is no header with a name, a badge and an e-mail column.
    """
    lines = enumerate(_lines(stream), start=1)
    header = _read_header(lines)
    emails: set[str] = set()
    # Badges that were seen are compared by a hash whose key dies with this run.
    seen_badges: set[bytes] = set()
    key = secrets.token_bytes(16)
    for number, line in lines:
        try:
            row = _row(number, line, header, badge_format, language)
            if row is None:
                continue
            if row.email_norm in emails:
                raise _BadRow("email_duplicate")
            digest = hashlib.blake2b(row.badge.encode(), key=key, digest_size=16).digest()
            if digest in seen_badges:
                raise _BadRow("badge_duplicate")
        except _BadRow as bad:
            yield Rejection(number, bad.reason)
            continue
        emails.add(row.email_norm)
        seen_badges.add(digest)
        yield row


def normalise_email(email: str) -> str:
    """Return an e-mail address as it is compared."""
    return unicodedata.normalize("NFC", email.strip()).casefold()


def _lines(stream: BinaryIO) -> Iterator[str | None]:
    """Yield lines without their ends; None for one that is too long to be held."""
    chunk = stream.read(_CHUNK)
    encoding = next((name for bom, name in _BOMS if chunk.startswith(bom)), "utf-8")
    # What can't be decoded stays visible in its line: the others are good.
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder(encoding)(errors), translate=True
    )
    rest, overlong = "", False
    while True:
        rest += decoder.decode(chunk, final=not chunk)
        *whole, rest = rest.split("\n")
        for line in whole:
            yield None if overlong or len(line) > _LONGEST_LINE else line
            overlong = False
        if len(rest) > _LONGEST_LINE:
            rest, overlong = "", True
        if not chunk:
            break
        chunk = stream.read(_CHUNK)
    if rest or overlong:
        yield None if overlong else rest


def _read_header(lines: Iterator[tuple[int, str | None]]) -> _Header:
    for _, line in lines:
        if line is None:
            raise PeopleFileRejected
        if not line.strip() or line.casefold().startswith("sep="):  # Excel's own first line
            continue
        if "\0" in line:  # UTF-16 without its mark, UTF-32, a program
            raise PeopleFileRejected
        for delimiter in _DELIMITERS:
            header = _parse_header(line, delimiter)
            if header is not None:
                return header
        raise PeopleFileRejected
    raise PeopleFileRejected


def _parse_header(line: str, delimiter: str) -> _Header | None:
    try:
        headers = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    columns: dict[Column, int] = {}
    for at, header in enumerate(headers):
        column = _HEADERS.get(re.sub(r"[^a-z]", "", _fold(header)))
        if column is None:
            continue
        if column in columns:
            return None
        columns[column] = at
    if "given" in columns and "family" not in columns and "name" in columns:
        columns["family"] = columns.pop("name")  # "nom" beside "prénom"
    named = "name" in columns or {"given", "family"} <= columns.keys()
    if not named or not {"badge", "email"} <= columns.keys():
        return None
    return _Header(delimiter, columns, len(headers))


def _row(
    number: int,
    line: str | None,
    header: _Header,
    badge_format: BadgeFormat,
    language: Language,
) -> Row | None:
    if line is None:
        raise _BadRow("too_long")
    if any("\ud800" <= character <= "\udfff" or character == "\ufffd" for character in line):
        raise _BadRow("encoding")
    try:
        values = [*csv.reader([line], delimiter=header.delimiter, strict=True), []][0]
    except csv.Error:
        raise _BadRow("malformed") from None
    if not any(value.strip() for value in values):
        return None
    if any(value.strip() for value in values[header.width :]):
        raise _BadRow("columns")

    def value(column: Column) -> str:
        at = header.columns.get(column)
        return "" if at is None or at >= len(values) else values[at].strip()

    name = _name(value("name") or f"{value('given')} {value('family')}")
    email = _email(value("email"))
    return Row(
        line=number,
        name=name,
        name_norm=names.normalise(name),
        language=_language(value("language"), language),
        email=email,
        email_norm=normalise_email(email),
        phone=_phone(value("phone")),
        badge=_badge(value("badge"), badge_format),
    )


def _name(value: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", value).split())
    if not name:
        raise _BadRow("name_missing")
    if len(name) > _LONGEST_NAME:
        raise _BadRow("too_long")
    if not name[0].isalpha() or any(unicodedata.category(c).startswith("C") for c in name):
        raise _BadRow("name_malformed")
    return name


def _email(value: str) -> str:
    if not value:
        raise _BadRow("email_missing")
    if len(value) > _LONGEST_EMAIL:
        raise _BadRow("too_long")
    if not _EMAIL.fullmatch(value):
        raise _BadRow("email_malformed")
    return value


def _badge(value: str, badge_format: BadgeFormat) -> str:
    if not value:
        raise _BadRow("badge_missing")
    try:
        return badges.check_format(value, badge_format)
    except BadgeMalformed:
        raise _BadRow("badge_malformed") from None


def _language(value: str, default: Language) -> Language:
    if not value:
        return default
    folded = _fold(value)
    code = re.split(r"[-_]", folded)[0]
    for language in LANGUAGES:
        if code == language:
            return language
    named = _LANGUAGE_NAMES.get(folded)
    if named is None:
        raise _BadRow("language_unknown")
    return named


def _phone(value: str) -> str | None:
    if not value:
        return None
    digits = re.sub(r"[\s./()-]", "", value.replace("(0)", ""))
    digits = re.sub(r"^00", "+", digits)
    if not _E164.fullmatch(digits):
        raise _BadRow("phone_malformed")
    return digits


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))
