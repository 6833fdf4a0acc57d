"""Functions stand on the product and nothing beside it, and nothing imports a function."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.layers import ROOT

FORBIDDEN = {"agent_container", "aws_cdk", "functions", "infra", "local", "moto", "tests"}
SOURCES = sorted((ROOT / "functions").rglob("*.py"))


def imports(text: str, relative: str = "functions") -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0] if not node.level else relative


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.parent.name)
def test_a_function_imports_nothing_beside_the_product(file: Path) -> None:
    assert set(imports(file.read_text("utf-8"))) & FORBIDDEN == set()


@pytest.mark.parametrize("folder", ["agent_container", "infra", "layers"])
def test_nothing_deployed_imports_a_function(folder: str) -> None:
    importing = [
        str(file)
        for file in (ROOT / folder).rglob("*.py")
        if "functions" in set(imports(file.read_text("utf-8"), relative=""))
    ]
    assert importing == []


def test_a_wrong_import_is_seen() -> None:
    assert set(imports("def f():\n    from local import gateway")) & FORBIDDEN == {"local"}
    assert set(imports("from .other import x")) & FORBIDDEN == {"functions"}
