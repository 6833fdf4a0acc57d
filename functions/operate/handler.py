"""Do what an operator asks: companies, numbers, lists of people, calls."""

from typing import Any

from aurion import operations, telemetry
from aurion.telemetry import Event


@telemetry.entry("operate")
def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Run one command; who may invoke this function is IAM's to say."""
    return operations.answer(event)
