"""A cold start imports what a request needs, from the layers that the function has."""

import re
import sys
from functools import cache
from importlib import metadata

import pytest
from aurion import function_table
from aurion.function_table import Function

from infra import layers
from infra.layers import ROOT
from tests.proof.functions import HEAVY, Import, heavy_modules, import_handler, run

FUNCTIONS = function_table.read(ROOT / "functions" / "functions.toml").functions


@pytest.fixture(scope="module")
def imported() -> dict[str, Import]:
    return {function.name: import_handler(function.name) for function in FUNCTIONS}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_nothing_heavy_comes_before_it_is_needed(
    imported: dict[str, Import], function: Function
) -> None:
    assert heavy_modules(imported[function.name]) == []


def test_heavy_modules_are_seen() -> None:
    assert heavy_modules(run("import twilio.request_validator, boto3")) == [
        "boto3",
        "botocore",
        "twilio",
    ]
    assert heavy_modules(run("import psycopg")) == []
    assert set(HEAVY) >= {"boto3", "twilio", "stripe", "livekit"}


@pytest.fixture(scope="module")
def held() -> dict[str, set[str]]:
    """The top-level modules that each layer holds, by the lock."""
    of_distribution: dict[str, set[str]] = {}
    for module, distributions in metadata.packages_distributions().items():
        for name in distributions:
            of_distribution.setdefault(normal(name), set()).add(module)
    known = {"shared": {"aurion"}}
    for layer in ("core", "llm", "vendors"):
        names = re.findall(r"^([\w.-]+)==", layers.requirements(layer), re.MULTILINE)
        known[layer] = {m for name in names for m in of_distribution.get(normal(name), set())}
    return known


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_every_import_is_in_a_layer(
    imported: dict[str, Import], held: dict[str, set[str]], function: Function
) -> None:
    assert foreign(imported[function.name], held, function) == set()


def test_an_import_out_of_the_layers_is_seen(held: dict[str, set[str]]) -> None:
    function = FUNCTIONS[0]
    assert foreign(run("import jinja2"), held, function) >= {"jinja2"}
    assert "psycopg" in held["core"]
    assert "twilio" in held["vendors"] - held["core"]
    assert "boto3" not in held["core"], "Lambda's own is used"


@cache
def installed() -> set[str]:
    return set(metadata.packages_distributions())


def foreign(imported: Import, held: dict[str, set[str]], function: Function) -> set[str]:
    mine = {"handler", "__main__", *sys.stdlib_module_names}
    mine |= {module for layer in function.layers for module in held[layer]}
    return {m.split(".")[0] for m in imported.modules} & installed() - mine
