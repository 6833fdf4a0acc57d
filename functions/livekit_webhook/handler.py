"""Follow the rooms of calls, and look after callers to whom no agent came."""

from typing import Any

from aurion import http, room_events, telemetry
from aurion.telemetry import Event


@telemetry.entry("livekit_webhook")
def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Answer LiveKit's news of a room, and do what the watch's messages say."""
    if "Records" in event:
        return room_events.work_off(event["Records"])
    return http.serve(event, room_events.answer)
