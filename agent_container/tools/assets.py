"""What the caller holds."""

from agent_container.tools.desk import Desk
from agent_container.tools.registry import Result, tool
from agent_container.tools.text import clean

_MOST_ASSETS = 10
_SERIAL_LEVEL = 2


@tool
async def my_assets(desk: Desk) -> Result:
    """List the caller's own devices and licences.

    Serial numbers are there only when the caller has proved more than name and badge.
    """
    found: list[dict[str, str]] = []
    for asset in (await desk.assets())[:_MOST_ASSETS]:
        entry = {
            "name": clean(asset.name, 80),
            "kind": clean(asset.kind, 40),
            "status": clean(asset.status, 80),
        }
        if desk.state.level >= _SERIAL_LEVEL and asset.serial:
            entry["serial"] = clean(asset.serial, 60)
        found.append(entry)
    return {"assets": found}
