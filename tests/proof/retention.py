"""Recordings whose days are over, deleted by runs that are killed again and again."""

import tempfile
from pathlib import Path

import pytest
from aurion import database
from aurion.settings import settings

from local.aws import Aws
from local.postgres import Postgres
from tests import factories, killed_retention
from tests.proof import Proof


def measure(full: bool) -> Proof:
    """Plant recordings around their last day, and kill the runs that delete them."""
    with (
        tempfile.TemporaryDirectory(prefix="aurion-proof-") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        folder.chmod(0o711)  # as root the database runs under an account that must pass
        aws = Aws(folder / "aws.log").start()
        try:
            with Postgres(folder / "postgres", durable=True) as server:
                rows = server.prepare_database("proof")
                for variable, value in {**aws.provision(), **rows.environment()}.items():
                    patch.setenv(variable, value)
                settings.cache_clear()
                try:
                    return _measure(aws, full)
                finally:
                    database.close_pools()
        finally:
            settings.cache_clear()
            aws.stop()


def _measure(aws: Aws, full: bool) -> Proof:
    tenant = factories.make_tenant()
    planted = killed_retention.plant(
        aws, tenant, recordings=6000 if full else 300, kept_days=90, seed=1
    )
    outcome = killed_retention.run_and_kill(tenant, planted, kills=25 if full else 3, seed=2)
    markdown = (
        f"{len(planted.ages):,} recordings around their ninetieth day, {len(planted.restricted):,}"
        f" of them of restricted people; the run that deletes them was killed (SIGKILL)"
        f" {outcome.kills} times at random moments, which left up to {outcome.halves:,} rows"
        f" decided and not yet done. Afterwards {len(planted.due):,} were gone, each with one"
        f" proof; no object was without a row and no row without its object:"
        f" {len(outcome.broken)} faults."
    )
    return Proof("Retention, killed at any moment", markdown, outcome.broken)
