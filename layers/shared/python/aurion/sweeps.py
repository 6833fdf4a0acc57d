"""What is done for calls whose agent is gone; safe to run anywhere and in parallel."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from aurion import database, drafts, itsm, outbox, secrets, tenants, ticket_texts, tickets
from aurion.database.rows import rows_of
from aurion.drafts import Delivery, Draft, SealedDraft
from aurion.errors import (
    KeysUnavailable,
    NotFound,
    QueueUnavailable,
    Rejected,
    TenantNotFound,
    Unavailable,
)
from aurion.itsm import Connector
from aurion.tenants import Language, Tenant

logger = logging.getLogger(__name__)

_MOST_QUOTED = 3
_LONGEST_QUOTE = 500


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one round did for one tenant."""

    interrupted: int
    drafts: Delivery
    sent: int


@dataclass(frozen=True, slots=True)
class _Expired:
    id: UUID
    started_at: datetime
    language: Language | None
    calling_number: str | None
    caller: str | None
    email: str | None
    said: list[str]


def close_expired(tenant_id: UUID, *, limit: int = 50) -> list[UUID]:
    """Close the calls whose agent is gone as interrupted, each once, and leave one call-back each.

    The call-back has the key of the call's only one: a caller who had asked for one gets no second.
    Who hung up while it still rang is abandoned and wants no call-back; those aren't in the list.

    Raises:
        DatabaseUnavailable: The database does not answer.
        KeysUnavailable: KMS does not answer; the calls stay for the next round.
        TenantNotFound: There is no such tenant.
    """
    with database.tenant_transaction(tenant_id) as conn:
        tenant = tenants.get(conn)
        _abandon(conn, limit)
        expired = _list_expired(conn, limit)
    closed: list[UUID] = []
    for call in expired:
        sealed = drafts.seal(tenant_id, _callback(tenant, call))
        with database.tenant_transaction(tenant_id) as conn:
            if _interrupt(conn, call.id, sealed):
                closed.append(call.id)
    return closed


def close_all_expired() -> dict[UUID, list[UUID]]:
    """Close every tenant's dead calls; one whose keys do not answer does not hold up the others.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    closed: dict[UUID, list[UUID]] = {}
    for tenant_id in tenants.ids():
        try:
            closed[tenant_id] = close_expired(tenant_id)
        except TenantNotFound:
            continue  # deleted since
        except KeysUnavailable as error:
            _cut_short(tenant_id, error)
    return closed


async def deliver_all(
    connect: Callable[[Tenant], Connector] | None = None, *, at_once: int = 8
) -> dict[UUID, Sweep]:
    """Deliver every tenant's drafts and messages, some tenants at a time.

    `connect` reaches a ticket system in another way than by the tenant's row.

    Raises:
        DatabaseUnavailable: The tenants can't be listed.
    """
    room = asyncio.Semaphore(at_once)

    async def one(tenant_id: UUID) -> Sweep | None:
        async with room:
            try:
                connector = await asyncio.to_thread(_reach, tenant_id, connect or _by_row)
                try:
                    return await deliver(tenant_id, connector)
                finally:
                    await connector.aclose()
            except TenantNotFound:
                return None  # deleted since
            except (Unavailable, Rejected, NotFound) as error:
                _cut_short(tenant_id, error)
                return None

    ids = await asyncio.to_thread(tenants.ids)
    done = await asyncio.gather(*(one(tenant_id) for tenant_id in ids))
    return {tenant_id: sweep for tenant_id, sweep in zip(ids, done, strict=True) if sweep}


async def deliver(tenant_id: UUID, connector: Connector) -> Sweep:
    """Deliver a tenant's drafts and send its messages.

    Raises:
        DatabaseUnavailable: The database does not answer.
        KeysUnavailable: KMS does not answer.
    """
    delivery = await drafts.deliver_due(connector, tenant_id=tenant_id)
    try:
        sent = await asyncio.to_thread(outbox.flush, tenant_id)
    except QueueUnavailable:
        sent = 0
    return Sweep(0, delivery, sent)


async def tend(tenant_id: UUID, connector: Connector) -> Sweep:
    """Close a tenant's dead calls, deliver its drafts and send its messages.

    Raises:
        DatabaseUnavailable: The database does not answer.
        KeysUnavailable: KMS does not answer.
        TenantNotFound: There is no such tenant.
    """
    closed = await asyncio.to_thread(close_expired, tenant_id)
    return replace(await deliver(tenant_id, connector), interrupted=len(closed))


async def tend_all(connect: Callable[[Tenant], Connector]) -> dict[UUID, Sweep]:
    """Do the round for every tenant; one whose services fail does not hold up the others.

    Raises:
        DatabaseUnavailable: The tenants can't be listed.
    """
    done: dict[UUID, Sweep] = {}
    for tenant_id in await asyncio.to_thread(tenants.ids):
        try:
            done[tenant_id] = await _tend_one(tenant_id, connect)
        except TenantNotFound:
            continue  # deleted since
        except (Unavailable, Rejected, NotFound) as error:
            _cut_short(tenant_id, error)
    return done


async def _tend_one(tenant_id: UUID, connect: Callable[[Tenant], Connector]) -> Sweep:
    connector = await asyncio.to_thread(_reach, tenant_id, connect)
    try:
        return await tend(tenant_id, connector)
    finally:
        await connector.aclose()


def _reach(tenant_id: UUID, connect: Callable[[Tenant], Connector]) -> Connector:
    with database.tenant_transaction(tenant_id) as conn:
        tenant = tenants.get(conn)
    return connect(tenant)


def _by_row(tenant: Tenant) -> Connector:
    secret = secrets.get(tenant.itsm_secret) if tenant.itsm_secret else ""
    return itsm.connect(tenant.itsm_kind, base_url=tenant.itsm_url, secret=secret)


def _cut_short(tenant_id: UUID, error: Exception) -> None:
    logger.warning(
        "a tenant's round was cut short",
        extra={"tenant_id": str(tenant_id), "error": type(error).__name__},
    )


def _abandon(conn: Connection, limit: int) -> None:
    """End the calls whose callers hung up before anybody answered."""
    rows = conn.execute(
        """
        UPDATE aurion.calls AS c
        SET status = 'closed', outcome = 'abandoned', token_hash = NULL, token_expires_at = NULL,
            ended_at = greatest(c.started_at, gone.updated_at)
        FROM (
            SELECT c.id, l.updated_at FROM aurion.calls c
            JOIN aurion.phone_lines l
                ON l.tenant_id = c.tenant_id AND l.line_id = c.provider_call_id
            WHERE c.status = 'ringing' AND c.lease_until < clock_timestamp()
                AND l.status IN ('completed', 'canceled')
                AND coalesce(l.offered, 'nothing') = 'nothing'
            LIMIT %s
            FOR UPDATE OF c SKIP LOCKED
        ) AS gone
        WHERE c.id = gone.id
        RETURNING c.id
        """,
        (limit,),
    ).fetchall()
    for (call_id,) in rows:
        outbox.enqueue(conn, kind="call_closed", subject_id=call_id)


def _list_expired(conn: Connection, limit: int) -> list[_Expired]:
    return (
        conn.cursor(row_factory=rows_of(_Expired))
        .execute(
            """
            SELECT c.id, c.started_at, c.language, c.calling_number,
                p.name AS caller, p.email AS email,
                ARRAY(
                    SELECT left(t.text, %(longest)s) FROM (
                        SELECT text, seq FROM aurion.turns
                        WHERE call_id = c.id AND speaker = 'caller'
                        ORDER BY seq DESC LIMIT %(quoted)s) AS t
                    ORDER BY t.seq
                ) AS said
            FROM aurion.calls c
            LEFT JOIN aurion.people p ON p.tenant_id = c.tenant_id AND p.id = c.person_id
            WHERE c.status <> 'closed' AND c.lease_until < clock_timestamp()
            ORDER BY c.lease_until
            LIMIT %(limit)s
            """,
            {"longest": _LONGEST_QUOTE, "quoted": _MOST_QUOTED, "limit": limit},
        )
        .fetchall()
    )


def _callback(tenant: Tenant, call: _Expired) -> Draft:
    started = call.started_at.astimezone(ZoneInfo(tenant.timezone))
    summary, description = ticket_texts.interrupted(
        tenant.main_language,
        started_at=started.strftime("%Y-%m-%d %H:%M"),
        caller=call.caller,
        number=call.calling_number,
        said=call.said,
    )
    return Draft(
        call_id=call.id,
        kind="callback",
        idempotency_key=tickets.callback_key(call.id),
        text=description,
        language=call.language or tenant.main_language,
        summary=summary,
        ticket_kind="callback",
        requester_email=call.email,
    )


def _interrupt(conn: Connection, call_id: UUID, callback: SealedDraft) -> bool:
    """Close one call if its lease is still over; one that another sweeper holds is left to it."""
    row = conn.execute(
        """
        UPDATE aurion.calls
        SET status = 'closed', outcome = 'interrupted', token_hash = NULL, token_expires_at = NULL,
            ended_at = greatest(started_at, least(lease_until, clock_timestamp()))
        WHERE id = (
            SELECT id FROM aurion.calls
            WHERE id = %s AND status <> 'closed' AND lease_until < clock_timestamp()
            FOR UPDATE SKIP LOCKED)
        RETURNING id
        """,
        (call_id,),
    ).fetchone()
    if row is None:
        return False
    drafts.put(conn, callback)
    outbox.enqueue(conn, kind="call_closed", subject_id=call_id)
    return True
