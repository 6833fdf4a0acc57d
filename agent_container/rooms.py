"""Ask the voice server for agents and rooms; the only place here that speaks its API."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import aiohttp
from aurion.errors import RoomsUnavailable
from livekit import api


@dataclass(frozen=True, slots=True)
class Errand:
    """What a dispatch tells an agent: whose call it is, and which one it goes on with, if any.

    `tries` counts the agents that have died in it.
    """

    tenant_id: UUID
    resume: UUID | None = None
    tries: int = 0

    def to_json(self) -> str:
        """Write it as a dispatch's metadata."""
        resume = None if self.resume is None else str(self.resume)
        return json.dumps({"tenant": str(self.tenant_id), "resume": resume, "tries": self.tries})

    @classmethod
    def from_json(cls, text: str) -> "Errand | None":
        """Read a dispatch's metadata; None when it is not one of ours."""
        try:
            fields = json.loads(text)
            resume = fields.get("resume")
            return cls(
                UUID(fields["tenant"]),
                None if resume is None else UUID(resume),
                int(fields.get("tries", 0)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


async def send_agent(room: str, *, agent_name: str, errand: Errand, instead_of: str) -> None:
    """Send a new agent into a room and take a dead one out of it.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    async with _server() as server:
        await server.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(
                agent_name=agent_name, room=room, metadata=errand.to_json()
            )
        )
        with contextlib.suppress(api.ServerError):  # it may be gone by itself
            await server.room.remove_participant(
                api.RoomParticipantIdentity(room=room, identity=instead_of)
            )


async def put_through(room: str, *, caller: str, number: str, ringing_s: float) -> None:
    """Hand a caller over to a number (E.164) and wait until it has answered.

    Raises:
        RoomsUnavailable: It did not answer or the telephone side refuses: the caller is still here.
    """
    request = api.TransferSIPParticipantRequest(
        room_name=room, participant_identity=caller, transfer_to=f"tel:{number}", play_dialtone=True
    )
    request.ringing_timeout.FromMilliseconds(int(ringing_s * 1000))
    async with _server() as server:
        await server.sip.transfer_sip_participant(request)


async def end(room: str) -> None:
    """Hang everybody in a room up; a room that is gone is no error.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    async with _server() as server:
        try:
            await server.room.delete_room(api.DeleteRoomRequest(room=room))
        except api.ServerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[api.LiveKitAPI]:
    try:
        async with api.LiveKitAPI() as server:
            yield server
    except (api.ServerError, aiohttp.ClientError, TimeoutError) as error:
        raise RoomsUnavailable from error
