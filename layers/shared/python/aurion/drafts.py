"""Text on its way into the company's ticket system: encrypted, and gone once the system has it.

A draft is committed before the system is asked, so that neither a crash nor a system that is down
loses it; whoever sends it holds it for a while, and the idempotency key makes all tries one ticket.
"""

import asyncio
import bisect
import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import Connection

from aurion import audit, database, keys
from aurion.database.rows import rows_of
from aurion.errors import DatabaseUnavailable, NotFound, Rejected, Unavailable
from aurion.itsm import Connector, NewTicket, TicketKind
from aurion.tenants import Language
from aurion.texts import storable

logger = logging.getLogger(__name__)

type DraftKind = Literal["open", "comment", "callback"]

CUT_MARK = " […]"
HELD_S = 30.0
"""Longer than any try lasts: a requester is looked up (3 s) and a ticket written (5 s)."""

_MOST_BYTES = 4_000
_LONGEST_SUMMARY = 200
_LONGEST_PAUSE_S = 900.0
_MOST_AGE_H = 24


@dataclass(frozen=True, slots=True)
class Draft:
    """What should be written into the ticket system.

    `text` is a new ticket's description, or the comment for ticket `number`. The requester is the
    system's own id, or else an e-mail address to find it by.
    """

    call_id: UUID
    kind: DraftKind
    idempotency_key: str
    text: str
    language: Language
    summary: str = ""
    ticket_kind: TicketKind = "incident"
    requester_id: str | None = None
    requester_email: str | None = None
    number: str | None = None
    public: bool = True


@dataclass(frozen=True, slots=True)
class SealedDraft:
    """A draft as it is stored."""

    call_id: UUID
    kind: DraftKind
    idempotency_key: str
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class HeldDraft:
    """A stored draft that its reader alone may send for now; `attempts` counts this try too."""

    id: UUID
    call_id: UUID
    kind: DraftKind
    idempotency_key: str
    ciphertext: bytes
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the drafts that were due."""

    delivered: int = 0
    deferred: int = 0
    dropped: int = 0
    expired: int = 0


def fit(draft: Draft) -> Draft:
    """Cut a draft to what one KMS encryption holds (4,000 bytes), marked where text is missing."""
    whole = replace(
        draft,
        summary=_shorten(storable(draft.summary), _LONGEST_SUMMARY),
        text=storable(draft.text),
    )
    if _size(whole) <= _MOST_BYTES:
        return whole

    def cut(length: int) -> Draft:
        return replace(whole, text=whole.text[:length].rstrip() + CUT_MARK)

    # Escapes and accents make a character up to six bytes: the length is searched, not computed.
    lengths = range(min(len(whole.text), _MOST_BYTES))
    return cut(bisect.bisect_right(lengths, _MOST_BYTES, key=lambda n: _size(cut(n))) - 1)


def seal(tenant_id: UUID, draft: Draft) -> SealedDraft:
    """Encrypt a draft, cut to size; asks KMS, so never inside a transaction.

    Raises:
        KeysUnavailable: KMS does not answer.
    """
    return SealedDraft(
        draft.call_id,
        draft.kind,
        draft.idempotency_key,
        keys.encrypt(tenant_id, _pack(fit(draft))),
    )


def open_sealed(tenant_id: UUID, sealed: SealedDraft | HeldDraft) -> Draft:
    """Decrypt a draft.

    Raises:
        KeysUnavailable: KMS does not answer, or it is another tenant's.
    """
    fields = json.loads(keys.decrypt(tenant_id, sealed.ciphertext))
    return Draft(
        call_id=sealed.call_id,
        kind=sealed.kind,
        idempotency_key=sealed.idempotency_key,
        **fields,
    )


def put(conn: Connection, sealed: SealedDraft, *, held: bool = False) -> UUID | None:
    """Store a draft and return its id; None when its key is stored or reached the system before.

    `held` keeps everybody else from sending it for the next `HELD_S` seconds.
    """
    row = conn.execute(
        """
        INSERT INTO aurion.drafts
            (call_id, kind, idempotency_key, ciphertext, attempts, next_attempt_at)
        SELECT %(call_id)s, %(kind)s, %(key)s, %(ciphertext)s, %(attempts)s,
            clock_timestamp() + make_interval(secs => %(pause_s)s)
        WHERE NOT EXISTS (
            SELECT FROM aurion.ticket_references WHERE idempotency_key = %(key)s)
        ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
        RETURNING id
        """,
        {
            "call_id": sealed.call_id,
            "kind": sealed.kind,
            "key": sealed.idempotency_key,
            "ciphertext": sealed.ciphertext,
            "attempts": 1 if held else 0,
            "pause_s": HELD_S if held else 0.0,
        },
    ).fetchone()
    return None if row is None else row[0]


def claim_due(conn: Connection) -> HeldDraft | None:
    """Take the draft that has been due for longest; nobody else sends it for `HELD_S` seconds."""
    return (
        conn.cursor(row_factory=rows_of(HeldDraft))
        .execute(
            """
            UPDATE aurion.drafts AS d
            SET attempts = d.attempts + 1,
                next_attempt_at = clock_timestamp() + make_interval(secs => %s)
            WHERE d.id = (
                SELECT id FROM aurion.drafts
                WHERE next_attempt_at <= clock_timestamp()
                ORDER BY next_attempt_at, id
                LIMIT 1
                FOR UPDATE SKIP LOCKED)
            RETURNING d.*
            """,
            (HELD_S,),
        )
        .fetchone()
    )


def count(conn: Connection) -> int:
    """Count the drafts that wait."""
    row = conn.execute("SELECT count(*) FROM aurion.drafts").fetchone()
    assert row is not None
    return row[0]


async def deliver(
    connector: Connector, *, tenant_id: UUID, draft_id: UUID | None, draft: Draft, attempts: int
) -> str | None:
    """Send a draft that is held, and return the ticket's number; None when it has to wait.

    Raises:
        NotFound: The ticket to comment on is gone: the draft is too.
    """
    try:
        number = await _send(connector, draft, again=attempts > 1)
    except Unavailable:
        await asyncio.to_thread(_defer, tenant_id, draft_id, attempts, "unavailable")
        return None
    except Rejected:
        await asyncio.to_thread(_defer, tenant_id, draft_id, attempts, "rejected")
        return None
    except NotFound:
        await asyncio.to_thread(_drop, tenant_id, draft_id, draft)
        raise
    try:
        await asyncio.to_thread(_settle, tenant_id, draft, number)
    except DatabaseUnavailable:
        # The ticket is there and the caller may hear so; the next try finds it by its key.
        logger.warning("a delivered draft stays", extra={"call_id": str(draft.call_id)})
    return number


async def deliver_due(connector: Connector, *, tenant_id: UUID, limit: int = 20) -> Delivery:
    """Send the drafts that are due, the oldest first, until the system proves to be down.

    Raises:
        DatabaseUnavailable: The database does not answer.
        KeysUnavailable: KMS does not answer.
    """
    result = Delivery(expired=await asyncio.to_thread(_expire, tenant_id))
    for _ in range(limit):
        held = await asyncio.to_thread(_claim, tenant_id)
        if held is None:
            break
        draft = await asyncio.to_thread(open_sealed, tenant_id, held)
        try:
            number = await deliver(
                connector,
                tenant_id=tenant_id,
                draft_id=held.id,
                draft=draft,
                attempts=held.attempts,
            )
        except NotFound:
            result = replace(result, dropped=result.dropped + 1)
            continue
        if number is None:
            return replace(result, deferred=result.deferred + 1)
        result = replace(result, delivered=result.delivered + 1)
    return result


async def _send(connector: Connector, draft: Draft, *, again: bool) -> str:
    if draft.kind == "comment":
        assert draft.number is not None
        ticket = await connector.add_comment(
            draft.number,
            text=draft.text,
            public=draft.public,
            idempotency_key=draft.idempotency_key,
        )
        return ticket.number
    if again:
        # The answer to an earlier try may have been lost, after the ticket was opened.
        found = await connector.find_ticket_by_key(draft.idempotency_key)
        if found is not None:
            return found.number
    requester_id, text = draft.requester_id, draft.text
    if requester_id is None and draft.requester_email is not None:
        requester = await connector.find_requester(draft.requester_email)
        if requester is None:
            text = f"{text}\n\n{draft.requester_email}"
        else:
            requester_id = requester.id
    ticket = await connector.create_ticket(
        NewTicket(
            requester_id=requester_id,
            summary=draft.summary,
            description=text,
            kind=draft.ticket_kind,
            language=draft.language,
            idempotency_key=draft.idempotency_key,
        )
    )
    return ticket.number


def _claim(tenant_id: UUID) -> HeldDraft | None:
    with database.tenant_transaction(tenant_id) as conn:
        return claim_due(conn)


def _settle(tenant_id: UUID, draft: Draft, number: str) -> None:
    kinds = {"open": "opened", "comment": "commented", "callback": "callback"}
    with database.tenant_transaction(tenant_id) as conn:
        conn.execute(
            """
            INSERT INTO aurion.ticket_references (call_id, kind, number, idempotency_key)
            VALUES (%s, %s, %s, %s)
            ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
            """,
            (draft.call_id, kinds[draft.kind], number, draft.idempotency_key),
        )
        conn.execute(
            "DELETE FROM aurion.drafts WHERE idempotency_key = %s", (draft.idempotency_key,)
        )


def _defer(
    tenant_id: UUID,
    draft_id: UUID | None,
    attempts: int,
    error: Literal["unavailable", "rejected"],
) -> None:
    if draft_id is None:
        return
    pause_s = min(_LONGEST_PAUSE_S, 30.0 * 2 ** min(attempts - 1, 10))
    with database.tenant_transaction(tenant_id) as conn:
        conn.execute(
            """
            UPDATE aurion.drafts
            SET last_error = %s, next_attempt_at = clock_timestamp() + make_interval(secs => %s)
            WHERE id = %s
            """,
            (error, pause_s if error == "unavailable" else _LONGEST_PAUSE_S, draft_id),
        )


def _drop(tenant_id: UUID, draft_id: UUID | None, draft: Draft) -> None:
    with database.tenant_transaction(tenant_id) as conn:
        conn.execute("DELETE FROM aurion.drafts WHERE id = %s", (draft_id,))
        audit.record(
            conn, actor="job", action="deliver_draft", decision="failed", call_id=draft.call_id
        )


def _expire(tenant_id: UUID) -> int:
    with database.tenant_transaction(tenant_id) as conn:
        rows = conn.execute(
            """
            DELETE FROM aurion.drafts
            WHERE created_at < clock_timestamp() - make_interval(hours => %s)
            RETURNING call_id
            """,
            (_MOST_AGE_H,),
        ).fetchall()
        for (call_id,) in rows:
            audit.record(
                conn, actor="job", action="expire_draft", decision="failed", call_id=call_id
            )
    for (call_id,) in rows:
        logger.error(
            "a draft found no way into the ticket system",
            extra={"tenant_id": str(tenant_id), "call_id": str(call_id)},
        )
    return len(rows)


def _pack(draft: Draft) -> str:
    fields = {
        "summary": draft.summary,
        "text": draft.text,
        "language": draft.language,
        "ticket_kind": draft.ticket_kind,
        "requester_id": draft.requester_id,
        "requester_email": draft.requester_email,
        "number": draft.number,
        "public": draft.public,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _size(draft: Draft) -> int:
    return len(_pack(draft).encode())


def _shorten(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return text[: longest - len(CUT_MARK)].rstrip() + CUT_MARK
