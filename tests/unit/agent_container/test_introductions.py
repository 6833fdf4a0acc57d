import pytest
from aurion.badges import read_format

from agent_container import introductions

SIX = read_format("[0-9]{6}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi, this is Alice Martin.", "en"),
        ("Bonjour, je m'appelle Claire Dubois.", "fr"),
        ("Alice Martin", "en"),
        ("Mon imprimante ne fonctionne plus, c'est urgent.", "fr"),
    ],
)
def test_a_typed_sentence_has_a_language(text: str, expected: str) -> None:
    assert introductions.language_of(text, ("en", "fr")) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("My badge number is four seven one one two nine.", "en", False),
        ("Eight zero three, double five, six.", "en", False),
        ("This is Alice Martin, badge 471129.", "en", True),
        ("Alice Martin four seven one one two nine", "en", True),
        ("Mon numéro de badge est deux neuf zéro quatre un six.", "fr", False),
        ("Claire Dubois, deux neuf zéro quatre un six.", "fr", True),
        ("It's 471129.", "en", False),
        ("My VPN keeps disconnecting since this morning.", "en", False),
        ("My VPN keeps disconnecting since this morning, this is Alice Martin.", "en", True),
    ],
)
def test_a_name_beside_a_badge_is_noticed(text: str, language: str, expected: bool) -> None:
    assert introductions.may_hold_name(text, language) is expected


@pytest.mark.parametrize(
    ("said", "person", "language", "expected"),
    [
        (["My VPN is down, this is Alice Martin."], "Alice Martin", "en", "My VPN is down."),
        (
            ["Hi, this is Alice Martin and my VPN keeps disconnecting."],
            "Alice Martin",
            "en",
            "my VPN keeps disconnecting.",
        ),
        (["Hi, this is Alice Martin.", "My badge is 471129."], "Alice Martin", "en", ""),
        (
            ["Alice Martin.", "four seven one one two nine, and the printer is jammed again"],
            "Alice Martin",
            "en",
            "the printer is jammed again.",
        ),
        (
            ["Bonjour, Claire Dubois, mon imprimante ne fonctionne plus."],
            "Claire Dubois",
            "fr",
            "mon imprimante ne fonctionne plus.",
        ),
        (["Bonjour, je m'appelle Claire Dubois."], "Claire Dubois", "fr", ""),
        (
            ["Hello, my name is Tom Becker.", "Eight zero three, double five, six."],
            "Tom Becker",
            "en",
            "",
        ),
    ],
)
def test_only_the_reason_for_the_call_is_kept(
    said: list[str], person: str, language: str, expected: str
) -> None:
    reason = introductions.reason_for_call(said, person=person, language=language, badge_format=SIX)
    assert reason == expected
