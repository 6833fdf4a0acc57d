"""What an utterance carries besides its intent."""

import pytest

from agent_container.engine import cues, slots

EN, FR = cues.in_language("en"), cues.in_language("fr")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("what about T-1042", "T1042"),
        ("INC 10234 please", "INC10234"),
        ("status of ticket 1042", "1042"),
        ("1042", "1042"),
        ("what's the latest on number 1028", "1028"),
        ("I get error 8004 when I log in", None),
        ("Windows 2019 does not start", None),
        ("my laptop is broken", None),
        ("I have called 3 times", None),
    ],
)
def test_ticket_number_is_told_from_other_digits(text: str, number: str | None) -> None:
    assert slots.ticket_number(text, EN) == number


@pytest.mark.parametrize(
    ("mentioned", "number", "same"),
    [
        ("1042", "T-1042", True),
        ("T1042", "T-1042", True),
        ("INC0010234", "INC10234", True),
        ("104", "T-1042", False),
        ("", "T-1042", False),
    ],
)
def test_numbers_are_compared_by_their_digits(mentioned: str, number: str, same: bool) -> None:
    assert slots.same_number(mentioned, number) is same


@pytest.mark.parametrize(
    ("text", "language", "summary"),
    [
        (
            "My VPN keeps disconnecting since this morning.",
            EN,
            "VPN keeps disconnecting since this morning",
        ),
        ("uh hi yeah my mouse is dead", EN, "Mouse is dead"),
        ("Mon imprimante ne fonctionne plus.", FR, "Imprimante ne fonctionne plus"),
        ("L'imprimante fume.", FR, "L'imprimante fume"),
        ("can you order me a new chair? thanks", EN, "Order me a new chair"),
        ("help", EN, "Help"),
    ],
)
def test_summary_is_in_the_callers_words(text: str, language: cues.Cues, summary: str) -> None:
    assert slots.summary(text, language) == summary


def test_summary_is_short() -> None:
    assert len(slots.summary("my computer " + "crashes and restarts " * 20, EN)) <= 80


@pytest.mark.parametrize(
    ("text", "language", "about"),
    [
        ("please open a ticket for my broken monitor", EN, "my broken monitor"),
        ("open a ticket for that", EN, None),
        ("open a ticket please", EN, None),
        ("ouvrez un ticket pour mon écran cassé", FR, "mon écran cassé"),
        ("ouvrez un ticket pour l'imprimante", FR, "l'imprimante"),
        ("ouvrez un ticket pour ça", FR, None),
    ],
)
def test_subject_of_a_ticket_is_taken_from_the_request(
    text: str, language: cues.Cues, about: str | None
) -> None:
    assert slots.about(text, language) == about


@pytest.mark.parametrize(
    ("text", "language", "claims"),
    [
        ("I already restarted the laptop, but it did not help.", EN, 1),
        ("we have checked the cable and I rebooted", EN, 2),
        ("my laptop restarts by itself", EN, 0),
        ("J'ai déjà redémarré mon ordinateur", FR, 1),
    ],
)
def test_what_was_done_already_is_noticed(text: str, language: cues.Cues, claims: int) -> None:
    assert len(slots.claims(text, language)) == claims


def test_letters_spelled_apart_are_one_word() -> None:
    assert slots.plain("uh hi my v p n drops", EN) == "my vpn drops"


def test_number_is_spelled_letter_by_letter() -> None:
    assert slots.spelled("T-1042") == "T, 1, 0, 4, 2"
