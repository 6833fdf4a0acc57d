"""The handlers of the table, loaded from their folders as Lambda does."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

FUNCTIONS = Path(__file__).parents[1] / "functions"


@cache
def load(name: str) -> Callable[[dict[str, Any], Any], Any]:
    spec = importlib.util.spec_from_file_location(
        f"functions_{name}", FUNCTIONS / name / "handler.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.handler


class Context:
    """What Lambda hands a handler beside the event."""

    aws_request_id = "a-request-of-the-tests"

    def __init__(self, left_ms: int = 100_000) -> None:
        self._left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._left_ms


def invoke(name: str, event: dict[str, Any], context: Context | None = None) -> Any:
    return load(name)(event, context or Context())
