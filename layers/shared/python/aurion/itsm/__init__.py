"""The companies' own ticket systems, behind one port."""

from aurion.errors import ConnectorUnknown
from aurion.itsm.connector import (
    Article,
    Asset,
    Audience,
    Comment,
    Connector,
    Handover,
    NewTicket,
    Outage,
    Requester,
    Ticket,
    TicketKind,
    TicketStatus,
    TransferResult,
)

__all__ = [
    "Article",
    "Asset",
    "Audience",
    "Comment",
    "Connector",
    "Handover",
    "NewTicket",
    "Outage",
    "Requester",
    "Ticket",
    "TicketKind",
    "TicketStatus",
    "TransferResult",
    "connect",
]


def connect(kind: str, *, base_url: str, secret: str) -> Connector:
    """Make the connector of a tenant's ticket system; it reaches out at its first use.

    Raises `ConnectorUnknown` for a kind there is no adapter for, and `Rejected` for an address
    that isn't https (plain http is for loopback only).
    """
    match kind:
        case "demo_desk":
            # Imported when it is used: most of what imports this package asks no ticket system.
            from aurion.itsm.demo_desk import DemoDesk

            return DemoDesk(base_url, secret)
        case _:
            raise ConnectorUnknown
