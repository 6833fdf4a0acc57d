"""An environment is read from variables, and a wrong one never becomes a template."""

import pytest

from infra import environments
from infra.environments import EnvironmentMalformed

FULL = {
    "AURION_PROD_ACCOUNT": "222222222222",
    "AURION_PROD_DOMAIN": "aurion.example.com",
    "AURION_PROD_HOSTED_ZONE_ID": "Z0123456789ABCDEFGHIJ",
    "AURION_PROD_ALARM_EMAIL": "operations@example.com",
}


def test_without_variables_there_is_no_account_and_no_domain() -> None:
    dev = environments.read("dev", {})
    assert dev.account == environments.NO_ACCOUNT
    assert dev.domain is None
    assert dev.region == "eu-west-3"


def test_an_environment_reads_its_own_variables() -> None:
    prod = environments.read("prod", FULL)
    assert prod.account == "222222222222"
    assert prod.domain is not None
    assert prod.domain.hooks == "hooks.aurion.example.com"
    assert environments.read("dev", FULL).domain is None


def test_the_account_of_the_credentials_is_the_second_choice() -> None:
    credentials = {"CDK_DEFAULT_ACCOUNT": "333333333333"}
    assert environments.read("dev", credentials).account == "333333333333"
    assert environments.read("prod", {**credentials, **FULL}).account == "222222222222"


@pytest.mark.parametrize(
    "wrong",
    [
        {"AURION_PROD_ACCOUNT": "22222222222"},
        {"AURION_PROD_DOMAIN": "https://aurion.example.com"},
        {"AURION_PROD_DOMAIN": "aurion"},
        {"AURION_PROD_HOSTED_ZONE_ID": "zone"},
        {"AURION_PROD_HOSTED_ZONE_ID": ""},
        {"AURION_PROD_DOMAIN": ""},
        {"AURION_PROD_ALARM_EMAIL": "operations"},
    ],
    ids=lambda wrong: "-".join(f"{k.removeprefix('AURION_PROD_')}={v}" for k, v in wrong.items()),
)
def test_a_malformed_variable_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(EnvironmentMalformed):
        environments.read("prod", {**FULL, **wrong})


def test_prod_is_there_when_a_zone_is_not() -> None:
    prod = environments.read("prod", FULL)
    assert prod.database_instances >= 2
    assert prod.agent_tasks_min >= 2
    # A caller can't wait for a database that has to wake.
    assert prod.database_min_acu >= 0.5
