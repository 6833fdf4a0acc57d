"""The local gateway's HTTP side: real requests to handlers that run as their own processes."""

import base64
import gzip
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from local.gateway.process import GatewayNotStarted, GatewayProcess
from tests.gateways import NO_TLS, add_function, gateway_over, log_lines

TELL = """
import json, os
calls = 0
def handler(event, context):
    global calls
    calls += 1
    told = {"event": event, "environment": dict(os.environ), "pid": os.getpid(), "calls": calls,
        "cwd": os.getcwd(), "request": context.aws_request_id, "name": context.function_name,
        "left_ms": context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb}
    return {"statusCode": 200, "body": json.dumps(told)}
"""
MISBEHAVE = """
import os, sys, time
pids = open("../troubled.pids", "a")
print(os.getpid(), file=pids, flush=True)
def handler(event, context):
    how = (event["queryStringParameters"] or {}).get("how")
    if how == "late":
        time.sleep(60)
    if how == "raise":
        raise RuntimeError("what the caller said")
    if how == "exit":
        os._exit(3)
    if how == "text":
        return "hello"
    if how == "unknown_key":
        return {"statusCode": 200, "cookies": []}
    if how == "unserialisable":
        return {"statusCode": 200, "body": {1, 2}}
    if how == "hold":
        time.sleep(1)
    return {"statusCode": 200, "body": str(os.getpid())}
"""
GREEDY = """
def handler(event, context):
    return {"statusCode": 200, "body": str(len(bytes(range(200)) * (1 << 20)))}
"""
ANSWER = """
import base64
def handler(event, context):
    headers = {"Content-Type": "audio/ogg", "X-One": "1", "X-Two": "no"}
    return {"statusCode": 201, "headers": headers,
        "multiValueHeaders": {"X-Two": ["a", "b"], "Set-Cookie": ["a=1", "b=2"]},
        "body": base64.b64encode(bytes(range(256))).decode(), "isBase64Encoded": True}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    functions = tmp_path_factory.mktemp("functions")
    settings = ("ENVIRONMENT", "HOOKS_URL")
    add_function(functions, "tell", TELL, route="POST /tell", environment=settings, memory_mb=256)
    add_function(functions, "told", TELL, route="GET /things/{id}/{proxy+}", roles=("aurion_app",))
    add_function(
        functions, "troubled", MISBEHAVE, route="GET /troubled", timeout_s=2, concurrency=2
    )
    add_function(functions, "answer", ANSWER, route="GET /answer")
    add_function(functions, "greedy", GREEDY, route="GET /greedy")
    add_function(functions, "broken", "import nothing_of_the_kind\n", route="GET /broken")
    add_function(functions, "changing", changing("one"), route="GET /changing")
    return functions


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[GatewayProcess]:
    settings = {
        "ENVIRONMENT": "local",
        "HOOKS_URL": "http://hooks.example",
        "DATABASE_HOST": "database.example",
        "DATABASE_PASSWORD": "database-password",
        "BADGE_KEY_ID": "a-key",
        "ANTHROPIC_API_KEY": "sk-of-the-shell",
    }
    with gateway_over(folder, settings=settings) as running:
        yield running


def ask(gateway: GatewayProcess, path: str, method: str = "GET", **options: Any) -> httpx2.Response:
    return httpx2.request(
        method, gateway.hooks_url + path, trust_env=False, verify=NO_TLS, timeout=20, **options
    )


def test_handler_gets_an_event_of_api_gateway(gateway: GatewayProcess) -> None:
    answer = ask(
        gateway,
        "/tell?a=1&b=x%20y&a=2&empty=",
        "POST",
        headers=[("X-Twice", "one"), ("X-Twice", "two"), ("User-Agent", "somebody/1.0")],
        data={"From": "+33199000101", "Name": "Zoé & co"},
    )
    assert answer.status_code == 200
    event = answer.json()["event"]
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/tell", "/tell", "POST")
    assert event["headers"]["X-Twice"] == "two"
    assert event["multiValueHeaders"]["X-Twice"] == ["one", "two"]
    assert event["headers"]["Host"] == gateway.url.removeprefix("http://")
    assert event["queryStringParameters"] == {"a": "2", "b": "x y", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {
        "a": ["1", "2"],
        "b": ["x y"],
        "empty": [""],
    }
    assert event["pathParameters"] is None
    assert event["body"] == "From=%2B33199000101&Name=Zo%C3%A9+%26+co"
    assert event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["stage"] == "local"
    assert context["path"] == "/local/tell"
    assert context["resourcePath"] == "/tell"
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"] == "somebody/1.0"
    assert context["identity"]["accessKey"] is None
    assert context["requestId"] == answer.headers["x-amzn-requestid"]
    assert abs(context["requestTimeEpoch"] / 1000 - time.time()) < 10


def test_path_parameters_are_decoded_and_an_empty_query_is_none(gateway: GatewayProcess) -> None:
    event = ask(gateway, "/things/a%2Fb/c/d").json()["event"]
    assert event["pathParameters"] == {"id": "a/b", "proxy": "c/d"}
    assert event["path"] == "/things/a%2Fb/c/d"
    assert event["queryStringParameters"] is None
    assert event["multiValueQueryStringParameters"] is None
    assert event["body"] is None


@pytest.mark.parametrize(
    ("kind", "body", "encoded"),
    [
        ("application/json; charset=utf-8", b'{"a": "\xc3\xa9"}', False),
        ("text/plain", b"words", False),
        ("text/plain", b"\xff\xfe", True),
        ("application/webhook+json", b'{"id": 1}', True),
        ("application/octet-stream", bytes(range(256)), True),
        ("application/json", gzip.compress(b"{}", mtime=0), True),
    ],
)
def test_body_arrives_byte_by_byte(
    gateway: GatewayProcess, kind: str, body: bytes, encoded: bool
) -> None:
    answer = ask(gateway, "/tell", "POST", headers={"Content-Type": kind}, content=body)
    event = answer.json()["event"]
    assert event["isBase64Encoded"] is encoded
    given = base64.b64decode(event["body"]) if encoded else event["body"].encode()
    assert given == body


def test_function_has_what_its_entry_names_and_nothing_else(gateway: GatewayProcess) -> None:
    told = ask(gateway, "/tell", "POST").json()
    environment = told["environment"]
    assert environment["HOOKS_URL"] == "http://hooks.example"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == told["name"] == "aurion-local-tell"
    assert told["memory"] == "256"
    assert 0 < told["left_ms"] <= 5000
    assert Path(told["cwd"]).name == "tell"
    ours = {"HOOKS_URL", "ENVIRONMENT"}
    lambdas = {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "TZ",
        "PYTHONUNBUFFERED",
        "POWERTOOLS_TRACE_DISABLED",
    }
    host = {"PATH", "LC_CTYPE"}
    rest = {name for name in environment if not name.startswith("AWS_")} - lambdas - host
    assert rest == ours
    # A function that reaches the database has this machine's way to sign in, and still no more.
    other = ask(gateway, "/things/a/b").json()["environment"]
    assert other["DATABASE_PASSWORD"] == "database-password"
    assert not {"DATABASE_HOST", "BADGE_KEY_ID", "ANTHROPIC_API_KEY"} & other.keys()


def test_process_is_kept_and_serves_one_request_at_a_time(gateway: GatewayProcess) -> None:
    first = ask(gateway, "/tell", "POST").json()
    second = ask(gateway, "/tell", "POST").json()
    assert second["pid"] == first["pid"]
    assert second["calls"] == first["calls"] + 1
    assert second["request"] != first["request"]
    with ThreadPoolExecutor(2) as both:
        held = [both.submit(ask, gateway, "/troubled?how=hold") for _ in range(2)]
        time.sleep(0.5)
        # Both places of its concurrency are taken: throttled, which API Gateway shows as a 500.
        refused = ask(gateway, "/troubled")
        pids = {answer.result().text for answer in held}
    assert refused.status_code == 500
    assert len(pids) == 2
    assert ask(gateway, "/troubled").text in pids


@pytest.mark.parametrize("how", ["raise", "exit", "text", "unknown_key", "unserialisable"])
def test_failure_of_a_function_is_a_502_without_its_words(
    gateway: GatewayProcess, how: str
) -> None:
    answer = ask(gateway, f"/troubled?how={how}")
    assert answer.status_code == 502
    assert answer.json() == {"message": "Internal server error"}
    assert ask(gateway, "/troubled").status_code == 200


def test_late_function_is_killed_and_the_next_request_served_by_a_new_process(
    gateway: GatewayProcess, folder: Path
) -> None:
    before = ask(gateway, "/troubled").text
    began = time.monotonic()
    assert ask(gateway, "/troubled?how=late").status_code == 502
    assert time.monotonic() - began < 10
    after = ask(gateway, "/troubled").text
    known = (folder / "troubled.pids").read_text().split()
    assert after in known
    # The one that was late is gone: whichever it was, only live ones serve now.
    alive = {pid for pid in known if psutil.pid_exists(int(pid))}
    assert after in alive
    assert len(alive) <= 2
    assert before == after or before not in alive
    timed_out = [line for line in log_lines(folder) if line.get("timed_out")]
    assert timed_out
    assert timed_out[-1]["function"] == "troubled"


def test_function_that_can_not_be_imported_is_a_502_and_says_so_in_its_log(
    gateway: GatewayProcess, folder: Path
) -> None:
    assert ask(gateway, "/broken").status_code == 502
    log = (folder / "logs" / "functions" / "broken.log").read_text()
    assert "nothing_of_the_kind" in log


def test_answer_keeps_its_bytes_and_its_repeated_headers(gateway: GatewayProcess) -> None:
    answer = ask(gateway, "/answer")
    assert answer.status_code == 201
    assert answer.content == bytes(range(256))
    assert answer.headers["content-type"] == "audio/ogg"
    assert answer.headers.get_list("x-two") == ["a", "b"]
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-one"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/nowhere", "Missing Authentication Token"),
        ("GET", "/tell", "Missing Authentication Token"),
        ("POST", "/answer", "Missing Authentication Token"),
        ("GET", "/answer/more", "Missing Authentication Token"),
    ],
)
def test_what_the_table_does_not_name_is_refused(
    gateway: GatewayProcess, method: str, path: str, message: str
) -> None:
    answer = ask(gateway, path, method)
    assert (answer.status_code, answer.json()["message"]) == (403, message)
    assert httpx2.get(f"{gateway.url}/answer", trust_env=False).status_code == 403


def test_too_long_a_body_reaches_no_function(gateway: GatewayProcess) -> None:
    before = ask(gateway, "/tell", "POST").json()["calls"]
    for size in (10_485_761, 7_000_000):  # API Gateway's own bound, and that of an invocation
        answer = ask(gateway, "/tell", "POST", content=b"x" * size)
        assert answer.status_code == 413
    assert ask(gateway, "/tell", "POST").json()["calls"] == before + 1


def test_access_log_tells_routes_and_nobodys_data(gateway: GatewayProcess, folder: Path) -> None:
    ask(
        gateway,
        "/things/471129/Alice?caller=%2B33199000101",
        headers={"User-Agent": "telephone-of-alice", "X-Forwarded-For": "203.0.113.7"},
    )
    ask(gateway, "/tell", "POST", data={"From": "+33199000102"})
    ask(gateway, "/nowhere/471130")
    ask(gateway, "/troubled?how=raise")
    log = (folder / "logs" / "gateway.log").read_text()
    for private in (
        *("471129", "471130", "Alice", "33199000101", "33199000102", "telephone-of-alice"),
        *("203.0.113.7", "127.0.0.1", "what the caller said"),
    ):
        assert private not in log
    noted = [line for line in log_lines(folder) if line["what"] == "request"]
    assert {"resource", "status", "ms", "request", "method"} <= noted[-1].keys()
    assert [line["resource"] for line in noted[-4:]] == [
        *("/things/{id}/{proxy+}", "/tell", "-", "/troubled"),
    ]


def test_function_that_needs_more_memory_than_its_entry_says_is_told_of(
    gateway: GatewayProcess, folder: Path
) -> None:
    assert ask(gateway, "/greedy").status_code == 200
    assert ask(gateway, "/answer").is_success
    told = {line["function"] for line in log_lines(folder) if "more memory" in line["what"]}
    assert told == {"greedy"}
    invoked = [line for line in log_lines(folder) if line["what"] == "invoked"]
    assert max(line["memory_mb"] for line in invoked if line["function"] == "greedy") > 200


def changing(word: str) -> str:
    return f"def handler(event, context):\n    return {{'statusCode': 200, 'body': '{word}'}}\n"


def test_changed_handler_serves_the_next_request(gateway: GatewayProcess, folder: Path) -> None:
    assert ask(gateway, "/changing").text == "one"
    (folder / "changing" / "handler.py").write_text(changing("another"))
    assert ask(gateway, "/changing").text == "another"


def test_table_with_a_fault_does_not_start(tmp_path: Path) -> None:
    add_function(tmp_path, "wrong", TELL, route="GET /wrong", environment=("NO_SUCH_SETTING",))
    with pytest.raises(GatewayNotStarted), gateway_over(tmp_path):
        pass
    assert "does not know" in (tmp_path / "logs" / "gateway.out").read_text() or (
        "do not know" in (tmp_path / "logs" / "gateway.out").read_text()
    )


def test_nothing_is_left_when_the_gateway_goes_however_it_goes(tmp_path: Path) -> None:
    add_function(tmp_path, "tell", TELL, route="POST /tell")
    for killed in (False, True):
        with gateway_over(tmp_path) as running:
            pid = ask(running, "/tell", "POST").json()["pid"]
            assert psutil.pid_exists(pid)
            if killed:
                running.process.kill()
        deadline = time.monotonic() + 10
        while psutil.pid_exists(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not psutil.pid_exists(pid)


def test_files_of_the_gateway_are_for_its_owner_only(gateway: GatewayProcess, folder: Path) -> None:
    ask(gateway, "/tell", "POST")
    for path in (folder / "logs" / "functions").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert os.stat(folder / "logs").st_mode & 0o077 == 0
    assert json.loads((folder / "logs" / "gateway.log").read_text().splitlines()[0])
