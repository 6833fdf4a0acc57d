import pytest

from agent_container.speech.client import Heard
from agent_container.speech.hallucinations import is_invented, is_loop


def heard(text: str, *, confidence: float = 0.9, no_speech: float = 0.02) -> Heard:
    return Heard(text, "en", confidence, no_speech)


@pytest.mark.parametrize(
    "said",
    [
        heard(""),
        heard(" ... "),
        heard("you", confidence=0.29, no_speech=0.69),
        heard("My laptop is slow.", confidence=0.3, no_speech=0.7),
        heard("Thank you for watching!"),
        heard("Sous-titres réalisés par la communauté d'Amara.org"),
        heard("Sous-titrage ST' 501"),
        heard("Ondertitels ingediend door de Amara.org gemeenschap"),
        heard("Thank you.", confidence=0.45),
        heard("Merci.", no_speech=0.5),
        heard("more the more the more the more the more the more the"),
        heard("2344444444444"),
        heard("no " * 9),
    ],
)
def test_what_nobody_said_is_dropped(said: Heard) -> None:
    assert is_invented(said)


@pytest.mark.parametrize(
    "said",
    [
        heard("Thank you."),
        heard("Yes."),
        heard("Okay.", no_speech=0.2),
        heard("My VPN keeps disconnecting.", confidence=0.3),
        heard("My VPN keeps disconnecting.", no_speech=0.8),
        heard("No, no, no, no."),
        heard("4 4 4 4 4 4 4 4 4"),
        heard("803-556"),
        heard("It says error, error, error, and then it stops."),
        heard("Merci, au revoir.", confidence=0.4),
    ],
)
def test_what_a_caller_says_is_kept(said: Heard) -> None:
    assert not is_invented(said)


def test_a_loop_is_found_behind_real_words() -> None:
    assert is_loop("My printer is broken and then I said I said I said I said I said I said")
    assert not is_loop("My printer is broken and then I said I would call.")
