"""LiveKit's webhooks against the real database, and the watch over callers without an agent."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from aurion import calls, database, phone_numbers
from aurion.settings import settings

from local.aws import Aws
from tests.factories import Tenant
from tests.function_handlers import invoke
from tests.vendor_requests import (
    LIVEKIT_SECRET,
    call_sid,
    from_livekit,
    from_twilio,
    put_secrets,
    room_event,
    voice_form,
)

NUMBER = "+33199000101"
CALLER_CAME = {"participant": {"identity": "sip_1", "kind": "SIP", "name": "+33612345678"}}


@pytest.fixture(autouse=True)
def watch_queue(aws: Aws, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A queue of the test's own, whose messages do not have to be waited for."""
    put_secrets()
    url = aws.provision_queue(f"room-watch-{uuid4().hex[:8]}")
    monkeypatch.setenv("ROOM_WATCH_QUEUE_URL", url)
    settings.cache_clear()
    with database.tenant_transaction(tenant.tenant_id) as conn:
        phone_numbers.add(conn, NUMBER)
    yield url
    aws.client("sqs").delete_queue(QueueUrl=url)


def room_of_a_call() -> str:
    answer = invoke("twilio_voice", from_twilio("/twilio/voice", voice_form(call_sid(), to=NUMBER)))
    room: str = answer["body"].partition("sip:")[2].partition("@")[0]
    return room


def events(tenant: Tenant) -> int:
    with database.tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute(
            "SELECT count(*) FROM aurion.inbox_events WHERE provider = 'livekit'"
        ).fetchone()
    assert row is not None
    return row[0]


def waiting(aws: Aws, url: str) -> int:
    attributes = aws.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessagesDelayed"])


def message(aws: Aws, url: str) -> dict[str, Any]:
    """The next message as Lambda is handed it, whose waiting time is over."""
    received = aws.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=6)["Messages"][0]
    aws.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
    return {"messageId": received["MessageId"], "body": received["Body"]}


@pytest.mark.parametrize("base64_flagged", [False, True])
def test_an_event_is_noted_once_however_often_it_comes(
    base64_flagged: bool, tenant: Tenant
) -> None:
    body = room_event("room_started", room="call-x", tenant_id=tenant.tenant_id, note="Zoë")
    for _ in range(3):
        event = from_livekit(body, base64_flagged=base64_flagged)
        assert invoke("livekit_webhook", event)["statusCode"] == 200
    assert events(tenant) == 1


def _forged(body: bytes) -> dict[str, dict[str, Any]]:
    reserialised = json.dumps(json.loads(body), separators=(",", ":")).encode()
    unsigned = from_livekit(body)
    unsigned["headers"]["Authorization"] = ""
    cut = from_livekit(body)
    cut["headers"]["Authorization"] = cut["headers"]["Authorization"][:-4]
    return {
        "another secret": from_livekit(body, secret=LIVEKIT_SECRET + "?"),
        "another project": from_livekit(body, key="APIother"),
        "reserialised": from_livekit(reserialised, signed=body),
        "another body": from_livekit(body + b" ", signed=body),
        "no token": unsigned,
        "a cut token": cut,
    }


def test_forged_events_are_refused_and_leave_nothing(
    tenant: Tenant, capfd: pytest.CaptureFixture[str]
) -> None:
    body = room_event("room_started", room="call-x", tenant_id=tenant.tenant_id, **CALLER_CAME)
    for how, event in _forged(body).items():
        assert (how, invoke("livekit_webhook", event)["statusCode"]) == (how, 403)
        assert (how, events(tenant)) == (how, 0)
        told = "".join(capfd.readouterr())
        assert "Forged" in told
        assert "612345678" not in told, how


def test_two_megabytes_are_too_many(tenant: Tenant) -> None:
    body = room_event("room_started", room="call-x", tenant_id=tenant.tenant_id, pad="x" * 2**21)
    assert invoke("livekit_webhook", from_livekit(body))["statusCode"] == 413
    assert events(tenant) == 0


def test_rooms_that_are_no_calls_and_companies_that_are_gone_are_taken_note_of_by_nobody(
    tenant: Tenant,
) -> None:
    for body in (
        room_event("room_started", room="meeting", tenant_id=tenant.tenant_id),
        room_event("room_started", room="call-x", tenant_id=uuid4()),
        room_event("room_started", room="call-x", tenant_id="nobody"),
    ):
        assert invoke("livekit_webhook", from_livekit(body))["statusCode"] == 200
    assert invoke("livekit_webhook", from_livekit(b"[]"))["statusCode"] == 400
    assert events(tenant) == 0


def test_a_caller_without_an_agent_is_looked_after_in_three_seconds(
    tenant: Tenant, aws: Aws, watch_queue: str
) -> None:
    room = room_of_a_call()
    body = room_event("participant_joined", room=room, tenant_id=tenant.tenant_id, **CALLER_CAME)
    invoke("livekit_webhook", from_livekit(body))
    assert waiting(aws, watch_queue) == 1
    # What waits there holds ids: neither a number nor the token, which would open the room.
    body_text = message(aws, watch_queue)["body"]
    assert room.removeprefix("call-") not in body_text
    assert set(json.loads(body_text)) == {"version", "tenant_id", "call_id", "look"}


def test_a_caller_whose_agent_is_there_is_left_alone(
    tenant: Tenant, aws: Aws, watch_queue: str
) -> None:
    room = room_of_a_call()
    with database.tenant_transaction(tenant.tenant_id) as conn:
        call = calls.redeem_token(conn, token=room.removeprefix("call-"))
    body = room_event("participant_joined", room=room, tenant_id=tenant.tenant_id, **CALLER_CAME)
    invoke("livekit_webhook", from_livekit(body))
    assert waiting(aws, watch_queue) == 0
    with database.tenant_transaction(tenant.tenant_id) as conn:
        calls.claim(conn, call_id=call.id)
    look = {"version": 1, "tenant_id": str(tenant.tenant_id), "call_id": str(call.id)}
    record = {"messageId": "1", "body": json.dumps(look | {"look": "first"})}
    assert invoke("livekit_webhook", {"Records": [record]}) == {"batchItemFailures": []}


def test_messages_that_make_no_sense_or_meet_no_server_come_again(tenant: Tenant) -> None:
    room = room_of_a_call()
    with database.tenant_transaction(tenant.tenant_id) as conn:
        call = calls.find_by_token(conn, room.removeprefix("call-"))
    assert call is not None
    ids = {"version": 1, "tenant_id": str(tenant.tenant_id), "call_id": str(call.id)}
    records = [
        {"messageId": "no JSON", "body": "look!"},
        {"messageId": "another version", "body": json.dumps(ids | {"version": 2, "look": "first"})},
        {"messageId": "no server", "body": json.dumps(ids | {"look": "first"})},
        {
            "messageId": "no such call",
            "body": json.dumps(ids | {"call_id": str(uuid4()), "look": "first"}),
        },
    ]
    failed = invoke("livekit_webhook", {"Records": records})["batchItemFailures"]
    assert [one["itemIdentifier"] for one in failed] == [
        "no JSON",
        "another version",
        "no server",
    ]
