"""Disturbances that are known."""

from agent_container.tools.desk import Desk
from agent_container.tools.registry import Result, tool
from agent_container.tools.text import clean


@tool
async def known_outages(desk: Desk) -> Result:
    """List the disturbances that are known right now.

    Call this when the caller reports that a shared service (mail, network, VPN, telephony) does not
    work, before any step on their own device.
    """
    return {
        "outages": [
            {
                "service": clean(outage.service, 80),
                "summary": clean(outage.summary, 300),
                "since": outage.started_at.isoformat(timespec="minutes"),
                "expected_end": outage.expected_end
                and outage.expected_end.isoformat(timespec="minutes"),
            }
            for outage in await desk.outages()
        ]
    }
