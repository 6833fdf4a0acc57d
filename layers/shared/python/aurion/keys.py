"""What KMS does for us: the pepper of badges and numbers, and the encryption of drafts."""

import base64
from typing import Any
from uuid import UUID

from aurion import aws
from aurion.aws import AwsRefused
from aurion.errors import KeysUnavailable
from aurion.settings import settings


def badge_mac(tenant_id: UUID, person_id: UUID, canonical: str) -> bytes:
    """Return the keyed MAC of a person's canonical badge, 32 bytes.

    Raises:
        KeysUnavailable: KMS does not answer; nobody can be verified.
    """
    return _mac(f"v1|{tenant_id}|{person_id}|{canonical}")


def number_mac(tenant_id: UUID, e164: str) -> str:
    """Return a pseudonym of a phone number that only this tenant's key can make, base64url.

    Raises:
        KeysUnavailable: KMS does not answer.
    """
    return base64.urlsafe_b64encode(_mac(f"number|{tenant_id}|{e164}")).decode()


def encrypt(tenant_id: UUID, text: str) -> bytes:
    """Encrypt a text of at most 4,000 bytes of UTF-8 for one tenant.

    Raises:
        KeysUnavailable: KMS does not answer.
    """
    answer = _call(
        "encrypt",
        KeyId=settings().content_key_id,
        Plaintext=text.encode(),
        EncryptionContext={"tenant": str(tenant_id)},
    )
    return bytes(answer["CiphertextBlob"])


def decrypt(tenant_id: UUID, ciphertext: bytes) -> str:
    """Decrypt what `encrypt` made for the same tenant.

    Raises:
        KeysUnavailable: KMS does not answer, or refuses.
    """
    answer = _call(
        "decrypt",
        KeyId=settings().content_key_id,
        CiphertextBlob=ciphertext,
        EncryptionContext={"tenant": str(tenant_id)},
    )
    return bytes(answer["Plaintext"]).decode()


def _mac(message: str) -> bytes:
    answer = _call(
        "generate_mac",
        KeyId=settings().badge_key_id,
        Message=message.encode(),
        MacAlgorithm="HMAC_SHA_256",
    )
    return bytes(answer["Mac"])


def _call(operation: str, **arguments: object) -> dict[str, Any]:
    try:
        return aws.call(
            aws.client("kms", connect_s=1, read_s=2, attempts=2, pool=16), operation, **arguments
        )
    except AwsRefused:
        # The cause holds the request, and the request may hold a badge.
        raise KeysUnavailable from None
