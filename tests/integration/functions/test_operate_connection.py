"""What the function `operate` says about its own connection to the database."""

import pytest

from tests.function_handlers import invoke
from tests.integration.functions.test_operate import aurion, lambda_api

pytestmark = pytest.mark.usefixtures("aws", "database")


def test_the_database_says_how_the_connection_is_protected() -> None:
    said = invoke("operate", {"command": "database.connection", "arguments": {}})["result"]
    # On one machine a socket of its own, without TLS; the server tells so, and not the client.
    assert said["encrypted"] is False
    assert said["tls"] is None
    assert said["server"].split(".")[0] == "18"


def test_what_is_in_the_clear_is_no_proof() -> None:
    with lambda_api() as endpoint:
        told = aurion(endpoint, "prove", "--env", "dev", "--tenant", "x", "--no-call")
    assert "FAIL the database is spoken to over TLS 1.3 the connection is in the clear" in (
        " ".join(told.stdout.decode().split())
    )
    # And the rest of the environment isn't there to be asked.
    assert told.returncode == 1
    assert b"aurion-dev-twilio-voice" in told.stderr
