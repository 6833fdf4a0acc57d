"""Where a call's recording is: being made, stored, or why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from aurion import calls
from aurion.database.rows import rows_of
from aurion.errors import RecordingNotFound, RecordingSettled
from aurion.storage import StoredObject

type RecordingStatus = Literal["recording", "stored", "salvaged", "lost", "discarded", "deleted"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording; `guarded_intervals` are [start_ms, end_ms] of silence on purpose."""

    call_id: UUID
    status: RecordingStatus
    object_key: str | None
    started_at: datetime
    duration_ms: int | None
    size_bytes: int | None
    sha256: str | None
    guarded_intervals: list[list[int]]
    stored_at: datetime | None


def begin(conn: Connection, *, call_id: UUID, epoch: int) -> bool:
    """Note that a recording is being made; False when this call must not be recorded.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        StaleEpoch: Another agent has taken it over.
    """
    if not calls.hold(conn, call_id=call_id, epoch=epoch).recording:
        return False
    conn.execute(
        """
        INSERT INTO aurion.recordings (call_id, started_at) VALUES (%s, clock_timestamp())
        ON CONFLICT (tenant_id, call_id) DO NOTHING
        """,
        (call_id,),
    )
    return get(conn, call_id).status == "recording"


def stored(
    conn: Connection,
    *,
    call_id: UUID,
    stored_object: StoredObject,
    duration_ms: int,
    guarded_intervals: Sequence[tuple[int, int]] = (),
) -> None:
    """Note where the whole recording lies.

    Raises:
        RecordingNotFound: None was begun.
        RecordingSettled: It was discarded or deleted: the object must go.
    """
    _keep(conn, "stored", call_id, stored_object, duration_ms, guarded_intervals)


def salvaged(
    conn: Connection,
    *,
    call_id: UUID,
    stored_object: StoredObject,
    duration_ms: int,
    guarded_intervals: Sequence[tuple[int, int]] = (),
) -> None:
    """Note where the part lies that outlived its agent.

    Raises:
        RecordingNotFound: None was begun.
        RecordingSettled: It was discarded, deleted or stored whole: the object must go.
    """
    _keep(conn, "salvaged", call_id, stored_object, duration_ms, guarded_intervals)


def lost(conn: Connection, *, call_id: UUID) -> None:
    """Note that nothing of a recording is left.

    Raises:
        RecordingNotFound: None was begun.
        RecordingSettled: Something of it is stored, or it was discarded.
    """
    _settle(
        conn,
        call_id,
        conn.execute(
            """
            UPDATE aurion.recordings SET status = 'lost'
            WHERE call_id = %s AND status IN ('recording', 'lost')
            """,
            (call_id,),
        ).rowcount,
    )


def discarded(conn: Connection, *, call_id: UUID) -> str | None:
    """Note that a recording is not wanted, and return the key of the object that must go, if any.

    Delete the object, then say so with `object_gone`; `list_unwanted` shows what a crash left.

    Raises:
        RecordingNotFound: None was begun.
    """
    row = conn.execute(
        """
        UPDATE aurion.recordings SET status = 'discarded'
        WHERE call_id = %s AND status <> 'deleted'
        RETURNING object_key
        """,
        (call_id,),
    ).fetchone()
    if row is None:
        get(conn, call_id)
        return None
    return row[0]


def object_gone(conn: Connection, *, call_id: UUID) -> None:
    """Note that a discarded recording's object is deleted.

    Raises:
        RecordingNotFound: None was begun.
        RecordingSettled: It is not discarded.
    """
    done = conn.execute(
        """
        UPDATE aurion.recordings
        SET object_key = NULL, size_bytes = NULL, sha256 = NULL
        WHERE call_id = %s AND status = 'discarded'
        """,
        (call_id,),
    )
    _settle(conn, call_id, done.rowcount)


def gone(conn: Connection, *, call_id: UUID, object_key: str) -> bool:
    """Note that a stored recording's object is not where its row says; False when that changed."""
    done = conn.execute(
        """
        UPDATE aurion.recordings
        SET status = 'lost', object_key = NULL, size_bytes = NULL, sha256 = NULL
        WHERE call_id = %s AND object_key = %s AND status IN ('stored', 'salvaged')
        """,
        (call_id, object_key),
    )
    return done.rowcount > 0


def list_unwanted(conn: Connection, *, limit: int = 100) -> list[Recording]:
    """List discarded recordings whose object is still there, oldest first."""
    return (
        conn.cursor(row_factory=rows_of(Recording))
        .execute(
            """
            SELECT * FROM aurion.recordings
            WHERE status = 'discarded' AND object_key IS NOT NULL
            ORDER BY started_at
            LIMIT %s
            """,
            (limit,),
        )
        .fetchall()
    )


def get(conn: Connection, call_id: UUID) -> Recording:
    """Read a call's recording.

    Raises:
        RecordingNotFound: None was begun.
    """
    row = (
        conn.cursor(row_factory=rows_of(Recording))
        .execute("SELECT * FROM aurion.recordings WHERE call_id = %s", (call_id,))
        .fetchone()
    )
    if row is None:
        raise RecordingNotFound
    return row


def list_orphans(conn: Connection, *, limit: int = 100) -> list[Recording]:
    """List recordings that say they are being made though their call has ended, oldest first."""
    return (
        conn.cursor(row_factory=rows_of(Recording))
        .execute(
            """
            SELECT r.* FROM aurion.recordings r
            JOIN aurion.calls c ON c.tenant_id = r.tenant_id AND c.id = r.call_id
            WHERE r.status = 'recording' AND c.status = 'closed'
            ORDER BY r.started_at
            LIMIT %s
            """,
            (limit,),
        )
        .fetchall()
    )


def _keep(
    conn: Connection,
    status: Literal["stored", "salvaged"],
    call_id: UUID,
    stored_object: StoredObject,
    duration_ms: int,
    guarded_intervals: Sequence[tuple[int, int]],
) -> None:
    # A whole recording replaces a part of it, never the other way round; a repeat is no error.
    done = conn.execute(
        """
        UPDATE aurion.recordings
        SET status = %(status)s, object_key = %(key)s, size_bytes = %(size)s, sha256 = %(sha256)s,
            duration_ms = %(duration_ms)s, guarded_intervals = %(intervals)s,
            stored_at = clock_timestamp()
        WHERE call_id = %(call_id)s
            AND (status IN ('recording', 'lost', 'salvaged')
                OR (status = 'stored' AND %(status)s = 'stored'))
        """,
        {
            "status": status,
            "key": stored_object.object_key,
            "size": stored_object.size_bytes,
            "sha256": stored_object.sha256,
            "duration_ms": duration_ms,
            "intervals": Jsonb([list(interval) for interval in guarded_intervals]),
            "call_id": call_id,
        },
    )
    _settle(conn, call_id, done.rowcount)


def _settle(conn: Connection, call_id: UUID, changed: int) -> None:
    if changed == 0:
        get(conn, call_id)
        raise RecordingSettled
