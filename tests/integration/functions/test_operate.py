"""What operators do, through the function in the cloud's place and through the command itself."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from aurion import calls, operations, secrets, turns
from aurion.database import tenant_transaction
from aurion.settings import settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from local.postgres import Postgres
from tests.factories import Tenant
from tests.function_handlers import invoke

pytestmark = pytest.mark.usefixtures("aws", "database")

ROWS = b"""name,badge_id,language,email
Zoe Adams,550011,en,zoe.adams@meridian.example
Yann Bernard,77x001,fr,yann.bernard@meridian.example
"""


def run(command: str, **arguments: Any) -> Any:
    return invoke("operate", {"command": command, "arguments": arguments})


def done(command: str, **arguments: Any) -> Any:
    return run(command, **arguments)["result"]


def test_a_company_its_number_and_its_people(capfd: pytest.CaptureFixture[str]) -> None:
    added = done("tenant.add", name="Nordlicht Energie", languages=["de", "en"])
    assert added["itsm_secret"] == f"aurion/local/tenant/{added['id']}/itsm"
    assert done("number.add", tenant="nordlicht energie", number="+33199000077")
    (listed,) = done("tenant.list")["tenants"]
    assert (listed["name"], listed["numbers"]) == ("Nordlicht Energie", ["+33199000077"])
    assert done("tenant.set", tenant=added["id"], retention_days=7)["retention_days"] == 7
    report = done("people.import", tenant=added["id"], csv=base64.b64encode(ROWS).decode())
    assert (report["added"], report["rejected"]) == (
        1,
        [{"line": 3, "reason": "badge_malformed"}],
    )
    (zoe,) = done("people.list", tenant=added["id"])["people"]
    assert (zoe["name"], bool(zoe["enrolled_at"])) == ("Zoe Adams", True)
    done("number.remove", tenant=added["id"], number="+33199000077")
    told = "".join(capfd.readouterr())
    for value in ("550011", "77x001", base64.b64encode(ROWS).decode()[:40], "Zoe", "Yann"):
        assert value not in told


def test_a_company_gets_agents_of_its_own_and_gives_them_up(tenant: Tenant) -> None:
    assert not done("cell.show", tenant=tenant.name)["wanted"]
    wanted = done("cell.want", tenant=tenant.name, min_tasks=2, max_tasks=6)
    assert (wanted["wanted"], wanted["state"], wanted["max_tasks"]) == (True, "waiting", 6)
    assert done("cell.show", tenant=tenant.name) == wanted
    assert not done("cell.give_up", tenant=tenant.name)["wanted"]


def test_calls_are_listed_and_shown(tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        call = calls.claim(conn, call_id=calls.start(conn, channel="phone").id)
        turns.append(conn, call_id=call.id, epoch=call.epoch, speaker="caller", text="Hello?")
        calls.close(conn, call_id=call.id, epoch=call.epoch, outcome="informed")
    (listed,) = done("calls.list", tenant=tenant.name)["calls"]
    assert (listed["id"], listed["outcome"]) == (str(call.id), "informed")
    shown = done("calls.show", tenant=tenant.name, call=str(call.id)[:8])
    assert [turn["text"] for turn in shown["turns"]] == ["Hello?"]
    assert shown["recording"] is None
    json.dumps(shown)  # Lambda's answer is JSON


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("tenant.burn", {}, "OperationUnknown"),
    ("tenant.add", {}, "RequestMalformed"),
    ("cell.want", {"tenant": "Meridian Works", "min_tasks": 5}, "SettingRejected"),
    ("cell.want", {"tenant": "Meridian Works", "min_tasks": "many"}, "RequestMalformed"),
    ("tenant.add", {"name": "X", "id": "nobody"}, "RequestMalformed"),
    ("tenant.add", {"name": "X", "colour": "blue"}, "SettingRejected"),
    ("tenant.add", {"name": "X", "retention_days": 9000}, "SettingRejected"),
    ("number.add", {"tenant": "Nobody", "number": "+33199000077"}, "TenantUnclear"),
    ("number.add", {"tenant": "Meridian Works", "number": "77"}, "NumberMalformed"),
    ("number.remove", {"tenant": "Meridian Works", "number": "+33199000077"}, "NumberNotFound"),
    ("people.import", {"tenant": "Meridian Works", "csv": "no base64"}, "RequestMalformed"),
    ("people.import", {"tenant": "Meridian Works", "csv": "Zm9v"}, "PeopleFileRejected"),
    ("calls.list", {"tenant": "Meridian Works", "limit": "many"}, "RequestMalformed"),
    ("calls.show", {"tenant": "Meridian Works", "call": "ffff"}, "CallNotFound"),
]


def test_what_cannot_be_done_is_told_by_its_kind(tenant: Tenant) -> None:
    for command, arguments, kind in REFUSED:
        told = run(command, **arguments)["error"]["kind"]
        assert (command, arguments, told) == (command, arguments, kind)


def test_arguments_that_are_none_are_refused() -> None:
    assert invoke("operate", {"command": "tenant.list", "arguments": 7})["error"]["kind"] == (
        "RequestMalformed"
    )


class _Lambda(BaseHTTPRequestHandler):
    """Lambda's API as far as an invocation goes: it runs the handler in this process."""

    asked: list[str] = []  # noqa: RUF012 - a server per test is one too many

    def do_POST(self) -> None:
        name = self.path.split("/")[3]
        self.asked.append(name)
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if name != "aurion-dev-operate":
            self.send_response(404)
            self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
            self.end_headers()
            return
        body = json.dumps(invoke("operate", event)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def lambda_api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Lambda)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def aurion(
    endpoint: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    # Nothing of a database or a stack: only AWS is there to be asked.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DATABASE_")}
    return subprocess.run(
        [sys.executable, "-c", "from local.cli import main; main()", *arguments],
        env=kept | {"AWS_ENDPOINT_URL": endpoint, "AURION_HOME": "/nonexistent", "COLUMNS": "200"},
        input=stdin,
        capture_output=True,
        check=False,
    )


def test_the_command_line_operates_an_environment_in_the_cloud(tenant: Tenant) -> None:
    with lambda_api() as endpoint:
        imported = aurion(
            endpoint, "people", "import", "-", "--tenant", tenant.name, "--env", "dev", stdin=ROWS
        )
        assert b"1 added" in imported.stderr
        assert b"line 3: has a badge ID" in imported.stderr
        assert imported.returncode == 1
        listed = aurion(endpoint, "people", "list", "--tenant", tenant.name, "--env", "dev")
        assert b"Zoe Adams" in listed.stdout
        unclear = aurion(endpoint, "calls", "list", "--env", "dev")
        assert (unclear.returncode, b"--tenant" in unclear.stderr) == (1, True)
        elsewhere = aurion(endpoint, "tenant", "list", "--env", "prod")
        assert elsewhere.returncode == 1
        assert (
            b"aurion-prod-operate can't be invoked: ResourceNotFoundException" in elsewhere.stderr
        )
        for told in (imported, listed, unclear, elsewhere):
            assert b"550011" not in told.stdout + told.stderr


def test_every_command_can_be_named() -> None:
    assert {"tenant.add", "number.add", "people.import", "calls.show"} <= operations.commands()


def test_the_newest_migration_is_brought_to_an_empty_database(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgres.admin_dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    login = conninfo_to_dict(postgres.admin_dsn(name))
    secrets.put(
        "aurion/local/admin",
        json.dumps({"username": login["user"], "password": login["password"]}),
    )
    monkeypatch.setenv("DATABASE_ADMIN_SECRET", "aurion/local/admin")
    monkeypatch.setenv("DATABASE_NAME", name)
    settings.cache_clear()
    first = invoke("migrate_database", {})["Data"]["Applied"].split(",")
    assert first[0] == "0001_tenancy"
    assert invoke("migrate_database", {"RequestType": "Update"})["Data"] == {"Applied": ""}
    with psycopg.connect(postgres.admin_dsn(name)) as conn:
        row = conn.execute("SELECT count(*) FROM aurion_migrations.applied").fetchone()
        assert row == (len(first),)
        conn.execute("INSERT INTO aurion_migrations.applied VALUES ('9999_of_a_newer_release', '')")
    # A release that is taken back meets what a newer one has added, and runs on it.
    back = invoke("migrate_database", {"RequestType": "Update"})
    assert (back["Status"], back["Data"]) == ("SUCCESS", {"Applied": ""})
    postgres.drop_database(name)
