"""Renaming a construct replaces what it stands for: whatever holds data keeps its logical id."""

import json
from pathlib import Path

import pytest

from tests.infra.clouds import Cloud
from tests.infra.policies import STATEFUL

FROZEN = Path(__file__).with_name("frozen_ids.json")


def stateful(cloud: Cloud, prefix: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for resource in cloud.resources(*STATEFUL, stack=f"{prefix}/"):
        stack = resource.stack.removeprefix(f"{prefix}/")
        found.setdefault(stack, {})[resource.logical_id] = resource.kind
    return {stack: dict(sorted(ids.items())) for stack, ids in sorted(found.items())}


@pytest.mark.parametrize("prefix", ["aurion-dev", "aurion-prod"])
def test_what_holds_data_keeps_its_name(cloud: Cloud, prefix: str) -> None:
    frozen = json.loads(FROZEN.read_text())
    found = stateful(cloud, prefix)
    for stack, ids in frozen.items():
        assert found.get(stack) == ids, f"{stack}: a new name is a new, empty resource"
    assert found.keys() == frozen.keys(), "new data: add its ids to frozen_ids.json"


def test_a_renamed_construct_is_seen(cloud: Cloud) -> None:
    worse = cloud.copy()
    resources = worse.templates["aurion-prod/Data"]["Resources"]
    resources["Recordings2"] = resources.pop(
        next(key for key, r in resources.items() if r["Type"] == "AWS::S3::Bucket")
    )
    assert stateful(worse, "aurion-prod") != json.loads(FROZEN.read_text())
