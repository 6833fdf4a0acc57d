"""One synthesis for all tests of the cloud."""

import json

import pytest

from infra import environments
from tests.infra import clouds
from tests.infra.clouds import Cloud, Json


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """Dev without a domain and prod with one."""
    return clouds.synthesize(tmp_path_factory.mktemp("cloud"))


@pytest.fixture(scope="session")
def cell_template(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """The template of a company's own agents, in dev."""
    from infra import tenant_cell  # only who needs it starts the Node.js behind it

    folder = tmp_path_factory.mktemp("cell")
    file = tenant_cell.write_template(environments.read("dev", {}), folder)
    return dict(json.loads(file.read_text()))
