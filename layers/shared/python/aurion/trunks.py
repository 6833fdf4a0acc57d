"""The voice server's telephone side: where calls come in, and which agents are sent to them.

The client is imported when it is first needed, as `aurion.rooms` does.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aurion.rooms import VoiceServer, open_client

if TYPE_CHECKING:
    from livekit import api


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


async def list_trunks(*, server: VoiceServer | None = None) -> list[Trunk]:
    """List where calls come in.

    Raises:
        RoomsUnavailable: The voice server does not answer, or has no telephone side.
    """
    from livekit import api

    async with open_client(server) as client:
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
    async with open_client(server, refusal=True) as client:
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

    async with open_client(server) as client:
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
    async with open_client(server, refusal=True) as client:
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

    async with open_client(server) as client:
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
