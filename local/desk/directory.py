"""Who and what the desk knows: requesters, their assets, known outages, people on duty."""

import json
import sqlite3

from local.desk.problems import Problem

Row = dict[str, object]


def list_requesters(conn: sqlite3.Connection, *, email: str | None = None) -> list[Row]:
    """List requesters: everybody, or the one with an e-mail address in any letter case."""
    rows = conn.execute(
        """
        SELECT id, name, email, language, site FROM requesters
        WHERE :email IS NULL OR email_norm = :email
        ORDER BY name
        """,
        {"email": None if email is None else email.strip().casefold()},
    ).fetchall()
    return [dict(row) for row in rows]


def list_assets(conn: sqlite3.Connection, *, requester_id: str | None = None) -> list[Row]:
    """List assets: all of them, or what one requester holds."""
    rows = conn.execute(
        """
        SELECT * FROM assets
        WHERE :requester_id IS NULL OR requester_id = :requester_id
        ORDER BY id
        """,
        {"requester_id": requester_id},
    ).fetchall()
    return [dict(row) for row in rows]


def list_outages(conn: sqlite3.Connection) -> list[Row]:
    """List the outages that are known now, newest first."""
    rows = conn.execute("SELECT * FROM outages ORDER BY started_at DESC").fetchall()
    return [dict(row) for row in rows]


def list_people(conn: sqlite3.Connection) -> list[Row]:
    """List the people who take calls over."""
    rows = conn.execute("SELECT * FROM people ORDER BY name").fetchall()
    return [_person(row) for row in rows]


def set_available(conn: sqlite3.Connection, person_id: str, *, available: bool) -> Row:
    """Put a person on duty, or take them off."""
    row = conn.execute(
        "UPDATE people SET available = ? WHERE id = ? RETURNING *", [available, person_id]
    ).fetchone()
    if row is None:
        raise Problem(404, "There is no such person.")
    return _person(row)


def _person(row: sqlite3.Row) -> Row:
    return {
        **dict(row),
        "available": bool(row["available"]),
        "languages": json.loads(row["languages"]),
    }
