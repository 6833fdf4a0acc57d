"""A call's row: who holds it, what is known about the caller, and how it ended.

One agent at a time may write to a call: the one with the newest epoch. Its lease runs on the
database's clock, so that a machine's wrong time neither keeps a dead call alive nor ends a live
one.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString
from uuid import UUID

from psycopg import Connection
from psycopg.abc import Params

from aurion import drafts, outbox
from aurion.database.rows import rows_of
from aurion.drafts import SealedDraft
from aurion.errors import CallClosed, CallNotFound, NotAllowed, StaleEpoch, TenantNotFound
from aurion.tenants import Language

type Channel = Literal["phone", "room", "local", "text"]
type CallStatus = Literal["ringing", "active", "closed"]
type Outcome = Literal[
    "resolved",
    "ticket",
    "informed",
    "transferred",
    "callback",
    "message",
    "unverified",
    "abandoned",
    "interrupted",
    "failed",
]

LEASE_S = 30.0
"""How long a call outlives its agent's last sign of life; an agent renews at a third of it."""

RINGING_S = 60.0
"""How long a call may ring before an agent has to hold it."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call; numbers are E.164, `level` is how surely the caller is known (0-3)."""

    tenant_id: UUID
    id: UUID
    channel: Channel
    provider_call_id: str | None
    dialled_number: str | None
    calling_number: str | None
    status: CallStatus
    outcome: Outcome | None
    level: int
    person_id: UUID | None
    language: Language | None
    recording: bool
    epoch: int
    lease_until: datetime
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None


def start(
    conn: Connection,
    *,
    channel: Channel,
    provider_call_id: str | None = None,
    dialled_number: str | None = None,
    calling_number: str | None = None,
    token: str | None = None,
    ring_s: float = RINGING_S,
) -> Call:
    """Note a new call, once per provider's id: a repeat returns the call there is.

    The token is what the voice server will show for it: opaque, good once and for `ring_s` seconds,
    and kept as a hash. A repeat with another token makes that the valid one, while the call rings.

    Raises:
        NotAllowed: The company has switched calls off.
        TenantNotFound: There is no such tenant.
    """
    values = {
        "channel": channel,
        "provider_call_id": provider_call_id,
        "dialled_number": dialled_number,
        "calling_number": calling_number,
        "token_hash": None if token is None else _token_hash(token),
        "ring_s": ring_s,
    }
    call = _find(
        conn,
        """
        INSERT INTO aurion.calls AS c
            (channel, provider_call_id, dialled_number, calling_number, recording,
             token_hash, token_expires_at, lease_until)
        SELECT %(channel)s, %(provider_call_id)s, %(dialled_number)s, %(calling_number)s,
            t.recording, %(token_hash)s,
            CASE WHEN %(token_hash)s::text IS NOT NULL
                THEN clock_timestamp() + make_interval(secs => %(ring_s)s) END,
            clock_timestamp() + make_interval(secs => %(ring_s)s)
        FROM aurion.tenants t
        WHERE t.tenant_id = aurion.tenant_id() AND t.calls_enabled
        ON CONFLICT (tenant_id, provider_call_id) DO UPDATE
        SET token_hash = CASE WHEN c.status = 'ringing' THEN coalesce(
                EXCLUDED.token_hash, c.token_hash) END,
            token_expires_at = CASE WHEN c.status = 'ringing' THEN coalesce(
                EXCLUDED.token_expires_at, c.token_expires_at) END
        RETURNING *
        """,
        values,
    )
    if call is None:
        tenant = conn.execute(
            "SELECT FROM aurion.tenants WHERE tenant_id = aurion.tenant_id()"
        ).fetchone()
        raise TenantNotFound if tenant is None else NotAllowed
    return call


def redeem_token(conn: Connection, *, token: str) -> Call:
    """Find the ringing call of a token, once.

    Raises:
        CallNotFound: There is none, its time is over, or it was redeemed before.
    """
    return _one(
        conn,
        """
        UPDATE aurion.calls SET token_hash = NULL, token_expires_at = NULL
        WHERE token_hash = %s AND status = 'ringing' AND token_expires_at > clock_timestamp()
        RETURNING *
        """,
        (_token_hash(token),),
    )


def claim(conn: Connection, *, call_id: UUID, lease_s: float = LEASE_S) -> Call:
    """Take a call that nobody holds or whose agent is gone; an older agent is refused from now on.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
    """
    call = _find(
        conn,
        """
        UPDATE aurion.calls
        SET status = 'active', epoch = epoch + 1, token_hash = NULL, token_expires_at = NULL,
            answered_at = coalesce(answered_at, clock_timestamp()),
            lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
        WHERE id = %(id)s AND status <> 'closed'
        RETURNING *
        """,
        {"id": call_id, "lease_s": lease_s},
    )
    if call is None:
        get(conn, call_id)
        raise CallClosed
    return call


def hold(conn: Connection, *, call_id: UUID, epoch: int) -> Call:
    """Lock a call's row until the transaction ends, if this epoch may still write to it.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        StaleEpoch: Another agent has taken it over.
    """
    call = _one(conn, "SELECT * FROM aurion.calls WHERE id = %s FOR NO KEY UPDATE", (call_id,))
    if call.status == "closed":
        raise CallClosed
    if call.epoch != epoch:
        raise StaleEpoch
    return call


def renew(conn: Connection, *, call_id: UUID, epoch: int, lease_s: float = LEASE_S) -> datetime:
    """Show that the agent lives; returns until when (database clock) it may stay silent.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        StaleEpoch: Another agent has taken it over.
    """
    hold(conn, call_id=call_id, epoch=epoch)
    row = conn.execute(
        """
        UPDATE aurion.calls SET lease_until = clock_timestamp() + make_interval(secs => %s)
        WHERE id = %s RETURNING lease_until
        """,
        (lease_s, call_id),
    ).fetchone()
    assert row is not None
    return row[0]


def set_language(conn: Connection, *, call_id: UUID, epoch: int, language: Language) -> None:
    """Fix the language the call is held in.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        StaleEpoch: Another agent has taken it over.
    """
    hold(conn, call_id=call_id, epoch=epoch)
    conn.execute("UPDATE aurion.calls SET language = %s WHERE id = %s", (language, call_id))


def set_caller(
    conn: Connection, *, call_id: UUID, epoch: int, person_id: UUID | None, level: int
) -> None:
    """Note who the caller has proved to be, and how surely; nobody is level 0.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        StaleEpoch: Another agent has taken it over.
        NotAllowed: A level without a person.
    """
    if (person_id is None) != (level == 0):
        raise NotAllowed
    hold(conn, call_id=call_id, epoch=epoch)
    conn.execute(
        "UPDATE aurion.calls SET person_id = %s, level = %s WHERE id = %s",
        (person_id, level, call_id),
    )


def stop_recording(conn: Connection, *, call_id: UUID, epoch: int) -> None:
    """Note that the caller doesn't want to be recorded; nothing turns it on again.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        StaleEpoch: Another agent has taken it over.
    """
    hold(conn, call_id=call_id, epoch=epoch)
    conn.execute("UPDATE aurion.calls SET recording = false WHERE id = %s", (call_id,))


def close(
    conn: Connection,
    *,
    call_id: UUID,
    epoch: int,
    outcome: Outcome,
    left: Iterable[SealedDraft] = (),
) -> Call:
    """End a call, exactly once: its message leaves and the drafts it left are kept, or nothing is.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended before.
        StaleEpoch: Another agent has taken it over.
    """
    hold(conn, call_id=call_id, epoch=epoch)
    call = _one(
        conn,
        """
        UPDATE aurion.calls
        SET status = 'closed', outcome = %s, ended_at = clock_timestamp(),
            token_hash = NULL, token_expires_at = NULL
        WHERE id = %s RETURNING *
        """,
        (outcome, call_id),
    )
    for draft in left:
        drafts.put(conn, draft)
    outbox.enqueue(conn, kind="call_closed", subject_id=call_id)
    return call


def end_unserved(
    conn: Connection, *, call_id: UUID, outcome: Outcome, left: Iterable[SealedDraft] = ()
) -> bool:
    """End a call that has no agent, from the telephone side; False when it has ended already.

    An agent that holds it after all learns so from its next write.
    """
    row = conn.execute(
        """
        UPDATE aurion.calls
        SET status = 'closed', outcome = %s, ended_at = clock_timestamp(),
            token_hash = NULL, token_expires_at = NULL
        WHERE id = %s AND status <> 'closed'
        RETURNING id
        """,
        (outcome, call_id),
    ).fetchone()
    for draft in left:
        drafts.put(conn, draft)
    if row is not None:
        outbox.enqueue(conn, kind="call_closed", subject_id=call_id)
    return row is not None


def find_by_provider_id(conn: Connection, provider_call_id: str) -> Call | None:
    """Find the call that the telephone company knows by this id."""
    return _find(
        conn, "SELECT * FROM aurion.calls WHERE provider_call_id = %s", (provider_call_id,)
    )


def find_by_token(conn: Connection, token: str) -> Call | None:
    """Find the ringing call of a token that is still good, and leave it so."""
    return _find(
        conn,
        """
        SELECT * FROM aurion.calls
        WHERE token_hash = %s AND status = 'ringing' AND token_expires_at > clock_timestamp()
        """,
        (_token_hash(token),),
    )


def awaits_agent(conn: Connection, call_id: UUID) -> bool:
    """Say whether a call rings and nobody has redeemed its token."""
    row = conn.execute(
        "SELECT FROM aurion.calls WHERE id = %s AND status = 'ringing' AND token_hash IS NOT NULL",
        (call_id,),
    ).fetchone()
    return row is not None


def spare(conn: Connection, *, call_id: UUID, seconds: float) -> None:
    """Keep the sweep from a call that somebody else is serving meanwhile."""
    conn.execute(
        """
        UPDATE aurion.calls
        SET lease_until = greatest(lease_until, clock_timestamp() + make_interval(secs => %s))
        WHERE id = %s AND status <> 'closed'
        """,
        (seconds, call_id),
    )


def get(conn: Connection, call_id: UUID) -> Call:
    """Read a call.

    Raises:
        CallNotFound: There is no such call.
    """
    return _one(conn, "SELECT * FROM aurion.calls WHERE id = %s", (call_id,))


def list_recent(conn: Connection, *, limit: int = 50, before: datetime | None = None) -> list[Call]:
    """List calls, newest first; `before` is the start of the last one of the page before."""
    return (
        conn.cursor(row_factory=rows_of(Call))
        .execute(
            """
            SELECT * FROM aurion.calls
            WHERE started_at < coalesce(%s, 'infinity'::timestamptz)
            ORDER BY started_at DESC, id
            LIMIT %s
            """,
            (before, limit),
        )
        .fetchall()
    )


def _find(conn: Connection, query: LiteralString, values: Params) -> Call | None:
    return conn.cursor(row_factory=rows_of(Call)).execute(query, values).fetchone()


def _one(conn: Connection, query: LiteralString, values: Params) -> Call:
    call = _find(conn, query, values)
    if call is None:
        raise CallNotFound
    return call


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
