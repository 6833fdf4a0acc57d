"""AWS on one machine: a moto server as a process of its own, and what the product expects there."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from aurion import function_table

from local.gateway import environments
from local.postgres import free_port

if TYPE_CHECKING:
    from boto3.session import Session

REGION = "eu-west-3"
_READY_WITHIN_S = 60.0
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

RECORDINGS_BUCKET = "aurion-recordings"
TWILIO_SECRET = "aurion/local/twilio"  # noqa: S105 - the names of secrets
LIVEKIT_SECRET = "aurion/local/livekit"  # noqa: S105
_DEAD_LETTER_SUFFIX = "-dead"
_KEYS = {  # environment variable: alias, usage, specification
    "BADGE_KEY_ID": ("alias/aurion-badges", "GENERATE_VERIFY_MAC", "HMAC_256"),
    "CONTENT_KEY_ID": ("alias/aurion-content", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"),
    "RECORDINGS_KEY_ID": ("alias/aurion-recordings", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"),
    "DATA_KEY_ID": ("alias/aurion-data", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT"),
}


class AwsUnavailable(Exception):
    """The local AWS server could not be started."""


class Aws:
    """A moto server on loopback: S3, KMS, Secrets Manager and SQS, held in its memory only."""

    def __init__(self, log: Path, *, port: int | None = None) -> None:
        self.log = log
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The address for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Self:
        """Start the server and wait until it answers.

        Raises AwsUnavailable with the end of its log when it does not come up.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                env={"PATH": os.environ.get("PATH", os.defpath), **client_environment(None)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._ask("GET", "/moto-api/")
                return self
            except (TimeoutError, ConnectionError):
                time.sleep(0.05)
        self.stop()
        raise AwsUnavailable(self.log.read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """End the server; everything it held is gone."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def reset(self) -> None:
        """Forget everything the server holds."""
        self._ask("POST", "/moto-api/reset")

    def environment(self) -> dict[str, str]:
        """Give the variables with which any AWS client in a process uses this server."""
        return client_environment(self.endpoint)

    def client(self, service: str) -> Any:  # boto3 makes its clients' types at run time
        """Make a boto3 client for this server, whatever the process environment says."""
        client: Any = session().client  # typed per service by literal, here by name
        return client(service, endpoint_url=self.endpoint)

    def provision(self) -> dict[str, str]:
        """Make keys, bucket and queues; return the environment that `aurion.settings` reads."""
        environment = {**self.environment(), **self._provision_keys()}
        self._provision_bucket(environment["RECORDINGS_KEY_ID"])
        environment["RECORDINGS_BUCKET"] = RECORDINGS_BUCKET
        table = function_table.read(environments.checkout_functions() / "functions.toml")
        for queue in table.queues:
            environment[environments.queue_variable(queue.name)] = self.provision_queue(
                environments.cloud_name(queue.name),
                max_receives=queue.max_receives,
                visibility_s=queue.visibility_s,
            )
        return {**environment, **self._provision_secrets()}

    def provision_queue(self, name: str, *, max_receives: int = 5, visibility_s: int = 30) -> str:
        """Make a queue with its dead-letter queue; return the queue's URL."""
        sqs = self.client("sqs")
        dead = sqs.create_queue(
            QueueName=name + _DEAD_LETTER_SUFFIX,
            Attributes={"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "1209600"},
        )["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        redrive = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": max_receives,
        }
        url: str = sqs.create_queue(
            QueueName=name,
            Attributes={
                "SqsManagedSseEnabled": "true",
                "RedrivePolicy": json.dumps(redrive),
                "VisibilityTimeout": str(visibility_s),
            },
        )["QueueUrl"]
        return url

    def _ask(self, method: str, path: str) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            connection.getresponse().read()
        finally:
            connection.close()

    def _provision_keys(self) -> dict[str, str]:
        kms = self.client("kms")
        keys: dict[str, str] = {}
        for variable, (alias, usage, specification) in _KEYS.items():
            key = kms.create_key(KeyUsage=usage, KeySpec=specification)["KeyMetadata"]
            kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
            keys[variable] = key["Arn"]
        return keys

    def _provision_secrets(self) -> dict[str, str]:
        """Make what the telephone company and the voice server sign with, anew at every start.

        A voice server that the environment names is used; else nobody has these keys.
        """
        twilio = {
            "account_sid": f"AC{secrets.token_hex(16)}",
            "auth_token": secrets.token_hex(16),
        }
        livekit = {
            "url": os.environ.get("LIVEKIT_URL") or "ws://127.0.0.1:7880",
            "api_key": os.environ.get("LIVEKIT_API_KEY") or f"API{secrets.token_hex(6)}",
            "api_secret": os.environ.get("LIVEKIT_API_SECRET") or secrets.token_hex(32),
            "sip_host": "sip.localhost",
            "sip_username": "aurion",
            "sip_password": secrets.token_hex(16),
        }
        store = self.client("secretsmanager")
        for name, value in ((TWILIO_SECRET, twilio), (LIVEKIT_SECRET, livekit)):
            store.create_secret(Name=name, SecretString=json.dumps(value))
        return {"TWILIO_SECRET": TWILIO_SECRET, "LIVEKIT_SECRET": LIVEKIT_SECRET}

    def _provision_bucket(self, key: str) -> None:
        s3 = self.client("s3")
        s3.create_bucket(
            Bucket=RECORDINGS_BUCKET,
            CreateBucketConfiguration={"LocationConstraint": REGION},
            ObjectOwnership="BucketOwnerEnforced",
        )
        s3.put_public_access_block(
            Bucket=RECORDINGS_BUCKET,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        s3.put_bucket_encryption(
            Bucket=RECORDINGS_BUCKET,
            ServerSideEncryptionConfiguration={
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": {
                            "SSEAlgorithm": "aws:kms",
                            "KMSMasterKeyID": key,
                        },
                        "BucketKeyEnabled": True,
                    }
                ]
            },
        )


def client_environment(endpoint: str | None) -> dict[str, str]:
    """Give credentials that open nothing in a real account, with the endpoint they are for."""
    environment = {**_CREDENTIALS, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    # No profile, no instance metadata: nothing outside this environment can supply an account.
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
    environment["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    if endpoint:
        environment["AWS_ENDPOINT_URL"] = endpoint
    return environment


def session() -> "Session":
    """Make a boto3 session with the local credentials and region."""
    import boto3.session

    return boto3.session.Session(
        aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )


def looks_real(environment: Mapping[str, str]) -> str | None:
    """Name the variable that points at a real account or a server elsewhere, if there is one."""
    if environment.get("AWS_PROFILE"):
        return "AWS_PROFILE"
    if environment.get("AWS_ACCESS_KEY_ID", "").startswith(("AKIA", "ASIA")):
        return "AWS_ACCESS_KEY_ID"
    for name, value in environment.items():
        if name.startswith("AWS_ENDPOINT_URL") and value:
            host = urlsplit(value).hostname or ""
            if host not in {"localhost", "::1", "127.0.0.1"}:
                return name
    return None
