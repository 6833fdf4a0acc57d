"""The telephone company of this machine: its requests are signed, its instructions followed.

It does what Twilio does around a call, https://www.twilio.com/docs/voice/twiml: asks what to do
with a ringing call, follows the answer until somebody is dialled, and tells how the call went.
"""

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode, urljoin
from xml.etree import ElementTree

import httpx2
from aurion import secrets as product_secrets
from aurion.settings import settings
from aurion.signatures import sign_twilio

logger = logging.getLogger(__name__)

_WITHHELD = "anonymous"
_ANSWER_S = 15.0  # what Twilio allows
_MOST_REQUESTS = 10


class CallRefused(Exception):
    """The call was not put through."""


@dataclass(frozen=True, slots=True)
class Line:
    """A caller's line; `room` is the user part of the address it was put through to."""

    id: str
    room: str
    form: Mapping[str, str]
    action: str | None

    @property
    def token(self) -> str:
        """The call's token, which the voice server shows to the agent as the room's name."""
        return self.room.removeprefix("call-")


def ring(*, dialled_number: str, calling_number: str | None) -> Line:
    """Ring a company's number (E.164) and follow the instructions until somebody is dialled.

    Raises:
        CallRefused: The instructions end before that, or there are none.
        SecretNotFound: The stack has no telephone company.
    """
    form = {
        "CallSid": f"CA{secrets.token_hex(16)}",
        "AccountSid": _account()["account_sid"],
        "From": calling_number or _WITHHELD,
        "To": dialled_number,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
    }
    url = f"{settings().hooks_url}/twilio/voice"
    for _ in range(_MOST_REQUESTS):
        answer = _request(url, form)
        step = _follow(answer)
        if isinstance(step, _Dialled):
            action = urljoin(url, step.action) if step.action else None
            return Line(form["CallSid"], step.room, form, action)
        if step is None:
            raise CallRefused(CallRefused.__doc__)
        time.sleep(step.pause_s)
        url = urljoin(url, step.url)
    raise CallRefused(CallRefused.__doc__)


def hang_up(line: Line) -> None:
    """Tell that the caller is gone: first of the line that was dialled, then of their own."""
    ended = {**line.form, "CallStatus": "completed"}
    if line.action is not None:
        _tell(line.action, {**ended, "DialCallStatus": "completed"})
    at = format_datetime(datetime.now(UTC))
    status = {**ended, "SequenceNumber": "2", "Timestamp": at}
    _tell(f"{settings().hooks_url}/twilio/status", status)


@dataclass(frozen=True, slots=True)
class _Dialled:
    room: str
    action: str | None


@dataclass(frozen=True, slots=True)
class _Redirected:
    url: str
    pause_s: float


def _follow(twiml: bytes) -> _Dialled | _Redirected | None:
    pause_s = 0.0
    for verb in ElementTree.fromstring(twiml):  # noqa: S314 - the product's own answer
        if verb.tag == "Pause":
            pause_s += float(verb.get("length") or 1)
        elif verb.tag == "Redirect" and verb.text:
            return _Redirected(verb.text.strip(), pause_s)
        elif verb.tag == "Dial" and (sip := verb.find("Sip")) is not None and sip.text:
            address = sip.text.strip().removeprefix("sip:")
            return _Dialled(address.partition("@")[0], verb.get("action"))
    return None


def _request(url: str, form: Mapping[str, str]) -> bytes:
    pairs = list(form.items())
    signature = sign_twilio(url, pairs, auth_token=_account()["auth_token"])
    try:
        answer = httpx2.post(
            url,
            content=urlencode(pairs),
            headers={
                "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
                "X-Twilio-Signature": signature,
                "User-Agent": "TwilioProxy/1.1",
            },
            timeout=_ANSWER_S,
            trust_env=False,
        )
    except httpx2.HTTPError:
        raise CallRefused("The functions do not answer.") from None
    if not answer.is_success:
        raise CallRefused(f"The functions answered with status {answer.status_code}.")
    return answer.content


def _tell(url: str, form: Mapping[str, str]) -> None:
    try:
        _request(url, form)
    except CallRefused as refusal:
        logger.warning("the end of a call was not taken note of: %s", refusal)


def _account() -> Mapping[str, str]:
    return product_secrets.get_fields(settings().twilio_secret, "account_sid", "auth_token")
