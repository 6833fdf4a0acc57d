"""The whole product around a room: rows, AWS, the demo desk, speech, a voice server, a worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_container.speech.process import SpeechProcess
from local.aws import Aws
from local.desk.process import DeskProcess, start_desk
from local.postgres import Database
from tests.livekit_server import LiveKitServer
from tests.room_calls import Worker
from tests.typed_calls import Company, make_company


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
def company(aws: Aws, database: Database, desk: DeskProcess) -> Company:
    return make_company(desk)


@pytest.fixture
def worker(
    livekit: LiveKitServer, company: Company, speech_process: SpeechProcess, tmp_path: Path
) -> Iterator[Worker]:
    with Worker(livekit, tmp_path, {"SPEECH_SOCKET": str(speech_process.socket)}) as running:
        yield running
