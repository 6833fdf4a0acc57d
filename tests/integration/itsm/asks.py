"""Everything a connector can be asked, and what it is asked with."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aurion import itsm

ALICE = "alice.martin@meridian.example"

Ask = Callable[[itsm.Connector], Awaitable[object]]

READS: dict[str, Ask] = {
    "search_articles": lambda desk: desk.search_articles("VPN", language="en", audience="public"),
    "get_article": lambda desk: desk.get_article("vpn-disconnects-en"),
    "find_requester": lambda desk: desk.find_requester(ALICE),
    "tickets_of": lambda desk: desk.tickets_of("R-2002"),
    "get_ticket": lambda desk: desk.get_ticket("T-1024"),
    "find_ticket_by_key": lambda desk: desk.find_ticket_by_key("none"),
    "assets_of": lambda desk: desk.assets_of("R-2002"),
    "outages": lambda desk: desk.outages(),
}
WRITES: dict[str, Ask] = {
    "create_ticket": lambda desk: desk.create_ticket(new_ticket()),
    "add_comment": lambda desk: desk.add_comment(
        "T-1024", text="Hello", public=True, idempotency_key=new_key()
    ),
    "offer_transfer": lambda desk: desk.offer_transfer(handover(), timeout_s=5.0),
}
EVERYTHING = READS | WRITES


def new_key() -> str:
    return f"call-{uuid.uuid4()}:1"


def new_ticket(**changes: object) -> itsm.NewTicket:
    ticket = itsm.NewTicket(
        requester_id="R-2001",
        summary="VPN keeps disconnecting",
        description="Since this morning. A restart did not help.",
        kind="incident",
        language="en",
        idempotency_key=new_key(),
    )
    return replace(ticket, **changes)  # type: ignore[arg-type]


def handover(call_id: str | None = None) -> itsm.Handover:
    return itsm.Handover(
        call_id=call_id or str(uuid.uuid4()),
        requester_id="R-2002",
        caller_name="Tom Becker",
        level=1,
        intent="Wants to speak to a person.",
        steps_tried=("Restart the laptop.",),
        ticket="T-1024",
        language="en",
    )
