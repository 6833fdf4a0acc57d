"""A call as Twilio asks about it: where to dial, and what when nobody answers.

Each question is answered from rows, so that one which is asked again gets the same answer and has
no second effect. While the database wakes, the caller hears it ring.
"""

import base64
import contextlib
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID
from zoneinfo import ZoneInfo

from aurion import (
    calls,
    database,
    drafts,
    inbox,
    phone_lines,
    phone_numbers,
    secrets,
    telemetry,
    tenants,
    ticket_texts,
    tickets,
    twiml,
)
from aurion.calls import Call
from aurion.drafts import Draft
from aurion.errors import (
    DatabaseUnavailable,
    Forged,
    KeysUnavailable,
    NotAllowed,
    NumberNotFound,
    RequestMalformed,
    TenantNotFound,
)
from aurion.http import Request, Response
from aurion.phone_lines import Choice, Offer
from aurion.settings import settings
from aurion.signatures import check_twilio
from aurion.tenants import Language, Tenant

logger = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9]{2,64}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_STEP = re.compile(r"(?P<name>[a-z]+)(?:-(?P<asked>[0-9]{1,2}))?")

_NO_TENANT_S_LANGUAGE: Language = "en"
_PAUSE_S = 3
_MOST_WAITS = 12
"""A paused database wakes within half a minute; a caller should not ring for much longer."""

_CLOSING_S = 3.0
"""How long an agent that has hung up may take to close its call's row."""


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who asks: the caller's line, what it dialled and from where (E.164, None when withheld)."""

    line_id: str
    dialled: str
    calling: str | None
    gone: bool
    fields: Mapping[str, str] = field(repr=False)


def answer_voice(request: Request) -> Response:
    """Say where a ringing call is to be dialled, and note the call, once.

    Raises:
        Forged: Twilio did not sign this.
        RequestMalformed: It names no call.
        SecretsUnavailable: Nothing can be verified now.
    """
    caller = _verify(request)
    asked = _asked(request.fields().get("wait", "0"))
    try:
        return _ring(caller)
    except (NumberNotFound, TenantNotFound):
        return _say_and_hang_up(_NO_TENANT_S_LANGUAGE, "unknown_number")
    except DatabaseUnavailable:
        return _wait("/twilio/voice?wait=", asked)


def answer_status(request: Request) -> Response:
    """Follow a call: a line's status, the end of the dialled line, a key that was pressed.

    Raises:
        Forged: Twilio did not sign this.
        RequestMalformed: It names no call, or nothing that could happen to one.
        NumberNotFound: Nobody has the number that was dialled.
        SecretsUnavailable: Nothing can be verified now.
        DatabaseUnavailable: A status could not be noted.
    """
    caller = _verify(request)
    asked_for = request.fields()
    if "step" not in asked_for:
        return _note_status(caller, leg_of=asked_for.get("leg"))
    step = _STEP.fullmatch(asked_for["step"])
    if step is None or step["name"] not in _STEPS:
        raise RequestMalformed
    try:
        tenant_id = phone_numbers.tenant_of(caller.dialled)
        return _STEPS[step["name"]](tenant_id, caller)
    except (NumberNotFound, TenantNotFound):
        return twiml.respond(twiml.hang_up())
    except DatabaseUnavailable:
        # Asked again, Twilio doesn't repeat the key: what it meant becomes the step's name.
        name = "callback" if caller.fields.get("Digits") == "1" else step["name"]
        return _wait(f"/twilio/status?step={name}-", int(step["asked"] or 0))


def call_token(tenant_id: UUID, line_id: str, *, secret: str) -> str:
    """Make the token of a call: the same for a line whenever asked, and no one else can make it."""
    mac = hmac.new(secret.encode(), f"call|{tenant_id}|{line_id}".encode(), hashlib.sha256)
    return base64.b32encode(mac.digest()[:20]).decode().lower()


def _ring(caller: _Caller) -> Response:
    tenant_id = phone_numbers.tenant_of(caller.dialled)
    voice = secrets.get_fields(
        settings().livekit_secret, "api_secret", "sip_host", "sip_username", "sip_password"
    )
    token = call_token(tenant_id, caller.line_id, secret=voice["api_secret"])
    with database.tenant_transaction(tenant_id) as conn:
        tenant = tenants.get(conn)
        if tenant.status == "ended":
            raise TenantNotFound
        if inbox.accept(conn, provider="twilio", event_id=f"{caller.line_id}:voice"):
            with contextlib.suppress(NotAllowed):
                calls.start(
                    conn,
                    channel="phone",
                    provider_call_id=caller.line_id,
                    dialled_number=caller.dialled,
                    calling_number=caller.calling,
                    token=token,
                )
        call = calls.find_by_provider_id(conn, caller.line_id)
    if call is None:
        return _say_and_hang_up(tenant.main_language, "switched_off")
    logger.info("a call is put through", extra={"call": str(call.id), "tenant": str(tenant_id)})
    return twiml.respond(
        twiml.dial_agent(
            f"call-{token}@{voice['sip_host']}",
            username=voice["sip_username"],
            password=voice["sip_password"],
            # The voice server learns which company is called, and never who calls.
            caller=caller.dialled,
            action=_url("/twilio/status?step=dialled"),
            refer=_url("/twilio/status?step=refer"),
            legs=_url(f"/twilio/status?leg={tenant_id}"),
        )
    )


def _note_status(caller: _Caller, *, leg_of: str | None) -> Response:
    status = phone_lines.read_status(caller.fields.get("CallStatus", ""))
    try:
        tenant_id = phone_numbers.tenant_of(caller.dialled) if leg_of is None else UUID(leg_of)
    except ValueError:
        raise RequestMalformed from None
    with database.tenant_transaction(tenant_id) as conn:
        if inbox.accept(conn, provider="twilio", event_id=f"{caller.line_id}:{status}"):
            phone_lines.note(conn, line_id=caller.line_id, status=status)
    return Response(204)


def _after_dial(tenant_id: UUID, caller: _Caller) -> Response:
    with database.tenant_transaction(tenant_id) as conn:
        tenant, call = tenants.get(conn), calls.find_by_provider_id(conn, caller.line_id)
        line = phone_lines.find(conn, caller.line_id)
    if line is not None and line.offered is not None:
        return _answer(tenant, line.offered)
    wanted = _what_to_offer(tenant, call, caller)
    with database.tenant_transaction(tenant_id) as conn:
        accepted = inbox.accept(conn, provider="twilio", event_id=f"{caller.line_id}:dialled")
        offered = phone_lines.offer(conn, line_id=caller.line_id, offered=wanted)
        if accepted and call is not None and offered != "nothing":
            served_s = twiml.LONGEST_CALL_S if offered == "fallback" else calls.RINGING_S
            calls.spare(conn, call_id=call.id, seconds=served_s)
    if accepted and offered != "nothing":
        telemetry.count("CallsNotPutThrough", call=None if call is None else str(call.id))
    return _answer(tenant, offered)


def _after_fallback(tenant_id: UUID, caller: _Caller) -> Response:
    tenant, call = _read(tenant_id, caller)
    if caller.fields.get("DialCallStatus") in ("completed", "answered"):
        if call is not None:
            with database.tenant_transaction(tenant_id) as conn:
                calls.end_unserved(conn, call_id=call.id, outcome="transferred")
        return twiml.respond(twiml.hang_up())
    if call is not None:
        with database.tenant_transaction(tenant_id) as conn:
            calls.spare(conn, call_id=call.id, seconds=calls.RINGING_S)
    return _answer(tenant, "callback" if caller.calling else "regret")


def _after_key(tenant_id: UUID, caller: _Caller) -> Response:
    return _choose(
        tenant_id, caller, "callback" if caller.fields.get("Digits") == "1" else "nothing"
    )


def _after_refer(tenant_id: UUID, caller: _Caller) -> Response:
    """Pass a caller on to the company's own people, and to no other number."""
    tenant, _ = _read(tenant_id, caller)
    wanted = _E164.search(caller.fields.get("ReferTransferTarget", ""))
    if tenant.fallback_number is None or wanted is None or wanted[0] != tenant.fallback_number:
        raise NotAllowed
    return twiml.respond(twiml.dial_number(tenant.fallback_number))


def _want_callback(tenant_id: UUID, caller: _Caller) -> Response:
    return _choose(tenant_id, caller, "callback")


_STEPS: dict[str, Callable[[UUID, _Caller], Response]] = {
    "dialled": _after_dial,
    "fallback": _after_fallback,
    "keypad": _after_key,
    "callback": _want_callback,
    "refer": _after_refer,
}


def _what_to_offer(tenant: Tenant, call: Call | None, caller: _Caller) -> Offer:
    if call is None or caller.gone or not _was_cut_off(tenant.tenant_id, call):
        return "nothing"
    if tenant.fallback_number is not None:
        return "fallback"
    return "callback" if caller.calling else "regret"


def _was_cut_off(tenant_id: UUID, call: Call) -> bool:
    """Say whether a call's agent is gone, after giving it the time to say goodbye to the row."""
    until = time.monotonic() + _CLOSING_S
    while call.status == "active" and time.monotonic() < until:
        time.sleep(0.25)
        with database.tenant_transaction(tenant_id) as conn:
            call = calls.get(conn, call.id)
    return call.status != "closed" or call.outcome in ("interrupted", "failed")


def _choose(tenant_id: UUID, caller: _Caller, wanted: Choice) -> Response:
    tenant, call = _read(tenant_id, caller)
    if caller.calling is None:
        wanted = "nothing"
    sealed = None
    if wanted == "callback" and call is not None:
        # Without keys the sweep finds the call still open, and asks for the call-back itself.
        with contextlib.suppress(KeysUnavailable):
            sealed = drafts.seal(tenant_id, _callback(tenant, call, caller.calling or ""))
    with database.tenant_transaction(tenant_id) as conn:
        accepted = inbox.accept(conn, provider="twilio", event_id=f"{caller.line_id}:keypad")
        chosen = phone_lines.choose(conn, line_id=caller.line_id, chosen=wanted)
        if accepted and sealed is not None and call is not None:
            calls.end_unserved(conn, call_id=call.id, outcome="callback", left=[sealed])
    name = "callback_noted" if chosen == "callback" else "goodbye"
    return _say_and_hang_up(tenant.main_language, name)


def _callback(tenant: Tenant, call: Call, number: str) -> Draft:
    started = call.started_at.astimezone(ZoneInfo(tenant.timezone))
    summary, description = ticket_texts.unanswered(
        tenant.main_language, started_at=started.strftime("%Y-%m-%d %H:%M"), number=number
    )
    return Draft(
        call_id=call.id,
        kind="callback",
        idempotency_key=tickets.callback_key(call.id),
        text=description,
        language=tenant.main_language,
        summary=summary,
        ticket_kind="callback",
    )


def _answer(tenant: Tenant, offered: Offer) -> Response:
    language = tenant.main_language
    match offered:
        case "fallback" if tenant.fallback_number is not None:
            return twiml.respond(
                twiml.say(language, "to_colleague"),
                twiml.dial_number(
                    tenant.fallback_number, action=_url("/twilio/status?step=fallback")
                ),
            )
        case "callback":
            offer = twiml.say(language, "offer_callback")
            return twiml.respond(
                twiml.ask_for_key(offer, action=_url("/twilio/status?step=keypad"))
            )
        case "nothing":
            return twiml.respond(twiml.hang_up())
        case _:
            return _say_and_hang_up(language, "call_later")


def _wait(path: str, asked: int) -> Response:
    if asked >= _MOST_WAITS:
        telemetry.count("CallsNotPutThrough")
        return _say_and_hang_up(_NO_TENANT_S_LANGUAGE, "trouble")
    logger.warning("a caller waits for the database", extra={"asked": asked})
    return twiml.respond(*twiml.wait_and_ask(_url(f"{path}{asked + 1}"), seconds=_PAUSE_S))


def _say_and_hang_up(language: Language, name: str) -> Response:
    return twiml.respond(twiml.say(language, name), twiml.hang_up())


def _read(tenant_id: UUID, caller: _Caller) -> tuple[Tenant, Call | None]:
    with database.tenant_transaction(tenant_id) as conn:
        return tenants.get(conn), calls.find_by_provider_id(conn, caller.line_id)


def _verify(request: Request) -> _Caller:
    secret = secrets.get_fields(settings().twilio_secret, "account_sid", "auth_token")
    form = request.form()
    check_twilio(
        _url(request.path + (f"?{request.query}" if request.query else "")),
        form,
        signature=request.headers.get("x-twilio-signature", ""),
        auth_token=secret["auth_token"],
    )
    fields = dict(form)
    if fields.get("AccountSid") != secret["account_sid"]:
        raise Forged
    line_id = fields.get("CallSid", "")
    if not _ID.fullmatch(line_id):
        raise RequestMalformed
    calling = fields.get("From", "")
    return _Caller(
        line_id=line_id,
        dialled=fields.get("To", ""),
        calling=calling if _E164.fullmatch(calling) else None,
        gone=fields.get("CallStatus") == "completed",
        fields=fields,
    )


def _asked(text: str) -> int:
    if not re.fullmatch("[0-9]{1,2}", text):
        raise RequestMalformed
    return int(text)


def _url(path: str) -> str:
    return settings().hooks_url + path
