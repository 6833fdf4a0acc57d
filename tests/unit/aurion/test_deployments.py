"""A deployment is told how its work went, whatever happened, and never what a failure said."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from aurion import deployments
from aurion.errors import DatabaseUnavailable, DeploymentUnreachable


class Deployment(HTTPServer):
    """The place where CloudFormation waits for an answer."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.types: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def event(self) -> dict[str, str]:
        return {
            "RequestType": "Create",
            "ResponseURL": f"http://127.0.0.1:{self.server_port}/answer?signed=1",
            "StackId": "arn:aws:cloudformation:eu-west-3:1:stack/a/b",
            "RequestId": "r-1",
            "LogicalResourceId": "MigrateDatabaseRun",
        }


class _Handler(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        assert isinstance(self.server, Deployment)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.append(json.loads(body))
        self.server.types.append(self.headers["Content-Type"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    server = Deployment()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_success_is_told_with_what_was_done(deployment: Deployment) -> None:
    deployments.carry_out(deployment.event, "aurion-database", lambda: {"Applied": "0001_tenancy"})
    [answer] = deployment.answers
    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == "aurion-database"
    assert answer["Data"] == {"Applied": "0001_tenancy"}
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        assert answer[name] == deployment.event[name]
    assert deployment.types == [""], "the address is signed for no content type"


@pytest.mark.parametrize("error", [DatabaseUnavailable(), KeyError("Alice Martin")])
def test_failure_is_told_at_once_and_raised(deployment: Deployment, error: Exception) -> None:
    def fail() -> dict[str, str]:
        raise error

    with pytest.raises(type(error)):
        deployments.carry_out(deployment.event, "aurion-database", fail)
    [answer] = deployment.answers
    assert answer["Status"] == "FAILED"
    assert "Alice" not in json.dumps(answer)


def test_nobody_is_told_where_nobody_asked() -> None:
    assert deployments.carry_out({}, "x", lambda: {})["Status"] == "SUCCESS"


def test_an_answer_that_cannot_be_left_is_an_error(deployment: Deployment) -> None:
    event = {**deployment.event, "ResponseURL": "http://127.0.0.1:9/gone"}
    with pytest.raises(DeploymentUnreachable):
        deployments.carry_out(event, "x", lambda: {})
