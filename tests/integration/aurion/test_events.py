"""What arrives counts once, and what was done is noted with it."""

import contextlib
import threading
import time
from uuid import uuid4

import pytest
from aurion import audit, inbox
from aurion.database import tenant_transaction

from tests.factories import Tenant


def accept(tenant: Tenant, event_id: str) -> bool:
    with tenant_transaction(tenant.tenant_id) as conn:
        return inbox.accept(conn, provider="twilio", event_id=event_id)


def test_event_is_new_once_per_company_and_provider(tenant: Tenant, other_tenant: Tenant) -> None:
    assert [accept(tenant, "E1"), accept(tenant, "E1"), accept(tenant, "E2")] == [
        True,
        False,
        True,
    ]
    assert accept(other_tenant, "E1")
    with tenant_transaction(tenant.tenant_id) as conn:
        assert inbox.accept(conn, provider="livekit", event_id="E1")


def test_event_whose_effect_failed_is_new_again(tenant: Tenant) -> None:
    with contextlib.suppress(ZeroDivisionError), tenant_transaction(tenant.tenant_id) as conn:
        assert inbox.accept(conn, provider="twilio", event_id="E1")
        raise ZeroDivisionError
    assert accept(tenant, "E1")


@pytest.mark.parametrize(("fails", "expected"), [(False, False), (True, True)])
def test_copy_that_arrives_meanwhile_waits_for_the_first(
    tenant: Tenant, fails: bool, expected: bool
) -> None:
    answers: list[bool] = []
    copy = threading.Thread(target=lambda: answers.append(accept(tenant, "E1")))
    with contextlib.suppress(ZeroDivisionError), tenant_transaction(tenant.tenant_id) as conn:
        inbox.accept(conn, provider="twilio", event_id="E1")
        copy.start()
        time.sleep(0.3)
        assert answers == []
        if fails:
            raise ZeroDivisionError
    copy.join()
    assert answers == [expected]


def test_sixteen_copies_at_once_are_one_event(tenant: Tenant) -> None:
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(accept(tenant, "E1"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 15 + [True]


def test_audit_keeps_a_hash_of_what_was_asked(tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        audit.record(
            conn,
            actor="agent",
            action="open_ticket",
            decision="allowed",
            level=1,
            arguments={"summary": "canary", "half": "\ud83d", "n": uuid4()},
        )
        row = conn.execute("SELECT e::text, arguments_hash FROM aurion.audit_events e").fetchone()
    assert row is not None
    assert "canary" not in row[0]
    assert len(row[1]) == 64


def test_hash_of_arguments_does_not_depend_on_their_order() -> None:
    first = audit.arguments_hash({"a": "é", "b": 1, "c": None})
    assert first == audit.arguments_hash({"c": None, "b": 1, "a": "é"})
    assert first != audit.arguments_hash({"a": "e", "b": 1, "c": None})


def test_audit_of_something_that_failed_is_gone_with_it(tenant: Tenant) -> None:
    with contextlib.suppress(ZeroDivisionError), tenant_transaction(tenant.tenant_id) as conn:
        audit.record(conn, actor="agent", action="open_ticket", decision="allowed")
        raise ZeroDivisionError
    with tenant_transaction(tenant.tenant_id) as conn:
        assert conn.execute("SELECT count(*) FROM aurion.audit_events").fetchone() == (0,)
