"""Api: the REST API that vendors' webhooks reach, and the functions that answer it."""

import json
from dataclasses import replace
from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.environments import Environment
from infra.foundation import Foundation
from infra.network import NetworkStack, retention_of
from infra.python_function import LayerSet, PythonFunction

STAGE = "hooks"
HOOKS_POLICY = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"
"""TLS 1.3 or 1.2 with forward secrecy: no vendor promises to send its webhooks over 1.3."""

# No address, no user agent, no query, no path beyond the route's own: nothing about a person.
_ACCESS_LOG = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "httpMethod": "$context.httpMethod",
    "resourcePath": "$context.resourcePath",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "responseLatency": "$context.responseLatency",
    "integrationStatus": "$context.integration.status",
    "integrationLatency": "$context.integration.latency",
    "tlsVersion": "$context.tlsVersion",
    "cipherSuite": "$context.cipherSuite",
    "xrayTraceId": "$context.xrayTraceId",
}


class ApiStack(Stack):
    """The webhooks' API; every route of the table with domain `hooks`, and no other."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        foundation: Foundation,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        self.rest = self._make_api(foundation.environment, foundation.network)
        # Twilio signs this address: without a domain, the stage is a part of it.
        region = foundation.environment.region
        address = f"https://{self.rest.rest_api_id}.execute-api.{region}.amazonaws.com/{STAGE}"
        here = replace(foundation, known={"HOOKS_URL": address, **foundation.known})
        layers = LayerSet(self, foundation.parts)
        self.functions: dict[str, PythonFunction] = {}
        for entry in foundation.table.functions:
            if entry.domain != "hooks" or entry.path is None or entry.method is None:
                continue
            function = PythonFunction(self, here, function=entry, layers=layers)
            self.functions[entry.name] = function
            self.rest.root.resource_for_path(entry.path).add_method(
                entry.method,
                apigateway.LambdaIntegration(function, proxy=True, allow_test_invoke=False),
                authorization_type=apigateway.AuthorizationType.NONE,
            )

    def _make_api(self, environment: Environment, network: NetworkStack) -> apigateway.RestApi:
        access = logs.LogGroup(
            self,
            "AccessLogs",
            log_group_name=environment.log_group_name("hooks-access"),
            encryption_key=network.logs_key,
            retention=retention_of(environment),
            removal_policy=RemovalPolicy.DESTROY,
        )
        rest = apigateway.RestApi(
            self,
            "Hooks",
            rest_api_name=f"{environment.prefix}-hooks",
            description="What vendors tell us; each function proves who speaks",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            disable_execute_api_endpoint=environment.domain is not None,
            # Bodies pass as they came, byte by byte: a signature is over exactly those.
            binary_media_types=["*/*"],
            cloud_watch_role=False,
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                tracing_enabled=True,
                metrics_enabled=True,
                # Its own logs could hold bodies, in a group that it makes without our key.
                logging_level=apigateway.MethodLoggingLevel.OFF,
                data_trace_enabled=False,
                access_log_destination=apigateway.LogGroupLogDestination(access),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG)),
                throttling_rate_limit=100,
                throttling_burst_limit=200,
            ),
        )
        resource = rest.node.default_child
        assert isinstance(resource, apigateway.CfnRestApi)
        resource.security_policy = HOOKS_POLICY
        resource.endpoint_access_mode = "STRICT"
        rest.deployment_stage.node.add_dependency(self._let_write_logs())
        acknowledge(
            rest,
            {
                "AwsSolutions-APIG2": "Each function checks the vendor's signature over the raw"
                " body, which says more than any model of it.",
                "AwsSolutions-APIG3": "Signed requests of two vendors, throttled; the firewall"
                " comes with the API that browsers use.",
                "AwsSolutions-APIG4": "The vendor's signature is the authorization, and the"
                " function proves it; an authorizer never sees the body.",
                "AwsSolutions-APIG6": "Execution logs hold headers and bodies, so callers' numbers;"
                " access logs, functions' logs and traces stand instead.",
                "AwsSolutions-COG4": "Vendors have no user in a pool; the function proves their"
                " signature.",
            },
        )
        return rest

    def _let_write_logs(self) -> apigateway.CfnAccount:
        """Let API Gateway write access logs: one right for the account, set with the first API."""
        managed = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        role = iam.Role(
            self,
            "AccessLogsRole",
            assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(managed)],
        )
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        acknowledge(
            role,
            {
                f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{managed}]": (
                    "API Gateway accepts a role for its logs only with these very rights; the"
                    " boundary holds it to this region."
                )
            },
        )
        account = apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        account.apply_removal_policy(RemovalPolicy.RETAIN)
        return account
