import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_container.speech.clauses import SHORTEST, Cutter, clauses, normalise, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        (
            "Dr. Smith and J. K. Lee came. They left.",
            ["Dr. Smith and J. K. Lee came.", "They left."],
        ),
        ("Version 3.5 is out, e.g. on Mac. Yes.", ["Version 3.5 is out, e.g. on Mac.", "Yes."]),
        ("Ouvrez-le ! Ça va ? Oui.", ["Ouvrez-le !", "Ça va ?", "Oui."]),
        ("« Ouvrez un ticket. » Bien.", ["« Ouvrez un ticket. »", "Bien."]),
        ("Wait… what? (Really.) Yes.", ["Wait… what?", "(Really.)", "Yes."]),
        ("One\n\nTwo\nthree", ["One", "Two", "three"]),
        ("  ", []),
        ("No end", ["No end"]),
    ],
)
def test_text_is_cut_where_a_sentence_ends(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_clause_ends_at_a_breath() -> None:
    assert clauses("Si cela n'aide pas, je peux ouvrir un ticket : VPN.") == [
        "Si cela n'aide pas,",
        "je peux ouvrir un ticket : VPN.",
    ]


def test_a_number_is_no_clause() -> None:
    assert clauses("It costs 1,250 euros at 10:30 tomorrow morning.") == [
        "It costs 1,250 euros at 10:30 tomorrow morning."
    ]


@given(st.text(alphabet="ab ,;:.!?…\n", max_size=80))
def test_cutting_loses_no_letter(text: str) -> None:
    kept = "".join(clause for sentence in sentences(text) for clause in clauses(sentence))
    assert "".join(kept.split()) == "".join(text.split())


@given(st.lists(st.text(alphabet="abC ,.!?", min_size=1, max_size=12), max_size=12))
def test_text_that_comes_in_pieces_is_cut_like_text_that_comes_whole(pieces: list[str]) -> None:
    cutter = Cutter(first_clause=1000)
    spoken = [part for piece in pieces for part in cutter.feed(piece)] + cutter.flush()
    assert "".join("".join(spoken).split()) == "".join("".join(pieces).split())
    assert all(part.strip() for part in spoken)


def test_the_first_clause_does_not_wait_for_its_sentence() -> None:
    cutter = Cutter(first_clause=20)
    assert cutter.feed("I can open a ticket for that, ") == []
    assert cutter.feed("or put you ") == ["I can open a ticket for that,"]
    assert cutter.feed("through, if you like") == []
    assert cutter.feed(". Shall") == ["or put you through, if you like."]
    assert cutter.flush() == ["Shall"]


def test_a_short_first_clause_waits() -> None:
    cutter = Cutter(first_clause=20)
    assert cutter.feed("Good morning, my ") == []
    assert len("Good morning,") > SHORTEST


def test_two_spellings_of_a_sentence_are_one() -> None:
    assert normalise("L’ordinateur  e\u0301teint\u202f?") == normalise("L'ordinateur éteint ?")
