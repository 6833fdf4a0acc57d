"""`aurion telephony apply`, as its user runs it, on a running stack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests import redis_server
from tests.integration.local.conftest import RunningStack
from tests.livekit_server import API_KEY, API_SECRET, LiveKitServer
from tests.providers import twilio
from tests.providers.twilio import TwilioServer

HOOKS = "https://hooks.example.eu"


@pytest.fixture
def phones() -> Iterator[TwilioServer]:
    with twilio.run() as running:
        yield running
        assert running.refused == []


@pytest.fixture
def connected(stack: RunningStack, phones: TwilioServer, tmp_path: Path) -> Iterator[RunningStack]:
    """The stack, with a voice server and a telephone company; afterwards without them again."""
    environment = json.loads((stack.home / "state.json").read_text())["environment"]
    store: Any = boto3.client(
        "secretsmanager",
        region_name=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    before = {
        name: store.get_secret_value(SecretId=environment[name])["SecretString"]
        for name in ("LIVEKIT_SECRET", "TWILIO_SECRET")
    }
    account = {
        "account_sid": twilio.ACCOUNT,
        "auth_token": "ie-token",
        "routing_auth_token": "us-token",
        "address": phones.address,
    }
    with redis_server.run() as redis, LiveKitServer(tmp_path / "livekit.log", redis=redis) as voice:
        server = {
            **json.loads(before["LIVEKIT_SECRET"]),
            "url": voice.url,
            "api_key": API_KEY,
            "api_secret": API_SECRET,
        }
        after = {"LIVEKIT_SECRET": json.dumps(server), "TWILIO_SECRET": json.dumps(account)}
        try:
            for name, value in after.items():
                store.put_secret_value(SecretId=environment[name], SecretString=value)
            yield stack
        finally:
            for name, value in before.items():
                store.put_secret_value(SecretId=environment[name], SecretString=value)


def test_the_telephone_side_is_set_up_once(connected: RunningStack, phones: TwilioServer) -> None:
    unreachable = connected.run("telephony", "apply")
    assert unreachable.returncode == 2
    assert "--hooks-url" in unreachable.stderr

    listed = connected.run("tenant", "list").stdout.split()
    for number in {word for word in listed if word.startswith("+")}:
        phones.add_number(number)
    assert "+33199000001" in phones.numbers

    command = ("telephony", "apply", "--hooks-url", HOOKS)
    refused = connected.run(*command)
    assert refused.returncode == 1
    assert "European addresses" in refused.stderr
    assert phones.changes == []

    done = connected.run(*command, "--livekit-anywhere")
    assert done.returncode == 0, done.stderr
    assert "trunk: created" in done.stdout
    assert "rule of Meridian Works: created" in done.stdout
    assert phones.numbers["+33199000001"]["ie1"]["voice_url"] == f"{HOOKS}/twilio/voice"
    for secret in ("ie-token", "us-token", API_SECRET):
        assert secret not in done.stdout + done.stderr

    again = connected.run(*command, "--livekit-anywhere")
    assert (again.returncode, again.stdout.strip()) == (0, "Nothing to change.")
