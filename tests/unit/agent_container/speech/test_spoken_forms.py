import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_container.speech.spoken_forms import LANGUAGES, speakable

ENGLISH = [
    ("Your ticket is T-1042.", "Your ticket is T, one zero four two."),
    ("INC0012345 is open.", "I N C, zero zero one, two three four five is open."),
    ("See HELP-1234.", "See Help, one two three four."),
    ("COVID-19, MP3, A4 and F5", "COVID-19, MP3, A4 and F5"),
    ("Your VPN and your PIN", "Your VPN and your PIN"),
    ("Turn wifi on.", "Turn Wi-Fi on."),
    (
        "Open https://portal.meridian.example/help/vpn.",
        "Open portal dot meridian dot example slash help slash vpn.",
    ),
    ("Go to www.example.com/a_b", "Go to example dot com slash a underscore b"),
    (
        "Write to alice.martin@my-desk.example.",
        "Write to alice dot martin at my dash desk dot example.",
    ),
    ("Press Ctrl+Alt+Del, then Ctrl + C.", "Press Control Alt Delete, then Control C."),
    ("At 14:30, at 14:00 and at 9:05.", "At 2:30 PM, at 2 PM and at 9:05 AM."),
    ("At 10:30 am", "At 10:30 am"),
    ("Midnight is 00:00, noon 12:00.", "Midnight is 12 AM, noon 12 PM."),
    ("On 2026-11-24 or 01/12/2026.", "On November 24th, 2026 or December 1st, 2026."),
    ("Code 471129", "Code four seven one, one two nine"),
    ("About 10000 people and 1,250 tickets", "About 10000 people and 1,250 tickets"),
    (
        "Call +33 199 00 0001.",
        "Call plus three three, one nine nine, zero zero, zero zero zero one.",
    ),
    ("Error 0x80070005", "Error zero X, eight zero zero, seven zero zero, zero five"),
    ("Serial 5CD1234XYZ", "Serial five C D, one two three, four X Y Z"),
    ("Server 10.0.0.12", "Server 10 dot 0 dot 0 dot 12"),
    ("**Restart** it:\n- wait", "Restart it: wait"),
]
FRENCH = [
    ("Votre ticket est le T-1042.", "Votre ticket est le T, un zéro quatre deux."),
    ("Le VPN et le code PIN", "Le V P N et le code pine"),
    ("La RAM, le Wi-Fi, le wifi", "La RAM, le Wi-Fi, le Wi-Fi"),
    ("À 14h30, 14 h 05 ou 1h", "À 14 heures 30, 14 heures 5 ou une heure"),
    ("À 14:00", "À 14 heures"),
    ("Le 2026-12-01", "Le 1er décembre 2026"),
    ("Appuyez sur Ctrl+Alt+Suppr", "Appuyez sur Contrôle Alt Supprime"),
    ("claire@exemple.fr", "claire arobase exemple point fr"),
    ("N° 7, M. Dubois", "Numéro 7, Monsieur Dubois"),
    ("L’ordinateur\u00a0!", "L'ordinateur !"),
]
OTHERS = [
    ("nl", "Uw ticket is T-1042, om 14:30.", "Uw ticket is T, een nul vier twee, om 14 uur 30."),
    ("de", "Ihr Ticket ist T-1042, um 1:00.", "Ihr Ticket ist T, eins null vier zwei, um ein Uhr."),
    ("de", "Das VPN am 2026-11-24", "Das V P N am 24. November 2026"),
    ("es", "El ticket T-1042", "El ticket T-1042"),
]


@pytest.mark.parametrize(("written", "said"), ENGLISH)
def test_english_is_said_as_people_say_it(written: str, said: str) -> None:
    assert speakable(written, "en") == said


@pytest.mark.parametrize(("written", "said"), FRENCH)
def test_french_is_said_as_people_say_it(written: str, said: str) -> None:
    assert speakable(written, "fr") == said


@pytest.mark.parametrize(("language", "written", "said"), OTHERS)
def test_other_languages_are_said_sensibly(language: str, written: str, said: str) -> None:
    assert speakable(written, language) == said


def test_a_regional_language_uses_its_language() -> None:
    assert speakable("T-1042", "fr-CA") == "T, un zéro quatre deux"


@pytest.mark.parametrize("written", [written for written, _ in ENGLISH + FRENCH])
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_speakable_already_stays(written: str, language: str) -> None:
    once = speakable(written, language)
    assert speakable(once, language) == once


@given(st.text(max_size=200), st.sampled_from(LANGUAGES))
def test_any_text_can_be_spoken(text: str, language: str) -> None:
    assert "\n" not in speakable(text, language)


@given(st.integers(10, 99_999_999), st.sampled_from(LANGUAGES))
def test_no_digit_of_a_ticket_number_is_lost(number: int, language: str) -> None:
    said = speakable(f"T-{number}", language).replace(",", " ").split()[1:]
    digits = speakable("T-0123, T-456, T-789", language).replace(",", " ").split()
    names = [word for word in digits if word != "T"]
    assert "".join(str(names.index(word)) for word in said) == str(number)
