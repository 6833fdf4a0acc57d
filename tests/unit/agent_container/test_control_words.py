import pytest

from agent_container import control_words

SAID = [
    ("I would like to speak to a person, please.", "en", "person"),
    ("Can you put me through to somebody?", "en", "person"),
    ("agent", "en", "person"),
    ("An operator, please.", "en", "person"),
    ("0", "en", "person"),
    ("zero", "en", "person"),
    ("I don't want to talk to a person.", "en", None),
    ("I spoke to an agent yesterday.", "en", None),
    ("The agent software on my laptop crashes.", "en", None),
    ("My badge number is zero four.", "en", None),
    ("Please don't record me.", "en", "silent"),
    ("I do not want to be recorded.", "en", "silent"),
    ("Stop recording.", "en", "silent"),
    ("I can't record a meeting in Teams.", "en", None),
    ("Never mind, goodbye.", "en", "goodbye"),
    ("Say goodbye to my laptop, it is dead.", "en", None),
    ("Je voudrais parler à quelqu'un.", "fr", "person"),
    ("Passez-moi un conseiller, s'il vous plaît.", "fr", "person"),
    ("Une personne.", "fr", "person"),
    ("Je ne veux pas parler à une personne.", "fr", None),
    ("J'ai parlé avec un technicien hier.", "fr", None),
    ("Ne m'enregistrez pas.", "fr", "silent"),
    ("Je ne veux pas être enregistré.", "fr", "silent"),
    ("Je n'arrive pas à enregistrer mon fichier.", "fr", None),
    ("Non merci, au revoir.", "fr", "goodbye"),
    ("Ik wil met een medewerker spreken.", "nl", "person"),
    ("Kunt u mij doorverbinden?", "nl", "person"),
    ("Neem dit gesprek niet op.", "nl", "silent"),
    ("Tot ziens.", "nl", "goodbye"),
    ("Ich möchte mit einem Mitarbeiter sprechen.", "de", "person"),
    ("Nehmen Sie mich nicht auf.", "de", "silent"),
    ("Auf Wiederhören!", "de", "goodbye"),
    ("Mein Rechner startet nicht.", "de", None),
]


@pytest.mark.parametrize(("text", "language", "expected"), SAID)
def test_control_words_are_heard(text: str, language: str, expected: str | None) -> None:
    assert control_words.find(text, [language]) == expected


def test_every_language_of_the_company_is_listened_to() -> None:
    assert control_words.find("Je voudrais parler à quelqu'un.", ["en", "fr"]) == "person"
    assert control_words.find("Je voudrais parler à quelqu'un.", ["en"]) is None
