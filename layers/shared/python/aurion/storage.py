"""Recordings in the bucket: put, read, delete."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from aurion import aws
from aurion.aws import AwsRefused
from aurion.errors import RecordingNotFound, StorageUnavailable
from aurion.settings import settings


@dataclass(frozen=True, slots=True)
class StoredObject:
    """Say where a recording lies, how large it is (bytes) and its SHA-256 (hex)."""

    object_key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ListedObject:
    """Say what lies in the bucket, how large it is (bytes) and since when."""

    object_key: str
    size_bytes: int
    stored_at: datetime


def recording_key(tenant_id: UUID, call_id: UUID) -> str:
    """Return the object key of a call's recording; a tenant's objects share one prefix."""
    # The rights of a tenant's own agents end at this prefix.
    return f"{tenant_id}/recordings/{call_id}.ogg"


def call_of_key(object_key: str) -> UUID | None:
    """Return the call whose recording has this key; None when no recording is called so."""
    try:
        return UUID(object_key.rpartition("/")[2].removesuffix(".ogg"))
    except ValueError:
        return None


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


def delete_recordings(object_keys: Sequence[str]) -> None:
    """Delete up to 1,000 recordings in one request; what is gone already is no error.

    Raises:
        StorageUnavailable: The object store does not answer, or kept one of them.
    """
    if not object_keys:
        return
    answer = _call(
        "delete_objects",
        Delete={"Objects": [{"Key": key} for key in object_keys], "Quiet": True},
    )
    if answer.get("Errors"):
        raise StorageUnavailable


def has_recording(object_key: str) -> bool:
    """Say whether there is such an object, without the right to read it.

    Raises:
        StorageUnavailable: The object store does not answer.
    """
    page = _call("list_objects_v2", Prefix=object_key, MaxKeys=1)
    return any(found["Key"] == object_key for found in page.get("Contents", []))


def list_recordings(tenant_id: UUID) -> Iterator[list[ListedObject]]:
    """List what lies under a tenant's prefix, in order, a page of at most 1,000 at a time.

    Raises:
        StorageUnavailable: The object store does not answer.
    """
    token: dict[str, str] = {}
    while True:
        page = _call("list_objects_v2", Prefix=f"{tenant_id}/", **token)
        yield [
            ListedObject(found["Key"], found["Size"], found["LastModified"])
            for found in page.get("Contents", [])
        ]
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _call(operation: str, **arguments: object) -> dict[str, Any]:
    try:
        return aws.call(
            aws.client("s3", read_s=20), operation, Bucket=settings().recordings_bucket, **arguments
        )
    except AwsRefused as error:
        if error.code in {"NoSuchKey", "404"}:
            raise RecordingNotFound from None
        raise StorageUnavailable from error
