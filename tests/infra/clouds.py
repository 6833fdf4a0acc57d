"""The synthesized templates of two environments, and how to find things in them."""

import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aurion import function_table
from aurion.function_table import FunctionTable

import infra
from infra import environments
from infra.environments import Environment
from infra.layers import ROOT, Parts

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource with where it stands: `stack` is "aurion-dev/Data"."""

    stack: str
    logical_id: str
    body: Json

    @property
    def kind(self) -> str:
        return str(self.body["Type"])

    @property
    def properties(self) -> Json:
        return self.body.setdefault("Properties", {})

    @property
    def where(self) -> str:
        return f"{self.stack}/{self.logical_id}"


@dataclass(slots=True)
class Cloud:
    """Everything the policies look at; tests plant faults in a copy."""

    environments: dict[str, Environment]
    templates: dict[str, Json]
    regions: dict[str, str]
    protected: set[str]
    table: FunctionTable
    folders: set[str]
    runbooks: set[str]
    names: dict[str, str] = field(default_factory=dict)
    """Stack names as CloudFormation has them, to our paths."""

    def copy(self) -> "Cloud":
        return pickle.loads(pickle.dumps(self))

    def resources(self, *kinds: str, stack: str = "") -> Iterator[Resource]:
        for path, template in self.templates.items():
            if not path.startswith(stack):
                continue
            for logical_id, body in template.get("Resources", {}).items():
                if not kinds or body["Type"] in kinds:
                    yield Resource(path, logical_id, body)

    def one(self, kind: str, stack: str, containing: str = "") -> Resource:
        found = [r for r in self.resources(kind, stack=stack) if containing in r.logical_id]
        assert found, f"no {kind} {containing} in {stack}"
        return found[0]

    def target(self, stack: str, value: object) -> Resource | None:
        """Follow a reference, into another stack too, to the resource it names."""
        if not isinstance(value, dict):
            return None
        if "Fn::GetStackOutput" in value:
            output = value["Fn::GetStackOutput"]
            other = self.names[output["StackName"]]
            return self.target(
                other, self.templates[other]["Outputs"][output["OutputName"]]["Value"]
            )
        name = str(value.get("Ref") or (value.get("Fn::GetAtt") or [""])[0])
        body = self.templates[stack].get("Resources", {}).get(name)
        return Resource(stack, name, body) if body else None


def synthesize(folder: Path, sources: Path = ROOT / "functions") -> Cloud:
    """Synthesize dev without a domain and prod with one, without layers' contents."""
    assert infra.NODE
    from aws_cdk import App

    from infra import app as cloud_app

    parts = Parts(folder / "layers", folder / "functions", sources)
    for name in ("shared", "core", "llm", "vendors"):
        (parts.layers / name).mkdir(parents=True)
        (parts.layers / name / "nothing").touch()
        (parts.layers / f"{name}.hash").write_text(name * 8)
    wanted = [
        environments.read("dev", {}),
        environments.read(
            "prod",
            {
                "AURION_PROD_ACCOUNT": "222222222222",
                "AURION_PROD_DOMAIN": "aurion.example.com",
                "AURION_PROD_HOSTED_ZONE_ID": "Z0123456789ABCDEFGHIJ",
                "AURION_PROD_ALARM_EMAIL": "operations@example.com",
            },
        ),
    ]
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(context=context, outdir=str(folder / "out"), analytics_reporting=False)
    cloud_app.build(app, wanted, parts)
    app.synth()
    cloud = Cloud(
        environments={environment.prefix: environment for environment in wanted},
        templates={},
        regions={},
        protected=set(),
        table=function_table.read(ROOT / "functions" / "functions.toml"),
        folders={path.parent.name for path in (ROOT / "functions").glob("*/handler.py")},
        runbooks={path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"},
    )
    for manifest in (folder / "out").glob("assembly-*/manifest.json"):
        for artifact in json.loads(manifest.read_text())["artifacts"].values():
            if artifact["type"] != "aws:cloudformation:stack":
                continue
            path = artifact["displayName"]
            properties = artifact["properties"]
            name = properties.get("stackName") or artifact["displayName"].replace("/", "-")
            template = manifest.parent / properties["templateFile"]
            cloud.templates[path] = json.loads(template.read_text())
            cloud.names[name] = path
            cloud.regions[path] = artifact["environment"]
            if properties.get("terminationProtection"):
                cloud.protected.add(path)
    return cloud


def strings(value: object) -> Iterator[str]:
    """Every string in a template, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def statements(value: object) -> Iterator[Json]:
    """Every statement of every policy anywhere in a resource."""
    if isinstance(value, dict):
        if "Effect" in value and ("Action" in value or "NotAction" in value):
            yield value
        for inner in value.values():
            yield from statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from statements(inner)


def listed(value: object) -> list[Any]:
    """A JSON policy says one thing or a list of them."""
    return value if isinstance(value, list) else [] if value is None else [value]


def plain(value: object) -> str:
    """A value with its references written out, to compare or to search."""
    if isinstance(value, dict) and "Fn::Join" in value:
        return "".join(plain(part) for part in value["Fn::Join"][1])
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


REGION = re.compile(
    r"(?<![a-z])(?:us|eu|ap|sa|ca|me|af|il|mx|cn)-(?:gov-|iso[a-z]?-)?"
    r"(?:north|south|east|west|central)(?:east|west)?-\d"
)
