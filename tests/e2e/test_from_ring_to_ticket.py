"""One path: a ringing number, the webhook's answer, the room it names, the agent, the ticket."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aurion import calls, database, phone_lines, recordings, storage
from aurion.calls import Call

from agent_container.speech.process import SpeechProcess
from local import telephone
from tests import recorded_calls
from tests.hooked_calls import CALLED, CALLING, Hooks, hooks_of
from tests.recorded_calls import CALLERS
from tests.room_calls import PhoneCaller, Worker
from tests.typed_calls import Company


@pytest.fixture
def hooks(company: Company, tmp_path: Path) -> Iterator[Hooks]:
    with hooks_of(company, tmp_path, triggers=False) as running:
        yield running


@pytest.fixture
def worker(hooks: Hooks, speech_process: SpeechProcess, tmp_path: Path) -> Iterator[Worker]:
    with Worker(hooks.voice, tmp_path, {"SPEECH_SOCKET": str(speech_process.socket)}) as running:
        yield running


async def test_a_signed_request_leads_alice_to_her_ticket(
    company: Company, hooks: Hooks, worker: Worker, tmp_path: Path
) -> None:
    line = await asyncio.to_thread(telephone.ring, dialled_number=CALLED, calling_number=CALLING)
    call = call_of(company, line)
    assert (call.status, call.channel) == ("ringing", "phone")
    assert (call.dialled_number, call.calling_number) == (CALLED, CALLING)

    tenant_id = str(company.tenant.tenant_id)
    async with PhoneCaller(hooks.voice, token=line.token, tenant_id=tenant_id) as alice:
        greeted_s = await alice.greeting()
        await alice.turn_given()
        for file in sorted((CALLERS / "alice").glob("*.wav")):
            if not alice.hung_up.is_set():
                await alice.say(file)
        async with asyncio.timeout(30):
            await alice.hung_up.wait()
    async with asyncio.timeout(30):
        while (row := call_of(company, line)).status != "closed":
            await asyncio.sleep(0.1)
    await asyncio.to_thread(telephone.hang_up, line)
    print(f"greeting {greeted_s:.2f} s after joining, replies after {alice.reply_ms} ms")

    assert greeted_s < 5
    assert (row.id, row.outcome, row.level, row.epoch) == (call.id, "ticket", 1, 1)
    assert len(alice.reply_ms) >= 5
    assert any(
        ticket.kind == "incident" and "VPN" in ticket.summary
        for ticket in (await company.tickets()).values()
    )
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        noted = phone_lines.find(conn, line.id)
    assert noted is not None
    # An agent has served the caller: there is nothing to offer them.
    assert (noted.status, noted.offered, noted.chosen) == ("completed", "nothing", None)
    assert await told_of_the_room(company) >= 4

    await assert_recorded(company, call, tmp_path)
    assert not list(worker.recordings.rglob("*.ogg*"))
    written = [worker.log, hooks.voice.log, *hooks.logs.rglob("*.log")]
    log = "".join(path.read_text() for path in written)
    for private in ("471129", "Alice", CALLING):
        assert private not in log


def call_of(company: Company, line: telephone.Line) -> Call:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        found = calls.find_by_provider_id(conn, line.id)
    assert found is not None
    return found


async def told_of_the_room(company: Company, within_s: float = 20.0) -> int:
    """Wait until the voice server has told of the room's end; how many events were noted."""
    counted = 0
    async with asyncio.timeout(within_s):
        while counted < 4:
            with database.tenant_transaction(company.tenant.tenant_id) as conn:
                row = conn.execute(
                    "SELECT count(*) FROM aurion.inbox_events WHERE provider = 'livekit'"
                ).fetchone()
            counted = row[0] if row else 0
            await asyncio.sleep(0.1)
    return counted


async def assert_recorded(company: Company, call: Call, tmp_path: Path) -> None:
    async with asyncio.timeout(30):
        while True:
            with database.tenant_transaction(company.tenant.tenant_id) as conn:
                made = recordings.get(conn, call.id)
            if made.status != "recording":
                break
            await asyncio.sleep(0.1)
    assert made.status == "stored"
    assert made.object_key
    heard = tmp_path / "heard.ogg"
    heard.write_bytes(storage.get_recording(made.object_key))
    sound = recorded_calls.decode(heard)
    assert np.abs(sound[1]).max() > 0.1
    assert made.guarded_intervals[0][0] == 0  # the call begins with name and badge
    for start, end in made.guarded_intervals:
        assert not recorded_calls.stretch(sound, start / 1000, end / 1000)[0].any()
    assert np.abs(sound[0]).max() > 0.05
