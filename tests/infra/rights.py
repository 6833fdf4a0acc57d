"""What IAM would say: enough of its evaluation to ask a template's roles, and no guessing.

A condition or a reference this does not know is an error, and never a yes or a no.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.infra.clouds import Json, listed


def resolve(value: Any, names: Mapping[str, str]) -> Any:
    """Write out a template's references; `names` has what parameters and resources stand for."""
    if isinstance(value, list):
        return [resolve(part, names) for part in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return names[value["Ref"]]
    if "Fn::GetAtt" in value:
        return names[".".join(value["Fn::GetAtt"])]
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return separator.join(resolve(parts, names))
    if "Fn::GetStackOutput" in value:
        output = value["Fn::GetStackOutput"]
        return names[f"{output['StackName']}.{output['OutputName']}"]
    return {resolve(key, names): resolve(inner, names) for key, inner in value.items()}


def allows(
    policy: Iterable[Json], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Say whether statements allow an action on a resource, in the context of a request."""
    applying = [
        statement["Effect"]
        for statement in policy
        if any(_like(action, pattern, fold=True) for pattern in listed(statement["Action"]))
        and any(_like(resource, pattern) for pattern in listed(statement["Resource"]))
        and _conditions_hold(statement.get("Condition", {}), context or {})
    ]
    return "Allow" in applying and "Deny" not in applying


def _conditions_hold(conditions: Json, context: Mapping[str, str]) -> bool:
    return all(
        _holds(operator, context.get(key), [str(value) for value in listed(values)])
        for operator, keys in conditions.items()
        for key, values in keys.items()
    )


def _holds(operator: str, given: str | None, values: list[str]) -> bool:
    match operator:
        case "StringEquals":
            return given in values
        case "StringLike" | "ArnLike" | "ArnEquals":
            return given is not None and any(_like(given, value) for value in values)
        case "Null":
            return (given is None) == (values == ["true"])
        case _:
            raise NotImplementedError(operator)


def _like(text: str, pattern: str, *, fold: bool = False) -> bool:
    parts = ("." if c == "?" else ".*" if c == "*" else re.escape(c) for c in pattern)
    return bool(re.fullmatch("".join(parts), text, re.IGNORECASE if fold else re.NOFLAG))
