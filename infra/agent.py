"""The agents that answer: a cluster, the service that all companies share, and what cells need.

A company's own agents are not part of this stack. It only says what they are made of, in one
parameter, which the function that keeps them in step reads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infra import keys, tenant_cell
from infra.acknowledgements import acknowledge
from infra.agent_service import (
    LOAD_METRIC,
    NAMESPACE,
    PROTECTION_METRIC,
    AgentService,
    Size,
    Surroundings,
    Who,
)
from infra.data import DATABASE_NAME, DataStack
from infra.environments import Environment
from infra.foundation import Foundation
from infra.network import NetworkStack

ROOT = Path(__file__).resolve().parents[1]
SHARED_SIZE = Size(cpu=2048, memory_mib=4096, calls=10)


class AgentStack(cdk.Stack):
    """The cluster, the shared agents, and the release that companies' own agents are made from."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        foundation: Foundation,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        environment, network, data = foundation.environment, foundation.network, foundation.data
        self._environment = environment
        self.cluster = self._make_cluster(network)
        self.execution_role = self._make_execution_role(data)
        where = Surroundings(
            environment=environment.name,
            image=self._image().image_uri,
            cluster_name=environment.prefix,
            subnets=network.vpc.select_subnets(
                subnet_group_name=network.agent_subnets.subnet_group_name
            ).subnet_ids,
            security_group=network.agent_security_group.security_group_id,
            execution_role_arn=self.execution_role.role_arn,
            recordings_bucket=environment.bucket_name("recordings"),
            badge_key_arn=data.badges_key.key_arn,
            content_key_arn=data.content_key.key_arn,
            recordings_key_arn=data.recordings_key.key_arn,
            data_key_arn=data.data_key.key_arn,
            logs_key_arn=network.logs_key.key_arn,
            database_host=data.database_host,
            database_name=DATABASE_NAME,
            database_resource_id=data.database.attr_db_cluster_resource_id,
            livekit_secret_arn=data.secrets["livekit"].secret_arn,
            models_secret_arn=data.secrets["models"].secret_arn,
        )
        who = Who(
            name=f"{environment.prefix}-agent",
            agent_name="aurion",
            # The second finds the calls of workers that are gone, of every company.
            database_roles=("aurion_app", "aurion_system"),
            log_group=environment.log_group_name("agent"),
        )
        self.agents = AgentService(
            self,
            "Shared",
            who=who,
            size=SHARED_SIZE,
            where=where,
            boundary=iam.ManagedPolicy.from_managed_policy_name(
                self, "Boundary", environment.boundary_name
            ),
            tasks=(environment.agent_tasks_min, environment.agent_tasks_max),
            log_days=environment.log_days,
        )
        self.agents.node.add_dependency(self.cluster, self.execution_role)
        self.service_name = who.name
        self.load = _metric(LOAD_METRIC, who, environment, statistic="Average", minutes=1)
        self.protection_failures = _metric(
            PROTECTION_METRIC, who, environment, statistic="Sum", minutes=5
        )
        self.cells_role = tenant_cell.CloudFormationRole(self, "Cells", environment=environment)
        self._publish_release(where)
        self._acknowledge()

    def _make_cluster(self, network: NetworkStack) -> ecs.Cluster:
        environment = self._environment
        key = keys.make_key(
            self,
            "DiskKey",
            environment=environment,
            data_class="agent-disks",
            purpose="The disks of the agents' tasks: recordings lie there until the call is over",
            services=_for_fargate(environment),
        )
        # ECS makes the group of its own figures by itself otherwise, without our key.
        figures = logs.LogGroup(
            self,
            "ClusterFigures",
            log_group_name=f"/aws/ecs/containerinsights/{environment.prefix}/performance",
            encryption_key=network.logs_key,
            retention=logs.RetentionDays.ONE_DAY,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=environment.prefix,
            vpc=network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        cluster.node.add_dependency(figures)
        # Not the construct's own property, which would grant the key more than its policy says.
        resource = cluster.node.default_child
        assert isinstance(resource, ecs.CfnCluster)
        resource.add_property_override(
            "Configuration.ManagedStorageConfiguration.FargateEphemeralStorageKmsKeyId", key.key_id
        )
        return cluster

    def _make_execution_role(self, data: DataStack) -> iam.Role:
        """Make the role that starts containers; all of an environment's services share it."""
        environment = self._environment
        role = iam.Role(
            self,
            "ExecutionRole",
            role_name=f"{environment.prefix}-agent-execution",  # companies' stacks may pass it
            assumed_by=iam.ServicePrincipal(
                "ecs-tasks.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": environment.account}},
            ),
        )
        self._image().repository.grant_pull(role)
        role.add_to_policy(
            iam.PolicyStatement(
                sid="Logs",
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[
                    environment.arn("logs", f"log-group:{environment.log_group_name(name)}:*")
                    for name in ("agent", "tenant/*")
                ],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                sid="Providers",
                actions=["secretsmanager:GetSecretValue"],
                resources=[data.secrets[name].secret_arn for name in ("livekit", "models")],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                sid="ProvidersKey",
                actions=["kms:Decrypt"],
                resources=[data.data_key.key_arn],
                conditions={
                    "StringEquals": {
                        "kms:ViaService": f"secretsmanager.{environment.region}.amazonaws.com"
                    }
                },
            )
        )
        return role

    def _image(self) -> ecr_assets.DockerImageAsset:
        found = self.node.try_find_child("Image")
        if isinstance(found, ecr_assets.DockerImageAsset):
            return found
        return ecr_assets.DockerImageAsset(
            self,
            "Image",
            directory=str(ROOT),
            file="agent_container/Dockerfile",
            exclude=read_ignored(ROOT / "agent_container" / "Dockerfile.dockerignore"),
            ignore_mode=cdk.IgnoreMode.DOCKER,
            platform=ecr_assets.Platform.LINUX_ARM64,
        )

    def _publish_release(self, where: Surroundings) -> None:
        """Say in one parameter what a company's own agents are made of."""
        template = s3_assets.Asset(
            self, "CellTemplate", path=str(tenant_cell.write_template(self._environment))
        )
        ssm.StringParameter(
            self,
            "CellRelease",
            parameter_name=tenant_cell.release_parameter(self._environment),
            description="What companies' own agents are made of; a function keeps them in step",
            string_value=self.to_json_string(
                {
                    "template_url": template.http_url,
                    "role_arn": self.cells_role.role.role_arn,
                    "parameters": tenant_cell.parameters(where, self._environment),
                }
            ),
        )

    def _acknowledge(self) -> None:
        """Say why rights end in a star where they do: findings of cdk-nag, each exactly named."""
        environment = self._environment
        stars = "AwsSolutions-IAM5[Resource::{}]".format
        here = "<AWS::Region>:<AWS::AccountId>"
        groups, cells = environment.log_group_name, tenant_cell.stack_prefix(environment)
        acknowledge(
            self.execution_role,
            {
                stars("*"): "The token of the image's registry has no ARN.",
                stars(environment.arn("logs", f"log-group:{groups('agent')}:*")): "Its streams.",
                stars(
                    environment.arn("logs", f"log-group:{groups('tenant/*')}:*")
                ): "One log group for each company; all their services share this role.",
            },
        )
        every_company = "The shared agents serve every company; a company's own reach one prefix."
        acknowledge(
            self.agents,
            {
                stars(
                    f"arn:<AWS::Partition>:s3:::{environment.bucket_name('recordings')}/*"
                ): every_company,
                stars(
                    f"arn:<AWS::Partition>:secretsmanager:{here}"
                    f":secret:{environment.secret_name('tenant')}/*"
                ): every_company,
                stars(
                    f"arn:<AWS::Partition>:ecs:{here}:task/{environment.prefix}/*"
                ): "A task can't know its own id before it runs.",
                "AwsSolutions-ECS2": "Names of resources; Secrets Manager has what is secret.",
            },
        )
        acknowledge(
            self.cells_role,
            {
                stars("*"): "Registering and describing know no resource.",
                **{
                    stars(arn): "One for each company, by its name; companies come and go."
                    for arn in (
                        f"arn:aws:iam::{environment.account}:role/{cells}*",
                        environment.arn("ecs", f"service/{environment.prefix}/{cells}*"),
                        environment.arn("ecs", f"task-definition/{cells}*:*"),
                        environment.arn("logs", f"log-group:{groups('tenant/*')}"),
                        environment.arn("application-autoscaling", "scalable-target/*"),
                    )
                },
            },
        )


def read_ignored(file: Path) -> list[str]:
    """Read an ignore file's patterns."""
    lines = (line.strip() for line in file.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _for_fargate(environment: Environment) -> Sequence[iam.PolicyStatement]:
    """Let Fargate encrypt the disks of this cluster's tasks with a key.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-create-storage-key.html
    """
    fargate = [iam.ServicePrincipal("fargate.amazonaws.com")]
    cluster = {
        "kms:EncryptionContext:aws:ecs:clusterAccount": environment.account,
        "kms:EncryptionContext:aws:ecs:clusterName": environment.prefix,
    }
    return [
        iam.PolicyStatement(
            sid="FargateDisks",
            principals=fargate,
            actions=["kms:GenerateDataKeyWithoutPlaintext"],
            resources=["*"],
            conditions={"StringEquals": cluster},
        ),
        iam.PolicyStatement(
            sid="FargateGrants",
            principals=fargate,
            actions=["kms:CreateGrant"],
            resources=["*"],
            conditions={
                "StringEquals": cluster,
                "ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt"]},
            },
        ),
    ]


def _metric(
    name: str, who: Who, environment: Environment, *, statistic: str, minutes: int
) -> cloudwatch.Metric:
    """Return a number that the agents tell of themselves."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"environment": environment.name, "agent_name": who.agent_name},
        statistic=statistic,
        period=cdk.Duration.minutes(minutes),
    )
