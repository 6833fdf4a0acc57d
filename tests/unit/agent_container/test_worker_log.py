"""What the worker keeps out of its log."""

import logging

from agent_container.main import PersonalDataFilter


def test_log_records_lose_what_is_marked_as_personal() -> None:
    record = logging.makeLogRecord(
        {"msg": "received", "lk.pii.user_transcript": "I am Alice", "room": "call-x", "piition": 1}
    )
    assert PersonalDataFilter().filter(record)
    assert not hasattr(record, "lk.pii.user_transcript")
    assert (record.__dict__["room"], record.__dict__["piition"]) == ("call-x", 1)
