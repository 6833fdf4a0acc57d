"""What every ticket system can do for a call, and the words it is said in.

A connector is one vendor's adapter. All of them pass `tests/integration/itsm/test_contract.py`.
Ids are the vendor's own, opaque; a ticket's `number` is what is read aloud.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Audience = Literal["public", "internal"]
TicketStatus = Literal["open", "in_progress", "waiting", "resolved", "closed"]
TicketKind = Literal["incident", "request", "callback"]
TransferStatus = Literal["answered", "no_answer"]


@dataclass(frozen=True, slots=True)
class Requester:
    """A person for whom tickets are opened."""

    id: str
    name: str
    email: str
    language: str


@dataclass(frozen=True, slots=True)
class Article:
    """A knowledge article, already cut into steps short enough to be spoken."""

    id: str
    title: str
    language: str
    audience: Audience
    summary: str
    steps: tuple[str, ...]
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comment:
    """One remark on a ticket; only a public one may be told to the requester."""

    author: str
    text: str
    at: datetime
    public: bool


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as the vendor holds it; `status_note` is one speakable sentence or empty."""

    number: str
    summary: str
    description: str
    status: TicketStatus
    status_note: str
    kind: TicketKind
    requester_id: str | None
    opened_at: datetime
    updated_at: datetime
    comments: tuple[Comment, ...] = ()


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket to be opened; the same `idempotency_key` never opens a second one."""

    requester_id: str | None
    summary: str
    description: str
    kind: TicketKind
    language: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Asset:
    """A device or licence somebody holds."""

    id: str
    name: str
    kind: str
    status: str
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """A known disturbance that callers may be told about."""

    id: str
    service: str
    summary: str
    started_at: datetime
    expected_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Handover:
    """What a person must know before taking a call over."""

    call_id: str
    requester_id: str | None
    caller_name: str | None
    level: int
    intent: str
    steps_tried: tuple[str, ...]
    ticket: str | None
    language: str


@dataclass(frozen=True, slots=True)
class TransferResult:
    """Whether a person took the call, and who."""

    status: TransferStatus
    person: str | None = None


class Connector(Protocol):
    """A ticket system, reached over the network.

    Every method ends within its deadline and raises `Unavailable` when trying again may help,
    `Rejected` when it won't, and `Untrusted` when the answer isn't what was asked for.
    """

    async def search_articles(
        self, query: str, *, language: str, audience: Audience, limit: int = 3
    ) -> list[Article]:
        """Find the articles that answer a caller's words best, best first.

        Audience "public" gives public articles only; "internal" gives both.
        """
        ...

    async def get_article(self, id: str) -> Article:
        """Read one article, or raise `ArticleNotFound`."""
        ...

    async def find_requester(self, email: str) -> Requester | None:
        """Find the one person with this e-mail address, or nobody."""
        ...

    async def tickets_of(self, requester_id: str) -> list[Ticket]:
        """List one person's tickets, last changed first."""
        ...

    async def get_ticket(self, number: str) -> Ticket:
        """Read one ticket, or raise `TicketNotFound`."""
        ...

    async def create_ticket(self, new: NewTicket) -> Ticket:
        """Open a ticket, once per idempotency key however often it is called."""
        ...

    async def find_ticket_by_key(self, key: str) -> Ticket | None:
        """Find the ticket that was opened with this idempotency key."""
        ...

    async def add_comment(
        self, number: str, *, text: str, public: bool, idempotency_key: str
    ) -> Ticket:
        """Add a comment, once per idempotency key, and give the ticket as it is then."""
        ...

    async def assets_of(self, requester_id: str) -> list[Asset]:
        """List what one person holds."""
        ...

    async def outages(self) -> list[Outage]:
        """List the disturbances that are known now."""
        ...

    async def offer_transfer(self, handover: Handover, *, timeout_s: float) -> TransferResult:
        """Offer a call to the people on duty and wait until one takes it or time is up."""
        ...

    async def aclose(self) -> None:
        """Let go of the connections."""
        ...
