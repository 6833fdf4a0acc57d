"""The jobs of every minute, and whether the database is there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aurion import calls, database, secrets, tenants
from aurion.calls import Call
from aurion.database import tenant_transaction
from aurion.settings import settings

from tests.factories import Tenant, make_tenant
from tests.function_handlers import invoke
from tests.integration.itsm.peers import Peer, demo_desk
from tests.vendor_requests import proxy_event

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Peer]:
    with demo_desk(tmp_path) as peer:
        yield peer


def connect(tenant: Tenant, desk: Peer) -> None:
    name = secrets.itsm_secret_name(tenant.tenant_id)
    secrets.put(name, desk.secret)
    with tenant_transaction(tenant.tenant_id) as conn:
        tenants.update(conn, itsm_url=desk.base_url, itsm_secret=name)


def lost_call(tenant: Tenant) -> Call:
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.start(conn, channel="phone", calling_number="+33612345678")
        call = calls.claim(conn, call_id=call.id)
        conn.execute(
            "UPDATE aurion.calls SET lease_until = clock_timestamp() - interval '1 second'"
        )
    return call


def metrics(told: str, name: str) -> list[int]:
    lines = [json.loads(line) for line in told.splitlines()]
    return [line[name] for line in lines if name in line]


def test_a_lost_call_is_closed_and_its_call_back_brought_to_the_desk(
    tenant: Tenant, other_tenant: Tenant, desk: Peer, capfd: pytest.CaptureFixture[str]
) -> None:
    connect(tenant, desk)
    # Another company's desk is down, a third's secret is missing: nobody else waits for them.
    with tenant_transaction(other_tenant.tenant_id) as conn:
        tenants.update(conn, itsm_url="http://127.0.0.1:9", itsm_secret="")
    with tenant_transaction(make_tenant("Third").tenant_id) as conn:
        tenants.update(conn, itsm_url=desk.base_url, itsm_secret="no such secret")
    call, others = lost_call(tenant), lost_call(other_tenant)
    assert invoke("call_sweeper", {}) == {"closed": 2}
    assert invoke("call_sweeper", {}) == {"closed": 0}
    done = invoke("outbox", {})
    assert (done["delivered"], done["deferred"], done["sent"]) == (1, 1, 2)
    (ticket,) = desk.tickets_with(f"callback:{call.id}")
    assert ticket["kind"] == "callback"
    assert desk.tickets_with(f"callback:{others.id}") == []
    again = invoke("outbox", {})
    assert (again["delivered"], again["deferred"], again["sent"]) == (0, 0, 0)
    told = capfd.readouterr().out
    assert metrics(told, "CallsInterrupted") == [2]
    assert metrics(told, "DraftsExpired") == []
    assert "612345678" not in told


def test_a_ticket_that_found_no_way_for_a_day_raises_the_alarm(
    tenant: Tenant, capfd: pytest.CaptureFixture[str]
) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        tenants.update(conn, itsm_url="http://127.0.0.1:9", itsm_secret="")
    lost_call(tenant)
    invoke("call_sweeper", {})
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("UPDATE aurion.drafts SET created_at = now() - interval '23 hours'")
    assert invoke("outbox", {})["expired"] == 0
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("UPDATE aurion.drafts SET created_at = now() - interval '25 hours'")
    assert invoke("outbox", {})["expired"] == 1
    assert metrics(capfd.readouterr().out, "DraftsExpired") == [1]


def ask_for_health() -> dict[str, Any]:
    answer: dict[str, Any] = invoke("health", proxy_event("/health", b"", {}))
    return answer


def test_health_is_that_of_the_database(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = ask_for_health()
    assert (ready["statusCode"], json.loads(ready["body"])) == (200, {"status": "ready"})
    database.close_pools()
    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_PORT", "9")
        settings.cache_clear()
        away = ask_for_health()
    settings.cache_clear()
    database.close_pools()
    assert (away["statusCode"], json.loads(away["body"])) == (
        503,
        {"error": "DatabaseUnavailable"},
    )
