"""A company that can be called by typing: real rows, a real desk, the real speech server."""

from collections.abc import Iterator

import pytest
from aurion.tenants import Tenant

from agent_container import providers
from agent_container.call import Deps
from agent_container.config import Config
from agent_container.speech.client import SpeechClient
from local.aws import Aws
from local.desk.process import DeskProcess, start_desk
from local.postgres import Database
from tests.conftest import COMPANY_TEMPLATE
from tests.typed_calls import Company, move_in


@pytest.fixture(scope="module")
def running_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskProcess]:
    data = tmp_path_factory.mktemp("desk") / "desk.sqlite"
    running = start_desk(data, "desk-token", faults=True)
    yield running
    running.stop()


@pytest.fixture
def desk(running_desk: DeskProcess) -> Iterator[DeskProcess]:
    yield running_desk
    running_desk.clear_faults()


@pytest.fixture
def template(demo_company: Tenant) -> str:
    return COMPANY_TEMPLATE


@pytest.fixture
def company(aws: Aws, database: Database, demo_company: Tenant, desk: DeskProcess) -> Company:
    return move_in(demo_company, desk)


@pytest.fixture
def deps(speech: SpeechClient) -> Deps:
    return Deps(speech=speech, providers=providers.from_config(Config(), speech), transfer_s=1.5)
