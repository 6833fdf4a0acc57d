"""The telephone side set up: on a real LiveKit server, and a Twilio that holds to its SDK."""

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aurion import phone_numbers, telephony, tenants, trunks
from aurion.database import tenant_transaction
from aurion.errors import (
    AccountRefused,
    OutsideEurope,
    RoomsUnavailable,
    TelephonyRejected,
    TelephonyUnavailable,
)
from aurion.rooms import Errand, VoiceServer
from aurion.telephony import Company, Report
from aurion.trunks import Rule, Trunk
from aurion.twilio_numbers import Account

from tests import redis_server
from tests.factories import Tenant
from tests.livekit_server import API_KEY, API_SECRET, LiveKitServer
from tests.providers import twilio
from tests.providers.twilio import TwilioServer

HOOKS = "https://hooks.example.eu/v1"
EUROPE = VoiceServer(
    "wss://desk.eu.rtc.livekit.cloud", "key", "secret", sip_host="desk.eu.sip.livekit.cloud"
)


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    with redis_server.run() as address:
        yield address


@pytest.fixture(scope="module")
def server(redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    log = tmp_path_factory.mktemp("telephony") / "server.log"
    with LiveKitServer(log, redis=redis) as running:
        yield running


@pytest.fixture
async def voice(server: LiveKitServer) -> VoiceServer:
    """A voice server without trunks and rules."""
    empty = VoiceServer(
        server.url,
        API_KEY,
        API_SECRET,
        sip_host="desk.sip.example",
        sip_username="aurion",
        sip_password="a-password",
    )
    for rule in await trunks.list_rules(server=empty):
        await trunks.delete_rule(rule.id, server=empty)
    return empty


@pytest.fixture
def phones() -> Iterator[TwilioServer]:
    with twilio.run() as running:
        yield running
        assert running.refused == []


def account(phones: TwilioServer, **changes: str) -> Account:
    plain = Account(twilio.ACCOUNT, "ie-token", "us-token", address=phones.address)
    return dataclasses.replace(plain, **changes)


def company(*numbers: str, name: str = "Meridian Works", agent_name: str = "aurion") -> Company:
    return Company(uuid.uuid4(), name, agent_name, numbers)


async def apply(
    companies: list[Company], voice: VoiceServer, phones: TwilioServer, **changes: str
) -> Report:
    return await telephony.apply(
        companies,
        voice=voice,
        account=account(phones, **changes),
        hooks_url=HOOKS,
        voice_anywhere=True,
    )


async def test_one_run_sets_everything_up_and_the_next_changes_nothing(
    voice: VoiceServer, phones: TwilioServer
) -> None:
    first = company("+33199000001", "+33199000002")
    second = company("+33199000003", name="Nordlicht", agent_name="aurion-of-its-own")
    for number in (*first.numbers, *second.numbers):
        phones.add_number(number)

    done = await apply([first, second], voice, phones)
    assert len(done.changed) >= 2 + 3 + 3  # rules, numbers, regions; the trunk may be there
    assert done.unseen == []

    (trunk,) = await trunks.list_trunks(server=voice)
    assert (trunk.username, trunk.password, trunk.encrypted) == ("aurion", "a-password", True)
    rules = {rule.numbers: rule for rule in await trunks.list_rules(server=voice)}
    assert set(rules) == {first.numbers, second.numbers}
    for wanted in (first, second):
        rule = rules[wanted.numbers]
        assert rule.trunk_id == trunk.id
        assert rule.agent_name == wanted.agent_name
        assert Errand.from_json(rule.metadata) == Errand(wanted.tenant_id)
        assert rule.callee_is_room
        assert rule.hides_numbers
    for number, per_region in phones.numbers.items():
        assert per_region["ie1"]["voice_url"] == f"{HOOKS}/twilio/voice"
        assert per_region["ie1"]["status_callback"] == f"{HOOKS}/twilio/status"
        assert per_region["us1"]["voice_url"] == ""
        assert phones.regions[number] == "ie1"

    phones.changes.clear()
    assert await apply([first, second], voice, phones) == Report([], [])
    assert phones.changes == []
    assert {rule.id for rule in rules.values()} == {
        rule.id for rule in await trunks.list_rules(server=voice)
    }


async def test_what_somebody_changed_by_hand_is_put_right(
    voice: VoiceServer, phones: TwilioServer
) -> None:
    ours = company("+33199000001")
    phones.add_number("+33199000001", region="ie1")
    await apply([ours], voice, phones)
    (trunk,) = await trunks.list_trunks(server=voice)
    (rule,) = await trunks.list_rules(server=voice)

    await trunks.save_trunk(dataclasses.replace(trunk, encrypted=False), server=voice)
    await trunks.save_rule(dataclasses.replace(rule, hides_numbers=False), server=voice)
    settings = phones.numbers["+33199000001"]["ie1"]
    settings["voice_url"] = "https://elsewhere.example"
    settings["trunk_sid"] = "TK" + "0" * 32

    done = await apply([ours], voice, phones)
    assert len(done.changed) == 3
    assert (await trunks.list_trunks(server=voice)) == [trunk]
    assert (await trunks.list_rules(server=voice)) == [rule]
    assert settings["voice_url"] == f"{HOOKS}/twilio/voice"
    assert settings["trunk_sid"] == ""


async def test_a_number_that_moves_is_taken_along(voice: VoiceServer, phones: TwilioServer) -> None:
    one, other = company("+33199000001", "+33199000002"), company("+33199000003")
    for number in (*one.numbers, *other.numbers):
        phones.add_number(number)
    await apply([one, other], voice, phones)

    # Both at once: the second company takes the first one's second number and gives its own away.
    after = [
        dataclasses.replace(other, numbers=("+33199000002",)),
        dataclasses.replace(one, numbers=("+33199000001", "+33199000003")),
    ]
    await apply(after, voice, phones)
    assert {rule.numbers for rule in await trunks.list_rules(server=voice)} == {
        company.numbers for company in after
    }
    assert await apply(after, voice, phones) == Report([], [])

    # A company that is gone leaves no rule; somebody else's rule is left alone.
    (trunk,) = await trunks.list_trunks(server=voice)
    theirs = Rule("theirs", trunk.id, ("+33199000009",), "another-agent", "")
    await trunks.save_rule(theirs, server=voice)
    await apply(after[1:], voice, phones)
    assert {rule.name for rule in await trunks.list_rules(server=voice)} == {
        "theirs", f"aurion {one.tenant_id}"
    }  # fmt: skip


async def test_a_rule_of_somebody_elses_in_the_way_is_said(
    voice: VoiceServer, phones: TwilioServer
) -> None:
    phones.add_number("+33199000001")
    trunk_id = (await trunks.list_trunks(server=voice))[0].id
    theirs = Rule("theirs", trunk_id, ("+33199000001",), "another-agent", "")
    await trunks.save_rule(theirs, server=voice)
    with pytest.raises(TelephonyRejected):
        await apply([company("+33199000001")], voice, phones)


async def test_a_second_trunk_for_the_same_calls_is_refused(voice: VoiceServer) -> None:
    if not await trunks.list_trunks(server=voice):
        await trunks.save_trunk(Trunk("aurion", "aurion", "a-password"), server=voice)
    with pytest.raises(TelephonyRejected):
        await trunks.save_trunk(Trunk("theirs", "them", "password"), server=voice)


@pytest.mark.parametrize(
    "place",
    [
        dataclasses.replace(EUROPE, url="wss://desk.livekit.cloud"),
        dataclasses.replace(EUROPE, url="wss://desk.us.rtc.livekit.cloud"),
        dataclasses.replace(EUROPE, url="wss://eu.rtc.livekit.cloud.example.com"),
        dataclasses.replace(EUROPE, sip_host="desk.sip.livekit.cloud"),
        dataclasses.replace(EUROPE, sip_host="desk.uk.sip.livekit.cloud"),
        dataclasses.replace(EUROPE, url="ws://127.0.0.1:7880", sip_host="127.0.0.1"),
    ],
)
async def test_a_voice_server_outside_of_europe_is_refused(
    place: VoiceServer, phones: TwilioServer
) -> None:
    phones.add_number("+33199000001")
    assert not telephony.stays_in_europe(place)
    with pytest.raises(OutsideEurope):
        await telephony.apply(
            [company("+33199000001")], voice=place, account=account(phones), hooks_url=HOOKS
        )
    assert phones.changes == []


def test_a_voice_server_in_europe_is_known() -> None:
    assert telephony.stays_in_europe(EUROPE)


async def test_an_account_outside_of_ireland_is_refused_unless_told_otherwise(
    voice: VoiceServer, phones: TwilioServer
) -> None:
    ours = company("+33199000001")
    phones.add_number("+33199000001", region="us1")
    american = account(phones, region="us1", auth_token="us-token")
    with pytest.raises(OutsideEurope):
        await telephony.apply(
            [ours], voice=voice, account=american, hooks_url=HOOKS, voice_anywhere=True
        )
    assert phones.changes == []
    assert await trunks.list_rules(server=voice) == []

    await telephony.apply(
        [ours],
        voice=voice,
        account=american,
        hooks_url=HOOKS,
        voice_anywhere=True,
        twilio_anywhere=True,
    )
    assert phones.numbers["+33199000001"]["us1"]["voice_url"] == f"{HOOKS}/twilio/voice"
    assert phones.regions["+33199000001"] == "us1"


async def test_credentials_of_another_region_change_nothing(
    voice: VoiceServer, phones: TwilioServer
) -> None:
    phones.add_number("+33199000001")
    with pytest.raises(AccountRefused):
        await apply([company("+33199000001")], voice, phones, auth_token="us-token")
    phones.status = "suspended"
    with pytest.raises(AccountRefused):
        await apply([company("+33199000001")], voice, phones)
    phones.status = "active"
    with pytest.raises(AccountRefused, match=r"\+3319900000\b"):
        await apply([company("+3319900000")], voice, phones)  # a beginning of one it has
    phones.down = True
    with pytest.raises(TelephonyUnavailable):
        await apply([company("+33199000001")], voice, phones)
    assert phones.changes == []
    assert await trunks.list_rules(server=voice) == []


async def test_a_region_that_cannot_be_seen_is_said(
    voice: VoiceServer, phones: TwilioServer
) -> None:
    phones.add_number("+33199000001", region="us1")
    for _ in range(2):
        done = await apply([company("+33199000001")], voice, phones, routing_token="")
        assert len(done.unseen) == 1
    assert phones.regions["+33199000001"] == "us1"


async def test_a_server_without_a_telephone_side_is_said(
    tmp_path: Path, phones: TwilioServer
) -> None:
    phones.add_number("+33199000001")
    with LiveKitServer(tmp_path / "server.log") as bare:
        lacking = VoiceServer(bare.url, API_KEY, API_SECRET)
        with pytest.raises(RoomsUnavailable):
            await apply([company("+33199000001")], lacking, phones)
    assert phones.changes == []


def test_companies_that_are_called_are_listed(tenant: Tenant, other_tenant: Tenant) -> None:
    assert telephony.list_companies() == []
    for owner, number in ((tenant, "+33199000002"), (other_tenant, "+33199000001")):
        with tenant_transaction(owner.tenant_id) as conn:
            phone_numbers.add(conn, number)
    with tenant_transaction(other_tenant.tenant_id) as conn:
        tenants.update(conn, status="ended")
    (listed,) = telephony.list_companies()
    assert listed == Company(tenant.tenant_id, tenant.name, "aurion", ("+33199000002",))
    assert Company.of(listed.describe()) == listed
