"""What a function finds in its environment: what the table names, and what Lambda itself sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aurion.function_table import Function

STAGE = "local"
"""The stage of the hooks' routes, and this machine's name among dev and prod."""

HANDLER = "handler.handler"

_AWS = (
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    # What leads to this machine's AWS in place of the real one, and to no account.
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_LAMBDA",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)
_SIGN_IN = ("DATABASE_PASSWORD", "DATABASE_SSLMODE")
"""In the cloud a role signs in with a token over TLS; the local server knows neither."""

_HOST = ("PATH", "LANG", "LC_ALL", "HOME", "VIRTUAL_ENV", "TMPDIR", "NO_PROXY")


def of_function(function: Function, settings: Mapping[str, str]) -> dict[str, str]:
    """Take a function's part out of the whole stack's environment.

    A variable that the table does not name is not there, as it would not be in the cloud.
    """
    wanted = [*function.environment, *_AWS, *_HOST]
    if function.database_roles:
        wanted += _SIGN_IN
    environment = {name: settings[name] for name in wanted if settings.get(name)}
    name = cloud_name(function.name)
    return environment | {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "_HANDLER": HANDLER,
        "TZ": ":UTC",
        "PYTHONUNBUFFERED": "1",
        # Traces need X-Ray's daemon.
        "POWERTOOLS_TRACE_DISABLED": "true",
    }


def cloud_name(name: str) -> str:
    """Name a function or a queue of the table as it is named in the cloud."""
    return f"aurion-{STAGE}-{name.replace('_', '-')}"


def table_name(name: str) -> str:
    """Give back what `cloud_name` was given; a name of the table stays as it is."""
    return name.removeprefix(f"aurion-{STAGE}-").replace("-", "_")


def queue_variable(queue: str) -> str:
    """Name the setting that holds a queue's URL."""
    return f"{queue.upper()}_QUEUE_URL"


def sqs_client(settings: Mapping[str, str]) -> Any:
    """Make a client for the stack's queues."""
    import boto3

    return boto3.client(
        "sqs",
        region_name=settings["AWS_REGION"],
        endpoint_url=settings["AWS_ENDPOINT_URL"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )


def checkout_functions() -> Path:
    """Give the folder of the table and the handlers."""
    return Path(__file__).parents[2] / "functions"
