"""Verification: parallel guesses, and whether the time of an answer tells who is meant."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aurion import database, tenants
from aurion.database import tenant_transaction
from aurion.settings import settings
from aurion.tenants import Tenant

from local.aws import Aws
from local.postgres import Postgres
from tests import factories, verification_times
from tests.proof import Proof


def measure(full: bool) -> Proof:
    """Guess at one person from many calls at once, then time refusals of three kinds."""
    runs, guesses = (200, 60) if full else (4, 8)
    broken: list[str] = []
    with _company() as company:
        ended = verification_times.guess_in_parallel(company, "Alice Martin", guesses)
    if ended["wrong_badge"] != 5:
        broken.append(f"{ended['wrong_badge']} of {guesses} parallel guesses were evaluated")
    with _company() as company:
        times = verification_times.measure(company, runs)
    if times.work_ratio >= 1.12:
        broken.append(f"the work of refusals differs by a factor of {times.work_ratio:.2f}")
    if full and times.spread_ms >= times.allowed_ms:
        broken.append(f"refusals lie {times.spread_ms:.1f} ms apart")
    medians = " · ".join(f"{kind} {ms:.0f} ms" for kind, ms in times.medians_ms.items())
    markdown = (
        f"{guesses} guesses at one person at once, from as many calls: **{ended['wrong_badge']}"
        f" compared** with the badge, the others refused by a limit (and as slowly).\n\n"
        f"Median time of a refusal over {runs} rounds: {medians}. Unknown and locked people differ"
        f" from a known one by **{times.spread_ms:.1f} ms** (median of rounds; the machine's own"
        f" noise: {times.noise_ms:.1f} ms standard error). Their processor time differs by"
        f" {100 * (times.work_ratio - 1):.1f} %."
    )
    return Proof("Verification: one answer for everybody", markdown, broken)


@contextmanager
def _company() -> Iterator[Tenant]:
    """Give a company of three people on a database and a key service of their own."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="aurion-proof-") as folder:
        Path(folder).chmod(0o711)  # as root the database runs under an account that must pass
        aws = Aws(Path(folder) / "aws.log").start()
        try:
            with Postgres(Path(folder) / "postgres") as server:
                prepared = server.prepare_database("aurion")
                os.environ.update({**aws.provision(), **prepared.environment()})
                settings.cache_clear()
                made = factories.make_tenant(f"Proof {uuid.uuid4().hex[:6]}")
                with tenant_transaction(made.tenant_id) as conn:
                    company = tenants.get(conn)
                factories.make_people(
                    company, {"Alice Martin": "471129", "Tom Becker": "803556", "Jo Lee": None}
                )
                yield company
                database.close_pools()
        finally:
            aws.stop()
            os.environ.clear()
            os.environ.update(before)
            settings.cache_clear()
