"""Calls whose agent is gone: closed as interrupted, once, with one call-back."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aurion import calls, outbox, sweeps, tenants, ticket_texts, tickets, turns
from aurion.calls import Call
from aurion.database import tenant_transaction
from aurion.drafts import Delivery
from aurion.errors import CallClosed, KeysUnavailable, TenantNotFound
from aurion.itsm import Connector
from aurion.itsm.demo_desk import DemoDesk
from aurion.settings import settings
from aurion.tenants import Tenant as TenantRow
from psycopg import Connection

from local.aws import Aws
from local.postgres import Database
from tests.factories import Tenant, make_people, make_tenant
from tests.integration.aurion.desk_calls import desk_of, left, start_call
from tests.integration.itsm.peers import Peer, demo_desk

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Peer]:
    with demo_desk(tmp_path) as peer:
        yield peer


def dead_call(tenant: Tenant, *said: str, calling_number: str | None = None) -> Call:
    """A call that was held, said something, and whose agent died."""
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.start(conn, channel="text", calling_number=calling_number)
        call = calls.claim(conn, call_id=call.id)
        for text in said:
            turns.append(conn, call_id=call.id, epoch=call.epoch, speaker="caller", text=text)
        return expire(conn, call.id)


def expire(conn: Connection, call_id: UUID) -> Call:
    conn.execute(
        "UPDATE aurion.calls SET lease_until = clock_timestamp() - interval '1 second',"
        " started_at = started_at - interval '1 minute' WHERE id = %s",
        (call_id,),
    )
    return calls.get(conn, call_id)


def read(tenant: Tenant, call_id: UUID) -> Call:
    with tenant_transaction(tenant.tenant_id) as conn:
        return calls.get(conn, call_id)


def messages(tenant: Tenant) -> list[UUID]:
    with tenant_transaction(tenant.tenant_id) as conn:
        rows = conn.execute("SELECT subject_id FROM aurion.outbox_messages").fetchall()
    return [row[0] for row in rows]


def test_dead_call_ends_interrupted_and_a_living_one_goes_on(tenant: Tenant) -> None:
    dead = dead_call(tenant, "hello")
    alive = start_call(tenant)
    assert sweeps.close_expired(tenant.tenant_id) == [dead.id]
    ended = read(tenant, dead.id)
    assert (ended.status, ended.outcome) == ("closed", "interrupted")
    # It ended when its agent was last known to live, not when the sweeper came by.
    assert ended.ended_at == dead.lease_until
    assert read(tenant, alive.call_id).status == "active"
    assert messages(tenant) == [dead.id]
    assert left(tenant) == [("callback", 0, None)]
    assert sweeps.close_expired(tenant.tenant_id) == []
    assert messages(tenant) == [dead.id]
    assert left(tenant) == [("callback", 0, None)]


def test_call_that_rang_and_was_never_held_is_swept_too(tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        rang = calls.start(conn, channel="phone", token="t", ring_s=0)
        rings = calls.start(conn, channel="phone", token="u")
    assert sweeps.close_expired(tenant.tenant_id) == [rang.id]
    assert read(tenant, rings.id).status == "ringing"


def test_sweepers_in_parallel_close_each_call_once(tenant: Tenant) -> None:
    dead = {dead_call(tenant, f"call {number}").id for number in range(12)}
    closed: list[UUID] = []
    gate = threading.Barrier(4)

    def sweep() -> None:
        gate.wait()
        closed.extend(sweeps.close_expired(tenant.tenant_id))

    sweepers = [threading.Thread(target=sweep) for _ in range(4)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()
    assert sorted(closed) == sorted(dead)
    assert sorted(messages(tenant)) == sorted(dead)
    assert len(left(tenant)) == 12


def test_agent_that_wakes_up_after_the_sweep_is_refused(tenant: Tenant) -> None:
    dead = dead_call(tenant)
    sweeps.close_expired(tenant.tenant_id)
    with tenant_transaction(tenant.tenant_id) as conn:
        for write in (
            lambda: calls.claim(conn, call_id=dead.id),
            lambda: calls.renew(conn, call_id=dead.id, epoch=dead.epoch),
            lambda: calls.close(conn, call_id=dead.id, epoch=dead.epoch, outcome="resolved"),
            lambda: turns.append(
                conn, call_id=dead.id, epoch=dead.epoch, speaker="agent", text="x"
            ),
        ):
            with pytest.raises(CallClosed):
                write()


def test_agent_that_takes_over_just_before_the_sweep_keeps_the_call(tenant: Tenant) -> None:
    dead = dead_call(tenant)
    swept: list[list[UUID]] = []
    sweeper = threading.Thread(target=lambda: swept.append(sweeps.close_expired(tenant.tenant_id)))
    with tenant_transaction(tenant.tenant_id) as conn:
        calls.claim(conn, call_id=dead.id)
        sweeper.start()
        sweeper.join(timeout=4)  # it skips the locked call instead of waiting for it
        assert swept == [[]]
    assert sweeps.close_expired(tenant.tenant_id) == []
    assert read(tenant, dead.id).status == "active"


async def test_callback_says_who_when_and_what(tenant: Tenant, desk: Peer) -> None:
    row = tenant_row(tenant)
    person = make_people(row, {"Alice Martin": None})["Alice Martin"]
    dead = dead_call(
        tenant, "one", "my VPN is down", "three", "x" * 900, calling_number="+33612345678"
    )
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute(
            "UPDATE aurion.people SET email = 'alice.martin@meridian.example',"
            " email_norm = 'alice.martin@meridian.example'"
        )
        conn.execute(
            "UPDATE aurion.calls SET person_id = %s, level = 1, language = 'fr',"
            " started_at = '2026-11-24T22:30:00Z' WHERE id = %s",
            (person, dead.id),
        )
    async with desk_of(desk) as connector:
        result = await sweeps.tend(tenant.tenant_id, connector)
    assert result.interrupted == 1
    assert result.drafts == Delivery(delivered=1)
    (ticket,) = desk.tickets_with(tickets.callback_key(dead.id))
    assert ticket["kind"] == "callback"
    assert ticket["requester_id"] == "R-2001"
    assert ticket["summary"] == "Call back: the call of Alice Martin broke off"
    description = ticket["description"]
    assert "2026-11-24 23:30" in description, "in the company's time"
    assert "+33612345678" in description
    assert "- my VPN is down" in description
    assert "- one" not in description
    assert "x" * 500 in description
    assert "x" * 501 not in description


def tenant_row(tenant: Tenant) -> TenantRow:
    with tenant_transaction(tenant.tenant_id) as conn:
        return tenants.get(conn)


@pytest.mark.parametrize("language", ["en", "fr", "nl", "de"])
def test_callback_is_worded_in_the_companys_language(language: tenants.Language) -> None:
    summary, description = ticket_texts.interrupted(
        language,
        started_at="2026-11-24 09:00",
        caller=None,
        number=None,
        said=["Bonjour"],
    )
    assert "{" not in summary + description
    assert description.endswith("- Bonjour")
    assert "2026-11-24 09:00" in description


async def test_caller_who_had_asked_for_a_callback_gets_no_second(
    tenant: Tenant, desk: Peer
) -> None:
    state = start_call(tenant)
    async with desk_of(desk) as connector:
        await tickets.callback(
            connector, state, summary="Call back", description="About the VPN.", language="en"
        )
        with tenant_transaction(tenant.tenant_id) as conn:
            expire(conn, state.call_id)
        result = await sweeps.tend(tenant.tenant_id, connector)
    assert (result.interrupted, result.drafts) == (1, Delivery())
    (ticket,) = desk.tickets_with(tickets.callback_key(state.call_id))
    assert ticket["description"] == "About the VPN."


def test_without_keys_the_call_waits_for_the_next_round(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = dead_call(tenant)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        settings.cache_clear()
        with pytest.raises(KeysUnavailable):
            sweeps.close_expired(tenant.tenant_id)
    settings.cache_clear()
    assert read(tenant, dead.id).status == "active"
    assert sweeps.close_expired(tenant.tenant_id) == [dead.id]


async def test_round_of_all_companies_is_not_held_up_by_one(
    tenant: Tenant, other_tenant: Tenant, desk: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    third = make_tenant("Third")
    dead = {t.tenant_id: dead_call(t).id for t in (tenant, other_tenant, third)}

    def connect(row: TenantRow) -> Connector:
        if row.tenant_id == other_tenant.tenant_id:
            raise KeysUnavailable
        return DemoDesk(desk.base_url, desk.secret)

    done = await sweeps.tend_all(connect)
    assert {tenant_id for tenant_id, sweep in done.items() if sweep.interrupted == 1} == {
        tenant.tenant_id,
        third.tenant_id,
    }
    for t in (tenant, third):
        assert len(desk.tickets_with(tickets.callback_key(dead[t.tenant_id]))) == 1
    assert read(other_tenant, dead[other_tenant.tenant_id]).status == "active"
    assert [r.levelname for r in caplog.records if r.name == "aurion.sweeps"] == ["WARNING"]


def test_sweep_of_nobody_says_so(tenant: Tenant) -> None:
    with pytest.raises(TenantNotFound):
        sweeps.close_expired(uuid4())


@pytest.fixture
def queue(aws: Aws, database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """A queue of the test's own."""
    url = aws.provision_queue(f"closed-{uuid4().hex}")
    monkeypatch.setenv("CLOSED_CALLS_QUEUE_URL", url)
    settings.cache_clear()
    return url


def received(aws: Aws, queue: str) -> list[dict[str, object]]:
    answer = aws.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


async def test_messages_leave_once_with_ids_only(
    tenant: Tenant, desk: Peer, aws: Aws, queue: str
) -> None:
    state = start_call(tenant)
    with tenant_transaction(tenant.tenant_id) as conn:
        turns.append(
            conn, call_id=state.call_id, epoch=1, speaker="caller", text="canary-in-the-text"
        )
        calls.close(conn, call_id=state.call_id, epoch=1, outcome="resolved")
    async with desk_of(desk) as connector:
        assert (await sweeps.tend(tenant.tenant_id, connector)).sent == 1
        assert (await sweeps.tend(tenant.tenant_id, connector)).sent == 0
    (body,) = received(aws, queue)
    assert body["subject_id"] == str(state.call_id)
    assert body["tenant_id"] == str(tenant.tenant_id)
    assert body.keys() == {"version", "id", "kind", "tenant_id", "subject_id"}
    assert UUID(str(body["id"]))


async def test_message_waits_for_a_queue_that_is_down(
    tenant: Tenant, desk: Peer, aws: Aws, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = start_call(tenant)
    with tenant_transaction(tenant.tenant_id) as conn:
        calls.close(conn, call_id=state.call_id, epoch=1, outcome="resolved")
    with monkeypatch.context() as patch:
        patch.setenv("CLOSED_CALLS_QUEUE_URL", f"{queue}-that-is-not-there")
        settings.cache_clear()
        async with desk_of(desk) as connector:
            assert (await sweeps.tend(tenant.tenant_id, connector)).sent == 0
    settings.cache_clear()
    assert await asyncio.to_thread(outbox.flush, tenant.tenant_id) == 0, "its pause is not over"
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("UPDATE aurion.outbox_messages SET next_attempt_at = now()")
    assert await asyncio.to_thread(outbox.flush, tenant.tenant_id) == 1
    assert [body["subject_id"] for body in received(aws, queue)] == [str(state.call_id)]


def test_message_in_hand_is_nobody_elses(tenant: Tenant) -> None:
    for _ in range(6):
        state = start_call(tenant)
        with tenant_transaction(tenant.tenant_id) as conn:
            calls.close(conn, call_id=state.call_id, epoch=1, outcome="resolved")
    with tenant_transaction(tenant.tenant_id) as conn:
        first = outbox.claim_due(conn, limit=4)
        with tenant_transaction(tenant.tenant_id) as other:
            rest = outbox.claim_due(other)
    assert (len(first), len(rest)) == (4, 2)
    assert not {m.id for m in first} & {m.id for m in rest}
    with tenant_transaction(tenant.tenant_id) as conn:
        assert outbox.claim_due(conn) == []
