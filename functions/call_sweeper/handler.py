"""Close the calls whose agent is gone, each once, and leave a call-back for each."""

from typing import Any

from aurion import sweeps, telemetry
from aurion.telemetry import Event


@telemetry.entry("call_sweeper")
def handler(_event: Event, _context: Any) -> dict[str, Any]:
    """Do one round over all companies."""
    closed = sum(len(calls) for calls in sweeps.close_all_expired().values())
    telemetry.count("CallsInterrupted", closed)
    return {"closed": closed}
