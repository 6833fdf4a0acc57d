"""The functions behind their gateway, and a voice server that tells them of its rooms."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aurion import database, phone_numbers, secrets
from aurion.settings import settings

from local.gateway.process import GatewayProcess, start_gateway
from local.postgres import free_port
from tests.livekit_server import LiveKitServer
from tests.typed_calls import Company

CALLED, CALLING = "+33199000021", "+33199000101"
LIVEKIT_SECRET = "aurion/local/livekit-of-a-room"


@dataclass(frozen=True, slots=True)
class Hooks:
    """Where both run, and what they wrote."""

    gateway: GatewayProcess
    voice: LiveKitServer
    logs: Path


@contextmanager
def hooks_of(company: Company, folder: Path, *, triggers: bool) -> Iterator[Hooks]:
    """Run both for a company that is called by CALLED; with `triggers`, queues are worked off."""
    port = free_port()
    hooks_url = f"http://127.0.0.1:{port}/local"
    voice = LiveKitServer(folder / "server.log", webhooks=f"{hooks_url}/livekit/webhook")
    keys = voice.environment()
    secret = {
        "url": keys["LIVEKIT_URL"],
        "api_key": keys["LIVEKIT_API_KEY"],
        "api_secret": keys["LIVEKIT_API_SECRET"],
        **{"sip_host": "sip.localhost", "sip_username": "aurion", "sip_password": "a-password"},
    }
    secrets.put(LIVEKIT_SECRET, json.dumps(secret))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOKS_URL", hooks_url)
        patch.setenv("LIVEKIT_SECRET", LIVEKIT_SECRET)
        patch.setenv("ENVIRONMENT", "local")
        settings.cache_clear()
        with database.tenant_transaction(company.tenant.tenant_id) as conn:
            phone_numbers.add(conn, CALLED)
        gateway = start_gateway(
            folder / "logs",
            environment=os.environ,
            port=port,
            warm=["twilio_voice", "livekit_webhook"],
            base64_always=True,
            triggers=triggers,
            reload=False,
        )
        try:
            with voice:
                yield Hooks(gateway, voice, folder / "logs")
        finally:
            gateway.stop()
    settings.cache_clear()
