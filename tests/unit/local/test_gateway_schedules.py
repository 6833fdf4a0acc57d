"""When a schedule's next turn is."""

from datetime import UTC, datetime

import pytest

from local.gateway import environments, schedules
from local.gateway.schedules import ScheduleUnclear, next_turn

NOW = datetime(2026, 11, 24, 11, 41, 30, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rate(1 minute)", "2026-11-24T11:42:30"),
        ("rate(5 minutes)", "2026-11-24T11:46:30"),
        ("rate(2 hours)", "2026-11-24T13:41:30"),
        ("rate(1 day)", "2026-11-25T11:41:30"),
        ("cron(0 3 * * ? *)", "2026-11-25T03:00:00"),
        ("cron(42 11 * * ? *)", "2026-11-24T11:42:00"),
        ("cron(41 11 * * ? *)", "2026-11-25T11:41:00"),
        ("cron(*/15 * * * ? *)", "2026-11-24T11:45:00"),
        ("cron(5/20 * * * ? *)", "2026-11-24T11:45:00"),
        ("cron(0 8 ? * MON-FRI *)", "2026-11-25T08:00:00"),
        ("cron(30 6 ? * 1 *)", "2026-11-29T06:30:00"),  # 1 is Sunday
        ("cron(0 0 1,15 * ? *)", "2026-12-01T00:00:00"),
        ("cron(0 0 31 JAN-MAR ? *)", "2027-01-31T00:00:00"),
        ("cron(0 12 29 2 ? *)", "2028-02-29T12:00:00"),
        ("cron(0 12 1 1 ? 2030)", "2030-01-01T12:00:00"),
    ],
)
def test_next_turn(expression: str, expected: str) -> None:
    assert next_turn(expression, NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    ["at(2026-11-24T10:00:00)", "cron(0 3 L * ? *)", "cron(0 3 ? * 2#1 *)", "cron(0 24 * * ? *)"],
)
def test_what_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleUnclear):
        next_turn(expression, NOW)


def test_every_schedule_of_the_table_can_be_kept_here() -> None:
    from aurion import function_table

    table = function_table.read(environments.checkout_functions() / "functions.toml")
    scheduled = [function.schedule for function in table.functions if function.schedule]
    assert scheduled
    for expression in scheduled:
        assert next_turn(expression, NOW) > NOW
    assert schedules.rate_s("rate(3 hours)") == 10_800
