"""Local AWS: the resources the product expects, and the refusal of anything real."""

import hashlib
import json
import os
from pathlib import Path
from uuid import uuid4

import pytest
from aurion import keys, secrets, storage
from aurion.settings import settings

from local.aws import RECORDINGS_BUCKET, Aws, looks_real


def test_settings_name_the_provisioned_resources(aws: Aws) -> None:
    config = settings()
    kms = aws.client("kms")
    badge = kms.describe_key(KeyId=config.badge_key_id)["KeyMetadata"]
    assert (badge["KeyUsage"], badge["KeySpec"]) == ("GENERATE_VERIFY_MAC", "HMAC_256")
    for key_id in (config.content_key_id, config.recordings_key_id):
        assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyUsage"] == "ENCRYPT_DECRYPT"
    assert config.recordings_bucket == RECORDINGS_BUCKET
    assert (config.closed_calls_queue_url or "").endswith("/aurion-local-closed-calls")
    retention = aws.client("sqs").get_queue_attributes(
        QueueUrl=config.retention_queue_url, AttributeNames=["All"]
    )["Attributes"]
    assert retention["VisibilityTimeout"] == "900"
    assert "aurion-local-retention-dead" in retention["RedrivePolicy"]
    twilio = secrets.get_fields(config.twilio_secret, "account_sid", "auth_token")
    assert twilio["account_sid"].startswith("AC")
    secrets.get_fields(config.livekit_secret, "url", "api_key", "api_secret", "sip_host")
    assert config.aws_endpoint_url == aws.endpoint


def test_product_reaches_its_keys_with_the_environment_alone(aws: Aws) -> None:
    tenant, other = uuid4(), uuid4()
    sealed = keys.encrypt(tenant, "a draft")
    assert keys.decrypt(tenant, sealed) == "a draft"
    assert keys.badge_mac(tenant, other, "000000") == keys.badge_mac(tenant, other, "000000")
    assert keys.number_mac(tenant, "+33100000000") != keys.number_mac(other, "+33100000000")


def test_recordings_bucket_is_private_and_encrypts_by_default(aws: Aws, tmp_path: Path) -> None:
    s3 = aws.client("s3")
    access = s3.get_public_access_block(Bucket=RECORDINGS_BUCKET)["PublicAccessBlockConfiguration"]
    assert all(access.values())
    s3.put_object(Bucket=RECORDINGS_BUCKET, Key="default", Body=b"plain")
    head = s3.head_object(Bucket=RECORDINGS_BUCKET, Key="default")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == settings().recordings_key_id
    assert s3.get_bucket_versioning(Bucket=RECORDINGS_BUCKET).get("Status") is None

    path = tmp_path / "call.ogg"
    path.write_bytes(b"OggS")
    stored = storage.put_recording(uuid4(), uuid4(), path)
    assert stored.sha256 == hashlib.sha256(b"OggS").hexdigest()
    assert storage.get_recording(stored.object_key) == b"OggS"


def test_queue_hands_messages_that_keep_failing_to_its_dead_letter_queue(aws: Aws) -> None:
    sqs = aws.client("sqs")
    url = aws.provision_queue("retries")
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(":retries-dead")
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    for _ in range(redrive["maxReceiveCount"]):
        assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages")
    assert not sqs.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages")
    dead = sqs.get_queue_url(QueueName="retries-dead")["QueueUrl"]
    assert sqs.receive_message(QueueUrl=dead).get("Messages")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"AWS_PROFILE": "production"}, "AWS_PROFILE"),
        ({"AWS_ACCESS_KEY_ID": "AKIA" + "X" * 16}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_ACCESS_KEY_ID": "ASIA" + "X" * 16}, "AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "https://s3.eu-west-3.amazonaws.com"}, "AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1.example"}, "AWS_ENDPOINT_URL_S3"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:5000", "AWS_REGION": "eu-west-3"}, None),
        ({"AWS_ENDPOINT_URL": "http://localhost:5000"}, None),
        ({"AWS_ACCESS_KEY_ID": "local"}, None),
        ({}, None),
    ],
)
def test_environment_of_a_real_account_is_recognised(
    environment: dict[str, str], named: str | None
) -> None:
    assert looks_real(environment) == named


def test_tests_cannot_reach_an_account() -> None:
    assert looks_real(os.environ) is None
    assert os.environ["AWS_ACCESS_KEY_ID"] == "local"
