"""No badge gets past the guard, however it is said and split; what is no badge does."""

import pytest
from aurion.badges import BadgeFormat, read_format
from aurion.guard import REDACTED, BadgeGuard, Part, Verdict
from aurion.lexicons import lexicon
from aurion.spoken import lattice, tokenize
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.aurion import said_badges as say

LANGUAGES = ["en", "fr", "nl", "de"]
SIX = read_format("[0-9]{6}")
LETTERS = read_format("[A-Z]{2}[0-9]{4}")
TAILS = ["", " doesn't open the door", " and it does not work", ", thank you."]


def guard(badge_format: BadgeFormat = SIX, *languages: str) -> BadgeGuard:
    return BadgeGuard(badge_format, languages or ("en", "fr"))


def said_characters(text: str, language: str, badge_format: BadgeFormat = SIX) -> int:
    """Count the words of a text that say a digit or letter whatever stands around them."""
    text = text.replace(REDACTED, " ")
    read = lattice(tokenize(text), lexicon(language), badge_format.alphabet, loops=True)
    return sum(read.strong)


def text_of(*verdicts: Verdict) -> str:
    return " ".join(verdict.text for verdict in verdicts)


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_badge_of_digits_gets_past(language: str, data: st.DataObject) -> None:
    badge = data.draw(st.text("0123456789", min_size=6, max_size=6))
    said = data.draw(say.said_digits(badge, language))
    text = (
        data.draw(st.sampled_from(say.PRELUDES[language]))
        + said
        + data.draw(st.sampled_from(TAILS))
    )
    tried = guard(SIX, *data.draw(st.permutations(LANGUAGES)))
    verdict = tried.check(text)
    assert verdict.state == "redacted", text
    assert said_characters(verdict.text, language) == 0, (text, verdict.text)
    assert verdict.text.replace(REDACTED, said) == text


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_badge_of_letters_and_digits_gets_past(language: str, data: st.DataObject) -> None:
    letters = data.draw(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2))
    digits = data.draw(st.text("0123456789", min_size=4, max_size=4))
    first, second = say.said_letters(letters, language), say.said_digits(digits, language)
    tried = guard(LETTERS, language)
    verdict = tried.check(f"{data.draw(first)} {data.draw(second)}")
    assert verdict.state == "redacted"
    assert said_characters(verdict.text, language, LETTERS) == 0


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_badge_said_in_two_utterances_leaves_at_most_two_characters(
    language: str, data: st.DataObject
) -> None:
    badge = data.draw(st.text("0123456789", min_size=6, max_size=6))
    cut = data.draw(st.integers(1, 5))
    words = [say.DIGITS[language][int(digit)] for digit in badge]
    going_on = data.draw(
        st.sampled_from({"en": ["", "and then "], "fr": ["", "et puis "]}.get(language, [""]))
    )
    tried = guard(SIX, language)
    first = tried.check(data.draw(st.sampled_from(say.PRELUDES[language])) + " ".join(words[:cut]))
    second = tried.check(going_on + " ".join(words[cut:]) + data.draw(st.sampled_from(TAILS)))
    out = text_of(first, second, tried.flush())
    assert said_characters(out, language) <= 2, out
    assert REDACTED in out


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=4))
def test_every_utterance_comes_out_once_and_in_order(texts: list[str]) -> None:
    tried = guard()
    verdicts = [tried.check(text) for text in texts]
    verdicts.append(tried.flush())
    parts = [part for verdict in verdicts for part in verdict.parts]
    assert len(parts) == len(texts)
    for verdict in verdicts:
        assert (verdict.state == "redacted") == any(part.redacted for part in verdict.parts)
        assert (verdict.state == "redacted") == bool(verdict.spans)


@pytest.mark.parametrize(
    "text",
    [
        "My VPN keeps disconnecting since this morning.",
        "I have one laptop and two screens, and I need one more.",
        "It is ticket T-1042.",
        "INC0012345 please",
        "The code is 4711, what now?",
        "The error is 0x80070005.",
        "At 12:30 on the 24th of November 2026",
        "since November 24, 2026",
        "on 24/11/2026 it stopped",
        "2026-11-24 was the day",
        "my address is 10.0.0.12, and the router is 192.168.1.254 I think",
        "Windows 11 24H2",
        "the meeting is at twenty to nine",
        "can you add that I need it before Friday",
        "Mon imprimante ne fonctionne plus depuis hier, j'ai essayé deux ou trois fois.",
        "Non merci, c'est tout.",
        "I want to speak to a person for a minute",
        "three times four",
    ],
)
def test_harmless_text_goes_on_as_it_is(text: str) -> None:
    tried = guard()
    verdict = tried.check(text)
    if verdict.state == "hold":
        verdict = tried.flush()
    assert (verdict.state, verdict.text) == ("pass", text)


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("my badge 471129 doesn't open the door", f"my badge {REDACTED} doesn't open the door"),
        ("471129", REDACTED),
        ("it's 47 11 29.", f"it's {REDACTED}."),
        ("four seven 11 two nine okay", f"{REDACTED} okay"),
        ("222222", REDACTED),  # a recogniser's loop to the reader, perhaps a badge to a guesser
        ("47112 and that is it", f"{REDACTED} and that is it"),  # one digit was not heard
        ("4711299 is it", f"{REDACTED} is it"),
        ("call me on 0475 12 34 56 later", f"call me on {REDACTED} later"),
        ("ticket T-471129 please", f"ticket T-{REDACTED} please"),
        ("INC471129 please", f"INC{REDACTED} please"),
        ("error 0x471129 I think", f"error 0x{REDACTED} I think"),
        ("on 24/11/26 or so", f"on {REDACTED} or so"),
        ("four seven one, no, sorry, one one two nine is it", f"{REDACTED} is it"),
        (
            "the badge begins with four seven one and the end of it is one two nine, right",
            f"the badge begins with {REDACTED} and the end of it is {REDACTED}, right",
        ),
        ("my badge number is 471 I believe", f"my badge number is {REDACTED} I believe"),
        ("quatre sept un un deux neuf voilà", f"{REDACTED} voilà"),
        ("ＡＢ 471129 ok", f"AB {REDACTED} ok"),
    ],
)
def test_badges_are_taken_out(text: str, out: str) -> None:
    verdict = guard().check(text)
    assert (verdict.state, verdict.text) == ("redacted", out)


def test_spans_show_what_was_taken_out() -> None:
    text = "my badge 471129 doesn't open, 471129!"
    verdict = guard().check(text)
    assert [text[start:end] for start, end in verdict.spans] == ["471129", "471129"]


def test_an_unfinished_row_is_held_until_it_goes_on() -> None:
    tried = guard()
    assert tried.check("my badge four seven one") == Verdict("hold")
    verdict = tried.check("one two nine doesn't work")
    assert [(part.text, part.redacted) for part in verdict.parts] == [
        (f"my badge {REDACTED}", True),
        (f"{REDACTED} doesn't work", True),
    ]


def test_an_unfinished_row_is_let_go_when_nothing_follows() -> None:
    tried = guard()
    assert tried.check("the screen says 4711").state == "hold"
    said = "the screen says 4711"
    assert tried.flush() == Verdict("pass", said, (Part(said, redacted=False),))
    assert tried.flush() == Verdict("pass")


def test_an_unfinished_row_is_let_go_with_what_does_not_continue_it() -> None:
    tried = guard()
    assert tried.check("the screen says 4711").state == "hold"
    verdict = tried.check("and I can't get any further")
    assert verdict.state == "pass"
    assert verdict.text == "the screen says 4711 and I can't get any further"


def test_half_a_badge_after_the_word_is_taken_out() -> None:
    tried = guard()
    assert tried.check("my badge is 471").state == "hold"
    assert tried.flush().text == f"my badge is {REDACTED}"


def test_two_digits_each_in_three_utterances() -> None:
    tried = guard()
    out = [tried.check(text) for text in ("four seven", "one one", "two nine", "that's it")]
    assert out[0].text == "four seven"
    assert text_of(*out[1:]).split() == f"{REDACTED} {REDACTED} that's it".split()


def test_a_whole_badge_is_not_continued_by_other_numbers() -> None:
    tried = guard()
    assert tried.check("my badge is 471129").state == "redacted"
    assert tried.check("the printer is in room 12").state == "pass"


def test_four_digit_badges_take_every_four_digits_with_them() -> None:
    four = read_format("[0-9]{4}")
    assert guard(four).check("it is 4711 here").state == "redacted"
    assert guard(four).check("in room 12 since 9").state == "pass"


def test_a_fixed_prefix_need_not_be_said() -> None:
    prefixed = read_format("MW[0-9]{5}")
    assert guard(prefixed).check("my number 47112 please").state == "redacted"
    assert guard(prefixed).check("my number MW47112 please").state == "redacted"


def test_letters_are_not_badges_by_themselves() -> None:
    tried = guard(LETTERS)
    for text in (
        "I see you are a mike person",
        "the hotel in India",
        "VPN and USB",
        "room 4711 ok",
    ):
        assert tried.check(text).state == "pass", text
    assert tried.check("alpha C four seven four two thanks").state == "redacted"
    assert tried.check("it is A 4742 or so").state == "redacted"  # one letter was not heard
