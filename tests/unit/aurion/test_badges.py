"""A badge format says what a badge is, and how much it can prove."""

import pytest
from aurion import badges
from aurion.errors import BadgeFormatMalformed, BadgeMalformed
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("pattern", "bits", "weak"),
    [
        (r"\d{4}", 13.3, True),
        ("[0-9]{6}", 19.9, True),
        ("[0-9]{7}", 23.3, False),
        ("[A-Z]{2}[0-9]{4}", 22.7, False),
        ("MW[0-9]{5}", 16.6, True),
        ("[0-9]{4,8}", 26.7, False),
        ("[ABC][0-9]{4}", 14.9, True),
        ("[0-9]{3}[0-9]{0,1}[0-9]{1}", 16.7, True),
    ],
)
def test_bits_of_a_format(pattern: str, bits: float, weak: bool) -> None:
    read = badges.read_format(pattern)
    assert read.bits == pytest.approx(bits, abs=0.06)
    assert read.weak == weak


@pytest.mark.parametrize(
    "pattern",
    ["", "[0-9]{3}", "[0-9]+", "[a-z]{6}", "[0-9]{6}.*", "(1|2){8}", "[0-9]{17}", "[9-0]{6}",
     "[0-9]{6,5}", "[0-Z]{6}", "[-9]{6}", "ABCDEF", "[0-9]{0}", " [0-9]{6}"],
)  # fmt: skip
def test_what_is_no_format(pattern: str) -> None:
    with pytest.raises(BadgeFormatMalformed):
        badges.read_format(pattern)


@pytest.mark.parametrize(
    ("pattern", "fitting", "unfitting"),
    [
        ("[0-9]{6}", ["471129", "000000"], ["47112", "4711290", "47112A", ""]),
        ("[A-Z]{2}[0-9]{4}", ["AC4742"], ["A44742", "AC474", "AC47420"]),
        ("[0-9]{4,6}", ["4711", "47112", "471129"], ["471", "4711290"]),
        ("MW[0-9]{5}", ["MW47112"], ["WM47112", "47112"]),
    ],
)
def test_what_fits(pattern: str, fitting: list[str], unfitting: list[str]) -> None:
    read = badges.read_format(pattern)
    assert all(map(read.fits, fitting))
    assert not any(map(read.fits, unfitting))


@pytest.mark.parametrize(
    ("written", "badge"),
    [
        ("47-11 29", "471129"),
        (" ac 4742\n", "AC4742"),
        ("４７１１２９", "471129"),
        ("#47.11.29", "471129"),
    ],
)
def test_canonical(written: str, badge: str) -> None:
    assert badges.canonical(written) == badge


@settings(deadline=None)
@given(st.text(max_size=40))
def test_canonical_twice_is_canonical(text: str) -> None:
    once = badges.canonical(text)
    assert badges.canonical(once) == once


def test_a_badge_of_another_format_is_not_enrolled_and_not_shown() -> None:
    with pytest.raises(BadgeMalformed) as caught:
        badges.check_format("47-11-2", badges.read_format("[0-9]{6}"))
    assert "47" not in str(caught.value)
