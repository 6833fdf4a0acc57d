"""The real worker where ECS runs it: protected before a call, healthy, and gone when replaced."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aurion.rooms import Errand
from livekit import api

from agent_container import health
from agent_container.speech.process import SpeechProcess
from local.aws import Aws
from tests.e2e.test_room_call import ring
from tests.ecs_services import Service
from tests.livekit_server import API_KEY, API_SECRET, LiveKitServer
from tests.providers.ecs_agent import EcsAgent
from tests.room_calls import Worker
from tests.typed_calls import Company


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="task-") as name:
        yield Path(name)


@pytest.fixture
def service(aws: Aws) -> Iterator[Service]:
    with Service(aws) as running:
        yield running


@pytest.fixture
def agent(service: Service) -> Iterator[EcsAgent]:
    with service.agent() as running:
        yield running


def worker_in_a_task(
    server: LiveKitServer, agent: EcsAgent, speech: SpeechProcess, folder: Path
) -> Worker:
    environment = {
        **agent.environment(),
        "SPEECH_SOCKET": str(speech.socket),
        "HEALTH_SOCKET": str(folder / "health.sock"),
    }
    return Worker(server, folder, environment)


def check(folder: Path, question: str) -> int:
    """Ask as the container's health check does."""
    return subprocess.run(
        [sys.executable, "-m", "agent_container.health", question],
        env={"HEALTH_SOCKET": str(folder / "health.sock")},
        capture_output=True,
        check=False,
    ).returncode


async def agents_in(room: str, server: LiveKitServer) -> list[str]:
    async with api.LiveKitAPI(server.url.replace("ws", "http"), API_KEY, API_SECRET) as asked:
        found = await asked.room.list_participants(api.ListParticipantsRequest(room=room))
    return [participant.identity for participant in found.participants]


async def dispatch(room: str, company: Company, server: LiveKitServer) -> None:
    async with api.LiveKitAPI(server.url.replace("ws", "http"), API_KEY, API_SECRET) as asked:
        await asked.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(
                agent_name="aurion", room=room, metadata=Errand(company.tenant.tenant_id).to_json()
            )
        )


async def until(true: object, *, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # type: ignore[operator]
            await asyncio.sleep(0.05)


async def test_worker_is_protected_before_it_has_a_call_and_outlives_a_lost_voice_server(
    company: Company, agent: EcsAgent, speech_process: SpeechProcess, folder: Path
) -> None:
    assert check(folder, "healthy") == 1, "nothing runs yet"
    with ExitStack() as held:
        server = held.enter_context(LiveKitServer(folder / "livekit.log"))
        worker = worker_in_a_task(server, agent, speech_process, folder)
        held.push(worker)
        worker.__enter__()
        await until(lambda: check(folder, "ready") == 0)
        assert check(folder, "healthy") == 0
        assert agent.take_asked() == [], "an idle task may be ended"
        metrics = [
            json.loads(line) for line in worker.log.read_text().splitlines() if '"_aws"' in line
        ]
        assert metrics[0]["ActiveCallsPerTask"] == 0
        assert metrics[0]["agent_name"] == "aurion"

        _, token = ring(company)
        agent.takes_s = 1.5
        await dispatch(f"call-{token}", company, server)
        await until(lambda: agent.asked)
        asked_at = agent.asked[0][0]
        while time.perf_counter() < asked_at + 1.2:
            assert await agents_in(f"call-{token}", server) == []
            assert worker.active_calls() == 0
            await asyncio.sleep(0.1)
        await until(worker.active_calls)
        assert agent.protected
        assert agent.take_asked() == [True]

        server.__exit__()
        socket = folder / "health.sock"
        await until(lambda: health.ask(socket).get("registered") is False)
        assert check(folder, "ready") == 1
        assert check(folder, "healthy") == 0, "its calls must not be ended for that"


async def test_worker_that_was_replaced_leaves_by_itself(
    company: Company,
    livekit: LiveKitServer,
    service: Service,
    agent: EcsAgent,
    speech_process: SpeechProcess,
    folder: Path,
) -> None:
    service.release()
    with worker_in_a_task(livekit, agent, speech_process, folder) as worker:
        assert await worker.exit_code() == 0
    assert agent.take_asked() == [True, False]
    assert not (folder / "health.sock").exists()
