"""How often anybody may try: every attempt is reserved in the database before a badge is compared.

Checking first and counting later would let parallel guesses through together, so an attempt counts
from its reservation; success takes it back, and a crash in between leaves it counted. All windows
slide and run on the database's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import Connection

from aurion.tenants import Tenant

type Result = Literal["verified", "refused", "unavailable"]
type Limit = Literal["limit_call", "limit_person", "limit_number", "limit_names", "limit_tenant"]

_NOBODY = "unknown"
_CHARGED_WHEN_REFUSED: dict[Limit, tuple[str, ...]] = {
    "limit_call": (),
    "limit_tenant": ("call",),
    "limit_number": ("call",),
    "limit_names": ("call",),
    "limit_person": ("call", "number", "number_name", "tenant"),
}


@dataclass(frozen=True, slots=True)
class Reservation:
    """An attempt that counts: where, since when, and against whom."""

    attempt_id: UUID
    person_id: UUID | None
    scopes: tuple[tuple[str, str], ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """An attempt that a limit forbids; it is on record, and used up one of the call's."""

    limit: Limit


@dataclass(frozen=True, slots=True)
class _Counter:
    """What a counter holds: attempts within a day and, of these, within an hour."""

    day: int
    hour: int


def reserve(
    conn: Connection,
    tenant: Tenant,
    *,
    call_id: UUID,
    number_mac: str,
    people: Sequence[UUID],
) -> Reservation | Refusal:
    """Count one attempt wherever it counts, and put it on record.

    `people` are those who have the spoken name. Only a single one is charged: charging several
    would let anybody lock out everyone of a name. `number_mac` stands for the calling number. To
    the caller a refusal counts like a wrong badge, or three tries would show who is locked.
    """
    person_id = people[0] if len(people) == 1 else None
    who = ",".join(sorted(map(str, people))) or _NOBODY
    scopes = [("tenant", ""), ("call", str(call_id)), ("number", number_mac)]
    scopes.append(("number_name", f"{number_mac}:{who}"))
    if person_id is not None:
        scopes.append(("person", str(person_id)))
    counters = {scope: _lock_counter(conn, scope, key) for scope, key in scopes}
    limit = _exceeded(
        tenant,
        counters,
        names=_other_names(conn, number_mac, who) + 1,
        failed=None if person_id is None else _lock_person(conn, person_id),
    )
    if limit is not None:
        _count(conn, [scope for scope in scopes if scope[0] in _CHARGED_WHEN_REFUSED[limit]])
        _record(conn, call_id, person_id, "refused", limit)
        return Refusal(limit)
    at = _count(conn, scopes)
    if person_id is not None:
        conn.execute(
            "UPDATE aurion.people SET failed_attempts = failed_attempts + 1 WHERE id = %s",
            (person_id,),
        )
    attempt_id = _record(conn, call_id, person_id, "reserved", None)
    return Reservation(attempt_id, person_id, tuple(scopes), at)


def release(conn: Connection, reservation: Reservation) -> None:
    """Take a reservation back: nobody is charged for it."""
    _uncount(conn, reservation)
    if reservation.person_id is not None:
        conn.execute(
            "UPDATE aurion.people SET failed_attempts = greatest(failed_attempts - 1, 0)"
            " WHERE id = %s",
            (reservation.person_id,),
        )


def release_on_success(conn: Connection, reservation: Reservation, *, person_id: UUID) -> None:
    """Take a reservation back and end the person's run of failures.

    Their failures of the day stay counted: a success of theirs is no fresh set of guesses for
    somebody else.
    """
    _uncount(conn, reservation)
    conn.execute("UPDATE aurion.people SET failed_attempts = 0 WHERE id = %s", (person_id,))


def settle(
    conn: Connection,
    reservation: Reservation,
    *,
    result: Result,
    reason: str | None,
    person_id: UUID | None = None,
) -> None:
    """Write down how an attempt ended; `person_id` when only its end showed whose it was."""
    conn.execute(
        "UPDATE aurion.verification_attempts"
        " SET result = %s, reason = %s, person_id = coalesce(%s, person_id) WHERE id = %s",
        (result, reason, person_id, reservation.attempt_id),
    )


def attempts_left(conn: Connection, tenant: Tenant, *, call_id: UUID) -> int:
    """Return how many more attempts a call has."""
    row = conn.execute(
        "SELECT cardinality(attempts_at) FROM aurion.attempt_counters"
        " WHERE scope = 'call' AND key = %s",
        (str(call_id),),
    ).fetchone()
    return max(tenant.attempts_per_call - (row[0] if row else 0), 0)


def _lock_counter(conn: Connection, scope: str, key: str) -> _Counter:
    # Everybody's first lock is the tenant's counter, so that no two of a tenant overlap
    # and none can deadlock. Attempts of more than a day ago are dropped here.
    row = conn.execute(
        """
        INSERT INTO aurion.attempt_counters AS c (scope, key) VALUES (%s, %s)
        ON CONFLICT (tenant_id, scope, key) DO UPDATE SET attempts_at = ARRAY(
            SELECT at FROM unnest(c.attempts_at) AS at
            WHERE at > clock_timestamp() - interval '24 hours' ORDER BY at)
        RETURNING cardinality(attempts_at), (
            SELECT count(*) FROM unnest(c.attempts_at) AS at
            WHERE at > clock_timestamp() - interval '1 hour')
        """,
        (scope, key),
    ).fetchone()
    assert row is not None
    return _Counter(day=row[0], hour=row[1])


def _lock_person(conn: Connection, person_id: UUID) -> int:
    row = conn.execute(
        "SELECT failed_attempts FROM aurion.people WHERE id = %s FOR UPDATE", (person_id,)
    ).fetchone()
    return row[0] if row else 0


def _other_names(conn: Connection, number_mac: str, who: str) -> int:
    row = conn.execute(
        """
        SELECT count(*) FROM aurion.attempt_counters
        WHERE scope = 'number_name' AND split_part(key, ':', 1) = %s AND key <> %s
            AND last_attempt_at > clock_timestamp() - interval '24 hours'
            AND cardinality(attempts_at) > 0
        """,
        (number_mac, f"{number_mac}:{who}"),
    ).fetchone()
    assert row is not None
    return row[0]


def _exceeded(
    tenant: Tenant, counters: dict[str, _Counter], *, names: int, failed: int | None
) -> Limit | None:
    if counters["call"].day >= tenant.attempts_per_call:
        return "limit_call"
    whole = counters["tenant"]
    if whole.hour >= tenant.failures_per_tenant_hour or whole.day >= tenant.failures_per_tenant_day:
        return "limit_tenant"
    if counters["number"].day >= tenant.failures_per_number_day:
        return "limit_number"
    if names > tenant.names_per_number_day:
        return "limit_names"
    person = counters.get("person")
    if person is not None and person.day >= tenant.failures_per_person_day:
        return "limit_person"
    if failed is not None and failed >= tenant.failures_per_person_total:
        return "limit_person"
    return None


def _count(conn: Connection, scopes: Sequence[tuple[str, str]]) -> datetime:
    # One moment for all, so that it can be found again to be taken back.
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    at: datetime = row[0]
    for scope, key in scopes:
        conn.execute(
            "UPDATE aurion.attempt_counters"
            " SET attempts_at = array_append(attempts_at, %s), last_attempt_at = %s"
            " WHERE scope = %s AND key = %s",
            (at, at, scope, key),
        )
    return at


def _uncount(conn: Connection, reservation: Reservation) -> None:
    for scope, key in reservation.scopes:
        conn.execute(
            "UPDATE aurion.attempt_counters SET attempts_at = array_remove(attempts_at, %s)"
            " WHERE scope = %s AND key = %s",
            (reservation.at, scope, key),
        )


def _record(
    conn: Connection, call_id: UUID, person_id: UUID | None, result: str, reason: str | None
) -> UUID:
    row = conn.execute(
        "INSERT INTO aurion.verification_attempts (call_id, person_id, result, reason)"
        " VALUES (%s, %s, %s, %s) RETURNING id",
        (call_id, person_id, result, reason),
    ).fetchone()
    assert row is not None
    return row[0]
