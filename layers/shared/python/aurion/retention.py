"""Recordings whose days are over: object and row go together, and a proof stays.

Each step may be the last of a process. First the row says `deleted`: from then on nothing brings
the recording back, neither a longer retention nor a restriction. Then the object goes. Then the row
goes and the proof is written, in one transaction. The next run goes on with what says `deleted`.

Source: privacy policy, "Encrypted S3 recordings, configurable retention"; GDPR, articles 5 and 18.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection

from aurion import aws, database, purges, recordings, storage, telemetry, tenants
from aurion.aws import AwsRefused
from aurion.errors import QueueUnavailable, RequestMalformed, Unavailable
from aurion.settings import settings
from aurion.storage import ListedObject

logger = logging.getLogger(__name__)

type Work = Literal["expire", "reconcile"]

_BATCH = 100
_ENOUGH_LEFT_MS = 30_000
_RECONCILE_AT_HOUR = 3
# An object is put before its row says so; one that is so young may still get its row.
_SETTLED_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Expired:
    """What one run deleted; `whole` says that nothing was left to do."""

    deleted: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What bucket and rows disagreed about, before it was mended.

    `adopted` objects had a row that did not know of them yet, `removed` ones had none; the rows of
    `missing` ones say now that the recording is lost.
    """

    adopted: int
    removed: int
    missing: int


@dataclass(frozen=True, slots=True)
class _Due:
    call_id: UUID
    object_key: str | None
    started_at: datetime
    retention_days: int
    unwanted: bool


def fan_out() -> int:
    """Send a message for each tenant, and one more of them once a day; returns how many.

    Raises:
        QueueUnavailable: The queue does not answer; the next hour sends again.
        DatabaseUnavailable: The tenants can't be listed.
    """
    work: list[Work] = ["expire"]
    if datetime.now(UTC).hour == _RECONCILE_AT_HOUR:
        work.append("reconcile")
    messages: list[tuple[UUID, Work]] = [
        (tenant_id, kind) for tenant_id in tenants.ids() for kind in work
    ]
    for batch in batched(messages, 10, strict=False):
        _send(batch)
    return len(messages)


def work_off(
    records: Sequence[Mapping[str, Any]], *, left_ms: Callable[[], int]
) -> dict[str, list[dict[str, str]]]:
    """Do what a batch of messages says, and name those that must come again.

    `left_ms` tells how much time there is; what does not fit into it is sent anew.
    """
    failed: list[dict[str, str]] = []
    for record in records:
        try:
            _work(record, left_ms)
        except (Unavailable, RequestMalformed) as error:
            logger.warning("a message comes again", extra={"error": type(error).__name__})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def expire(
    tenant_id: UUID,
    *,
    now: datetime | None = None,
    enough_time: Callable[[], bool] = lambda: True,
) -> Expired:
    """Delete a tenant's recordings that are older than it keeps them; `now` is the database's.

    The days are those of this moment, whatever they were when the recording was made. Who is
    restricted keeps theirs until the restriction ends.

    Raises:
        DatabaseUnavailable: The database does not answer.
        StorageUnavailable: The bucket does not answer; the next run goes on.
    """
    deleted = 0
    while True:
        with database.tenant_transaction(tenant_id) as conn:
            _doom(conn, now)
            due = _list_doomed(conn)
        storage.delete_recordings([one.object_key for one in due if one.object_key])
        with database.tenant_transaction(tenant_id) as conn:
            deleted += sum(_forget(conn, one) for one in due)
        if len(due) < _BATCH:
            return Expired(deleted, whole=True)
        if not enough_time():
            return Expired(deleted, whole=False)


def reconcile(tenant_id: UUID, *, now: datetime | None = None) -> Reconciled:
    """Hold a tenant's objects against its rows, both ways, and mend what differs.

    Raises:
        DatabaseUnavailable: The database does not answer.
        StorageUnavailable: The bucket does not answer.
    """
    at = now or datetime.now(UTC)
    adopted = removed = 0
    seen: set[str] = set()
    for page in storage.list_recordings(tenant_id):
        seen.update(found.object_key for found in page)
        settled = [found for found in page if found.stored_at < at - _SETTLED_AFTER]
        for batch in batched(settled, _BATCH, strict=False):
            of_batch = _mend_objects(tenant_id, batch)
            adopted += of_batch.adopted
            removed += of_batch.removed
    missing = _mend_rows(tenant_id, seen)
    telemetry.count("RecordingsWithoutObject", missing, tenant=str(tenant_id))
    return Reconciled(adopted, removed, missing)


def _work(record: Mapping[str, Any], left_ms: Callable[[], int]) -> None:
    tenant_id, work = _read(record["body"])
    if work == "reconcile":
        found = reconcile(tenant_id)
        done: dict[str, object] = {
            "adopted": found.adopted,
            "removed": found.removed,
            "missing": found.missing,
        }
    else:
        expired = expire(tenant_id, enough_time=lambda: left_ms() > _ENOUGH_LEFT_MS)
        if not expired.whole:
            _send([(tenant_id, "expire")])
        done = {"deleted": expired.deleted, "purged": purges.run(tenant_id)}
        telemetry.count("RecordingsDeleted", expired.deleted, tenant=str(tenant_id))
    logger.info("retention", extra={"tenant": str(tenant_id), "work": work, **done})


def _read(body: str) -> tuple[UUID, Work]:
    try:
        message: Any = json.loads(body)
        if message["version"] != 1:
            raise RequestMalformed
        work: Work = "reconcile" if message["work"] == "reconcile" else "expire"
        return UUID(message["tenant_id"]), work
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RequestMalformed from None


def _send(messages: Sequence[tuple[UUID, Work]]) -> None:
    entries = [
        {
            "Id": str(number),
            "MessageBody": json.dumps({"version": 1, "tenant_id": str(tenant_id), "work": work}),
        }
        for number, (tenant_id, work) in enumerate(messages)
    ]
    try:
        answer = aws.call(
            aws.client("sqs"),
            "send_message_batch",
            QueueUrl=settings().retention_queue_url,
            Entries=entries,
        )
    except AwsRefused as error:
        raise QueueUnavailable from error
    if answer.get("Failed"):
        raise QueueUnavailable


def _doom(conn: Connection, now: datetime | None) -> None:
    """Decide, for good: who is restricted at this moment keeps theirs, locked until it is done."""
    conn.execute(
        """
        WITH due AS (
            SELECT r.call_id, c.person_id FROM aurion.recordings r
            JOIN aurion.calls c ON c.tenant_id = r.tenant_id AND c.id = r.call_id
            JOIN aurion.tenants t ON t.tenant_id = r.tenant_id
            WHERE r.status <> 'deleted'
                AND r.started_at <= coalesce(%(now)s, clock_timestamp())
                    - make_interval(hours => 24 * t.retention_days)
                AND NOT EXISTS (
                    SELECT FROM aurion.people p
                    WHERE p.tenant_id = c.tenant_id AND p.id = c.person_id AND p.restricted)
            ORDER BY r.started_at, r.call_id
            LIMIT %(batch)s
            FOR UPDATE OF r SKIP LOCKED
        ), free AS (
            -- A restriction that is being written at this moment is waited for, and then holds.
            SELECT p.id FROM aurion.people p
            WHERE p.id IN (SELECT person_id FROM due) AND NOT p.restricted
            FOR SHARE
        )
        UPDATE aurion.recordings AS r SET status = 'deleted'
        FROM due
        WHERE r.call_id = due.call_id
            AND (due.person_id IS NULL OR due.person_id IN (SELECT id FROM free))
        """,
        {"now": now, "batch": _BATCH},
    )


def _list_doomed(conn: Connection) -> list[_Due]:
    rows = conn.execute(
        """
        SELECT r.call_id, r.object_key, r.started_at, t.retention_days, r.status = 'discarded'
        FROM aurion.recordings r JOIN aurion.tenants t ON t.tenant_id = r.tenant_id
        WHERE r.status = 'deleted' OR (r.status = 'discarded' AND r.object_key IS NOT NULL)
        ORDER BY r.started_at, r.call_id
        LIMIT %s
        """,
        (_BATCH,),
    ).fetchall()
    return [_Due(*row) for row in rows]


def _forget(conn: Connection, due: _Due) -> bool:
    """Let a row go and write the proof; False when another run has just done so."""
    if due.unwanted:
        # Nobody wanted this recording, but that the call had one to discard stays known.
        gone = conn.execute(
            """
            UPDATE aurion.recordings SET object_key = NULL, size_bytes = NULL, sha256 = NULL
            WHERE call_id = %s AND status = 'discarded' AND object_key IS NOT NULL
            """,
            (due.call_id,),
        )
    else:
        gone = conn.execute(
            "DELETE FROM aurion.recordings WHERE call_id = %s AND status = 'deleted'",
            (due.call_id,),
        )
    if gone.rowcount == 0:
        return False
    _prove(
        conn,
        call_id=due.call_id,
        reason="unwanted" if due.unwanted else "retention",
        recorded_at=due.started_at,
        had_object=due.object_key is not None,
    )
    return True


def _prove(
    conn: Connection,
    *,
    call_id: UUID | None,
    reason: Literal["retention", "unwanted", "no_row"],
    recorded_at: datetime,
    had_object: bool,
) -> None:
    conn.execute(
        """
        INSERT INTO aurion.recording_deletions
            (call_id, reason, retention_days, recorded_at, had_object)
        SELECT %s, %s, retention_days, %s, %s FROM aurion.tenants
        """,
        (call_id, reason, recorded_at, had_object),
    )


def _mend_objects(tenant_id: UUID, found: Sequence[ListedObject]) -> Reconciled:
    by_key = {one.object_key: one for one in found}
    adopted = 0
    with database.tenant_transaction(tenant_id) as conn:
        known = {
            str(row[0])
            for row in conn.execute(
                "SELECT object_key FROM aurion.recordings WHERE object_key = ANY(%s)",
                (list(by_key),),
            ).fetchall()
        }
        for key in by_key.keys() - known:
            if _adopt(conn, by_key[key]):
                adopted += 1
                known.add(key)
        kept = known | _restricted(conn, by_key.keys() - known)
    strays = sorted(by_key.keys() - kept)
    storage.delete_recordings(strays)
    with database.tenant_transaction(tenant_id) as conn:
        for key in strays:
            _prove(
                conn,
                call_id=storage.call_of_key(key),
                reason="no_row",
                recorded_at=by_key[key].stored_at,
                had_object=True,
            )
    return Reconciled(adopted, len(strays), 0)


def _adopt(conn: Connection, found: ListedObject) -> bool:
    """Give an object to its row, when an agent died between putting it and saying so."""
    done = conn.execute(
        """
        UPDATE aurion.recordings AS r
        SET status = 'salvaged', object_key = %(key)s, size_bytes = %(size)s,
            stored_at = %(stored_at)s
        FROM aurion.calls c
        WHERE c.tenant_id = r.tenant_id AND c.id = r.call_id AND c.status = 'closed'
            AND r.call_id = %(call_id)s AND r.status IN ('recording', 'lost')
            AND r.object_key IS NULL
        """,
        {
            "key": found.object_key,
            "size": found.size_bytes,
            "stored_at": found.stored_at,
            "call_id": storage.call_of_key(found.object_key),
        },
    )
    return done.rowcount > 0


def _restricted(conn: Connection, keys: set[str]) -> set[str]:
    """Return the keys of calls whose caller is restricted: nothing of theirs is touched."""
    by_call = {call_id: key for key in keys if (call_id := storage.call_of_key(key)) is not None}
    rows = conn.execute(
        """
        SELECT c.id FROM aurion.calls c
        JOIN aurion.people p ON p.tenant_id = c.tenant_id AND p.id = c.person_id
        WHERE p.restricted AND c.id = ANY(%s)
        """,
        (list(by_call),),
    ).fetchall()
    return {by_call[row[0]] for row in rows}


def _mend_rows(tenant_id: UUID, seen: set[str]) -> int:
    missing = 0
    after = UUID(int=0)
    while True:
        with database.tenant_transaction(tenant_id) as conn:
            rows = conn.execute(
                """
                SELECT call_id, object_key FROM aurion.recordings
                WHERE object_key IS NOT NULL AND status IN ('stored', 'salvaged')
                    AND call_id > %s
                ORDER BY call_id
                LIMIT 1000
                """,
                (after,),
            ).fetchall()
        if not rows:
            return missing
        after = rows[-1][0]
        for call_id, key in rows:
            # One that was stored after the listing had passed its place is asked for by name.
            if key not in seen and not storage.has_recording(key):
                with database.tenant_transaction(tenant_id) as conn:
                    missing += recordings.gone(conn, call_id=call_id, object_key=key)
                logger.error("a recording is missing", extra={"call": str(call_id)})
