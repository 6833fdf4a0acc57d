"""An account that has had a release: moto's CloudFormation and ECS, and the real template."""

import copy
import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aurion.settings import settings

from infra import environments
from local.aws import REGION, Aws

ACCOUNT = "123456789012"
ENVIRONMENT = environments.read("dev", {"CDK_DEFAULT_ACCOUNT": ACCOUNT})
BUCKET = "aurion-test-assets"


@pytest.fixture(scope="session")
def cell_template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The template of a company's own agents, as the app around it makes it."""
    from infra import tenant_cell  # only who needs it starts the Node.js behind it

    file = tenant_cell.write_template(ENVIRONMENT, tmp_path_factory.mktemp("cell"))
    return dict(json.loads(file.read_text()))


@dataclass
class Account:
    """An account with a release of the agents; `release` deploys the next one."""

    aws: Aws
    template: dict[str, Any]
    subnet: str
    group: str

    def release(self, image: str) -> None:
        self.aws.client("s3").put_object(
            Bucket=BUCKET, Key="cell.json", Body=json.dumps(self.template)
        )
        from infra import tenant_cell  # only who needs it starts the Node.js behind it

        arn = f"arn:aws:iam::{ACCOUNT}:role"
        key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-00000000000"
        secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:aurion/dev"
        parameters = {
            "ImageUri": image,
            "Subnets": self.subnet,
            "SecurityGroupId": self.group,
            "ExecutionRoleArn": f"{arn}/aurion-dev-agent-execution",
            "RecordingsBucket": "aurion-dev-recordings",
            "BadgeKeyArn": f"{key}1",
            "ContentKeyArn": f"{key}2",
            "RecordingsKeyArn": f"{key}3",
            "DataKeyArn": f"{key}4",
            "LogsKeyArn": f"{key}5",
            "DatabaseHost": "aurion-dev.cluster.example",
            "DatabaseName": "aurion",
            "DatabaseResourceId": "cluster-ABC",
            "LivekitKeysArn": f"{secret}/livekit-AbCdEf",
            "ModelKeysArn": f"{secret}/models-AbCdEf",
            "BoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/aurion-dev-boundary",
        }
        self.aws.client("ssm").put_parameter(
            Name=tenant_cell.release_parameter(ENVIRONMENT),
            Type="String",
            Overwrite=True,
            Value=json.dumps(
                {
                    "template_url": f"https://s3.{REGION}.amazonaws.com/{BUCKET}/cell.json",
                    "role_arn": f"{arn}/{tenant_cell.role_name(ENVIRONMENT)}",
                    "parameters": parameters,
                }
            ),
        )

    def stacks(self) -> dict[str, str]:
        """Every stack that is there, with its condition."""
        listed = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in listed}

    def services(self) -> list[dict[str, Any]]:
        ecs = self.aws.client("ecs")
        arns = ecs.list_services(cluster=ENVIRONMENT.prefix)["serviceArns"]
        if not arns:
            return []
        found = ecs.describe_services(cluster=ENVIRONMENT.prefix, services=arns)["services"]
        return [service for service in found if service["status"] == "ACTIVE"]


@pytest.fixture(scope="module")
def cloud(run_directory: Path) -> Iterator[Aws]:
    """A server for this module: it is forgotten between tests, and others' must not be."""
    server = Aws(run_directory / "cells-aws.log").start()
    yield server
    server.stop()


@pytest.fixture
def account(
    cloud: Aws, cell_template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """An account of the test's own, with a cluster and one release."""
    server = cloud
    try:
        for name, value in {**server.environment(), "ENVIRONMENT": "dev"}.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        ec2 = server.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName="agents", Description="agents", VpcId=vpc)
        server.client("ecs").create_cluster(clusterName=ENVIRONMENT.prefix)
        server.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        made = Account(server, copy.deepcopy(cell_template), subnet, group["GroupId"])
        made.release("registry.example/agents:1")
        yield made
    finally:
        server.reset()
        monkeypatch.undo()
        settings.cache_clear()


@pytest.fixture
def run_handler() -> Callable[[str], dict[str, Any]]:
    """Run a function of the table as its schedule does."""

    def run(name: str) -> dict[str, Any]:
        handler = importlib.import_module(f"functions.{name}.handler").handler
        return dict(handler({"source": "aws.scheduler"}, None))

    return run
