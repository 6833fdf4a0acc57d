"""Recordings in the bucket: put, read, delete."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aurion.errors import RecordingNotFound, StorageUnavailable
from aurion.settings import settings


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Say where a recording lies, how large it is (bytes) and its SHA-256 (hex)."""

    object_key: str
    size_bytes: int
    sha256: str


def recording_key(tenant_id: UUID, call_id: UUID) -> str:
    """Return the object key of a call's recording; a tenant's objects share one prefix."""
    # The rights of a tenant's own agents end at this prefix.
    return f"{tenant_id}/recordings/{call_id}.ogg"


def put_recording(tenant_id: UUID, call_id: UUID, path: Path) -> StoredObject:
    """Store a recording encrypted under our key; storing it again replaces it.

    Raises:
        StorageUnavailable: The object store does not answer.
    """
    body = path.read_bytes()
    digest = hashlib.sha256(body)
    key = recording_key(tenant_id, call_id)
    _call(
        "put_object",
        Key=key,
        Body=body,
        ContentType="audio/ogg",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=settings().recordings_key_id,
        ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
    )
    return StoredObject(key, len(body), digest.hexdigest())


def get_recording(object_key: str) -> bytes:
    """Read a recording.

    Raises:
        RecordingNotFound: There is no such object.
        StorageUnavailable: The object store does not answer.
    """
    body = _call("get_object", Key=object_key)["Body"]
    return bytes(body.read())


def delete_recording(object_key: str) -> None:
    """Delete a recording; deleting what is gone already is no error.

    Raises:
        StorageUnavailable: The object store does not answer.
    """
    _call("delete_object", Key=object_key)


def _call(operation: str, **arguments: object) -> dict[str, Any]:
    config = settings()
    client = _client(config.aws_region, config.aws_endpoint_url)
    try:
        return getattr(client, operation)(Bucket=config.recordings_bucket, **arguments)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
            raise RecordingNotFound from None
        raise StorageUnavailable from error
    except BotoCoreError as error:
        raise StorageUnavailable from error


@cache
def _client(region: str, endpoint: str | None) -> Any:
    return boto3.client(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        config=Config(
            connect_timeout=2,
            read_timeout=20,
            retries={"mode": "standard", "max_attempts": 3},
            s3={"addressing_style": "path"} if endpoint else {},
        ),
    )
