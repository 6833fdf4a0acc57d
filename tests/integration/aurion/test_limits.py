"""Attempts are limited before a badge is compared, however many are made at once."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from aurion import calls, limits, people, tenants
from aurion.database import tenant_transaction
from aurion.limits import Refusal, Reservation
from aurion.tenants import Tenant

from tests import factories
from tests.factories import make_people


@pytest.fixture
def company(tenant: factories.Tenant) -> Tenant:
    with tenant_transaction(tenant.tenant_id) as conn:
        return tenants.get(conn)


@pytest.fixture
def person(company: Tenant) -> uuid.UUID:
    return make_people(company, {"Alice Martin": None})["Alice Martin"]


def new_call(company: Tenant) -> uuid.UUID:
    with tenant_transaction(company.tenant_id) as conn:
        return calls.start(conn, channel="phone").id


def reserve(
    company: Tenant, *who: uuid.UUID, number: str = "A", call_id: uuid.UUID | None = None
) -> Reservation | Refusal:
    call_id = call_id or new_call(company)
    with tenant_transaction(company.tenant_id) as conn:
        return limits.reserve(conn, company, call_id=call_id, number_mac=number, people=who)


def move_back(company: Tenant, hours: float) -> None:
    """Let time pass: every attempt on record becomes older."""
    with tenant_transaction(company.tenant_id) as conn:
        conn.execute(
            """
            UPDATE aurion.attempt_counters SET attempts_at = ARRAY(
                    SELECT at - make_interval(secs => %(s)s)
                    FROM unnest(attempts_at) AS at ORDER BY at),
                last_attempt_at = last_attempt_at - make_interval(secs => %(s)s)
            """,
            {"s": hours * 3600},
        )


def counted(company: Tenant) -> dict[str, int]:
    with tenant_transaction(company.tenant_id) as conn:
        rows = conn.execute(
            "SELECT scope, sum(cardinality(attempts_at))::int FROM aurion.attempt_counters"
            " GROUP BY scope"
        ).fetchall()
    return {scope: total for scope, total in rows if total}


def test_sixty_parallel_guesses_at_one_person_reserve_five(
    company: Tenant, person: uuid.UUID
) -> None:
    ids = [new_call(company) for _ in range(60)]

    def guess(number: int) -> Reservation | Refusal:
        return reserve(company, person, number=f"N{number % 12}", call_id=ids[number])

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(guess, range(60)))
    kinds = Counter(a.limit if isinstance(a, Refusal) else "reserved" for a in answers)
    assert kinds["reserved"] == 5
    assert kinds["limit_person"] > 0
    assert counted(company)["person"] == 5


def test_a_call_has_three_attempts(company: Tenant, person: uuid.UUID) -> None:
    call_id = new_call(company)
    answers = [reserve(company, person, call_id=call_id) for _ in range(4)]
    assert [isinstance(answer, Reservation) for answer in answers] == [True, True, True, False]
    assert answers[3] == Refusal("limit_call")
    with tenant_transaction(company.tenant_id) as conn:
        assert limits.attempts_left(conn, company, call_id=call_id) == 0


def test_a_person_has_five_failures_in_any_24_hours_and_ten_without_a_success(
    company: Tenant, person: uuid.UUID
) -> None:
    reserve(company, person, number="A")
    move_back(company, 23)
    for number in range(4):
        assert isinstance(reserve(company, person, number=f"B{number}"), Reservation)
    assert reserve(company, person, number="C") == Refusal("limit_person")
    # The first is a day old now: room for one, not for five as a window that starts anew has.
    move_back(company, 1.5)
    assert isinstance(reserve(company, person, number="D"), Reservation)
    assert reserve(company, person, number="E") == Refusal("limit_person")
    move_back(company, 25)
    for number in range(4):
        assert isinstance(reserve(company, person, number=f"F{number}"), Reservation)
    assert reserve(company, person, number="G") == Refusal("limit_person")
    move_back(company, 25)
    assert reserve(company, person, number="H") == Refusal("limit_person")
    with tenant_transaction(company.tenant_id) as conn:
        people.unlock(conn, person)
    assert isinstance(reserve(company, person, number="I"), Reservation)


def test_a_number_has_ten_attempts_and_three_names_a_day(company: Tenant) -> None:
    staff = list(make_people(company, {f"Person Number{n}": None for n in "ABCD"}).values())
    for person in staff[:3]:
        assert isinstance(reserve(company, person), Reservation)
    assert reserve(company, staff[3]) == Refusal("limit_names")
    assert isinstance(reserve(company, staff[3], number="B"), Reservation)
    for _ in range(7):
        assert isinstance(reserve(company, staff[0], staff[1], number="C"), Reservation)
    for _ in range(3):
        assert isinstance(reserve(company, number="C"), Reservation)
    assert reserve(company, number="C") == Refusal("limit_number")


def test_a_company_has_thirty_failures_an_hour_and_sixty_a_day(company: Tenant) -> None:
    for number in range(30):
        assert isinstance(reserve(company, number=f"A{number}"), Reservation)
    assert reserve(company, number="B") == Refusal("limit_tenant")
    move_back(company, 1.1)
    for number in range(30):
        assert isinstance(reserve(company, number=f"C{number}"), Reservation)
    move_back(company, 1.1)
    assert reserve(company, number="D") == Refusal("limit_tenant")


def test_the_companys_own_lower_limits_hold(company: Tenant, person: uuid.UUID) -> None:
    with tenant_transaction(company.tenant_id) as conn:
        company = tenants.update(conn, failures_per_person_day=2, failures_per_tenant_hour=4)
    answers = [reserve(company, person, number=f"A{n}") for n in range(3)]
    assert [isinstance(answer, Reservation) for answer in answers] == [True, True, False]


def test_only_a_single_person_of_a_name_is_charged(company: Tenant) -> None:
    both = list(make_people(company, {"Alice Martin": None, "Alice Marten": None}).values())
    reserve(company, *both)
    assert "person" not in counted(company)
    reserve(company, both[0])
    assert counted(company)["person"] == 1


def test_a_locked_person_uses_up_a_call_like_a_wrong_badge(
    company: Tenant, person: uuid.UUID
) -> None:
    for number in range(5):
        reserve(company, person, number=f"A{number}")
    call_id = new_call(company)
    left: list[int] = []
    for _ in range(3):
        assert reserve(company, person, number="B", call_id=call_id) == Refusal("limit_person")
        with tenant_transaction(company.tenant_id) as conn:
            left.append(limits.attempts_left(conn, company, call_id=call_id))
    assert left == [2, 1, 0]


def test_success_takes_the_attempt_back_and_ends_the_run_of_failures(
    company: Tenant, person: uuid.UUID
) -> None:
    reserve(company, person)
    held = reserve(company, person)
    assert isinstance(held, Reservation)
    with tenant_transaction(company.tenant_id) as conn:
        limits.release_on_success(conn, held, person_id=person)
        assert people.get(conn, person).failed_attempts == 0
    assert counted(company) == dict.fromkeys(
        ("tenant", "call", "number", "number_name", "person"), 1
    )


def test_a_released_attempt_counts_nowhere(company: Tenant, person: uuid.UUID) -> None:
    held = reserve(company, person)
    assert isinstance(held, Reservation)
    with tenant_transaction(company.tenant_id) as conn:
        limits.release(conn, held)
        assert people.get(conn, person).failed_attempts == 0
    assert counted(company) == {}


def test_another_company_is_not_limited(
    company: Tenant, person: uuid.UUID, other_tenant: factories.Tenant
) -> None:
    for number in range(5):
        reserve(company, person, number=f"A{number}")
    with tenant_transaction(other_tenant.tenant_id) as conn:
        other = tenants.get(conn)
    theirs = make_people(other, {"Alice Martin": None})["Alice Martin"]
    assert isinstance(reserve(other, theirs, number="A0"), Reservation)
