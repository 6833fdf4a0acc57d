"""Where things in templates lead to."""

import json
from typing import Any

from tests.infra.clouds import Cloud, Json, Resource, plain


def at(properties: Json, path: str) -> Any:
    value: Any = properties
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def variables_of(function: Resource) -> Json:
    return function.properties.get("Environment", {}).get("Variables", {})


def routes_of(cloud: Cloud, stack: str) -> dict[str, str | None]:
    parts = {
        resource.logical_id: resource
        for resource in cloud.resources("AWS::ApiGateway::Resource", stack=stack)
    }

    def path_of(reference: Json) -> str:
        parent = parts.get(reference.get("Ref", ""))
        if parent is None:
            return ""
        return path_of(parent.properties["ParentId"]) + "/" + parent.properties["PathPart"]

    routes: dict[str, str | None] = {}
    for method in cloud.resources("AWS::ApiGateway::Method", stack=stack):
        path = path_of(method.properties["ResourceId"]) or "/"
        name = function_name(cloud, method, method.properties["Integration"].get("Uri"))
        verb = method.properties["HttpMethod"]
        allowed = any(
            f"/{verb}{path}" in plain(permission.properties["SourceArn"])
            and function_name(cloud, permission, permission.properties["FunctionName"]) == name
            for permission in cloud.resources("AWS::Lambda::Permission", stack=method.stack)
        )
        routes[f"{verb} {path}"] = name if allowed else None
    return routes


def function_name(cloud: Cloud, resource: Resource, value: object) -> str | None:
    for reference in references(value):
        found = cloud.target(resource.stack, reference)
        if found is not None and found.kind == "AWS::Lambda::Function":
            return str(found.properties["FunctionName"])
    return None


def queue_name(cloud: Cloud, stack: str, value: object) -> str:
    for reference in references(value):
        found = cloud.target(stack, reference)
        if found is not None and found.kind == "AWS::SQS::Queue":
            return str(found.properties["QueueName"])
    return plain(value).rsplit(":", 1)[-1]


def references(value: object) -> list[Json]:
    """Every reference in a value, the outermost first."""
    if isinstance(value, list):
        return [reference for inner in value for reference in references(inner)]
    if not isinstance(value, dict):
        return []
    if value.keys() & {"Ref", "Fn::GetAtt", "Fn::GetStackOutput"}:
        return [value]
    return [reference for inner in value.values() for reference in references(inner)]


def named(value: object, name: str) -> list[object]:
    if isinstance(value, str) and name in value:
        return [json.loads(value)] if value.startswith("{") else []
    if isinstance(value, list):
        return [found for inner in value for found in named(inner, name)]
    if not isinstance(value, dict):
        return []
    here = [inner for key, inner in value.items() if key == name]
    return here + [found for inner in value.values() for found in named(inner, name)]
