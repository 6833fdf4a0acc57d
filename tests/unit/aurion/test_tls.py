"""Every connection out is verified, and TLS 1.3 unless a vendor's name stands at the exception."""

import ast
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from aurion import database, tls
from aurion.settings import Settings
from psycopg.conninfo import make_conninfo

ROOT = Path(__file__).parents[3]
SOURCES = sorted(
    file
    for folder in ("layers", "functions", "agent_container")
    for file in (ROOT / folder).rglob("*.py")
)
ALLOWED = {
    # Twilio's REST API speaks 1.2 only.
    "layers/shared/python/aurion/twilio_numbers.py: a lower minimum",
    # The task's own agent, on an address inside the task and without TLS.
    "agent_container/ecs_guard.py: a client of its own trust",
    "layers/shared/python/aurion/tls.py: a context of its own",
}


def test_the_factory_verifies_and_speaks_1_3() -> None:
    context = tls.outbound_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_vendor_that_cannot_gets_1_2_and_not_less() -> None:
    context = tls.outbound_context(minimum=ssl.TLSVersion.TLSv1_2)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_the_database_is_verified_over_1_3() -> None:
    settings = Settings(database_password="given", database_sslrootcert="/opt/rds.pem")
    arguments = database.connection_arguments(settings, "aurion_app")
    assert arguments["sslmode"] == "verify-full"
    assert arguments["ssl_min_protocol_version"] == "TLSv1.3"
    assert arguments["sslrootcert"] == "/opt/rds.pem"
    known = {k: v for k, v in arguments.items() if k not in {"autocommit", "prepare_threshold"}}
    assert make_conninfo("", **known), "libpq knows each of them"


def exceptions(name: str, text: str) -> Iterator[str]:
    """Name whatever in a file goes round the factory."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if called.endswith(("create_default_context", "SSLContext", "_create_unverified_context")):
            yield f"{name}: a context of its own"
        client = called.startswith("httpx") and called.endswith("Client")
        if client and not words.get("verify", "").endswith(("context", "outbound_context()")):
            yield f"{name}: a client of its own trust"
        if called.endswith("urlopen") and "outbound_context" not in words.get("context", ""):
            yield f"{name}: a request of its own trust"
        if called.endswith("outbound_context") and words:
            yield f"{name}: a lower minimum"


def test_nothing_goes_round_the_factory() -> None:
    found = {
        fault
        for file in SOURCES
        for fault in exceptions(str(file.relative_to(ROOT)), file.read_text("utf-8"))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "wrong",
    [
        "httpx2.AsyncClient(base_url=x)",
        "httpx2.Client(verify=False)",
        "ssl.create_default_context()",
        "urllib.request.urlopen(address)",
        "tls.outbound_context(minimum=TLSv1_2)",
    ],
)
def test_a_way_round_is_seen(wrong: str) -> None:
    assert list(exceptions("x.py", wrong))
