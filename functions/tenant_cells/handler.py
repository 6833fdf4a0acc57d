"""Keep companies' own agents in step with who should have some."""

import logging
from typing import Any

from aurion import cells, telemetry
from aurion.errors import ReleaseNotFound
from aurion.telemetry import Event

logger = logging.getLogger(__name__)


@telemetry.entry("tenant_cells")
def handler(_event: Event, _context: Any) -> dict[str, Any]:
    """Do one round over all companies; before the first release of the agents there is none."""
    try:
        done = cells.reconcile()
    except ReleaseNotFound:
        logger.info("there is no release of the agents yet")
        return {"states": {}, "begun": 0}
    telemetry.count("CellsFailed", done.states.get("failed", 0))
    return {"states": dict(done.states), "begun": done.begun}
