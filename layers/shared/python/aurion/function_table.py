"""The table of functions, read and checked: what wakes each, what it may reach, what tells on it.

The deployment and the local gateway are both built from it, so neither can have a function, a route
or a schedule that the other lacks. Standard library only.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from aurion.errors import FunctionTableMalformed
from aurion.settings import Settings

type Trigger = Literal["http", "schedule", "queue", "invoke", "deploy"]
type Layer = Literal["shared", "core", "llm", "vendors"]
type Domain = Literal["hooks"]
type Auth = Literal["twilio", "livekit", "none"]
type DatabaseRole = Literal["aurion_app", "aurion_system", "aurion_router", "aurion_provisioner"]

_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
_PAGE = re.compile(r"[a-z][a-z0-9-]{1,59}")
_METRIC = re.compile(r"[A-Z][A-Za-z]{1,59}")
_ROUTE = re.compile(r"(?P<method>GET|POST|PUT|PATCH|DELETE) (?P<path>/[a-z0-9/_{}+-]*)")
_SCHEDULE = re.compile(r"rate\([1-9][0-9]* (minute|minutes|hour|hours|day|days)\)|cron\([^()]+\)")
_GRANT = re.compile(r"[a-z_]+(:[a-z_]+){1,2}")
_QUEUE_GRANT = re.compile(r"queue:(?P<name>[a-z0-9_]+):send")
_LONGEST_HTTP_S = 29
_LONGEST_S = 900


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and its dead-letter queue; a message is tried `max_receives` times."""

    name: str
    visibility_s: int
    max_receives: int
    runbook: str

    @property
    def dead_letter_name(self) -> str:
        """The queue for what could not be done."""
        return f"{self.name}-dead"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tell somebody when a metric's sum over a period (s) reaches a threshold."""

    metric: str
    threshold: int
    period_s: int
    runbook: str


@dataclass(frozen=True, slots=True)
class Function:
    """One function; `route`, `domain` and `auth` go together, as do trigger and its detail."""

    name: str
    purpose: str
    triggers: tuple[Trigger, ...]
    memory_mb: int
    timeout_s: int
    reserved_concurrency: int
    layers: tuple[Layer, ...]
    database_roles: tuple[DatabaseRole, ...]
    environment: tuple[str, ...]
    grants: tuple[str, ...]
    alarms: tuple[Alarm, ...]
    route: str | None = None
    domain: Domain | None = None
    auth: Auth | None = None
    schedule: str | None = None
    queue: str | None = None

    @property
    def method(self) -> str | None:
        """The HTTP method of its route."""
        return self.route.split(" ")[0] if self.route else None

    @property
    def path(self) -> str | None:
        """The path of its route."""
        return self.route.split(" ")[1] if self.route else None


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """Everything that runs beside the agents."""

    queues: tuple[Queue, ...]
    functions: tuple[Function, ...]

    def function(self, name: str) -> Function:
        """Find a function by its name; KeyError when there is none."""
        return {function.name: function for function in self.functions}[name]

    def queue(self, name: str) -> Queue:
        """Find a queue by its name; KeyError when there is none."""
        return {queue.name: queue for queue in self.queues}[name]


def read(path: Path) -> FunctionTable:
    """Read a table from its TOML file.

    Raises:
        FunctionTableMalformed: An entry is wrong; the message names it and what is wrong with it.
    """
    return parse(path.read_text("utf-8"))


def parse(text: str) -> FunctionTable:
    """Read a table from TOML.

    Raises:
        FunctionTableMalformed: An entry is wrong; the message names it and what is wrong with it.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FunctionTableMalformed(f"The table of functions is no TOML: {error}") from None
    _refuse_unless(raw.keys() <= {"queue", "function"}, "the table", "has an unknown section")
    queues = tuple(_queue(entry) for entry in raw.get("queue", []))
    functions = tuple(_function(entry) for entry in raw.get("function", []))
    _refuse_repeats("queue", [queue.name for queue in queues])
    _refuse_repeats("function", [function.name for function in functions])
    _refuse_repeats("route", [function.route for function in functions if function.route])
    consumed = [function.queue for function in functions if function.queue]
    _refuse_repeats("queue's consumer", consumed)
    table = FunctionTable(queues, functions)
    for function in functions:
        _check_queues(function, table)
    return table


def _queue(entry: Mapping[str, Any]) -> Queue:
    where = f"queue {entry.get('name')!r}"
    queue: Queue = _build(Queue, where, dict(entry))
    _refuse_unless(bool(_NAME.fullmatch(queue.name)), where, "has a malformed name")
    _refuse_unless(0 < queue.visibility_s <= 43_200, where, "hides messages for too long")
    _refuse_unless(1 <= queue.max_receives <= 100, where, "tries a message too often")
    _refuse_unless(bool(_PAGE.fullmatch(queue.runbook)), where, "names no runbook")
    return queue


def _function(entry: Mapping[str, Any]) -> Function:
    where = f"function {entry.get('name')!r}"
    values = dict(entry)
    values["alarms"] = tuple(_alarm(where, alarm) for alarm in values.pop("alarm", []))
    for name in ("triggers", "layers", "database_roles", "environment", "grants"):
        listed = values.get(name)
        _refuse_unless(isinstance(listed, list), where, f"lacks the list {name}")
        values[name] = tuple(listed or ())
        _refuse_unless(
            all(isinstance(word, str) for word in values[name])
            and len(set(values[name])) == len(values[name]),
            where,
            f"repeats itself in {name}, or lists what is no word",
        )
    function: Function = _build(Function, where, values)
    for complaint, passes in _FUNCTION_RULES:
        _refuse_unless(passes(function), where, complaint)
    return function


def _alarm(where: str, entry: Mapping[str, Any]) -> Alarm:
    where = f"an alarm of {where}"
    alarm: Alarm = _build(Alarm, where, dict(entry))
    _refuse_unless(bool(_METRIC.fullmatch(alarm.metric)), where, "has a malformed metric")
    _refuse_unless(alarm.threshold > 0, where, "never ends")
    _refuse_unless(alarm.period_s >= 60 and alarm.period_s % 60 == 0, where, "has no whole minutes")
    _refuse_unless(bool(_PAGE.fullmatch(alarm.runbook)), where, "names no runbook")
    return alarm


def _build[T](kind: Callable[..., T], where: str, values: dict[str, Any]) -> T:
    known = {field.name: field for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    _refuse_unless(values.keys() <= known.keys(), where, "has an unknown key")
    for name, field in known.items():
        needed = name not in {"route", "domain", "auth", "schedule", "queue"}
        _refuse_unless(name in values or not needed, where, f"lacks {name}")
        if field.type is int:
            number = values[name]
            _refuse_unless(
                isinstance(number, int) and not isinstance(number, bool),
                where,
                f"{name}: no number",
            )
        elif name in values and not isinstance(values[name], tuple):
            _refuse_unless(isinstance(values[name], str), where, f"{name} is no text")
    return kind(**values)


def _known(words: object, alias: Any) -> bool:
    return set(words) <= set(get_args(alias.__value__))  # pyright: ignore[reportArgumentType]


def _triggers_fit(function: Function) -> bool:
    given = {
        "http": function.route is not None,
        "schedule": function.schedule is not None,
        "queue": function.queue is not None,
    }
    return all((trigger in function.triggers) == there for trigger, there in given.items())


_FUNCTION_RULES: tuple[tuple[str, Callable[[Function], bool]], ...] = (
    ("has a malformed name", lambda f: bool(_NAME.fullmatch(f.name))),
    ("says nothing of its purpose", lambda f: len(f.purpose) > 10),
    ("has an unknown trigger, or none", lambda f: bool(f.triggers) and _known(f.triggers, Trigger)),
    ("has a trigger without its route, schedule or queue, or the reverse", _triggers_fit),
    ("has a malformed route", lambda f: f.route is None or bool(_ROUTE.fullmatch(f.route))),
    (
        "has a route without domain and auth, or the reverse",
        lambda f: (f.route is None) == (f.domain is None) == (f.auth is None),
    ),
    ("has an unknown domain", lambda f: f.domain is None or _known([f.domain], Domain)),
    ("has an unknown auth", lambda f: f.auth is None or _known([f.auth], Auth)),
    (
        "has a malformed schedule",
        lambda f: f.schedule is None or bool(_SCHEDULE.fullmatch(f.schedule)),
    ),
    ("has memory that Lambda does not offer", lambda f: 128 <= f.memory_mb <= 10_240),
    (
        "takes longer than its trigger waits",
        lambda f: 1 <= f.timeout_s <= (_LONGEST_HTTP_S if f.route else _LONGEST_S),
    ),
    ("has no room to run", lambda f: f.reserved_concurrency >= 1),
    ("has an unknown layer", lambda f: _known(f.layers, Layer)),
    ("lacks the layer of the product", lambda f: f.layers[:1] == ("shared",)),
    ("has an unknown database role", lambda f: _known(f.database_roles, DatabaseRole)),
    (
        "reads a variable that the settings do not know",
        lambda f: set(f.environment) <= {field.name.upper() for field in fields(Settings)},
    ),
    ("has a malformed grant", lambda f: all(_GRANT.fullmatch(grant) for grant in f.grants)),
    ("has no alarm", lambda f: bool(f.alarms)),
)


def _check_queues(function: Function, table: FunctionTable) -> None:
    where = f"function {function.name!r}"
    names = {queue.name for queue in table.queues}
    if function.queue is not None:
        _refuse_unless(function.queue in names, where, "consumes an unknown queue")
        # Messages that come back while they are worked on are worked on twice.
        hidden_s = table.queue(function.queue).visibility_s
        _refuse_unless(hidden_s >= 6 * function.timeout_s, where, "outlives its queue's patience")
    for grant in function.grants:
        named = _QUEUE_GRANT.fullmatch(grant)
        _refuse_unless(named is None or named["name"] in names, where, f"is granted {grant}")


def _refuse_repeats(what: str, names: list[str]) -> None:
    for name in names:
        _refuse_unless(names.count(name) == 1, f"{what} {name!r}", "stands there twice")


def _refuse_unless(right: bool, where: str, complaint: str) -> None:
    if not right:
        raise FunctionTableMalformed(f"In the table of functions, {where} {complaint}.")
