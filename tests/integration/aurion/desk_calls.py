"""Calls in front of a real demo desk, and what both sides hold afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aurion import calls, drafts, tickets
from aurion.database import tenant_transaction
from aurion.drafts import Delivery
from aurion.itsm import Connector
from aurion.itsm.demo_desk import DemoDesk

from tests.factories import Tenant
from tests.integration.itsm.peers import Peer

EMAIL = "alice.martin@meridian.example"
SUMMARY = "VPN disconnects"
DESCRIPTION = "The VPN disconnects every ten minutes since this morning. Café Łódź €."


@dataclass(frozen=True, slots=True)
class State:
    """What a call's process knows of it."""

    tenant_id: UUID
    call_id: UUID
    epoch: int
    person_id: UUID | None = None
    level: int = 1
    writes: int = 0
    writes_enabled: bool = True


def start_call(tenant: Tenant) -> State:
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.start(conn, channel="text")
        call = calls.claim(conn, call_id=call.id)
    return State(tenant.tenant_id, call.id, call.epoch)


@asynccontextmanager
async def desk_of(peer: Peer, seconds: float = 2.0) -> AsyncIterator[Connector]:
    """A connector that gives up sooner than it does on a call."""
    connector = DemoDesk(peer.base_url, peer.secret, read_s=seconds, write_s=seconds)
    try:
        yield connector
    finally:
        await connector.aclose()


async def open_ticket(connector: Connector, state: State, **changes: Any) -> tickets.Placed:
    values: dict[str, Any] = {
        "summary": SUMMARY,
        "description": DESCRIPTION,
        "language": "en",
        "requester_email": EMAIL,
    }
    return await tickets.open(connector, state, **(values | changes))


def make_due(tenant: Tenant) -> None:
    """Let the time pass for which a draft is held."""
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("UPDATE aurion.drafts SET next_attempt_at = clock_timestamp()")


async def deliver(peer: Peer, tenant: Tenant) -> Delivery:
    await asyncio.to_thread(make_due, tenant)
    async with desk_of(peer) as connector:
        return await drafts.deliver_due(connector, tenant_id=tenant.tenant_id)


def left(tenant: Tenant) -> list[tuple[str, int, str | None]]:
    """The drafts that wait: kind, attempts, last error."""
    with tenant_transaction(tenant.tenant_id) as conn:
        return conn.execute(
            "SELECT kind, attempts, last_error FROM aurion.drafts ORDER BY created_at"
        ).fetchall()


def numbers(state: State) -> list[tuple[str, str]]:
    """The call's references: kind and number."""
    with tenant_transaction(state.tenant_id) as conn:
        return [(r.kind, r.number) for r in tickets.list_references(conn, state.call_id)]


def opened(peer: Peer, state: State) -> list[dict[str, Any]]:
    """The tickets that the desk holds for a call's usual wish."""
    key = tickets.key_of(state.call_id, "open", summary=SUMMARY, description=DESCRIPTION)
    return peer.tickets_with(key)
