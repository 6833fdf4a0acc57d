"""What a new desk holds: the people, assets, tickets and the outage of `seed.toml`."""

import json
import sqlite3
import tomllib
from datetime import timedelta
from pathlib import Path

from local.desk import store

SEED = Path(__file__).with_name("seed.toml")


def plant(conn: sqlite3.Connection) -> None:
    """Fill a new desk; one that holds requesters is left as it is."""
    if conn.execute("SELECT EXISTS (SELECT 1 FROM requesters)").fetchone()[0]:
        return
    with SEED.open("rb") as file:
        seed = tomllib.load(file)
    started = store.now()

    def ago(hours: float) -> str:
        return store.stamp(started - timedelta(hours=hours))

    for person in seed["people"]:
        conn.execute(
            "INSERT INTO people VALUES (?, ?, ?, ?)",
            [person["id"], person["name"], json.dumps(person["languages"]), person["available"]],
        )
    for one in seed["requesters"]:
        conn.execute(
            "INSERT INTO requesters VALUES (:id, :name, :email, :email_norm, :language, :site)",
            {**one, "email_norm": one["email"].casefold()},
        )
    for asset in seed["assets"]:
        conn.execute(
            "INSERT INTO assets VALUES (:id, :name, :kind, :status, :serial, :requester_id)",
            {"serial": None, **asset},
        )
    for outage in seed["outages"]:
        ends_in = outage.get("ends_in_hours")
        conn.execute(
            "INSERT INTO outages VALUES (?, ?, ?, ?, ?)",
            [
                outage["id"],
                outage["service"],
                outage["summary"],
                ago(outage["started_hours_ago"]),
                None if ends_in is None else ago(-ends_in),
            ],
        )
    for ticket in seed["tickets"]:
        conn.execute(
            """
            INSERT INTO tickets VALUES
              (:id, :summary, :description, :status, :status_note, :kind, :language,
               :requester_id, NULL, :opened_at, :updated_at)
            """,
            {
                "status_note": "",
                "requester_id": None,
                **ticket,
                "opened_at": ago(ticket["opened_hours_ago"]),
                "updated_at": ago(ticket["updated_hours_ago"]),
            },
        )
        for comment in ticket.get("comments", []):
            conn.execute(
                "INSERT INTO comments (ticket_id, author, text, public, at) VALUES (?, ?, ?, ?, ?)",
                [
                    ticket["id"],
                    comment["author"],
                    comment["text"],
                    comment["public"],
                    ago(comment["hours_ago"]),
                ],
            )
