"""What only a real account can prove: checked where a machine can, watched where a person calls.

Each proof ends as a pass, a fail, or not proved: nothing that was not seen is called a pass.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
from aurion import tls
from aurion.trunks import Trunk

type Verdict = Literal["pass", "fail", "not proved"]
type Call = Mapping[str, Any]

SIP_OVER_TLS = 5061
_CONNECT_S = 5.0
_LOOK_EVERY_S = 2.0
_STEP_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing, whether it is so, and what was seen."""

    what: str
    verdict: Verdict
    seen: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something a person does with a telephone, and what a call's row then shows.

    `holds` judges the newest call since the beginning, None while there is none.
    """

    what: str
    please: str
    holds: Callable[[Call | None], bool]


def _was_answered(call: Call) -> bool:
    return call["status"] == "active" or call["seconds"] is not None


STEPS = (
    Step(
        "Twilio asks the functions about a ringing call, signed",
        "Call {number} from a telephone and stay on the line.",
        lambda call: call is not None and call["channel"] == "phone",
    ),
    Step(
        "SIP INVITE over TLS with encrypted sound: an agent has answered",
        "Listen: an agent greets you.",
        lambda call: call is not None and _was_answered(call),
    ),
    Step(
        "keys reach the agent (DTMF)",
        "Say the name of somebody who is enrolled. Then type their badge, and do not speak it.",
        lambda call: call is not None and call["level"] >= 1,
    ),
    Step(
        "REFER passes the caller on",
        'Say "I want to speak to a person", and have the fallback number answered.',
        lambda call: call is not None and call["outcome"] == "transferred",
    ),
    Step(
        "Twilio tells the end of a call",
        "Hang up.",
        lambda call: call is not None and call["status"] == "closed",
    ),
)


def judge_database(connection: Mapping[str, Any]) -> Proof:
    """Judge what the database sees of a function's connection (`pg_stat_ssl`)."""
    what = "the database is spoken to over TLS 1.3"
    if not connection["encrypted"]:
        return Proof(what, "fail", "the connection is in the clear")
    seen = f"{connection['tls']}, {connection['cipher']}, PostgreSQL {connection['server']}"
    return Proof(what, "pass" if connection["tls"] == "TLSv1.3" else "fail", seen)


def judge_trunk(trunks: list[Trunk]) -> Proof:
    """Judge whether the voice server takes calls without encryption."""
    what = "the trunk takes encrypted calls only"
    ours = [trunk for trunk in trunks if trunk.name == "aurion"]
    if not ours:
        return Proof(what, "fail", "there is none: run `aurion telephony apply`")
    encrypted = all(trunk.encrypted for trunk in ours)
    return Proof(what, "pass" if encrypted else "fail", f"{len(ours)} trunk of ours")


def look_at_hooks(url: str, *, context: ssl.SSLContext | None = None) -> Iterator[Proof]:
    """Ask what vendors ask, at the address they have: ready, TLS 1.2 or better, nobody unsigned."""
    split = urlsplit(url)
    where = (split.hostname or "", split.port or 443)
    yield _tls("webhooks are taken over TLS 1.2 or 1.3", *where, context=context)
    yield _refuses_old("webhooks are not taken over TLS 1.1", *where)
    try:
        with httpx2.Client(
            timeout=30, verify=context or tls.outbound_context(), trust_env=False
        ) as client:
            health = client.get(f"{url}/health")
            forged = client.post(f"{url}/twilio/voice", data={"CallSid": "CA0"})
    except httpx2.HTTPError as error:
        yield Proof("the functions answer", "fail", type(error).__name__)
        return
    yield Proof(
        "the functions reach the database",
        "pass" if health.status_code == 200 else "fail",
        f"GET /health: {health.status_code}",
    )
    yield Proof(
        "what Twilio did not sign is refused",
        "pass" if forged.status_code == 403 else "fail",
        f"POST /twilio/voice: {forged.status_code}",
    )


def look_at_sip(host: str, *, context: ssl.SSLContext | None = None) -> Proof:
    """Open a connection as Twilio does before it sends an INVITE."""
    name, _, port = host.partition(":")
    number = int(port) if port else SIP_OVER_TLS
    return _tls("the voice server takes SIP over TLS", name, number, context=context)


def watch(
    number: str,
    newest: Callable[[], Call | None],
    tell: Callable[[str], None],
    *,
    steps: tuple[Step, ...] = STEPS,
    within_s: float = _STEP_WITHIN_S,
    every_s: float = _LOOK_EVERY_S,
) -> Iterator[Proof]:
    """Lead a person through a call, and see of each step whether it happened."""
    begun = False
    for step in steps:
        tell(step.please.format(number=number))
        until = time.monotonic() + within_s
        call = newest()
        while not step.holds(call) and time.monotonic() < until:
            if begun and call is not None and call["status"] == "closed":
                break  # nothing more will come of it
            time.sleep(every_s)
            call = newest()
        begun = begun or call is not None
        if step.holds(call):
            yield Proof(step.what, "pass", f"call {str(call['id'])[:8]}" if call else "")
        elif call is None:
            yield Proof(step.what, "fail", "no call came; Twilio's console, Monitor, says why")
            return
        else:
            seen = f"call {str(call['id'])[:8]} is {call['outcome'] or call['status']}"
            yield Proof(step.what, "not proved", f"{seen}, level {call['level']}")


def _tls(what: str, host: str, port: int, *, context: ssl.SSLContext | None) -> Proof:
    trusted = context or tls.outbound_context(minimum=ssl.TLSVersion.TLSv1_2)
    try:
        with (
            socket.create_connection((host, port), timeout=_CONNECT_S) as plain,
            trusted.wrap_socket(plain, server_hostname=host) as spoken,
        ):
            return Proof(what, "pass", f"{spoken.version()}, {host}:{port}")
    except ssl.SSLError as error:
        return Proof(what, "fail", f"{host}:{port}: {error.reason or 'no TLS'}")
    except OSError as error:
        return Proof(what, "fail", f"{host}:{port}: {type(error).__name__}")


def _refuses_old(what: str, host: str, port: int) -> Proof:
    # Nothing is sent over it, so there is nothing to verify; old versions need the lowest level.
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        with (
            socket.create_connection((host, port), timeout=_CONNECT_S) as plain,
            old.wrap_socket(plain, server_hostname=host) as spoken,
        ):
            return Proof(what, "fail", str(spoken.version()))
    except ssl.SSLError as error:
        return Proof(what, "pass", error.reason or "refused")
    except OSError as error:
        if isinstance(error, ConnectionResetError):
            return Proof(what, "pass", "refused")
        return Proof(what, "not proved", type(error).__name__)
