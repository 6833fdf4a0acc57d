"""What is known during one call, and who is told when it changes."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from aurion import calls, people, tenants
from aurion.itsm import Article, Asset, Connector, Outage, Requester, Ticket

from agent_container.folding import fold

type Speaker = Literal["caller", "agent", "tool"]
type ToolStatus = Literal["done", "asked", "refused", "unavailable", "failed"]
type Stage = Literal[
    "greeting", "verifying", "verified", "unverified", "desk", "transferring", "over"
]


class PutThrough(Protocol):
    """Whatever can hand the caller over to a number."""

    async def __call__(self, number: str, *, ringing_s: float) -> bool:
        """Hand the caller over (E.164); False when they are still here."""
        ...


class CallEvents(Protocol):
    """Who watches a call while it runs; nothing a caller says before the desk is ever told here."""

    def said(self, speaker: Speaker, text: str, at: float, reply_ms: int | None) -> None:
        """Tell that something was said at `at` (epoch s), how long after the caller stopped."""
        ...

    def tool(self, name: str, status: ToolStatus, ms: int) -> None:
        """Tell that a tool has run and how long it took."""
        ...

    def state(self, name: Stage) -> None:
        """Tell that the call has come to another stage."""
        ...


class NoEvents:
    """Watch nothing."""

    def said(self, speaker: Speaker, text: str, at: float, reply_ms: int | None) -> None:
        """Ignore it."""

    def tool(self, name: str, status: ToolStatus, ms: int) -> None:
        """Ignore it."""

    def state(self, name: Stage) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """A change that waits for the caller's own yes.

    `asked` was put as a question and is answered by the next utterance. `offered` was mentioned
    beside something else; only an explicit request takes it, for `turns_left` more utterances.
    """

    tool: str
    arguments: Mapping[str, str]
    mode: Literal["asked", "offered"]
    turns_left: int = 1


@dataclass(slots=True)
class CallState:
    """One call as its process knows it; every tool is held against the level here."""

    tenant: tenants.Tenant
    call: calls.Call
    epoch: int
    connector: Connector
    events: CallEvents = field(default_factory=NoEvents)
    transfer_s: float = 20.0
    put_through: PutThrough | None = None
    language: tenants.Language = "en"
    language_fixed: bool = False
    level: int = 0
    person: people.Person | None = None

    # What the caller said beside name and badge before they were verified.
    kept: list[str] = field(default_factory=list)
    verification: Literal["verified", "failed", "unavailable", "skipped"] | None = None

    # Prefetched as soon as the caller is known; None until it has arrived.
    requester: Requester | None = None
    tickets: list[Ticket] | None = None
    assets: list[Asset] | None = None
    outages: list[Outage] | None = None

    utterance: str = ""
    stopped_speaking_at: float | None = None
    pending: PendingWrite | None = None
    problem: str = ""
    tried: list[str] = field(default_factory=list)
    articles: dict[str, Article] = field(default_factory=dict)

    writes: int = 0
    opened: list[str] = field(default_factory=list)
    commented: list[str] = field(default_factory=list)
    callbacks: list[str] = field(default_factory=list)
    kept_drafts: int = 0
    answered: bool = False
    transferred: bool = False
    transferring: bool = False
    message_taken: bool = False
    recording_stopped: bool = False
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)
    session_closed: asyncio.Event = field(default_factory=asyncio.Event)
    _reply_ms: int | None = None

    @property
    def tenant_id(self) -> UUID:
        """Return the company that is called."""
        return self.tenant.tenant_id

    @property
    def call_id(self) -> UUID:
        """Return the call."""
        return self.call.id

    @property
    def person_id(self) -> UUID | None:
        """Return who the caller has proved to be."""
        return None if self.person is None else self.person.id

    @property
    def writes_enabled(self) -> bool:
        """Say whether the company lets the desk write at all."""
        return self.tenant.writes_enabled

    def outcome(self) -> calls.Outcome:
        """Say what came of the call, the weightiest first."""
        if self.transferred:
            return "transferred"
        if self.opened:
            return "ticket"
        if self.callbacks:
            return "callback"
        if self.message_taken or self.kept_drafts:
            return "message"
        if self.commented or self.answered:
            return "informed"
        if self.verification in ("failed", "unavailable"):
            return "unverified"
        return "abandoned"

    def note_steps(self, said: str) -> None:
        """Remember which steps of an article the caller has been given, for whoever takes over."""
        spoken = fold(said)
        for article in self.articles.values():
            for step in article.steps:
                if step not in self.tried and fold(step) in spoken:
                    self.tried.append(step)

    def began_to_reply(self) -> None:
        """Note that the agent is heard: the caller's wait is over."""
        if self.stopped_speaking_at is not None:
            self._reply_ms = max(0, int((time.time() - self.stopped_speaking_at) * 1000))
            self.stopped_speaking_at = None

    def take_reply_ms(self) -> int | None:
        """Return how long the caller waited for what is being said, for the first of its turns."""
        waited, self._reply_ms = self._reply_ms, None
        return waited
