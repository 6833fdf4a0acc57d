"""What a caller means: the classifier proposes, the caller's own words and the question decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from agent_container import consent
from agent_container.engine import slots
from agent_container.engine.cues import Cues
from agent_container.engine.intents import Intent
from agent_container.engine.regression import Regression, Vectors
from agent_container.folding import fold

UNSURE_BELOW = 0.27
"""Below this share of the weighted probabilities, the engine asks instead of guessing."""

YES_OR_NO = frozenset(
    {"helped", "worked", "ready", "anything_else", "want_callback", "want_person"}
    | {"ticket_or_person", "callback_or_person", "consent"}
)
IN_STEPS = frozenset({"helped", "worked", "ready"})

# How much a cue raises its intent above what the sentence vector alone says.
_BOOST: dict[Intent, float] = {
    "transfer_person": 100.0,
    "callback": 25.0,
    "goodbye": 60.0,
    "open_ticket": 200.0,
    "add_comment": 60.0,
    "repeat": 15.0,
    "slower": 15.0,
    "spell_number": 15.0,
    "who_are_you": 25.0,
    "cancel": 25.0,
    "tried_failed": 8.0,
    "tried_worked": 20.0,
    "next_step": 15.0,
    "ticket_status": 8.0,
    "my_assets": 8.0,
    "outages": 8.0,
    "how_to": 8.0,
}
# An action is taken only on evidence in the caller's words; without it, its intent is this likely.
_WITHOUT_EVIDENCE: dict[Intent, float] = {
    "transfer_person": 0.0,
    "callback": 0.0,
    "goodbye": 0.0,
    "open_ticket": 0.3,
    "add_comment": 0.2,
}
_IN_STEPS: dict[Intent, float] = {
    "tried_failed": 4.0,
    "tried_worked": 3.0,
    "next_step": 3.0,
    "yes": 2.0,
    "no": 2.0,
    "problem": 0.7,
    "out_of_scope": 0.6,
}
# Before any step was given there is nothing that could have failed, helped or been next.
_BEFORE_STEPS: dict[Intent, float] = {
    "tried_failed": 0.25,
    "tried_worked": 0.3,
    "next_step": 0.3,
    "problem": 1.5,
}
# These are no answers to "what is it about?", "which one?" or "what shall I add?".
_NOT_AN_ANSWER: frozenset[Intent] = frozenset(
    {"transfer_person", "callback", "goodbye", "cancel", "repeat", "slower", "who_are_you"}
)
# A reply that would leave the caller's matter aside needs more certainty than a look-up.
_SURE_ENOUGH: dict[Intent, float] = {
    "greeting": 0.45,
    "thanks": 0.45,
    "small_talk": 0.45,
    "cancel": 0.4,
    "goodbye": 0.5,
    "transfer_person": 0.5,
    "callback": 0.5,
}
_CHOICES: tuple[tuple[str, Intent], ...] = (
    ("message_word", "choose_message"),
    ("person_choice", "choose_person"),
    ("ticket_choice", "choose_ticket"),
)
_PLEASANT = frozenset({"greeting", "thanks", "small_talk"})


@dataclass(frozen=True, slots=True)
class Understanding:
    """One utterance understood; `confidence` is the intent's share after cues and context."""

    intent: Intent
    confidence: float
    text: str
    comment: str | None = None
    number: str | None = None
    about: str | None = None
    claims: tuple[str, ...] = ()
    closes_ticket: bool = False


def parts(text: str, cues: Cues) -> list[str]:
    """Return the texts whose vectors `understand` needs: the utterance, then its sentences."""
    whole = slots.plain(text, cues)
    single = slots.sentences(whole)
    return [whole, *single] if len(single) > 1 else [whole]


def understand(
    text: str,
    *,
    language: str,
    cues: Cues,
    model: Regression,
    vectors: Mapping[str, Vectors],
    asked: str | None,
    in_steps: bool,
) -> Understanding:
    """Decide what the utterance means after the question `asked`, a key of the answers."""
    whole = slots.plain(text, cues)
    said = fold(whole)
    if not said:
        return Understanding("silence", 1.0, "")
    found = Understanding(
        intent="unsure",
        confidence=0.0,
        text=whole,
        comment=consent.comment_in(whole, language),
        number=slots.ticket_number(whole, cues),
        about=slots.about(whole, cues),
        claims=tuple(slots.claims(whole, cues)),
        closes_ticket=cues.has("close_ticket", said),
    )
    cued = _cued(whole, said, language, cues, found)
    answer = _answer(whole, said, language, cues, asked, cued)
    if answer:
        return _as(found, answer, 1.0)
    scores = _scores(parts(text, cues), model, vectors)
    for intent, boost in _BOOST.items():
        if intent in cued:
            scores[intent] = max(scores.get(intent, 0.0), 0.01) * boost
        elif intent in _WITHOUT_EVIDENCE:
            scores[intent] = scores.get(intent, 0.0) * _WITHOUT_EVIDENCE[intent]
    if found.number:
        # Who says the number doesn't ask for it.
        scores["spell_number"] = scores.get("spell_number", 0.0) * 0.05
    if cues.has("it_word", said):
        scores["out_of_scope"] = scores.get("out_of_scope", 0.0) * 0.3
    else:
        scores["problem"] = scores.get("problem", 0.0) * 0.6
    for intent, weight in (_IN_STEPS if in_steps else _BEFORE_STEPS).items():
        scores[intent] = scores.get(intent, 0.0) * weight
    total = sum(scores.values())
    intent, score = max(scores.items(), key=lambda pair: pair[1])
    confidence = score / total if total else 0.0
    if confidence < _SURE_ENOUGH.get(intent, UNSURE_BELOW) or total < 0.2:
        return _as(found, "unsure", confidence)
    return _as(found, intent, confidence)


def _as(found: Understanding, intent: Intent, confidence: float) -> Understanding:
    return replace(found, intent=intent, confidence=round(confidence, 3))


def _answer(
    whole: str, said: str, language: str, cues: Cues, asked: str | None, cued: set[Intent]
) -> Intent | None:
    """Return what plainly answers the open question, or None."""
    if consent.is_closing(whole, language) and (asked not in IN_STEPS or cues.has("bye", said)):
        # "No, that will do" to an open question declines it; only a farewell ends the call then.
        declines = asked in YES_OR_NO - {"anything_else"} and not cues.has("farewell", said)
        return "no" if declines or asked == "consent" else "goodbye"
    if "cancel" in cued and asked in YES_OR_NO:
        return "cancel"
    if asked == "consent" and consent.hesitates(whole, language):
        return "unsure"
    if asked in ("ticket_about", "which_ticket", "which_comment") and not cued & _NOT_AN_ANSWER:
        return _named(whole, language, asked)
    if asked not in YES_OR_NO and cues.has("identity", said) and not cues.has("not_worked", said):
        return "greeting"
    if (
        consent.asks_for_ticket(whole, language)
        and not cued & {"transfer_person", "callback", "add_comment", "goodbye", "cancel"}
        and asked not in ("ticket_about", "which_comment")
    ):
        return "open_ticket"
    if asked in YES_OR_NO and not cued & {"transfer_person", "callback", "goodbye", "add_comment"}:
        verdict = consent.judge(whole, language)
        if verdict in ("yes", "no"):
            return _plain(verdict, cued & {"tried_failed", "tried_worked", "next_step"})
    if asked in ("ticket_or_person", "callback_or_person") and len(said.split()) <= 6:
        return next((intent for cue, intent in _CHOICES if cues.has(cue, said)), None)
    return None


def _named(whole: str, language: str, asked: str) -> Intent:
    """The question wants words of the caller's own: whatever they say is the answer, but a no."""
    if consent.judge(whole, language) == "no":
        return "no"
    if asked == "ticket_about":
        return "open_ticket"
    return "which_ticket" if asked == "which_ticket" else "add_comment"


def _plain(verdict: consent.Verdict, reported: set[Intent]) -> Intent | None:
    """Return a bare yes or no; one that stands beside a report is left to the report."""
    if not reported:
        return "yes" if verdict == "yes" else "no"
    return "tried_worked" if verdict == "yes" and reported == {"tried_worked"} else None


def _cued(whole: str, said: str, language: str, cues: Cues, found: Understanding) -> set[Intent]:
    hit: set[Intent] = set()
    if cues.has("robot", said) or (cues.has("person", said) and not cues.has("not_person", said)):
        hit.add("transfer_person")
    if cues.has("callback", said) and not cues.has("not_callback", said):
        hit.add("callback")
    if cues.has("bye", said):
        hit.add("goodbye")
    if consent.asks_for_ticket(whole, language) or (
        cues.has("need_new", said) and not cues.has("how_to", said)
    ):
        hit.add("open_ticket")
    if (found.comment and len(said.split()) > 2) or cues.has("comment_open", said):
        hit.add("add_comment")
    if cues.has("worked", said) and not cues.has("not_worked", said):
        hit.add("tried_worked")
    if cues.has("how_to", said) and not cues.has("howto_not", said):
        hit.add("how_to")
    numbered = cues.has("number_words", said) or slots.has_ticket_digits(said, cues)
    if numbered or cues.has("status", said):
        hit.add("ticket_status")
    if cues.has("failed", said):
        hit.add("tried_failed")
    named: tuple[tuple[str, Intent], ...] = (
        ("repeat", "repeat"),
        ("slower", "slower"),
        ("spell", "spell_number"),
        ("who", "who_are_you"),
        ("next", "next_step"),
        ("my_assets", "my_assets"),
        ("outages", "outages"),
        ("cancel", "cancel"),
    )
    hit.update(intent for cue, intent in named if cues.has(cue, said))
    return hit


def _scores(
    texts: Sequence[str], model: Regression, vectors: Mapping[str, Vectors]
) -> dict[Intent, float]:
    """Return the probabilities of the whole utterance, its pleasantries left out."""
    rows = model.probabilities(np.stack([vectors[text] for text in texts]))
    whole = rows[0]
    if len(rows) > 1:
        wanted = [row for row in rows[1:] if model.labels[int(row.argmax())] not in _PLEASANT]
        if wanted:
            whole = np.mean([whole, *wanted], axis=0) if len(wanted) > 1 else wanted[0]
    labels = cast("tuple[Intent, ...]", model.labels)
    return {label: float(share) for label, share in zip(labels, whole, strict=True)}
