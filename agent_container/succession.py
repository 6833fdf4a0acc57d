"""What an agent does that takes a call over from one that is dead, or was thought to be."""

import asyncio
import logging

from aurion import rooms
from aurion.errors import RoomsUnavailable
from livekit import rtc

from agent_container.call_state import NoEvents, Stage

logger = logging.getLogger(__name__)


class Succession(NoEvents):
    """Take the agents before this one out of the room as soon as the call is this one's.

    Not earlier: one that still lives would close the call's row when it finds itself outside.
    """

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._removal: asyncio.Task[None] | None = None

    def state(self, name: Stage) -> None:
        """Begin with the first stage there is: the call has been claimed then."""
        if self._removal is None:
            self._removal = asyncio.get_running_loop().create_task(self._remove_others())

    async def _remove_others(self) -> None:
        agent = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        for other in list(self._room.remote_participants.values()):
            if other.kind != agent:
                continue
            try:
                await rooms.remove(self._room.name, identity=other.identity)
            except RoomsUnavailable:
                logger.warning("an agent before this one can't be taken out of the room")
