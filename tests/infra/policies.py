"""What must hold of everything deployed: each policy returns the faults it finds in a cloud."""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from aurion.function_table import Function
from aurion.settings import Settings

from infra import boundary
from tests.infra.clouds import REGION, Cloud, Json, Resource, listed, plain, statements, strings

type Policy = Callable[[Cloud], list[str]]

SETTINGS = {field.name.upper() for field in fields(Settings)}
STATEFUL = {
    "AWS::CloudTrail::Trail",
    "AWS::KMS::Key",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBSubnetGroup",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
}
_ACCESS_LOG = {
    "cipherSuite",
    "httpMethod",
    "integration.latency",
    "integration.status",
    "requestId",
    "requestTime",
    "resourcePath",
    "responseLatency",
    "responseLength",
    "status",
    "tlsVersion",
    "xrayTraceId",
}
_KEY_OF: dict[str, list[str]] = {
    "AWS::CloudTrail::Trail": ["KMSKeyId"],
    "AWS::DynamoDB::Table": ["SSESpecification.KMSMasterKeyId"],
    "AWS::EC2::Volume": ["KmsKeyId"],
    "AWS::ECS::Cluster": [
        "Configuration.ManagedStorageConfiguration.FargateEphemeralStorageKmsKeyId"
    ],
    "AWS::EFS::FileSystem": ["KmsKeyId"],
    "AWS::Logs::LogGroup": ["KmsKeyId"],
    "AWS::RDS::DBCluster": [
        "KmsKeyId",
        "PerformanceInsightsKmsKeyId",
        "MasterUserSecret.KmsKeyId",
    ],
    "AWS::SNS::Topic": ["KmsMasterKeyId"],
    "AWS::SQS::Queue": ["KmsMasterKeyId"],
    "AWS::SecretsManager::Secret": ["KmsKeyId"],
}


def nothing_leaves_paris(cloud: Cloud) -> list[str]:
    """Every stack is in eu-west-3, and nothing in one names another region, in an ARN or not."""
    faults = [
        f"{path} is deployed to {region}"
        for path, region in cloud.regions.items()
        if not region.endswith("/eu-west-3")
    ]
    for path, template in cloud.templates.items():
        for text in strings(template):
            for region in set(REGION.findall(text)) - {"eu-west-3"}:
                faults.append(f"{path} names {region}: {text[:80]}")
    return faults


def all_is_encrypted(cloud: Cloud) -> list[str]:
    """Each bucket, queue, topic, log, secret, disk and database has a key of ours."""
    faults: list[str] = []
    for resource in cloud.resources(*_KEY_OF):
        for path in _KEY_OF[resource.kind]:
            if not _is_our_key(cloud, resource, _at(resource.properties, path)):
                faults.append(f"{resource.where} has no key of ours in {path}")
    for bucket in cloud.resources("AWS::S3::Bucket"):
        rules = _at(bucket.properties, "BucketEncryption.ServerSideEncryptionConfiguration") or [{}]
        default = rules[0].get("ServerSideEncryptionByDefault", {})
        ours = _is_our_key(cloud, bucket, default.get("KMSMasterKeyID"))
        if default.get("SSEAlgorithm") != "aws:kms" or not ours:
            faults.append(f"{bucket.where} is not encrypted with a key of ours")
    faults += [
        f"{database.where} is not encrypted"
        for database in cloud.resources("AWS::RDS::DBCluster")
        if database.properties.get("StorageEncrypted") is not True
    ]
    faults += [
        f"{machine.where} has a disk that nothing here looks at"
        for machine in cloud.resources("AWS::EC2::Instance", "AWS::EC2::LaunchTemplate")
    ]
    faults += [
        f"{key.where} is not rotated"
        for key in cloud.resources("AWS::KMS::Key")
        if key.properties.get("KeySpec") != "HMAC_256"
        and key.properties.get("EnableKeyRotation") is not True
    ]
    return faults


def logs_end(cloud: Cloud) -> list[str]:
    """Each log group forgets, and each service that makes one by itself finds it there."""
    faults = [
        f"{group.where} is kept for ever"
        for group in cloud.resources("AWS::Logs::LogGroup")
        if not 1 <= int(group.properties.get("RetentionInDays", 0)) <= 30
    ]
    names = {
        plain(g.properties.get("LogGroupName")) for g in cloud.resources("AWS::Logs::LogGroup")
    }
    for kind, name, group in (
        ("AWS::RDS::DBCluster", "DBClusterIdentifier", "/aws/rds/cluster/{}/postgresql"),
        ("AWS::ECS::Cluster", "ClusterName", "/aws/ecs/containerinsights/{}/performance"),
    ):
        for resource in cloud.resources(kind):
            if group.format(resource.properties.get(name)) not in names:
                faults.append(f"{resource.where} makes a log group by itself")
    for function in cloud.resources("AWS::Lambda::Function"):
        group = _at(function.properties, "LoggingConfig.LogGroup")
        found = cloud.target(function.stack, group)
        if found is None or found.kind != "AWS::Logs::LogGroup":
            faults.append(f"{function.where} writes to no log group of ours")
    return faults


def every_hop_has_its_minimum(cloud: Cloud) -> list[str]:
    """TLS 1.3 where the other side speaks it, 1.2 with forward secrecy for vendors' webhooks."""
    faults: list[str] = []
    for api in cloud.resources("AWS::ApiGateway::RestApi", "AWS::ApiGateway::DomainName"):
        if api.properties.get("SecurityPolicy") not in {
            "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09",
            "SecurityPolicy_TLS13_1_3_2025_09",
        }:
            faults.append(f"{api.where} accepts old TLS")
        if api.properties.get("EndpointAccessMode") != "STRICT":
            faults.append(f"{api.where} can be reached past its policy")
    for api in cloud.resources("AWS::ApiGateway::RestApi"):
        domain = cloud.environments[api.stack.split("/")[0]].domain
        if domain and api.properties.get("DisableExecuteApiEndpoint") is not True:
            faults.append(f"{api.where} can be reached past its domain")
    for kind, attached, name in (
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket"),
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
    ):
        for resource in cloud.resources(kind):
            policies = [
                policy
                for policy in cloud.resources(attached, stack=resource.stack)
                if any(
                    isinstance(reference, dict) and reference.get("Ref") == resource.logical_id
                    for reference in listed(policy.properties[name])
                )
            ]
            denied = [s for p in policies for s in statements(p.body) if s["Effect"] == "Deny"]
            if not any(_denies(s, "Bool", "aws:SecureTransport", "false") for s in denied):
                faults.append(f"{resource.where} can be reached without TLS")
            if kind == "AWS::S3::Bucket" and not any(
                _denies(s, "NumericLessThan", "s3:TlsVersion", "1.3") for s in denied
            ):
                faults.append(f"{resource.where} can be reached with TLS before 1.3")
    for group in cloud.resources("AWS::RDS::DBClusterParameterGroup"):
        for name, value in (("rds.force_ssl", "1"), ("ssl_min_protocol_version", "TLSv1.3")):
            if group.properties["Parameters"].get(name) != value:
                faults.append(f"{group.where} has not {name} = {value}")
    for cluster in cloud.resources("AWS::RDS::DBCluster"):
        found = cloud.target(cluster.stack, cluster.properties.get("DBClusterParameterGroupName"))
        if found is None:
            faults.append(f"{cluster.where} has no parameters of ours")
    for function in cloud.resources("AWS::Lambda::Function"):
        variables = _variables(function)
        if "DATABASE_HOST" in variables and not variables.get("DATABASE_SSLROOTCERT"):
            faults.append(f"{function.where} knows no authority for the database")
        if variables.get("DATABASE_SSLMODE", "verify-full") != "verify-full":
            faults.append(f"{function.where} does not verify the database")
    return faults


def database_keeps_no_words(cloud: Cloud) -> list[str]:
    """The database logs no values, signs in by IAM, and can be brought back for seven days."""
    faults: list[str] = []
    for group in cloud.resources("AWS::RDS::DBClusterParameterGroup"):
        for name, value in (
            ("log_parameter_max_length", "0"),
            ("log_parameter_max_length_on_error", "0"),
            ("log_error_verbosity", "terse"),
            ("log_statement", "none"),
        ):
            if group.properties["Parameters"].get(name) != value:
                faults.append(f"{group.where} has not {name} = {value}")
    for cluster in cloud.resources("AWS::RDS::DBCluster"):
        for name, value in (
            ("EnableIAMDatabaseAuthentication", True),
            ("BackupRetentionPeriod", 7),
            ("DeletionProtection", True),
            ("ManageMasterUserPassword", True),
        ):
            if cluster.properties.get(name) != value:
                faults.append(f"{cluster.where} has not {name} = {value}")
        if "MasterUserPassword" in cluster.properties:
            faults.append(f"{cluster.where} has a password in its template")
        if cluster.properties.get("EnableHttpEndpoint"):
            faults.append(f"{cluster.where} answers SQL over HTTP")
    return faults


def access_logs_know_nobody(cloud: Cloud) -> list[str]:
    """Access logs hold no address, agent, query or body; execution logs are off."""
    faults: list[str] = []
    for stage in cloud.resources("AWS::ApiGateway::Stage"):
        text = _at(stage.properties, "AccessLogSetting.Format") or ""
        unknown = set(re.findall(r"\$context\.([A-Za-z.]+)", text)) - _ACCESS_LOG
        if unknown or not text:
            faults.append(f"{stage.where} logs {sorted(unknown) or 'nothing'}")
        for setting in listed(stage.properties.get("MethodSettings")):
            if setting.get("DataTraceEnabled") or setting.get("LoggingLevel", "OFF") != "OFF":
                faults.append(f"{stage.where} logs headers and bodies")
    return faults


def nothing_is_public(cloud: Cloud) -> list[str]:
    """No bucket, group, database, function or policy is open to everybody."""
    faults: list[str] = []
    for bucket in cloud.resources("AWS::S3::Bucket"):
        block = bucket.properties.get("PublicAccessBlockConfiguration", {})
        if [block.get(name) for name in _BLOCKS] != [True] * 4:
            faults.append(f"{bucket.where} may become public")
        if "WebsiteConfiguration" in bucket.properties or "AccessControl" in bucket.properties:
            faults.append(f"{bucket.where} has a website or an access control list")
    for group in cloud.resources("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress"):
        rules = (
            [group.properties]
            if group.kind.endswith("Ingress")
            else listed(group.properties.get("SecurityGroupIngress"))
        )
        for rule in rules:
            if rule.get("CidrIp") or rule.get("CidrIpv6") or rule.get("SourcePrefixListId"):
                faults.append(f"{group.where} lets addresses in: {rule}")
    for instance in cloud.resources("AWS::RDS::DBInstance"):
        if instance.properties.get("PubliclyAccessible") is not False:
            faults.append(f"{instance.where} has a public address")
    faults += [f"{url.where} is a public URL" for url in cloud.resources("AWS::Lambda::Url")]
    for permission in cloud.resources("AWS::Lambda::Permission"):
        principal = plain(permission.properties.get("Principal"))
        if principal != "apigateway.amazonaws.com" or "SourceArn" not in permission.properties:
            faults.append(f"{permission.where} lets {principal} in")
    for resource in cloud.resources():
        for statement in statements(resource.body):
            principal = statement.get("Principal")
            everybody = principal == "*" or "*" in listed((principal or {}).get("AWS"))
            if statement["Effect"] == "Allow" and everybody:
                faults.append(f"{resource.where} allows everybody")
    return faults


def no_action_is_a_wildcard(cloud: Cloud) -> list[str]:
    """Every right names its action; none is given by leaving others out."""
    faults: list[str] = []
    for resource in cloud.resources():
        for statement in statements(resource.body):
            if statement["Effect"] != "Allow":
                continue
            if "NotAction" in statement or "NotResource" in statement:
                faults.append(f"{resource.where} allows all but something")
            for action in listed(statement.get("Action")):
                if "*" in action or "?" in action:
                    faults.append(f"{resource.where} allows {action}")
    return faults


def every_role_has_the_boundary(cloud: Cloud) -> list[str]:
    """No role or user is without it, and nothing a role is given is cut off by it."""
    allowed = {f"{service}:{name}" for service, names in boundary.ACTIONS.items() for name in names}
    allowed |= set(boundary.ROLES)
    faults: list[str] = []
    for role in cloud.resources("AWS::IAM::Role", "AWS::IAM::User"):
        expected = cloud.environments[role.stack.split("/")[0]].boundary_arn
        if role.properties.get("PermissionsBoundary") != expected:
            faults.append(f"{role.where} has no boundary")
    for policy in cloud.resources("AWS::IAM::Role", "AWS::IAM::Policy"):
        document = policy.properties.get("Policies") or policy.properties.get("PolicyDocument")
        for statement in statements(document):
            if statement["Effect"] == "Allow":
                for action in set(listed(statement["Action"])) - allowed:
                    faults.append(f"{policy.where} is given {action}, which the boundary denies")
    return faults


def every_queue_is_watched(cloud: Cloud) -> list[str]:
    """Each queue has a dead-letter queue, each of those an alarm."""
    faults: list[str] = []
    watched = {
        dimension["Value"]
        for alarm in cloud.resources("AWS::CloudWatch::Alarm")
        if alarm.properties.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        for dimension in [
            {**d, "Value": _queue_name(cloud, alarm.stack, d["Value"])}
            for d in alarm.properties["Dimensions"]
        ]
    }
    dead: set[str] = set()
    for resource in cloud.resources():
        for text in ("deadLetterTargetArn", "DeadLetterConfig"):
            for value in _named(resource.properties, text):
                for reference in _references(value):
                    found = cloud.target(resource.stack, reference)
                    if found is not None and found.kind == "AWS::SQS::Queue":
                        dead.add(found.where)
    for queue in cloud.resources("AWS::SQS::Queue"):
        if queue.where in dead:
            if queue.properties["QueueName"] not in watched:
                faults.append(f"{queue.where} fills and nobody is told")
        elif "RedrivePolicy" not in queue.properties:
            faults.append(f"{queue.where} has no dead-letter queue")
    for environment in cloud.environments.values():
        for queue in cloud.table.queues:
            for name in (queue.name, queue.dead_letter_name):
                expected = environment.queue_name(name)
                if not any(
                    q.properties["QueueName"] == expected
                    for q in cloud.resources("AWS::SQS::Queue", stack=f"{environment.prefix}/")
                ):
                    faults.append(f"{expected} of the table does not exist")
    return faults


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
    faults: list[str] = []
    for environment in cloud.environments.values():
        for entry in cloud.table.functions:
            for function in cloud.resources(
                "AWS::Lambda::Function", stack=f"{environment.prefix}/"
            ):
                if function.properties.get("FunctionName") != environment.function_name(entry.name):
                    continue
                variables = _variables(function)
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
        routes = _routes(cloud, stack)
        wanted = {
            function.route: environment.function_name(function.name)
            for function in cloud.table.functions
            if function.route
        }
        for route in routes.keys() | wanted.keys():
            if routes.get(route) != wanted.get(route):
                faults.append(f"{stack} {route} leads to {routes.get(route)}")
        schedules = {
            _function_name(cloud, s, s.properties["Target"]["Arn"]): s.properties[
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
            _queue_name(cloud, m.stack, m.properties["EventSourceArn"]): _function_name(
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


def data_outlives_its_stack(cloud: Cloud) -> list[str]:
    """What holds data is kept when its resource or its stack goes."""
    faults = [
        f"{path} can be deleted at once"
        for path in cloud.templates
        if path.endswith("/Data") and path not in cloud.protected
    ]
    for resource in cloud.resources(*(STATEFUL - {"AWS::CloudTrail::Trail"})):
        if resource.kind == "AWS::RDS::DBSubnetGroup":
            continue
        wanted = "Snapshot" if resource.kind == "AWS::RDS::DBCluster" else "Retain"
        for name in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resource.body.get(name) != wanted:
                faults.append(f"{resource.where} has not {name} {wanted}")
    return faults


POLICIES: list[Policy] = [
    nothing_leaves_paris,
    all_is_encrypted,
    logs_end,
    every_hop_has_its_minimum,
    database_keeps_no_words,
    access_logs_know_nobody,
    nothing_is_public,
    no_action_is_a_wildcard,
    every_role_has_the_boundary,
    every_queue_is_watched,
    every_alarm_helps,
    functions_are_the_table,
    environments_are_settings,
    every_route_leads_somewhere,
    data_outlives_its_stack,
]

_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def _at(properties: Json, path: str) -> Any:
    value: Any = properties
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _is_our_key(cloud: Cloud, resource: Resource, value: object) -> bool:
    found = cloud.target(resource.stack, value)
    return found is not None and found.kind == "AWS::KMS::Key"


def _denies(statement: Json, operator: str, key: str, value: str) -> bool:
    condition = statement.get("Condition", {}).get(operator, {})
    everybody = statement.get("Principal") in ("*", {"AWS": "*"})
    return everybody and str(condition.get(key)) == value


def _variables(function: Resource) -> Json:
    return function.properties.get("Environment", {}).get("Variables", {})


def _differences(entry: Function, function: Resource) -> list[str]:
    properties = function.properties
    found = {
        "Architectures": properties.get("Architectures"),
        "Handler": properties.get("Handler"),
        "MemorySize": properties.get("MemorySize"),
        "ReservedConcurrentExecutions": properties.get("ReservedConcurrentExecutions"),
        "Runtime": properties.get("Runtime"),
        "Timeout": properties.get("Timeout"),
        "Tracing": _at(properties, "TracingConfig.Mode"),
        "Layers": len(properties.get("Layers", [])),
        "InVpc": bool(_at(properties, "VpcConfig.SubnetIds")),
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


def _routes(cloud: Cloud, stack: str) -> dict[str, str | None]:
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
        name = _function_name(cloud, method, method.properties["Integration"].get("Uri"))
        verb = method.properties["HttpMethod"]
        allowed = any(
            f"/{verb}{path}" in plain(permission.properties["SourceArn"])
            and _function_name(cloud, permission, permission.properties["FunctionName"]) == name
            for permission in cloud.resources("AWS::Lambda::Permission", stack=method.stack)
        )
        routes[f"{verb} {path}"] = name if allowed else None
    return routes


def _function_name(cloud: Cloud, resource: Resource, value: object) -> str | None:
    for reference in _references(value):
        found = cloud.target(resource.stack, reference)
        if found is not None and found.kind == "AWS::Lambda::Function":
            return str(found.properties["FunctionName"])
    return None


def _queue_name(cloud: Cloud, stack: str, value: object) -> str:
    for reference in _references(value):
        found = cloud.target(stack, reference)
        if found is not None and found.kind == "AWS::SQS::Queue":
            return str(found.properties["QueueName"])
    return plain(value).rsplit(":", 1)[-1]


def _references(value: object) -> list[Json]:
    """Every reference in a value, the outermost first."""
    if isinstance(value, list):
        return [reference for inner in value for reference in _references(inner)]
    if not isinstance(value, dict):
        return []
    if value.keys() & {"Ref", "Fn::GetAtt", "Fn::GetStackOutput"}:
        return [value]
    return [reference for inner in value.values() for reference in _references(inner)]


def _named(value: object, name: str) -> list[object]:
    if isinstance(value, str) and name in value:
        return [json.loads(value)] if value.startswith("{") else []
    if isinstance(value, list):
        return [found for inner in value for found in _named(inner, name)]
    if not isinstance(value, dict):
        return []
    here = [inner for key, inner in value.items() if key == name]
    return here + [found for inner in value.values() for found in _named(inner, name)]
