"""What a word of the table allows, asked as IAM would be."""

from collections.abc import Callable

import pytest

from infra import environments
from infra.environments import REGION
from tests.infra.clouds import Json
from tests.infra.rights import allows, resolve

ENVIRONMENT = environments.read("dev", {})
OUR_KEY = ENVIRONMENT.arn("kms", "key/data")
THROUGH = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}


@pytest.fixture(scope="module")
def rights() -> Callable[[str], list[Json]]:
    """Write out the statements of a word."""
    import aws_cdk as cdk  # only who needs it starts the Node.js behind it

    from infra.data import DataStack
    from infra.grants import statements_for
    from infra.network import NetworkStack

    app = cdk.App(analytics_reporting=False)
    network = NetworkStack(app, "Network", environment=ENVIRONMENT)
    data = DataStack(app, "Data", environment=ENVIRONMENT, network=network)
    (key_id,) = data.resolve(data.data_key.key_arn)["Fn::GetAtt"][:1]
    names = {f"{key_id}.Arn": OUR_KEY}

    def written_out(word: str) -> list[Json]:
        found = [s.to_statement_json() for s in statements_for(word, ENVIRONMENT, data)]
        return resolve(data.resolve(found), names)

    return written_out


def secret(name: str) -> str:
    return ENVIRONMENT.arn("secretsmanager", f"secret:{ENVIRONMENT.secret_name(name)}-AbCdEf")


def test_a_tenants_secret_is_made_with_our_key_or_not_at_all(
    rights: Callable[[str], list[Json]],
) -> None:
    may = rights("secrets:tenants:write")
    create, place = "secretsmanager:CreateSecret", secret("tenant/one/itsm")
    assert allows(may, create, place, {"secretsmanager:KmsKeyArn": OUR_KEY})
    assert not allows(may, create, place)
    other = {"secretsmanager:KmsKeyArn": ENVIRONMENT.arn("kms", "key/another")}
    assert not allows(may, create, place, other)
    assert not allows(may, create, secret("twilio"), {"secretsmanager:KmsKeyArn": OUR_KEY})
    assert allows(may, "secretsmanager:PutSecretValue", place)
    assert allows(may, "kms:GenerateDataKey", OUR_KEY, THROUGH)
    assert not allows(may, "kms:GenerateDataKey", OUR_KEY)
    assert not allows(may, "secretsmanager:GetSecretValue", place)


def test_who_reads_tenants_secrets_writes_none(rights: Callable[[str], list[Json]]) -> None:
    may, place = rights("secrets:tenants:read"), secret("tenant/one/itsm")
    assert allows(may, "secretsmanager:GetSecretValue", place)
    assert allows(may, "kms:Decrypt", OUR_KEY, THROUGH)
    assert not allows(may, "secretsmanager:PutSecretValue", place)


def test_a_word_that_means_nothing_is_refused(rights: Callable[[str], list[Json]]) -> None:
    from infra.grants import UnknownGrant  # only who needs it starts the Node.js behind it

    with pytest.raises(UnknownGrant, match="secrets:everybody"):
        rights("secrets:everybody")
