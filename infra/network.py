"""Network: where things run, who may open a connection to whom, and the boundary of every role."""

from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.boundary import make_boundary
from infra.environments import Environment
from infra.keys import for_alarms, for_logs, for_trail, make_key

ZONES = ["eu-west-3a", "eu-west-3b", "eu-west-3c"]
"""Named here, so that no synthesis has to ask an account for them."""

DATABASE_PORT = 5432


class NetworkStack(Stack):
    """Two zones, three kinds of subnets, and the security groups with all their rules.

    Agents stand in public subnets, since calls' sound must not go through a NAT; nothing can open
    a connection to them. Functions reach vendors through the NAT. The database reaches nobody.
    The rules lie here and not with what they protect, so that no two stacks need each other.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, environment: Environment, **stack: Any
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        self.boundary = make_boundary(self, environment)
        # Every stack writes logs, so the first one holds their key.
        self.logs_key = make_key(
            self,
            "LogsKey",
            environment=environment,
            data_class="logs",
            purpose="Logs, alarms and the audit trail",
            services=[
                for_logs(environment),
                for_alarms(environment),
                for_trail(environment, f"{environment.prefix}-trail"),
            ],
        )
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            availability_zones=ZONES[:2],
            nat_gateways=environment.nat_gateways,
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="agents", subnet_type=ec2.SubnetType.PUBLIC, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(
                    name="functions", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS
                ),
                ec2.SubnetConfiguration(
                    name="database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED
                ),
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3)
            },
        )
        self.function_subnets = ec2.SubnetSelection(subnet_group_name="functions")
        self.agent_subnets = ec2.SubnetSelection(subnet_group_name="agents")
        self.database_subnets = ec2.SubnetSelection(subnet_group_name="database")
        self._make_security_groups()
        self._log_flows(environment)

    def _make_security_groups(self) -> None:
        self.function_security_group = self._group("Functions", "To vendors and the database")
        self.agent_security_group = self._group("Agents", "To LiveKit, vendors and the database")
        self.database_security_group = self._group("Database", "From those two only")
        anyone, https = ec2.Peer.any_ipv4(), ec2.Port.tcp(443)
        postgres = ec2.Port.tcp(DATABASE_PORT)
        for group in (self.function_security_group, self.agent_security_group):
            group.add_egress_rule(anyone, https, "AWS and vendors")
            group.add_egress_rule(self.database_security_group, postgres, "PostgreSQL")
            self.database_security_group.add_ingress_rule(group, postgres, "PostgreSQL")
        # LiveKit's media: UDP on any port, TCP 7881 where a network has no UDP.
        self.agent_security_group.add_egress_rule(anyone, ec2.Port.all_udp(), "Media")
        self.agent_security_group.add_egress_rule(anyone, ec2.Port.tcp(7881), "Media over TCP")

    def _group(self, construct_id: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, construct_id, vpc=self.vpc, description=description, allow_all_outbound=False
        )

    def _log_flows(self, environment: Environment) -> None:
        group = logs.LogGroup(
            self,
            "FlowLogs",
            log_group_name=environment.log_group_name("network-flows"),
            encryption_key=self.logs_key,
            retention=retention_of(environment),
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = iam.Role(
            self, "FlowRole", assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com")
        )
        role.node.add_dependency(self.boundary)
        arn = environment.arn("logs", f"log-group:{environment.log_group_name('network-flows')}")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                resources=[f"{arn}:*"],
            )
        )
        acknowledge(
            role, {f"AwsSolutions-IAM5[Resource::{arn}:*]": "The streams of one log group."}
        )
        ec2.CfnFlowLog(
            self,
            "Flows",
            resource_id=self.vpc.vpc_id,
            resource_type="VPC",
            traffic_type="REJECT",
            deliver_logs_permission_arn=role.role_arn,
            log_group_name=group.log_group_name,
            max_aggregation_interval=600,
        )


def retention_of(environment: Environment) -> logs.RetentionDays:
    """Say how long an environment's logs are kept."""
    return {14: logs.RetentionDays.TWO_WEEKS, 30: logs.RetentionDays.ONE_MONTH}[
        environment.log_days
    ]
