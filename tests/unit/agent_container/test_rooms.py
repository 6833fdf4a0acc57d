"""What a dispatch tells an agent, and what the worker keeps out of its log."""

import logging
import uuid

import pytest

from agent_container.main import PersonalDataFilter
from agent_container.rooms import Errand


def test_an_errand_survives_its_journey() -> None:
    errand = Errand(uuid.uuid4(), resume=uuid.uuid4(), tries=2)
    assert Errand.from_json(errand.to_json()) == errand
    fresh = Errand(uuid.uuid4())
    assert Errand.from_json(fresh.to_json()) == fresh
    assert Errand.from_json(f'{{"tenant": "{fresh.tenant_id}"}}') == fresh


@pytest.mark.parametrize(
    "metadata",
    ["", "{}", "[]", "null", '{"tenant": 5}', '{"tenant": "meridian"}', "not json"],
)
def test_what_is_no_errand_is_told_apart(metadata: str) -> None:
    assert Errand.from_json(metadata) is None


def test_log_records_lose_what_is_marked_as_personal() -> None:
    record = logging.makeLogRecord(
        {"msg": "received", "lk.pii.user_transcript": "I am Alice", "room": "call-x", "piition": 1}
    )
    assert PersonalDataFilter().filter(record)
    assert not hasattr(record, "lk.pii.user_transcript")
    assert (record.__dict__["room"], record.__dict__["piition"]) == ("call-x", 1)
