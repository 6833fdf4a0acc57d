"""Processes that die on the job, run as `python -m tests.doomed JOB …`.

    talk    TENANT DESK TOKEN SEED    calls that speak and open tickets, one after the other
    place   TENANT DESK TOKEN POINT   one call that opens a ticket and dies at POINT
    deliver TENANT DESK TOKEN POINT   a sweeper that delivers what is due and dies at POINT

A line on standard output is something a caller has been told: it is written after the commit it
speaks of, so whatever was printed must be found afterwards.
"""

import asyncio
import json
import os
import random
import sys
from uuid import UUID

from aurion import calls, drafts, tickets, turns
from aurion.database import tenant_transaction
from aurion.itsm import NewTicket, Requester, Ticket
from aurion.itsm.demo_desk import DemoDesk

from tests.integration.aurion.desk_calls import DESCRIPTION, EMAIL, SUMMARY, State

POINTS = ("before_look", "before_send", "after_send", "after_note")


def tell(**what: object) -> None:
    """Tell the parent, in one write that no kill can cut."""
    os.write(1, (json.dumps(what) + "\n").encode())


class DeadlyDesk(DemoDesk):
    """The demo desk's connector, whose process dies at one point of its use."""

    def __init__(self, base_url: str, secret: str, point: str) -> None:
        super().__init__(base_url, secret, read_s=2.0, write_s=2.0)
        self.point = point

    def _pass(self, point: str) -> None:
        if self.point == point:
            os._exit(9)

    async def find_requester(self, email: str) -> Requester | None:
        self._pass("before_look")
        return await super().find_requester(email)

    async def find_ticket_by_key(self, key: str) -> Ticket | None:
        self._pass("before_look")
        return await super().find_ticket_by_key(key)

    async def create_ticket(self, new: NewTicket) -> Ticket:
        self._pass("before_send")
        ticket = await super().create_ticket(new)
        self._pass("after_send")
        return ticket


def start_call(tenant_id: UUID) -> State:
    with tenant_transaction(tenant_id) as conn:
        call = calls.start(conn, channel="text", calling_number="+33612345678")
    tell(started=str(call.id))
    with tenant_transaction(tenant_id) as conn:
        call = calls.claim(conn, call_id=call.id, lease_s=1.0)
    return State(tenant_id, call.id, call.epoch)


def say(state: State, speaker: turns.Speaker, text: str) -> None:
    with tenant_transaction(state.tenant_id) as conn:
        seq = turns.append(
            conn, call_id=state.call_id, epoch=state.epoch, speaker=speaker, text=text
        )
        calls.renew(conn, call_id=state.call_id, epoch=state.epoch, lease_s=1.0)
    tell(call=str(state.call_id), seq=seq, text=text)


async def talk(tenant_id: UUID, desk: DemoDesk, seed: int) -> None:
    """Hold calls that say things, now and then open a ticket, and end as they should."""
    chance = random.Random(seed)
    while True:
        state = await asyncio.to_thread(start_call, tenant_id)
        for number in range(chance.randint(1, 25)):
            speaker = "caller" if number % 2 == 0 else "agent"
            await asyncio.to_thread(say, state, speaker, f"turn {number}")
            if chance.random() < 0.25:
                summary = f"{SUMMARY} {chance.random()}"
                placed = await tickets.open(
                    desk,
                    state,
                    summary=summary,
                    description=DESCRIPTION,
                    language="en",
                    requester_email=EMAIL,
                )
                key = tickets.key_of(
                    state.call_id, "open", summary=summary, description=DESCRIPTION
                )
                tell(promised=key, number=placed.number)
            await asyncio.sleep(chance.uniform(0.0, 0.01))
        await asyncio.to_thread(end, state)


def end(state: State) -> None:
    with tenant_transaction(state.tenant_id) as conn:
        calls.close(conn, call_id=state.call_id, epoch=state.epoch, outcome="resolved")
    tell(closed=str(state.call_id))


async def place(tenant_id: UUID, desk: DemoDesk) -> None:
    """Open the usual ticket in a call of its own."""
    state = await asyncio.to_thread(start_call, tenant_id)
    placed = await tickets.open(
        desk,
        state,
        summary=SUMMARY,
        description=DESCRIPTION,
        language="en",
        requester_email=EMAIL,
    )
    tell(number=placed.number)
    os._exit(9)


async def deliver(tenant_id: UUID, desk: DemoDesk) -> None:
    """Deliver what is due."""
    await drafts.deliver_due(desk, tenant_id=tenant_id)
    os._exit(9)


def main(job: str, tenant: str, base_url: str, token: str, how: str) -> None:
    tenant_id = UUID(tenant)
    match job:
        case "talk":
            asyncio.run(talk(tenant_id, DemoDesk(base_url, token), int(how)))
        case "place":
            asyncio.run(place(tenant_id, DeadlyDesk(base_url, token, how)))
        case "deliver":
            asyncio.run(deliver(tenant_id, DeadlyDesk(base_url, token, how)))
        case _:
            raise SystemExit(f"no such job: {job}")


if __name__ == "__main__":
    main(*sys.argv[1:])
