"""Tickets and their comments, each written once per key of the system that sent it."""

import sqlite3
from collections.abc import Mapping

from local.desk import store
from local.desk.problems import Problem

Row = dict[str, object]


def list_tickets(
    conn: sqlite3.Connection, *, requester_id: str | None = None, key: str | None = None
) -> list[Row]:
    """List tickets, last changed first: everybody's, one requester's, or the one with a key."""
    rows = conn.execute(
        """
        SELECT * FROM tickets
        WHERE (:requester_id IS NULL OR requester_id = :requester_id)
          AND (:key IS NULL OR external_key = :key)
        ORDER BY updated_at DESC, id DESC LIMIT 200
        """,
        {"requester_id": requester_id, "key": key},
    ).fetchall()
    return [_ticket(conn, row) for row in rows]


def get_ticket(conn: sqlite3.Connection, number: str) -> Row:
    """Read one ticket by its number ("T-1042")."""
    return _ticket(conn, _row(conn, number))


def create_ticket(conn: sqlite3.Connection, new: Mapping[str, object]) -> tuple[Row, bool]:
    """Open a ticket, or give the one its key has opened before; tells whether it is new."""
    before = conn.execute(
        "SELECT * FROM tickets WHERE external_key = :external_key", new
    ).fetchone()
    if before is not None:
        same = ("summary", "description", "kind", "language", "requester_id")
        if any(before[name] != new[name] for name in same):
            raise Problem(409, "This external key has opened another ticket.")
        return _ticket(conn, before), False
    requester = conn.execute(
        "SELECT 1 FROM requesters WHERE id = ?", [new["requester_id"]]
    ).fetchone()
    if new["requester_id"] is not None and requester is None:
        message = f"There is no requester {new['requester_id']!r}."
        error = {"field": "requester_id", "message": message}
        raise Problem(422, "Some fields can't be accepted.", errors=[error])
    at = store.stamp(store.now())
    row = conn.execute(
        """
        INSERT INTO tickets (summary, description, status, status_note, kind, language,
                             requester_id, external_key, opened_at, updated_at)
        VALUES (:summary, :description, 'open', '', :kind, :language,
                :requester_id, :external_key, :at, :at)
        RETURNING *
        """,
        {**new, "at": at},
    ).fetchone()
    return _ticket(conn, row), True


def add_comment(
    conn: sqlite3.Connection,
    number: str,
    *,
    author: str,
    text: str,
    public: bool,
    external_key: str | None = None,
) -> tuple[Row, bool]:
    """Add a comment unless its key has added one; tells whether it is new."""
    ticket = _row(conn, number)
    before = conn.execute(
        "SELECT * FROM comments WHERE external_key = ?", [external_key]
    ).fetchone()
    if before is not None:
        same = before["ticket_id"] == ticket["id"] and before["text"] == text
        if not same or bool(before["public"]) != public:
            raise Problem(409, "This external key has added another comment.")
        return _ticket(conn, ticket), False
    at = store.stamp(store.now())
    conn.execute(
        """
        INSERT INTO comments (ticket_id, author, text, public, external_key, at)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        [ticket["id"], author, text, public, external_key, at],
    )
    conn.execute("UPDATE tickets SET updated_at = ? WHERE id = ?", [at, ticket["id"]])
    return get_ticket(conn, number), True


def change_status(conn: sqlite3.Connection, number: str, *, status: str, status_note: str) -> Row:
    """Move a ticket on; a closed one stays closed."""
    ticket = _row(conn, number)
    if ticket["status"] == "closed":
        raise Problem(409, "A closed ticket stays closed.")
    conn.execute(
        "UPDATE tickets SET status = ?, status_note = ?, updated_at = ? WHERE id = ?",
        [status, status_note, store.stamp(store.now()), ticket["id"]],
    )
    return get_ticket(conn, number)


def _row(conn: sqlite3.Connection, number: str) -> sqlite3.Row:
    prefix, _, digits = number.partition("-")
    known = prefix.upper() == "T" and digits.isascii() and digits.isdigit() and len(digits) < 10
    row = None
    if known:
        row = conn.execute("SELECT * FROM tickets WHERE id = ?", [int(digits)]).fetchone()
    if row is None:
        raise Problem(404, "There is no such ticket.")
    return row


def _ticket(conn: sqlite3.Connection, row: sqlite3.Row) -> Row:
    comments = conn.execute(
        "SELECT author, text, public, at FROM comments WHERE ticket_id = ? ORDER BY id",
        [row["id"]],
    ).fetchall()
    return {
        "number": f"T-{row['id']}",
        **{name: row[name] for name in row.keys() if name != "id"},  # noqa: SIM118
        "comments": [{**dict(comment), "public": bool(comment["public"])} for comment in comments],
    }
