"""Retention in a process of its own that is killed again and again, then held to what must be left.

What has to be left is worked out here from the planted ages, apart from the product's SQL.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from aurion import storage
from aurion.database import tenant_transaction
from aurion.settings import settings

from local.aws import Aws
from tests.factories import Tenant

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)

_RUN = """
import sys, uuid
from datetime import datetime
from aurion import database, retention
print("ready", flush=True)
done = retention.expire(uuid.UUID(sys.argv[1]), now=datetime.fromisoformat(sys.argv[2]))
print(done.deleted, flush=True)
database.close_pools()
"""


@dataclass(slots=True)
class Planted:
    """Recordings by their age, and which of them must be gone afterwards."""

    ages: dict[UUID, timedelta]
    restricted: set[UUID]
    kept_days: int

    @property
    def due(self) -> set[UUID]:
        """Whose days are over, and who may be touched."""
        days = timedelta(days=self.kept_days)
        return {call for call, age in self.ages.items() if age >= days} - self.restricted


@dataclass(slots=True)
class Outcome:
    """What the kills came to; `halves` is the most rows that killed runs had left decided."""

    kills: int = 0
    halves: int = 0
    took_s: float = 0.0
    broken: list[str] = field(default_factory=list)


def plant(aws: Aws, tenant: Tenant, *, recordings: int, kept_days: int, seed: int) -> Planted:
    """Plant recordings around the last day, some of people who are restricted."""
    chance = random.Random(seed)
    person = uuid4()
    ages = {
        UUID(int=chance.getrandbits(128), version=4): timedelta(
            days=kept_days + chance.choice((-30, -1, 0, 1, 30)), seconds=chance.randrange(2)
        )
        for _ in range(recordings)
    }
    restricted = set(chance.sample(sorted(ages), k=recordings // 10))
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("UPDATE aurion.tenants SET retention_days = %s", (kept_days,))
        conn.execute(
            "INSERT INTO aurion.people (id, name, name_norm, email, email_norm, restricted)"
            " VALUES (%s, 'R', 'r', 'r@example.com', 'r@example.com', true)",
            (person,),
        )
        with conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO aurion.calls"
                " (id, channel, status, outcome, ended_at, lease_until, started_at, person_id)"
                " VALUES (%s, 'phone', 'closed', 'informed', %s, %s, %s, %s)",
                [
                    (call, *[NOW - age] * 3, person if call in restricted else None)
                    for call, age in ages.items()
                ],
            )
            cursor.executemany(
                "INSERT INTO aurion.recordings (call_id, status, object_key, started_at, stored_at)"
                " VALUES (%s, 'stored', %s, %s, now())",
                [
                    (call, storage.recording_key(tenant.tenant_id, call), NOW - age)
                    for call, age in ages.items()
                ],
            )
    s3 = aws.client("s3")

    def put(call: UUID) -> None:
        key = storage.recording_key(tenant.tenant_id, call)
        s3.put_object(Bucket=settings().recordings_bucket, Key=key, Body=b"OggS")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, ages))
    return Planted(ages, restricted, kept_days)


def run_and_kill(tenant: Tenant, planted: Planted, *, kills: int, seed: int) -> Outcome:
    """Start runs and kill each after a while, until one ends by itself after enough kills."""
    chance = random.Random(seed)
    outcome = Outcome()
    began = time.monotonic()
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(tenant.tenant_id), NOW.isoformat()],
            env=os.environ,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if outcome.kills == kills:
            assert process.wait(300) == 0
            process.stdout.close()
            break
        time.sleep(chance.uniform(0.02, 1.2))
        outcome.kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        outcome.halves = max(outcome.halves, _decided(tenant))
        if not _left_to_do(tenant, planted) and outcome.kills < kills:
            break  # this machine was faster than the kills
    outcome.took_s = time.monotonic() - began
    outcome.broken = judge(tenant, planted)
    return outcome


def judge(tenant: Tenant, planted: Planted) -> list[str]:
    """Hold rows, objects and proofs against what was planted."""
    left = set(planted.ages) - planted.due
    rows = _calls(tenant, "recordings")
    keys = [one.object_key for page in storage.list_recordings(tenant.tenant_id) for one in page]
    objects = {storage.call_of_key(key) for key in keys}
    proofs = Counter(_calls(tenant, "recording_deletions"))
    return [
        *(f"kept too long: {call}" for call in planted.due & (set(rows) | objects)),
        *(f"gone too early: {call}" for call in left - set(rows)),
        *(f"a row without an object: {call}" for call in set(rows) - objects),
        *(f"an object without a row: {call}" for call in objects - set(rows)),
        *(f"no proof: {call}" for call in planted.due - set(proofs)),
        *(f"{number} proofs: {call}" for call, number in proofs.items() if number != 1),
        *(f"a proof of what is there: {call}" for call in set(proofs) & left),
    ]


def _calls(tenant: Tenant, table: str) -> list[Any]:
    with tenant_transaction(tenant.tenant_id) as conn:
        if table == "recordings":
            rows = conn.execute("SELECT call_id FROM aurion.recordings").fetchall()
        else:
            rows = conn.execute("SELECT call_id FROM aurion.recording_deletions").fetchall()
    return [row[0] for row in rows]


def _decided(tenant: Tenant) -> int:
    with tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute(
            "SELECT count(*) FROM aurion.recordings WHERE status = 'deleted'"
        ).fetchone()
    assert row is not None
    return row[0]


def _left_to_do(tenant: Tenant, planted: Planted) -> bool:
    return bool(planted.due & set(_calls(tenant, "recordings")))
