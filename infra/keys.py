"""Keys: one per class of data, so that the right to one class is no right to another."""

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.environments import Environment

# The account may administer a key and delegate its use by IAM, as AWS's own key policy allows with
# `kms:*`; named one by one, so that no policy of ours holds a wildcard.
_ADMINISTRATION = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:CreateGrant",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:ListRetirableGrants",
    "kms:PutKeyPolicy",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
]
_ENCRYPTION = [
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
]
_MAC = ["kms:GenerateMac", "kms:VerifyMac"]


def make_key(
    scope: Construct,
    construct_id: str,
    *,
    environment: Environment,
    data_class: str,
    purpose: str,
    mac: bool = False,
    services: Sequence[iam.PolicyStatement] = (),
) -> kms.Key:
    """Make the key of a class of data; a `mac` key computes HMACs and encrypts nothing."""
    account = iam.PolicyStatement(
        sid="AccountDelegatesByIam",
        principals=[iam.AccountPrincipal(environment.account)],
        actions=[*_ADMINISTRATION, *(_MAC if mac else _ENCRYPTION)],
        resources=["*"],
    )
    return kms.Key(
        scope,
        construct_id,
        alias=f"alias/{environment.prefix}-{data_class}",
        description=purpose,
        key_spec=kms.KeySpec.HMAC_256 if mac else None,
        key_usage=kms.KeyUsage.GENERATE_VERIFY_MAC if mac else None,
        # KMS does not rotate HMAC keys, and a rotated one would make every badge unknown.
        enable_key_rotation=None if mac else True,
        pending_window=Duration.days(30),
        policy=iam.PolicyDocument(statements=[account, *services]),
        removal_policy=RemovalPolicy.RETAIN,
    )


def for_logs(environment: Environment) -> iam.PolicyStatement:
    """Let CloudWatch Logs encrypt this account's log groups with a key."""
    return iam.PolicyStatement(
        sid="LogGroups",
        principals=[iam.ServicePrincipal(f"logs.{environment.region}.amazonaws.com")],
        actions=[*_ENCRYPTION, "kms:DescribeKey"],
        resources=["*"],
        conditions={
            "ArnLike": {
                "kms:EncryptionContext:aws:logs:arn": environment.arn("logs", "log-group:*")
            }
        },
    )


def for_alarms(environment: Environment) -> iam.PolicyStatement:
    """Let CloudWatch's alarms publish to a topic that is encrypted with a key."""
    return iam.PolicyStatement(
        sid="Alarms",
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=["*"],
        conditions={"StringEquals": {"aws:SourceAccount": environment.account}},
    )


def for_trail(environment: Environment, trail_name: str) -> iam.PolicyStatement:
    """Let one trail encrypt what it writes with a key."""
    return iam.PolicyStatement(
        sid="Trail",
        principals=[iam.ServicePrincipal("cloudtrail.amazonaws.com")],
        actions=["kms:DescribeKey", "kms:GenerateDataKey"],
        resources=["*"],
        conditions={
            "StringEquals": {"aws:SourceArn": environment.arn("cloudtrail", f"trail/{trail_name}")}
        },
    )
