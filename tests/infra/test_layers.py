"""Layers are of the lock, for the machine that Lambda is, and made again only when they must be."""

import importlib.util
import marshal
import re
import ssl
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from aurion.function_table import Function

from infra import layers
from infra.layers import LayersMissing, Parts
from tests.infra.test_imports import FUNCTIONS

type Pairs = tuple[tuple[tuple[str, str], ...], ...]

AUTHORITIES = layers.ROOT / "layers" / "core" / "rds-eu-west-3.pem"


@pytest.fixture(scope="module")
def exported() -> dict[str, str]:
    return {name: layers.requirements(name) for name in ("core", "llm", "vendors")}


def names(text: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))


def test_each_layer_holds_what_it_is_for(exported: dict[str, str]) -> None:
    assert names(exported["core"]) >= {"psycopg", "psycopg-binary", "bcrypt", "httpx2"}
    assert names(exported["llm"]) >= {"anthropic", "openai", "google-genai"}
    assert names(exported["vendors"]) >= {"livekit-api", "stripe", "twilio"}
    everything = set.union(*(names(text) for text in exported.values()))
    assert not everything & {"boto3", "botocore", "livekit-agents", "numpy", "moto", "aws-cdk-lib"}


def test_each_file_is_held_to_its_hash(exported: dict[str, str]) -> None:
    for text in exported.values():
        assert text.count("==") <= text.count("--hash=sha256:")


def test_layers_laid_over_each_other_have_nothing_twice(exported: dict[str, str]) -> None:
    both = names(exported["vendors"]) & names(exported["core"])
    rest = layers.without(exported["vendors"], exported["core"])
    assert both
    assert names(rest) == names(exported["vendors"]) - both
    assert all(line.startswith((" ", *names(rest))) for line in rest.splitlines() if line)


def test_a_copy_is_compiled_for_a_place_without_times(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "__pycache__").mkdir(parents=True)
    (source / "__pycache__" / "old.cpython-313.pyc").write_bytes(b"old")
    (source / "handler.py").write_text("def handler(event, context):\n    return event\n")
    layers.copy_compiled(source, tmp_path / "target", "/var/task")
    [compiled] = (tmp_path / "target" / "__pycache__").iterdir()
    data = compiled.read_bytes()
    assert data[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(data[4:8], "little") == 0b01, "by hash, and never checked"
    assert marshal.loads(data[16:]).co_filename == "/var/task/handler.py"
    assert compiled.name == f"handler.{sys.implementation.cache_tag}.pyc"


def test_a_function_is_made_again_when_its_source_changed(tmp_path: Path) -> None:
    function = FUNCTIONS[0]
    source = tmp_path / "sources" / function.name
    source.mkdir(parents=True)
    parts = Parts(tmp_path / "layers", tmp_path / "functions", tmp_path / "sources")
    with pytest.raises(LayersMissing):
        parts.function(function)
    (source / "handler.py").write_text("FIRST = 1\n")
    folder, first = parts.function(function)
    made = (folder / "handler.py").stat().st_mtime_ns
    assert parts.function(function) == (folder, first)
    assert (folder / "handler.py").stat().st_mtime_ns == made
    (source / "handler.py").write_text("SECOND = 2\n")
    assert parts.function(function)[1] != first
    assert (folder / "handler.py").read_text() == "SECOND = 2\n"


def test_layers_that_were_not_built_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(LayersMissing, match="make layers"):
        Parts(layers=tmp_path).layer("core")


def test_the_authorities_of_the_database_are_paris_own() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(AUTHORITIES)
    found = context.get_ca_certs()
    assert len(found) == 3
    for certificate in found:
        subject = dict(pair for (pair, *_) in cast("Pairs", certificate["subject"]))
        assert subject["commonName"].startswith("Amazon RDS eu-west-3 Root CA")
        assert certificate["subject"] == certificate["issuer"]
        until = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        assert datetime.fromtimestamp(until, UTC).year >= 2061


def _asking_for(*variables: str) -> Function:
    return replace(FUNCTIONS[0], environment=variables)


def test_a_variable_that_the_settings_do_not_know_is_refused() -> None:
    from infra.python_function import (  # only who needs it starts the Node.js behind it
        EnvironmentUnknown,
        environment_of,
    )

    with pytest.raises(EnvironmentUnknown, match="DATABSE_HOST"):
        environment_of(_asking_for("DATABSE_HOST"), {"DATABSE_HOST": "x"})


def test_a_variable_that_has_no_value_is_refused() -> None:
    from infra.python_function import (  # only who needs it starts the Node.js behind it
        EnvironmentUnknown,
        environment_of,
    )

    with pytest.raises(EnvironmentUnknown, match="HOOKS_URL"):
        environment_of(_asking_for("HOOKS_URL"), {})
    assert environment_of(_asking_for("HOOKS_URL"), {"HOOKS_URL": "x", "MORE": "y"}) == {
        "HOOKS_URL": "x"
    }
