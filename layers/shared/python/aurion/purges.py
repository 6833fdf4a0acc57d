"""Rows that the data map gives days or hours: deleted when those are over, tenant by tenant."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from aurion import database

_BATCH = 5000


def run(tenant_id: UUID, *, now: datetime | None = None) -> int:
    """Delete a tenant's rows of which the data map says `30d` or `24h`; returns how many went.

    Not here: drafts, whose end raises an alarm (`drafts`), and calls that go on (`live_calls`).
    `now` is the database's.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    gone = 0
    for statement in _PURGES.values():
        while True:
            with database.tenant_transaction(tenant_id) as conn:
                done = conn.execute(statement, {"now": now, "batch": _BATCH}).rowcount
            gone += done
            if done < _BATCH:
                break
    return gone


def tables() -> set[str]:
    """Name the tables that are kept small here."""
    return set(_PURGES)


_PURGES: dict[str, LiteralString] = {
    "inbox_events": """
        DELETE FROM aurion.inbox_events WHERE ctid IN (
            SELECT ctid FROM aurion.inbox_events
            WHERE received_at < coalesce(%(now)s, clock_timestamp()) - interval '720 hours'
            LIMIT %(batch)s)
        """,
    "outbox_messages": """
        DELETE FROM aurion.outbox_messages WHERE ctid IN (
            SELECT ctid FROM aurion.outbox_messages
            WHERE sent_at < coalesce(%(now)s, clock_timestamp()) - interval '720 hours'
            LIMIT %(batch)s)
        """,
    "phone_lines": """
        DELETE FROM aurion.phone_lines WHERE ctid IN (
            SELECT ctid FROM aurion.phone_lines
            WHERE updated_at < coalesce(%(now)s, clock_timestamp()) - interval '720 hours'
            LIMIT %(batch)s)
        """,
    # Each holds the attempts of a day, one by one: a day after the last there is nothing left.
    "attempt_counters": """
        DELETE FROM aurion.attempt_counters WHERE ctid IN (
            SELECT ctid FROM aurion.attempt_counters
            WHERE last_attempt_at < coalesce(%(now)s, clock_timestamp()) - interval '24 hours'
            LIMIT %(batch)s)
        """,
}
