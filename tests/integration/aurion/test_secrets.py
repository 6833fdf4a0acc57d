"""Secrets that the product itself makes are encrypted with our key, where there is one."""

from uuid import uuid4

import pytest
from aurion import secrets
from aurion.errors import SecretNotFound
from aurion.settings import settings

from local.aws import Aws


@pytest.fixture
def name() -> str:
    return secrets.itsm_secret_name(uuid4())


def key_of(aws: Aws, name: str) -> str | None:
    found = aws.client("secretsmanager").describe_secret(SecretId=name)
    return found.get("KmsKeyId")


def test_a_new_secret_is_encrypted_with_our_key(aws: Aws, name: str) -> None:
    secrets.put(name, "token")
    assert secrets.get(name) == "token"
    key = aws.client("kms").describe_key(KeyId="alias/aurion-data")["KeyMetadata"]
    assert key_of(aws, name) == settings().data_key_id == key["Arn"]


def test_a_changed_secret_is_read_at_once_and_keeps_its_key(aws: Aws, name: str) -> None:
    secrets.put(name, "token")
    assert secrets.get(name) == "token"
    secrets.put(name, "another")
    assert secrets.get(name) == "another"
    assert key_of(aws, name) == settings().data_key_id


def test_without_a_key_of_ours_the_accounts_own_is_left_to_it(
    aws: Aws, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delenv("DATA_KEY_ID")
        settings.cache_clear()
        secrets.put(name, "token")
    settings.cache_clear()
    assert key_of(aws, name) is None


def test_a_secret_that_nobody_made_is_not_found(aws: Aws, name: str) -> None:
    with pytest.raises(SecretNotFound):
        secrets.get(name)
