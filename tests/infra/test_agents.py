"""The agents' services: what long calls need of them, and that image, code and template agree."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aurion.settings import Settings

from agent_container import load, main
from agent_container.config import Config
from tests.infra.clouds import Cloud, Json, plain

DOCKERFILE = (Path(main.__file__).parent / "Dockerfile").read_text()
READ = {
    field.name.upper() for kind in (Settings, Config, main.WorkerSettings) for field in fields(kind)
} | {"LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"}


@pytest.fixture(scope="module")
def services(cloud: Cloud, cell_template: Json) -> dict[str, Json]:
    """The templates that have agents in them: shared ones, and a company's."""
    return {
        "dev": cloud.templates["aurion-dev/Agent"],
        "prod": cloud.templates["aurion-prod/Agent"],
        "cell": cell_template,
    }


def only(template: Json, kind: str) -> Json:
    (found,) = [r["Properties"] for r in template["Resources"].values() if r["Type"] == kind]
    return dict(found)


def of_kind(template: Json, kind: str) -> Iterator[Json]:
    yield from (r["Properties"] for r in template["Resources"].values() if r["Type"] == kind)


def container(template: Json) -> Json:
    (found,) = only(template, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    return dict(found)


def published_metrics() -> Json:
    """What a task's line makes CloudWatch count."""
    line = json.loads(
        load.to_line(
            load.Load.of(3, places=10, draining=False, failures=0),
            environment="dev",
            agent_name="aurion",
            at_ms=0,
        )
    )
    (published,) = line["_aws"]["CloudWatchMetrics"]
    return published


def environment_of(template: Json) -> dict[str, Any]:
    return {entry["Name"]: entry["Value"] for entry in container(template)["Environment"]}


@pytest.mark.parametrize("which", ["dev", "prod", "cell"])
class TestEachService:
    def test_nothing_ends_a_task_in_a_call(self, services: dict[str, Json], which: str) -> None:
        service = only(services[which], "AWS::ECS::Service")
        assert service["LaunchType"] == "FARGATE", "spare capacity is taken back in two minutes"
        assert "CapacityProviderStrategy" not in service
        assert service["AvailabilityZoneRebalancing"] == "DISABLED"
        deployment = service["DeploymentConfiguration"]
        assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (100, 200)
        assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        assert "DesiredCount" not in service, "a release would undo what scaling has done"
        assert container(services[which])["StopTimeout"] == 120

    def test_task_is_an_arm_that_can_write_to_its_volumes_only(
        self, services: dict[str, Json], which: str
    ) -> None:
        task = only(services[which], "AWS::ECS::TaskDefinition")
        assert task["RuntimePlatform"]["CpuArchitecture"] == "ARM64"
        agent = container(services[which])
        assert agent["ReadonlyRootFilesystem"] is True
        assert agent["LinuxParameters"]["Capabilities"]["Drop"] == ["ALL"]
        assert "User" not in agent, "the image says who, and it is not root"
        assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", DOCKERFILE, re.MULTILINE)
        declared = re.search(r"^VOLUME (\[.*\])$", DOCKERFILE, re.MULTILINE)
        assert declared
        mounted = [mount["ContainerPath"] for mount in agent["MountPoints"]]
        # Without the image's declaration a volume is root's, and nobody can write to it.
        assert sorted(mounted) == sorted(json.loads(declared[1]))
        assert {m["SourceVolume"] for m in agent["MountPoints"]} == {
            volume["Name"] for volume in task["Volumes"]
        }

    def test_health_is_asked_as_the_image_says(self, services: dict[str, Json], which: str) -> None:
        check = re.search(r"^HEALTHCHECK (.*?)\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
        assert check
        times = dict(option[2:].split("=") for option in shlex.split(check[1]))
        assert container(services[which])["HealthCheck"] == {
            "Command": ["CMD", *json.loads(check[2])],
            "Interval": int(times["interval"].removesuffix("s")),
            "Timeout": int(times["timeout"].removesuffix("s")),
            "StartPeriod": int(times["start-period"].removesuffix("s")),
            "Retries": int(times["retries"]),
        }

    def test_nobody_can_open_a_connection_to_a_task(
        self, services: dict[str, Json], which: str, cloud: Cloud
    ) -> None:
        network = only(services[which], "AWS::ECS::Service")["NetworkConfiguration"]
        assert network["AwsvpcConfiguration"]["AssignPublicIp"] == "ENABLED"
        assert "PortMappings" not in container(services[which])
        if which != "cell":
            stack = f"aurion-{which}/Network"
            group = cloud.target(
                f"aurion-{which}/Agent", network["AwsvpcConfiguration"]["SecurityGroups"][0]
            )
            assert group is not None
            assert "SecurityGroupIngress" not in group.properties
            for rule in cloud.resources("AWS::EC2::SecurityGroupIngress", stack=stack):
                assert group.logical_id not in plain(rule.properties["GroupId"])

    def test_every_variable_is_one_that_the_code_reads(
        self, services: dict[str, Json], which: str
    ) -> None:
        given = environment_of(services[which])
        secret = {entry["Name"] for entry in container(services[which])["Secrets"]}
        assert given.keys() - READ == set()
        assert secret - READ == set()
        assert not given.keys() & secret
        assert {name for name in given if name.endswith(("_API_KEY", "_SECRET"))} == set()

    def test_there_are_more_tasks_when_calls_fill_them(
        self, services: dict[str, Json], which: str
    ) -> None:
        given = environment_of(services[which])
        by_metric = {
            "custom" if "CustomizedMetricSpecification" in tracking else "predefined": tracking
            for policy in of_kind(services[which], "AWS::ApplicationAutoScaling::ScalingPolicy")
            for tracking in [policy["TargetTrackingScalingPolicyConfiguration"]]
        }
        calls = by_metric["custom"]
        metric = calls["CustomizedMetricSpecification"]
        published = published_metrics()
        assert metric["Namespace"] == published["Namespace"]
        assert metric["MetricName"] in {each["Name"] for each in published["Metrics"]}
        assert [[d["Name"] for d in metric["Dimensions"]]] == published["Dimensions"]
        values = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
        assert values == {
            "environment": given["ENVIRONMENT"],
            "agent_name": given["AGENT_NAME"],
        }
        assert calls["TargetValue"] == pytest.approx(0.6 * int(given["MAX_CALLS"]))
        assert by_metric["predefined"]["TargetValue"] == 60
        for tracking in by_metric.values():
            assert tracking["ScaleInCooldown"] >= 10 * tracking["ScaleOutCooldown"]


@pytest.mark.parametrize("name", ["busy", "unprotected"])
def test_alarms_hear_what_agents_say(cloud: Cloud, services: dict[str, Json], name: str) -> None:
    published = published_metrics()
    for which in ("dev", "prod"):
        (alarm,) = (
            found.properties
            for found in cloud.resources("AWS::CloudWatch::Alarm", stack=f"aurion-{which}/")
            if found.properties["AlarmName"] == f"aurion-{which}-agents-{name}"
        )
        assert alarm["Namespace"] == published["Namespace"]
        assert alarm["MetricName"] in {each["Name"] for each in published["Metrics"]}
        given = environment_of(services[which])
        assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
            "environment": given["ENVIRONMENT"],
            "agent_name": given["AGENT_NAME"],
        }


def test_two_tasks_wait_for_calls_in_prod(services: dict[str, Json]) -> None:
    target = "AWS::ApplicationAutoScaling::ScalableTarget"
    assert only(services["prod"], target)["MinCapacity"] == 2
    assert only(services["dev"], target)["MinCapacity"] == 1
    assert only(services["cell"], target)["MinCapacity"] == {"Ref": "MinTasks"}


def test_every_name_of_a_cell_is_its_company_s(services: dict[str, Json]) -> None:
    cell = services["cell"]
    for kind, name in (
        ("AWS::ECS::Service", "ServiceName"),
        ("AWS::ECS::TaskDefinition", "Family"),
        ("AWS::IAM::Role", "RoleName"),
        ("AWS::Logs::LogGroup", "LogGroupName"),
    ):
        assert '{"Ref": "TenantId"}' in json.dumps(only(cell, kind)[name]), kind
    given = environment_of(cell)
    for variable in ("AGENT_NAME", "DATABASE_ROLE"):
        assert '{"Ref": "TenantId"}' in json.dumps(given[variable]), variable
    assert only(cell, "AWS::ECS::Service")["PropagateTags"] == "SERVICE"
    assert {"Key": "tenant", "Value": {"Ref": "TenantId"}} in only(cell, "AWS::ECS::Service")[
        "Tags"
    ]


def test_release_has_every_parameter_of_the_template(
    services: dict[str, Json], cloud: Cloud
) -> None:
    parameter = only(services["dev"], "AWS::SSM::Parameter")
    written = plain(parameter["Value"])
    # References are JSON inside of JSON by now; only the names matter here.
    names = set(re.findall(r'"(\w+)":', written.partition('"parameters":')[2]))
    own = {"TenantId", "MinTasks", "MaxTasks"}
    assert set(services["cell"]["Parameters"]) - own <= names
    assert len(written) < 4096, "a parameter holds no more"
    assert parameter["Name"] == "/aurion/dev/cell-release"
