"""Calls through a real room: a caller on the telephone side, the real worker, everything behind."""

import asyncio
import secrets
import time
from typing import Any

import pytest
from aurion import calls, database, recordings
from aurion.calls import Call

from tests.livekit_server import LiveKitServer
from tests.recorded_calls import CALLERS
from tests.room_calls import PhoneCaller, Worker
from tests.typed_calls import Company


def ring(company: Company) -> tuple[Call, str]:
    """Note a call that rings, as the telephone side's request does."""
    token = secrets.token_urlsafe(24)
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        call = calls.start(conn, channel="phone", calling_number="+33199000101", token=token)
    return call, token


async def closed_call(company: Company, call: Call, *, within_s: float = 30.0) -> Call:
    async with asyncio.timeout(within_s):
        while (row := company.row(call)).status != "closed":
            await asyncio.sleep(0.1)
    return row


async def stored_recording(company: Company, call: Call) -> recordings.Recording:
    async with asyncio.timeout(30):
        while True:
            with database.tenant_transaction(company.tenant.tenant_id) as conn:
                row = recordings.get(conn, call.id)
            if row.status != "recording":
                return row
            await asyncio.sleep(0.1)


def outbox_rows(company: Company, call: Call) -> list[tuple[Any, ...]]:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        return conn.execute(
            "SELECT kind FROM aurion.outbox WHERE subject_id = %s", (call.id,)
        ).fetchall()


async def test_a_badge_that_is_keyed_verifies_too(
    company: Company, livekit: LiveKitServer, worker: Worker
) -> None:
    call, token = ring(company)
    files = sorted((CALLERS / "alice").glob("*.wav"))
    tenant_id = str(company.tenant.tenant_id)
    async with PhoneCaller(livekit, token=token, tenant_id=tenant_id) as alice:
        await alice.greeting()
        await alice.turn_given()
        await alice.say(files[0])
        async with PhoneCaller(
            livekit, token=token, tenant_id=tenant_id, identity="colleague", kind="standard"
        ) as colleague:
            await alice.press("471", wait=False)
            await colleague.press("5", wait=False)  # not the caller's key
            await alice.press("129#")
        async with asyncio.timeout(30):
            while company.row(call).level != 1:
                await asyncio.sleep(0.1)
    # The caller has hung up: the agent notices and closes the call by itself.
    row = await closed_call(company, call)
    assert row.person_id is not None
    assert row.level == 1
    async with asyncio.timeout(20):
        while worker.active_calls():
            await asyncio.sleep(0.2)
    log = worker.log.read_text() + livekit.log.read_text()
    assert "471129" not in log


async def test_a_killed_agent_is_replaced_while_the_caller_waits(
    company: Company, livekit: LiveKitServer, worker: Worker
) -> None:
    call, token = ring(company)
    files = sorted((CALLERS / "alice").glob("*.wav"))
    tenant_id = str(company.tenant.tenant_id)
    async with PhoneCaller(livekit, token=token, tenant_id=tenant_id) as alice:
        await alice.greeting()
        await alice.turn_given()
        for file in files[:2]:
            await alice.say(file)
        killed_at = time.perf_counter()
        worker.kill_call()
        async with asyncio.timeout(18):
            while alice.heard_last_at < killed_at + 0.5:
                await asyncio.sleep(0.02)
        silent_s = alice.heard_last_at - killed_at
        await alice.turn_given()
        await alice.say(files[2])
        row = company.row(call)
    print(f"another agent was heard {silent_s:.2f} s after the kill")
    assert silent_s < 10  # the server alone needs 20 s to notice
    assert (row.level, row.epoch) == (1, 2)
    assert row.status == "active"
    await closed_call(company, call)
    made = await stored_recording(company, call)
    assert made.status == "stored"
    assert made.duration_ms
    # One recording holds both agents.
    assert made.duration_ms / 1000 > killed_at - alice.joined_at + 1


async def test_a_worker_that_is_told_to_stop_ends_its_call_first(
    company: Company, livekit: LiveKitServer, worker: Worker
) -> None:
    call, token = ring(company)
    tenant_id = str(company.tenant.tenant_id)
    async with PhoneCaller(livekit, token=token, tenant_id=tenant_id) as alice:
        await alice.greeting()
        await alice.turn_given()
        worker.drain()
        await asyncio.sleep(1.0)
        await alice.say(CALLERS / "alice" / "01.wav")
        assert len(alice.reply_ms) == 1
        assert not alice.hung_up.is_set()
        assert company.row(call).status == "active"
    await closed_call(company, call)
    assert await worker.exit_code() == 0


@pytest.mark.parametrize("token_is", ["unknown", "used", "short"])
async def test_only_a_ringing_calls_token_brings_an_agent_and_once(
    company: Company, livekit: LiveKitServer, worker: Worker, token_is: str
) -> None:
    call, token = ring(company)
    if token_is == "used":
        with database.tenant_transaction(company.tenant.tenant_id) as conn:
            calls.redeem_token(conn, token=token)
    elif token_is == "unknown":
        token = secrets.token_urlsafe(24)
    else:
        token = "lobby"
    tenant_id = str(company.tenant.tenant_id)
    async with PhoneCaller(livekit, token=token, tenant_id=tenant_id) as stranger:
        await asyncio.sleep(4)
        assert stranger.heard_first_at is None
        assert worker.active_calls() == 0
    assert b"received job request" in worker.log.read_bytes()
    assert company.row(call).status == "ringing"
