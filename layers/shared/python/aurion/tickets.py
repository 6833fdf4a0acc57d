"""What a call does in the company's ticket system: open, comment, ask to be called back.

The order is always the same. A short transaction decides whether it may be, notes it and keeps the
text as a draft; then the system is asked; then a short transaction keeps the ticket's number and
lets the draft go. What is interrupted on the way is finished by `drafts.deliver_due`, once.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import Connection

from aurion import audit, calls, database, drafts
from aurion.access import MOST_WRITES, CallState
from aurion.audit import arguments_hash
from aurion.database.rows import rows_of
from aurion.drafts import Draft
from aurion.errors import DeskUnavailable, KeysUnavailable, NotAllowed
from aurion.itsm import Connector, TicketKind
from aurion.tenants import Language

type ReferenceKind = Literal["opened", "commented", "callback"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A ticket that a call opened or wrote to."""

    id: UUID
    call_id: UUID
    kind: ReferenceKind
    number: str
    idempotency_key: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a wish: the ticket's number, or None while its draft waits for the system."""

    number: str | None


async def open(
    connector: Connector,
    call: CallState,
    *,
    summary: str,
    description: str,
    language: Language,
    kind: TicketKind = "incident",
    requester_id: str | None = None,
    requester_email: str | None = None,
    idempotency_key: str | None = None,
) -> Placed:
    """Open a ticket, once per idempotency key (by default one per call and words).

    Raises:
        NotAllowed: Writing is switched off, or the call has written its fill.
        CallClosed: The call has ended.
        StaleEpoch: Another agent has taken it over.
        DatabaseUnavailable: Nothing was written; the caller's words are still only in memory.
        DeskUnavailable: Neither the ticket system nor the key service answers: nothing was written.
    """
    draft = Draft(
        call_id=call.call_id,
        kind="open",
        idempotency_key=idempotency_key
        or key_of(call.call_id, "open", summary=summary, description=description),
        text=description,
        language=language,
        summary=summary,
        ticket_kind=kind,
        requester_id=requester_id,
        requester_email=requester_email,
    )
    return await _place(connector, call, "open_ticket", draft)


async def comment(
    connector: Connector,
    call: CallState,
    *,
    number: str,
    text: str,
    language: Language,
    public: bool = True,
    idempotency_key: str | None = None,
) -> Placed:
    """Write a comment on a ticket whose owner was checked before, once per idempotency key.

    Raises:
        NotAllowed: Writing is switched off, or the call has written its fill.
        TicketNotFound: There is no such ticket.
        CallClosed: The call has ended.
        StaleEpoch: Another agent has taken it over.
        DatabaseUnavailable: Nothing was written.
        DeskUnavailable: Neither the ticket system nor the key service answers: nothing was written.
    """
    draft = Draft(
        call_id=call.call_id,
        kind="comment",
        idempotency_key=idempotency_key
        or key_of(call.call_id, "comment", number=number, text=text),
        text=text,
        language=language,
        number=number,
        public=public,
    )
    return await _place(connector, call, "comment_on_ticket", draft)


async def callback(
    connector: Connector,
    call: CallState,
    *,
    summary: str,
    description: str,
    language: Language,
    requester_id: str | None = None,
    requester_email: str | None = None,
) -> Placed:
    """Ask the company's people to call back; at most one such ticket per call, however it ends.

    Raises:
        NotAllowed: Writing is switched off, or the call has written its fill.
        CallClosed: The call has ended.
        StaleEpoch: Another agent has taken it over.
        DatabaseUnavailable: Nothing was written.
        DeskUnavailable: Neither the ticket system nor the key service answers: nothing was written.
    """
    draft = Draft(
        call_id=call.call_id,
        kind="callback",
        idempotency_key=callback_key(call.call_id),
        text=description,
        language=language,
        summary=summary,
        ticket_kind="callback",
        requester_id=requester_id,
        requester_email=requester_email,
    )
    return await _place(connector, call, "request_callback", draft)


def key_of(call_id: UUID, action: str, **words: str) -> str:
    """Return the idempotency key of an action with these words in a call."""
    return f"{action}:{call_id}:{arguments_hash(words)[:16]}"


def callback_key(call_id: UUID) -> str:
    """Return the idempotency key of a call's only call-back."""
    return f"callback:{call_id}"


def list_references(conn: Connection, call_id: UUID) -> list[Reference]:
    """List what a call opened and wrote to, in order."""
    return (
        conn.cursor(row_factory=rows_of(Reference))
        .execute(
            "SELECT * FROM aurion.ticket_references WHERE call_id = %s ORDER BY created_at, id",
            (call_id,),
        )
        .fetchall()
    )


async def _place(connector: Connector, call: CallState, action: str, draft: Draft) -> Placed:
    draft = drafts.fit(draft)
    try:
        sealed = await asyncio.to_thread(drafts.seal, call.tenant_id, draft)
    except KeysUnavailable:
        # Without keys nothing can be kept for later, but the system itself may well answer.
        sealed = None
    known, draft_id = await asyncio.to_thread(_note, call, action, draft, sealed)
    if known is not None:
        return Placed(known)
    if sealed is not None and draft_id is None:
        return Placed(None)  # the same wish is on its way already
    number = await drafts.deliver(
        connector, tenant_id=call.tenant_id, draft_id=draft_id, draft=draft, attempts=1
    )
    if number is None and sealed is None:
        raise DeskUnavailable
    return Placed(number)


def _note(
    call: CallState, action: str, draft: Draft, sealed: drafts.SealedDraft | None
) -> tuple[str | None, UUID | None]:
    """Decide and keep; returns the number if the key has one already, and the new draft's id."""
    with database.tenant_transaction(call.tenant_id) as conn:
        calls.hold(conn, call_id=call.call_id, epoch=call.epoch)
        known = conn.execute(
            "SELECT number FROM aurion.ticket_references WHERE idempotency_key = %s",
            (draft.idempotency_key,),
        ).fetchone()
        if known is not None:
            return known[0], None
        # Read here, not taken from the call's state: the switch must work on calls under way.
        row = conn.execute(
            """
            SELECT t.writes_enabled,
                (SELECT count(*) FROM aurion.ticket_references r WHERE r.call_id = %(call_id)s)
                + (SELECT count(*) FROM aurion.drafts d
                   WHERE d.call_id = %(call_id)s AND d.idempotency_key <> %(key)s)
            FROM aurion.tenants t WHERE t.tenant_id = aurion.tenant_id()
            """,
            {"call_id": call.call_id, "key": draft.idempotency_key},
        ).fetchone()
        if row is None or not row[0] or row[1] >= MOST_WRITES:
            raise NotAllowed
        audit.record(
            conn,
            actor="agent",
            action=action,
            decision="allowed",
            call_id=call.call_id,
            person_id=call.person_id,
            level=call.level,
            arguments={"summary": draft.summary, "text": draft.text, "number": draft.number},
        )
        return None, None if sealed is None else drafts.put(conn, sealed, held=True)
