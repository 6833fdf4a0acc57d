"""Webhooks that arrive several times, in any order, while the database crashes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws import Aws
from tests import webhooks
from tests.webhooks import Stand


@pytest.fixture(scope="module")
def here(run_directory: Path, aws: Aws) -> Iterator[Stand]:
    with webhooks.stand(run_directory / "webhooks", aws, most_processes=2) as standing:
        yield standing


def test_every_event_has_its_effect_once(here: Stand) -> None:
    account = here.twilio["account_sid"]
    stories = webhooks.tell(here.companies, calls=21, account=account, seed=20261124)
    events = sum(len(story.events) for story in stories)
    told = webhooks.deliver(here, stories, seed=1, crash_after=[0.4], times=range(1, 5))
    print(
        f"{events} events, {told.deliveries} deliveries, {told.refused} refused,"
        f" {told.waited} told to wait"
    )
    assert told.crashes == 1
    assert told.refused + told.waited > 0, "the crash was not noticed by anybody"
    assert webhooks.judge(here, stories, told) == []


def test_call_that_is_asked_about_fifty_times_at_once_is_one_call(here: Stand) -> None:
    company = here.companies[0]
    line_id, rooms, again = webhooks.ring_at_once(here, company=company, times=50)
    assert again > 0, "the crash was not noticed by anybody"
    assert len(rooms) == 1
    found = here.rows(
        company,
        "SELECT status, epoch, token_hash IS NOT NULL FROM aurion.calls"
        " WHERE provider_call_id = %s",
        line_id,
    )
    assert found == [("ringing", 0, True)]
    noted = "SELECT count(*) FROM aurion.inbox_events WHERE event_id = %s"
    assert here.rows(company, noted, f"{line_id}:voice") == [(1,)]
