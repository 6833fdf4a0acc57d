"""`aurion doctor --cloud`: an account that has nothing, and what it says as things appear."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.aws import Aws
from local.cloud import DEPLOYMENT_BOUNDARY
from tests.integration.local.conftest import run_aurion
from tests.providers import twilio
from tests.providers.twilio import TwilioServer

REGION = "eu-west-3"
ACCOUNT = "123456789012"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
LIVEKIT = {
    "url": "wss://desk.eu.rtc.livekit.cloud",
    "api_key": "key",
    "api_secret": "a-secret-nobody-may-see",
    "sip_host": "desk.eu.sip.livekit.cloud",
    "sip_username": "aurion",
    "sip_password": "another-secret",
}
MODELS = {"anthropic_api_key": "sk-one", "llm_api_key": "sk-two"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """An AWS account of its own, with nothing in it."""
    server = Aws(tmp_path_factory.mktemp("aws") / "aws.log").start()
    yield server
    server.stop()


@pytest.fixture
def phones() -> Iterator[TwilioServer]:
    with twilio.run() as running:
        yield running


def client(account: Aws, service: str) -> Any:
    sdk: Any = boto3
    return sdk.client(
        service,
        region_name=REGION,
        endpoint_url=account.endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def look(account: Aws, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"AWS_ENDPOINT_URL": account.endpoint, "AWS_REGION": REGION, **KEYS, **variables}
    return run_aurion(home, "doctor", "--cloud", "--env", "dev", environment=environment)


def line(told: subprocess.CompletedProcess[str], what: str) -> str:
    lines = [" ".join(text.split()) for text in told.stdout.splitlines()]
    found = [text for text in lines if what in text]
    assert found, f"nothing about {what}:\n{told.stdout}{told.stderr}"
    return found[0]


def test_it_says_what_an_account_lacks_and_what_it_has(
    account: Aws, phones: TwilioServer, tmp_path: Path
) -> None:
    empty = look(account, tmp_path, AWS_REGION="us-east-1", AURION_DEV_ACCOUNT="210987654321")
    assert empty.returncode == 1
    assert "export AWS_REGION=eu-west-3" in line(empty, "✗ region")
    assert ACCOUNT in line(empty, "✗ credentials")
    assert "infra/account.yaml" in line(empty, "– boundary of deployments")
    assert "cdk bootstrap" in line(empty, "– the CDK's bootstrap")
    assert "make deploy ENV=dev STACKS=Data" in line(empty, "– stack Data")
    assert "deploy that first" in line(empty, "– secret aurion/dev/models")
    assert "L-B99A9384" in line(empty, "– Lambda's concurrency")
    assert "mend the secret" in line(empty, "– LiveKit stays in the EU")

    _set_up(account, phones)
    ready = look(account, tmp_path)
    assert ACCOUNT in line(ready, "✓ credentials")
    for what in (
        *("region", "boundary of deployments", "the CDK's bootstrap", "the bootstrap's boundary"),
        *("stack Network", "stack Data", "secret aurion/dev/twilio", "secret aurion/dev/livekit"),
        *("secret aurion/dev/models", "LiveKit stays in the EU", "Twilio is used in Ireland"),
    ):
        assert line(ready, f"✓ {what}")
    hidden = (LIVEKIT["api_secret"], LIVEKIT["sip_password"], *MODELS.values(), "ie-token")
    assert not any(secret in ready.stdout + ready.stderr for secret in hidden)


def test_it_sees_what_is_there_and_wrong(
    account: Aws, phones: TwilioServer, tmp_path: Path
) -> None:
    _set_up(account, phones)
    iam, store = client(account, "iam"), client(account, "secretsmanager")
    iam.delete_role_permissions_boundary(RoleName=_role())
    client(account, "ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="6", Type="String", Overwrite=True
    )
    phones.status = "suspended"
    elsewhere = {**LIVEKIT, "sip_host": "desk.sip.livekit.cloud"}
    _put(store, "aurion/dev/livekit", elsewhere)
    _put(store, "aurion/dev/models", {"anthropic_api_key": "sk-one"})
    told = look(account, tmp_path)
    assert told.returncode == 1
    assert "--custom-permissions-boundary" in line(told, "✗ the bootstrap's boundary")
    assert "too old" in line(told, "✗ the CDK's bootstrap")
    assert ".eu.sip.livekit.cloud" in line(told, "✗ LiveKit stays in the EU")
    assert "lacks llm_api_key" in line(told, "✗ secret aurion/dev/models")
    assert "Ireland (IE1)" in line(told, "✗ Twilio is used in Ireland")


def test_without_credentials_it_says_how_to_get_some(tmp_path: Path) -> None:
    told = run_aurion(
        tmp_path, "doctor", "--cloud", environment={"AWS_EC2_METADATA_DISABLED": "true"}
    )
    assert told.returncode == 1
    assert "aws sso login" in line(told, "– credentials")
    assert "AWS_REGION=eu-west-3" in line(told, "– region")


def _role() -> str:
    return f"cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-{REGION}"


def _set_up(account: Aws, phones: TwilioServer) -> None:
    """Leave in the account what deploying there leaves; done again, it mends it."""
    iam, store = client(account, "iam"), client(account, "secretsmanager")
    cloudformation = client(account, "cloudformation")
    says = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [says]})
    trusts = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "cloudformation.amazonaws.com"},
    }
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trusts]})
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/{DEPLOYMENT_BOUNDARY}"
    if not iam.list_policies(Scope="Local")["Policies"]:
        iam.create_policy(PolicyName=DEPLOYMENT_BOUNDARY, PolicyDocument=document)
        iam.create_role(RoleName=_role(), AssumeRolePolicyDocument=trust)
        for part in ("Network", "Data"):
            cloudformation.create_stack(
                StackName=f"aurion-dev-{part}",
                TemplateBody=json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}),
            )
    iam.put_role_permissions_boundary(RoleName=_role(), PermissionsBoundary=boundary)
    client(account, "ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
    )
    calls = {
        "account_sid": twilio.ACCOUNT,
        "auth_token": "ie-token",
        "address": phones.address,
    }
    for name, fields in (("twilio", calls), ("livekit", LIVEKIT), ("models", MODELS)):
        _put(store, f"aurion/dev/{name}", fields)


def _put(store: Any, name: str, fields: dict[str, str]) -> None:
    try:
        store.create_secret(Name=name, SecretString=json.dumps(fields))
    except store.exceptions.ResourceExistsException:
        store.put_secret_value(SecretId=name, SecretString=json.dumps(fields))
