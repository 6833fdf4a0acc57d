"""The end of a call, from the desk's side."""

from agent_container.tools.desk import Desk
from agent_container.tools.registry import Result, tool


@tool
async def end_call(desk: Desk) -> Result:
    """End the call, when the caller has said goodbye or wants nothing else.

    Say nothing before or after it: the system says goodbye.
    """
    desk.say("goodbye.short")
    await desk.voice.finish()
    desk.state.hang_up.set()
    return {"status": "ended"}
