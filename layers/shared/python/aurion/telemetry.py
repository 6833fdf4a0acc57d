"""What functions tell of themselves: log lines and metrics as JSON, and no value of anybody's.

Log records keep the standard library's interface; `extra` fields become fields of the line.
Metrics are log lines in CloudWatch's embedded format, so that counting needs no call and no right.
"""

import contextlib
import contextvars
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any

from aurion.errors import AurionError, InternalFault
from aurion.settings import settings

NAMESPACE = "AurionAI"

logger = logging.getLogger(__name__)

type Event = dict[str, Any]
type Handler = Callable[[Event, Any], Any]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_request: contextvars.ContextVar[str | None] = contextvars.ContextVar("request", default=None)
_function: contextvars.ContextVar[str | None] = contextvars.ContextVar("function", default=None)


class JsonLines(logging.Formatter):
    """Write a record as one line of JSON, with where an error arose and not what it said."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "level": record.levelname.lower(),
            "time": int(record.created * 1000),
            "logger": record.name,
            "message": record.getMessage(),
            "function": _function.get(),
            "request_id": _request.get(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = _places(record.exc_info[2])
        return json.dumps(line, default=str, ensure_ascii=False)


def entry(name: str) -> Callable[[Handler], Handler]:
    """Make a function's entry: its log lines and metrics bear its name, its faults no values.

    An error of ours is raised as it is. Any other is logged by its kind and place, and raised as
    InternalFault: its text could hold what a caller said or who they are.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def run(event: Event, context: Any = None) -> Any:
            _configure()
            held = contextlib.ExitStack()
            with held:
                for variable, value in (
                    (_function, name),
                    (_request, getattr(context, "aws_request_id", None)),
                ):
                    token = variable.set(value)
                    held.callback(variable.reset, token)
                try:
                    return handler(event, context)
                except AurionError as error:
                    logger.error(
                        "the function failed",
                        extra={"error": type(error).__name__, "at": _places(error.__traceback__)},
                    )
                    raise
                except Exception as error:  # noqa: BLE001 - the edge, where texts must not pass
                    logger.error(
                        "the function failed in a way nobody had thought of",
                        extra={"error": type(error).__name__, "at": _places(error.__traceback__)},
                    )
                    raise InternalFault from None

        return run

    return decorate


def count(metric: str, value: int = 1, **fields: str | None) -> None:
    """Add to a metric; `fields` go with the line and are no dimensions. Nothing is no line."""
    if value == 0:
        return
    line: dict[str, object] = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["environment", "function"]],
                    "Metrics": [{"Name": metric, "Unit": "Count"}],
                }
            ],
        },
        "environment": settings().environment,
        "function": _function.get() or "none",
        "request_id": _request.get(),
        metric: value,
        **fields,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class _StandardOutput(logging.Handler):
    """Write where standard output goes at the moment of writing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line."""
        sys.stdout.write(self.format(record) + "\n")
        sys.stdout.flush()


def _configure() -> None:
    root = logging.getLogger()
    if any(isinstance(handler.formatter, JsonLines) for handler in root.handlers):
        return
    # The runtime's own handler writes the fields of a record into nothing.
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        root.handlers.clear()
    lines = _StandardOutput()
    lines.setFormatter(JsonLines())
    root.addHandler(lines)
    root.setLevel(logging.INFO)


def _places(at: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(at)[-6:]
    return [f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames]
