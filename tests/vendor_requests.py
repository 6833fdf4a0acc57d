"""Requests as Twilio and LiveKit send them, signed by their own libraries, as proxy events."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID, uuid4

from aurion import secrets
from aurion.settings import settings
from livekit import api
from twilio.request_validator import RequestValidator

ACCOUNT = "AC" + "0" * 32
TWILIO_TOKEN = "a twilio auth token of these tests"
LIVEKIT_KEY = "APItests"
LIVEKIT_SECRET = "a livekit secret of these tests, long enough"
CALLER = "+33612345678"


def put_secrets() -> None:
    """Store what the functions sign and check with."""
    secrets.put(
        settings().twilio_secret, json.dumps({"account_sid": ACCOUNT, "auth_token": TWILIO_TOKEN})
    )
    secrets.put(
        settings().livekit_secret,
        json.dumps(
            {
                "url": "ws://127.0.0.1:7880",
                "api_key": LIVEKIT_KEY,
                "api_secret": LIVEKIT_SECRET,
                "sip_host": "desk.sip.livekit.cloud",
                "sip_username": "aurion",
                "sip_password": "a trunk's password",
            }
        ),
    )


def call_sid() -> str:
    return f"CA{uuid4().hex}"


def voice_form(sid: str, *, to: str, calling: str = CALLER, **more: str) -> dict[str, str]:
    return {
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "CallSid": sid,
        "CallStatus": "ringing",
        "Called": to,
        "Caller": calling,
        "Direction": "inbound",
        "From": calling,
        "To": to,
        **more,
    }


def from_twilio(
    path: str,
    form: Mapping[str, str],
    *,
    token: str = TWILIO_TOKEN,
    base64_flagged: bool = False,
    base_url: str | None = None,
) -> dict[str, Any]:
    """A request of Twilio's to a path with its query."""
    url = (base_url or settings().hooks_url) + path
    signature = RequestValidator(token).compute_signature(url, dict(form))
    return proxy_event(
        path,
        urlencode(form).encode(),
        {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": signature,
        },
        base64_flagged=base64_flagged,
    )


def from_livekit(
    body: bytes,
    *,
    key: str = LIVEKIT_KEY,
    secret: str = LIVEKIT_SECRET,
    signed: bytes | None = None,
    base64_flagged: bool = False,
) -> dict[str, Any]:
    """A webhook of LiveKit's; `signed` is the body that its token is for."""
    digest = hashlib.sha256(body if signed is None else signed).digest()
    token = api.AccessToken(key, secret).with_sha256(base64.b64encode(digest).decode()).to_jwt()
    return proxy_event(
        "/livekit/webhook",
        body,
        {"Content-Type": "application/webhook+json", "Authorization": token},
        base64_flagged=base64_flagged,
    )


def room_event(kind: str, *, room: str, tenant_id: UUID | str, **more: object) -> bytes:
    """The body of a webhook, as LiveKit's server writes it."""
    return json.dumps(
        {
            "event": kind,
            "room": {
                "sid": "RM_test",
                "name": room,
                "metadata": json.dumps({"tenant": str(tenant_id), "resume": None, "tries": 0}),
            },
            "id": f"EV_{uuid4().hex[:12]}",
            "createdAt": "1795000000",
            **more,
        }
    ).encode()


def proxy_event(
    path: str, body: bytes, headers: Mapping[str, str], *, base64_flagged: bool = False
) -> dict[str, Any]:
    parts = urlsplit(path)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if pair)
    return {
        "resource": parts.path,
        "path": parts.path,
        "httpMethod": "POST",
        "headers": dict(headers),
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {k: [v] for k, v in query.items()} or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {"stage": "test", "requestId": "test", "httpMethod": "POST"},
        "body": base64.b64encode(body).decode() if base64_flagged else body.decode("utf-8"),
        "isBase64Encoded": base64_flagged,
    }
