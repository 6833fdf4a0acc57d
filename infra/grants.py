"""What the table's words allow: each becomes statements that name exact actions and resources."""

import re
from collections.abc import Callable

from aurion.function_table import Function
from aws_cdk import aws_iam as iam

from infra.data import DataStack
from infra.environments import REGION, Environment
from infra.tenant_cell import reconciler_statements

type Statements = list[iam.PolicyStatement]
type Grant = Callable[[re.Match[str], Environment, DataStack], Statements]


class UnknownGrant(Exception):
    """The table grants something that nothing here can turn into rights."""


def statements_of(
    function: Function, environment: Environment, data: DataStack
) -> list[iam.PolicyStatement]:
    """Return what a function may do, of all its grants and database roles.

    Raises:
        UnknownGrant: A word of the table means nothing here.
    """
    statements: Statements = []
    for word in function.grants:
        statements += statements_for(word, environment, data)
    if function.database_roles:
        statements.append(database(data, *function.database_roles))
    return statements


def statements_for(word: str, environment: Environment, data: DataStack) -> Statements:
    """Return what one word of the table allows.

    Raises:
        UnknownGrant: The word means nothing here.
    """
    for pattern, grant in _GRANTS.items():
        found = re.fullmatch(pattern, word)
        if found:
            return grant(found, environment, data)
    raise UnknownGrant(f"{word!r} is no grant; infra/grants.py lists those there are.")


def wildcards(function: Function, environment: Environment) -> dict[str, str]:
    """Say why some of a function's rights end in a star: findings of cdk-nag, with reasons."""
    reasons: dict[str, str] = {}
    if any(grant.startswith("recordings:") for grant in function.grants):
        objects = f"arn:aws:s3:::{environment.bucket_name('recordings')}/*"
        reasons[objects] = "It works on every company's recordings, whose names it can't know."
    if any(grant.startswith("secrets:tenants:") for grant in function.grants):
        names = environment.arn("secretsmanager", f"secret:{environment.secret_name('tenant')}/*")
        reasons[names] = "One secret for each company, and it works for all of them in turn."
    if "cells:reconcile" in function.grants:
        for statement in reconciler_statements(environment):
            for resource in statement.resources:
                if "*" in resource and resource != "*":
                    reasons[resource] = "One stack for each company, from the release's template."
    return {f"AwsSolutions-IAM5[Resource::{arn}]": reason for arn, reason in reasons.items()}


def database(data: DataStack, *roles: str) -> iam.PolicyStatement:
    """Allow to sign in to the database as some of its roles, and as no other."""
    return iam.PolicyStatement(
        actions=["rds-db:connect"], resources=[data.database_role_arn(role) for role in roles]
    )


def secret(environment: Environment, data: DataStack, name: str) -> Statements:
    """Allow to read a secret; its ARN ends in six characters that Secrets Manager chose."""
    return _read_secret(data, environment.arn("secretsmanager", f"secret:{name}-??????"))


def send(environment: Environment, data: DataStack, queue: str) -> Statements:
    """Allow to send to a queue, which is encrypted with our key."""
    return [
        iam.PolicyStatement(
            actions=["sqs:SendMessage"],
            resources=[environment.arn("sqs", environment.queue_name(queue))],
        ),
        _through(data, "sqs", "kms:Decrypt", "kms:GenerateDataKey"),
    ]


def _read_secret(data: DataStack, arn: str) -> Statements:
    return [
        iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[arn]),
        _through(data, "secretsmanager", "kms:Decrypt"),
    ]


def _through(data: DataStack, service: str, *actions: str) -> iam.PolicyStatement:
    """Allow the use of the data key, by way of one service only."""
    return iam.PolicyStatement(
        actions=list(actions),
        resources=[data.data_key.key_arn],
        conditions={"StringEquals": {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}},
    )


def _badges(_word: re.Match[str], _environment: Environment, data: DataStack) -> Statements:
    return [iam.PolicyStatement(actions=["kms:GenerateMac"], resources=[data.badges_key.key_arn])]


def _content(_word: re.Match[str], _environment: Environment, data: DataStack) -> Statements:
    return [
        iam.PolicyStatement(
            actions=["kms:Decrypt", "kms:Encrypt"],
            resources=[data.content_key.key_arn],
            # Without the tenant in the context nothing is encrypted, or read.
            conditions={"Null": {"kms:EncryptionContext:tenant": "false"}},
        )
    ]


def _recordings(word: re.Match[str], environment: Environment, data: DataStack) -> Statements:
    bucket = f"arn:aws:s3:::{environment.bucket_name('recordings')}"
    objects, key = f"{bucket}/*", data.recordings_key.key_arn
    match word["verb"]:
        case "list":
            return [iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket])]
        case "read":
            return [
                iam.PolicyStatement(actions=["s3:GetObject"], resources=[objects]),
                iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key]),
            ]
        case "write":
            return [
                iam.PolicyStatement(
                    actions=["s3:AbortMultipartUpload", "s3:PutObject"], resources=[objects]
                ),
                iam.PolicyStatement(
                    actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key]
                ),
            ]
        case _:
            return [iam.PolicyStatement(actions=["s3:DeleteObject"], resources=[objects])]


def _vendor(word: re.Match[str], environment: Environment, data: DataStack) -> Statements:
    if word["name"] == "database_admin":
        return _read_secret(data, data.database_admin_secret_arn)
    return secret(environment, data, environment.secret_name(word["name"]))


def _tenants_secrets(word: re.Match[str], environment: Environment, data: DataStack) -> Statements:
    names = environment.arn("secretsmanager", f"secret:{environment.secret_name('tenant')}/*")
    if word["verb"] == "read":
        return _read_secret(data, names)
    return [
        iam.PolicyStatement(actions=["secretsmanager:PutSecretValue"], resources=[names]),
        iam.PolicyStatement(
            # Not with the account's own key, whose use no policy of ours limits.
            actions=["secretsmanager:CreateSecret"],
            resources=[names],
            conditions={"StringEquals": {"secretsmanager:KmsKeyArn": data.data_key.key_arn}},
        ),
        _through(data, "secretsmanager", "kms:Decrypt", "kms:GenerateDataKey"),
    ]


def _send(word: re.Match[str], environment: Environment, data: DataStack) -> Statements:
    return send(environment, data, word["queue"])


def _invoke(word: re.Match[str], environment: Environment, _data: DataStack) -> Statements:
    arn = environment.arn("lambda", f"function:{environment.function_name(word['function'])}")
    return [iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[arn])]


def _cells(_word: re.Match[str], environment: Environment, _data: DataStack) -> Statements:
    return reconciler_statements(environment)


_GRANTS: dict[str, Grant] = {
    r"cells:reconcile": _cells,
    r"badges:mac": _badges,
    r"content:use": _content,
    r"recordings:(?P<verb>list|read|write|delete)": _recordings,
    r"secret:(?P<name>twilio|livekit|models|database_admin)": _vendor,
    r"secrets:tenants:(?P<verb>read|write)": _tenants_secrets,
    r"queue:(?P<queue>[a-z0-9_]+):send": _send,
    r"invoke:(?P<function>[a-z0-9_]+)": _invoke,
}
