"""The permissions boundary: what no role of an environment can do, whatever its own policy says."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.environments import Environment

ACTIONS: dict[str, list[str]] = {
    "application-autoscaling": [
        "DeleteScalingPolicy",
        "DeregisterScalableTarget",
        "DescribeScalableTargets",
        "DescribeScalingActivities",
        "DescribeScalingPolicies",
        "PutScalingPolicy",
        "RegisterScalableTarget",
        "TagResource",
    ],
    "cloudformation": [
        "ContinueUpdateRollback",
        "CreateStack",
        "DeleteStack",
        "DescribeStackEvents",
        "DescribeStackResources",
        "DescribeStacks",
        "UpdateStack",
    ],
    "cloudwatch": ["DescribeAlarms", "PutMetricData"],
    "ec2": [
        "AssignPrivateIpAddresses",
        "CreateNetworkInterface",
        "DeleteNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "UnassignPrivateIpAddresses",
    ],
    "ecr": [
        "BatchCheckLayerAvailability",
        "BatchGetImage",
        "GetAuthorizationToken",
        "GetDownloadUrlForLayer",
    ],
    "ecs": [
        "CreateService",
        "DeleteService",
        "DeregisterTaskDefinition",
        "DescribeServices",
        "DescribeTaskDefinition",
        "DescribeTasks",
        "GetTaskProtection",
        "ListTasks",
        "RegisterTaskDefinition",
        "TagResource",
        "UntagResource",
        "UpdateService",
        "UpdateTaskProtection",
    ],
    "kms": ["Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "GenerateMac"],
    "lambda": ["InvokeFunction"],
    "logs": [
        "AssociateKmsKey",
        "CreateLogGroup",
        "CreateLogStream",
        "DeleteLogGroup",
        "DescribeLogGroups",
        "DescribeLogStreams",
        "FilterLogEvents",
        "GetLogEvents",
        "ListTagsForResource",
        "PutLogEvents",
        "PutRetentionPolicy",
        "TagResource",
    ],
    "rds-db": ["connect"],
    "s3": ["AbortMultipartUpload", "DeleteObject", "GetObject", "ListBucket", "PutObject"],
    "secretsmanager": [
        "CreateSecret",
        "DescribeSecret",
        "GetSecretValue",
        "PutSecretValue",
    ],
    "sqs": [
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ReceiveMessage",
        "SendMessage",
    ],
    "ssm": ["GetParameter"],
    "xray": [
        "GetSamplingRules",
        "GetSamplingTargets",
        "PutTelemetryRecords",
        "PutTraceSegments",
    ],
}
ROLES = [
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:PassRole",
    "iam:PutRolePolicy",
    "iam:TagRole",
    "iam:UntagRole",
]


def make_boundary(scope: Construct, environment: Environment) -> iam.ManagedPolicy:
    """Make the policy: known actions, in this region, and roles of tenants' cells only."""
    roles = f"arn:aws:iam::{environment.account}:role/{environment.prefix}-*"
    boundary = iam.ManagedPolicy(
        scope,
        "Boundary",
        managed_policy_name=environment.boundary_name,
        description="What no role of this environment reaches beyond",
        statements=[
            iam.PolicyStatement(
                sid="WhatTheProductDoes",
                actions=[
                    f"{service}:{action}" for service, names in ACTIONS.items() for action in names
                ],
                resources=["*"],
                conditions={"StringEquals": {"aws:RequestedRegion": environment.region}},
            ),
            iam.PolicyStatement(
                sid="RolesOfCells",
                actions=ROLES,
                resources=[roles],
            ),
            # A role that could change its own boundary would have none.
            iam.PolicyStatement(
                sid="BoundaryStays",
                effect=iam.Effect.DENY,
                actions=[
                    "iam:CreatePolicyVersion",
                    "iam:DeletePolicy",
                    "iam:DeletePolicyVersion",
                    "iam:DeleteRolePermissionsBoundary",
                    "iam:SetDefaultPolicyVersion",
                ],
                resources=["*"],
            ),
        ],
    )
    acknowledge(
        boundary,
        {
            "AwsSolutions-IAM5[Resource::*]": "A boundary allows nothing by itself; the roles' own"
            " policies name the resources.",
            f"AwsSolutions-IAM5[Resource::{roles}]": "Roles of this environment, by their names.",
        },
    )
    return boundary
