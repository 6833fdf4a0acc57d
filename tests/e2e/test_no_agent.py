"""Callers to whom no agent comes: the voice server tells of them, and they hear what is offered."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from aurion import calls, database, phone_lines, rooms
from livekit import api

from local import telephone
from tests.hooked_calls import CALLED, CALLING, Hooks, hooks_of
from tests.livekit_server import API_KEY, API_SECRET, LiveKitServer
from tests.lost_agents import end_of_dial, phone, wait_for_offer
from tests.typed_calls import Company
from tests.vendor_requests import room_event

# From the caller's coming into the room; the machine that runs tests is busy.
_OFFERED_WITHIN_S = 10.0 * 1.5


@pytest.fixture
def hooks(company: Company, tmp_path: Path) -> Iterator[Hooks]:
    with hooks_of(company, tmp_path, triggers=True) as running:
        yield running


async def test_a_caller_hears_the_offer_when_no_worker_runs(company: Company, hooks: Hooks) -> None:
    offered_s, said = await wait_for_offer(company, hooks)
    print(f"the offer was heard {offered_s:.2f} s after the caller came")
    assert offered_s < _OFFERED_WITHIN_S
    assert said.find("Gather/Say") is not None
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        (call,) = calls.list_recent(conn)
        noted = phone_lines.find(conn, call.provider_call_id or "")
    assert noted is not None
    assert noted.offered == "callback"
    assert hooks.voice.log.read_text().count("AgentDispatchService.CreateDispatch") == 1


async def test_a_caller_whose_agents_are_all_gone_hears_the_offer(
    company: Company, hooks: Hooks
) -> None:
    line = await asyncio.to_thread(telephone.ring, dialled_number=CALLED, calling_number=CALLING)
    async with phone(hooks.voice, company, line.token) as alice:
        with database.tenant_transaction(company.tenant.tenant_id) as conn:
            call = calls.redeem_token(conn, token=line.token)
            calls.claim(conn, call_id=call.id)
        # What the server tells 20 s after an agent was killed.
        lost = {
            "identity": rooms.agent_identity(call.id, "AJR_1"),
            "kind": "AGENT",
            "disconnectReason": "CONNECTION_TIMEOUT",
        }
        tenant_id = company.tenant.tenant_id
        body = room_event("participant_left", room=line.room, tenant_id=tenant_id, participant=lost)
        told_at = time.perf_counter()
        await asyncio.to_thread(tell, hooks, body)
        async with asyncio.timeout(60):
            await alice.hung_up.wait()
        said = await asyncio.to_thread(end_of_dial, line)
    print(f"the offer was heard {time.perf_counter() - told_at:.2f} s after the server noticed")
    assert said.find("Gather/Say") is not None
    assert sent_agents(hooks.voice, line.room) == 1


async def test_an_agent_that_has_left_as_it_should_is_not_replaced(
    company: Company, hooks: Hooks
) -> None:
    line = await asyncio.to_thread(telephone.ring, dialled_number=CALLED, calling_number=CALLING)
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        call = calls.redeem_token(conn, token=line.token)
        calls.claim(conn, call_id=call.id)
    async with phone(hooks.voice, company, line.token) as alice:
        identity = rooms.agent_identity(call.id, "AJR_1")
        for reason in ("CLIENT_INITIATED", "ROOM_DELETED", "PARTICIPANT_REMOVED"):
            left = {"identity": identity, "kind": "AGENT", "disconnectReason": reason}
            tenant_id = company.tenant.tenant_id
            body = room_event(
                "participant_left", room=line.room, tenant_id=tenant_id, participant=left
            )
            await asyncio.to_thread(tell, hooks, body)
        await asyncio.sleep(2)
        assert not alice.hung_up.is_set()
    assert sent_agents(hooks.voice, line.room) == 0


def tell(hooks: Hooks, body: bytes) -> None:
    """Tell the functions of something in a room, signed as the voice server signs."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    token = api.AccessToken(API_KEY, API_SECRET).with_sha256(digest).to_jwt()
    headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
    url = f"{hooks.gateway.hooks_url}/livekit/webhook"
    assert httpx2.post(url, content=body, headers=headers, timeout=15).status_code == 200


def sent_agents(server: LiveKitServer, room: str) -> int:
    """How often an agent was asked for, beside the dispatch that the room was made with."""
    lines = server.log.read_text().splitlines()
    return sum("AgentDispatchService.CreateDispatch" in line and room in line for line in lines)
