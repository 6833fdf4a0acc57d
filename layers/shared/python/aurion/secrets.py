"""The passwords of companies' systems: Secrets Manager holds them, the database their names."""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aurion import aws
from aurion.aws import AwsRefused
from aurion.errors import SecretMalformed, SecretNotFound, SecretsUnavailable
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


def get_fields(name: str, *needed: str) -> Mapping[str, str]:
    """Read a secret that is a JSON object of texts, with at least the fields that are needed.

    Raises:
        SecretNotFound: There is none of this name.
        SecretsUnavailable: The store of secrets does not answer.
        SecretMalformed: It holds something else.
    """
    try:
        found: Any = json.loads(get(name))
        fields = {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError):
        raise SecretMalformed from None  # the cause would quote it
    if not all(fields.get(field) for field in needed):
        raise SecretMalformed
    return fields


def make_ready() -> None:
    """Make what asks the store of secrets, before anybody waits for one."""
    _client()


def put(name: str, value: str) -> None:
    """Store a secret, or replace its value; a new one is encrypted with our key, if there is one.

    Raises:
        SecretsUnavailable: The store of secrets does not answer.
    """
    try:
        _call("put_secret_value", SecretId=name, SecretString=value)
    except SecretNotFound:
        key_id = settings().data_key_id
        key = {} if key_id is None else {"KmsKeyId": key_id}
        _call("create_secret", Name=name, SecretString=value, **key)
    _read.pop(f"{settings().aws_endpoint_url} {name}", None)


def _call(operation: str, **arguments: object) -> dict[str, Any]:
    try:
        return aws.call(_client(), operation, **arguments)
    except AwsRefused as error:
        if error.code == "ResourceNotFoundException":
            raise SecretNotFound from None
        # The cause may hold the request, and with it the secret.
        raise SecretsUnavailable from None


def _client() -> Any:
    return aws.client("secretsmanager", connect_s=1, read_s=3, attempts=2)
