"""Companies' own agents come, are brought to a release, and go, however often a round runs."""

import asyncio
import json
from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest
from aurion import call_routes, calls, cell_stacks, cells, live_calls, secrets, tenants, trunks
from aurion.aws import AwsRefused
from aurion.database import tenant_transaction
from aurion.errors import ReleaseNotFound, RoomsUnavailable
from aurion.rooms import Errand, VoiceServer
from aurion.settings import settings
from aurion.trunks import Rule, Trunk
from psycopg import sql

from local.postgres import Database, Postgres
from tests import redis_server
from tests.factories import Tenant, make_tenant
from tests.integration.cells.conftest import ENVIRONMENT, Account
from tests.livekit_server import API_KEY, API_SECRET, LiveKitServer
from tests.providers.slow_stacks import SlowStacks

pytestmark = pytest.mark.usefixtures("database", "no_logins_left")


@pytest.fixture
def no_logins_left(postgres: Postgres) -> Iterator[None]:
    """Roles belong to the cluster: what a test leaves, the next one would find."""
    yield
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        for login in logins(superuser):
            superuser.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


@pytest.fixture
def slow(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowStacks]:
    """The same account, in which stacks take their time."""
    with SlowStacks(account.aws.endpoint) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.endpoint)
        settings.cache_clear()
        yield front


def logins(superuser: psycopg.Connection) -> list[str]:
    statement = "SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'aurion\\_cell\\_%'"
    return [row[0] for row in superuser.execute(statement).fetchall()]


def want(tenant: Tenant, **tasks: int) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        cells.want(conn, **tasks)


def give_up(tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        cells.give_up(conn)


def cell_of(tenant: Tenant) -> cells.Cell:
    with tenant_transaction(tenant.tenant_id) as conn:
        found = cells.get(conn)
    assert found is not None
    return found


def agents_of(tenant: Tenant) -> str:
    with tenant_transaction(tenant.tenant_id) as conn:
        return cells.agent_name(conn, shared="aurion")


def let_pass(tenant: Tenant, seconds: int) -> None:
    """Move a cell's clock: what was noted lies so much longer back."""
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute(
            "UPDATE aurion.tenant_cells SET taking_since = taking_since - %(s)s * interval '1 s',"
            " next_attempt_at = next_attempt_at - %(s)s * interval '1 s'",
            {"s": seconds},
        )


def stack_of(tenant: Tenant) -> str:
    return cell_stacks.name_of(tenant.tenant_id)


def test_cell_comes_is_renewed_and_goes(
    account: Account, tenant: Tenant, other_tenant: Tenant, postgres: Postgres
) -> None:
    assert cells.reconcile().states == {}
    want(tenant)
    assert cells.reconcile().states == {"creating": 1}
    assert agents_of(tenant) == "aurion", "calls wait for the agents, not the other way round"
    assert cells.reconcile().states == {"running": 1}
    assert agents_of(tenant) == f"aurion-{tenant.tenant_id}"
    assert agents_of(other_tenant) == "aurion"
    assert account.stacks() == {stack_of(tenant): "CREATE_COMPLETE"}
    (service,) = account.services()
    assert service["serviceName"] == stack_of(tenant)
    assert service["taskDefinition"].endswith(f"/{stack_of(tenant)}:1")
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        assert logins(superuser) == [f"aurion_cell_{tenant.tenant_id}"]

    # A release changes image and template; the company's calls stay with its agents meanwhile.
    account.template["Resources"] |= {"Release2": {"Type": "AWS::SNS::Topic"}}
    account.release("registry.example/agents:2")
    assert cells.reconcile() == cells.Round({"updating": 1}, begun=1)
    assert agents_of(tenant) == f"aurion-{tenant.tenant_id}"
    assert account.stacks() == {stack_of(tenant): "UPDATE_COMPLETE"}
    assert cells.reconcile() == cells.Round({"running": 1}, begun=0)

    give_up(tenant)
    assert cells.reconcile().states == {"draining": 1}
    assert agents_of(tenant) == "aurion"
    assert cells.reconcile().states == {"draining": 1}, "a call that rang before may still come"
    let_pass(tenant, 200)
    assert cells.reconcile().states == {"deleting": 1}
    assert account.stacks() == {}
    assert cells.reconcile().states == {"gone": 1}
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        assert logins(superuser) == []
    assert cells.reconcile() == cells.Round({"gone": 1}, begun=0)


def begin_call(tenant: Tenant) -> UUID:
    """Note a call that the company's own agents have."""
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.start(conn, channel="room")
        shown = live_calls.LiveCall(
            tenant_id=tenant.tenant_id,
            call_id=call.id,
            room="call-x",
            agent_name=cells.agent_name(conn, shared="aurion"),
            agent="agent-x",
            tries=0,
        )
        live_calls.show(conn, shown)
    return call.id


def test_cell_with_a_call_is_not_taken_away(account: Account, tenant: Tenant) -> None:
    want(tenant)
    cells.reconcile()
    cells.reconcile()
    call_id = begin_call(tenant)
    give_up(tenant)
    cells.reconcile()
    let_pass(tenant, 3600)
    assert cells.reconcile().states == {"draining": 1}
    begin_call(tenant)  # with the shared agents now: it holds nothing up
    with tenant_transaction(tenant.tenant_id) as conn:
        live_calls.forget(conn, call_id=call_id, agent="agent-x")
    assert cells.reconcile().states == {"deleting": 1}


def test_cell_is_not_kept_for_a_call_whose_end_nobody_noted(
    account: Account, tenant: Tenant
) -> None:
    want(tenant)
    cells.reconcile()
    cells.reconcile()
    begin_call(tenant)
    give_up(tenant)
    cells.reconcile()
    let_pass(tenant, 7900)
    assert cells.reconcile().states == {"deleting": 1}


def test_company_that_is_gone_leaves_no_agents(
    account: Account, tenant: Tenant, other_tenant: Tenant, postgres: Postgres
) -> None:
    for one in (tenant, other_tenant):
        want(one)
    cells.reconcile()
    cells.reconcile()
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("DELETE FROM aurion.tenants")
    with tenant_transaction(other_tenant.tenant_id) as conn:
        tenants.update(conn, status="ended")
    assert cells.reconcile().states == {"deleting": 1, "draining": 1}
    assert cells.reconcile().states == {"gone": 1, "draining": 1}
    assert account.stacks() == {stack_of(other_tenant): "CREATE_COMPLETE"}
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        assert logins(superuser) == [f"aurion_cell_{other_tenant.tenant_id}"]
    assert cells.reconcile().states == {"draining": 1}


def test_ten_change_at_a_time(slow: SlowStacks, database: Database) -> None:
    companies = [make_tenant(f"Company {n}") for n in range(13)]
    for company in companies:
        want(company)
    assert cells.reconcile() == cells.Round({"creating": 10, "waiting": 3}, begun=10)
    assert cells.reconcile() == cells.Round({"creating": 10, "waiting": 3}, begun=0)
    first, second = [name for _, name in slow.take_asked()][:2]
    slow.end("CREATE_COMPLETE", first, second)
    assert cells.reconcile() == cells.Round({"running": 2, "creating": 10, "waiting": 1}, begun=2)
    slow.end("CREATE_COMPLETE")
    cells.reconcile()
    slow.end("CREATE_COMPLETE")
    assert cells.reconcile() == cells.Round({"running": 13}, begun=0)
    assert len(slow.take_asked()) == 3
    for company in companies:
        want(company, max_tasks=6)
    assert cells.reconcile() == cells.Round({"updating": 10, "running": 3}, begun=10)
    assert {action for action, _ in slow.take_asked()} == {"UpdateStack"}


def test_round_that_died_is_made_good(slow: SlowStacks, tenant: Tenant, postgres: Postgres) -> None:
    """After each thing it did, as if it had been killed there."""
    want(tenant)
    cells.reconcile()
    slow.take_asked()
    # CloudFormation has it, the row was never written.
    with tenant_transaction(tenant.tenant_id) as conn:
        conn.execute("UPDATE aurion.tenant_cells SET state = 'waiting', tried_release = NULL")
    assert cells.reconcile().states == {"creating": 1}
    slow.end("CREATE_COMPLETE")
    assert cells.reconcile().states == {"running": 1}
    assert slow.take_asked() == []
    # The row says that it was begun, CloudFormation never heard of it.
    slow.refuse.add("UpdateStack")
    want(tenant, max_tasks=8)
    assert cells.reconcile().states == {"failed": 1}
    slow.refuse.clear()
    assert cells.reconcile().states == {"failed": 1}, "not again at once"
    let_pass(tenant, 121)
    assert cells.reconcile().states == {"updating": 1}
    assert agents_of(tenant) == f"aurion-{tenant.tenant_id}"
    # The stack is gone, its login is not.
    slow.end("UPDATE_COMPLETE")
    cells.reconcile()
    give_up(tenant)
    cells.reconcile()
    let_pass(tenant, 200)
    assert cells.reconcile().states == {"deleting": 1}
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        assert logins(superuser) == [f"aurion_cell_{tenant.tenant_id}"]
    assert cells.reconcile().states == {"gone": 1}
    with psycopg.connect(postgres.dsn(), autocommit=True) as superuser:
        assert logins(superuser) == []


def test_release_that_fails_is_tried_again_later_and_the_next_one_at_once(
    slow: SlowStacks, account: Account, tenant: Tenant
) -> None:
    want(tenant)
    cells.reconcile()
    slow.end("CREATE_COMPLETE")
    cells.reconcile()
    account.release("registry.example/agents:2")
    assert cells.reconcile().states == {"updating": 1}
    slow.end("UPDATE_ROLLBACK_COMPLETE")
    slow.take_asked()
    assert cells.reconcile().states == {"failed": 1}
    assert agents_of(tenant) == f"aurion-{tenant.tenant_id}", "the old ones serve"
    assert slow.take_asked() == []
    let_pass(tenant, 121)
    assert cells.reconcile().states == {"updating": 1}
    slow.end("UPDATE_ROLLBACK_COMPLETE")
    let_pass(tenant, 121)
    assert cells.reconcile().states == {"failed": 1}, "each time later"
    account.release("registry.example/agents:3")
    assert cells.reconcile().states == {"updating": 1}
    slow.end("UPDATE_COMPLETE")
    assert cells.reconcile().states == {"running": 1}
    assert cell_of(tenant).attempts == 0


def test_stacks_that_are_stuck_are_freed(slow: SlowStacks, database: Database) -> None:
    anew = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")
    stuck = {status: make_tenant(status) for status in (*anew, "UPDATE_ROLLBACK_FAILED")}
    for company in stuck.values():
        want(company)
    cells.reconcile()
    slow.end("CREATE_COMPLETE")
    cells.reconcile()
    slow.take_asked()
    for status, company in stuck.items():
        slow.end(status, stack_of(company))
        let_pass(company, 121)
    cells.reconcile()
    serving = stuck["UPDATE_ROLLBACK_FAILED"]
    gone = {("DeleteStack", stack_of(stuck[status])) for status in anew}
    assert set(slow.take_asked()) == gone | {("ContinueUpdateRollback", stack_of(serving))}
    for company in stuck.values():
        assert (agents_of(company) != "aurion") == (company is serving)
        let_pass(company, 300)
    cells.reconcile()
    assert set(slow.take_asked()) == {("CreateStack", stack) for _, stack in gone}


def test_stack_that_somebody_deleted_takes_no_calls_and_is_made_anew(
    account: Account, tenant: Tenant
) -> None:
    want(tenant)
    cells.reconcile()
    cells.reconcile()
    account.aws.client("cloudformation").delete_stack(StackName=stack_of(tenant))
    let_pass(tenant, 121)
    assert cells.reconcile().states == {"creating": 1}
    assert agents_of(tenant) == "aurion"
    assert cells.reconcile().states == {"running": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    log = tmp_path_factory.mktemp("routes") / "server.log"
    with redis_server.run() as address, LiveKitServer(log, redis=address) as running:
        yield running


def rule_of(tenant: Tenant, trunk: str, number: str) -> Rule:
    return Rule(
        name=f"{call_routes.RULE_PREFIX}{tenant.tenant_id}",
        trunk_id=trunk,
        numbers=(number,),
        agent_name="aurion",
        metadata=Errand(tenant.tenant_id).to_json(),
    )


async def test_calls_follow_the_agents_and_no_agents_go_while_calls_cannot(
    account: Account,
    tenant: Tenant,
    other_tenant: Tenant,
    server: LiveKitServer,
    run_handler: Callable[[str], dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    voice = VoiceServer(server.url, API_KEY, API_SECRET)
    keys = {"url": server.url, "api_key": API_KEY, "api_secret": API_SECRET}
    monkeypatch.setenv("LIVEKIT_SECRET", "aurion/dev/livekit")
    settings.cache_clear()
    secrets.put("aurion/dev/livekit", json.dumps(keys))
    trunk = await trunks.save_trunk(Trunk("aurion", "aurion", "a-password"), server=voice)
    for number, company in (("+33199000001", tenant), ("+33199000002", other_tenant)):
        await trunks.save_rule(rule_of(company, trunk, number), server=voice)

    async def sent() -> set[str]:
        return {rule.agent_name for rule in await trunks.list_rules(server=voice)}

    async def run() -> dict[str, object]:
        return await asyncio.to_thread(run_handler, "tenant_cells")

    assert await run() == {"states": {}, "begun": 0, "rerouted": 0}
    want(tenant)
    account.aws.client("ssm").delete_parameter(Name=f"/aurion/{ENVIRONMENT.name}/cell-release")
    with pytest.raises(ReleaseNotFound):
        cells.reconcile()
    assert await run() == {"states": {}, "begun": 0}
    account.release("registry.example/agents:1")
    assert await run() == {"states": {"creating": 1}, "begun": 1, "rerouted": 0}
    assert await run() == {"states": {"running": 1}, "begun": 0, "rerouted": 1}
    assert await sent() == {"aurion", f"aurion-{tenant.tenant_id}"}
    assert await run() == {"states": {"running": 1}, "begun": 0, "rerouted": 0}

    give_up(tenant)
    cells.reconcile()
    let_pass(tenant, 200)
    secrets.put("aurion/dev/livekit", json.dumps(keys | {"url": "http://127.0.0.1:9"}))
    with pytest.raises(RoomsUnavailable):
        await run()
    assert list(account.stacks()) == [stack_of(tenant)], "calls still go there"
    secrets.put("aurion/dev/livekit", json.dumps(keys))
    assert await run() == {"states": {"deleting": 1}, "begun": 1, "rerouted": 0}
    assert await sent() == {"aurion"}


def test_account_that_does_not_answer_changes_nothing(
    slow: SlowStacks, tenant: Tenant, other_tenant: Tenant
) -> None:
    want(tenant)
    slow.refuse.add("DescribeStacks")
    with pytest.raises(AwsRefused):
        cells.reconcile()
    slow.refuse = {"CreateStack"}
    want(other_tenant)
    assert cells.reconcile().states == {"failed": 2}, "one refusal does not hold up the others"
    assert agents_of(tenant) == "aurion"
