"""Every tool there is, read from the modules beside this one: a new tool is one new file.

A tool is an async function whose docstring is what the model reads. Its first argument is the
call's desk; who the caller is and what they may do comes from there, never from other arguments.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from agent_container import tools as tools_package

type Result = dict[str, Any]
type Run = Callable[..., Awaitable[Result]]

_TYPES: dict[object, str] = {str: "string", bool: "boolean"}
_ARGUMENT = re.compile(r"^\s{4,}(\w+): (.+)$")


class ArgumentsRefused(ValueError):
    """A model's arguments that don't fit the tool's parameters."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Say what one argument of a tool is."""

    type: type
    description: str
    required: bool


@dataclass(frozen=True, slots=True)
class Tool:
    """Hold a tool: what the model is told about it, and the function that runs."""

    name: str
    description: str
    parameters: Mapping[str, Parameter]
    run: Run

    def schema(self) -> dict[str, Any]:
        """Return the tool's JSON schema, as language models are given it."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": {
                "type": "object",
                "properties": {
                    name: {"type": _TYPES[parameter.type], "description": parameter.description}
                    for name, parameter in self.parameters.items()
                },
                "required": [n for n, parameter in self.parameters.items() if parameter.required],
                "additionalProperties": False,
            },
        }

    def check(self, arguments: Mapping[str, object]) -> dict[str, Any]:
        """Return a model's arguments if they are the tool's own.

        Raises:
            ArgumentsRefused: One is missing, unknown or of another type.
        """
        missing = [n for n, p in self.parameters.items() if p.required and n not in arguments]
        wrong = [
            name
            for name, value in arguments.items()
            if name not in self.parameters or not isinstance(value, self.parameters[name].type)
        ]
        if missing or wrong:
            raise ArgumentsRefused
        return dict(arguments)


_tools: dict[str, Tool] = {}
_consented: dict[str, Run] = {}


def tool(run: Run) -> Run:
    """Register a function as a tool; who may use it stands in `aurion.access`."""
    name = getattr(run, "__name__")  # noqa: B009 - a Callable has none to a type checker
    description, arguments = _read_docstring(inspect.getdoc(run) or "")
    parameters = {
        parameter.name: Parameter(
            parameter.annotation,
            arguments[parameter.name],
            parameter.default is inspect.Parameter.empty,
        )
        for parameter in list(inspect.signature(run).parameters.values())[1:]
    }
    _tools[name] = Tool(name, description, parameters, run)
    return run


def on_consent(name: str) -> Callable[[Run], Run]:
    """Register what a writing tool does once the caller has agreed in their own words."""

    def register(run: Run) -> Run:
        _consented[name] = run
        return run

    return register


@cache
def tools() -> Mapping[str, Tool]:
    """Return every tool by its name."""
    _load()
    return dict(_tools)


@cache
def consented() -> Mapping[str, Run]:
    """Return what is done on consent, by the tool's name."""
    _load()
    return dict(_consented)


@cache
def _load() -> None:
    for module in pkgutil.iter_modules(tools_package.__path__):
        importlib.import_module(f"{tools_package.__name__}.{module.name}")


def _read_docstring(docstring: str) -> tuple[str, dict[str, str]]:
    """Cut a Google docstring into what the tool does and what its arguments are."""
    description, _, rest = docstring.partition("\nArgs:\n")
    arguments: dict[str, str] = {}
    for line in rest.splitlines():
        found = _ARGUMENT.match(line)
        if found:
            arguments[found[1]] = found[2].strip()
        elif line.strip() and arguments:
            last = next(reversed(arguments))
            arguments[last] += " " + line.strip()
    return " ".join(description.split()), arguments
