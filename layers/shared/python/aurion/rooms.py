"""Ask the voice server for agents, rooms and its telephone side; nothing else speaks its API.

The client is imported when it is first needed: most of what imports this package has no voice
server to ask.
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


@dataclass(frozen=True, slots=True)
class Trunk:
    """Where calls come in from the telephone side: with these credentials, encrypted, or not."""

    name: str
    username: str
    password: str = field(repr=False)
    encrypted: bool = True
    ringing_s: int = 25
    longest_call_s: int = 7200
    id: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which agents are sent to a call: those of `agent_name`, when one of `numbers` was dialled.

    The telephone side announces the dialled number (E.164) as the one that calls, and dials the
    room: it is called so, without anything random, and no caller's number becomes a part of it.
    """

    name: str
    trunk_id: str
    numbers: tuple[str, ...]
    agent_name: str
    metadata: str
    callee_is_room: bool = True
    hides_numbers: bool = True
    id: str = ""


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

    async with _client(server) as client:
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
    async with _client(server) as client:
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

    async with _client(server) as client:
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
    async with _client(server) as client:
        await client.sip.transfer_sip_participant(request)


async def end(room: str, *, server: VoiceServer | None = None) -> None:
    """Hang everybody in a room up; a room that is gone is no error.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    from livekit import api

    async with _client(server) as client:
        try:
            await client.room.delete_room(api.DeleteRoomRequest(room=room))
        except api.ServerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise


async def list_trunks(*, server: VoiceServer | None = None) -> list[Trunk]:
    """List where calls come in.

    Raises:
        RoomsUnavailable: The voice server does not answer, or has no telephone side.
    """
    from livekit import api

    async with _client(server) as client:
        answer = await client.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest())
    return [
        Trunk(
            name=found.name,
            username=found.auth_username,
            password=found.auth_password,
            encrypted=_is_encrypted(found),
            ringing_s=found.ringing_timeout.seconds,
            longest_call_s=found.max_call_duration.seconds,
            id=found.sip_trunk_id,
        )
        for found in answer.items
    ]


async def save_trunk(trunk: Trunk, *, server: VoiceServer | None = None) -> str:
    """Create a trunk, or replace the one of its id; returns the id.

    Raises:
        RoomsUnavailable: The voice server does not answer, or has no telephone side.
        TelephonyRejected: Another trunk takes the same calls.
    """
    from livekit import api

    info = api.SIPInboundTrunkInfo(
        name=trunk.name,
        auth_username=trunk.username,
        auth_password=trunk.password,
        media_encryption=(
            api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_REQUIRE
            if trunk.encrypted
            else api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_DISABLE
        ),
    )
    info.ringing_timeout.FromSeconds(trunk.ringing_s)
    info.max_call_duration.FromSeconds(trunk.longest_call_s)
    async with _client(server, refusal=True) as client:
        if trunk.id:
            saved = await client.sip.update_inbound_trunk(trunk.id, info)
        else:
            saved = await client.sip.create_inbound_trunk(
                api.CreateSIPInboundTrunkRequest(trunk=info)
            )
    return saved.sip_trunk_id


async def list_rules(*, server: VoiceServer | None = None) -> list[Rule]:
    """List which agents are sent to which calls.

    Raises:
        RoomsUnavailable: The voice server does not answer, or has no telephone side.
    """
    from livekit import api

    async with _client(server) as client:
        answer = await client.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest())
    return [_rule(found) for found in answer.items]


async def save_rule(rule: Rule, *, server: VoiceServer | None = None) -> str:
    """Create a rule, or replace the one of its id; returns the id.

    Raises:
        RoomsUnavailable: The voice server does not answer, or has no telephone side.
        TelephonyRejected: Another rule takes the same calls.
    """
    from livekit import api

    assert rule.numbers, "a rule without numbers would take every call"
    info = api.SIPDispatchRuleInfo(
        name=rule.name,
        trunk_ids=[rule.trunk_id],
        inbound_numbers=rule.numbers,
        hide_phone_number=rule.hides_numbers,
        # A prefix would be joined to the callee by an underscore: ours is a part of the callee.
        rule=api.SIPDispatchRule(
            dispatch_rule_callee=api.SIPDispatchRuleCallee(room_prefix="", randomize=False)
        ),
        room_config=api.RoomConfiguration(
            metadata=rule.metadata,
            empty_timeout=30,
            departure_timeout=5,
            agents=[api.RoomAgentDispatch(agent_name=rule.agent_name, metadata=rule.metadata)],
        ),
    )
    async with _client(server, refusal=True) as client:
        if rule.id:
            saved = await client.sip.update_dispatch_rule(rule.id, info)
        else:
            saved = await client.sip.create_dispatch_rule(
                api.CreateSIPDispatchRuleRequest(dispatch_rule=info)
            )
    return saved.sip_dispatch_rule_id


async def delete_rule(rule_id: str, *, server: VoiceServer | None = None) -> None:
    """Have a rule's calls refused from now on.

    Raises:
        RoomsUnavailable: The voice server does not answer, or refuses.
    """
    from livekit import api

    async with _client(server) as client:
        await client.sip.delete_dispatch_rule(
            api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule_id)
        )


def _rule(found: "api.SIPDispatchRuleInfo") -> Rule:
    callee = found.rule.dispatch_rule_callee
    agents = found.room_config.agents
    return Rule(
        name=found.name,
        trunk_id=",".join(found.trunk_ids),
        numbers=tuple(sorted(found.inbound_numbers)),
        agent_name=",".join(agent.agent_name for agent in agents),
        metadata=",".join(sorted({found.room_config.metadata, *(a.metadata for a in agents)})),
        callee_is_room=(
            found.rule.HasField("dispatch_rule_callee")
            and not callee.room_prefix
            and not callee.randomize
        ),
        hides_numbers=found.hide_phone_number,
        id=found.sip_dispatch_rule_id,
    )


def _is_encrypted(found: "api.SIPInboundTrunkInfo") -> bool:
    from livekit import api

    required = api.SIPMediaEncryption.SIP_MEDIA_ENCRYPT_REQUIRE
    return required in (found.media_encryption, found.media.encryption)


@contextlib.asynccontextmanager
async def _client(
    server: VoiceServer | None, *, refusal: bool = False
) -> "AsyncGenerator[api.LiveKitAPI]":
    """Open a client; with `refusal`, a request that is wrong by itself is told apart."""
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
