"""What tests stand on: a real PostgreSQL, local AWS, tenants in a database of the test's own."""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aurion import database as aurion_database
from aurion.settings import settings
from aurion.tenants import Tenant
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from local import aws as local_aws
from local import postgres as local_postgres
from local import processes
from local.aws import Aws
from local.postgres import Database, Postgres
from tests import factories
from tests.speech_fixtures import speech, speech_process  # noqa: F401  # fixtures

# Tests that share a stack too dear to start twice go to one worker; the others go file by file.
_SHARED_STACKS = {
    "tests/infra/test_agents.py": "cloud",
    "tests/infra/test_cell_rights.py": "cloud",
    "tests/infra/test_frozen.py": "cloud",
    "tests/infra/test_grants.py": "cloud",
    "tests/infra/test_policies.py": "cloud",
    "tests/e2e/test_callers.py": "called stack",
    "tests/e2e/test_canary.py": "called stack",
    "tests/e2e/test_crashes.py": "called stack",
    "tests/integration/local/test_commands.py": "operated stack",
    "tests/integration/local/test_scan.py": "operated stack",
    "tests/integration/local/test_stack.py": "operated stack",
    "tests/integration/local/test_telephony.py": "operated stack",
}
# In this order, so that no worker is left with a long one when the others have nothing to do any
# more, and no more than two of the first ones talk at a time: those who hear and speak are many.
_LONGEST_FIRST = (
    "called stack",
    "tests/e2e/test_lost_agents.py",
    "operated stack",
    "tests/e2e/test_from_ring_to_ticket.py",
    "tests/integration/aurion/test_callers.py",
    "tests/e2e/test_trouble.py",
    "tests/integration/agent/test_desk_agent.py",
    "tests/e2e/test_room_call.py",
    "tests/unit/agent_container/test_recorder.py",
    "cloud",
    "tests/load/",
    "tests/evals/",
    "tests/e2e/",
    "tests/integration/",
    "tests/infra/",
    "tests/browser/",
)
_RUN_PREFIX = "tests-of-aurion-"
_TEMPLATE = "template_aurion"
COMPANY_TEMPLATE = "template_company"

# A test must never reach an account or a paid provider because the shell that started it could.
for _name in list(os.environ):
    if _name == "LIVEKIT_SERVER":
        continue  # where the binary is, not whose server it reaches
    if _name.startswith("AWS_") or _name.endswith("_API_KEY") or _name.startswith("LIVEKIT_"):
        del os.environ[_name]
os.environ.update(local_aws.client_environment(endpoint="http://127.0.0.1:9"))


class _ByStack(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Hand tests out by the stack they share, in the order in which they were collected."""
    config.option.loadscopereorder = False  # it begins with the many short ones
    return _ByStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have a worker's tests in the order in which they are handed out."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: _turn(_group(item.nodeid)))


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return _SHARED_STACKS.get(file, file)


def _turn(group: str) -> int:
    places = (at for at, first in enumerate(_LONGEST_FIRST) if group.startswith(first))
    return next(places, len(_LONGEST_FIRST))


@pytest.fixture(scope="session")
def run_directory() -> Iterator[Path]:
    """A directory of this test process; what a killed run left is ended and removed first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_RUN_PREFIX}*"):
        pid = left.name.removeprefix(_RUN_PREFIX).split("-")[0]
        if not psutil.pid_exists(int(pid)):
            _end_run(left)
    directory = Path(tempfile.mkdtemp(prefix=f"{_RUN_PREFIX}{os.getpid()}-"))
    directory.chmod(0o711)  # as root the database runs under an account that must pass through
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(run_directory: Path) -> Iterator[Postgres]:
    """One cluster per test process, with a migrated database to copy."""
    with Postgres(run_directory / "postgres") as server:
        _note(run_directory, "postgres", server.pid)
        server.prepare_database(_TEMPLATE)
        yield server


@pytest.fixture(scope="session")
def demo_company(postgres: Postgres, aws: Aws) -> Tenant:
    """The demo company in a database to copy, made once: hashing badges is slow on purpose."""
    prepared = postgres.clone_database(_TEMPLATE, COMPANY_TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in prepared.environment().items():
            patch.setenv(variable, value)
        settings.cache_clear()
        tenant = factories.add_demo_company()
        aurion_database.close_pools()
    settings.cache_clear()
    return tenant


@pytest.fixture
def template(postgres: Postgres) -> str:
    """The database that each test gets a copy of."""
    return _TEMPLATE


@pytest.fixture
def database(
    postgres: Postgres, template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """A fresh copy of the migrated database, which `aurion.database` uses as aurion_app."""
    name = f"test_{uuid.uuid4().hex}"
    fresh = postgres.clone_database(template, name)
    for variable, value in fresh.environment().items():
        monkeypatch.setenv(variable, value)
    settings.cache_clear()
    yield fresh
    aurion_database.close_pools()
    monkeypatch.undo()
    settings.cache_clear()
    postgres.drop_database(name)


@pytest.fixture(scope="session")
def aws(run_directory: Path) -> Iterator[Aws]:
    """Local AWS with keys, bucket and queues, one per test process, set in its environment."""
    server = Aws(run_directory / "aws.log").start()
    _note(run_directory, "moto", server.pid)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in server.provision().items():
            patch.setenv(variable, value)
        settings.cache_clear()
        yield server
    settings.cache_clear()
    server.stop()


@pytest.fixture
def tenant(database: Database) -> factories.Tenant:
    """The company of the test."""
    return factories.make_tenant("Meridian Works", languages=("en", "fr"))


@pytest.fixture
def other_tenant(database: Database) -> factories.Tenant:
    """Another company, which must see nothing of the first."""
    return factories.make_tenant("Nordlicht Energie", languages=("de", "en"))


def _note(directory: Path, name: str, pid: int | None) -> None:
    assert pid is not None
    marked = processes.mark(name, pid)
    line = json.dumps({"name": name, "pid": pid, "started_at": marked.started_at})
    with (directory / "processes.jsonl").open("a") as notes:
        notes.write(line + "\n")


def _end_run(directory: Path) -> None:
    notes = directory / "processes.jsonl"
    if notes.exists():
        lines = notes.read_text().splitlines()
        processes.end(processes.StartedProcess(**json.loads(line)) for line in lines)
    local_postgres.end_orphan(directory / "postgres")
    shutil.rmtree(directory, ignore_errors=True)
