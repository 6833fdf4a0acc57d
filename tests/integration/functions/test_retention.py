"""Recordings whose days are over, against the real database and bucket."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from aurion import calls, people, purges, recordings, retention, storage, tenants
from aurion.database import data_map, tenant_transaction
from aurion.errors import RecordingNotFound, RecordingSettled, StorageUnavailable
from aurion.settings import settings
from aurion.storage import StoredObject

from local.aws import Aws
from local.postgres import Database, Postgres
from tests import killed_retention
from tests.factories import Tenant, make_people
from tests.function_handlers import Context, invoke

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def bucket(aws: Aws) -> Iterator[None]:
    """A bucket that holds nothing of another test."""
    yield
    s3 = aws.client("s3")
    listed = s3.list_objects_v2(Bucket=settings().recordings_bucket).get("Contents", [])
    for found in listed:
        s3.delete_object(Bucket=settings().recordings_bucket, Key=found["Key"])


def put(aws: Aws, key: str) -> None:
    aws.client("s3").put_object(Bucket=settings().recordings_bucket, Key=key, Body=b"OggS sound")


def record(
    aws: Aws,
    tenant: Tenant,
    age: timedelta,
    *,
    person_id: UUID | None = None,
    with_object: bool = True,
) -> UUID:
    """A call of `age` before NOW, over and recorded."""
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.claim(conn, call_id=calls.start(conn, channel="text").id)
        recordings.begin(conn, call_id=call.id, epoch=call.epoch)
        key = storage.recording_key(tenant.tenant_id, call.id)
        if with_object:
            put(aws, key)
        recordings.stored(
            conn,
            call_id=call.id,
            stored_object=StoredObject(key, 10, "ab" * 32),
            duration_ms=1000,
        )
        if person_id is not None:
            calls.set_caller(conn, call_id=call.id, epoch=call.epoch, person_id=person_id, level=1)
        calls.close(conn, call_id=call.id, epoch=call.epoch, outcome="informed")
        conn.execute(
            "UPDATE aurion.recordings SET started_at = %s WHERE call_id = %s", (NOW - age, call.id)
        )
    return call.id


def has_object(tenant: Tenant, call_id: UUID) -> bool:
    return storage.has_recording(storage.recording_key(tenant.tenant_id, call_id))


def status(tenant: Tenant, call_id: UUID) -> str | None:
    with tenant_transaction(tenant.tenant_id) as conn:
        try:
            return recordings.get(conn, call_id).status
        except RecordingNotFound:
            return None


def proofs(tenant: Tenant) -> list[tuple[UUID | None, str, int, bool]]:
    with tenant_transaction(tenant.tenant_id) as conn:
        rows = conn.execute(
            "SELECT call_id, reason, retention_days, had_object FROM aurion.recording_deletions"
            " ORDER BY deleted_at, id"
        ).fetchall()
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def keep_for(tenant: Tenant, days: int) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        tenants.update(conn, retention_days=days)


def test_the_ninetieth_day_is_the_last(aws: Aws, tenant: Tenant, other_tenant: Tenant) -> None:
    of_day = {days: record(aws, tenant, timedelta(days=days)) for days in (0, 89, 90, 91)}
    just_before = record(aws, tenant, timedelta(days=90) - SECOND)
    others = record(aws, other_tenant, timedelta(days=91))
    assert retention.expire(tenant.tenant_id, now=NOW) == retention.Expired(2, whole=True)
    for call_id in (of_day[0], of_day[89], just_before):
        assert (status(tenant, call_id), has_object(tenant, call_id)) == ("stored", True)
    for call_id in (of_day[90], of_day[91]):
        assert (status(tenant, call_id), has_object(tenant, call_id)) == (None, False)
    assert {row[0] for row in proofs(tenant)} == {of_day[90], of_day[91]}
    assert {row[1:] for row in proofs(tenant)} == {("retention", 90, True)}
    # Another company's are its own round's to do.
    assert (status(other_tenant, others), proofs(other_tenant)) == ("stored", [])
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 0
    assert retention.expire(tenant.tenant_id, now=NOW + SECOND).deleted == 1


def test_fewer_days_hold_for_what_is_there_and_more_bring_nothing_back(
    aws: Aws, tenant: Tenant
) -> None:
    old, young = record(aws, tenant, timedelta(days=8)), record(aws, tenant, timedelta(days=6))
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 0
    keep_for(tenant, 7)
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 1
    keep_for(tenant, 90)
    assert retention.expire(tenant.tenant_id, now=NOW + timedelta(days=2)).deleted == 0
    assert (status(tenant, old), status(tenant, young)) == (None, "stored")
    assert proofs(tenant) == [(old, "retention", 7, True)]


class Killed(BaseException):
    """The process is gone at this place."""


def _die_before_the_object(patch: pytest.MonkeyPatch) -> None:
    _die_in(patch, "delete_objects", before=True)


def _die_after_the_object(patch: pytest.MonkeyPatch) -> None:
    _die_in(patch, "delete_objects", before=False)


def _die_in(patch: pytest.MonkeyPatch, operation: str, *, before: bool) -> None:
    """Have the store's client, which is not ours, be where the process ends."""
    client = _s3()
    original = getattr(client, operation)

    def die(**arguments: Any) -> None:
        if not before:
            original(**arguments)
        raise Killed

    patch.setattr(client, operation, die)


def _s3() -> Any:
    from aurion import aws as aurion_aws

    return aurion_aws.client("s3", read_s=20)


@pytest.mark.parametrize("die", [_die_before_the_object, _die_after_the_object])
@pytest.mark.parametrize("days", [90, 7])
def test_a_run_that_is_killed_is_finished_by_the_next(
    aws: Aws,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    die: Callable[[pytest.MonkeyPatch], None],
    days: int,
) -> None:
    keep_for(tenant, days)
    call_id = record(aws, tenant, timedelta(days=days))
    with monkeypatch.context() as patch:
        die(patch)
        with pytest.raises(Killed):
            retention.expire(tenant.tenant_id, now=NOW)
    # Decided is decided: neither more days nor a late upload bring it back.
    assert status(tenant, call_id) == "deleted"
    keep_for(tenant, 365)
    with pytest.raises(RecordingSettled), tenant_transaction(tenant.tenant_id) as conn:
        recordings.salvaged(
            conn,
            call_id=call_id,
            stored_object=StoredObject("late", 1, "ab" * 32),
            duration_ms=1,
        )
    assert proofs(tenant) == []
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 1
    assert (status(tenant, call_id), has_object(tenant, call_id)) == (None, False)
    assert proofs(tenant) == [(call_id, "retention", 365, True)]


def test_a_proof_that_cannot_be_written_keeps_the_row(
    aws: Aws, tenant: Tenant, database: Database, postgres: Postgres
) -> None:
    call_id = record(aws, tenant, timedelta(days=90))
    with psycopg.connect(postgres.admin_dsn(database.name), autocommit=True) as admin:
        admin.execute("REVOKE INSERT ON aurion.recording_deletions FROM aurion_app")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            retention.expire(tenant.tenant_id, now=NOW)
        assert (status(tenant, call_id), has_object(tenant, call_id)) == ("deleted", False)
        admin.execute("GRANT INSERT ON aurion.recording_deletions TO aurion_app")
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 1
    assert proofs(tenant) == [(call_id, "retention", 90, True)]


def test_a_bucket_that_is_away_keeps_row_and_object(
    aws: Aws, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id = record(aws, tenant, timedelta(days=90))
    with monkeypatch.context() as patch:
        patch.setenv("RECORDINGS_BUCKET", "no-such-bucket")
        settings.cache_clear()
        with pytest.raises(StorageUnavailable):
            retention.expire(tenant.tenant_id, now=NOW)
    settings.cache_clear()
    assert (status(tenant, call_id), has_object(tenant, call_id)) == ("deleted", True)
    assert proofs(tenant) == []
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 1


def test_two_runs_at_once_write_one_proof_each(aws: Aws, tenant: Tenant) -> None:
    made = {record(aws, tenant, timedelta(days=100 + number)) for number in range(8)}
    together = threading.Barrier(4)

    def run(_: int) -> int:
        together.wait()
        return retention.expire(tenant.tenant_id, now=NOW).deleted

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, range(4))) == 8
    assert sorted(str(row[0]) for row in proofs(tenant)) == sorted(str(one) for one in made)


def test_who_is_restricted_keeps_theirs_until_that_ends(aws: Aws, tenant: Tenant) -> None:
    ids = make_people(tenant, {"Alice Martin": None, "Tom Becker": None})
    kept = record(aws, tenant, timedelta(days=100), person_id=ids["Alice Martin"])
    gone = record(aws, tenant, timedelta(days=100), person_id=ids["Tom Becker"])
    with tenant_transaction(tenant.tenant_id) as conn:
        people.restrict(conn, ids["Alice Martin"])
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 1
    assert (status(tenant, kept), has_object(tenant, kept)) == ("stored", True)
    assert status(tenant, gone) is None
    with tenant_transaction(tenant.tenant_id) as conn:
        people.unrestrict(conn, ids["Alice Martin"])
    assert retention.expire(tenant.tenant_id, now=NOW).deleted == 1
    assert status(tenant, kept) is None


def test_a_restriction_that_is_being_written_holds(aws: Aws, tenant: Tenant) -> None:
    ids = make_people(tenant, {"Alice Martin": None})
    kept = record(aws, tenant, timedelta(days=100), person_id=ids["Alice Martin"])
    with ThreadPoolExecutor(1) as pool:
        with tenant_transaction(tenant.tenant_id) as conn:
            people.restrict(conn, ids["Alice Martin"])
            run = pool.submit(retention.expire, tenant.tenant_id, now=NOW)
            _until_it_waits(tenant)
        assert run.result().deleted == 0
    assert (status(tenant, kept), has_object(tenant, kept)) == ("stored", True)


def _until_it_waits(tenant: Tenant) -> None:
    until = time.monotonic() + 4
    while time.monotonic() < until:
        with tenant_transaction(tenant.tenant_id) as conn:
            row = conn.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
            ).fetchone()
        if row is not None and row[0]:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not wait for the restriction")


def test_unwanted_recordings_lose_their_object_at_once(aws: Aws, tenant: Tenant) -> None:
    call_id = record(aws, tenant, timedelta(days=1))
    with tenant_transaction(tenant.tenant_id) as conn:
        recordings.discarded(conn, call_id=call_id)
    retention.expire(tenant.tenant_id, now=NOW)
    assert (status(tenant, call_id), has_object(tenant, call_id)) == ("discarded", False)
    assert proofs(tenant) == [(call_id, "unwanted", 90, True)]


def test_more_than_a_batch_goes_on_until_time_is_up(aws: Aws, tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute(
            "INSERT INTO aurion.calls"
            " (channel, status, outcome, ended_at, lease_until, started_at)"
            " SELECT 'text', 'closed', 'informed', %(at)s, %(at)s, %(at)s"
            " FROM generate_series(1, 250)",
            {"at": NOW - timedelta(days=100)},
        )
        conn.execute(
            "INSERT INTO aurion.recordings (call_id, status, started_at)"
            " SELECT id, 'lost', started_at FROM aurion.calls"
        )
    first = retention.expire(tenant.tenant_id, now=NOW, enough_time=lambda: False)
    assert first == retention.Expired(100, whole=False)
    assert retention.expire(tenant.tenant_id, now=NOW) == retention.Expired(150, whole=True)
    assert {row[1:] for row in proofs(tenant)} == {("retention", 90, False)}


def test_bucket_and_rows_agree_afterwards(aws: Aws, tenant: Tenant, other_tenant: Tenant) -> None:
    ids = make_people(tenant, {"Alice Martin": None})
    whole = record(aws, tenant, timedelta(days=1))
    no_object = record(aws, tenant, timedelta(days=1), with_object=False)
    others = record(aws, other_tenant, timedelta(days=1))
    no_row, not_told = uuid4(), record(aws, tenant, timedelta(days=1))
    restricted = record(aws, tenant, timedelta(days=1), person_id=ids["Alice Martin"])
    put(aws, storage.recording_key(tenant.tenant_id, no_row))
    put(aws, f"{tenant.tenant_id}/recordings/odd name.txt")
    with tenant_transaction(tenant.tenant_id) as conn:
        people.restrict(conn, ids["Alice Martin"])
        conn.execute("DELETE FROM aurion.recordings WHERE call_id = %s", (restricted,))
        # As an agent leaves it that dies between putting the object and saying so.
        conn.execute(
            "UPDATE aurion.recordings SET status = 'recording', object_key = NULL"
            " WHERE call_id = %s",
            (not_told,),
        )
    young = retention.reconcile(tenant.tenant_id)
    assert young == retention.Reconciled(adopted=0, removed=0, missing=1)
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    later = retention.reconcile(tenant.tenant_id, now=tomorrow)
    assert later == retention.Reconciled(adopted=1, removed=2, missing=0)
    assert (status(tenant, whole), has_object(tenant, whole)) == ("stored", True)
    assert status(tenant, no_object) == "lost"
    assert status(tenant, not_told) == "salvaged"
    assert not has_object(tenant, no_row)
    assert has_object(tenant, restricted)
    assert has_object(other_tenant, others)
    assert {row[:2] for row in proofs(tenant)} == {(no_row, "no_row"), (None, "no_row")}
    again = retention.reconcile(tenant.tenant_id, now=tomorrow)
    assert again == retention.Reconciled(0, 0, 0)
    # No object without a row that names it (but the restricted one's), no such row without one.
    with tenant_transaction(tenant.tenant_id) as conn:
        rows = conn.execute(
            "SELECT object_key FROM aurion.recordings WHERE object_key IS NOT NULL"
        ).fetchall()
    objects = {
        found.object_key for page in storage.list_recordings(tenant.tenant_id) for found in page
    }
    assert objects - {row[0] for row in rows} == {
        storage.recording_key(tenant.tenant_id, restricted)
    }
    assert {row[0] for row in rows} <= objects


def test_a_proof_cannot_be_taken_back(aws: Aws, tenant: Tenant) -> None:
    record(aws, tenant, timedelta(days=100))
    retention.expire(tenant.tenant_id, now=NOW)
    for statement in (
        "DELETE FROM aurion.recording_deletions",
        "UPDATE aurion.recording_deletions SET reason = 'unwanted'",
    ):
        with (
            pytest.raises(Exception, match="permission denied"),
            tenant_transaction(tenant.tenant_id) as conn,
        ):
            conn.execute(statement)


@pytest.fixture
def queue(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    url = aws.provision_queue(f"retention-{uuid4().hex[:8]}")
    monkeypatch.setenv("RETENTION_QUEUE_URL", url)
    settings.cache_clear()
    yield url
    aws.client("sqs").delete_queue(QueueUrl=url)


def messages(aws: Aws, url: str) -> list[dict[str, Any]]:
    got: list[dict[str, Any]] = []
    while (
        received := aws.client("sqs")
        .receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        .get("Messages")
    ):
        got += [{"messageId": one["MessageId"], "body": one["Body"]} for one in received]
    return got


def test_the_hour_sends_a_message_per_company_and_each_is_worked_off(
    aws: Aws, tenant: Tenant, other_tenant: Tenant, queue: str
) -> None:
    due = record(aws, tenant, timedelta())
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute(
            "UPDATE aurion.recordings SET started_at = clock_timestamp() - interval '91 days'"
        )
    invoke("recordings_retention", {"detail-type": "Scheduled Event"})
    sent = messages(aws, queue)
    bodies = [json.loads(message["body"]) for message in sent]
    assert {body["tenant_id"] for body in bodies} == {
        str(tenant.tenant_id),
        str(other_tenant.tenant_id),
    }
    assert all(set(body) == {"version", "tenant_id", "work"} for body in bodies)
    poison = {"messageId": "poison", "body": '{"version": 9}'}
    done = invoke("recordings_retention", {"Records": [poison, *sent]})
    assert done == {"batchItemFailures": [{"itemIdentifier": "poison"}]}
    assert status(tenant, due) is None


def test_what_time_does_not_suffice_for_is_sent_anew(aws: Aws, tenant: Tenant, queue: str) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute(
            "INSERT INTO aurion.calls (channel, status, outcome, ended_at, lease_until)"
            " SELECT 'text', 'closed', 'informed', now(), now() FROM generate_series(1, 150)"
        )
        conn.execute(
            "INSERT INTO aurion.recordings (call_id, status, started_at)"
            " SELECT id, 'lost', now() - interval '100 days' FROM aurion.calls"
        )
    message = {
        "messageId": "1",
        "body": json.dumps({"version": 1, "tenant_id": str(tenant.tenant_id), "work": "expire"}),
    }
    invoke("recordings_retention", {"Records": [message]}, Context(left_ms=1000))
    assert len(proofs(tenant)) == 100
    rest = messages(aws, queue)
    assert len(rest) == 1
    invoke("recordings_retention", {"Records": rest})
    assert len(proofs(tenant)) == 150


def test_what_the_data_map_gives_days_or_hours_goes_after_them(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    for owner in (tenant, other_tenant):
        with tenant_transaction(owner.tenant_id) as conn:
            for hours in (0, 23, 25, 719, 721):
                at = {"at": NOW - timedelta(hours=hours), "id": f"{hours}"}
                conn.execute(
                    "INSERT INTO aurion.inbox_events (provider, event_id, received_at)"
                    " VALUES ('twilio', %(id)s, %(at)s)",
                    at,
                )
                conn.execute(
                    "INSERT INTO aurion.outbox_messages (kind, subject_id, sent_at)"
                    " VALUES ('call_closed', gen_random_uuid(), %(at)s)",
                    at,
                )
                conn.execute(
                    "INSERT INTO aurion.phone_lines (line_id, updated_at) VALUES (%(id)s, %(at)s)",
                    at,
                )
                conn.execute(
                    "INSERT INTO aurion.attempt_counters (scope, key, last_attempt_at)"
                    " VALUES ('number', %(id)s, %(at)s)",
                    at,
                )
            conn.execute(  # one that never left, however old
                "INSERT INTO aurion.outbox_messages (kind, subject_id, created_at)"
                " VALUES ('call_closed', gen_random_uuid(), %s)",
                (NOW - timedelta(days=90),),
            )
    assert purges.run(tenant.tenant_id, now=NOW) == 1 + 1 + 1 + 3
    left: dict[str, LiteralString] = {
        "inbox": "SELECT count(*) FROM aurion.inbox_events",
        "outbox": "SELECT count(*) FROM aurion.outbox_messages",
        "lines": "SELECT count(*) FROM aurion.phone_lines",
        "counters": "SELECT count(*) FROM aurion.attempt_counters",
    }
    expected = {
        tenant.tenant_id: {"inbox": 4, "outbox": 5, "lines": 4, "counters": 2},
        other_tenant.tenant_id: {"inbox": 5, "outbox": 6, "lines": 5, "counters": 5},
    }
    for owner_id, counts in expected.items():
        with tenant_transaction(owner_id) as conn:
            assert {
                name: (conn.execute(statement).fetchone() or (0,))[0]
                for name, statement in left.items()
            } == counts


def test_no_table_of_days_or_hours_is_forgotten(database: Database, postgres: Postgres) -> None:
    with psycopg.connect(postgres.admin_dsn(database.name)) as conn:
        mapped = data_map.columns(conn)
    short = {entry.table for entry in mapped if entry.retention in ("30d", "24h")}
    assert short == purges.tables() | {"drafts", "live_calls"}


def test_runs_that_are_killed_at_any_moment_leave_nothing_undone(aws: Aws, tenant: Tenant) -> None:
    planted = killed_retention.plant(aws, tenant, recordings=120, kept_days=7, seed=11)
    outcome = killed_retention.run_and_kill(tenant, planted, kills=2, seed=12)
    assert outcome.broken == []
    assert outcome.kills
