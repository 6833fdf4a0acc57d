"""The search for a value in every form: what is found, and what is not mistaken for it."""

import base64
import gzip
import json
import zlib
from urllib.parse import quote

import pytest

from local.scan.forms import canary, find, join

BADGE = "471129"
NINES = "803996"


@pytest.mark.parametrize(
    "text",
    [
        "badge 471129.",
        '{"badge":"471129"}',
        "4 7 1 1 2 9",
        "4-7-1-1-2-9",
        "4, 7, 1, 1, 2, 9",
        '["4", "7", "1", "1", "2", "9"]',
        "47 11 29",
        "471-129",
        "is 471. 1, 2, 9, in case",
        "4711, 2, 9",
        "for 7-1-1-2-9",
        "four 7 1 one 2 nine",
        "quatre 7, 1, un, 2 neuf",
        "four seven one one two nine",
        "Four-seven, one one, two... NINE",
        "four seven double one two nine",
        "forty-seven eleven twenty-nine",
        "four hundred and seventy-one, one hundred twenty-nine",
        "quatre sept un un deux neuf",
        "quarante-sept, onze, vingt-neuf",
        "quatre cent soixante et onze cent vingt-neuf",
        "vier zeven een een twee negen",
        "zevenenveertig elf negenentwintig",
        "vier sieben eins eins zwei neun",
        "vier sieben eins eins zwo neun",
        "siebenundvierzig elf neunundzwanzig",
        "reversed: 921174",
        b"471129".hex(),
        "34 37 31 31 32 39",
        "%34%37%31%31%32%39",
        "\\x34\\x37\\x31\\x31\\x32\\x39",
        "\\u0034\\u0037\\u0031\\u0031\\u0032\\u0039",
        quote("four seven one one two nine"),
    ],
)
def test_badge_is_found_however_it_is_written(text: str) -> None:
    wanted = [canary(BADGE)]
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-16"):
        assert find(f"before {text} after".encode(encoding), wanted), encoding
    assert find(f"before {text.upper()} after".encode(), wanted) or "\\" in text


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "the badge is "])
@pytest.mark.parametrize("said", ["471129", "4 7 1 1 2 9", "four seven one one two nine"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_badge_is_found_in_base64_wherever_it_begins(before: str, said: str, encode) -> None:
    assert find(encode(f"{before}{said} and more".encode()), [canary(BADGE)])


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_badge_is_found_in_packed_data(pack) -> None:
    assert find(pack(b"a line with 471129 in it"), [canary(BADGE)])


@pytest.mark.parametrize(
    "text",
    [
        "huit zéro trois neuf neuf six",
        "huit zéro trois double neuf six",
        "acht nul drie negen negen zes",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_accents_hide_nothing(text: str, encoding: str) -> None:
    assert find(text.encode(encoding), [canary(NINES)])
    assert find(json.dumps(text).encode(), [canary(NINES)])


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24 08:47:11.29",
        "10:00:00.471129+00",
        "1795.471129",
        "4.71129",
        "for 71128",
        "14711290",
        "04:47:11:29",
        "2047-11-29",
        "471128",
        "four seven one one two eight",
    ],
)
def test_clocks_and_longer_numbers_are_no_badge(text: str) -> None:
    assert not find(text.encode(), [canary(BADGE)])


def test_values_beside_each_other_are_not_read_as_one() -> None:
    assert not find(join([b"471", b"129"]), [canary(BADGE)])
    assert find(join([b"471129", b"x"]), [canary(BADGE)])


def test_badge_of_letters_and_digits() -> None:
    wanted = [canary("AB-1207")]
    for text in ("ab1207", "A B 1 2 0 7", "AB-1207", "alpha bravo one two zero seven"):
        assert find(text.encode(), wanted), text


def test_other_text_is_found_whatever_its_case() -> None:
    wanted = [canary("Worknote of Émile: swordfish")]
    assert find("xx WORKNOTE OF ÉMILE: SWORDFISH".encode(), wanted)
    assert find(base64.b64encode("Worknote of Émile: swordfish".encode()), wanted)
    assert not find(b"worknote of somebody else", wanted)


def test_report_names_a_value_by_its_number_only() -> None:
    wanted = [canary(BADGE, 1), canary(NINES, 2)]
    found = find(b"803996", wanted)
    assert {hit.canary for hit in found} == {2}
    assert all(NINES not in hit.form for hit in found)


def test_value_too_short_to_mean_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="short"):
        canary("12")
