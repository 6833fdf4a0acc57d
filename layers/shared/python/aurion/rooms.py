"""Ask the voice server for agents and rooms; `aurion.trunks` has its telephone side.

Nothing else speaks its API. The client is imported when it is first needed: most of what imports
this package has no voice server to ask.
"""

import contextlib
import json
import os
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from aurion import secrets
from aurion.errors import RoomsUnavailable, TelephonyRejected
from aurion.settings import settings

if TYPE_CHECKING:
    from livekit import api

type Kind = Literal["agent", "phone", "other"]

PREFIX = "call-"
"""What a call's room is called, before its token."""

_AGENT = re.compile(r"agent-(?P<call>[0-9a-f-]{36})-.+")


@dataclass(frozen=True, slots=True)
class VoiceServer:
    """Where a voice server answers, and as whom we ask; `sip_host` is where telephones reach it."""

    url: str
    api_key: str
    api_secret: str = field(repr=False)
    sip_host: str = ""
    sip_username: str = ""
    sip_password: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> "VoiceServer":
        """Read LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, as an agent's process has them.

        Raises:
            RoomsUnavailable: One of them is not set.
        """
        try:
            return cls(
                url=os.environ["LIVEKIT_URL"],
                api_key=os.environ["LIVEKIT_API_KEY"],
                api_secret=os.environ["LIVEKIT_API_SECRET"],
            )
        except KeyError as error:
            raise RoomsUnavailable from error

    @classmethod
    def from_secret(cls, name: str | None = None) -> "VoiceServer":
        """Read a secret, by default the one that LIVEKIT_SECRET names.

        Raises:
            SecretNotFound: There is none of this name.
            SecretsUnavailable: The store of secrets does not answer.
            SecretMalformed: The secret holds something else.
        """
        stored = secrets.get_fields(
            name or settings().livekit_secret, "url", "api_key", "api_secret"
        )
        return cls(
            url=stored["url"],
            api_key=stored["api_key"],
            api_secret=stored["api_secret"],
            sip_host=stored.get("sip_host", ""),
            sip_username=stored.get("sip_username", ""),
            sip_password=stored.get("sip_password", ""),
        )


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


@dataclass(frozen=True, slots=True)
class Participant:
    """Who is in a room."""

    identity: str
    kind: Kind


def agent_identity(call_id: UUID, request_id: str) -> str:
    """Name the agent of a call in its room."""
    return f"agent-{call_id}-{request_id}"


def call_of_agent(identity: str) -> UUID | None:
    """Read the call from an agent's name; None when it is no agent of ours."""
    named = _AGENT.fullmatch(identity)
    try:
        return None if named is None else UUID(named["call"])
    except ValueError:
        return None


async def send_agent(
    room: str,
    *,
    agent_name: str,
    errand: Errand,
    instead_of: str | None = None,
    server: VoiceServer | None = None,
) -> None:
    """Send an agent into a room, and take a dead one out of it.

    That nobody took the errand is no error here: whoever sends looks again.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    from livekit import api

    async with open_client(server) as client:
        await client.agent_dispatch.create_dispatch(
            api.CreateAgentDispatchRequest(
                agent_name=agent_name, room=room, metadata=errand.to_json()
            )
        )
        if instead_of is not None:
            with contextlib.suppress(api.ServerError):  # it may be gone by itself
                await client.room.remove_participant(
                    api.RoomParticipantIdentity(room=room, identity=instead_of)
                )


async def who_is_in(room: str, *, server: VoiceServer | None = None) -> list[Participant]:
    """List who is in a room; nobody is in a room that is gone.

    An agent that was killed is listed until the server notices, after 20 s.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    from livekit import api

    kinds: dict[int, Kind] = {
        api.ParticipantInfo.Kind.AGENT: "agent",
        api.ParticipantInfo.Kind.SIP: "phone",
    }
    async with open_client(server) as client:
        try:
            answer = await client.room.list_participants(api.ListParticipantsRequest(room=room))
        except api.ServerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return []
    return [
        Participant(found.identity, kinds.get(found.kind, "other")) for found in answer.participants
    ]


async def remove(room: str, *, identity: str, server: VoiceServer | None = None) -> None:
    """Take somebody out of a room; who is gone already is no error.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    from livekit import api

    async with open_client(server) as client:
        try:
            await client.room.remove_participant(
                api.RoomParticipantIdentity(room=room, identity=identity)
            )
        except api.ServerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise


async def put_through(
    room: str, *, caller: str, number: str, ringing_s: float, server: VoiceServer | None = None
) -> None:
    """Hand a caller over to a number (E.164) and wait until it has answered.

    Raises:
        RoomsUnavailable: It did not answer or the telephone side refuses: the caller is still here.
    """
    from livekit import api

    request = api.TransferSIPParticipantRequest(
        room_name=room, participant_identity=caller, transfer_to=f"tel:{number}", play_dialtone=True
    )
    request.ringing_timeout.FromMilliseconds(int(ringing_s * 1000))
    async with open_client(server) as client:
        await client.sip.transfer_sip_participant(request)


async def end(room: str, *, server: VoiceServer | None = None) -> None:
    """Hang everybody in a room up; a room that is gone is no error.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    from livekit import api

    async with open_client(server) as client:
        try:
            await client.room.delete_room(api.DeleteRoomRequest(room=room))
        except api.ServerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise


@contextlib.asynccontextmanager
async def open_client(
    server: VoiceServer | None, *, refusal: bool = False
) -> "AsyncGenerator[api.LiveKitAPI]":
    """Open a client; with `refusal`, a request that is wrong by itself is told apart.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
        TelephonyRejected: The request is wrong by itself.
    """
    import aiohttp
    from livekit import api

    server = server or VoiceServer.from_environment()
    try:
        async with api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client:
            yield client
    except api.ServerError as error:
        if refusal and error.status == HTTPStatus.BAD_REQUEST:
            raise TelephonyRejected from error
        raise RoomsUnavailable from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise RoomsUnavailable from error
