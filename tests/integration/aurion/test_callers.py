"""Callers are verified by name and badge, alike for everybody who is not."""

import base64
import re
import uuid
from collections import Counter

import pytest
from aurion import calls, keys, people, tenants
from aurion.callers import Verification, verify
from aurion.database import close_pools, tenant_transaction
from aurion.errors import VerificationUnavailable
from aurion.settings import settings
from aurion.tenants import Tenant
from psycopg import sql

from local.aws import Aws
from local.postgres import Database, free_port
from tests import factories, verification_times
from tests.factories import make_people
from tests.key_line import KeyLine

BADGES = {"Alice Martin": "471129", "Tom Becker": "803556", "Claire Dubois": "290416"}
COMPANY = uuid.uuid4()


@pytest.fixture
def tenant(database: Database) -> factories.Tenant:
    """The company, of one id in every test: a hash belongs to it, and is slow to make."""
    return factories.make_tenant("Meridian Works", languages=("en", "fr"), tenant_id=COMPANY)


@pytest.fixture
def company(tenant: factories.Tenant, aws: Aws) -> Tenant:
    with tenant_transaction(tenant.tenant_id) as conn:
        return tenants.get(conn)


@pytest.fixture
def staff(company: Tenant) -> dict[str, uuid.UUID]:
    return make_people(company, BADGES)


def new_call(company: Tenant) -> uuid.UUID:
    with tenant_transaction(company.tenant_id) as conn:
        return calls.start(conn, channel="phone").id


def ask(
    company: Tenant,
    heard: str | list[str],
    *spoken: str,
    number: str | None = "+33612345678",
    call_id: uuid.UUID | None = None,
    second_attribute: str | None = None,
) -> Verification:
    return verify(
        company,
        call_id=call_id or new_call(company),
        calling_number=number,
        heard=[heard] if isinstance(heard, str) else heard,
        badges=spoken,
        second_attribute=second_attribute,
    )


def attempts(company: Tenant) -> list[tuple[str, str | None, uuid.UUID | None]]:
    with tenant_transaction(company.tenant_id) as conn:
        return conn.execute(
            "SELECT result, reason, person_id FROM aurion.verification_attempts"
            " ORDER BY attempted_at"
        ).fetchall()


def counted(company: Tenant) -> Counter[str]:
    with tenant_transaction(company.tenant_id) as conn:
        rows = conn.execute(
            "SELECT scope, sum(cardinality(attempts_at))::int FROM aurion.attempt_counters"
            " GROUP BY scope"
        ).fetchall()
    return Counter(dict(rows)) - Counter()


@pytest.mark.parametrize(
    ("name_text", "spoken"),
    [
        ("Hi, this is Alice Martin.", ["471129"]),
        ("Hi, this is Alice Marten.", ["471128", "471129"]),
        ("Ali's Martin", ["1", "999999", "471129"]),
        ("Martin, Alice", ["471128", "471127", "471126", "471129"]),
    ],
)
def test_a_name_and_its_badge_verify(
    company: Tenant, staff: dict[str, uuid.UUID], name_text: str, spoken: list[str]
) -> None:
    answer = ask(company, name_text, *spoken)
    assert answer.outcome == "verified"
    assert answer.level == 1
    assert answer.person is not None
    assert answer.person.id == staff["Alice Martin"]
    assert attempts(company) == [("verified", "verified", staff["Alice Martin"])]
    assert counted(company) == Counter()


@pytest.mark.parametrize(
    ("name_text", "badge", "reason"),
    [
        ("this is Alice Martin", "471128", "wrong_badge"),
        ("this is Alice Martin", "803556", "wrong_badge"),  # another person's
        ("this is Zoe Nobody", "471129", "unknown_name"),
        ("Alice Martin, Tom Becker", "471129", "unknown_name"),
        ("", "471129", "unknown_name"),
        ("this is Alice Martin", "47112", "wrong_badge"),
    ],
)
def test_the_refused_hear_the_same(
    company: Tenant, staff: dict[str, uuid.UUID], name_text: str, badge: str, reason: str
) -> None:
    answer = ask(company, name_text, badge)
    assert answer == Verification("refused", attempts_left=2)
    assert [row[1] for row in attempts(company)] == [reason]


def test_a_further_guess_or_a_near_name_verifies_with_the_right_badge(
    company: Tenant, staff: dict[str, uuid.UUID]
) -> None:
    noisy = ["Hi, this is Alex Morton.", "Hi, this is Alice Martin."]
    answer = ask(company, noisy, "471129")
    assert answer.person is not None
    assert answer.person.id == staff["Alice Martin"]
    assert ask(company, "My name is Tom Beckham.", "803556").outcome == "verified"
    assert ask(company, "My name is Tom Beckham.", "471129").outcome == "refused"
    assert ask(company, "My name is Zoe Quentin.", "803556").outcome == "refused"


def test_the_fifth_variant_is_never_compared(company: Tenant, staff: dict[str, uuid.UUID]) -> None:
    spoken = ["111111", "222222", "333333", "444444", "471129"]
    assert ask(company, "Alice Martin", *spoken).outcome == "refused"


def test_restricted_and_unenrolled_people_hear_the_same(
    company: Tenant, staff: dict[str, uuid.UUID]
) -> None:
    make_people(company, {"Nora Quist": None})
    with tenant_transaction(company.tenant_id) as conn:
        people.restrict(conn, staff["Alice Martin"])
    refused = Verification("refused", attempts_left=2)
    assert ask(company, "Alice Martin", "471129", number="+33611111111") == refused
    assert ask(company, "Nora Quist", "471129", number="+33622222222") == refused
    assert [row[1] for row in attempts(company)] == ["restricted", "not_enrolled"]


def test_a_locked_person_hears_the_same_even_with_the_right_badge(
    company: Tenant, staff: dict[str, uuid.UUID]
) -> None:
    with tenant_transaction(company.tenant_id) as conn:
        conn.execute(
            "UPDATE aurion.people SET failed_attempts = 10 WHERE id = %s", (staff["Alice Martin"],)
        )
    answer = ask(company, "Alice Martin", "471129", number="+33622222222")
    assert answer == Verification("refused", attempts_left=2)
    assert attempts(company)[-1][:2] == ("refused", "limit_person")
    assert ask(company, "Tom Becker", "803556", number="+33633333333").outcome == "verified"


def test_three_failures_end_the_asking(company: Tenant, staff: dict[str, uuid.UUID]) -> None:
    call_id = new_call(company)
    outcomes = [ask(company, "Alice Martin", "471128", call_id=call_id).outcome for _ in range(3)]
    assert outcomes == ["refused", "refused", "exhausted"]
    assert ask(company, "Alice Martin", "471129", call_id=call_id).outcome == "exhausted"


def test_withheld_numbers_share_one_limit(company: Tenant, staff: dict[str, uuid.UUID]) -> None:
    with tenant_transaction(company.tenant_id) as conn:
        company = tenants.update(conn, failures_per_number_day=1)
    ask(company, "Alice Martin", "471128", number=None)
    assert ask(company, "Tom Becker", "803556", number=None).outcome == "refused"
    assert ask(company, "Tom Becker", "803556", number="+33612345678").outcome == "verified"


def test_two_people_of_one_name_are_told_apart_by_their_badges(company: Tenant) -> None:
    ids = make_people(company, {"Alice Martin": "471129", " Alice Martin": "555001"})
    for name, badge in (("Alice Martin", "471129"), (" Alice Martin", "555001")):
        answer = ask(company, "this is Alice Martin", "000000", badge)
        assert answer.person is not None
        assert answer.person.id == ids[name]
    # Neither is charged for a wrong badge: nobody shall be able to lock out both.
    ask(company, "this is Alice Martin", "000000")
    assert counted(company) == Counter(tenant=1, call=1, number=1, number_name=1)


def test_more_than_two_of_a_name_need_a_second_attribute(company: Tenant) -> None:
    names = {
        " " * n + "Jan Peeters": badge for n, badge in enumerate(("100001", "100002", "100003"))
    }
    phones = {name: f"+3247000001{last}" for name, last in zip(names, (1, 2, 2), strict=True)}
    ids = make_people(company, names, phones=phones)
    call_id = new_call(company)
    answer = ask(company, "Jan Peeters", "100001", call_id=call_id)
    assert answer == Verification("second_attribute", attempts_left=2)
    assert attempts(company)[-1] == ("refused", "homonyms", None)
    answer = ask(company, "Jan Peeters", "100001", call_id=call_id, second_attribute="11")
    assert answer.person is not None
    assert answer.person.id == ids["Jan Peeters"]
    # The attribute of two leaves two: their badges decide.
    assert ask(company, "Jan Peeters", "100003", second_attribute="12").outcome == "verified"
    assert ask(company, "Jan Peeters", "100001", second_attribute="12").outcome == "refused"
    assert ask(company, "Jan Peeters", "100001", second_attribute="").outcome == "refused"


def test_one_badge_of_two_people_proves_neither(company: Tenant) -> None:
    make_people(company, {"Alice Martin": "471129", "Alice Marten": "471129"})
    assert ask(company, "Alice Martin", "471129").outcome == "refused"


@pytest.mark.parametrize("setting", ["enabled", "policy"])
def test_switched_off_verifies_nobody(
    company: Tenant, staff: dict[str, uuid.UUID], setting: str
) -> None:
    with tenant_transaction(company.tenant_id) as conn:
        if setting == "enabled":
            company = tenants.update(conn, verification_enabled=False)
        else:
            company = tenants.update(conn, verification_policy="possession_required")
    assert ask(company, "Alice Martin", "471129").outcome == "refused"
    assert attempts(company)[-1][1] == "switched_off"


def test_another_companys_badge_verifies_nobody(
    company: Tenant, staff: dict[str, uuid.UUID], other_tenant: factories.Tenant
) -> None:
    with tenant_transaction(other_tenant.tenant_id) as conn:
        other = tenants.get(conn)
    make_people(other, {"Alice Martin": "654321"})
    assert ask(company, "Alice Martin", "654321").outcome == "refused"
    assert ask(other, "Alice Martin", "471129").outcome == "refused"
    assert ask(other, "Alice Martin", "654321").outcome == "verified"


def test_a_hash_moved_to_another_person_verifies_nobody(
    company: Tenant, staff: dict[str, uuid.UUID]
) -> None:
    with tenant_transaction(company.tenant_id) as conn:
        conn.execute(
            "UPDATE aurion.people SET badge_hash ="
            " (SELECT badge_hash FROM aurion.people WHERE id = %s) WHERE id = %s",
            (staff["Tom Becker"], staff["Alice Martin"]),
        )
    assert ask(company, "Alice Martin", "803556").outcome == "refused"


def test_parallel_guesses_at_one_person_are_five_at_most(
    company: Tenant, staff: dict[str, uuid.UUID]
) -> None:
    # Tests' size: the reservations of sixty at once are in test_limits, the whole in the proof.
    result = verification_times.guess_in_parallel(company, "Alice Martin", guesses=8)
    assert result["wrong_badge"] == 5
    assert result.total() == 8


def test_unknown_known_and_locked_cost_the_same_work(
    company: Tenant, staff: dict[str, uuid.UUID]
) -> None:
    times = verification_times.measure(company, runs=3)
    # On a busy machine only the work can be compared; the proof compares the time as well.
    assert times.work_ratio < 1.12, times


def use_keys_at(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    settings.cache_clear()


def test_every_attempt_asks_the_key_service_equally_often(
    company: Tenant, staff: dict[str, uuid.UUID], aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(company, {"Nora Quist": None, "Alina Martinez": None, "Alina Martinet": "1"})
    with tenant_transaction(company.tenant_id) as conn:
        people.restrict(conn, staff["Claire Dubois"])
        conn.execute(
            "UPDATE aurion.people SET failed_attempts = 10 WHERE id = %s", (staff["Tom Becker"],)
        )
    asked: dict[str, int] = {}
    with KeyLine(aws.endpoint) as line:
        use_keys_at(line.endpoint, monkeypatch)
        for name in (
            "Alice Martin",
            "Zoe Nobody",
            "Tom Becker",
            "Claire Dubois",
            "Nora Quist",
            "Alina Martine",
        ):
            before = line.requests
            ask(company, name, "000000", "000001", number=f"+3361234567{len(asked)}")
            asked[name] = line.requests - before
    use_keys_at(aws.endpoint, monkeypatch)
    assert asked == dict.fromkeys(asked, 5)


def test_key_service_down_verifies_nobody(
    company: Tenant, staff: dict[str, uuid.UUID], aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with KeyLine(aws.endpoint, cut_after=0) as line:
        use_keys_at(line.endpoint, monkeypatch)
        with pytest.raises(VerificationUnavailable) as caught:
            ask(company, "Alice Martin", "471129")
    use_keys_at(aws.endpoint, monkeypatch)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert attempts(company) == []


def test_key_service_lost_after_the_reservation_charges_nobody(
    company: Tenant, staff: dict[str, uuid.UUID], aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first request is the number's pseudonym; then the attempt is reserved.
    with KeyLine(aws.endpoint, cut_after=2) as line:
        use_keys_at(line.endpoint, monkeypatch)
        with pytest.raises(VerificationUnavailable):
            ask(company, "Alice Martin", "471129")
    use_keys_at(aws.endpoint, monkeypatch)
    assert attempts(company) == [("unavailable", None, staff["Alice Martin"])]
    assert counted(company) == Counter()
    with tenant_transaction(company.tenant_id) as conn:
        assert people.get(conn, staff["Alice Martin"]).failed_attempts == 0


def test_database_down_verifies_nobody(
    company: Tenant, staff: dict[str, uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = new_call(company)
    monkeypatch.setenv("DATABASE_PORT", str(free_port()))
    settings.cache_clear()
    close_pools()
    with pytest.raises(VerificationUnavailable):
        ask(company, "Alice Martin", "471129", call_id=call_id)


def test_a_crash_between_reservation_and_comparison_leaves_the_attempt_counted(
    company: Tenant, staff: dict[str, uuid.UUID]
) -> None:
    verification_times.crash_after_reserving(company, new_call(company), "Alice Martin")
    assert counted(company) == Counter(tenant=1, call=1, number=1, number_name=1, person=1)
    assert attempts(company) == [("reserved", None, staff["Alice Martin"])]


def test_wrong_guesses_leave_no_hash(company: Tenant, staff: dict[str, uuid.UUID]) -> None:
    ask(company, "Alice Martin", "471128", "471127")
    everything = dump(company)
    enrolled = set(re.findall(r"\$2b\$[./A-Za-z0-9$]{56}", everything))
    assert len(enrolled) == len(BADGES)
    with tenant_transaction(company.tenant_id) as conn:
        kept = {row[0] for row in conn.execute("SELECT badge_hash FROM aurion.people")}
    assert enrolled == kept
    for badge in ("471128", "471127"):
        mac = keys.badge_mac(company.tenant_id, staff["Alice Martin"], badge)
        for form in (badge, mac.hex(), base64.b64encode(mac).decode()):
            assert form not in everything


def dump(company: Tenant) -> str:
    with tenant_transaction(company.tenant_id) as conn:
        tables = conn.execute(
            "SELECT table_name FROM information_schema.table_privileges"
            " WHERE table_schema = 'aurion' AND privilege_type = 'SELECT'"
        ).fetchall()
        rows = [
            conn.execute(sql.SQL("SELECT t::text FROM aurion.{} t").format(sql.Identifier(name)))
            for (name,) in tables
        ]
        return "\n".join(row[0] for found in rows for row in found)
