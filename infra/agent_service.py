"""The agents' tasks on Fargate: what one may reach, how it runs, when there are more of them.

The shared agents and a company's own are the same service with other names and narrower rights, so
both are made here, from plain values: in a company's template these are parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

NAMESPACE = "AurionAI"
LOAD_METRIC = "ActiveCallsPerTask"
PROTECTION_METRIC = "ProtectionFailures"
HEALTH_COMMAND = ("python", "-m", "agent_container.health")
WRITABLE = {"work": "/var/lib/aurion", "temporary": "/tmp"}  # noqa: S108 - a volume of the task
"""What a task may write to, by volume; the image declares the same folders."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a task is (CPU units, MiB) and how many calls it carries.

    A call takes 9 to 12 % of a core, so two cores carry ten with room to spare.
    """

    cpu: int
    memory_mib: int
    calls: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the agents of an environment stand in; names and ARNs, or a template's parameters."""

    environment: str
    image: str
    cluster_name: str
    subnets: Sequence[str]
    security_group: str
    execution_role_arn: str
    recordings_bucket: str
    badge_key_arn: str
    content_key_arn: str
    recordings_key_arn: str
    data_key_arn: str
    logs_key_arn: str
    database_host: str
    database_name: str
    database_resource_id: str
    livekit_secret_arn: str
    models_secret_arn: str


@dataclass(frozen=True, slots=True)
class Who:
    """Whose agents these are: everybody's, or one company's (`tenant` is its id).

    `agent_name` is what a call is dispatched to; a task's calls have the first of `database_roles`.
    """

    name: str
    agent_name: str
    database_roles: tuple[str, ...]
    log_group: str
    tenant: str | None = None


class AgentService(Construct):
    """A service of agents with its role, its log and its scaling."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        who: Who,
        size: Size,
        where: Surroundings,
        boundary: iam.IManagedPolicy,
        tasks: tuple[float, float],
        log_days: int,
    ) -> None:
        super().__init__(scope, id)
        self._who, self._size, self._where = who, size, where
        self.log_group = logs.CfnLogGroup(
            self,
            "Log",
            log_group_name=who.log_group,
            kms_key_id=where.logs_key_arn,
            retention_in_days=log_days,
        )
        self.log_group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        self.role = iam.Role(
            self,
            "TaskRole",
            role_name=who.name if who.tenant else None,
            assumed_by=iam.ServicePrincipal(
                "ecs-tasks.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            ),
            permissions_boundary=boundary,
            inline_policies={
                "agent": iam.PolicyDocument(statements=task_statements(where, who)),
            },
        )
        self.task = self._make_task()
        self.service = self._make_service()
        self._scale(tasks)

    def _make_task(self) -> ecs.CfnTaskDefinition:
        task = ecs.CfnTaskDefinition(
            self,
            "Task",
            family=self._who.name,
            cpu=str(self._size.cpu),
            memory=str(self._size.memory_mib),
            network_mode="awsvpc",
            requires_compatibilities=["FARGATE"],
            runtime_platform=ecs.CfnTaskDefinition.RuntimePlatformProperty(
                cpu_architecture="ARM64", operating_system_family="LINUX"
            ),
            execution_role_arn=self._where.execution_role_arn,
            task_role_arn=self.role.role_arn,
            volumes=[ecs.CfnTaskDefinition.VolumeProperty(name=name) for name in WRITABLE],
            container_definitions=[self._container()],
        )
        return task

    def _container(self) -> ecs.CfnTaskDefinition.ContainerDefinitionProperty:
        definition = ecs.CfnTaskDefinition
        return definition.ContainerDefinitionProperty(
            name="agent",
            image=self._where.image,
            essential=True,
            readonly_root_filesystem=True,
            mount_points=[
                definition.MountPointProperty(
                    source_volume=name, container_path=path, read_only=False
                )
                for name, path in WRITABLE.items()
            ],
            linux_parameters=definition.LinuxParametersProperty(
                init_process_enabled=True,
                capabilities=definition.KernelCapabilitiesProperty(drop=["ALL"]),
            ),
            # Fargate kills what is left after two minutes and gives no more: a task in a call is
            # protected instead, and leaves by itself once its calls are over.
            stop_timeout=120,
            ulimits=[definition.UlimitProperty(name="nofile", soft_limit=65535, hard_limit=65535)],
            health_check=definition.HealthCheckProperty(
                command=["CMD", *HEALTH_COMMAND],
                interval=15,
                timeout=10,
                retries=3,
                start_period=180,
            ),
            log_configuration=definition.LogConfigurationProperty(
                log_driver="awslogs",
                options={
                    "awslogs-group": self.log_group.ref,
                    "awslogs-region": cdk.Aws.REGION,
                    "awslogs-stream-prefix": "agent",
                    # A full buffer must drop lines rather than stop calls.
                    "mode": "non-blocking",
                    "max-buffer-size": "8m",
                },
            ),
            environment=[
                definition.KeyValuePairProperty(name=name, value=value)
                for name, value in sorted(self._environment().items())
            ],
            secrets=[
                definition.SecretProperty(name=name, value_from=f"{arn}:{field}::")
                for name, (arn, field) in sorted(self._secrets().items())
            ],
        )

    def _environment(self) -> dict[str, str]:
        where, who = self._where, self._who
        return {
            "ENVIRONMENT": where.environment,
            "AWS_REGION": cdk.Aws.REGION,
            "AGENT_NAME": who.agent_name,
            "MAX_CALLS": str(self._size.calls),
            "DATABASE_HOST": where.database_host,
            "DATABASE_NAME": where.database_name,
            "DATABASE_ROLE": who.database_roles[0],
            "BADGE_KEY_ID": where.badge_key_arn,
            "CONTENT_KEY_ID": where.content_key_arn,
            "RECORDINGS_KEY_ID": where.recordings_key_arn,
            "RECORDINGS_BUCKET": where.recordings_bucket,
        }

    def _secrets(self) -> dict[str, tuple[str, str]]:
        # Read by the execution role before the container starts, so that the task's own role can't.
        livekit, models = self._where.livekit_secret_arn, self._where.models_secret_arn
        return {
            "LIVEKIT_URL": (livekit, "url"),
            "LIVEKIT_API_KEY": (livekit, "api_key"),
            "LIVEKIT_API_SECRET": (livekit, "api_secret"),
            "ANTHROPIC_API_KEY": (models, "anthropic_api_key"),
            "LLM_API_KEY": (models, "llm_api_key"),
        }

    def _make_service(self) -> ecs.CfnService:
        properties = ecs.CfnService
        service = ecs.CfnService(
            self,
            "Service",
            service_name=self._who.name,
            cluster=self._where.cluster_name,
            task_definition=self.task.ref,
            # No desired count: the scaling below owns it, and a release must not reset it.
            launch_type="FARGATE",
            platform_version="LATEST",
            availability_zone_rebalancing="DISABLED",  # it would stop tasks to even them out
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            deployment_configuration=properties.DeploymentConfigurationProperty(
                minimum_healthy_percent=100,
                maximum_percent=200,
                deployment_circuit_breaker=properties.DeploymentCircuitBreakerProperty(
                    enable=True, rollback=True
                ),
            ),
            network_configuration=properties.NetworkConfigurationProperty(
                awsvpc_configuration=properties.AwsVpcConfigurationProperty(
                    subnets=list(self._where.subnets),
                    security_groups=[self._where.security_group],
                    # Sound must not pass through a gateway: it costs time and money there.
                    assign_public_ip="ENABLED",
                )
            ),
            tags=[cdk.CfnTag(key="tenant", value=self._who.tenant)] if self._who.tenant else None,
        )
        # A task that starts before its rights are there fails, and the breaker counts it.
        service.node.add_dependency(self.role)
        return service

    def _scale(self, tasks: tuple[float, float]) -> None:
        least, most = tasks
        target = scaling.CfnScalableTarget(
            self,
            "Tasks",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=f"service/{self._where.cluster_name}/{self._who.name}",
            min_capacity=least,
            max_capacity=most,
        )
        target.add_resource_dependency(self.service)
        policy = scaling.CfnScalingPolicy
        tracking = policy.TargetTrackingScalingPolicyConfigurationProperty
        self._policy(
            target,
            "Calls",
            tracking(
                target_value=round(self._size.calls * 0.6, 1),
                scale_out_cooldown=30,
                scale_in_cooldown=600,
                customized_metric_specification=policy.CustomizedMetricSpecificationProperty(
                    namespace=NAMESPACE,
                    metric_name=LOAD_METRIC,
                    statistic="Average",
                    dimensions=[
                        policy.MetricDimensionProperty(name=name, value=value)
                        for name, value in load_dimensions(self._where, self._who).items()
                    ],
                ),
            ),
        )
        self._policy(
            target,
            "Processor",
            tracking(
                target_value=60,
                scale_out_cooldown=30,
                scale_in_cooldown=600,
                predefined_metric_specification=policy.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="ECSServiceAverageCPUUtilization"
                ),
            ),
        )

    def _policy(
        self,
        target: scaling.CfnScalableTarget,
        id: str,
        configuration: scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty,
    ) -> None:
        scaling.CfnScalingPolicy(
            self,
            id,
            policy_name=f"{self._who.name}-{id.lower()}",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=configuration,
        )


def load_dimensions(where: Surroundings, who: Who) -> dict[str, str]:
    """Return the dimensions under which these agents publish how many calls they have."""
    return {"environment": where.environment, "agent_name": who.agent_name}


def task_statements(where: Surroundings, who: Who) -> list[iam.PolicyStatement]:
    """Say what a task may do: with everything of all companies, or of one and no other."""
    bucket = f"arn:{cdk.Aws.PARTITION}:s3:::{where.recordings_bucket}"
    account = f"{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}"
    secrets = f"arn:{cdk.Aws.PARTITION}:secretsmanager:{account}:secret:aurion/{where.environment}"
    tasks = f"arn:{cdk.Aws.PARTITION}:ecs:{account}:task/{where.cluster_name}/*"
    logins = f"arn:{cdk.Aws.PARTITION}:rds-db:{account}:dbuser:{where.database_resource_id}"
    own_secrets = f"{secrets}/tenant/{who.tenant or '*'}" + ("/*" if who.tenant else "")
    context = "kms:EncryptionContext:tenant"
    return [
        iam.PolicyStatement(
            sid="Recordings",
            actions=["s3:PutObject", "s3:DeleteObject"],
            resources=[f"{bucket}/{who.tenant or '*'}" + ("/*" if who.tenant else "")],
        ),
        iam.PolicyStatement(
            sid="RecordingsKey",
            actions=["kms:GenerateDataKey", "kms:Decrypt"],
            resources=[where.recordings_key_arn],
            conditions={
                "StringEquals": {"kms:ViaService": f"s3.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}"}
            },
        ),
        iam.PolicyStatement(
            sid="Badges", actions=["kms:GenerateMac"], resources=[where.badge_key_arn]
        ),
        iam.PolicyStatement(
            sid="Content",
            actions=["kms:Encrypt", "kms:Decrypt"],
            resources=[where.content_key_arn],
            conditions=(
                {"StringEquals": {context: who.tenant}}
                if who.tenant
                else {"Null": {context: "false"}}
            ),
        ),
        iam.PolicyStatement(
            sid="TicketSystems",
            actions=["secretsmanager:GetSecretValue"],
            resources=[own_secrets],
        ),
        iam.PolicyStatement(
            sid="TicketSystemsKey",
            actions=["kms:Decrypt"],
            resources=[where.data_key_arn],
            conditions={
                "StringEquals": {
                    "kms:ViaService": f"secretsmanager.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}"
                },
                "StringLike": {"kms:EncryptionContext:SecretARN": own_secrets},
            },
        ),
        iam.PolicyStatement(
            sid="Database",
            actions=["rds-db:connect"],
            resources=[f"{logins}/{role}" for role in who.database_roles],
        ),
        iam.PolicyStatement(
            sid="OwnProtection",
            actions=["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"],
            resources=[tasks],
            # In a cell: of the tasks that carry the company's tag, which the service gives its own.
            conditions=(
                {"StringEquals": {"aws:ResourceTag/tenant": who.tenant}} if who.tenant else None
            ),
        ),
        iam.PolicyStatement(
            sid="OwnDeployment",
            actions=["ecs:DescribeServices"],
            resources=[
                f"arn:{cdk.Aws.PARTITION}:ecs:{account}:service/{where.cluster_name}/{who.name}"
            ],
        ),
    ]
