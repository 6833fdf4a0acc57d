"""The caller's own tickets: read, open, add to."""

from aurion import access, tickets
from aurion.errors import TicketNotFound
from aurion.itsm import Ticket

from agent_container import consent
from agent_container.tools.desk import Desk
from agent_container.tools.registry import Result, on_consent, tool
from agent_container.tools.text import clean

_MOST_TICKETS = 8


@tool
async def my_tickets(desk: Desk) -> Result:
    """List the caller's own tickets, last changed first, with their status."""
    return {
        "tickets": [
            {
                "number": clean(ticket.number, 40),
                "summary": clean(ticket.summary, 160),
                "status": ticket.status,
                "note": clean(ticket.status_note, 240),
                "kind": ticket.kind,
            }
            for ticket in (await desk.tickets())[:_MOST_TICKETS]
        ]
    }


@tool
async def open_ticket(desk: Desk, summary: str, description: str, offer: bool = False) -> Result:  # noqa: D417
    """Open a ticket for the caller; the system asks the caller itself before it opens anything.

    Use it when the steps of the knowledge base did not help, or when the caller asks for a ticket.
    After a first step, call it with offer=true to mention the possibility. Say nothing after it.

    Args:
        summary: The problem in at most ten words, in the caller's language.
        description: What the caller reported and what was tried, in the caller's language.
        offer: True to mention the ticket beside another question, false to ask for it now.
    """
    arguments = {"summary": clean(summary, 160), "description": clean(description, 1500)}
    put = desk.offer if offer else desk.ask
    key = "ask.offer_ticket" if offer else "ask.open_ticket"
    return put("open_ticket", arguments, key, summary=arguments["summary"])


@on_consent("open_ticket")
async def open_agreed(desk: Desk, summary: str, description: str) -> Result:
    """Open the ticket the caller has agreed to, and tell them its number."""
    state = desk.state
    requester = await desk.requester()
    assert state.person is not None
    placed = await tickets.open(
        desk.connector,
        state,
        summary=summary,
        description=description,
        language=state.language,
        requester_id=None if requester is None else requester.id,
        requester_email=state.person.email,
    )
    if placed.number is None:
        state.kept_drafts += 1
        desk.say("done.ticket_kept")
        return {"status": "kept"}
    state.opened.append(placed.number)
    state.tickets = None
    desk.say("done.ticket", ticket=placed.number)
    desk.say("done.anything_else")
    return {"status": "opened", "ticket": placed.number}


@tool
async def comment_on_ticket(desk: Desk, ticket: str, text: str) -> Result:  # noqa: D417
    """Add a remark to one of the caller's own tickets, in the caller's own words.

    Say nothing after it: the system tells the caller what was added, or asks them first.

    Args:
        ticket: The ticket's number, as `my_tickets` gave it.
        text: What to add, word for word as the caller said it.
    """
    state = desk.state
    own = _own(await desk.tickets(), ticket)
    arguments = {"ticket": own.number, "text": clean(text, 600)}
    if consent.adds_comment(state.utterance, arguments["text"], state.language):
        return await comment_agreed(desk, **arguments)
    return desk.ask("comment_on_ticket", arguments, "ask.comment", **arguments)


@on_consent("comment_on_ticket")
async def comment_agreed(desk: Desk, ticket: str, text: str) -> Result:
    """Add the remark, and tell the caller what was added."""
    state = desk.state
    requester = await desk.requester()
    requester_id = None if requester is None else requester.id
    # Looked up again at the system itself: the list may be old.
    owned = await access.owned_ticket(desk.connector, requester_id=requester_id, number=ticket)
    placed = await tickets.comment(
        desk.connector, state, number=owned.number, text=text, language=state.language
    )
    if placed.number is None:
        state.kept_drafts += 1
        desk.say("done.comment_kept")
        return {"status": "kept"}
    state.commented.append(placed.number)
    state.tickets = None
    desk.say("done.comment", ticket=placed.number, text=text)
    desk.say("done.anything_else")
    return {"status": "added", "ticket": placed.number}


def _own(own: list[Ticket], number: str) -> Ticket:
    """Find one of the caller's tickets by its number, however a model writes it."""
    wanted = _letters(number)
    for ticket in own:
        if wanted and _letters(ticket.number) == wanted:
            return ticket
    raise TicketNotFound


def _letters(number: str) -> str:
    return "".join(c for c in number.casefold() if c.isalnum())
