"""Tickets of calls, in front of a desk that is slow, down, silent or full of lies."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aurion import calls, drafts, keys, tenants, tickets
from aurion.database import tenant_transaction
from aurion.drafts import Delivery, Draft
from aurion.errors import (
    CallClosed,
    DeskUnavailable,
    KeysUnavailable,
    NotAllowed,
    StaleEpoch,
    TicketNotFound,
)
from aurion.itsm import NewTicket, Ticket
from aurion.itsm.demo_desk import DemoDesk
from aurion.settings import settings

from tests.factories import Tenant
from tests.integration.aurion.desk_calls import (
    DESCRIPTION,
    EMAIL,
    SUMMARY,
    State,
    deliver,
    desk_of,
    left,
    make_due,
    numbers,
    open_ticket,
    opened,
    start_call,
)
from tests.integration.itsm.peers import Peer, demo_desk

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(scope="module")
def running_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with demo_desk(tmp_path_factory.mktemp("desk")) as peer:
        yield peer


@pytest.fixture
def peer(running_desk: Peer) -> Iterator[Peer]:
    running_desk.clear()
    yield running_desk
    running_desk.clear()


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Peer]:
    """A desk of the test's own, to be killed."""
    with demo_desk(tmp_path) as peer:
        yield peer


@pytest.fixture
def state(tenant: Tenant) -> State:
    return start_call(tenant)


def audited(state: State) -> list[tuple[str, str, int]]:
    with tenant_transaction(state.tenant_id) as conn:
        return conn.execute(
            "SELECT action, decision, level FROM aurion.audit_events ORDER BY at"
        ).fetchall()


async def test_ticket_is_opened_noted_and_leaves_no_draft(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    async with desk_of(peer) as connector:
        placed = await open_ticket(connector, state)
    (ticket,) = opened(peer, state)
    assert placed.number == ticket["number"]
    assert (ticket["summary"], ticket["description"]) == (SUMMARY, DESCRIPTION)
    assert ticket["requester_id"] == "R-2001"
    assert numbers(state) == [("opened", ticket["number"])]
    assert left(tenant) == []
    assert audited(state) == [("open_ticket", "allowed", 1)]


async def test_same_wish_again_is_the_same_ticket(tenant: Tenant, peer: Peer, state: State) -> None:
    async with desk_of(peer) as connector:
        first = await open_ticket(connector, state)
        again = await open_ticket(connector, state)
        other = await open_ticket(connector, state, summary="Printer")
    assert first == again
    assert other != first
    assert len(opened(peer, state)) == 1
    assert len(numbers(state)) == 2


async def test_requester_nobody_knows_is_named_in_the_text(peer: Peer, state: State) -> None:
    async with desk_of(peer) as connector:
        await open_ticket(connector, state, requester_email="new.hire@meridian.example")
    (ticket,) = opened(peer, state)
    assert ticket["requester_id"] is None
    assert ticket["description"] == f"{DESCRIPTION}\n\nnew.hire@meridian.example"


@pytest.mark.parametrize("fault", ["hang", "cut", "garbage"])
async def test_lost_answer_makes_one_ticket(
    tenant: Tenant, peer: Peer, state: State, fault: str
) -> None:
    async with desk_of(peer, 1.0) as connector:
        await connector.outages()
        peer.trouble(fault, method="POST", path="/api/tickets", times=1)
        placed = await open_ticket(connector, state)
    (ticket,) = opened(peer, state)
    if placed.number is None:
        error = "rejected" if fault == "garbage" else "unavailable"
        assert left(tenant) == [("open", 1, error)]
        assert await deliver(peer, tenant) == Delivery(delivered=1)
    assert len(opened(peer, state)) == 1
    assert numbers(state) == [("opened", ticket["number"])]
    assert left(tenant) == []


class CountingDesk(DemoDesk):
    """A connector that counts how often it was told to open a ticket."""

    posted = 0

    async def create_ticket(self, new: NewTicket) -> Ticket:
        self.posted += 1
        return await super().create_ticket(new)


async def test_ticket_is_looked_for_before_it_is_opened_again(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    # For systems that would open a second one, whatever key they are given.
    desk = CountingDesk(peer.base_url, peer.secret, read_s=1.0, write_s=1.0)
    peer.trouble("hang", method="POST", path="/api/tickets", times=1)
    assert await open_ticket(desk, state) == tickets.Placed(None)
    make_due(tenant)
    assert await drafts.deliver_due(desk, tenant_id=tenant.tenant_id) == Delivery(delivered=1)
    assert desk.posted == 1
    await desk.aclose()


async def test_desk_that_is_down_gets_the_ticket_when_it_is_up(
    tenant: Tenant, own_desk: Peer, state: State
) -> None:
    own_desk.kill()
    async with desk_of(own_desk) as connector:
        assert await open_ticket(connector, state) == tickets.Placed(None)
        # Asked once more, the caller is told the same, and nothing is kept twice.
        assert await open_ticket(connector, state) == tickets.Placed(None)
    assert left(tenant) == [("open", 1, "unavailable")]
    assert await deliver(own_desk, tenant) == Delivery(deferred=1)
    assert left(tenant) == [("open", 2, "unavailable")]
    own_desk.restart()
    assert await deliver(own_desk, tenant) == Delivery(delivered=1)
    (ticket,) = opened(own_desk, state)
    assert (ticket["description"], ticket["requester_id"]) == (DESCRIPTION, "R-2001")
    assert numbers(state) == [("opened", ticket["number"])]
    assert left(tenant) == []
    assert await deliver(own_desk, tenant) == Delivery()


async def test_desk_that_is_down_is_asked_once_a_round(
    tenant: Tenant, own_desk: Peer, state: State
) -> None:
    own_desk.kill()
    async with desk_of(own_desk) as connector:
        for number in range(3):
            await open_ticket(connector, state, summary=f"Wish {number}")
    assert await deliver(own_desk, tenant) == Delivery(deferred=1)
    assert sorted(attempts for _, attempts, _ in left(tenant)) == [1, 1, 2]


@pytest.mark.parametrize(
    ("attempts", "error_status", "pause_s"),
    [(0, 503, 30), (1, 503, 60), (3, 503, 240), (9, 503, 900), (0, 422, 900)],
)
async def test_pauses_grow_to_a_quarter_of_an_hour(
    tenant: Tenant, peer: Peer, state: State, attempts: int, error_status: int, pause_s: int
) -> None:
    peer.trouble("status", path="/api/", status=error_status)
    async with desk_of(peer) as connector:
        with tenant_transaction(tenant.tenant_id) as conn:
            drafts.put(conn, drafts.seal(tenant.tenant_id, draft_of(state)))
            conn.execute("UPDATE aurion.drafts SET attempts = %s", (attempts,))
        await drafts.deliver_due(connector, tenant_id=tenant.tenant_id)
    with tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute(
            "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float"
            " FROM aurion.drafts"
        ).fetchone()
    assert row is not None
    assert pause_s - 10 < row[0] <= pause_s


def draft_of(state: State, **changes: object) -> Draft:
    values: dict[str, object] = {
        "call_id": state.call_id,
        "kind": "open",
        "idempotency_key": "key",
        "text": DESCRIPTION,
        "language": "en",
        "summary": SUMMARY,
        "requester_email": EMAIL,
    }
    return Draft(**(values | changes))  # type: ignore[arg-type]


async def test_refused_ticket_waits_for_somebody_to_mend_it(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    peer.trouble("status", path="/api/tickets", status=422)
    async with desk_of(peer) as connector:
        assert await open_ticket(connector, state) == tickets.Placed(None)
    assert left(tenant) == [("open", 1, "rejected")]
    peer.clear()
    assert await deliver(peer, tenant) == Delivery(delivered=1)
    assert len(opened(peer, state)) == 1


async def test_comment_is_written_once(tenant: Tenant, peer: Peer, state: State) -> None:
    async with desk_of(peer, 1.0) as connector:
        number = (await open_ticket(connector, state)).number
        assert number is not None
        peer.trouble("hang", method="POST", path="/api/tickets", times=1)
        wish = {"number": number, "text": "It is urgent.", "language": "en"}
        placed = await tickets.comment(connector, state, **wish)  # type: ignore[arg-type]
        assert placed == tickets.Placed(None)
        assert await deliver(peer, tenant) == Delivery(delivered=1)
        assert await tickets.comment(connector, state, **wish) == tickets.Placed(number)  # type: ignore[arg-type]
    assert [comment["text"] for comment in peer.comments_of(number)] == ["It is urgent."]
    assert [kind for kind, _ in numbers(state)] == ["opened", "commented"]
    assert left(tenant) == []


async def test_comment_on_a_ticket_that_is_gone_says_so_and_keeps_nothing(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    async with desk_of(peer) as connector:
        with pytest.raises(TicketNotFound):
            await tickets.comment(connector, state, number="MD-9", text="Hello?", language="en")
        assert left(tenant) == []
        with tenant_transaction(tenant.tenant_id) as conn:
            late = draft_of(state, kind="comment", number="MD-9")
            drafts.put(conn, drafts.seal(tenant.tenant_id, late))
        assert await drafts.deliver_due(connector, tenant_id=tenant.tenant_id) == Delivery(
            dropped=1
        )
    assert left(tenant) == []
    assert ("deliver_draft", "failed") in [row[:2] for row in audited(state)]


async def test_call_has_one_callback_however_often_it_is_asked_for(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    async with desk_of(peer) as connector:
        first = await tickets.callback(
            connector, state, summary="Call back", description="Please.", language="en"
        )
        again = await tickets.callback(
            connector, state, summary="Call back!", description="Really.", language="en"
        )
    assert first == again
    (ticket,) = peer.tickets_with(tickets.callback_key(state.call_id))
    assert (ticket["kind"], ticket["description"]) == ("callback", "Please.")


async def test_three_deliverers_and_the_call_itself_make_one_ticket(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    peer.trouble("delay", method="POST", path="/api/tickets", seconds=0.5)

    async def sweep() -> None:
        async with desk_of(peer) as connector:
            for _ in range(8):
                await asyncio.to_thread(make_due, tenant)  # even while others hold it
                await drafts.deliver_due(connector, tenant_id=tenant.tenant_id)
                await asyncio.sleep(0.05)

    async with desk_of(peer) as connector:
        await asyncio.gather(open_ticket(connector, state), *(sweep() for _ in range(3)))
    assert len(opened(peer, state)) == 1
    assert len(numbers(state)) == 1
    assert left(tenant) == []


async def test_draft_in_hand_is_nobody_elses(tenant: Tenant, peer: Peer, state: State) -> None:
    peer.trouble("delay", method="POST", path="/api/tickets", seconds=1.0)
    async with desk_of(peer) as connector, desk_of(peer) as other:
        opening = asyncio.create_task(open_ticket(connector, state))
        await asyncio.sleep(0.4)
        assert await drafts.deliver_due(other, tenant_id=tenant.tenant_id) == Delivery()
        assert (await opening).number is not None
    assert left(tenant) == []


async def test_tool_that_is_cancelled_leaves_its_wish_to_the_sweeper(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    peer.trouble("hang", method="POST", path="/api/tickets", times=1)
    async with desk_of(peer) as connector:
        opening = asyncio.create_task(open_ticket(connector, state))
        while not opened(peer, state):
            await asyncio.sleep(0.05)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert left(tenant) == [("open", 1, None)]
    assert await deliver(peer, tenant) == Delivery(delivered=1)
    assert len(opened(peer, state)) == 1


async def test_switch_works_on_calls_under_way(tenant: Tenant, peer: Peer, state: State) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        tenants.update(conn, writes_enabled=False)
    async with desk_of(peer) as connector:
        with pytest.raises(NotAllowed):
            await open_ticket(connector, state)
    assert opened(peer, state) == []
    assert left(tenant) == []


async def test_call_writes_ten_times_at_most(tenant: Tenant, own_desk: Peer, state: State) -> None:
    async with desk_of(own_desk) as connector:
        for number in range(8):
            await open_ticket(connector, state, summary=f"Wish {number}")
        own_desk.kill()  # drafts count too
        for number in range(8, 10):
            await open_ticket(connector, state, summary=f"Wish {number}")
        with pytest.raises(NotAllowed):
            await open_ticket(connector, state, summary="Wish 10")
        # What was written before is still answered.
        assert (await open_ticket(connector, state, summary="Wish 0")).number is not None
        await open_ticket(connector, start_call(tenant))
    assert len(left(tenant)) == 3


async def test_agent_that_was_replaced_writes_nothing(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        calls.claim(conn, call_id=state.call_id)
    async with desk_of(peer) as connector:
        with pytest.raises(StaleEpoch):
            await open_ticket(connector, state)
        with tenant_transaction(tenant.tenant_id) as conn:
            calls.close(conn, call_id=state.call_id, epoch=2, outcome="resolved")
        with pytest.raises(CallClosed):
            await open_ticket(connector, state)
    assert opened(peer, state) == []
    assert left(tenant) == []


async def test_without_keys_the_desk_is_asked_and_nothing_is_kept(
    tenant: Tenant, own_desk: Peer, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    settings.cache_clear()
    async with desk_of(own_desk) as connector:
        placed = await open_ticket(connector, state)
        assert numbers(state) == [("opened", placed.number)]
        assert left(tenant) == []
        own_desk.kill()
        with pytest.raises(DeskUnavailable):
            await open_ticket(connector, state, summary="Another")
    assert left(tenant) == []


async def test_draft_is_unreadable_where_it_lies(
    tenant: Tenant, other_tenant: Tenant, own_desk: Peer, state: State
) -> None:
    own_desk.kill()
    async with desk_of(own_desk) as connector:
        await open_ticket(connector, state)
    with tenant_transaction(tenant.tenant_id) as conn:
        held = conn.execute("SELECT d::text, ciphertext FROM aurion.drafts d").fetchone()
    assert held is not None
    shown = held[0] + bytes.fromhex(held[0].split("\\x")[1].split(",")[0].rstrip('"')).decode(
        "latin-1"
    )
    assert not any(word in shown for word in ("VPN", "Caf", "alice"))
    assert SUMMARY in keys.decrypt(tenant.tenant_id, held[1])
    with pytest.raises(KeysUnavailable):
        keys.decrypt(other_tenant.tenant_id, held[1])


async def test_draft_a_day_old_is_given_up_with_an_alarm(
    tenant: Tenant, own_desk: Peer, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    own_desk.kill()
    async with desk_of(own_desk) as connector:
        await open_ticket(connector, state)
        await open_ticket(connector, state, summary="Younger")
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute(
            "UPDATE aurion.drafts SET created_at = now() - interval '24 hours 1 second'"
            " WHERE created_at = (SELECT min(created_at) FROM aurion.drafts)"
        )
    result = await deliver(own_desk, tenant)
    assert result == Delivery(expired=1, deferred=1)
    assert len(left(tenant)) == 1
    assert ("expire_draft", "failed") in [row[:2] for row in audited(state)]
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.__dict__["call_id"] == str(state.call_id)


async def test_companies_drafts_are_delivered_apart(
    tenant: Tenant, other_tenant: Tenant, own_desk: Peer, state: State
) -> None:
    own_desk.kill()
    async with desk_of(own_desk) as connector:
        await open_ticket(connector, state)
    own_desk.restart()
    assert await deliver(own_desk, other_tenant) == Delivery()
    assert numbers(State(other_tenant.tenant_id, state.call_id, 1)) == []
    with pytest.raises(Exception, match="no such call"):
        async with desk_of(own_desk) as connector:
            await open_ticket(connector, State(other_tenant.tenant_id, state.call_id, 1))
    assert opened(own_desk, state) == []
    assert await deliver(own_desk, tenant) == Delivery(delivered=1)


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "é" * 5000,
        '"\\\n' * 3000,
        "x" * 100_000,
        "€uro " * 2000,
        "\x01" * 3000,
        "👩‍💻" * 900,
    ],
)
async def test_text_is_cut_to_size_and_says_so(
    tenant: Tenant, other_tenant: Tenant, state: State, text: str
) -> None:
    whole = draft_of(state, text=text, summary="s" * 300)
    sealed = await asyncio.to_thread(drafts.seal, tenant.tenant_id, whole)
    kept = await asyncio.to_thread(drafts.open_sealed, tenant.tenant_id, sealed)
    assert kept == drafts.fit(whole)
    assert len(kept.summary) == 200
    assert kept.summary.endswith(drafts.CUT_MARK)
    if text == "short":
        assert kept.text == text
    else:
        assert kept.text.endswith(drafts.CUT_MARK)
        body = kept.text.removesuffix(drafts.CUT_MARK)
        assert text.startswith(body)
        # What still fits is kept.
        assert len(keys.decrypt(tenant.tenant_id, sealed.ciphertext).encode()) > 3_980


async def test_callback_of_a_call_that_ends_is_kept_with_its_end(
    tenant: Tenant, peer: Peer, state: State
) -> None:
    sealed = await asyncio.to_thread(
        drafts.seal,
        tenant.tenant_id,
        draft_of(
            state,
            kind="callback",
            ticket_kind="callback",
            idempotency_key=tickets.callback_key(state.call_id),
        ),
    )
    with tenant_transaction(tenant.tenant_id) as conn:
        calls.close(
            conn, call_id=state.call_id, epoch=state.epoch, outcome="message", left=[sealed]
        )
    assert await deliver(peer, tenant) == Delivery(delivered=1)
    assert len(peer.tickets_with(tickets.callback_key(state.call_id))) == 1
    with tenant_transaction(tenant.tenant_id) as conn:
        assert drafts.put(conn, sealed) is None, "it has reached the desk before"
        assert drafts.count(conn) == 0
        assert uuid4() not in {draft.id for draft in [drafts.claim_due(conn)] if draft}
