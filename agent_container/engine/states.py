"""What an ongoing call is about, worked out again from its history at every turn."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent_container.engine import slots
from agent_container.engine.answers import Answers
from agent_container.engine.history import Exchange, Use
from agent_container.engine.understanding import IN_STEPS, Understanding
from agent_container.folding import fold

Similarity = Callable[[str, Sequence[str]], Awaitable[list[float]]]

SAME_MATTER = 0.5
"""Cosine from which a caller's words count as more about the problem at hand, not a new one."""

_ABOUT_TICKETS = frozenset({"ticket_status", "add_comment", "spell_number"})
WRITES = frozenset({"open_ticket", "comment_on_ticket", "request_callback"})


@dataclass(frozen=True, slots=True)
class Guide:
    """An article that the desk found, cut into speakable steps."""

    id: str
    title: str
    summary: str
    steps: tuple[str, ...]


@dataclass(slots=True)
class Topic:
    """The matter being worked on: in whose words, which article, how far along."""

    kind: Literal["problem", "how_to"]
    text: str
    details: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    guide: Guide | None = None
    told: list[str] = field(default_factory=list)

    def given(self) -> list[int]:
        """Return which steps of the guide were spoken, in the guide's order."""
        if self.guide is None:
            return []
        spoken = [fold(text) for text in self.told]
        return [
            number
            for number, step in enumerate(self.guide.steps)
            if any(_holds(text, fold(step)) for text in spoken)
        ]


@dataclass(slots=True)
class State:
    """Everything the next answer depends on."""

    topic: Topic | None = None
    asked: str | None = None
    pending: Use | None = None
    tickets: list[dict[str, Any]] | None = None
    ticket: str | None = None
    comment: str | None = None
    unclear: int = 0
    answered: bool = False
    reply: str = ""

    def ticket_named(self, number: str) -> dict[str, Any] | None:
        """Return the caller's ticket with this number, or None."""
        for ticket in self.tickets or []:
            if slots.same_number(number, str(ticket.get("number", ""))):
                return ticket
        return None


def question_after(exchange: Exchange, answers: Answers) -> tuple[str | None, Use | None]:
    """Return what the caller is answering: a question's key, and the write that waits for a yes.

    A write that was asked for outright is the question; one that was only offered stands beside it.
    """
    pending = next((use for use in reversed(exchange.uses) if _waits(use)), None)
    if pending is not None and not pending.arguments.get("offer"):
        return "consent", pending
    return answers.question_in(exchange.reply), pending


async def listen(
    state: State, exchange: Exchange, understood: Understanding, similarity: Similarity
) -> Understanding:
    """Take the caller's utterance into the state; returns it, sharpened by what is under way."""
    topic, intent = state.topic, understood.intent
    if intent in ("problem", "how_to"):
        if (
            topic is not None
            and state.asked in IN_STEPS
            and intent == "problem"
            and await _same_matter(understood.text, topic, similarity)
        ):
            topic.details.append(understood.text)
            return _retold(understood, "tried_failed")
        state.topic = Topic("how_to" if intent == "how_to" else "problem", understood.text)
        state.topic.claims += understood.claims
        if understood.claims:
            state.topic.claimed.append(understood.text)
    elif intent == "tried_failed":
        if topic is None:
            state.topic = Topic("problem", understood.text)
            understood = _retold(understood, "problem")
        else:
            topic.claims += understood.claims
            if understood.claims:
                topic.claimed.append(understood.text)
    elif state.asked == "ticket_about" and intent == "open_ticket":
        state.topic = Topic("problem", understood.text)
    elif intent in ("tried_worked", "cancel"):
        state.topic = None
    if intent == "add_comment":
        answer = understood.text if state.asked == "which_comment" else None
        state.comment = understood.comment or answer
    elif state.asked != "which_ticket":
        state.comment = None
    if understood.number and (intent in _ABOUT_TICKETS or state.asked == "which_ticket"):
        state.ticket = understood.number
    return understood


def look_up(state: State, exchange: Exchange) -> None:
    """Take the results of the tools into the state."""
    for use in exchange.uses:
        if use.result is None or use.error:
            continue
        if use.name == "search_knowledge" and state.topic is not None:
            guides = [_guide(article) for article in use.result.get("articles") or []]
            state.topic.guide = next((guide for guide in guides if guide.steps), None) or next(
                iter(guides), None
            )
        elif use.name == "my_tickets":
            state.tickets = list(use.result.get("tickets") or [])
        elif use.name in WRITES and (number := _written(use)):
            state.ticket = number
            if use.name == "open_ticket":
                # It is in somebody's hands now: what comes next is another matter.
                state.topic = None
        if use.name == "comment_on_ticket" and use.arguments.get("ticket"):
            state.ticket = str(use.arguments["ticket"])


def answered(state: State, exchange: Exchange, answers: Answers) -> None:
    """Take what the agent said into the state; the next question the caller hears is in it."""
    state.asked, state.pending = question_after(exchange, answers)
    state.reply = exchange.reply
    if exchange.replies:
        state.answered = state.answered or bool(exchange.heard)
        if state.topic is not None:
            state.topic.told.append(exchange.reply)
    numbers = slots.spoken_numbers(exchange.reply)
    if numbers:
        state.ticket = numbers[-1]
    if exchange.heard:
        state.unclear = state.unclear + 1 if state.asked == "rephrase" else 0


async def _same_matter(text: str, topic: Topic, similarity: Similarity) -> bool:
    known = [topic.text, *topic.details]
    if topic.guide is not None:
        known.append(topic.guide.title)
    return max(await similarity(text, known)) >= SAME_MATTER


def _retold(understood: Understanding, intent: Literal["tried_failed", "problem"]) -> Understanding:
    return Understanding(
        intent,
        understood.confidence,
        understood.text,
        understood.comment,
        understood.number,
        understood.about,
        understood.claims,
        understood.closes_ticket,
    )


def _waits(use: Use) -> bool:
    return use.name in WRITES and use.status in ("asked", "offered")


def _written(use: Use) -> str | None:
    result: Mapping[str, Any] = use.result or {}
    number = result.get("number") or result.get("ticket")
    return str(number) if isinstance(number, str) and number else None


def _guide(article: Mapping[str, Any]) -> Guide:
    return Guide(
        id=str(article.get("id", "")),
        title=str(article.get("title", "")),
        summary=str(article.get("summary", "")),
        steps=tuple(str(step) for step in article.get("steps") or ()),
    )


def _holds(text: str, step: str) -> bool:
    """Say whether the step was spoken; of an interrupted one, its beginning is enough."""
    if step in text:
        return True
    words = step.split()
    return len(words) > 4 and text.endswith(" ".join(words[: max(4, len(words) // 2)]))
