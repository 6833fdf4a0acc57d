"""Agents that are killed in the middle of a call: another one goes on, or the call is closed."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aurion import database, live_calls, recordings, sweeps, tickets
from aurion.calls import Call

from agent_container.speech.process import SpeechProcess
from tests.livekit_server import LiveKitServer
from tests.lost_agents import ALICE, phone, ring, silence_after
from tests.room_calls import Worker
from tests.typed_calls import Company

# What holds on a quiet machine is measured by `python -m tests.proof lost_agents`; the machine that
# runs tests is busy.
_PATIENCE = 3.0


@pytest.fixture
def another_worker(
    livekit: LiveKitServer, company: Company, speech_process: SpeechProcess, tmp_path: Path
) -> Iterator[Worker]:
    folder = tmp_path / "another"
    folder.mkdir()
    with Worker(livekit, folder, {"SPEECH_SOCKET": str(speech_process.socket)}) as running:
        yield running


def recording(company: Company, call: Call) -> recordings.Recording:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        return recordings.get(conn, call.id)


async def test_the_agent_after_a_killed_one_is_heard_at_once_and_knows_the_call(
    company: Company, livekit: LiveKitServer, worker: Worker
) -> None:
    call, token = ring(company)
    async with phone(livekit, company, token) as alice:
        await alice.greeting()
        await alice.turn_given()
        for file in ALICE[:3]:  # name, badge, what is wrong
            await alice.say(file)
        killed_at = time.perf_counter()
        heard_s = await silence_after(worker.kill_call, alice)
        for file in ALICE[3:]:  # "it did not help" means nothing to an agent that knows nothing
            if not alice.hung_up.is_set():
                await alice.say(file)
        async with asyncio.timeout(30):
            await alice.hung_up.wait()
    async with asyncio.timeout(30):
        while company.row(call).status != "closed":
            await asyncio.sleep(0.1)
    print(f"the next agent was heard {heard_s:.2f} s after the kill")
    row = company.row(call)
    assert (row.outcome, row.level, row.epoch) == ("ticket", 1, 2)
    opened = [found for found in (await company.tickets()).values() if "VPN" in found.summary]
    assert len(opened) == 1
    assert heard_s < 1.5 * _PATIENCE
    async with asyncio.timeout(30):  # the worker forgets the call when its process has ended
        while live_calls.take_silent(silent_s=0):
            await asyncio.sleep(1)
    async with asyncio.timeout(30):
        while (made := recording(company, call)).status == "recording":
            await asyncio.sleep(0.1)
    assert made.status == "stored"
    assert made.duration_ms
    # One recording holds both agents.
    assert made.duration_ms / 1000 > killed_at - alice.joined_at + 1


async def test_another_worker_takes_over_from_one_that_is_gone(
    company: Company, livekit: LiveKitServer, worker: Worker, another_worker: Worker
) -> None:
    call, token = ring(company)
    async with phone(livekit, company, token) as alice:
        await alice.greeting()
        await alice.turn_given()
        lost, left = (worker, another_worker) if worker.active_calls() else (another_worker, worker)
        assert left.active_calls() == 0
        heard_s = await silence_after(lost.kill, alice)
        assert left.active_calls() == 1
        assert company.row(call).epoch == 2
    print(f"another worker's agent was heard {heard_s:.2f} s after the kill")
    assert heard_s < 6.0 * _PATIENCE / 2


async def test_a_call_that_nobody_takes_over_is_closed_once(
    company: Company, livekit: LiveKitServer, worker: Worker
) -> None:
    call, token = ring(company)
    tenant_id = company.tenant.tenant_id
    async with phone(livekit, company, token) as alice:
        await alice.greeting()
        worker.kill()
        with database.tenant_transaction(tenant_id) as conn:
            assert sweeps.close_expired(tenant_id) == []  # somebody may still come
            conn.execute("UPDATE aurion.calls SET lease_until = clock_timestamp()")
        connector = company.connector()
        rounds = await asyncio.gather(*(sweeps.tend(tenant_id, connector) for _ in range(3)))
        left = await connector.find_ticket_by_key(tickets.callback_key(call.id))
        await connector.aclose()
    assert sum(done.interrupted for done in rounds) == 1
    assert sum(done.drafts.delivered for done in rounds) == 1
    assert company.row(call).outcome == "interrupted"
    assert left is not None
    assert left.kind == "callback"
