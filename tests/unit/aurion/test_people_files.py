"""Lists of people as companies export them, well made and badly made."""

import io
from collections.abc import Iterable

import pytest
from aurion import badges, people_files
from aurion.errors import PeopleFileRejected
from aurion.people_files import Rejection, Row

HEADER = "name,badge_id,language,email,phone\n"
ALICE = "Alice Martin,471129,en,alice.martin@meridian.example,+33612345678\n"
TOM = "Tom Becker,803556,en,tom.becker@meridian.example,\n"
CLAIRE = "Claire Dubois,290416,fr,claire.dubois@meridian.example,\n"


def read(
    data: str | bytes, badge_format: str = "[0-9]{6}"
) -> tuple[list[Row], list[tuple[int, str]]]:
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    found = list(
        people_files.read(stream, badge_format=badges.read_format(badge_format), language="en")
    )
    return (
        [item for item in found if isinstance(item, Row)],
        [(item.line, item.reason) for item in found if isinstance(item, Rejection)],
    )


def test_row_says_everything_about_a_person() -> None:
    rows, rejected = read(HEADER + ALICE)
    assert rejected == []
    assert rows == [
        Row(
            line=2,
            name="Alice Martin",
            name_norm="alice martin",
            language="en",
            email="alice.martin@meridian.example",
            email_norm="alice.martin@meridian.example",
            phone="+33612345678",
            badge="471129",
        )
    ]


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
    ],
)
def test_encodings_with_and_without_mark(encoding: str, bom: bytes) -> None:
    row = "Zoë Müller-Łoś,471129,de,zoe@meridian.example,\n"
    rows, _ = read(bom + (HEADER + row).encode(encoding))
    assert [row.name for row in rows] == ["Zoë Müller-Łoś"]


@pytest.mark.parametrize(
    "header",
    [
        "Name;Badge ID;Language;E-mail;Phone",
        "Full name;Badge number;Lang;Email address;Mobile",
        "Nom complet;N° badge;Langue;Adresse e-mail;Téléphone",
        "Naam;Badgenummer;Taal;E-mailadres;Telefoon",
        "VOLLER NAME;Ausweis-Nr.;Sprache;E-Mail-Adresse;Handy",
        'name;"badge_id";language;email;phone',
    ],
)
def test_headers_in_our_languages(header: str) -> None:
    rows, rejected = read(
        f"{header}\nAlice Martin;471129;fr;alice@meridian.example;0033 6 12345678\n"
    )
    assert rejected == []
    assert [(row.name, row.language, row.phone) for row in rows] == [
        ("Alice Martin", "fr", "+33612345678")
    ]


def test_given_and_family_name_in_two_columns_and_any_order() -> None:
    rows, _ = read(
        "sep=\t\nEmail\tNom\tBadge\tPrénom\nc@meridian.example\tDubois\t290416\tClaire\n"
    )
    assert [row.name for row in rows] == ["Claire Dubois"]


def test_language_falls_back_to_the_company_and_takes_locales_and_names() -> None:
    rows, _ = read(
        "name,badge,email,language\n"
        "A One,100001,a@meridian.example,\n"
        "B Two,100002,b@meridian.example,fr-BE\n"
        "C Three,100003,c@meridian.example,Néerlandais\n",
    )
    assert [row.language for row in rows] == ["en", "fr", "nl"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",471129,en,x@meridian.example,", "name_missing"),
        ("=HYPERLINK(1),471129,en,x@meridian.example,", "name_malformed"),
        ("Ali\x00ce,471129,en,x@meridian.example,", "name_malformed"),
        ("Ali\u202ece,471129,en,x@meridian.example,", "name_malformed"),
        ("A" * 201 + ",471129,en,x@meridian.example,", "too_long"),
        ("Alice" + " " * 3000 + ",471129,en,x@meridian.example,", "too_long"),
        ("Alice,,en,x@meridian.example,", "badge_missing"),
        ("Alice,47112,en,x@meridian.example,", "badge_malformed"),
        ("Alice,471129.0,en,x@meridian.example,", "badge_malformed"),
        ("Alice,4711290,en,x@meridian.example,", "badge_malformed"),
        ("Alice,471129,en,,", "email_missing"),
        ("Alice,471129,en,no address,", "email_malformed"),
        ("Alice,471129,en,x@meridian.example@other.example,", "email_malformed"),
        ("Alice,471129,en," + "x" * 250 + "@meridian.example,", "too_long"),
        ("Alice,471129,ru,x@meridian.example,", "language_unknown"),
        ("Alice,471129,en,x@meridian.example,06 12 34 56 78", "phone_malformed"),
        ('"Alice,471129,en,x@meridian.example,', "malformed"),
        ('Al"ice" B,"471129"x,en,x@meridian.example,', "malformed"),
        ("Alice,471129,en,x@meridian.example,,surplus", "columns"),
        ("Alice", "email_missing"),
    ],
)
def test_bad_row_is_left_out_by_its_line_number(row: str, reason: str) -> None:
    rows, rejected = read(HEADER + TOM + row + "\n" + CLAIRE)
    assert rejected == [(3, reason)]
    assert [row.line for row in rows] == [2, 4]


def test_nothing_read_shows_a_badge_and_nothing_left_out_shows_anything() -> None:
    stream = io.BytesIO((HEADER + "Zanzibar Quux,99x,xx,zq@meridian.example,\n" + ALICE).encode())
    rejected, row = people_files.read(
        stream, badge_format=badges.read_format("[0-9]{6}"), language="en"
    )
    assert not any(word in repr(rejected) for word in ("Zanzibar", "99x", "meridian"))
    assert "471129" not in repr(row)


def test_second_row_of_an_address_or_a_badge_is_left_out() -> None:
    other = ALICE.replace("alice.martin@", "ALICE.Martin@").replace("471129", "471130")
    rows, rejected = read(HEADER + ALICE + other + TOM.replace("803556", "471129"))
    assert rejected == [(3, "email_duplicate"), (4, "badge_duplicate")]
    assert len(rows) == 1


def test_row_that_was_left_out_reserves_nothing() -> None:
    rows, rejected = read(HEADER + ALICE.replace("471129", "47") + ALICE)
    assert rejected == [(2, "badge_malformed")]
    assert [row.line for row in rows] == [3]


def test_rows_in_another_encoding_are_left_out_and_plain_ones_are_not() -> None:
    latin = (HEADER + "Zoé Müller,100001,de,z@meridian.example,\n" + ALICE).encode("latin-1")
    rows, rejected = read(latin)
    assert (rejected, len(rows)) == ([(2, "encoding")], 1)
    broken = b"\xff\xfe" + (HEADER + TOM).encode("utf-16-le") + b"\x00\xdc\n\x00"
    rows, rejected = read(broken)
    assert (rejected, len(rows)) == ([(3, "encoding")], 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n\n",
        b"PK\x03\x04 a spreadsheet",
        b"name,email\nAlice,alice@meridian.example\n",
        b"name,badge,email,badge\n",
        b"name,badge_id,email" + b"x" * 3000,
        (HEADER + ALICE).encode("utf-16-le"),
        (HEADER + ALICE).encode("utf-32"),
    ],
)
def test_file_without_a_list_of_people_is_refused_whole(data: bytes) -> None:
    with pytest.raises(PeopleFileRejected) as caught:
        read(data)
    assert "Alice" not in str(caught.value)


def test_stray_quote_and_endless_line_spoil_one_row_each() -> None:
    stray = '"Stray,471000,en,s@meridian.example,\n'
    rows, rejected = read(HEADER + stray + "x" * 200_000 + "\n" + ALICE + TOM[:-1])
    assert rejected == [(2, "malformed"), (3, "too_long")]
    assert [row.line for row in rows] == [4, 5]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_of_every_system_count_the_same(end: str) -> None:
    lines = ["name,badge,email", "", "Bad,1,b@meridian.example", "A B,471129,a@meridian.example"]
    rows, rejected = read(end.join(lines))
    assert rejected == [(3, "badge_malformed")]
    assert [row.line for row in rows] == [4]


class TrickleReader(io.RawIOBase):
    """A stream that gives a few bytes at a time, cutting characters and line ends in two."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._chunks: Iterable[bytes] = (data[at : at + 3] for at in range(0, len(data), 3))

    def read(self, size: int = -1, /) -> bytes:
        return next(iter(self._chunks), b"")


def test_file_is_read_as_a_stream() -> None:
    data = (HEADER + "Zoë Müller,100001,de,z@meridian.example,\r\n" + TOM).encode()
    found = people_files.read(
        TrickleReader(data),  # type: ignore[arg-type]
        badge_format=badges.read_format("[0-9]{6}"),
        language="en",
    )
    assert [type(item) for item in found] == [Row, Row]


def test_badges_with_letters_become_canonical() -> None:
    rows, rejected = read(
        "name,badge,email\nA B,ab-1234,a@x.example\nC D,471129,c@x.example\n",
        badge_format="[A-Z]{2}[0-9]{4}",
    )
    assert [row.badge for row in rows] == ["AB1234"]
    assert rejected == [(3, "badge_malformed")]
