"""The people who may call: found by name, known by their badge."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import Connection

from aurion.database.rows import rows_of
from aurion.errors import PersonNotFound
from aurion.tenants import Language


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may call; the badge is not here, only since when there is one."""

    id: UUID
    name: str
    name_norm: str
    language: Language
    email: str
    email_norm: str
    phone: str | None
    enrolled_at: datetime | None
    restricted: bool
    failed_attempts: int
    created_at: datetime
    updated_at: datetime


def get(conn: Connection, person_id: UUID) -> Person:
    """Read a person.

    Raises:
        PersonNotFound: There is no such person.
    """
    return _one(
        conn.cursor(row_factory=rows_of(Person))
        .execute("SELECT * FROM aurion.people WHERE id = %s", (person_id,))
        .fetchone()
    )


def find_by_email(conn: Connection, email: str) -> Person | None:
    """Find the person with an e-mail address."""
    return (
        conn.cursor(row_factory=rows_of(Person))
        .execute("SELECT * FROM aurion.people WHERE email_norm = %s", (normalise_email(email),))
        .fetchone()
    )


def list_all(
    conn: Connection, *, limit: int = 100, after: tuple[str, UUID] | None = None
) -> list[Person]:
    """List people by name; `after` is the last one's (name_norm, id) of the page before."""
    return (
        conn.cursor(row_factory=rows_of(Person))
        .execute(
            """
            SELECT * FROM aurion.people
            WHERE (name_norm, id) > (%s, %s)
            ORDER BY name_norm, id
            LIMIT %s
            """,
            (*(after or ("", UUID(int=0))), limit),
        )
        .fetchall()
    )


def restrict(conn: Connection, person_id: UUID) -> Person:
    """Stop processing a person's data: their badge no longer verifies anybody.

    Raises:
        PersonNotFound: There is no such person.

    Source: GDPR, article 18.
    """
    return _set_restricted(conn, person_id, restricted=True)


def unrestrict(conn: Connection, person_id: UUID) -> Person:
    """Take a restriction back.

    Raises:
        PersonNotFound: There is no such person.
    """
    return _set_restricted(conn, person_id, restricted=False)


def unlock(conn: Connection, person_id: UUID) -> Person:
    """Forget the failed attempts that were charged to a person.

    Raises:
        PersonNotFound: There is no such person.
    """
    return _one(
        conn.cursor(row_factory=rows_of(Person))
        .execute(
            "UPDATE aurion.people SET failed_attempts = 0, updated_at = now()"
            " WHERE id = %s RETURNING *",
            (person_id,),
        )
        .fetchone()
    )


def normalise_email(email: str) -> str:
    """Return an e-mail address as it is compared."""
    return email.strip().casefold()


def _set_restricted(conn: Connection, person_id: UUID, *, restricted: bool) -> Person:
    return _one(
        conn.cursor(row_factory=rows_of(Person))
        .execute(
            "UPDATE aurion.people SET restricted = %s, updated_at = now()"
            " WHERE id = %s RETURNING *",
            (restricted, person_id),
        )
        .fetchone()
    )


def _one(person: Person | None) -> Person:
    if person is None:
        raise PersonNotFound
    return person
