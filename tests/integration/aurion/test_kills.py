"""A process that dies between any two steps of a ticket: one ticket, with the right words."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from aurion import calls, drafts, sweeps, tickets
from aurion.database import close_pools, tenant_transaction
from aurion.drafts import Delivery
from aurion.settings import settings

from local.aws import Aws
from local.postgres import Database, Postgres
from tests.doomed import POINTS
from tests.factories import Tenant, make_tenant
from tests.integration.aurion.desk_calls import (
    DESCRIPTION,
    SUMMARY,
    State,
    deliver,
    desk_of,
    left,
    make_due,
    numbers,
    opened,
)
from tests.integration.itsm.peers import Peer, demo_desk

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def durable(run_directory: Path) -> Iterator[Postgres]:
    """A cluster that keeps what it has committed, whatever happens to it."""
    with Postgres(run_directory / "durable-kills", durable=True) as server:
        server.prepare_database("template_kills")
        yield server
    server.remove()


@pytest.fixture
def company(durable: Postgres, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenant]:
    """A company in a database of its own on the durable cluster."""
    made: Database = durable.clone_database("template_kills", f"kills_{uuid.uuid4().hex}")
    for variable, value in made.environment().items():
        monkeypatch.setenv(variable, value)
    settings.cache_clear()
    yield make_tenant()
    close_pools()
    durable.drop_database(made.name)  # a crash makes the server sync every file it has
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with demo_desk(tmp_path_factory.mktemp("desk")) as peer:
        yield peer


def run(job: str, company: Tenant, desk: Peer, point: str) -> list[dict[str, str]]:
    """Run a process that dies; returns what it told before."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.doomed", job),
            *(str(company.tenant_id), desk.base_url, desk.secret, point),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def call_of(company: Tenant, told: list[dict[str, str]]) -> State:
    return State(company.tenant_id, UUID(told[0]["started"]), 1)


def expect_one_ticket(desk: Peer, state: State) -> None:
    (ticket,) = opened(desk, state)
    assert (ticket["summary"], ticket["description"], ticket["requester_id"]) == (
        SUMMARY,
        DESCRIPTION,
        "R-2001",
    )
    assert numbers(state).count(("opened", ticket["number"])) == 1


@pytest.mark.parametrize("point", POINTS)
async def test_agent_dies_while_opening_a_ticket(company: Tenant, desk: Peer, point: str) -> None:
    told = run("place", company, desk, point)
    state = call_of(company, told)
    assert len(opened(desk, state)) == (point in ("after_send", "after_note"))
    if point != "after_note":
        assert left(company) == [("open", 1, None)]
        assert await deliver(desk, company) == Delivery(delivered=1)
    expect_one_ticket(desk, state)
    assert left(company) == []
    assert await deliver(desk, company) == Delivery()
    expect_one_ticket(desk, state)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("first", ["before_send", "after_send"])
async def test_sweeper_dies_too(company: Tenant, desk: Peer, first: str, point: str) -> None:
    state = call_of(company, run("place", company, desk, first))
    for _ in range(2):
        make_due(company)
        run("deliver", company, desk, point)
    await deliver(desk, company)
    expect_one_ticket(desk, state)
    assert left(company) == []


async def test_database_dies_after_the_desk_has_answered(
    company: Tenant, desk: Peer, durable: Postgres
) -> None:
    state = call_of(company, run("place", company, desk, "before_send"))
    with tenant_transaction(company.tenant_id) as conn:
        held = conn.execute(
            "UPDATE aurion.drafts SET next_attempt_at = clock_timestamp() RETURNING id"
        ).fetchone()
    assert held is not None
    with tenant_transaction(company.tenant_id) as conn:
        claimed = drafts.claim_due(conn)
    assert claimed is not None
    draft = drafts.open_sealed(company.tenant_id, claimed)
    durable.crash()
    try:
        async with desk_of(desk) as connector:
            number = await drafts.deliver(
                connector,
                tenant_id=company.tenant_id,
                draft_id=claimed.id,
                draft=draft,
                attempts=claimed.attempts,
            )
    finally:
        durable.start()
    assert number == opened(desk, state)[0]["number"], "the caller may be told"
    assert await deliver(desk, company) == Delivery(delivered=1)
    expect_one_ticket(desk, state)
    assert left(company) == []


async def test_dead_agents_call_is_swept_with_its_ticket_and_one_callback(
    company: Tenant, desk: Peer
) -> None:
    state = call_of(company, run("place", company, desk, "after_send"))
    with tenant_transaction(company.tenant_id) as conn:
        conn.execute("UPDATE aurion.calls SET lease_until = clock_timestamp()")
    make_due(company)
    async with desk_of(desk) as connector:
        result = await sweeps.tend(company.tenant_id, connector)
    assert (result.interrupted, result.drafts) == (1, Delivery(delivered=2))
    expect_one_ticket(desk, state)
    assert len(desk.tickets_with(tickets.callback_key(state.call_id))) == 1
    with tenant_transaction(company.tenant_id) as conn:
        assert calls.get(conn, state.call_id).outcome == "interrupted"
