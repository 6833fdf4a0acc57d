"""What holds the templates to the table of functions, both ways."""

import re
from dataclasses import fields

from aurion.function_table import Function
from aurion.settings import Settings

from tests.infra.clouds import Cloud, Resource, listed
from tests.infra.references import at, function_name, queue_name, routes_of, variables_of

SETTINGS = {field.name.upper() for field in fields(Settings)}


def every_alarm_helps(cloud: Cloud) -> list[str]:
    """Each alarm reaches somebody and names its page, each alarm of the table exists."""
    faults: list[str] = []
    for alarm in cloud.resources("AWS::CloudWatch::Alarm"):
        page = re.search(r"docs/runbooks/([a-z0-9-]+)\.md", alarm.properties["AlarmDescription"])
        if page is None or page[1] not in cloud.runbooks:
            faults.append(f"{alarm.where} has no page {page[1] if page else ''}")
        if not alarm.properties.get("AlarmActions"):
            faults.append(f"{alarm.where} tells nobody")
    for environment in cloud.environments.values():
        names = {
            alarm.properties["AlarmName"]
            for alarm in cloud.resources("AWS::CloudWatch::Alarm", stack=f"{environment.prefix}/")
        }
        for function in cloud.table.functions:
            for alarm in function.alarms:
                name = f"{environment.function_name(function.name)}-{alarm.metric}"
                if name not in names:
                    faults.append(f"{name} of the table does not exist")
    return faults


def functions_are_the_table(cloud: Cloud) -> list[str]:
    """Folders, table and templates have the same functions, made as the table says."""
    faults = [
        f"functions/{name} is in the folder or in the table, not in both"
        for name in cloud.folders ^ {function.name for function in cloud.table.functions}
    ]
    for environment in cloud.environments.values():
        made = {
            str(function.properties.get("FunctionName")): function
            for function in cloud.resources("AWS::Lambda::Function", stack=f"{environment.prefix}/")
        }
        wanted = {environment.function_name(f.name): f for f in cloud.table.functions}
        for name in made.keys() ^ wanted.keys():
            faults.append(f"{name} is in a template or in the table, not in both")
        for name in made.keys() & wanted.keys():
            faults += _differences(wanted[name], made[name])
    return faults


def environments_are_settings(cloud: Cloud) -> list[str]:
    """Each function gets the variables of its entry: settings all of them, and not one more."""
    faults = [
        f"{entry.name} writes tenants' secrets and is not told DATA_KEY_ID"
        for entry in cloud.table.functions
        if "secrets:tenants:write" in entry.grants and "DATA_KEY_ID" not in entry.environment
    ]
    for environment in cloud.environments.values():
        for entry in cloud.table.functions:
            for function in cloud.resources(
                "AWS::Lambda::Function", stack=f"{environment.prefix}/"
            ):
                if function.properties.get("FunctionName") != environment.function_name(entry.name):
                    continue
                variables = variables_of(function)
                for name in variables.keys() ^ set(entry.environment):
                    faults.append(f"{function.where}: {name} is in the table or there, not in both")
                for name in variables.keys() - SETTINGS:
                    faults.append(f"{function.where}: the settings know no {name}")
                for name, value in variables.items():
                    if value in ("", None):
                        faults.append(f"{function.where}: {name} is empty")
    return faults


def every_route_leads_somewhere(cloud: Cloud) -> list[str]:
    """Each route, schedule and queue of the table leads to its function, and no other does."""
    faults: list[str] = []
    for environment in cloud.environments.values():
        stack = f"{environment.prefix}/"
        routes = routes_of(cloud, stack)
        wanted = {
            function.route: environment.function_name(function.name)
            for function in cloud.table.functions
            if function.route
        }
        for route in routes.keys() | wanted.keys():
            if routes.get(route) != wanted.get(route):
                faults.append(f"{stack} {route} leads to {routes.get(route)}")
        schedules = {
            function_name(cloud, s, s.properties["Target"]["Arn"]): s.properties[
                "ScheduleExpression"
            ]
            for s in cloud.resources("AWS::Scheduler::Schedule", stack=stack)
            if s.properties.get("State", "ENABLED") == "ENABLED"
        }
        expected = {
            environment.function_name(f.name): f.schedule
            for f in cloud.table.functions
            if f.schedule
        }
        if schedules != expected:
            faults.append(f"{stack} schedules {schedules}, not {expected}")
        consumers = {
            queue_name(cloud, m.stack, m.properties["EventSourceArn"]): function_name(
                cloud, m, m.properties["FunctionName"]
            )
            for m in cloud.resources("AWS::Lambda::EventSourceMapping", stack=stack)
            if "ReportBatchItemFailures" in listed(m.properties.get("FunctionResponseTypes"))
        }
        due = {
            environment.queue_name(f.queue): environment.function_name(f.name)
            for f in cloud.table.functions
            if f.queue
        }
        if consumers != due:
            faults.append(f"{stack} consumes {consumers}, not {due}")
    return faults


def _differences(entry: Function, function: Resource) -> list[str]:
    properties = function.properties
    found = {
        "Architectures": properties.get("Architectures"),
        "Handler": properties.get("Handler"),
        "MemorySize": properties.get("MemorySize"),
        "ReservedConcurrentExecutions": properties.get("ReservedConcurrentExecutions"),
        "Runtime": properties.get("Runtime"),
        "Timeout": properties.get("Timeout"),
        "Tracing": at(properties, "TracingConfig.Mode"),
        "Layers": len(properties.get("Layers", [])),
        "InVpc": bool(at(properties, "VpcConfig.SubnetIds")),
        "DeadLetters": "DeadLetterConfig" in properties,
    }
    wanted = {
        "Architectures": ["arm64"],
        "Handler": "handler.handler",
        "MemorySize": entry.memory_mb,
        "ReservedConcurrentExecutions": entry.reserved_concurrency,
        "Runtime": "python3.13",
        "Timeout": entry.timeout_s,
        "Tracing": "Active",
        "Layers": len(entry.layers),
        "InVpc": True,
        "DeadLetters": "schedule" in entry.triggers,
    }
    return [
        f"{function.where} has {name} {found[name]}, not {wanted[name]}"
        for name in wanted
        if found[name] != wanted[name]
    ]
