"""The people who may call: found by name, known by their badge."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched
from typing import BinaryIO, Literal
from uuid import UUID, uuid4

from psycopg import Connection

from aurion import badges, database, names, people_files
from aurion.database.rows import rows_of
from aurion.errors import PersonNotFound
from aurion.people_files import Rejection, Row, normalise_email
from aurion.settings import settings
from aurion.tenants import Language, Tenant

_BATCH = 32
_HASHERS = 2


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


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: people counted, lines that were left out named with their reason."""

    added: int
    changed: int
    unchanged: int
    rejected: tuple[Rejection, ...]


def import_csv(tenant: Tenant, stream: BinaryIO) -> ImportReport:
    """Enrol the people of a file, who are known by their e-mail addresses.

    Badges are hashed in memory and kept as hashes only; one that hasn't changed keeps its hash.
    People who aren't in the file stay as they are. An import that breaks off has done its first
    rows, and is simply run again. `people_files.read` says what a file may look like.

    Raises:
        PeopleFileRejected: There is no header with a name, a badge and an e-mail column.
        KeysUnavailable: KMS does not answer.
        DatabaseUnavailable: The database does not answer.
    """
    counts: dict[_Change, int] = {"added": 0, "changed": 0, "unchanged": 0}
    rejected: list[Rejection] = []
    badge_format = badges.read_format(tenant.badge_format)
    rows = people_files.read(stream, badge_format=badge_format, language=tenant.main_language)
    with ThreadPoolExecutor(_HASHERS) as hashers:
        for batch in batched(_accepted(rows, rejected), _BATCH, strict=False):
            left: Sequence[Row] = batch
            while left:
                changes = _enrol(tenant.tenant_id, left, hashers)
                for change in changes.values():
                    counts[change] += 1
                # Somebody else enrolled these people meanwhile: now they are known.
                left = [row for row in left if row.line not in changes]
    return ImportReport(**counts, rejected=tuple(rejected))


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
    # The counter first, as an attempt does: the other way round the two could deadlock.
    conn.execute(
        "DELETE FROM aurion.attempt_counters WHERE scope = 'person' AND key = %s",
        (str(person_id),),
    )
    return _one(
        conn.cursor(row_factory=rows_of(Person))
        .execute(
            "UPDATE aurion.people SET failed_attempts = 0, updated_at = now()"
            " WHERE id = %s RETURNING *",
            (person_id,),
        )
        .fetchone()
    )


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


type _Change = Literal["added", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class _Known:
    id: UUID
    name: str
    language: Language
    email: str
    email_norm: str
    phone: str | None
    badge_hash: str | None = field(repr=False)


def _accepted(rows: Iterable[Row | Rejection], rejected: list[Rejection]) -> Iterable[Row]:
    for row in rows:
        if isinstance(row, Rejection):
            rejected.append(row)
        else:
            yield row


def _enrol(tenant_id: UUID, rows: Sequence[Row], hashers: Executor) -> dict[int, _Change]:
    """Write a batch; returns what became of each line, but for those that must be tried again."""
    with database.tenant_transaction(tenant_id) as conn:
        found = (
            conn.cursor(row_factory=rows_of(_Known))
            .execute(
                "SELECT * FROM aurion.people WHERE email_norm = ANY(%s)",
                ([row.email_norm for row in rows],),
            )
            .fetchall()
        )
    known = {person.email_norm: person for person in found}
    ids = [known[row.email_norm].id if row.email_norm in known else uuid4() for row in rows]

    # Between the transactions: a hash takes a quarter of a second, and its pepper comes from KMS.
    def new_hash(row: Row, person_id: UUID) -> str | None:
        person = known.get(row.email_norm)
        if person is not None and badges.is_badge_of(
            tenant_id, person_id, row.badge, person.badge_hash
        ):
            return None
        return badges.hash_badge(tenant_id, person_id, row.badge)

    hashes = list(hashers.map(new_hash, rows, ids))
    changes: dict[int, _Change] = {}
    with database.tenant_transaction(tenant_id) as conn:
        for row, person_id, badge_hash in zip(rows, ids, hashes, strict=True):
            person = known.get(row.email_norm)
            if person is None:
                if not _insert(conn, row, person_id, badge_hash):
                    continue
                changes[row.line] = "added"
            else:
                changes[row.line] = _update(conn, row, person, badge_hash)
            _write_name_keys(conn, person_id, row.name)
    return changes


def _insert(conn: Connection, row: Row, person_id: UUID, badge_hash: str | None) -> bool:
    done = conn.execute(
        """
        INSERT INTO aurion.people
            (id, name, name_norm, language, email, email_norm, phone,
             badge_hash, badge_key_id, enrolled_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, now())
        ON CONFLICT (tenant_id, email_norm) DO NOTHING
        """,
        (
            person_id,
            row.name,
            row.name_norm,
            row.language,
            row.email,
            row.email_norm,
            row.phone,
            badge_hash,
            settings().badge_key_id,
        ),
    )
    return done.rowcount == 1


def _update(conn: Connection, row: Row, person: _Known, badge_hash: str | None) -> _Change:
    same = (row.name, row.language, row.email, row.phone) == (
        person.name,
        person.language,
        person.email,
        person.phone,
    )
    if same and badge_hash is None:
        return "unchanged"
    conn.execute(
        """
        UPDATE aurion.people
        SET name = %(name)s, name_norm = %(name_norm)s, language = %(language)s,
            email = %(email)s, phone = %(phone)s, updated_at = now(),
            badge_hash = coalesce(%(badge_hash)s, badge_hash),
            badge_key_id = CASE WHEN %(badge_hash)s::text IS NULL
                THEN badge_key_id ELSE %(key_id)s END,
            enrolled_at = CASE WHEN %(badge_hash)s::text IS NULL THEN enrolled_at ELSE now() END
        WHERE id = %(id)s
        """,
        {
            "name": row.name,
            "name_norm": row.name_norm,
            "language": row.language,
            "email": row.email,
            "phone": row.phone,
            "badge_hash": badge_hash,
            "key_id": settings().badge_key_id,
            "id": person.id,
        },
    )
    return "changed"


def _write_name_keys(conn: Connection, person_id: UUID, name: str) -> None:
    # Also for people who haven't changed: the way from a name to its keys may have.
    wanted = list(names.blocking_keys(name))
    conn.execute(
        "DELETE FROM aurion.person_name_keys WHERE person_id = %s AND key <> ALL(%s)",
        (person_id, wanted),
    )
    conn.execute(
        """
        INSERT INTO aurion.person_name_keys (key, person_id)
        SELECT key, %s FROM unnest(%s::text[]) AS key
        ON CONFLICT (tenant_id, key, person_id) DO NOTHING
        """,
        (person_id, wanted),
    )
