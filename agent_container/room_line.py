"""A phone call in a room of the voice server."""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from aurion import rooms
from aurion.errors import RoomsUnavailable
from livekit import rtc
from livekit.agents.voice import io

logger = logging.getLogger(__name__)


class RoomLine:
    """The line of a caller who came into a room by SIP; the session makes its audio ends itself."""

    kind: Literal["room"] = "room"
    audio_input: io.AudioInput | None = None
    audio_output: io.AudioOutput | None = None
    typed: asyncio.Queue[str] | None = None

    def __init__(
        self, room: rtc.Room, caller: rtc.RemoteParticipant, *, calling_number: str | None
    ) -> None:
        """Take a caller's number (E.164) from the call's row: rooms hold no phone numbers."""
        self.room: rtc.Room | None = room
        self.calling_number = calling_number
        self.caller_identity: str | None = caller.identity
        self.closed = asyncio.Event()
        self._name = room.name
        self._key_listeners: list[Callable[[str], None]] = []
        room.on("participant_disconnected", self._left)
        room.on("disconnected", self._disconnected)
        room.on("sip_dtmf_received", self._pressed)
        if caller.identity not in room.remote_participants:
            self.closed.set()  # they left while this was being made

    def on_key(self, callback: Callable[[str], None]) -> None:
        """Have each key the caller presses reported: one of 0-9, * and #."""
        self._key_listeners.append(callback)

    async def put_through(self, number: str, *, ringing_s: float) -> bool:
        """Hand the caller over to a number (E.164); False when they are still here."""
        if self.caller_identity is None:
            return False
        try:
            await rooms.put_through(
                self._name, caller=self.caller_identity, number=number, ringing_s=ringing_s
            )
        except RoomsUnavailable:
            logger.warning("a caller could not be put through")
            return False
        return True

    async def hang_up(self) -> None:
        """End the call for everybody in the room."""
        try:
            await rooms.end(self._name)
        except RoomsUnavailable:
            # Nobody is left in the room but the caller, whose own side ends the call then.
            logger.warning("the voice server does not answer; a room could not be ended")
            if self.room is not None:
                await self.room.disconnect()
        self.closed.set()

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity == self.caller_identity:
            self.closed.set()

    def _disconnected(self, *_: object) -> None:
        self.closed.set()

    def _pressed(self, event: rtc.SipDTMF) -> None:
        # A colleague or an app in the same room presses keys too; they aren't the caller's.
        if event.participant is not None and event.participant.identity == self.caller_identity:
            for listener in self._key_listeners:
                listener(event.digit)
