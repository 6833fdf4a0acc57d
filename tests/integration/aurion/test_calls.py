"""A call's life: started once, held by one agent at a time, closed once."""

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from aurion import calls, tenants, turns
from aurion.calls import Call
from aurion.database import tenant_transaction
from aurion.errors import (
    AurionError,
    CallClosed,
    CallNotFound,
    NotAllowed,
    StaleEpoch,
    TenantNotFound,
    TurnTaken,
)

from tests.factories import Tenant, make_people


def start(tenant: Tenant, **values: str) -> Call:
    with tenant_transaction(tenant.tenant_id) as conn:
        return calls.start(conn, channel="text", **values)  # type: ignore[arg-type]


def claim(tenant: Tenant, call_id: UUID, lease_s: float = 30) -> Call:
    with tenant_transaction(tenant.tenant_id) as conn:
        return calls.claim(conn, call_id=call_id, lease_s=lease_s)


def append(tenant: Tenant, call: Call, text: str, seq: int | None = None) -> int:
    with tenant_transaction(tenant.tenant_id) as conn:
        return turns.append(
            conn, call_id=call.id, epoch=call.epoch, speaker="caller", text=text, seq=seq
        )


def close(tenant: Tenant, call: Call) -> Call:
    with tenant_transaction(tenant.tenant_id) as conn:
        return calls.close(conn, call_id=call.id, epoch=call.epoch, outcome="resolved")


def texts(tenant: Tenant, call_id: UUID) -> list[tuple[int, str]]:
    with tenant_transaction(tenant.tenant_id) as conn:
        return [(turn.seq, turn.text) for turn in turns.list_all(conn, call_id)]


def messages(tenant: Tenant) -> int:
    with tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute("SELECT count(*) FROM aurion.outbox_messages").fetchone()
    assert row is not None
    return row[0]


def at_once(count: int, act: Callable[[int], object]) -> tuple[list[object], list[AurionError]]:
    """Run something in many threads that start together; returns results and deliberate errors."""
    results: list[object] = []
    errors: list[AurionError] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        try:
            results.append(act(number))
        except AurionError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, errors


def test_call_is_started_once_per_provider_id(tenant: Tenant, other_tenant: Tenant) -> None:
    started, errors = at_once(8, lambda _: start(tenant, provider_call_id="CA1").id)
    assert errors == []
    assert len(started) == 8
    assert len(set(started)) == 1
    assert start(other_tenant, provider_call_id="CA1").id not in started
    assert start(tenant).id != start(tenant).id


def test_call_starts_with_what_the_company_wants(tenant: Tenant) -> None:
    call = start(tenant, dialled_number="+33199000001", calling_number="+33612345678")
    assert (call.status, call.epoch, call.level, call.recording) == ("ringing", 0, 0, True)
    with tenant_transaction(tenant.tenant_id) as conn:
        tenants.update(conn, recording=False)
    assert not start(tenant).recording
    with tenant_transaction(tenant.tenant_id) as conn:
        tenants.update(conn, calls_enabled=False)
    with pytest.raises(NotAllowed):
        start(tenant)
    with pytest.raises(TenantNotFound):
        start(Tenant(uuid4(), "Nobody"))


def test_token_opens_its_call_once_and_for_its_time(tenant: Tenant, other_tenant: Tenant) -> None:
    def redeem(token: str, of: Tenant = tenant) -> UUID:
        with tenant_transaction(of.tenant_id) as conn:
            return calls.redeem_token(conn, token=token).id

    call = start(tenant, provider_call_id="CA1", token="first")
    with pytest.raises(CallNotFound):
        redeem("first", other_tenant)
    # Twilio asks again and gets another token: the last one counts.
    assert start(tenant, provider_call_id="CA1", token="second").id == call.id
    with pytest.raises(CallNotFound):
        redeem("first")
    redeemed, errors = at_once(6, lambda _: redeem("second"))
    assert redeemed == [call.id]
    assert [type(error) for error in errors] == [CallNotFound] * 5
    with tenant_transaction(tenant.tenant_id) as conn:
        calls.start(conn, channel="phone", token="late", ring_s=0)
    with pytest.raises(CallNotFound):
        redeem("late")
    claim(tenant, call.id)
    start(tenant, provider_call_id="CA1", token="third")
    with pytest.raises(CallNotFound):
        redeem("third")


def test_token_is_not_in_the_database(tenant: Tenant) -> None:
    start(tenant, token="canary-token")
    with tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute("SELECT c::text FROM aurion.calls c").fetchone()
    assert row is not None
    assert "canary" not in row[0]


def test_agents_that_take_over_get_an_epoch_each_and_only_the_last_may_write(
    tenant: Tenant,
) -> None:
    call = start(tenant)
    claimed, errors = at_once(8, lambda _: claim(tenant, call.id).epoch)
    assert errors == []
    assert sorted(map(int, map(str, claimed))) == list(range(1, 9))

    def write(epoch: int) -> int:
        with tenant_transaction(tenant.tenant_id) as conn:
            return turns.append(
                conn, call_id=call.id, epoch=epoch, speaker="agent", text=f"epoch {epoch}"
            )

    written, errors = at_once(8, lambda number: write(number + 1))
    assert written == [1]
    assert [type(error) for error in errors] == [StaleEpoch] * 7
    assert texts(tenant, call.id) == [(1, "epoch 8")]


def test_every_write_of_an_agent_that_was_replaced_is_refused(tenant: Tenant) -> None:
    old = claim(tenant, start(tenant).id)
    claim(tenant, old.id)
    person = make_people(tenant_row(tenant), {"Alice Martin": None})["Alice Martin"]
    with tenant_transaction(tenant.tenant_id) as conn:
        mine = {"call_id": old.id, "epoch": old.epoch}
        for write in (
            lambda: calls.renew(conn, **mine),
            lambda: calls.set_language(conn, language="fr", **mine),
            lambda: calls.set_caller(conn, person_id=person, level=1, **mine),
            lambda: calls.stop_recording(conn, **mine),
            lambda: calls.close(conn, outcome="resolved", **mine),
            lambda: turns.append(conn, speaker="agent", text="x", **mine),
        ):
            with pytest.raises(StaleEpoch):
                write()
        call = calls.get(conn, old.id)
    assert (call.status, call.language, call.level, call.recording) == ("active", None, 0, True)


def tenant_row(tenant: Tenant) -> tenants.Tenant:
    with tenant_transaction(tenant.tenant_id) as conn:
        return tenants.get(conn)


def test_takeover_waits_for_a_write_under_way_and_then_stops_the_next(tenant: Tenant) -> None:
    old = claim(tenant, start(tenant).id)
    taken: list[float] = []
    with tenant_transaction(tenant.tenant_id) as conn:
        turns.append(conn, call_id=old.id, epoch=old.epoch, speaker="agent", text="one")
        taker = threading.Thread(
            target=lambda: (claim(tenant, old.id), taken.append(time.monotonic()))
        )
        taker.start()
        time.sleep(0.3)
        released = time.monotonic()
    taker.join()
    assert taken[0] >= released
    with pytest.raises(StaleEpoch):
        append(tenant, old, "two")
    assert texts(tenant, old.id) == [(1, "one")]


def test_turns_of_parallel_writers_have_no_gap_and_no_double(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    numbers, errors = at_once(20, lambda number: append(tenant, call, f"turn {number}"))
    assert errors == []
    assert sorted(map(int, map(str, numbers))) == list(range(1, 21))
    assert [seq for seq, _ in texts(tenant, call.id)] == list(range(1, 21))
    assert len({text for _, text in texts(tenant, call.id)}) == 20


def test_turn_that_was_rolled_back_leaves_no_gap(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    append(tenant, call, "one")
    with contextlib.suppress(ZeroDivisionError), tenant_transaction(tenant.tenant_id) as conn:
        turns.append(conn, call_id=call.id, epoch=call.epoch, speaker="caller", text="lost")
        raise ZeroDivisionError
    append(tenant, call, "two")
    assert texts(tenant, call.id) == [(1, "one"), (2, "two")]


def test_turn_whose_answer_was_lost_can_be_repeated(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    assert append(tenant, call, "one", seq=1) == 1
    assert append(tenant, call, "one", seq=1) == 1
    assert append(tenant, call, "two", seq=2) == 2
    assert append(tenant, call, "one", seq=1) == 1
    for text, seq in (("other", 1), ("four", 4), ("zero", 0)):
        with pytest.raises(TurnTaken):
            append(tenant, call, text, seq=seq)
    assert texts(tenant, call.id) == [(1, "one"), (2, "two")]


def test_turn_with_what_no_text_can_hold_is_kept_without_it(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    assert append(tenant, call, "na\0ïve \ud83d done", seq=1) == 1
    assert append(tenant, call, "na\0ïve \ud83d done", seq=1) == 1
    assert texts(tenant, call.id) == [(1, "naïve  done")]


def test_turn_is_redacted_later_even_after_the_call(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    append(tenant, call, "my badge is 471129")
    close(tenant, call)
    with tenant_transaction(tenant.tenant_id) as conn:
        turns.redact(conn, call_id=call.id, seq=1, text=f"my badge is {turns.REDACTED}")
        turns.set_reply_ms(conn, call_id=call.id, seq=1, reply_ms=840)
        with pytest.raises(CallNotFound):
            turns.redact(conn, call_id=call.id, seq=2)
        with pytest.raises(CallNotFound):
            turns.set_reply_ms(conn, call_id=call.id, seq=2, reply_ms=1)
        turn = turns.list_all(conn, call.id)[0]
    assert (turn.text, turn.reply_ms) == ("my badge is [redacted: badge]", 840)


def test_call_is_closed_exactly_once_by_twenty(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    answers: list[tuple[list[object], list[AurionError]]] = []
    crowd = threading.Thread(
        target=lambda: answers.append(at_once(20, lambda _: close(tenant, call).ended_at))
    )
    with tenant_transaction(tenant.tenant_id) as conn:
        # As many as the pool holds have come as far as they can before the first may write.
        conn.execute("SELECT FROM aurion.calls FOR UPDATE")
        crowd.start()
        time.sleep(0.5)
    crowd.join()
    closed, errors = answers[0]
    assert len(closed) == 1
    assert [type(error) for error in errors] == [CallClosed] * 19
    assert messages(tenant) == 1


def test_closed_call_takes_nothing_more(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    ended = close(tenant, call)
    assert (ended.status, ended.outcome) == ("closed", "resolved")
    assert ended.ended_at is not None
    with pytest.raises(CallClosed):
        append(tenant, call, "late")
    with pytest.raises(CallClosed):
        claim(tenant, call.id)
    with pytest.raises(CallClosed), tenant_transaction(tenant.tenant_id) as conn:
        calls.renew(conn, call_id=call.id, epoch=call.epoch)


def test_close_that_fails_leaves_neither_the_end_nor_the_message(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    with contextlib.suppress(ZeroDivisionError), tenant_transaction(tenant.tenant_id) as conn:
        calls.close(conn, call_id=call.id, epoch=call.epoch, outcome="resolved")
        raise ZeroDivisionError
    assert messages(tenant) == 0
    with tenant_transaction(tenant.tenant_id) as conn:
        assert calls.get(conn, call.id).status == "active"


def test_lease_runs_on_the_database_clock(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id, lease_s=5)
    with tenant_transaction(tenant.tenant_id) as conn:
        until = calls.renew(conn, call_id=call.id, epoch=call.epoch, lease_s=60)
        row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    assert timedelta(seconds=59) < until - row[0] <= timedelta(seconds=60)


def test_level_and_person_go_together(tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    person = make_people(tenant_row(tenant), {"Alice Martin": None})["Alice Martin"]
    with tenant_transaction(tenant.tenant_id) as conn:
        mine = {"call_id": call.id, "epoch": call.epoch}
        for person_id, level in ((None, 1), (person, 0)):
            with pytest.raises(NotAllowed):
                calls.set_caller(conn, person_id=person_id, level=level, **mine)
        calls.set_caller(conn, person_id=person, level=1, **mine)
        calls.set_language(conn, language="fr", **mine)
        calls.stop_recording(conn, **mine)
        known = calls.get(conn, call.id)
        assert (known.person_id, known.level, known.language) == (person, 1, "fr")
        assert not known.recording
        calls.set_caller(conn, person_id=None, level=0, **mine)
        assert calls.get(conn, call.id).person_id is None


def test_recent_calls_come_newest_first_page_by_page(tenant: Tenant) -> None:
    ids = [start(tenant).id for _ in range(5)]
    with tenant_transaction(tenant.tenant_id) as conn:
        first = calls.list_recent(conn, limit=3)
        rest = calls.list_recent(conn, limit=3, before=first[-1].started_at)
    assert [call.id for call in first + rest] == ids[::-1]


def test_call_of_another_company_is_not_there(tenant: Tenant, other_tenant: Tenant) -> None:
    call = claim(tenant, start(tenant).id)
    append(tenant, call, "secret")
    with tenant_transaction(other_tenant.tenant_id) as conn:
        theirs = {"call_id": call.id, "epoch": call.epoch}
        for act in (
            lambda: calls.get(conn, call.id),
            lambda: calls.claim(conn, call_id=call.id),
            lambda: calls.hold(conn, **theirs),
            lambda: calls.renew(conn, **theirs),
            lambda: calls.set_language(conn, language="fr", **theirs),
            lambda: calls.set_caller(conn, person_id=None, level=0, **theirs),
            lambda: calls.stop_recording(conn, **theirs),
            lambda: calls.close(conn, outcome="failed", **theirs),
            lambda: turns.append(conn, speaker="caller", text="x", **theirs),
            lambda: turns.redact(conn, call_id=call.id, seq=1),
            lambda: turns.set_reply_ms(conn, call_id=call.id, seq=1, reply_ms=1),
        ):
            with pytest.raises(CallNotFound):
                act()
        assert calls.list_recent(conn) == []
        assert turns.list_all(conn, call.id) == []
    with tenant_transaction(tenant.tenant_id) as conn:
        assert calls.get(conn, call.id) == call
    assert texts(tenant, call.id) == [(1, "secret")]
