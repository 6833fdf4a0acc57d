"""Calls as Twilio asks about them, against the real database as aurion_app."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString
from xml.etree import ElementTree

import pytest
from aurion import calls, database, phone_lines, phone_numbers, sweeps, tenants
from aurion.calls import Call
from aurion.drafts import open_sealed
from aurion.errors import CallNotFound
from aurion.settings import settings
from psycopg import Connection

from tests.factories import Tenant
from tests.function_handlers import invoke
from tests.vendor_requests import CALLER, call_sid, from_twilio, put_secrets, voice_form

pytestmark = pytest.mark.usefixtures("aws")

NUMBER = "+33199000101"
OTHERS_NUMBER = "+33199000202"


@pytest.fixture(autouse=True)
def company(tenant: Tenant, other_tenant: Tenant, aws: object) -> Tenant:
    put_secrets()
    for owner, number in ((tenant, NUMBER), (other_tenant, OTHERS_NUMBER)):
        with database.tenant_transaction(owner.tenant_id) as conn:
            phone_numbers.add(conn, number)
    return tenant


def ring(sid: str, *, to: str = NUMBER, calling: str = CALLER, path: str = "/twilio/voice") -> Any:
    return invoke("twilio_voice", from_twilio(path, voice_form(sid, to=to, calling=calling)))


def tell(path: str, sid: str, **fields: str) -> Any:
    form = voice_form(sid, to=NUMBER) | {"CallStatus": "in-progress"} | fields
    return invoke("twilio_status", from_twilio(path, form))


def verbs(answer: Any) -> ElementTree.Element:
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "text/xml"
    return ElementTree.fromstring(answer["body"])


def verb(answer: Any, path: str) -> ElementTree.Element:
    found = verbs(answer).find(path)
    assert found is not None, answer["body"]
    return found


def text(answer: Any, path: str) -> str:
    return verb(answer, path).text or ""


def token_of(answer: Any) -> str:
    return text(answer, "Dial/Sip").removeprefix("sip:call-").partition("@")[0]


def rows(tenant: Tenant, table: str = "calls") -> int:
    statements: dict[str, LiteralString] = {
        "calls": "SELECT count(*) FROM aurion.calls",
        "inbox": "SELECT count(*) FROM aurion.inbox_events",
        "lines": "SELECT count(*) FROM aurion.phone_lines",
        "drafts": "SELECT count(*) FROM aurion.drafts",
    }
    with database.tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute(statements[table]).fetchone()
    assert row is not None
    return row[0]


def the_call(tenant: Tenant, sid: str) -> Call:
    with database.tenant_transaction(tenant.tenant_id) as conn:
        found = calls.find_by_provider_id(conn, sid)
    assert found is not None
    return found


def change(tenant: Tenant, **values: Any) -> None:
    with database.tenant_transaction(tenant.tenant_id) as conn:
        tenants.update(conn, **values)


def expire(conn: Connection) -> None:
    conn.execute("UPDATE aurion.calls SET lease_until = clock_timestamp() - interval '1 second'")


def test_a_ringing_call_is_noted_and_dialled_with_a_token_of_its_own(tenant: Tenant) -> None:
    sid = call_sid()
    answer = ring(sid)
    dial, sip = verb(answer, "Dial"), verb(answer, "Dial/Sip")
    assert (sip.text or "").endswith("@desk.sip.livekit.cloud;secure=true;region=ie1")
    assert (sip.get("username"), sip.get("password")) == ("aurion", "a trunk's password")
    # The voice server learns which company is called, and not who calls.
    assert dial.get("callerId") == NUMBER
    assert CALLER not in answer["body"]
    assert dial.get("action") == f"{settings().hooks_url}/twilio/status?step=dialled"
    call = the_call(tenant, sid)
    assert (call.channel, call.status, call.dialled_number) == ("phone", "ringing", NUMBER)
    assert call.calling_number == CALLER
    with database.tenant_transaction(tenant.tenant_id) as conn:
        left = conn.execute(
            "SELECT extract(epoch FROM token_expires_at - clock_timestamp()) FROM aurion.calls"
        ).fetchone()
        assert left is not None
        assert 50 < left[0] <= 60
        assert calls.redeem_token(conn, token=token_of(answer)).id == call.id
        with pytest.raises(CallNotFound):
            calls.redeem_token(conn, token=token_of(answer))


def test_a_replay_gets_the_same_answer_and_has_no_second_effect(tenant: Tenant) -> None:
    sid = call_sid()
    event = from_twilio("/twilio/voice", voice_form(sid, to=NUMBER))
    first = invoke("twilio_voice", event)
    with database.tenant_transaction(tenant.tenant_id) as conn:
        calls.redeem_token(conn, token=token_of(first))
        before = conn.execute("SELECT * FROM aurion.calls").fetchall()
    assert invoke("twilio_voice", event) == first
    with database.tenant_transaction(tenant.tenant_id) as conn:
        assert conn.execute("SELECT * FROM aurion.calls").fetchall() == before
        # A token that was used is not made good again by asking again.
        with pytest.raises(CallNotFound):
            calls.redeem_token(conn, token=token_of(first))
    assert rows(tenant, "inbox") == 1


def test_another_company_s_token_opens_nothing_here(tenant: Tenant, other_tenant: Tenant) -> None:
    token = token_of(ring(call_sid(), to=OTHERS_NUMBER))
    with database.tenant_transaction(tenant.tenant_id) as conn, pytest.raises(CallNotFound):
        calls.redeem_token(conn, token=token)
    assert rows(tenant) == 0
    assert rows(other_tenant) == 1


def test_a_body_flagged_as_base64_is_accepted(tenant: Tenant) -> None:
    form = voice_form(call_sid(), to=NUMBER, CallerName="Zoë Müller & Søn")
    verb(invoke("twilio_voice", from_twilio("/twilio/voice", form, base64_flagged=True)), "Dial")
    assert rows(tenant) == 1


def _forged(sid: str) -> dict[str, dict[str, Any]]:
    right = voice_form(sid, to=NUMBER)
    altered = from_twilio("/twilio/voice", right)
    altered["body"] = altered["body"].replace(NUMBER[1:], OTHERS_NUMBER[1:])
    added = from_twilio("/twilio/voice", right)
    added["body"] += "&StirVerstat=TN-Validation-Passed-A"
    unsigned = from_twilio("/twilio/voice", right)
    del unsigned["headers"]["X-Twilio-Signature"]
    not_ascii = from_twilio("/twilio/voice", right)
    not_ascii["headers"]["X-Twilio-Signature"] = "\ud800é"
    return {
        "another token": from_twilio("/twilio/voice", right, token="another"),
        "another address": from_twilio(
            "/twilio/voice", right, base_url="https://elsewhere.example"
        ),
        "another path": from_twilio("/twilio/voice?wait=1", right)
        | {"multiValueQueryStringParameters": None},
        "another number": altered,
        "a field more": added,
        "no signature": unsigned,
        "no text": not_ascii,
        "another account": from_twilio("/twilio/voice", right | {"AccountSid": "AC" + "1" * 32}),
    }


def test_forged_requests_are_refused_and_leave_nothing(
    tenant: Tenant, other_tenant: Tenant, capfd: pytest.CaptureFixture[str]
) -> None:
    sid = call_sid()
    for how, event in _forged(sid).items():
        answer = invoke("twilio_voice", event)
        assert (how, answer["statusCode"]) == (how, 403)
        assert json.loads(answer["body"]) == {"error": "Forged"}
        for owner in (tenant, other_tenant):
            assert (how, rows(owner), rows(owner, "inbox")) == (how, 0, 0)
        told = "".join(capfd.readouterr())
        assert "Forged" in told
        for value in (sid, CALLER[1:], NUMBER[1:]):
            assert value not in told, how


def test_two_megabytes_are_too_many(tenant: Tenant, capfd: pytest.CaptureFixture[str]) -> None:
    form = voice_form(call_sid(), to=NUMBER, Padding="x" * 2_097_152)
    for base64_flagged in (False, True):
        event = from_twilio("/twilio/voice", form, base64_flagged=base64_flagged)
        assert invoke("twilio_voice", event)["statusCode"] == 413
        assert rows(tenant) == 0
        assert "xxxx" not in "".join(capfd.readouterr())


def test_a_request_that_names_no_call_is_400(tenant: Tenant) -> None:
    for sid in ("", "CA x", "C" * 70):
        event = from_twilio("/twilio/voice", voice_form(sid, to=NUMBER))
        assert (sid, invoke("twilio_voice", event)["statusCode"]) == (sid, 400)


def test_a_number_that_nobody_has_is_told_so_politely(tenant: Tenant) -> None:
    answer = ring(call_sid(), to="+33199000999")
    assert "not in service" in text(answer, "Say")
    assert [child.tag for child in verbs(answer)] == ["Say", "Hangup"]
    assert rows(tenant, "inbox") == 0


def test_a_company_that_takes_no_calls_says_so_in_its_language(tenant: Tenant) -> None:
    change(tenant, calls_enabled=False, languages=["fr"])
    sid = call_sid()
    answer = ring(sid)
    assert verb(answer, "Say").get("language") == "fr-FR"
    assert "ne prend pas d'appels" in text(answer, "Say")
    assert rows(tenant) == 0
    change(tenant, calls_enabled=True)
    assert ring(sid) == answer  # a replay, whatever has changed since


def test_a_withheld_number_is_not_kept_as_one(tenant: Tenant) -> None:
    sid = call_sid()
    ring(sid, calling="anonymous")
    assert the_call(tenant, sid).calling_number is None


def test_the_caller_hears_it_ring_while_the_database_wakes(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = call_sid()
    with database_away(monkeypatch):
        first = ring(sid)
        assert [child.tag for child in verbs(first)] == ["Pause", "Redirect"]
        again = text(first, "Redirect").removeprefix(settings().hooks_url)
        last = ring(sid, path="/twilio/voice?wait=12")
        assert "technical problem" in text(last, "Say")
    # Awake, and asked at the address it gave.
    verb(ring(sid, path=again), "Dial")
    assert rows(tenant) == 1


class database_away:
    """Point at a port where nobody listens."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._held = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        self._held.setenv("DATABASE_PORT", "9")
        self._renew()

    def __exit__(self, *_: object) -> None:
        self._held.undo()
        self._renew()

    def _renew(self) -> None:
        database.close_pools()
        settings.cache_clear()


def test_one_request_fifty_times_at_once_is_one_call(tenant: Tenant) -> None:
    event = from_twilio("/twilio/voice", voice_form(call_sid(), to=NUMBER))
    together = threading.Barrier(25)

    def ask(number: int) -> str:
        if number < 25:
            together.wait()
        answer: str = invoke("twilio_voice", event)["body"]
        return answer

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(ask, range(50)))
    assert len({answer for answer in answers if "<Dial" in answer}) == 1
    assert all("<Dial" in answer or "<Redirect" in answer for answer in answers)
    assert (rows(tenant), rows(tenant, "inbox")) == (1, 1)


def test_statuses_in_any_order_end_at_the_furthest(tenant: Tenant) -> None:
    leg = call_sid()
    path = f"/twilio/status?leg={tenant.tenant_id}"
    for status in ("in-progress", "completed", "ringing", "completed", "initiated"):
        sip = {"To": "sip:call-x@desk.sip.livekit.cloud", "ParentCallSid": "CAparent"}
        assert tell(path, leg, CallStatus=status, **sip)["statusCode"] == 204
    with database.tenant_transaction(tenant.tenant_id) as conn:
        line = phone_lines.find(conn, leg)
    assert line is not None
    assert line.status == "completed"
    assert rows(tenant, "inbox") == 4
    assert tell(path, leg, CallStatus="dancing")["statusCode"] == 400
    assert tell("/twilio/status?leg=nobody", leg)["statusCode"] == 400
    assert tell("/twilio/status?step=dance", leg)["statusCode"] == 400


def test_a_call_that_an_agent_served_simply_ends(tenant: Tenant) -> None:
    sid = call_sid()
    ring(sid)
    with database.tenant_transaction(tenant.tenant_id) as conn:
        held = calls.claim(conn, call_id=the_call(tenant, sid).id)

    def goodbye() -> None:
        with database.tenant_transaction(tenant.tenant_id) as conn:
            calls.close(conn, call_id=held.id, epoch=held.epoch, outcome="informed")

    # Twilio asks while the agent is still writing the row.
    closing = threading.Timer(0.6, goodbye)
    closing.start()
    answer = tell("/twilio/status?step=dialled", sid, DialCallStatus="completed")
    closing.join()
    assert [child.tag for child in verbs(answer)] == ["Hangup"]
    assert the_call(tenant, sid).outcome == "informed"


def test_a_call_that_nobody_answered_offers_a_call_back_by_key(tenant: Tenant) -> None:
    sid = call_sid()
    ring(sid)
    offer = tell("/twilio/status?step=dialled", sid, DialCallStatus="failed")
    assert "Press one" in text(offer, "Gather/Say")
    keypad = (verb(offer, "Gather").get("action") or "").removeprefix(settings().hooks_url)
    noted = tell(keypad, sid, Digits="1")
    assert "will call you back" in text(noted, "Say")
    call = the_call(tenant, sid)
    assert (call.status, call.outcome) == ("closed", "callback")
    with database.tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute("SELECT * FROM aurion.drafts").fetchall()
        assert len(row) == 1
    assert CALLER in _draft_text(tenant)
    # Asked again: the same answers, nothing more.
    assert tell(keypad, sid, Digits="1") == noted
    assert tell("/twilio/status?step=dialled", sid, DialCallStatus="failed") == offer
    assert (rows(tenant, "drafts"), rows(tenant)) == (1, 1)


def _draft_text(tenant: Tenant) -> str:
    from aurion import drafts

    with database.tenant_transaction(tenant.tenant_id) as conn:
        held = drafts.claim_due(conn)
    assert held is not None
    return open_sealed(tenant.tenant_id, held).text


def test_who_presses_nothing_gets_a_goodbye_and_the_sweep_does_the_rest(tenant: Tenant) -> None:
    sid = call_sid()
    ring(sid)
    tell("/twilio/status?step=dialled", sid, DialCallStatus="no-answer")
    assert text(tell("/twilio/status?step=keypad", sid, Digits=""), "Say") == "Goodbye."
    # A key after that is too late: what was chosen first stands.
    assert text(tell("/twilio/status?step=keypad", sid, Digits="1"), "Say") == "Goodbye."
    with database.tenant_transaction(tenant.tenant_id) as conn:
        expire(conn)
    sweeps.close_expired(tenant.tenant_id)
    assert the_call(tenant, sid).outcome == "interrupted"
    assert rows(tenant, "drafts") == 1


def test_who_hangs_up_while_it_rings_is_not_called_back(tenant: Tenant) -> None:
    sid = call_sid()
    tell("/twilio/status", sid, CallStatus="completed")  # before the call itself, out of order
    ring(sid)
    with database.tenant_transaction(tenant.tenant_id) as conn:
        expire(conn)
    assert sweeps.close_expired(tenant.tenant_id) == []
    assert the_call(tenant, sid).outcome == "abandoned"
    assert rows(tenant, "drafts") == 0


def test_the_company_s_own_people_answer_first_and_then_the_key(tenant: Tenant) -> None:
    change(tenant, fallback_number="+33199000333")
    sid = call_sid()
    ring(sid)
    answer = tell("/twilio/status?step=dialled", sid, DialCallStatus="failed")
    assert text(answer, "Dial/Number") == "+33199000333"
    action = (verb(answer, "Dial").get("action") or "").removeprefix(settings().hooks_url)
    # Somebody may be talking for two hours: the sweep must not end that call.
    with database.tenant_transaction(tenant.tenant_id) as conn:
        left = conn.execute(
            "SELECT extract(epoch FROM lease_until - clock_timestamp()) FROM aurion.calls"
        ).fetchone()
    assert left is not None
    assert left[0] > 7000
    unanswered = tell(action, sid, DialCallStatus="no-answer")
    assert "Press one" in text(unanswered, "Gather/Say")
    assert the_call(tenant, sid).status == "ringing"
    answered = tell(action, sid, DialCallStatus="completed")
    assert [child.tag for child in verbs(answered)] == ["Hangup"]
    assert the_call(tenant, sid).outcome == "transferred"


def test_a_withheld_number_cannot_be_called_back(tenant: Tenant) -> None:
    sid = call_sid()
    ring(sid, calling="anonymous")
    answer = tell("/twilio/status?step=dialled", sid, DialCallStatus="failed", From="anonymous")
    assert "call again later" in text(answer, "Say")


def test_a_caller_is_passed_on_to_the_company_s_number_only(tenant: Tenant) -> None:
    change(tenant, fallback_number="+33199000333")
    sid = call_sid()
    ring(sid)
    path = "/twilio/status?step=refer"
    passed = tell(path, sid, ReferTransferTarget="sip:+33199000333@pstn.example;transport=tls")
    assert text(passed, "Dial/Number") == "+33199000333"
    assert tell(path, sid, ReferTransferTarget="sip:+33899123456@x")["statusCode"] == 403


def test_a_key_survives_a_database_that_sleeps(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = call_sid()
    ring(sid)
    tell("/twilio/status?step=dialled", sid, DialCallStatus="failed")
    with database_away(monkeypatch):
        waiting = tell("/twilio/status?step=keypad", sid, Digits="1")
        again = text(waiting, "Redirect").removeprefix(settings().hooks_url)
        # Asked at the new address, Twilio does not repeat the key.
        again = text(tell(again, sid), "Redirect").removeprefix(settings().hooks_url)
    assert "will call you back" in text(tell(again, sid), "Say")
    assert the_call(tenant, sid).outcome == "callback"
