"""A model that is not on our side changes nothing; one that is does exactly what was agreed to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.desk.process import DeskProcess, start_desk
from tests import hostile_models
from tests.typed_calls import Company, make_company


@pytest.fixture
def other_desk(tmp_path: Path) -> Iterator[DeskProcess]:
    running = start_desk(tmp_path / "other.sqlite", "other-token")
    yield running
    running.stop()


async def test_a_captured_model_gets_and_changes_nothing(
    company: Company, other_desk: DeskProcess
) -> None:
    other = make_company(other_desk)
    met = await hostile_models.try_everything(company, other, histories=60, seed=20261124)
    assert met.faults == []
    assert met.histories == 60
    assert met.results["not_allowed"] > 100
    assert met.results["not_found"] > 0  # somebody else's ticket, asked for in due form
    assert met.results["own data"] > 0


async def test_an_honest_model_leaves_the_desk_as_an_oracle_says(company: Company) -> None:
    met = await hostile_models.serve_callers(company, histories=45, seed=20261124)
    assert met.faults == []
    assert met.histories == 45
    assert len(met.results) == 8, met.results
