"""One synthesis for all tests of the cloud."""

import pytest

from tests.infra import clouds
from tests.infra.clouds import Cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """Dev without a domain and prod with one."""
    return clouds.synthesize(tmp_path_factory.mktemp("cloud"))
