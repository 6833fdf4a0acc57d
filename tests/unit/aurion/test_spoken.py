"""Spoken characters become badges, and never a badge the caller did not say."""

import pytest
from aurion import spoken
from aurion.badges import read_format
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.aurion import said_badges as say

LANGUAGES = ["en", "fr", "nl", "de"]
SIX = read_format("[0-9]{6}")
LETTERS = read_format("[A-Z]{2}[0-9]{4}")


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_badge_of_digits_said_aloud_reads_back(language: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(4, 8))
    badge = data.draw(st.text("0123456789", min_size=length, max_size=length))
    text = data.draw(st.sampled_from(say.PRELUDES[language])) + data.draw(
        say.said_digits(badge, language)
    )
    found = spoken.readings(text, language, read_format(f"[0-9]{{{length}}}"))
    assert badge in found, text
    assert len(found) <= 4


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_badge_of_letters_and_digits_said_aloud_reads_back(
    language: str, data: st.DataObject
) -> None:
    letters = data.draw(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2))
    digits = data.draw(st.text("0123456789", min_size=4, max_size=4))
    first, second = say.said_letters(letters, language), say.said_digits(digits, language)
    text = f"{data.draw(first)} {data.draw(second)}"
    found = spoken.readings(text, language, LETTERS)
    assert letters + digits in found, text


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_badge_with_a_digit_too_few_or_too_many_is_no_badge(
    language: str, data: st.DataObject
) -> None:
    length = data.draw(st.sampled_from([3, 4, 5, 7, 8]))
    digits = data.draw(st.lists(st.integers(0, 9), min_size=length, max_size=length))
    text = ", ".join(say.DIGITS[language][digit] for digit in digits)
    assert spoken.readings(text, language, SIX) == (), text


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200), st.sampled_from(LANGUAGES))
def test_any_text_gives_at_most_four_distinct_badges_that_fit(text: str, language: str) -> None:
    found = spoken.readings(text, language, LETTERS)
    assert len(found) == len(set(found)) <= 4
    assert all(LETTERS.fits(badge) for badge in found)


@pytest.mark.parametrize(
    ("language", "text", "badge"),
    [
        ("en", "My badge number is four seven one one two nine.", "471129"),
        ("en", "Eight zero three, double five, six.", "803556"),
        ("en", "8-0-3, double 5-6.", "803556"),
        ("en", "8 0 3 double 56", "803556"),
        ("en", "471,129", "471129"),
        ("en", "My badge number is 47-11-29.", "471129"),
        ("en", "for seven won won to nine", "471129"),
        ("en", "ate oh three five five six", "803556"),
        ("en", "forty seven eleven twenty nine", "471129"),
        ("en", "four hundred and twelve, one twenty-nine", "412129"),
        ("en", "badge no. 471129, thank you", "471129"),
        ("en", "471129, I repeat, 471129", "471129"),
        ("en", "Oh, four seven one, and then one two nine", "471129"),
        ("en", "three zeros, four, two sevens", "000477"),
        ("fr", "Mon numéro de badge est deux neuf zéro quatre un six.", "290416"),
        ("fr", "Et deux, neuf, véros quatre, un, six", "290416"),
        ("fr", "de neuf zéro quatre en six", "290416"),
        ("fr", "cette wit deux zéro un un", "782011"),
        ("fr", "5, quatre, huit, c'est trois deux", "548632"),
        ("fr", "Cinq neuf en trois neufs six.", "591396"),
        ("fr", "septante-sept nonante et un huitante", "779180"),
        ("fr", "soixante-dix-sept quatre-vingt-onze quatre-vingts", "779180"),
        ("fr", "deux fois quatre, trois zéros, un", "440001"),
        ("nl", "zevenenveertig elf negenentwintig", "471129"),
        ("nl", "zeven en veertig elf negen en twintig", "471129"),
        ("nl", "vier zeven één één twee negen", "471129"),
        ("de", "siebenundvierzig elf neunundzwanzig", "471129"),
        ("de", "zwo neun null vier eins sechs", "290416"),
        ("de", "vier sieben eins eins zwei nein", "471129"),
        ("de", "vierhundertzwölf eins zwo neun", "412129"),
    ],
)
def test_most_likely_reading(language: str, text: str, badge: str) -> None:
    assert spoken.readings(text, language, SIX)[0] == badge


@pytest.mark.parametrize(
    ("language", "text", "badge"),
    [
        ("en", "AC 47 42", "AC4742"),
        ("en", "a C7, double 4-2", "AC7442"),
        ("en", "A as in Alpha, C as in cat, four seven four two", "AC4742"),
        ("en", "B for Bernard, zed, 4742", "BZ4742"),
        ("en", "see double u 4742", "CW4742"),
        ("fr", "B comme Bernard, C comme Célestin, 4742", "BC4742"),
        ("fr", "double vé, i grec, quatre sept quatre deux", "WY4742"),
        ("nl", "B van Bernard, zet, zevenenveertig tweeënveertig", "BZ4742"),
        ("de", "Anton Cäsar siebenundvierzig zweiundvierzig", "AC4742"),
    ],
)
def test_letters(language: str, text: str, badge: str) -> None:
    assert spoken.readings(text, language, LETTERS)[0] == badge


def test_an_unhyphenated_french_number_has_both_readings() -> None:
    found = spoken.readings("quatre vingt six, un, deux, neuf", "fr", read_format("[0-9]{4,6}"))
    assert found[0] == "86129"
    assert set(found) == {"86129", "806129", "426129"}
    assert spoken.readings("quatre vingt six, un, deux", "fr", SIX) == ("420612",)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "four seven... no, four eight one"),
        ("en", "four seven one one two eight, no, nine"),
        ("en", "471129, no wait"),
        ("en", "2344444"),
        ("en", "23444444"),
        ("en", "222222"),
        ("en", "4711299"),
        ("en", "my number is 47 and my other number is 1129"),
        ("en", "hello?"),
        ("en", ""),
        ("fr", "2,9086"),
        # heard for "quatre un six": the digit that is missing must not be made up
        ("fr", "deux neuf zéro quatre-vingt-six"),
        ("fr", "deux neuf, non pardon, deux huit zéro"),
        # a word that may be a six is none at the end or the start of a row
        ("fr", "deux neuf zéro quatre un, c'est tout"),
        ("fr", "C'est neuf zéro quatre un deux"),
    ],
)
def test_what_does_not_fit_is_no_attempt(language: str, text: str) -> None:
    assert spoken.readings(text, language, SIX) == ()


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "four seven one, no, sorry, four eight one one two nine"),
        ("fr", "quatre sept, non, quatre huit un un deux neuf"),
        ("nl", "vier zeven, nee, ik bedoel vier acht een een twee negen"),
        ("de", "vier sieben, nein, vier acht eins eins zwei neun"),
    ],
)
def test_a_correction_that_starts_over_counts(language: str, text: str) -> None:
    assert spoken.readings(text, language, SIX) == ("481129",)
