"""When a schedule's next turn is: `rate(...)` and `cron(...)` of EventBridge Scheduler, in UTC.

Source: docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_PART = re.compile(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?")
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_LONGEST_WAIT_DAYS = 366 * 8  # the 29th of February can be that far away


class ScheduleUnclear(Exception):
    """This schedule can't be kept on one machine: it uses a form that isn't understood here."""


def rate_s(expression: str) -> int | None:
    """Give the seconds between two turns of a rate; None for anything else."""
    found = _RATE.fullmatch(expression)
    return int(found[1]) * _UNITS[found[2]] if found else None


def next_turn(expression: str, after: datetime) -> datetime:
    """Find the first turn after a moment.

    Raises:
        ScheduleUnclear: The expression is neither a rate nor a cron of numbers, names and ranges.
    """
    every = rate_s(expression)
    if every is not None:
        return after + timedelta(seconds=every)
    found = _CRON.fullmatch(expression)
    if found is None:
        raise ScheduleUnclear
    minute, hour, day, month, weekday, year = found.groups()
    minutes, hours = _numbers(minute, 0, 59), _numbers(hour, 0, 23)
    days, months = _numbers(day, 1, 31), _numbers(month, 1, 12, _MONTHS)
    weekdays, years = _numbers(weekday, 1, 7, _DAYS), _numbers(year, 1970, 2199)
    after = after.astimezone(UTC)
    for date in _days(after):
        sunday_first = date.isoweekday() % 7 + 1
        if not (date.day in days and date.month in months and date.year in years):
            continue
        if sunday_first not in weekdays:
            continue
        for at_hour in sorted(hours):
            for at_minute in sorted(minutes):
                turn = date.replace(hour=at_hour, minute=at_minute)
                if turn > after:
                    return turn
    raise ScheduleUnclear


def _days(after: datetime) -> Iterator[datetime]:
    first = after.replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(_LONGEST_WAIT_DAYS):
        yield first + timedelta(days=number)


def _numbers(
    field: str, lowest: int, highest: int, names: dict[str, int] | None = None
) -> set[int]:
    chosen: set[int] = set()
    for part in ("*" if field == "?" else field).upper().split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise ScheduleUnclear
        span, step = found[1], int(found[2] or 1)
        if span == "*":
            first, last = lowest, highest
        else:
            ends = [_number(word, names or {}) for word in span.split("-")]
            first, last = ends[0], ends[-1] if found[2] is None or len(ends) == 2 else highest
        if not lowest <= first <= last <= highest or step < 1:
            raise ScheduleUnclear
        chosen.update(range(first, last + 1, step))
    return chosen


def _number(word: str, names: dict[str, int]) -> int:
    if word in names:
        return names[word]
    if not word.isdigit():
        raise ScheduleUnclear
    return int(word)
