"""Attempts to verify callers, made to measure them: at once, one after the other, and cut off."""

import os
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aurion import calls, tenants
from aurion.callers import verify
from aurion.database import tenant_transaction
from aurion.tenants import Tenant

WRONG = "000000"


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in ms per kind of refusal, and how far the kinds lie apart round by round.

    `noise_ms` is what the machine alone does: the standard error of the median distance between two
    series of the same kind.
    `work_ratio` compares the kinds' least processor time, which a busy machine hardly changes: one
    comparison more or less would be a quarter.
    """

    medians_ms: dict[str, float]
    spread_ms: float
    noise_ms: float
    work_ratio: float

    @property
    def allowed_ms(self) -> float:
        """How far the kinds may lie apart: 15 ms, or what this machine cannot tell apart."""
        return max(15.0, 3 * self.noise_ms)


def new_call(company: Tenant) -> uuid.UUID:
    with tenant_transaction(company.tenant_id) as conn:
        return calls.start(conn, channel="phone").id


def measure(company: Tenant, runs: int) -> Times:
    """Time refusals of a known, an unknown and a locked person, in rounds of one each.

    The company needs an Alice Martin and a Tom Becker; Tom is locked for it.
    """
    names = {
        "known": "this is Alice Martin",
        "unknown": "this is Zora Nobody",
        "locked": "this is Tom Becker",
        "known again": "this is Alice Martin",
    }
    times: dict[str, list[float]] = {kind: [] for kind in names}
    work: dict[str, list[float]] = {kind: [] for kind in names}
    for name in names.values():
        _attempt(company, name)  # the first of each fills caches and pools
    for round_number in range(runs):
        kinds = list(names)
        kinds = kinds[round_number % 4 :] + kinds[: round_number % 4]
        for kind in kinds:
            took, worked = _attempt(company, names[kind])
            times[kind].append(took)
            work[kind].append(worked)
    least = [min(series) for series in work.values()]
    distances = {
        kind: [this - that for this, that in zip(times[kind], times["known"], strict=True)]
        for kind in names
    }
    apart = {kind: statistics.median(series) for kind, series in distances.items()}
    return Times(
        medians_ms={kind: statistics.median(series) for kind, series in times.items()},
        spread_ms=max(abs(apart["unknown"]), abs(apart["locked"])),
        noise_ms=1.25 * statistics.stdev(distances["known again"]) / runs**0.5,
        work_ratio=max(least) / min(least),
    )


def guess_in_parallel(company: Tenant, name: str, guesses: int) -> Counter[str]:
    """Guess at one person from many calls and numbers at once; count how the attempts ended."""
    ids = [new_call(company) for _ in range(guesses)]

    def guess(number: int) -> None:
        verify(
            company,
            call_id=ids[number],
            calling_number=f"+336000000{number // 5:02d}",
            heard=[name],
            badges=[f"{number:06d}"],
        )

    with ThreadPoolExecutor(guesses) as threads:
        list(threads.map(guess, range(guesses)))
    with tenant_transaction(company.tenant_id) as conn:
        rows = conn.execute("SELECT reason FROM aurion.verification_attempts").fetchall()
    return Counter(row[0] for row in rows)


def crash_after_reserving(company: Tenant, call_id: uuid.UUID, name: str) -> None:
    """Let another process make an attempt, and kill it as soon as the attempt is reserved."""
    arguments = [sys.executable, "-m", "tests.verification_times"]
    arguments += [str(company.tenant_id), str(call_id), name]
    process = subprocess.Popen(arguments, env=dict(os.environ))
    try:
        while process.poll() is None:
            with tenant_transaction(company.tenant_id) as conn:
                row = conn.execute(
                    "SELECT 1 FROM aurion.verification_attempts WHERE call_id = %s", (call_id,)
                ).fetchone()
            if row is not None:
                break
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def _attempt(company: Tenant, name: str) -> tuple[float, float]:
    """Return how long a refusal took, and how long the processor worked for it, in ms."""
    with tenant_transaction(company.tenant_id) as conn:
        conn.execute("DELETE FROM aurion.attempt_counters")
        conn.execute(
            "UPDATE aurion.people SET failed_attempts ="
            " CASE WHEN name = 'Tom Becker' THEN 10 ELSE 0 END"
        )
    call_id = new_call(company)
    started, working = time.perf_counter(), time.process_time()
    answer = verify(
        company,
        call_id=call_id,
        calling_number="+33612345678",
        heard=[name],
        badges=[WRONG],
    )
    took, worked = time.perf_counter() - started, time.process_time() - working
    assert answer.outcome == "refused"
    return took * 1000, worked * 1000


def _make_one_attempt(tenant_id: str, call_id: str, name: str) -> None:
    with tenant_transaction(uuid.UUID(tenant_id)) as conn:
        company = tenants.get(conn)
    verify(
        company,
        call_id=uuid.UUID(call_id),
        calling_number="+33612345678",
        heard=[name],
        badges=[WRONG],
    )


if __name__ == "__main__":
    _make_one_attempt(*sys.argv[1:])
