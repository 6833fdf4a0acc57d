"""A caller's words agree, refuse, ask for a ticket, or do none of these: nothing is guessed."""

import pytest

from agent_container.consent import Context, Verdict, adds_comment, comment_in, is_closing, judge

ASKED: list[tuple[str, str, Verdict]] = [
    ("en", "Yes.", "yes"),
    ("en", "yes please", "yes"),
    ("en", "Yeah, sure, go ahead.", "yes"),
    ("en", "Sure, that would be great, thank you.", "yes"),
    ("en", "uh yes", "yes"),
    ("en", "OK, please do.", "yes"),
    ("en", "that's fine", "yes"),
    ("en", "Yes, please open a ticket.", "open_ticket"),
    ("en", "please open a ticket", "open_ticket"),
    ("en", "No, it didn't help, open a ticket please.", "open_ticket"),
    ("en", "can you create a ticket for that?", "open_ticket"),
    ("en", "yes open a ticket for me", "open_ticket"),
    ("en", "I would like a ticket", "open_ticket"),
    ("en", "No.", "no"),
    ("en", "No, thank you.", "no"),
    ("en", "No that's fine.", "no"),
    ("en", "not now", "no"),
    ("en", "please don't open a ticket", "no"),
    ("en", "I'd rather not.", "no"),
    ("en", "Leave it.", "no"),
    ("en", "Yes, but not today.", "unclear"),
    ("en", "yes if it is free", "unclear"),
    ("en", "Yes?", "unclear"),
    ("en", "What happens if you open a ticket?", "unclear"),
    ("en", "Do I need to open a ticket?", "unclear"),
    ("en", "I opened a ticket yesterday", "unclear"),
    ("en", "I already have a ticket", "unclear"),
    ("en", "yesterday", "unclear"),
    ("en", "no wait yes", "unclear"),
    ("en", "my screen is black", "unclear"),
    ("en", "Open a ticket for my printer.", "unclear"),
    ("en", "maybe", "unclear"),
    ("en", "", "unclear"),
    ("en", "Yes, my printer is broken too.", "unclear"),
    ("fr", "Oui.", "yes"),
    ("fr", "Oui, allez-y.", "yes"),
    ("fr", "oui bien sûr merci", "yes"),
    ("fr", "D'accord, faites-le.", "yes"),
    ("fr", "Oui, ouvrez un ticket s'il vous plaît.", "open_ticket"),
    ("fr", "Vous pouvez ouvrir un ticket ?", "open_ticket"),
    ("fr", "Je voudrais un ticket.", "open_ticket"),
    ("fr", "Non, ça n'a pas marché, ouvrez un ticket.", "open_ticket"),
    ("fr", "Non merci.", "no"),
    ("fr", "non ça va", "no"),
    ("fr", "N'ouvrez pas de ticket.", "no"),
    ("fr", "Pas la peine.", "no"),
    ("fr", "Oui mais demain", "unclear"),
    ("fr", "J'ai déjà ouvert un ticket hier.", "unclear"),
    ("fr", "Est-ce qu'il faut ouvrir un ticket ?", "unclear"),
    ("fr", "peut-être", "unclear"),
    ("nl", "Ja graag.", "yes"),
    ("nl", "ja, doe maar", "yes"),
    ("nl", "Nee, dank u.", "no"),
    ("nl", "Ja, open een ticket alstublieft.", "open_ticket"),
    ("nl", "ja maar niet vandaag", "unclear"),
    ("de", "Ja, gerne.", "yes"),
    ("de", "Ja bitte.", "yes"),
    ("de", "Nein, danke.", "no"),
    ("de", "Ja, öffnen Sie bitte ein Ticket.", "open_ticket"),
    ("de", "ja aber nicht heute", "unclear"),
]


@pytest.mark.parametrize(("language", "text", "verdict"), ASKED)
def test_answer_to_a_question_is_judged(language: str, text: str, verdict: Verdict) -> None:
    assert judge(text, language) == verdict


@pytest.mark.parametrize(
    ("language", "text", "context", "verdict"),
    [
        ("en", "Yes.", "offered", "unclear"),
        ("en", "No.", "offered", "unclear"),
        ("en", "No, it did not help.", "offered", "unclear"),
        ("en", "No, no ticket please.", "offered", "no"),
        ("en", "Yes, please open a ticket.", "offered", "open_ticket"),
        ("fr", "Oui, ouvrez un ticket s'il vous plaît.", "offered", "open_ticket"),
        ("fr", "Oui.", "offered", "unclear"),
        ("en", "No, that is all. Thank you, goodbye.", "anything_else", "unclear"),
        ("fr", "Non merci, c'est tout. Au revoir.", "anything_else", "unclear"),
        ("en", "Yes, open a ticket for my printer", "anything_else", "open_ticket"),
    ],
)
def test_answer_is_judged_by_what_was_asked(
    language: str, text: str, context: Context, verdict: Verdict
) -> None:
    assert judge(text, language, context=context) == verdict


@pytest.mark.parametrize(
    ("language", "text", "closing"),
    [
        ("en", "No, that is all. Thank you, goodbye.", True),
        ("en", "that's it thanks", True),
        ("en", "bye", True),
        ("en", "no", False),
        ("en", "No, that is all wrong", False),
        ("fr", "Non merci, c'est tout. Au revoir.", True),
        ("fr", "c'est tout pour moi merci", True),
        ("fr", "c'est tout noir", False),
        ("nl", "nee dat was alles bedankt", True),
        ("de", "Nein, das war alles, danke.", True),
    ],
)
def test_closing_words_end_the_call_only_alone(language: str, text: str, closing: bool) -> None:
    assert is_closing(text, language) is closing


@pytest.mark.parametrize(
    ("language", "utterance", "text", "adds"),
    [
        ("en", "Can you add that I need it before Friday?", "I need it before Friday", True),
        ("en", "Can you add that I need it before Friday?", "i need it before friday.", True),
        ("en", "Please note I'm in building 4", "I'm in building 4", True),
        ("en", "could you tell them that I work from home tomorrow", "I work from home", True),
        ("en", "Can you add that I need it before Friday?", "The caller needs it Friday", False),
        ("en", "I need it before Friday", "I need it before Friday", False),
        ("en", "Don't add that I need it before Friday", "I need it before Friday", False),
        ("en", "Did you add that I need it before Friday?", "I need it before Friday", False),
        ("en", "Can you add that I need it before Friday?", "", False),
        ("en", "I need it, please add that", "I need it", False),
        ("fr", "Vous pouvez ajouter que j'en ai besoin avant vendredi ?", "j'en ai besoin", True),
        ("fr", "Notez que je suis au bureau 12.", "je suis au bureau 12", True),
        ("fr", "N'ajoutez pas que je suis absent", "je suis absent", False),
        (
            "nl",
            "Kunt u erbij zetten dat ik het voor vrijdag nodig heb?",
            "ik het voor vrijdag",
            True,
        ),
        ("de", "Können Sie notieren, dass ich es vor Freitag brauche?", "ich es vor Freitag", True),
    ],
)
def test_comment_needs_the_callers_own_words(
    language: str, utterance: str, text: str, adds: bool
) -> None:
    assert adds_comment(utterance, text, language) is adds


@pytest.mark.parametrize(
    ("language", "utterance", "comment"),
    [
        ("en", "Can you add that I need it before Friday?", "I need it before Friday"),
        ("en", "please add a note that the screen is cracked", "the screen is cracked"),
        ("en", "add to the ticket that it's urgent.", "it's urgent"),
        (
            "fr",
            "Pouvez-vous ajouter que j'en ai besoin avant vendredi ?",
            "j'en ai besoin avant vendredi",
        ),
        ("fr", "notez qu'il fait un bruit bizarre", "il fait un bruit bizarre"),
        ("en", "my mouse is broken", None),
        ("en", "don't add that", None),
    ],
)
def test_comment_is_taken_verbatim(language: str, utterance: str, comment: str | None) -> None:
    assert comment_in(utterance, language) == comment
    if comment:
        assert adds_comment(utterance, comment, language)
