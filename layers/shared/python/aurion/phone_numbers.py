"""The numbers that callers dial, and whose each is."""

import re
from uuid import UUID

from psycopg import Connection

from aurion import database
from aurion.errors import NumberMalformed, NumberNotFound, NumberTaken

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def add(conn: Connection, e164: str) -> None:
    """Give a number to the tenant that the transaction acts for; giving it again changes nothing.

    Raises:
        NumberMalformed: It isn't E.164.
        NumberTaken: Another tenant has it.
    """
    if not _E164.fullmatch(e164):
        raise NumberMalformed
    row = conn.execute("SELECT aurion.assign_number(%s)", (e164,)).fetchone()
    if row is None or not row[0]:
        raise NumberTaken


def remove(conn: Connection, e164: str) -> None:
    """Let go of a number.

    Raises:
        NumberNotFound: The tenant does not have it.
    """
    row = conn.execute("SELECT aurion.release_number(%s)", (e164,)).fetchone()
    if row is None or not row[0]:
        raise NumberNotFound


def list_all(conn: Connection) -> list[str]:
    """List the tenant's numbers (E.164)."""
    return [row[0] for row in conn.execute("SELECT aurion.tenant_numbers()").fetchall()]


def tenant_of(e164: str) -> UUID:
    """Find the tenant of a dialled number, before anything else about the call is known.

    Raises:
        NumberNotFound: Nobody has it.
        DatabaseUnavailable: The database does not answer.
    """
    with database.router_transaction() as conn:
        row = conn.execute("SELECT aurion.tenant_of_number(%s)", (e164,)).fetchone()
    if row is None or row[0] is None:
        raise NumberNotFound
    return row[0]
