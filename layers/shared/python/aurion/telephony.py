"""The telephone side as it should be, and what it takes to get there.

Twilio asks our functions what to do with a call to a company's number. They have it dial the call's
room on the voice server, announced as the dialled number, over one trunk. The server finds the
company's rule by that number, makes the room and sends the company's agents there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from aurion import cells, database, phone_numbers, tenants, trunks, twilio_numbers
from aurion.call_routes import RULE_PREFIX
from aurion.errors import OutsideEurope
from aurion.rooms import Errand, VoiceServer
from aurion.settings import settings
from aurion.trunks import Rule, Trunk
from aurion.twilio_numbers import Account, Client, Number

_NAME = "aurion"
_RULE = RULE_PREFIX


@dataclass(frozen=True, slots=True)
class Company:
    """A company that is called: its numbers (E.164), and the agents that answer."""

    tenant_id: UUID
    name: str
    agent_name: str
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> "Company":
        """Read what `describe` wrote."""
        return cls(
            UUID(described["tenant_id"]),
            described["name"],
            described["agent_name"],
            tuple(described["numbers"]),
        )

    def describe(self) -> dict[str, Any]:
        """Write it in plain values."""
        return {
            "tenant_id": str(self.tenant_id),
            "name": self.name,
            "agent_name": self.agent_name,
            "numbers": list(self.numbers),
        }


def list_companies() -> list[Company]:
    """List the companies that are called, with their numbers.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    found: list[Company] = []
    for tenant in tenants.list_all():
        with database.tenant_transaction(tenant.tenant_id) as conn:
            numbers = tuple(sorted(phone_numbers.list_all(conn)))
            agent_name = cells.agent_name(conn, shared=settings().agent_name)
        if numbers and tenant.status != "ended":
            found.append(Company(tenant.tenant_id, tenant.name, agent_name, numbers))
    return found


@dataclass(frozen=True, slots=True)
class Report:
    """What was changed, and what is left for somebody to look at; a sentence each."""

    changed: list[str]
    unseen: list[str]


async def apply(
    companies: Sequence[Company],
    *,
    voice: VoiceServer,
    account: Account,
    hooks_url: str,
    voice_anywhere: bool = False,
    twilio_anywhere: bool = False,
) -> Report:
    """Bring the voice server and Twilio to where they should be.

    Done again, it changes nothing. `companies` are all there are: rules of others are removed. Both
    vendors must be known to keep calls within the European Union, unless told `*_anywhere`.

    Raises:
        OutsideEurope: A vendor is not known to; nothing was changed.
        AccountRefused: Twilio knows no such account there, or a number isn't the account's.
        TelephonyRejected: Something that isn't ours takes the same calls.
        TelephonyUnavailable: Twilio does not answer.
        RoomsUnavailable: The voice server does not answer, or has no telephone side.
    """
    if not voice_anywhere and not stays_in_europe(voice):
        raise OutsideEurope(
            "The voice server isn't LiveKit Cloud by its European addresses,"
            " <name>.eu.rtc.livekit.cloud and <name>.eu.sip.livekit.cloud."
        )
    if not twilio_anywhere and account.region != twilio_numbers.EUROPE:
        raise OutsideEurope("The Twilio account is used outside of Ireland (IE1).")
    with Client(account) as client:
        # Everything that can be refused is looked at before anything is changed.
        await asyncio.to_thread(client.check)
        numbers = [
            await asyncio.to_thread(client.find, e164)
            for company in companies
            for e164 in company.numbers
        ]
        changed = await _apply_voice(companies, voice)
        for number in numbers:
            changed += await asyncio.to_thread(_apply_number, client, number, hooks_url)
    unseen = [
        f"{number.e164}: see in Twilio's console that its calls are taken in {account.region}"
        for number in numbers
        if not account.routing_token
    ]
    return Report(changed, unseen)


def stays_in_europe(voice: VoiceServer) -> bool:
    """Say whether a voice server is known to keep calls within the European Union.

    Its addresses of one region lead to machines of that region only; the others lead to whatever is
    nearest, and nobody can tell from outside where a server of one's own stands.

    Source: https://docs.livekit.io/deploy/admin/regions/endpoints
    """
    host = urlsplit(voice.url).hostname or ""
    return host.endswith(".eu.rtc.livekit.cloud") and voice.sip_host.endswith(
        ".eu.sip.livekit.cloud"
    )


async def _apply_voice(companies: Sequence[Company], voice: VoiceServer) -> list[str]:
    trunk_id, changed = await _apply_trunk(voice)
    wanted = {
        _RULE + str(company.tenant_id): Rule(
            name=_RULE + str(company.tenant_id),
            trunk_id=trunk_id,
            numbers=company.numbers,
            agent_name=company.agent_name,
            metadata=Errand(company.tenant_id).to_json(),
        )
        for company in companies
    }
    names = {_RULE + str(company.tenant_id): company.name for company in companies}
    present: dict[str, Rule] = {}
    for found in await trunks.list_rules(server=voice):
        if not found.name.startswith(_RULE):
            continue  # somebody else's
        rule = wanted.get(found.name)
        if rule is None or found.name in present:
            await trunks.delete_rule(found.id, server=voice)
            changed.append(f"rule {found.name.removeprefix(_RULE)}: removed")
            continue
        # A number that has gone to another company must be let go of before that one takes it.
        left = tuple(number for number in found.numbers if number in rule.numbers)
        if not left:
            await trunks.delete_rule(found.id, server=voice)
        elif left != found.numbers:
            found = replace(found, numbers=left)
            await trunks.save_rule(found, server=voice)
        if left:
            present[found.name] = found
    for name, rule in wanted.items():
        found = present.get(name)
        if found is None:
            await trunks.save_rule(rule, server=voice)
            changed.append(f"rule of {names[name]}: created")
        elif replace(rule, id=found.id) != found:
            await trunks.save_rule(replace(rule, id=found.id), server=voice)
            changed.append(f"rule of {names[name]}: updated")
    return changed


async def _apply_trunk(voice: VoiceServer) -> tuple[str, list[str]]:
    wanted = Trunk(_NAME, voice.sip_username, voice.sip_password)
    for found in await trunks.list_trunks(server=voice):
        if found.name != _NAME:
            continue
        if replace(wanted, id=found.id) == found:
            return found.id, []
        await trunks.save_trunk(replace(wanted, id=found.id), server=voice)
        return found.id, ["trunk: updated"]
    return await trunks.save_trunk(wanted, server=voice), ["trunk: created"]


def _apply_number(client: Client, found: Number, hooks_url: str) -> list[str]:
    wanted = replace(
        found,
        voice_url=f"{hooks_url}/twilio/voice",
        voice_method="POST",
        status_callback=f"{hooks_url}/twilio/status",
        status_callback_method="POST",
        # Either of them would be asked instead.
        voice_application_sid="",
        trunk_sid="",
    )
    changed: list[str] = []
    if wanted != found:
        client.save(wanted)
        changed.append(f"{found.e164}: asks {hooks_url}")
    region = client.region_of(found.e164)
    if region is not None and region != client.account.region:
        client.set_region(found.e164, client.account.region)
        changed.append(f"{found.e164}: is taken in {client.account.region}, no more in {region}")
    return changed
