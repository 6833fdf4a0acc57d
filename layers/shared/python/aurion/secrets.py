"""The passwords of companies' systems: Secrets Manager holds them, the database their names."""

import time
from functools import cache
from typing import Any
from uuid import UUID

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aurion.errors import SecretNotFound, SecretsUnavailable
from aurion.settings import settings

_KEPT_S = 300.0
"""How long a read secret is used before it is read again: so soon a changed one is taken up."""

_read: dict[str, tuple[float, str]] = {}


def itsm_secret_name(tenant_id: UUID) -> str:
    """Name the secret of a tenant's ticket system; its own agents may read what lies beside it."""
    return f"aurion/{settings().environment}/tenant/{tenant_id}/itsm"


def get(name: str) -> str:
    """Read a secret; one read in the last minutes is remembered.

    Raises:
        SecretNotFound: There is none of this name.
        SecretsUnavailable: The store of secrets does not answer.
    """
    key = f"{settings().aws_endpoint_url} {name}"
    known = _read.get(key)
    if known is not None and time.monotonic() - known[0] < _KEPT_S:
        return known[1]
    value: str = _call("get_secret_value", SecretId=name)["SecretString"]
    _read[key] = (time.monotonic(), value)
    return value


def put(name: str, value: str) -> None:
    """Store a secret, or replace its value.

    Raises:
        SecretsUnavailable: The store of secrets does not answer.
    """
    try:
        _call("put_secret_value", SecretId=name, SecretString=value)
    except SecretNotFound:
        _call("create_secret", Name=name, SecretString=value)
    _read.pop(f"{settings().aws_endpoint_url} {name}", None)


def _call(operation: str, **arguments: object) -> dict[str, Any]:
    config = settings()
    client = _client(config.aws_region, config.aws_endpoint_url)
    try:
        return getattr(client, operation)(**arguments)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            raise SecretNotFound from None
        # The cause may hold the request, and with it the secret.
        raise SecretsUnavailable from None
    except BotoCoreError:
        raise SecretsUnavailable from None


@cache
def _client(region: str, endpoint: str | None) -> Any:
    return boto3.client(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        "secretsmanager",
        region_name=region,
        endpoint_url=endpoint,
        config=Config(
            connect_timeout=1, read_timeout=3, retries={"mode": "standard", "max_attempts": 2}
        ),
    )
