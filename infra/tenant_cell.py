"""A company's own agents: one template for all of them, and the rights to make stacks of it.

The template holds no assets and expects no bootstrap, so that a function can hand it to
CloudFormation with one company's parameters. What it asks for beside `TenantId`, `MinTasks` and
`MaxTasks` is the same for every company, and comes from the release of the agents.
"""

import tempfile
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.agent_service import AgentService, Size, Surroundings, Who
from infra.environments import Environment

SIZE = Size(cpu=1024, memory_mib=4096, calls=4)
_TENANT = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FILE = "tenant-cell.template.json"


class TenantCell(cdk.Stack):
    """One company's service, role and log; every name in it holds the company's id."""

    def __init__(self, scope: Construct, construct_id: str, *, environment: Environment) -> None:
        super().__init__(
            scope,
            construct_id,
            synthesizer=cdk.BootstraplessSynthesizer(),
            description="The agents of one company",
        )
        tenant = self._text("TenantId", _TENANT)
        where = Surroundings(
            environment=environment.name,
            image=self._text("ImageUri"),
            cluster_name=environment.prefix,
            subnets=cdk.CfnParameter(self, "Subnets", type="CommaDelimitedList").value_as_list,
            security_group=self._text("SecurityGroupId"),
            execution_role_arn=self._text("ExecutionRoleArn"),
            recordings_bucket=self._text("RecordingsBucket"),
            badge_key_arn=self._text("BadgeKeyArn"),
            content_key_arn=self._text("ContentKeyArn"),
            recordings_key_arn=self._text("RecordingsKeyArn"),
            data_key_arn=self._text("DataKeyArn"),
            logs_key_arn=self._text("LogsKeyArn"),
            database_host=self._text("DatabaseHost"),
            database_name=self._text("DatabaseName"),
            database_resource_id=self._text("DatabaseResourceId"),
            livekit_secret_arn=self._text("LivekitKeysArn"),
            models_secret_arn=self._text("ModelKeysArn"),
        )
        self.agents = AgentService(
            self,
            "Agents",
            who=Who(
                name=f"{stack_prefix(environment)}{tenant}",
                agent_name=f"aurion-{tenant}",
                database_roles=(f"aurion_cell_{tenant}",),
                log_group=environment.log_group_name(f"tenant/{tenant}/agent"),
                tenant=tenant,
            ),
            size=SIZE,
            where=where,
            boundary=iam.ManagedPolicy.from_managed_policy_arn(
                self, "Boundary", self._text("BoundaryArn")
            ),
            tasks=(self._number("MinTasks"), self._number("MaxTasks")),
            log_days=environment.log_days,
        )

    def _text(self, name: str, pattern: str | None = None) -> str:
        return cdk.CfnParameter(self, name, allowed_pattern=pattern).value_as_string

    def _number(self, name: str) -> float:
        parameter = cdk.CfnParameter(self, name, type="Number", min_value=1, max_value=50)
        return parameter.value_as_number


def parameters(where: Surroundings, environment: Environment) -> dict[str, str]:
    """Return the parameters that are the same for every company."""
    return {
        "ImageUri": where.image,
        "Subnets": cdk.Fn.join(",", list(where.subnets)),
        "SecurityGroupId": where.security_group,
        "ExecutionRoleArn": where.execution_role_arn,
        "RecordingsBucket": where.recordings_bucket,
        "BadgeKeyArn": where.badge_key_arn,
        "ContentKeyArn": where.content_key_arn,
        "RecordingsKeyArn": where.recordings_key_arn,
        "DataKeyArn": where.data_key_arn,
        "LogsKeyArn": where.logs_key_arn,
        "DatabaseHost": where.database_host,
        "DatabaseName": where.database_name,
        "DatabaseResourceId": where.database_resource_id,
        "LivekitKeysArn": where.livekit_secret_arn,
        "ModelKeysArn": where.models_secret_arn,
        "BoundaryArn": environment.boundary_arn,
    }


def write_template(environment: Environment, folder: Path | None = None) -> Path:
    """Synthesize the template into a folder, a new one unless it is named; return the file."""
    folder = folder or Path(tempfile.mkdtemp(prefix="aurion-cell-"))
    app = cdk.App(
        outdir=str(folder),
        analytics_reporting=False,
        # What it finds wrong with a template is an error here, as in the app around this one.
        context={"@aws-cdk/core:validateAgainstDefaultRules": True},
    )
    stack = TenantCell(app, "TenantCell", environment=environment)
    app.synth()
    return (folder / stack.template_file).rename(folder / _FILE)


def stack_prefix(environment: Environment) -> str:
    """Return what the names of companies' stacks, services and roles begin with."""
    return f"{environment.prefix}-tenant-"


def release_parameter(environment: Environment) -> str:
    """Name the parameter that says what companies' agents are made of."""
    return f"/aurion/{environment.name}/cell-release"


def role_name(environment: Environment) -> str:
    """Name the role that CloudFormation makes companies' stacks with."""
    return f"{environment.prefix}-cells"


class CloudFormationRole(Construct):
    """The role CloudFormation has while it makes, changes or removes a company's stack.

    It can make no role without our boundary, pass none but a company's and the shared execution
    role, and touch nothing whose name is not a company's.
    """

    def __init__(self, scope: Construct, construct_id: str, *, environment: Environment) -> None:
        super().__init__(scope, construct_id)
        name = stack_prefix(environment)
        roles = f"arn:aws:iam::{environment.account}:role/{name}*"
        cluster = environment.arn("ecs", f"cluster/{environment.prefix}")
        self.role = iam.Role(
            self,
            "Role",
            role_name=role_name(environment),
            assumed_by=iam.ServicePrincipal(
                "cloudformation.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": environment.account}},
            ),
            inline_policies={
                "cells": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="Roles",
                            actions=["iam:CreateRole", "iam:PutRolePolicy"],
                            resources=[roles],
                            conditions={
                                "StringEquals": {
                                    "iam:PermissionsBoundary": environment.boundary_arn
                                }
                            },
                        ),
                        iam.PolicyStatement(
                            sid="RolesWithoutMoreRights",
                            actions=[
                                "iam:DeleteRole",
                                "iam:DeleteRolePolicy",
                                "iam:GetRole",
                                "iam:GetRolePolicy",
                                "iam:TagRole",
                                "iam:UntagRole",
                            ],
                            resources=[roles],
                        ),
                        iam.PolicyStatement(
                            sid="RolesOfTasks",
                            actions=["iam:PassRole"],
                            resources=[
                                roles,
                                f"arn:aws:iam::{environment.account}"
                                f":role/{environment.prefix}-agent-execution",
                            ],
                            conditions={
                                "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
                            },
                        ),
                        iam.PolicyStatement(
                            sid="Services",
                            actions=[
                                "ecs:CreateService",
                                "ecs:DeleteService",
                                "ecs:DescribeServices",
                                "ecs:TagResource",
                                "ecs:UpdateService",
                            ],
                            resources=[
                                environment.arn("ecs", f"service/{environment.prefix}/{name}*")
                            ],
                            conditions={"ArnEquals": {"ecs:cluster": cluster}},
                        ),
                        iam.PolicyStatement(
                            sid="TaskDefinitions",
                            actions=["ecs:RegisterTaskDefinition", "ecs:TagResource"],
                            resources=[environment.arn("ecs", f"task-definition/{name}*:*")],
                        ),
                        iam.PolicyStatement(
                            # Neither knows a resource or a condition.
                            sid="TaskDefinitionsWithoutResource",
                            actions=[
                                "ecs:DeregisterTaskDefinition",
                                "ecs:DescribeTaskDefinition",
                            ],
                            resources=["*"],
                        ),
                        iam.PolicyStatement(
                            sid="Logs",
                            actions=[
                                "logs:AssociateKmsKey",
                                "logs:CreateLogGroup",
                                "logs:DeleteLogGroup",
                                "logs:ListTagsForResource",
                                "logs:PutRetentionPolicy",
                                "logs:TagResource",
                            ],
                            resources=[
                                environment.arn(
                                    "logs",
                                    f"log-group:{environment.log_group_name('tenant/*')}",
                                )
                            ],
                        ),
                        iam.PolicyStatement(
                            sid="LogsWithoutResource",
                            actions=["logs:DescribeLogGroups"],
                            resources=["*"],
                        ),
                        iam.PolicyStatement(
                            sid="Scaling",
                            actions=[
                                "application-autoscaling:DeleteScalingPolicy",
                                "application-autoscaling:DeregisterScalableTarget",
                                "application-autoscaling:PutScalingPolicy",
                                "application-autoscaling:RegisterScalableTarget",
                                "application-autoscaling:TagResource",
                            ],
                            resources=[
                                environment.arn("application-autoscaling", "scalable-target/*")
                            ],
                            conditions={
                                "StringEquals": {"application-autoscaling:service-namespace": "ecs"}
                            },
                        ),
                        iam.PolicyStatement(
                            sid="ScalingWithoutResource",
                            actions=[
                                "application-autoscaling:DescribeScalableTargets",
                                "application-autoscaling:DescribeScalingActivities",
                                "application-autoscaling:DescribeScalingPolicies",
                                "cloudwatch:DescribeAlarms",
                            ],
                            resources=["*"],
                        ),
                    ]
                )
            },
        )


def reconciler_statements(environment: Environment) -> list[iam.PolicyStatement]:
    """Say what the function needs that keeps companies' stacks in step.

    It may hand CloudFormation our template and our role for stacks of companies, and do nothing of
    what the stacks hold by itself.
    """
    role = f"arn:aws:iam::{environment.account}:role/{role_name(environment)}"
    stacks = [environment.arn("cloudformation", f"stack/{stack_prefix(environment)}*/*")]
    qualifier = cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER
    assets = f"cdk-{qualifier}-assets-{environment.account}-{environment.region}"
    return [
        iam.PolicyStatement(
            sid="CellStacks",
            actions=["cloudformation:CreateStack", "cloudformation:UpdateStack"],
            resources=stacks,
            conditions={"StringEquals": {"cloudformation:RoleArn": role}},
        ),
        iam.PolicyStatement(
            sid="CellStacksGoing",
            actions=["cloudformation:ContinueUpdateRollback", "cloudformation:DeleteStack"],
            resources=stacks,
        ),
        iam.PolicyStatement(
            # Listing all stacks knows no resource.
            sid="CellStacksSeen",
            actions=["cloudformation:DescribeStacks"],
            resources=["*"],
        ),
        iam.PolicyStatement(
            sid="CellRole",
            actions=["iam:PassRole"],
            resources=[role],
            conditions={"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
        ),
        iam.PolicyStatement(
            sid="CellRelease",
            actions=["ssm:GetParameter"],
            resources=[environment.arn("ssm", f"parameter{release_parameter(environment)}")],
        ),
        iam.PolicyStatement(
            sid="CellTemplate",
            actions=["s3:GetObject"],
            resources=[f"arn:aws:s3:::{assets}/*.json"],
        ),
    ]
