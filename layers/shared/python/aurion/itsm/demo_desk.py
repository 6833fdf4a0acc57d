"""The demo desk's adapter: the product reaches it over HTTP, like any vendor.

Whatever identifies or quotes a person travels in request bodies, never in addresses, because
addresses end in logs. Vendors drop filters they don't understand and answer with everybody, so each
hit is held against what was asked before it is believed.
"""

import asyncio
import contextlib
import ipaddress
import json
import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx2

from aurion import tls
from aurion.errors import (
    ArticleNotFound,
    DeskUnavailable,
    NotFound,
    Rejected,
    TicketNotFound,
    Untrusted,
)
from aurion.itsm.connector import (
    Article,
    Asset,
    Audience,
    Comment,
    Handover,
    NewTicket,
    Outage,
    Requester,
    Ticket,
    TicketKind,
    TicketStatus,
    TransferResult,
)
from aurion.itsm.records import Record

READ_S = 3.0
WRITE_S = 5.0
# One look at an offer lasts this long, so that a desk that died is noticed while the caller waits.
LOOK_S = 5.0
MAX_ANSWER_BYTES = 1_000_000

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_AUDIENCES: tuple[Audience, ...] = ("public", "internal")
_STATUSES: tuple[TicketStatus, ...] = ("open", "in_progress", "waiting", "resolved", "closed")
_KINDS: tuple[TicketKind, ...] = ("incident", "request", "callback")


class _AnswerLost(DeskUnavailable):
    """The ticket system took the request and its answer never arrived."""


class _KeyTaken(Rejected):
    """The ticket system has taken a request with this key before, in other words."""


class DemoDesk:
    """The demo desk as a connector."""

    def __init__(
        self, base_url: str, secret: str, *, read_s: float = READ_S, write_s: float = WRITE_S
    ) -> None:
        address = urlsplit(base_url)
        plain = address.scheme == "http" and _is_loopback(address.hostname)
        if not (plain or (address.scheme == "https" and address.hostname)):
            raise Rejected("The ticket system's address must begin with https.")
        self._read_s = read_s
        self._write_s = write_s
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {secret}", "Accept": "application/json"},
            verify=tls.outbound_context(),
            # A redirect would take the token to another host; a proxy of the environment would see
            # it. Timeouts here are per read: the whole request is bounded by asyncio.timeout.
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=1.0),
            limits=httpx2.Limits(max_connections=20, keepalive_expiry=4.0),
        )

    async def search_articles(
        self, query: str, *, language: str, audience: Audience, limit: int = 3
    ) -> list[Article]:
        """Find the articles that answer a caller's words best, best first."""
        if not query.strip():
            return []
        body = {"query": query[:500], "language": language, "audience": audience, "limit": limit}
        answer = await self._read("POST", "/api/articles/search", body=body)
        articles = [_article(record) for record in answer.records("articles")]
        if len(articles) > limit:
            raise Untrusted
        for article in articles:
            if article.language != language:
                raise Untrusted
            if audience == "public" and article.audience != "public":
                raise Untrusted
        return articles

    async def get_article(self, id: str) -> Article:
        """Read one article, or raise `ArticleNotFound`."""
        if not _ID.fullmatch(id):
            raise ArticleNotFound
        article = _article(await self._read("GET", f"/api/articles/{id}", missing=ArticleNotFound))
        if article.id != id:
            raise Untrusted
        return article

    async def find_requester(self, email: str) -> Requester | None:
        """Find the one person with this e-mail address, or nobody."""
        wanted = email.strip()
        if "@" not in wanted:
            return None
        answer = await self._read("POST", "/api/requesters/search", body={"email": wanted})
        found = [_requester(record) for record in answer.records("requesters")]
        if len(found) > 1 or any(r.email.casefold() != wanted.casefold() for r in found):
            raise Untrusted
        return found[0] if found else None

    async def tickets_of(self, requester_id: str) -> list[Ticket]:
        """List one person's tickets, last changed first."""
        params = {"requester_id": requester_id}
        answer = await self._read("GET", "/api/tickets", params=params)
        tickets = [_ticket(record) for record in answer.records("tickets")]
        if any(ticket.requester_id != requester_id for ticket in tickets):
            raise Untrusted
        return sorted(tickets, key=lambda ticket: ticket.updated_at, reverse=True)

    async def get_ticket(self, number: str) -> Ticket:
        """Read one ticket, or raise `TicketNotFound`."""
        if not _ID.fullmatch(number):
            raise TicketNotFound
        ticket = _ticket(await self._read("GET", f"/api/tickets/{number}", missing=TicketNotFound))
        if ticket.number.casefold() != number.casefold():
            raise Untrusted
        return ticket

    async def create_ticket(self, new: NewTicket) -> Ticket:
        """Open a ticket, once per idempotency key however often it is called."""
        body = {
            "requester_id": new.requester_id,
            "summary": new.summary,
            "description": new.description,
            "kind": new.kind,
            "language": new.language,
            "external_key": new.idempotency_key,
        }
        async with _deadline(self._write_s):
            try:
                record = await self._ask("POST", "/api/tickets", body=body)
            except (_AnswerLost, _KeyTaken):
                # It may be open already. Look for it; never post again blindly.
                found = await self._by_key(new.idempotency_key)
                if found is None:
                    raise
                record = found
        if record.text("external_key") != new.idempotency_key:
            raise Untrusted
        ticket = _ticket(record)
        if ticket.requester_id != new.requester_id or ticket.kind != new.kind:
            raise Untrusted
        return ticket

    async def find_ticket_by_key(self, key: str) -> Ticket | None:
        """Find the ticket that was opened with this idempotency key."""
        async with _deadline(self._read_s):
            record = await self._by_key(key)
        return None if record is None else _ticket(record)

    async def add_comment(
        self, number: str, *, text: str, public: bool, idempotency_key: str
    ) -> Ticket:
        """Add a comment, once per idempotency key, and give the ticket as it is then."""
        if not _ID.fullmatch(number):
            raise TicketNotFound
        body = {"text": text, "public": public, "external_key": idempotency_key}
        async with _deadline(self._write_s):
            path = f"/api/tickets/{number}/comments"
            record = await self._ask("POST", path, body=body, missing=TicketNotFound)
        ticket = _ticket(record)
        # A success is no proof of a write: the comment must be there.
        written = any(c.text == text and c.public == public for c in ticket.comments)
        if ticket.number.casefold() != number.casefold() or not written:
            raise Untrusted
        return ticket

    async def assets_of(self, requester_id: str) -> list[Asset]:
        """List what one person holds."""
        answer = await self._read("GET", "/api/assets", params={"requester_id": requester_id})
        records = answer.records("assets")
        if any(record.text("requester_id") != requester_id for record in records):
            raise Untrusted
        return [
            Asset(
                id=record.text("id"),
                name=record.text("name"),
                kind=record.text("kind"),
                status=record.text("status"),
                serial=record.optional_text("serial"),
            )
            for record in records
        ]

    async def outages(self) -> list[Outage]:
        """List the disturbances that are known now."""
        answer = await self._read("GET", "/api/outages")
        return [
            Outage(
                id=record.text("id"),
                service=record.text("service"),
                summary=record.text("summary"),
                started_at=record.moment("started_at"),
                expected_end=record.optional_moment("expected_end"),
            )
            for record in answer.records("outages")
        ]

    async def offer_transfer(self, handover: Handover, *, timeout_s: float) -> TransferResult:
        """Offer a call to the people on duty and wait until one takes it or time is up."""
        ends_at = time.monotonic() + timeout_s
        body = {
            "call_id": handover.call_id,
            "requester_id": handover.requester_id,
            "caller_name": handover.caller_name,
            "level": handover.level,
            "intent": handover.intent,
            "steps_tried": list(handover.steps_tried),
            "ticket": handover.ticket,
            "language": handover.language,
            "timeout_s": timeout_s,
        }
        async with _deadline(self._write_s):
            offer = await self._ask("POST", "/api/transfers", body=body)
        if offer.text("call_id") != handover.call_id or not _ID.fullmatch(offer.text("id")):
            raise Untrusted
        path = f"/api/transfers/{offer.text('id')}"
        try:
            while offer.text("status") == "offered":
                left = ends_at - time.monotonic()
                if left <= 0:
                    break
                offer = await self._look(path, min(left, LOOK_S))
        except asyncio.CancelledError:
            # The caller has hung up: nobody may pick up a dead call.
            with contextlib.suppress(DeskUnavailable, Rejected):
                await asyncio.shield(self._withdraw(path))
            raise
        if offer.text("status") == "offered":
            offer = await self._withdraw(path)
        if offer.text("status") == "answered":
            return TransferResult(status="answered", person=offer.text("person"))
        return TransferResult(status="no_answer")

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def _look(self, path: str, wait_s: float) -> Record:
        async with _deadline(wait_s + self._read_s):
            params = {"wait_s": f"{wait_s:.3f}"}
            return await self._ask("GET", path, params=params)

    async def _withdraw(self, path: str) -> Record:
        # The desk decides the race: whoever answered before this arrived has the call.
        async with _deadline(self._write_s):
            return await self._ask("POST", f"{path}/withdraw", body={})

    async def _by_key(self, key: str) -> Record | None:
        found = await self._ask("GET", "/api/tickets", params={"key": key})
        records = found.records("tickets")
        if len(records) > 1 or any(record.text("external_key") != key for record in records):
            raise Untrusted
        return records[0] if records else None

    async def _read(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        params: dict[str, str] | None = None,
        missing: type[NotFound] | None = None,
    ) -> Record:
        async with _deadline(self._read_s):
            try:
                answer = await self._ask(method, path, body=body, params=params, missing=missing)
            except _AnswerLost:
                # A kept-alive connection the desk has just closed fails like this: once more.
                answer = await self._ask(method, path, body=body, params=params, missing=missing)
        return answer

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        params: dict[str, str] | None = None,
        missing: type[NotFound] | None = None,
    ) -> Record:
        try:
            async with self._http.stream(method, path, json=body, params=params) as response:
                status = response.status_code
                content_type = response.headers.get("content-type", "")
                content = b""
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > MAX_ANSWER_BYTES:
                        raise Untrusted
        except (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.WriteError):
            raise _AnswerLost from None
        except httpx2.RequestError:
            raise DeskUnavailable from None
        if status == 404 and missing is not None:
            raise missing
        if status in (408, 425, 429) or status >= 500:
            raise DeskUnavailable
        if status in (401, 403):
            raise Rejected("The ticket system does not accept our credentials.")
        if status == 409:
            raise _KeyTaken
        if status >= 300:
            raise Rejected("The ticket system refused the request.")
        if not content_type.startswith("application/json"):
            # A sign-in page or a sleeping instance answers 200 with HTML.
            raise DeskUnavailable
        try:
            return Record(json.loads(content))
        except ValueError:
            raise Untrusted from None


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeskUnavailable from None


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _article(record: Record) -> Article:
    return Article(
        id=record.text("id"),
        title=record.text("title"),
        language=record.text("language"),
        audience=record.choice("audience", _AUDIENCES),
        summary=record.text("summary"),
        steps=record.texts("steps"),
        keywords=record.texts("keywords"),
    )


def _requester(record: Record) -> Requester:
    return Requester(
        id=record.text("id"),
        name=record.text("name"),
        email=record.text("email"),
        language=record.text("language"),
    )


def _ticket(record: Record) -> Ticket:
    return Ticket(
        number=record.text("number"),
        summary=record.text("summary"),
        description=record.text("description"),
        status=record.choice("status", _STATUSES),
        status_note=record.text("status_note"),
        kind=record.choice("kind", _KINDS),
        requester_id=record.optional_text("requester_id"),
        opened_at=record.moment("opened_at"),
        updated_at=record.moment("updated_at"),
        comments=tuple(
            Comment(
                author=comment.text("author"),
                text=comment.text("text"),
                at=comment.moment("at"),
                public=comment.flag("public"),
            )
            for comment in record.records("comments")
        ),
    )
