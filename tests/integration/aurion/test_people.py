"""Lists of people: what is enrolled, what is left out, and what is never kept."""

import io
import re
import threading
from dataclasses import replace

import psycopg
import pytest
from aurion import badges, names, people, tenants
from aurion.database import tenant_transaction
from aurion.errors import PeopleFileRejected, PersonNotFound
from aurion.people import ImportReport

from local.aws import Aws
from local.postgres import Database, Postgres
from tests.factories import Tenant

HEADER = "name,badge_id,language,email,phone\n"
ALICE = "Alice Martin,471129,en,alice.martin@meridian.example,+33612345678\n"
TOM = "Tom Becker,803556,en,tom.becker@meridian.example,\n"
CLAIRE = "Claire Dubois,290416,fr,claire.dubois@meridian.example,\n"

pytestmark = pytest.mark.usefixtures("aws")


def load(tenant: Tenant, data: str | bytes) -> ImportReport:
    with tenant_transaction(tenant.tenant_id) as conn:
        row = tenants.get(conn)
    return people.import_csv(row, io.BytesIO(data.encode() if isinstance(data, str) else data))


def rejections(report: ImportReport) -> list[tuple[int, str]]:
    return [(rejection.line, rejection.reason) for rejection in report.rejected]


def everybody(tenant: Tenant) -> dict[str, people.Person]:
    with tenant_transaction(tenant.tenant_id) as conn:
        return {person.email: person for person in people.list_all(conn)}


def hash_of(tenant: Tenant, email: str) -> str:
    with tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute(
            "SELECT badge_hash FROM aurion.people WHERE email = %s", (email,)
        ).fetchone()
    assert row is not None
    return row[0]


def test_people_are_enrolled_with_their_badge_as_a_hash(tenant: Tenant) -> None:
    report = load(tenant, HEADER + ALICE + CLAIRE)
    assert (report.added, report.changed, report.unchanged, report.rejected) == (2, 0, 0, ())
    alice = everybody(tenant)["alice.martin@meridian.example"]
    assert (alice.name, alice.language, alice.phone) == ("Alice Martin", "en", "+33612345678")
    assert alice.enrolled_at is not None
    stored = hash_of(tenant, alice.email)
    assert badges.is_badge_of(tenant.tenant_id, alice.id, "471129", stored)
    assert not badges.is_badge_of(tenant.tenant_id, alice.id, "471128", stored)


def test_names_find_their_people_by_key(tenant: Tenant) -> None:
    load(tenant, HEADER + ALICE + CLAIRE)
    wanted = everybody(tenant)["claire.dubois@meridian.example"].id
    with tenant_transaction(tenant.tenant_id) as conn:
        found = conn.execute(
            "SELECT DISTINCT person_id FROM aurion.person_name_keys WHERE key = ANY(%s)",
            (list(names.lookup_keys(names.hear("Claire Du Bois"))),),
        ).fetchall()
    assert (wanted,) in found


def test_import_runs_twice_without_hashing_again(tenant: Tenant) -> None:
    load(tenant, HEADER + ALICE)
    before = hash_of(tenant, "alice.martin@meridian.example")
    report = load(tenant, HEADER + ALICE)
    assert (report.added, report.changed, report.unchanged) == (0, 0, 1)
    assert hash_of(tenant, "alice.martin@meridian.example") == before


def test_changed_name_keeps_the_hash_and_moves_the_keys(tenant: Tenant) -> None:
    load(tenant, HEADER + ALICE)
    before = hash_of(tenant, "alice.martin@meridian.example")
    report = load(tenant, HEADER + ALICE.replace("Martin,", "Vandenberghe,"))
    assert (report.added, report.changed, report.unchanged) == (0, 1, 0)
    assert hash_of(tenant, "alice.martin@meridian.example") == before
    with tenant_transaction(tenant.tenant_id) as conn:
        keys = {
            row[0] for row in conn.execute("SELECT key FROM aurion.person_name_keys").fetchall()
        }
    assert keys == names.blocking_keys("Alice Vandenberghe")


def test_changed_badge_replaces_the_hash(tenant: Tenant) -> None:
    load(tenant, HEADER + ALICE)
    report = load(tenant, HEADER + ALICE.replace("471129", "471130"))
    alice = everybody(tenant)["alice.martin@meridian.example"]
    assert report.changed == 1
    stored = hash_of(tenant, alice.email)
    assert badges.is_badge_of(tenant.tenant_id, alice.id, "471130", stored)
    assert not badges.is_badge_of(tenant.tenant_id, alice.id, "471129", stored)


def test_people_missing_from_a_file_stay(tenant: Tenant) -> None:
    load(tenant, HEADER + ALICE)
    load(tenant, HEADER + TOM)
    assert len(everybody(tenant)) == 2


def test_two_imports_at_once_enrol_everybody_once(tenant: Tenant) -> None:
    reports: list[ImportReport] = []
    threads = [
        threading.Thread(target=lambda: reports.append(load(tenant, HEADER + ALICE + TOM + CLAIRE)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.added for report in reports) == 3
    assert sum(report.changed for report in reports) == 0
    for email, person in everybody(tenant).items():
        badge = {"alice": "471129", "tom": "803556", "claire": "290416"}[email.split(".")[0]]
        assert badges.is_badge_of(tenant.tenant_id, person.id, badge, hash_of(tenant, email))


def test_same_badge_in_two_companies_gives_two_hashes(tenant: Tenant, other_tenant: Tenant) -> None:
    load(tenant, HEADER + ALICE)
    load(other_tenant, HEADER + ALICE)
    email = "alice.martin@meridian.example"
    assert everybody(tenant)[email].id != everybody(other_tenant)[email].id
    swapped = hash_of(other_tenant, email)
    mine = everybody(tenant)[email]
    assert not badges.is_badge_of(tenant.tenant_id, mine.id, "471129", swapped)


def test_badge_is_nowhere_in_the_database_or_its_log(
    tenant: Tenant, postgres: Postgres, database: Database, aws: Aws
) -> None:
    badge = "918273"
    load(tenant, HEADER + ALICE.replace("471129", badge))
    with psycopg.connect(postgres.dsn(database.name)) as conn:
        tables = conn.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname = 'aurion'"
        ).fetchall()
        dump = "\n".join(
            str(row)
            for (table,) in tables
            for row in conn.execute(f"SELECT t::text FROM {table} t").fetchall()  # type: ignore[arg-type]
        )
    assert "alice.martin" in dump
    assert not re.search(rf"(?<![0-9]){badge}(?![0-9])", dump)
    assert badge not in postgres.log.read_text(errors="replace")


def test_restriction_and_unlocking(tenant: Tenant, other_tenant: Tenant) -> None:
    load(tenant, HEADER + ALICE)
    alice = everybody(tenant)["alice.martin@meridian.example"]
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("UPDATE aurion.people SET failed_attempts = 4")
        assert people.restrict(conn, alice.id).restricted
        assert not people.unrestrict(conn, alice.id).restricted
        assert people.unlock(conn, alice.id).failed_attempts == 0
        assert people.find_by_email(conn, " ALICE.martin@meridian.example ") is not None
        first = people.list_all(conn, limit=1)
        assert people.list_all(conn, after=(first[0].name_norm, first[0].id)) == []
    with tenant_transaction(other_tenant.tenant_id) as conn:
        for act in (people.get, people.restrict, people.unrestrict, people.unlock):
            with pytest.raises(PersonNotFound):
                act(conn, alice.id)
        assert people.find_by_email(conn, "alice.martin@meridian.example") is None
    assert replace(everybody(tenant)[alice.email], updated_at=alice.updated_at) == alice


def test_report_names_the_lines_that_were_left_out(tenant: Tenant) -> None:
    report = load(tenant, HEADER + ALICE + "Zanzibar Quux,99x,xx,zq@meridian.example,\n" + TOM)
    assert report.added == 2
    assert [(rejection.line, rejection.reason) for rejection in report.rejected] == [
        (3, "language_unknown")
    ]
    assert not any(word in repr(report) for word in ("Zanzibar", "99x", "meridian"))
    with pytest.raises(PeopleFileRejected):
        load(tenant, "name,email\nAlice,alice@meridian.example\n")
