"""Delete recordings when their company's days are over, object and row together."""

from typing import Any

from aurion import retention, telemetry
from aurion.telemetry import Event


@telemetry.entry("recordings_retention")
def handler(event: Event, context: Any) -> dict[str, Any]:
    """Send a message per company every hour, and do what the messages say."""
    if "Records" in event:
        return retention.work_off(event["Records"], left_ms=context.get_remaining_time_in_millis)
    return {"sent": retention.fan_out()}
