"""Guesses that agree make a badge; light ones, loops and texts cut off make none."""

import math

from aurion.badges import read_format

from agent_container.badge_capture import choose
from agent_container.speech.client import Guess

SIX = read_format("[0-9]{6}")


def guess(text: str, probability: float = 0.9, *, cut: bool = False) -> Guess:
    return Guess(text, math.log(probability), cut)


def chosen(*lists: list[Guess], language: str = "en") -> tuple[str, ...]:
    return choose(lists, language=language, badge_format=SIX)


def test_what_all_hearings_agree_on_is_taken() -> None:
    assert chosen([guess("It's 471129.")], [guess("four seven one one two nine")]) == ("471129",)


def test_the_heavier_reading_goes_first_and_a_trace_is_dropped() -> None:
    wrong, right = guess("471120", 0.9), guess("471129", 0.85)
    assert chosen([wrong, right]) == ("471120", "471129")
    assert chosen([guess("471120", 0.9), guess("471129", 0.5)]) == ("471120",)


def test_in_a_noisy_room_hearings_must_agree() -> None:
    noise = [[guess("The weather is fine.", 0.6)]] * 5
    assert chosen([guess("471129", 0.6)], *noise) == ()
    assert chosen([guess("471129", 0.6)], *noise[:2]) == ("471129",)


def test_on_a_clear_line_one_hearing_is_enough() -> None:
    assert chosen([guess("471129")], *[[guess("It's 4711 to 9.", 0.6)]] * 5) == ("471129",)


def test_french_needs_more_agreement_than_english() -> None:
    lists = [[guess(text, 0.6)] for text in ("471129", "Bonjour.", "Merci.", "Oui.")]
    assert chosen(*lists) == ("471129",)
    assert chosen(*lists, language="fr") == ()


def test_a_loop_or_a_cut_text_says_nothing() -> None:
    assert chosen([guess("471129", cut=True)]) == ()
    assert chosen([guess("5 5 5 5 5 5 5 5 5 5 5 5")]) == ()


def test_nothing_heard_is_no_attempt() -> None:
    assert chosen() == ()
    assert chosen([]) == ()
    assert chosen([guess("It is four seven one one two.")]) == ()
