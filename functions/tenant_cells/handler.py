"""Keep companies' own agents in step with who should have some, and calls with the agents."""

import asyncio
import logging
from typing import Any

from aurion import call_routes, cells, telemetry
from aurion.errors import ReleaseNotFound
from aurion.rooms import VoiceServer
from aurion.telemetry import Event

logger = logging.getLogger(__name__)


@telemetry.entry("tenant_cells")
def handler(_event: Event, _context: Any) -> dict[str, Any]:
    """Do one round over all companies; before the first release of the agents there is none.

    Calls go where the last round has found agents before this one takes any away: while the voice
    server can't be told, nothing is.
    """
    _follow()
    try:
        done = cells.reconcile()
    except ReleaseNotFound:
        logger.info("there is no release of the agents yet")
        return {"states": {}, "begun": 0}
    rerouted = _follow() if done.states else 0
    telemetry.count("CellsFailed", done.states.get("failed", 0))
    return {"states": dict(done.states), "begun": done.begun, "rerouted": rerouted}


def _follow() -> int:
    if not cells.anybody_has_some():
        return 0
    return asyncio.run(call_routes.follow_cells(voice=VoiceServer.from_secret()))
