"""The evaluation set: single utterances with what led up to them, and whole calls."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit.agents.llm import ChatContext, FunctionCall, FunctionCallOutput

from agent_container.engine import answers
from tests.evals.text_calls import SmallDesk, knowledge, tickets

HERE = Path(__file__).parent
_PROBLEM = {"en": "my vpn keeps disconnecting", "fr": "le vpn se déconnecte sans arrêt"}
_STEP = {
    "en": "Restart your laptop, then connect to the VPN again.",
    "fr": "Redémarrez votre ordinateur, puis reconnectez-vous au VPN.",
}


@dataclass(frozen=True)
class Case:
    """One utterance after a question, what it means, and the one change it may lead to."""

    text: str
    language: str
    intents: tuple[str, ...]
    asked: str | None
    steps: bool
    effect: str | None


def utterances(language: str) -> Iterator[Case]:
    with (HERE / "utterances" / f"{language}.toml").open("rb") as file:
        for entry in tomllib.load(file)["case"]:
            intent = entry["intent"]
            yield Case(
                text=entry["text"],
                language=language,
                intents=(intent,) if isinstance(intent, str) else tuple(intent),
                asked=entry.get("asked"),
                steps=entry.get("steps", False),
                effect=entry.get("effect"),
            )


def before(case: Case) -> ChatContext:
    """The chat context of a call in which the case's question has just been put."""
    history, say = ChatContext.empty(), answers.in_language(case.language)
    history.add_message(role="assistant", content=say.spoken("help"))
    if case.asked in (None, "anything_else"):
        if case.asked:
            history.add_message(role="user", content=_PROBLEM[case.language])
            history.add_message(role="assistant", content=say.spoken("glad", case.asked))
        return history
    history.add_message(role="user", content=_PROBLEM[case.language])
    if case.steps:
        slug = f"vpn-disconnects-{case.language}"
        row = knowledge().execute("SELECT * FROM articles WHERE id = ?", [slug]).fetchone()
        found = {"id": slug, "title": row["title"], "summary": row["summary"]}
        output = json.dumps({"articles": [{**found, "steps": json.loads(row["steps"])}]})
        call = FunctionCall(call_id="c1", name="search_knowledge", arguments="{}")
        history.insert(
            [call, FunctionCallOutput(call_id="c1", name=call.name, output=output, is_error=False)]
        )
        told = say.spoken("step_first", "step", case.asked, step=_STEP[case.language])
        history.add_message(role="assistant", content=told)
    else:
        history.add_message(role="assistant", content=say.spoken("no_article", case.asked))
    return history


_LAPTOP = ("T-1024", "New laptop for Tom Becker", "in_progress", "It arrives on Thursday.")
_MONITOR = ("T-1042", "Second monitor", "waiting", "We wait for your manager.")
_FRENCH = (
    "T-1021",
    "Accès au dossier partagé Finance",
    "waiting",
    "Nous attendons l'accord du responsable du dossier.",
)
_TICKETS = {
    "none": tickets(),
    "two": tickets(_LAPTOP, _MONITOR),
    "french": tickets(_FRENCH),
}
_OUTAGE = {
    "service": "E-mail gateway",
    "summary": "E-mail from outside the company arrives up to thirty minutes late.",
    "since": "2026-11-24T09:00+01:00",
    "expected_end": "2026-11-24T17:30+01:00",
}
_DEVICES = [
    {"name": "ThinkPad T14", "kind": "laptop", "status": "in use"},
    {"name": "iPhone 15", "kind": "phone", "status": "in use"},
]


def desk(settings: dict[str, Any]) -> SmallDesk:
    """A desk as a dialogue wants it."""
    return SmallDesk(
        language=settings.get("language", "en"),
        level=settings.get("level", 1),
        tickets=[dict(ticket) for ticket in _TICKETS[settings.get("tickets", "none")]],
        assets=_DEVICES if settings.get("devices") else [],
        outages=[_OUTAGE] if settings.get("outage") else [],
        person_answers=settings.get("answers", False),
        down=frozenset(settings.get("down", ())),
        absent=frozenset(settings.get("absent", ())),
    )


def dialogues() -> list[dict[str, Any]]:
    with (HERE / "dialogues.toml").open("rb") as file:
        return tomllib.load(file)["dialogue"]
