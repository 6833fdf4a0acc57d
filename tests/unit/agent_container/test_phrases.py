import pytest

from agent_container import phrases


@pytest.mark.parametrize("language", phrases.LANGUAGES)
def test_every_language_says_the_same_things(language: str) -> None:
    assert phrases.keys(language) == phrases.keys("en")


@pytest.mark.parametrize("language", phrases.LANGUAGES)
def test_what_is_ready_made_has_no_slot(language: str) -> None:
    ready = phrases.sentences(language)
    assert len(ready) > 50
    assert not [sentence for sentence in ready if "{" in sentence]


def test_a_phrase_is_filled() -> None:
    assert phrases.say("verify.welcome", "fr", name="Claire") == "Merci, Claire."
