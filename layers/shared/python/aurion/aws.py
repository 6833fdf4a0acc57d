"""Clients of AWS, made when first needed: importing the SDK takes longer than most work here."""

import threading
from typing import Any

from aurion.errors import Unavailable
from aurion.settings import settings

_clients: dict[tuple[object, ...], Any] = {}
_clients_lock = threading.Lock()


class AwsRefused(Unavailable):
    """An AWS service refused a request, or does not answer."""

    def __init__(self, code: str = "") -> None:
        super().__init__()
        self.code = code


def client(
    service: str, *, connect_s: float = 2, read_s: float = 5, attempts: int = 3, pool: int = 10
) -> Any:
    """Return the process's client of a service; waiting times are in seconds."""
    config = settings()
    key = (service, config.aws_region, config.aws_endpoint_url, connect_s, read_s, attempts, pool)
    with _clients_lock:
        if key not in _clients:
            _clients[key] = _make(service, connect_s, read_s, attempts, pool)
        return _clients[key]


def call(of: Any, operation: str, **arguments: object) -> Any:
    """Ask a client; the error tells the service's code and neither the request nor its values.

    Raises:
        AwsRefused: The service refuses (`code` is its own word for it) or does not answer ("").
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(of, operation)(**arguments)
    except ClientError as error:
        raise AwsRefused(error.response.get("Error", {}).get("Code", "")) from None
    except BotoCoreError:
        raise AwsRefused from None


def _make(service: str, connect_s: float, read_s: float, attempts: int, pool: int) -> Any:
    import boto3
    from botocore.config import Config

    config = settings()
    path_style: Any = None
    if service == "s3" and config.aws_endpoint_url:
        path_style = {"addressing_style": "path"}
    sdk: Any = boto3  # it types a client per service's literal name
    return sdk.client(
        service,
        region_name=config.aws_region,
        endpoint_url=config.aws_endpoint_url,
        config=Config(
            connect_timeout=connect_s,
            read_timeout=read_s,
            retries={"mode": "standard", "max_attempts": attempts},
            max_pool_connections=pool,
            s3=path_style,
        ),
    )
