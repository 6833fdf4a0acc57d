"""Calls in text: a real AgentSession with the engine, and a small desk that keeps its own tickets.

The tools behave as the product's do towards a model: a change is asked or offered in a fixed
sentence, the caller's next words decide in code, and what a tool has said needs no reply.
"""

import json
import sqlite3
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.llm import (
    ChatContext,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    ToolResult,
)

from agent_container import consent, phrases
from agent_container.engine import EngineLLM
from agent_container.engine.intents import Encoder
from local.desk import articles
from local.desk.store import open_store

EFFECTS = frozenset(
    {"open_ticket", "comment_on_ticket", "request_callback", "transfer_to_person", "end_call"}
)


@cache
def knowledge() -> sqlite3.Connection:
    """The demo desk's own articles and search, in a file of their own."""
    with tempfile.TemporaryDirectory(delete=False) as folder:
        store = open_store(Path(folder) / "desk.sqlite")
    with store.transaction() as conn:
        articles.load(conn)
    return store.conn


@dataclass
class Turn:
    """What one utterance led to: everything said, the model's tool calls, the changes made."""

    said: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    @property
    def tools(self) -> list[str]:
        return [
            f"{name}(offer)" if arguments.get("offer") else name for name, arguments in self.calls
        ]


@dataclass
class SmallDesk:
    """One caller's tickets, devices and disturbances, and what waits for their yes."""

    language: str = "en"
    level: int = 1
    tickets: list[dict[str, Any]] = field(default_factory=list)
    assets: list[dict[str, Any]] = field(default_factory=list)
    outages: list[dict[str, Any]] = field(default_factory=list)
    person_answers: bool = False
    down: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    utterance: str = ""
    pending: tuple[str, dict[str, Any], consent.Context, int] | None = None
    turn: Turn = field(default_factory=Turn)
    opened: list[dict[str, Any]] = field(default_factory=list)
    comments: list[tuple[str, str]] = field(default_factory=list)
    callbacks: list[str] = field(default_factory=list)
    ended: bool = False
    spoken: list[str] = field(default_factory=list)

    def say(self, key: str, **slots: str) -> None:
        self.spoken.append(phrases.say(key, self.language, **slots))

    def ask(self, tool: str, arguments: dict[str, Any], mode: consent.Context, key: str) -> str:
        self.pending = (tool, arguments, mode, 3 if mode == "offered" else 1)
        slots = {name: str(value).rstrip(" .") for name, value in arguments.items()}
        slots.pop("description", None)
        self.say(key, **slots)
        return json.dumps({"status": mode})

    def do(self, tool: str, arguments: dict[str, Any]) -> str:
        self.turn.done.append(tool)
        if tool == "open_ticket":
            number = f"T-{1100 + len(self.opened)}"
            self.opened.append({"number": number, **arguments})
            summary = arguments["summary"]
            self.tickets.append({"number": number, "summary": summary, "status": "open"})
            self.say("done.ticket", ticket=number)
        elif tool == "comment_on_ticket":
            number = arguments["ticket"]
            self.comments.append((number, arguments["text"]))
            self.say("done.comment", ticket=number, text=arguments["text"].rstrip(" ."))
        else:
            number = f"T-{1200 + len(self.callbacks)}"
            self.callbacks.append(arguments["reason"])
            self.say("person.callback", ticket=number)
            self.say("done.anything_else")
            return json.dumps({"callback": number})
        self.say("done.anything_else")
        status = "opened" if tool == "open_ticket" else "added"
        return json.dumps({"status": status, "ticket": number})

    def functions(self) -> list[FunctionTool]:
        """The tools offered at this caller's level."""

        def down(name: str) -> bool:
            return name in self.down

        @function_tool
        async def search_knowledge(query: str) -> str:
            """Find instructions."""
            if down("search_knowledge"):
                return json.dumps({"error": "desk_unavailable"})
            found = articles.search(
                knowledge(),
                query,
                language=self.language if self.language in ("en", "fr") else "en",
                audience="internal" if self.level else "public",
                limit=3,
            )
            return json.dumps({"articles": found})

        @function_tool
        async def known_outages() -> str:
            """List disturbances."""
            return json.dumps({"outages": self.outages})

        @function_tool
        async def my_tickets() -> str:
            """List the caller's tickets."""
            if down("my_tickets"):
                return json.dumps({"error": "desk_unavailable"})
            return json.dumps({"tickets": self.tickets})

        @function_tool
        async def my_assets() -> str:
            """List the caller's devices."""
            return json.dumps({"assets": self.assets})

        @function_tool
        async def open_ticket(summary: str, description: str, offer: bool = False) -> ToolResult:
            """Open a ticket."""
            arguments = {"summary": summary, "description": description}
            key, mode = ("ask.offer_ticket", "offered") if offer else ("ask.open_ticket", "asked")
            return _told(self.ask("open_ticket", arguments, mode, key))

        @function_tool
        async def comment_on_ticket(ticket: str, text: str) -> str | ToolResult:
            """Add a remark."""
            if ticket not in [own["number"] for own in self.tickets]:
                return json.dumps({"error": "not_found"})
            arguments = {"ticket": ticket, "text": text}
            if consent.adds_comment(self.utterance, text, self.language):
                return _told(self.do("comment_on_ticket", arguments))
            return _told(self.ask("comment_on_ticket", arguments, "asked", "ask.comment"))

        @function_tool
        async def request_callback(reason: str) -> ToolResult:
            """Have somebody call back."""
            arguments = {"reason": reason}
            return _told(self.ask("request_callback", arguments, "asked", "ask.callback"))

        @function_tool
        async def transfer_to_person(reason: str) -> ToolResult:
            """Put the caller through."""
            self.say("person.one_moment")
            self.turn.done.append("transfer_to_person")
            if self.person_answers:
                self.say("person.answered")
                return _told(json.dumps({"status": "answered"}))
            self.say("person.nobody")
            back = json.loads(self.do("request_callback", {"reason": reason}))
            return _told(json.dumps({"status": "no_answer", **back}))

        @function_tool
        async def end_call() -> ToolResult:
            """End the call."""
            self.ended = True
            self.turn.done.append("end_call")
            self.say("goodbye.short")
            return _told(json.dumps({"status": "ended"}))

        public = [search_knowledge, known_outages, request_callback, transfer_to_person, end_call]
        own = [my_tickets, my_assets, open_ticket, comment_on_ticket]
        offered = [*public, *own] if self.level else public
        return [tool for tool in offered if tool.info.name not in self.absent]


class TextCall:
    """One call; `say` is the caller."""

    def __init__(
        self,
        encoder: Encoder,
        desk: SmallDesk,
        *,
        company: str = "Meridian Works",
        history: ChatContext | None = None,
    ) -> None:
        self.desk = desk
        self._encoder = encoder
        self._company = company
        self._session = self._make_session()
        self._agent = Agent(
            instructions="the desk",
            tools=list(desk.functions()),
            chat_ctx=history or ChatContext.empty(),
        )

    def _make_session(self) -> AgentSession[None]:
        engine = EngineLLM(self._encoder, language=self.desk.language, company=self._company)
        return AgentSession(llm=engine)

    async def __aenter__(self) -> Self:
        await self._session.start(self._agent)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.aclose()

    async def say(self, text: str) -> Turn:
        """Let the caller say something, and wait until it is answered."""
        turn = self.desk.turn = Turn()
        self.desk.utterance = text
        if not await self._settle(text):
            result = await self._session.run(user_input=text)
            for event in result.events:
                if event.type == "function_call":
                    turn.calls.append((event.item.name, json.loads(event.item.arguments)))
                elif event.type == "message" and event.item.role == "assistant":
                    turn.said += f" {event.item.text_content}"
        await self._speak(turn)
        return turn

    async def hand_over(self, *, words_only: bool) -> None:
        """Let another process take the call: a new engine that has the history and nothing else."""
        history = self._agent.chat_ctx.copy(exclude_function_call=words_only)
        await self._session.aclose()
        self._session = self._make_session()
        self._agent = Agent(
            instructions="the desk", tools=list(self.desk.functions()), chat_ctx=history
        )
        await self._session.start(self._agent)

    async def _settle(self, text: str) -> bool:
        """Decide in code whether the caller agreed to what waits."""
        desk, pending = self.desk, self.desk.pending
        if pending is None:
            return False
        tool, arguments, mode, left = pending
        verdict = consent.judge(text, desk.language, context=mode)
        desk.pending = None
        if (verdict == "open_ticket" and tool == "open_ticket") or (
            verdict == "yes" and mode == "asked"
        ):
            call = FunctionCall(
                name=tool, arguments=json.dumps(arguments), call_id=f"agreed{id(text)}"
            )
            history = self._agent.chat_ctx.copy()
            history.add_message(role="user", content=text)
            output = FunctionCallOutput(
                name=tool, call_id=call.call_id, output=desk.do(tool, arguments), is_error=False
            )
            history.insert([call, output])
            await self._agent.update_chat_ctx(history)
            return True
        if mode == "offered" and verdict != "no" and left > 1:
            desk.pending = (tool, arguments, mode, left - 1)
        return False

    async def _speak(self, turn: Turn) -> None:
        """Let the fixed sentences of the tools follow, as the session's voice does."""
        spoken, self.desk.spoken = self.desk.spoken, []
        if spoken:
            history = self._agent.chat_ctx.copy()
            for sentence in spoken:
                history.add_message(role="assistant", content=sentence)
            await self._agent.update_chat_ctx(history)
            turn.said += " " + " ".join(spoken)
        turn.said = turn.said.strip()


def _told(output: str) -> ToolResult:
    return ToolResult(output, reply_required=False)


def tickets(*listed: tuple[str, str, str, str]) -> list[dict[str, Any]]:
    """Tickets as `my_tickets` gives them: number, summary, status, note."""
    return [
        {"number": number, "summary": summary, "status": status, "note": note, "kind": "request"}
        for number, summary, status, note in listed
    ]


def numbers(desk: SmallDesk) -> Sequence[str]:
    """The numbers of the caller's tickets."""
    return [ticket["number"] for ticket in desk.tickets]
