"""The whole product around a room: rows, AWS, the demo desk, speech, a voice server, a worker."""

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from aurion.tenants import Tenant

from agent_container.speech.process import SpeechProcess
from local.aws import Aws
from local.desk.process import DeskProcess, start_desk
from local.postgres import Database
from tests import crashes
from tests.canaries import CanaryCall
from tests.conftest import COMPANY_TEMPLATE
from tests.crashes import Killing
from tests.integration.local.conftest import start_up, stop
from tests.livekit_server import LiveKitServer
from tests.room_calls import Worker
from tests.sound_calls import SoundCalls, call_everybody
from tests.stack_calls import Phone
from tests.typed_calls import Company, move_in


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with LiveKitServer(tmp_path_factory.mktemp("livekit") / "server.log") as server:
        yield server


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskProcess]:
    running = start_desk(tmp_path_factory.mktemp("desk") / "desk.sqlite", "desk-token")
    yield running
    running.stop()


@pytest.fixture
def template(demo_company: Tenant) -> str:
    return COMPANY_TEMPLATE


@pytest.fixture
def company(aws: Aws, database: Database, demo_company: Tenant, desk: DeskProcess) -> Company:
    return move_in(demo_company, desk)


@pytest.fixture
def worker(
    livekit: LiveKitServer, company: Company, speech_process: SpeechProcess, tmp_path: Path
) -> Iterator[Worker]:
    with Worker(livekit, tmp_path, {"SPEECH_SOCKET": str(speech_process.socket)}) as running:
        yield running


@pytest.fixture(scope="session")
def phone(run_directory: Path) -> Iterator[Phone]:
    """A telephone beside a whole stack of its own, whose database is durable."""
    running = start_up(run_directory / "called", "--durable")
    telephone = Phone(running)
    yield telephone
    telephone.close()
    assert stop(running) == 128 + signal.SIGTERM


@pytest.fixture(scope="session")
def sound_calls(phone: Phone, killed_agents: Future[list[Killing]]) -> SoundCalls:
    """Everybody who calls by sound."""
    spoken = CanaryCall("alice")
    keyed = CanaryCall("alice", keyed=True, claude=True, person=True)
    return call_everybody(phone, [spoken, keyed])


@pytest.fixture(scope="session")
def killed_agents(phone: Phone, busy: Executor) -> Future[list[Killing]]:
    """Agents that are killed while the others call."""
    return busy.submit(crashes.kill_agents, phone, typed=4, spoken=1, spoken_s=60, seed=20261124)


@pytest.fixture(scope="session")
def busy() -> Iterator[Executor]:
    """What goes on beside the tests."""
    with ThreadPoolExecutor(1) as work:
        yield work
