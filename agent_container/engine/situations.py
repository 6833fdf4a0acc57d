"""One turn as the policy sees it: the state, what was understood, what the tools have answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent_container.engine.answers import Answers
from agent_container.engine.cues import Cues
from agent_container.engine.history import Exchange, Use
from agent_container.engine.states import Similarity, State
from agent_container.engine.understanding import Understanding


@dataclass(frozen=True, slots=True)
class Move:
    """What the engine does next: words to speak, then tools to call; it may do neither."""

    text: str = ""
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()


SILENCE = Move()


@dataclass(slots=True)
class Situation:
    """Everything a decision is made from."""

    state: State
    heard: Understanding
    exchange: Exchange
    tools: frozenset[str]
    answers: Answers
    cues: Cues
    company: str
    similarity: Similarity

    def result(self, tool: str) -> Use | None:
        """Return what a tool has answered in this turn, or None."""
        return next(reversed(self.exchange.results(tool)), None)

    def say(self, *keys: str, **slots: str) -> Move:
        """Speak these answers."""
        return Move(self.answers.spoken(*keys, **slots))

    def call(self, tool: str, *said_before: str, **arguments: Any) -> Move:
        """Call one tool, after speaking these answers."""
        return Move(self.answers.spoken(*said_before), ((tool, arguments),))

    @property
    def verified(self) -> bool:
        """Say whether tools for a known caller are offered."""
        return "my_tickets" in self.tools or "open_ticket" in self.tools

    def way_out(self, *said_before: str) -> Move:
        """Say something, then ask which of the ways that are open to this caller they prefer."""
        if "open_ticket" in self.tools:
            return self.say(*said_before, "ticket_or_person")
        if {"request_callback", "transfer_to_person"} <= self.tools:
            return self.say(*said_before, "callback_or_person")
        if "transfer_to_person" in self.tools:
            return self.say(*said_before, "want_person")
        if "request_callback" in self.tools:
            return self.say(*said_before, "want_callback")
        return self.say(*said_before, "anything_else")

    def unavailable(self, key: str) -> Move:
        """Say that something does not answer, and which way is left."""
        if "request_callback" in self.tools and "transfer_to_person" in self.tools:
            return self.say(key, "callback_or_person")
        return self.say(key, "anything_else")

    def resume(self, *said_before: str) -> Move:
        """Say something beside the matter, then come back to the question that was open."""
        state = self.state
        if state.asked == "consent":
            return self.ask_again(*said_before)
        if state.asked in ("helped", "ready", "worked", "which_ticket", "which_comment"):
            return self.say(*said_before, state.asked)
        if state.asked in ("ticket_about", "ticket_or_person", "callback_or_person"):
            return self.say(*said_before, state.asked)
        return self.say(*said_before, "anything_else" if state.answered else "help")

    def ask_again(self, *said_before: str) -> Move:
        """Have the tool that waits for a yes put its question once more."""
        pending = self.state.pending
        if pending is None or pending.name not in self.tools:
            return self.say(*said_before, "anything_else")
        return self.call(pending.name, *said_before, **pending.arguments)
