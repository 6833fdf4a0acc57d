"""Whether a request was signed by whom it says.

The vendors' own checks do the same, and a test holds these to them; theirs bring 50 MB into a
function's layers, and LiveKit's takes longer to import than everything else here together.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aurion.errors import Forged

_LEEWAY_S = 60


def check_twilio(
    url: str, sent: Iterable[tuple[str, str]] | bytes, *, signature: str, auth_token: str
) -> None:
    """Hold a request against its X-Twilio-Signature; `url` is what Twilio was told to ask.

    `sent` is a form, or a body that is none: its hash is in the query, and the address is signed.

    Raises:
        Forged: It was signed with another token, for another address or for something else.

    Source: https://www.twilio.com/docs/usage/security#validating-requests
    """
    if isinstance(sent, bytes):
        named = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0]
        if not _is_same(hashlib.sha256(sent).hexdigest().encode(), named):
            raise Forged
        form: list[tuple[str, str]] = []
    else:
        form = list(sent)
    # Which of the two it signs depends on where in Twilio a request comes from.
    expected = [
        sign_twilio(address, form, auth_token=auth_token).encode()
        for address in _without_and_with_port(url)
    ]
    if not any(_is_same(each, signature) for each in expected):
        raise Forged


def sign_twilio(url: str, form: Iterable[tuple[str, str]], *, auth_token: str) -> str:
    """Sign a request as Twilio does; for our own machine and our own tests of a deployment."""
    # Whole pairs that repeat are signed once, as are the values of a repeated name: in order.
    text = url + "".join(name + value for name, value in sorted(set(form)))
    mac = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(mac).decode()


def check_livekit(
    body: bytes, *, authorization: str, api_key: str, api_secret: str, now: float | None = None
) -> None:
    """Hold a webhook's raw body against the token in its Authorization header.

    Raises:
        Forged: The token isn't ours, is over, or is for another body.

    Source: https://docs.livekit.io/home/server/webhooks
    """
    claims = _claims(authorization, api_secret)
    at = time.time() if now is None else now
    signed = claims.get("sha256")
    until, since = claims.get("exp"), claims.get("nbf", 0)
    # A token without an end would hold for ever.
    if not (
        claims.get("iss") == api_key
        and isinstance(until, int | float)
        and isinstance(since, int | float)
        and since - _LEEWAY_S <= at <= until + _LEEWAY_S
        and isinstance(signed, str)
        and _is_same(base64.b64encode(hashlib.sha256(body).digest()), signed)
    ):
        raise Forged


def _without_and_with_port(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    bare = parts.netloc.removesuffix(f":{parts.port}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (
        parts._replace(netloc=bare).geturl(),
        parts._replace(netloc=f"{bare}:{port}").geturl(),
    )


def _is_same(expected: bytes, given: str) -> bool:
    # A header can hold what no encoding takes.
    return hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass"))


def _claims(token: str, secret: str) -> dict[str, Any]:
    try:
        signed, _, mac = token.rpartition(".")
        expected = hmac.new(
            secret.encode(), signed.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).digest()
        if not hmac.compare_digest(expected, _decode(mac)):
            raise Forged
        head, _, claims = signed.partition(".")
        algorithm: Any = json.loads(_decode(head))
        found: Any = json.loads(_decode(claims))
        # The algorithm is ours to choose, never the token's.
        if algorithm["alg"] != "HS256" or not isinstance(found, dict):
            raise Forged
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Forged from None
    return found  # pyright: ignore[reportUnknownVariableType]


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
