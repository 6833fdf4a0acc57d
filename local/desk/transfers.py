"""Calls offered to the people on duty: one of them takes the call, or nobody does in time.

An offer ends once: `answered`, `withdrawn` (the caller has gone), `expired` (nobody answered in
time), or `unattended` (nobody was on duty). Whichever comes first in the file has it.
"""

import json
import sqlite3
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta

from local.desk import store
from local.desk.problems import Problem

Row = dict[str, object]

# Who offers a call ends the offer. One who never does has crashed: the desk then ends it this much
# after its time, so that an answer given at the last moment still counts.
GRACE = timedelta(seconds=5)


def offer(conn: sqlite3.Connection, new: Mapping[str, object]) -> Row:
    """Offer a call to everybody on duty; a call has one open offer at most."""
    at = store.now()
    _end(conn, "withdrawn", "call_id", str(new["call_id"]))
    on_duty = conn.execute("SELECT count(*) FROM people WHERE available = 1").fetchone()[0]
    transfer_id = uuid.uuid4().hex
    conn.execute(
        """
        INSERT INTO transfers (id, call_id, requester_id, caller_name, level, intent, steps_tried,
                               ticket, language, status, offered_at, expires_at, ended_at)
        VALUES (:id, :call_id, :requester_id, :caller_name, :level, :intent, :steps_tried,
                :ticket, :language, :status, :offered_at, :expires_at, :ended_at)
        """,
        {
            **new,
            "id": transfer_id,
            "level": int(str(new["level"])),
            "steps_tried": json.dumps(new["steps_tried"], ensure_ascii=False),
            "status": "offered" if on_duty else "unattended",
            "offered_at": store.stamp(at),
            "expires_at": store.stamp(at + timedelta(seconds=float(str(new["timeout_s"])))),
            "ended_at": None if on_duty else store.stamp(at),
        },
    )
    return get_transfer(conn, transfer_id)


def get_transfer(conn: sqlite3.Connection, transfer_id: str) -> Row:
    """Read one offer as it stands now."""
    _expire(conn)
    row = conn.execute(
        """
        SELECT transfers.*, people.name AS person
        FROM transfers LEFT JOIN people ON people.id = transfers.person_id
        WHERE transfers.id = ?
        """,
        [transfer_id],
    ).fetchone()
    if row is None:
        raise Problem(404, "There is no such transfer.")
    return _transfer(row)


def list_transfers(conn: sqlite3.Connection) -> list[Row]:
    """List the offers, newest first."""
    _expire(conn)
    rows = conn.execute(
        """
        SELECT transfers.*, people.name AS person
        FROM transfers LEFT JOIN people ON people.id = transfers.person_id
        ORDER BY offered_at DESC LIMIT 100
        """
    ).fetchall()
    return [_transfer(row) for row in rows]


def answer(conn: sqlite3.Connection, transfer_id: str, *, person_id: str) -> Row:
    """Let a person on duty take the call; the second one comes too late."""
    get_transfer(conn, transfer_id)
    person = conn.execute("SELECT available FROM people WHERE id = ?", [person_id]).fetchone()
    if person is None or not person["available"]:
        raise Problem(409, "This person is not on duty.")
    row = conn.execute(
        """
        UPDATE transfers SET status = 'answered', person_id = ?, ended_at = ?
        WHERE id = ? AND status = 'offered' RETURNING id
        """,
        [person_id, store.stamp(store.now()), transfer_id],
    ).fetchone()
    if row is None:
        raise Problem(409, "This call is no longer offered.")
    return get_transfer(conn, transfer_id)


def withdraw(conn: sqlite3.Connection, transfer_id: str) -> Row:
    """End an open offer; an answered one stays answered."""
    transfer = get_transfer(conn, transfer_id)
    rang_s = (store.now() - datetime.fromisoformat(str(transfer["expires_at"]))).total_seconds()
    _end(conn, "expired" if rang_s > -1.0 else "withdrawn", "id", transfer_id)
    return get_transfer(conn, transfer_id)


def _end(conn: sqlite3.Connection, status: str, by: str, value: str) -> None:
    conn.execute(
        """
        UPDATE transfers SET status = :status, ended_at = :at
        WHERE status = 'offered' AND CASE :by WHEN 'id' THEN id ELSE call_id END = :value
        """,
        {"status": status, "at": store.stamp(store.now()), "by": by, "value": value},
    )


def _expire(conn: sqlite3.Connection) -> None:
    conn.execute(
        """
        UPDATE transfers SET status = 'expired', ended_at = expires_at
        WHERE status = 'offered' AND expires_at <= ?
        """,
        [store.stamp(store.now() - GRACE)],
    )


def _transfer(row: sqlite3.Row) -> Row:
    return {**dict(row), "steps_tried": json.loads(row["steps_tried"])}
