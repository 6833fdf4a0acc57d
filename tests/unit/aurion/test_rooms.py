"""The voice server's client: who may import it, when it is loaded, what a dispatch tells."""

import ast
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aurion.errors import RoomsUnavailable
from aurion.rooms import Errand, VoiceServer

ROOT = Path(__file__).parents[3]
_SOURCES = ("layers/shared/python", "agent_container", "functions", "infra", "local")
_PACKAGE = ROOT / "layers/shared/python/aurion"
_THE_TWO = {_PACKAGE / "rooms.py", _PACKAGE / "trunks.py"}


def imports_of_the_api(source: str) -> Iterator[str]:
    """Every import of livekit.api, however it is written and wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (f"{name}." for name in names if f"{name}.".startswith("livekit.api."))


@pytest.mark.parametrize(
    "source",
    [
        "from livekit import rtc, api",
        "import livekit.api",
        "import livekit.api.room_service as r",
        "from livekit.api import LiveKitAPI",
        "from livekit.api.webhook import WebhookReceiver",
        "def f():\n    from livekit import api as voice",
        "if TYPE_CHECKING:\n    import livekit.api as api",
    ],
)
def test_every_way_to_import_the_api_is_seen(source: str) -> None:
    assert list(imports_of_the_api(source))


@pytest.mark.parametrize("source", ["from livekit import rtc", "from aurion import api", "api = 1"])
def test_other_imports_are_left_alone(source: str) -> None:
    assert not list(imports_of_the_api(source))


def test_two_files_alone_speak_the_voice_servers_api() -> None:
    files = [file for folder in _SOURCES for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    found = {file for file in files if any(imports_of_the_api(file.read_text()))}
    assert found == _THE_TWO


def test_the_client_is_not_loaded_before_it_is_needed() -> None:
    program = (
        "import sys, aurion.rooms, aurion.trunks\n"
        "print([name for name in ('livekit.api', 'aiohttp', 'google.protobuf') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.strip() == b"[]"


def test_an_errand_survives_its_journey() -> None:
    errand = Errand(uuid.uuid4(), resume=uuid.uuid4(), tries=2)
    assert Errand.from_json(errand.to_json()) == errand
    fresh = Errand(uuid.uuid4())
    assert Errand.from_json(fresh.to_json()) == fresh
    assert Errand.from_json(f'{{"tenant": "{fresh.tenant_id}"}}') == fresh


@pytest.mark.parametrize(
    "metadata",
    ["", "{}", "[]", "null", '{"tenant": 5}', '{"tenant": "meridian"}', "not json"],
)
def test_what_is_no_errand_is_told_apart(metadata: str) -> None:
    assert Errand.from_json(metadata) is None


def test_a_server_without_an_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEKIT_URL", raising=False)
    with pytest.raises(RoomsUnavailable):
        VoiceServer.from_environment()


def test_a_servers_secrets_are_not_shown() -> None:
    server = VoiceServer("wss://x", "key", "hidden-secret", sip_password="hidden-password")
    assert "hidden" not in repr(server)
