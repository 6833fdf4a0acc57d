"""The desk as a service: what it refuses and how, its file, its process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from local.desk.process import DeskNotStarted, DeskProcess, start_desk
from tests.gateways import NO_TLS

TOKEN = "desk-token"
TICKET: dict[str, Any] = {
    "requester_id": "R-2001",
    "summary": "VPN keeps disconnecting",
    "description": "",
    "kind": "incident",
    "language": "en",
    "external_key": "call-1:1",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskProcess]:
    running = start_desk(tmp_path_factory.mktemp("desk") / "desk.sqlite", TOKEN)
    yield running
    running.stop()


@pytest.fixture
def http(desk: DeskProcess) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(
        base_url=desk.base_url, headers=headers, trust_env=False, verify=NO_TLS
    ) as client:
        yield client


def refusal(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "banana"}, "kind"),
        ({"summary": ""}, "summary"),
        ({"summary": "x" * 201}, "summary"),
        ({"summary": 7}, "summary"),
        ({"external_key": None}, "external_key"),
        ({"requester_id": "R-0000", "external_key": "nobody"}, "requester_id"),
        ({"priority": "high"}, "priority"),
    ],
)
def test_a_field_that_cannot_be_accepted_is_named(
    http: httpx2.Client, changes: dict[str, Any], field: str
) -> None:
    answer = http.post("/api/tickets", json={**TICKET, **changes})
    assert answer.status_code == 422
    assert [error["field"] for error in refusal(answer)["errors"]] == [field]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(http: httpx2.Client, body: bytes) -> None:
    answer = http.post("/api/tickets", content=body)
    assert answer.status_code == 400
    refusal(answer)


def test_a_body_too_long_is_refused(http: httpx2.Client) -> None:
    answer = http.post("/api/tickets", json={**TICKET, "description": "x" * 70_000})
    assert answer.status_code == 413


def test_an_unknown_parameter_is_refused_and_not_dropped(http: httpx2.Client) -> None:
    answer = http.get("/api/tickets", params={"requester": "R-2001"})
    assert answer.status_code == 400
    assert "'requester'" in refusal(answer)["detail"]


def test_a_key_used_for_something_else_is_a_conflict(http: httpx2.Client) -> None:
    assert http.post("/api/tickets", json=TICKET).status_code == 201
    assert http.post("/api/tickets", json=TICKET).status_code == 200
    answer = http.post("/api/tickets", json={**TICKET, "summary": "Something else"})
    assert answer.status_code == 409
    refusal(answer)


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"bearer {TOKEN}x"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/tickets"), ("POST", "/api/tickets"), ("POST", "/api/requesters/search")],
)
def test_nobody_gets_in_without_the_token(
    desk: DeskProcess, method: str, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with httpx2.Client(base_url=desk.base_url, trust_env=False, verify=NO_TLS) as client:
        answer = client.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    refusal(answer)


def test_what_is_not_there_is_not_found(http: httpx2.Client) -> None:
    for path in ("/api/tickets/T-1", "/api/articles/none", "/api/transfers/none", "/api/none"):
        answer = http.get(path)
        assert answer.status_code == 404
        refusal(answer)
    assert http.delete("/api/tickets").status_code == 405


def test_a_closed_ticket_stays_closed(http: httpx2.Client) -> None:
    number = http.post("/api/tickets", json={**TICKET, "external_key": "close"}).json()["number"]
    for status, expected in (("resolved", 200), ("closed", 200), ("open", 409)):
        answer = http.patch(f"/api/tickets/{number}", json={"status": status, "status_note": ""})
        assert answer.status_code == expected
    ticket = http.get(f"/api/tickets/{number}").json()
    assert (ticket["status"], ticket["updated_at"] > ticket["opened_at"]) == ("closed", True)


def test_troubles_cannot_be_switched_on_in_a_desk_that_is_used(http: httpx2.Client) -> None:
    answer = http.post("/faults", json={"kind": "hang", "path": "/"})
    assert answer.status_code == 404
    assert http.get("/api/outages").status_code == 200


def test_only_names_of_this_machine_reach_it(desk: DeskProcess) -> None:
    """A page of the internet must not read the desk through a name it points at loopback."""
    with httpx2.Client(base_url=desk.base_url, trust_env=False, verify=NO_TLS) as client:
        for path in ("/", "/api/tickets"):
            answer = client.get(path, headers={"Host": f"evil.example:{desk.port}"})
            assert answer.status_code == 400
        assert client.get("/", headers={"Host": f"localhost:{desk.port}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {},
    ],
)
def test_a_form_of_another_site_changes_nothing(desk: DeskProcess, headers: dict[str, str]) -> None:
    with httpx2.Client(base_url=desk.base_url, trust_env=False, verify=NO_TLS) as client:
        for path in ("/tickets/T-1024/comments", "/tickets/T-1024/status", "/people/P-1/duty"):
            answer = client.post(path, data={"text": "x", "status": "closed"}, headers=headers)
            assert answer.status_code == 403


def test_it_listens_on_loopback_only(desk: DeskProcess) -> None:
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(desk.process.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_the_file_is_durable_and_kept_over_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "desk.sqlite"
    first = start_desk(data, TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    made = httpx2.post(f"{first.base_url}/api/tickets", json=TICKET, headers=headers).json()
    assert data.with_name("desk.sqlite-wal").exists()
    first.kill()
    second = start_desk(data, TOKEN, first.port)
    try:
        assert second.base_url == first.base_url
        kept = httpx2.get(f"{second.base_url}/api/tickets", headers=headers).json()["tickets"]
        assert [t for t in kept if t["number"] == made["number"]] == [made]
        assert len({t["number"] for t in kept}) == len(kept) == 10
    finally:
        second.stop()


def test_a_port_in_use_is_told(desk: DeskProcess, tmp_path: Path) -> None:
    with pytest.raises(DeskNotStarted):
        start_desk(tmp_path / "desk.sqlite", TOKEN, desk.port)


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import json, sys, time; from pathlib import Path\n"
        "from local.desk.process import start_desk\n"
        f"desk = start_desk(Path({str(tmp_path / 'desk.sqlite')!r}), 'token')\n"
        "print(json.dumps(desk.process.pid), flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = json.loads(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
