"""Signs of life of agents, and who takes a call over when they end."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from aurion import calls, live_calls
from aurion.database import tenant_transaction
from aurion.errors import CallNotFound
from aurion.live_calls import LiveCall

from local.postgres import Database
from tests.factories import Tenant


def live(tenant: Tenant, *, agent: str = "agent-1", tries: int = 0) -> LiveCall:
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.start(conn, channel="phone")
        shown = LiveCall(tenant.tenant_id, call.id, f"call-{call.id}", "aurion", agent, tries)
        live_calls.show(conn, shown)
    return shown


def test_a_silent_call_of_any_company_is_taken_once(tenant: Tenant, other_tenant: Tenant) -> None:
    mine, theirs = live(tenant), live(other_tenant, tries=1)
    assert live_calls.take_silent(silent_s=5) == []
    time.sleep(0.05)
    with ThreadPoolExecutor(4) as pool:
        taken = [
            call
            for calls_of_one in pool.map(lambda _: live_calls.take_silent(silent_s=0.04), range(4))
            for call in calls_of_one
        ]
    assert {(call.call_id, call.tries) for call in taken} == {
        (mine.call_id, 1), (theirs.call_id, 2)
    }  # fmt: skip
    assert len(taken) == 2


def test_who_was_given_up_is_not_heard_again(tenant: Tenant) -> None:
    first = live(tenant)
    time.sleep(0.03)
    (taken,) = live_calls.take_silent(silent_s=0.02)
    newer = LiveCall(tenant.tenant_id, first.call_id, first.room, "aurion", "agent-2", taken.tries)
    with tenant_transaction(tenant.tenant_id) as conn:
        live_calls.show(conn, first)  # it was only slow
        live_calls.show(conn, newer)
        live_calls.show(conn, first)
        live_calls.forget(conn, call_id=first.call_id, agent="agent-1")
    time.sleep(0.03)
    (again,) = live_calls.take_silent(silent_s=0.02)
    assert (again.agent, again.tries) == ("agent-2", 2)


def test_an_agent_on_its_way_is_waited_for(tenant: Tenant) -> None:
    call = live(tenant)
    time.sleep(0.03)
    with tenant_transaction(tenant.tenant_id) as conn:
        live_calls.lose(conn, call_id=call.call_id, tries=1)
    assert live_calls.take_silent(silent_s=0.5) == []
    time.sleep(0.03)
    assert [taken.tries for taken in live_calls.take_silent(silent_s=0.02)] == [2]


def test_a_call_that_is_over_is_forgotten(tenant: Tenant) -> None:
    call = live(tenant)
    with tenant_transaction(tenant.tenant_id) as conn:
        live_calls.forget(conn, call_id=call.call_id, agent=call.agent)
    time.sleep(0.02)
    assert live_calls.take_silent(silent_s=0.01) == []


def test_nobody_shows_an_agent_in_another_companys_call(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    theirs = live(other_tenant)
    with (
        pytest.raises(CallNotFound),
        tenant_transaction(tenant.tenant_id) as conn,
    ):
        live_calls.show(conn, theirs)
    with tenant_transaction(tenant.tenant_id) as conn:
        live_calls.lose(conn, call_id=theirs.call_id, tries=9)
        live_calls.forget(conn, call_id=theirs.call_id, agent=theirs.agent)
    time.sleep(0.02)
    assert [taken.tries for taken in live_calls.take_silent(silent_s=0.01)] == [1]
    with (
        pytest.raises(CallNotFound),
        tenant_transaction(tenant.tenant_id) as conn,
    ):
        live_calls.show(conn, LiveCall(tenant.tenant_id, uuid.uuid4(), "r", "aurion", "a", 0))


def test_only_the_lister_of_tenants_takes_silent_calls(
    database: Database,
) -> None:
    for role in ("aurion_app", "aurion_router"):
        with (
            psycopg.connect(database.dsn(role)) as conn,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            conn.execute("SELECT * FROM aurion.take_silent_calls(0)")
