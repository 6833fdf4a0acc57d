"""Bring tickets and messages that could not leave at once to where they belong."""

import asyncio
from typing import Any

from aurion import sweeps, telemetry
from aurion.telemetry import Event


@telemetry.entry("outbox")
def handler(_event: Event, _context: Any) -> dict[str, Any]:
    """Do one round over all companies."""
    rounds = asyncio.run(sweeps.deliver_all()).values()
    expired = sum(done.drafts.expired for done in rounds)
    telemetry.count("DraftsExpired", expired)
    return {
        "delivered": sum(done.drafts.delivered for done in rounds),
        "deferred": sum(done.drafts.deferred for done in rounds),
        "expired": expired,
        "sent": sum(done.sent for done in rounds),
    }
