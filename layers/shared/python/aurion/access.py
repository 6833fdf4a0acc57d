"""What a caller may have done for them: decided here, in code, never by the language model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from aurion.errors import NotAllowed, TicketNotFound
from aurion.itsm import Audience, Connector, Ticket

MOST_WRITES = 10
"""How often one call may write into the ticket system."""


class CallState(Protocol):
    """What is known of a call on our side; no tool argument ever fills any of it."""

    @property
    def tenant_id(self) -> UUID:
        """The company that is called."""
        ...

    @property
    def call_id(self) -> UUID:
        """The call."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch this agent holds the call with."""
        ...

    @property
    def person_id(self) -> UUID | None:
        """Who the caller has proved to be."""
        ...

    @property
    def level(self) -> int:
        """How surely (0-3)."""
        ...

    @property
    def writes(self) -> int:
        """How often this call has written."""
        ...

    @property
    def writes_enabled(self) -> bool:
        """Whether the company lets the desk write at all."""
        ...


@dataclass(frozen=True, slots=True)
class Tool:
    """Who may use a tool: the least level, whether it writes, and the arguments it takes."""

    level: int
    writes: bool = False
    arguments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Allowed:
    """A decision for a tool: what it may show at this caller's level."""

    tool: str
    audience: Audience
    serial_numbers: bool


TOOLS: Mapping[str, Tool] = {
    "search_knowledge": Tool(0, arguments=frozenset({"query"})),
    "known_outages": Tool(0),
    "transfer_to_person": Tool(0, arguments=frozenset({"reason"})),
    "end_call": Tool(0),
    "request_callback": Tool(0, writes=True, arguments=frozenset({"reason"})),
    "my_tickets": Tool(1),
    "my_assets": Tool(1),
    "open_ticket": Tool(1, writes=True, arguments=frozenset({"summary", "description", "offer"})),
    "comment_on_ticket": Tool(1, writes=True, arguments=frozenset({"ticket", "text"})),
}


def offered(call: CallState) -> tuple[str, ...]:
    """Return the tools that the model may see for this caller, in a fixed order."""
    return tuple(name for name, tool in TOOLS.items() if _may(call, tool))


def authorize(call: CallState, tool: str, args: Mapping[str, object]) -> Allowed:
    """Decide whether a tool runs for this caller with these arguments.

    Raises:
        NotAllowed: No such tool, too low a level, a switch is off, too many writes, or an argument
            the tool does not take (a model that names a tenant, a person or a level is refused).
    """
    known = TOOLS.get(tool)
    if known is None or not _may(call, known) or not args.keys() <= known.arguments:
        raise NotAllowed
    return Allowed(
        tool=tool,
        audience="internal" if call.level >= 1 else "public",
        serial_numbers=call.level >= 2,
    )


async def owned_ticket(connector: Connector, *, requester_id: str | None, number: str) -> Ticket:
    """Read a ticket that belongs to the caller.

    Raises:
        TicketNotFound: There is none of this number, or it is somebody else's: nobody learns which.
        Unavailable: The ticket system does not answer.
    """
    ticket = await connector.get_ticket(number)
    if requester_id is None or ticket.requester_id != requester_id:
        raise TicketNotFound
    return ticket


def _may(call: CallState, tool: Tool) -> bool:
    if call.level < tool.level or (tool.level > 0 and call.person_id is None):
        return False
    return not tool.writes or (call.writes_enabled and call.writes < MOST_WRITES)
