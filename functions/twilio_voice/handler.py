"""Answer a ringing call: note it once and say where to dial."""

from typing import Any

from aurion import http, telemetry, twilio_calls
from aurion.telemetry import Event


@telemetry.entry("twilio_voice")
def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Answer Twilio's question of what to do with a call."""
    return http.serve(event, twilio_calls.answer_voice)
