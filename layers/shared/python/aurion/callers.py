"""Who is calling: a spoken name and a badge, checked alike and in the same time for everybody.

Nothing here tells a wrong name from a wrong badge, a locked or restricted person or one without a
badge: one answer for all of them, after the same work.
"""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Literal
from uuid import UUID

from psycopg import Connection

from aurion import badges, keys, limits, names, people
from aurion.database import tenant_transaction
from aurion.database.rows import rows_of
from aurion.errors import DatabaseUnavailable, KeysUnavailable, VerificationUnavailable
from aurion.people import Person
from aurion.tenants import Tenant

logger = logging.getLogger(__name__)

ANSWER_FLOOR_MS = 1500
"""The least time from the end of the caller's speech to the answer, in ms; the agent keeps it."""

EVALUATIONS = 4
"""How many badge comparisons every attempt costs, whoever is meant."""

WITHHELD = "withheld"
_MOST_CANDIDATES = 40
_MOST_HOMONYMS = 2
# Scores this near to the best are one name to a recogniser; the narrow one when too many are.
_MARGIN = 0.06
_NARROW_MARGIN = 0.02
_NOBODY = UUID(int=0)

type Outcome = Literal["verified", "refused", "exhausted", "second_attribute"]


@dataclass(frozen=True, slots=True)
class Verification:
    """How an attempt ended; `person` and a level above 0 only when verified.

    'second_attribute' asks for the last two digits of the phone number on file (by keypad), because
    more than two people have the name; 'exhausted' ends the asking on this call.
    """

    outcome: Outcome
    person: Person | None = None
    level: int = 0
    attempts_left: int = 0


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A person whose name may be meant."""

    id: UUID
    name: str
    phone: str | None
    badge_hash: str | None
    restricted: bool


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """One badge to compare with one person's; with no hash it comes to nothing at the same cost."""

    person_id: UUID
    badge: str
    badge_hash: str | None


def verify(
    tenant: Tenant,
    *,
    call_id: UUID,
    calling_number: str | None,
    heard: Sequence[str],
    badges: Sequence[str],
    second_attribute: str | None = None,
) -> Verification:
    """Check a spoken name with the badges that may have been said; one attempt, up to 2 s of work.

    `heard` is what a recogniser may have heard of the name, `badges` are canonical; the likeliest
    come first, and all count as one attempt together. Sets nothing on the call itself. Blocks: run
    it in a thread.

    Raises:
        VerificationUnavailable: KMS or the database is down; nobody is verified.
    """
    try:
        return _verify(tenant, call_id, calling_number, heard, badges, second_attribute)
    except (DatabaseUnavailable, KeysUnavailable):
        # The causes hold requests, and these may hold a badge.
        raise VerificationUnavailable from None


def _verify(
    tenant: Tenant,
    call_id: UUID,
    calling_number: str | None,
    heard: Sequence[str],
    spoken: Sequence[str],
    second_attribute: str | None,
) -> Verification:
    fitting = [badge for badge in spoken if badges.read_format(tenant.badge_format).fits(badge)]
    number_mac = keys.number_mac(tenant.tenant_id, calling_number or WITHHELD)
    guesses = list(dict.fromkeys(names.hear(text) for text in heard))
    with tenant_transaction(tenant.tenant_id) as conn:
        found = _find_candidates(conn, guesses)
    meant, crowded = _meant(found, guesses, second_attribute)
    with tenant_transaction(tenant.tenant_id) as conn:
        held = limits.reserve(
            conn,
            tenant,
            call_id=call_id,
            number_mac=number_mac,
            people=[candidate.id for candidate in meant],
        )
    open_to_all = tenant.verification_enabled and tenant.verification_policy == "name_and_badge"
    real = isinstance(held, limits.Reservation) and open_to_all and not crowded
    try:
        same = _evaluate(tenant.tenant_id, _plan(meant if real else (), fitting))
    except KeysUnavailable:
        # Nobody learned anything from this attempt, so nobody is charged for it.
        if isinstance(held, limits.Reservation):
            with tenant_transaction(tenant.tenant_id) as conn:
                limits.release(conn, held)
                limits.settle(conn, held, result="unavailable", reason=None)
        raise
    if isinstance(held, limits.Refusal):
        logger.warning("%s stopped an attempt", held.limit, extra={"call": str(call_id)})
    with tenant_transaction(tenant.tenant_id) as conn:
        return _conclude(conn, tenant, call_id, held, meant, same, crowded, open_to_all)


def _conclude(
    conn: Connection,
    tenant: Tenant,
    call_id: UUID,
    held: limits.Reservation | limits.Refusal,
    meant: Sequence[_Candidate],
    same: frozenset[UUID],
    crowded: bool,
    open_to_all: bool,
) -> Verification:
    if isinstance(held, limits.Reservation):
        # One badge that is two people's proves neither.
        if len(same) == 1:
            (person_id,) = same
            limits.release_on_success(conn, held, person_id=person_id)
            limits.settle(conn, held, result="verified", reason="verified", person_id=person_id)
            return Verification("verified", people.get(conn, person_id), level=1)
        reason = _reason(meant, crowded, open_to_all)
        limits.settle(conn, held, result="refused", reason=reason)
    left = limits.attempts_left(conn, tenant, call_id=call_id)
    if left == 0:
        return Verification("exhausted")
    if crowded and isinstance(held, limits.Reservation):
        return Verification("second_attribute", attempts_left=left)
    return Verification("refused", attempts_left=left)


def _reason(meant: Sequence[_Candidate], crowded: bool, open_to_all: bool) -> str:
    if not open_to_all:
        return "switched_off"
    if crowded:
        return "homonyms"
    if not meant:
        return "unknown_name"
    if len(meant) == 1 and meant[0].restricted:
        return "restricted"
    if len(meant) == 1 and meant[0].badge_hash is None:
        return "not_enrolled"
    return "wrong_badge"


def _find_candidates(conn: Connection, guesses: Sequence[names.Heard]) -> list[_Candidate]:
    looked_up = frozenset[str]().union(*map(names.lookup_keys, guesses))
    return (
        conn.cursor(row_factory=rows_of(_Candidate))
        .execute(
            """
            SELECT p.id, p.name, p.phone, p.badge_hash, p.restricted
            FROM aurion.people p
            JOIN (
                SELECT person_id, count(*) AS shared
                FROM aurion.person_name_keys
                WHERE tenant_id = (SELECT aurion.tenant_id()) AND key = ANY(%s)
                GROUP BY person_id
                ORDER BY shared DESC, person_id
                LIMIT %s
            ) k ON k.person_id = p.id
            WHERE p.tenant_id = (SELECT aurion.tenant_id())
            """,
            (sorted(looked_up), _MOST_CANDIDATES),
        )
        .fetchall()
    )


def _meant(
    found: Sequence[_Candidate], guesses: Sequence[names.Heard], second_attribute: str | None
) -> tuple[Sequence[_Candidate], bool]:
    """Return who may be meant, the likeliest first, and whether that is too many to evaluate."""
    found = sorted(found, key=lambda candidate: str(candidate.id))
    alike = [found[at] for at in alike_names([candidate.name for candidate in found], guesses)]
    if len(alike) <= _MOST_HOMONYMS:
        return alike, False
    if second_attribute is None:
        return alike, True
    digits = "".join(character for character in second_attribute if character.isdigit())
    alike = [
        candidate
        for candidate in alike
        if len(digits) == 2 and candidate.phone is not None and candidate.phone.endswith(digits)
    ]
    return (alike if len(alike) <= _MOST_HOMONYMS else ()), False


def alike_names(people: Sequence[str], guesses: Sequence[names.Heard]) -> list[int]:
    """Return which of these names count as the one that was heard, the likeliest first.

    More than two are too many to evaluate: then only those that no recogniser tells apart are left.
    """
    chosen = names.choose(people, guesses)
    alike: list[int] = []
    for margin in (_MARGIN, _NARROW_MARGIN):
        alike = [at for at, score in chosen if score >= chosen[0][1] - margin]
        if len(alike) <= _MOST_HOMONYMS:
            break
    return alike


def _plan(meant: Sequence[_Candidate], spoken: Sequence[str]) -> list[_Evaluation]:
    """Return exactly four evaluations: the likeliest pairs, then ones that come to nothing."""
    pairs = [
        _Evaluation(candidate.id, badge, None if candidate.restricted else candidate.badge_hash)
        for badge in spoken
        for candidate in meant
    ][:EVALUATIONS]
    padding = _Evaluation(_NOBODY, spoken[0] if spoken else "0", None)
    return pairs + [padding] * (EVALUATIONS - len(pairs))


def _evaluate(tenant_id: UUID, plan: Sequence[_Evaluation]) -> frozenset[UUID]:
    """Return the people whose badge was among the evaluations; all are always made."""
    made = [
        _evaluators().submit(
            badges.is_badge_of, tenant_id, one.person_id, one.badge, one.badge_hash
        )
        for one in plan
    ]
    failures = [future.exception() for future in made]
    for failure in failures:
        if failure is not None:
            raise failure
    return frozenset(
        one.person_id for one, future in zip(plan, made, strict=True) if future.result()
    )


@cache
def _evaluators() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.process_cpu_count() or 1, thread_name_prefix="badge")
