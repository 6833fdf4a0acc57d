"""The one way to make a Lambda: from its entry in the table, with everything it must have."""

from collections.abc import Mapping
from dataclasses import fields

from aurion.function_table import Function, Layer
from aurion.settings import Settings
from aws_cdk import AssetHashType, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.data import DATABASE_NAME, DataStack
from infra.environments import Environment
from infra.foundation import Foundation
from infra.grants import send, statements_of, wildcards
from infra.layers import Parts
from infra.network import DATABASE_PORT, retention_of

_INTERFACES = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]
_SETTINGS = {field.name.upper() for field in fields(Settings)}


class EnvironmentUnknown(Exception):
    """A function asks for a variable that the settings don't know, or that has no value here."""


class LayerSet(Construct):
    """The layers of one stack, each made when it is first asked for."""

    def __init__(self, scope: Construct, parts: Parts) -> None:
        super().__init__(scope, "Layers")
        self._parts = parts
        self._made: dict[Layer, lambda_.LayerVersion] = {}

    def get(self, name: Layer) -> lambda_.LayerVersion:
        """Return a layer."""
        if name not in self._made:
            folder, digest = self._parts.layer(name)
            self._made[name] = lambda_.LayerVersion(
                self,
                name.capitalize(),
                code=lambda_.Code.from_asset(
                    str(folder), asset_hash=digest, asset_hash_type=AssetHashType.CUSTOM
                ),
                compatible_architectures=[lambda_.Architecture.ARM_64],
                compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
                description=f"{name}, from uv.lock",
            )
        return self._made[name]


def values(environment: Environment, data: DataStack) -> dict[str, str]:
    """Return what this environment's functions can be told, by the settings' names."""
    known = {
        "ENVIRONMENT": environment.name,
        "DATABASE_HOST": data.database_host,
        "DATABASE_PORT": str(DATABASE_PORT),
        "DATABASE_NAME": DATABASE_NAME,
        "DATABASE_SSLROOTCERT": "/opt/rds-eu-west-3.pem",
        "DATABASE_ADMIN_SECRET": data.database_admin_secret_arn,
        "BADGE_KEY_ID": data.badges_key.key_arn,
        "CONTENT_KEY_ID": data.content_key.key_arn,
        "RECORDINGS_KEY_ID": data.recordings_key.key_arn,
        "DATA_KEY_ID": data.data_key.key_arn,
        "RECORDINGS_BUCKET": environment.bucket_name("recordings"),
        "CLOSED_CALLS_QUEUE_URL": environment.queue_url("closed_calls"),
        "RETENTION_QUEUE_URL": environment.queue_url("retention"),
        "ROOM_WATCH_QUEUE_URL": environment.queue_url("room_watch"),
        "TWILIO_SECRET": environment.secret_name("twilio"),
        "LIVEKIT_SECRET": environment.secret_name("livekit"),
        "AGENT_NAME": "aurion",
    }
    if environment.domain:
        known["HOOKS_URL"] = f"https://{environment.domain.hooks}"
    return known


class PythonFunction(lambda_.Function):
    """A function of the table: its code, layers, role, log, limits and variables.

    Raises:
        EnvironmentUnknown: It asks for a variable that nothing here can give.
    """

    def __init__(
        self,
        scope: Construct,
        foundation: Foundation,
        *,
        function: Function,
        layers: LayerSet,
        dead_letters: sqs.IQueue | None = None,
    ) -> None:
        environment, network = foundation.environment, foundation.network
        construct_id = "".join(word.capitalize() for word in function.name.split("_"))
        folder, digest = foundation.parts.function(function)
        log_name = environment.log_group_name(function.name)
        log_group = logs.LogGroup(
            scope,
            f"{construct_id}Logs",
            log_group_name=log_name,
            encryption_key=network.logs_key,
            retention=retention_of(environment),
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = iam.Role(
            scope,
            f"{construct_id}Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=function.purpose,
        )
        super().__init__(
            scope,
            construct_id,
            function_name=environment.function_name(function.name),
            description=function.purpose,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handler",
            code=lambda_.Code.from_asset(
                str(folder), asset_hash=digest, asset_hash_type=AssetHashType.CUSTOM
            ),
            layers=[layers.get(name) for name in function.layers],
            role=role,
            environment=environment_of(function, foundation.known),
            memory_size=function.memory_mb,
            timeout=Duration.seconds(function.timeout_s),
            reserved_concurrent_executions=function.reserved_concurrency,
            vpc=network.vpc,
            vpc_subnets=network.function_subnets,
            security_groups=[network.function_security_group],
            tracing=lambda_.Tracing.ACTIVE,
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO,
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
        )
        self.entry = function
        self._foundation = foundation
        arn = environment.arn("logs", f"log-group:{log_name}:*")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[arn]
            )
        )
        role.add_to_policy(iam.PolicyStatement(actions=_INTERFACES, resources=["*"]))
        # Lambda itself needs those; the code that runs in it does not.
        role.add_to_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                actions=_INTERFACES,
                resources=["*"],
                conditions={
                    "ArnEquals": {
                        "lambda:SourceFunctionArn": environment.arn(
                            "lambda", f"function:{environment.function_name(function.name)}"
                        )
                    }
                },
            )
        )
        for statement in statements_of(function, environment, foundation.data):
            role.add_to_policy(statement)
        # A role's rights come before the function, or the first event after a release fails.
        for child in role.node.find_all():
            if isinstance(child, iam.CfnPolicy):
                self.node.add_dependency(child)
        if function.queue:
            self._consume(function.queue)
        if "deploy" in function.triggers:
            # A deployment was told that it failed, and has gone on.
            self._retry(attempts=0, within_s=function.timeout_s)
        if dead_letters is not None:
            self._keep_what_fails(dead_letters)
        acknowledge(
            role,
            {
                "AwsSolutions-IAM5[Resource::*]": "Network interfaces and trace segments have no"
                " ARN that a policy could name; the interfaces are denied to the code itself.",
                f"AwsSolutions-IAM5[Resource::{arn}]": "The streams of one log group.",
                **wildcards(function, environment),
            },
        )
        acknowledge(
            self,
            {
                "AwsSolutions-L1": "3.13 is the Python of the lock, the tests and the image; all"
                " three move together."
            },
        )

    def _consume(self, name: str) -> None:
        """Be woken by a queue's messages, one at a time; the queue may be in another stack."""
        environment, data = self._foundation.environment, self._foundation.data
        queue = environment.arn("sqs", environment.queue_name(name))
        self.add_to_role_policy(
            iam.PolicyStatement(
                actions=[
                    "sqs:ChangeMessageVisibility",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ReceiveMessage",
                ],
                resources=[queue],
            )
        )
        self.add_to_role_policy(
            iam.PolicyStatement(actions=["kms:Decrypt"], resources=[data.data_key.key_arn])
        )
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Messages",
            function_name=self.function_name,
            event_source_arn=queue,
            batch_size=1,
            function_response_types=["ReportBatchItemFailures"],
            # Above the function's own concurrency, messages would come back as failed.
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(
                maximum_concurrency=max(2, self.entry.reserved_concurrency - 1)
            ),
        )
        assert self.role is not None
        mapping.node.add_dependency(self.role)

    def _retry(self, *, attempts: int, within_s: int) -> None:
        lambda_.CfnEventInvokeConfig(
            self,
            "Events",
            function_name=self.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=attempts,
            maximum_event_age_in_seconds=max(60, within_s),
        )

    def _keep_what_fails(self, queue: sqs.IQueue) -> None:
        """Give events that nobody waits for a second try, and a place to lie afterwards."""
        # A job that comes every minute need not be caught up on for hours.
        self._retry(attempts=1, within_s=2 * self.entry.timeout_s)
        resource = self.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        resource.dead_letter_config = lambda_.CfnFunction.DeadLetterConfigProperty(
            target_arn=queue.queue_arn
        )
        assert self.role is not None
        for statement in send(self._foundation.environment, self._foundation.data, "jobs-dead"):
            self.add_to_role_policy(statement)


def environment_of(function: Function, known: Mapping[str, str]) -> dict[str, str]:
    """Return a function's variables.

    Raises:
        EnvironmentUnknown: The settings have no such field, or it has no value here.
    """
    unknown = set(function.environment) - _SETTINGS
    if unknown:
        raise EnvironmentUnknown(f"{function.name}: aurion.settings has no {sorted(unknown)}.")
    missing = set(function.environment) - known.keys()
    if missing:
        raise EnvironmentUnknown(f"{function.name}: nothing here can say {sorted(missing)}.")
    return {name: known[name] for name in function.environment}
