"""A call's life: started once, held by one agent at a time, closed once."""

from aurion import calls, turns
from aurion.database import tenant_transaction

from tests.factories import Tenant


def test_call_is_started_once_per_provider_id(tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        first = calls.start(conn, channel="phone", provider_call_id="CA1")
        again = calls.start(conn, channel="phone", provider_call_id="CA1")
    assert first.id == again.id


def test_life(tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.start(conn, channel="text", calling_number="+33612345678")
        call = calls.claim(conn, call_id=call.id)
        calls.renew(conn, call_id=call.id, epoch=call.epoch)
        calls.set_language(conn, call_id=call.id, epoch=1, language="fr")
        assert turns.append(conn, call_id=call.id, epoch=1, speaker="caller", text="a") == 1
        assert turns.append(conn, call_id=call.id, epoch=1, speaker="agent", text="b") == 2
        calls.close(conn, call_id=call.id, epoch=1, outcome="resolved")
        assert [c.status for c in calls.list_recent(conn)] == ["closed"]
