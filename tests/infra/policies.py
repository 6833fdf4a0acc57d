"""What must hold of everything deployed: each policy returns the faults it finds in a cloud."""

import re
from collections.abc import Callable

from tests.infra.clouds import REGION, Cloud, Json, Resource, listed, plain, statements, strings
from tests.infra.references import at, named, queue_name, references, variables_of
from tests.infra.table_policies import (
    environments_are_settings,
    every_alarm_helps,
    every_route_leads_somewhere,
    functions_are_the_table,
)

type Policy = Callable[[Cloud], list[str]]

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
            if not _is_our_key(cloud, resource, at(resource.properties, path)):
                faults.append(f"{resource.where} has no key of ours in {path}")
    for bucket in cloud.resources("AWS::S3::Bucket"):
        rules = at(bucket.properties, "BucketEncryption.ServerSideEncryptionConfiguration") or [{}]
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
        group = at(function.properties, "LoggingConfig.LogGroup")
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
        variables = variables_of(function)
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
        text = at(stage.properties, "AccessLogSetting.Format") or ""
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
    from infra import boundary  # only who needs it starts the Node.js behind it

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
            {**d, "Value": queue_name(cloud, alarm.stack, d["Value"])}
            for d in alarm.properties["Dimensions"]
        ]
    }
    dead: set[str] = set()
    for resource in cloud.resources():
        for text in ("deadLetterTargetArn", "DeadLetterConfig"):
            for value in named(resource.properties, text):
                for reference in references(value):
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


def _is_our_key(cloud: Cloud, resource: Resource, value: object) -> bool:
    found = cloud.target(resource.stack, value)
    return found is not None and found.kind == "AWS::KMS::Key"


def _denies(statement: Json, operator: str, key: str, value: str) -> bool:
    condition = statement.get("Condition", {}).get(operator, {})
    everybody = statement.get("Principal") in ("*", {"AWS": "*"})
    return everybody and str(condition.get(key)) == value
