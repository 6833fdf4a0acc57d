"""What the function `operate` says about its own connection to the database."""

import pytest

from tests.function_handlers import invoke

pytestmark = pytest.mark.usefixtures("aws", "database")


def test_the_database_says_how_the_connection_is_protected() -> None:
    said = invoke("operate", {"command": "database.connection", "arguments": {}})["result"]
    # On one machine a socket of its own, without TLS; the server tells so, and not the client.
    assert said["encrypted"] is False
    assert said["tls"] is None
    assert said["server"].split(".")[0] == "18"
