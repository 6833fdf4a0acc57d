"""Follow a call to its end, and offer a call-back when nobody could answer it."""

from typing import Any

from aurion import http, telemetry, twilio_calls
from aurion.telemetry import Event


@telemetry.entry("twilio_status")
def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Answer Twilio's news of a line, and its question of what comes next."""
    return http.serve(event, twilio_calls.answer_status)
