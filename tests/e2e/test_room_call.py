"""Calls through a real room: a caller on the telephone side, the real worker, everything behind."""

import asyncio
import secrets
from contextlib import AsyncExitStack

from aurion import calls, database
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


def rows_of(company: Company) -> list[tuple[object, ...]]:
    """Every call of the company, whole."""
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        found = conn.execute("SELECT id, to_jsonb(c) FROM aurion.calls c ORDER BY id")
        return list(found.fetchall())


async def test_only_a_ringing_calls_token_brings_an_agent_and_once(
    company: Company, livekit: LiveKitServer, worker: Worker
) -> None:
    ringing, used = ring(company)
    late, expired = ring(company)
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        calls.redeem_token(conn, token=used)
        conn.execute(
            "UPDATE aurion.calls SET token_expires_at = clock_timestamp() WHERE id = %s", (late.id,)
        )
    before = rows_of(company)
    guessed = secrets.token_urlsafe(24)
    tokens = {"guessed": guessed, "used": used, "expired": expired, "short": "lobby"}
    tenant_id = str(company.tenant.tenant_id)
    async with AsyncExitStack() as rooms:
        strangers = {
            token_is: await rooms.enter_async_context(
                PhoneCaller(livekit, token=token, tenant_id=tenant_id)
            )
            for token_is, token in tokens.items()
        }
        async with asyncio.timeout(30):
            while worker.log.read_bytes().count(b"received job request") < len(tokens):
                await asyncio.sleep(0.1)
        await asyncio.sleep(4)
        heard = {name for name, one in strangers.items() if one.heard_first_at is not None}
        assert not heard
        assert worker.active_calls() == 0
    assert rows_of(company) == before
    assert {row[0] for row in before} >= {ringing.id, late.id}
