"""The real sentence encoder, once per process."""

import pytest

from tests.evals.evaluation import LocalEncoder


@pytest.fixture(scope="session")
def encoder() -> LocalEncoder:
    return LocalEncoder()
