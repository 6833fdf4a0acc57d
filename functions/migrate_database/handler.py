"""Bring the database to the newest migration, before anything else of a release runs."""

from typing import Any

from aurion import deployments, releases, telemetry
from aurion.telemetry import Event


@telemetry.entry("migrate_database")
def handler(event: Event, _context: Any) -> dict[str, Any]:
    """Migrate when a stack is created or updated; taking one down takes no table away."""

    def migrate() -> dict[str, str]:
        applied = [] if event.get("RequestType") == "Delete" else releases.migrate_database()
        return {"Applied": ",".join(applied)}

    return deployments.carry_out(event, "aurion-database", migrate)
