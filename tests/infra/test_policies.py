"""The policies hold of what we deploy, and each of them can see the fault it is there for."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.infra import policies
from tests.infra.clouds import Cloud, plain
from tests.infra.policies import Policy


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.__name__)
def test_policy_holds(cloud: Cloud, policy: Policy) -> None:
    assert policy(cloud) == []


def _in_an_arn(cloud: Cloud) -> None:
    role = cloud.one("AWS::IAM::Policy", "aurion-dev/Workers", "Outbox")
    role.properties["PolicyDocument"]["Statement"][0]["Resource"] = {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":sqs:us-east-1:1:elsewhere"]]
    }


def _another_region(cloud: Cloud) -> None:
    cloud.regions["aurion-prod/Data"] = "aws://222222222222/eu-central-1"


def _drop(kind: str, stack: str, path: str, containing: str = "") -> Callable[[Cloud], None]:
    return _put(kind, stack, path, None, containing)


def _put(
    kind: str, stack: str, path: str, value: object, containing: str = ""
) -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        holder: Any = cloud.one(kind, stack, containing).properties
        *steps, last = path.split(".")
        for step in steps:
            holder = holder[int(step)] if isinstance(holder, list) else holder.setdefault(step, {})
        if value is None:
            del holder[last]
        else:
            holder[last] = value

    return plant


def _parameter(name: str, value: str) -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        group = cloud.one("AWS::RDS::DBClusterParameterGroup", "aurion-prod/Data")
        group.properties["Parameters"][name] = value

    return plant


def _without_denials(kind: str, stack: str, condition: str) -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        document = cloud.one(kind, stack).properties["PolicyDocument"]
        document["Statement"] = [s for s in document["Statement"] if condition not in plain(s)]

    return plant


def _statement(**changes: object) -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        policy = cloud.one("AWS::IAM::Policy", "aurion-dev/Workers", "Outbox")
        policy.properties["PolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"} | changes
        )

    return plant


def _bucket_for_all(cloud: Cloud) -> None:
    policy = cloud.one("AWS::S3::BucketPolicy", "aurion-prod/Data")
    policy.properties["PolicyDocument"]["Statement"].append(
        {"Effect": "Allow", "Action": "s3:GetObject", "Principal": {"AWS": "*"}, "Resource": "*"}
    )


def _open_group(cloud: Cloud) -> None:
    cloud.templates["aurion-dev/Network"]["Resources"]["Open"] = {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {"CidrIp": "0.0.0.0/0", "IpProtocol": "tcp", "FromPort": 5432},
    }


def _open_group_v6(cloud: Cloud) -> None:
    group = cloud.one("AWS::EC2::SecurityGroup", "aurion-prod/Network", "Agents")
    group.properties["SecurityGroupIngress"] = [{"CidrIpv6": "::/0", "IpProtocol": "udp"}]


def _a_bare(kind: str, stack: str, **properties: object) -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        cloud.templates[stack]["Resources"]["Planted"] = {"Type": kind, "Properties": properties}

    return plant


def _remove(kind: str, stack: str, containing: str = "") -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        found = cloud.one(kind, stack, containing)
        del cloud.templates[found.stack]["Resources"][found.logical_id]

    return plant


def _attribute(kind: str, stack: str, name: str, value: str) -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        cloud.one(kind, stack).body[name] = value

    return plant


def _folder(cloud: Cloud) -> None:
    cloud.folders.add("forgotten")


def _no_folder(cloud: Cloud) -> None:
    cloud.folders.remove("health")


def _writer_without_a_key(cloud: Cloud) -> None:
    writer = replace(cloud.table.function("operate"), grants=("secrets:tenants:write",))
    others = tuple(f for f in cloud.table.functions if f.name != writer.name)
    cloud.table = replace(cloud.table, functions=(*others, writer))


def _entry_gone(cloud: Cloud) -> None:
    functions = tuple(f for f in cloud.table.functions if f.name != "health")
    cloud.table = replace(cloud.table, functions=functions)


def _page_gone(cloud: Cloud) -> None:
    cloud.runbooks.discard("drafts-expired")


def _alarm_of(name: str) -> Callable[[Cloud], None]:
    def plant(cloud: Cloud) -> None:
        alarms = cloud.templates["aurion-dev/Observability"]["Resources"]
        for logical_id in [key for key, r in alarms.items() if name in plain(r)]:
            if alarms[logical_id]["Type"] == "AWS::CloudWatch::Alarm":
                del alarms[logical_id]

    return plant


def _swapped_routes(cloud: Cloud) -> None:
    first = cloud.one("AWS::ApiGateway::Method", "aurion-dev/Api", "twiliovoice")
    other = cloud.one("AWS::ApiGateway::Method", "aurion-dev/Api", "twiliostatus")
    first.properties["Integration"], other.properties["Integration"] = (
        other.properties["Integration"],
        first.properties["Integration"],
    )


def _nothing_may_call(cloud: Cloud) -> None:
    resources = cloud.templates["aurion-dev/Api"]["Resources"]
    for logical_id in [key for key, r in resources.items() if "Permission" in r["Type"]]:
        del resources[logical_id]


def _unprotected(cloud: Cloud) -> None:
    cloud.protected.remove("aurion-prod/Data")


_DATA, _PROD = "aurion-dev/Data", "aurion-prod/Data"
_BUCKET, _FUNCTION = "AWS::S3::Bucket", "AWS::Lambda::Function"
_CLUSTER = "AWS::RDS::DBCluster"
_OWN_SSE = {"ServerSideEncryptionConfiguration": [
    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
]}  # fmt: skip

FAULTS: list[tuple[Policy, Callable[[Cloud], None], str]] = [
    (policies.nothing_leaves_paris, _in_an_arn, "names us-east-1"),
    (policies.nothing_leaves_paris, _another_region, "eu-central-1"),
    (
        policies.nothing_leaves_paris,
        _put(_FUNCTION, "aurion-dev/Api", "Environment.Variables.HOOKS_URL", "x.eu-west-1.y"),
        "names eu-west-1",
    ),
    (
        policies.all_is_encrypted,
        _put(_BUCKET, _DATA, "BucketEncryption", _OWN_SSE, "Recordings"),
        "Recordings",
    ),
    (
        policies.all_is_encrypted,
        _put("AWS::SQS::Queue", "aurion-dev/Workers", "KmsMasterKeyId", "alias/aws/sqs"),
        "Queue",
    ),
    (policies.all_is_encrypted, _drop("AWS::Logs::LogGroup", "aurion-dev/Api", "KmsKeyId"), "Logs"),
    (policies.all_is_encrypted, _drop(_CLUSTER, _PROD, "KmsKeyId"), "Database"),
    (policies.all_is_encrypted, _put(_CLUSTER, _PROD, "StorageEncrypted", False), "Database"),
    (
        policies.all_is_encrypted,
        _drop("AWS::ECS::Cluster", "aurion-prod/Agent", "Configuration"),
        "EphemeralStorage",
    ),
    (
        policies.all_is_encrypted,
        _drop("AWS::SNS::Topic", "aurion-dev/Observability", "KmsMasterKeyId"),
        "Alarms",
    ),
    (policies.all_is_encrypted, _a_bare("AWS::EC2::Volume", _DATA, Size=8), "Planted"),
    (policies.all_is_encrypted, _drop("AWS::SecretsManager::Secret", _DATA, "KmsKeyId"), "Secret"),
    (
        policies.all_is_encrypted,
        _drop("AWS::KMS::Key", _DATA, "EnableKeyRotation", "DataKey"),
        "not rotated",
    ),
    (
        policies.logs_end,
        _drop("AWS::Logs::LogGroup", "aurion-dev/Workers", "RetentionInDays"),
        "for ever",
    ),
    (policies.logs_end, _drop(_FUNCTION, "aurion-dev/Workers", "LoggingConfig"), "no log group"),
    (policies.logs_end, _remove("AWS::Logs::LogGroup", _DATA), "Database makes a log group"),
    (
        policies.logs_end,
        _remove("AWS::Logs::LogGroup", "aurion-prod/Agent", "ClusterFigures"),
        "makes a log group",
    ),
    (
        policies.every_hop_has_its_minimum,
        _put("AWS::ApiGateway::RestApi", "aurion-dev/Api", "SecurityPolicy", "TLS_1_0"),
        "old TLS",
    ),
    (
        policies.every_hop_has_its_minimum,
        _put("AWS::ApiGateway::DomainName", "aurion-prod/Edge", "SecurityPolicy", "TLS_1_2"),
        "old TLS",
    ),
    (
        policies.every_hop_has_its_minimum,
        _put("AWS::ApiGateway::RestApi", "aurion-prod/Api", "DisableExecuteApiEndpoint", False),
        "past its domain",
    ),
    (
        policies.every_hop_has_its_minimum,
        _drop("AWS::ApiGateway::RestApi", "aurion-dev/Api", "EndpointAccessMode"),
        "past its policy",
    ),
    (
        policies.every_hop_has_its_minimum,
        _without_denials("AWS::S3::BucketPolicy", _DATA, "TlsVersion"),
        "TLS before 1.3",
    ),
    (
        policies.every_hop_has_its_minimum,
        _without_denials("AWS::S3::BucketPolicy", _DATA, "SecureTransport"),
        "without TLS",
    ),
    (
        policies.every_hop_has_its_minimum,
        _remove("AWS::SQS::QueuePolicy", "aurion-dev/Workers"),
        "without TLS",
    ),
    (
        policies.every_hop_has_its_minimum,
        _remove("AWS::SNS::TopicPolicy", "aurion-dev/Observability"),
        "without TLS",
    ),
    (
        policies.every_hop_has_its_minimum,
        _parameter("ssl_min_protocol_version", "TLSv1.2"),
        "TLSv1.3",
    ),
    (policies.every_hop_has_its_minimum, _parameter("rds.force_ssl", "0"), "force_ssl"),
    (
        policies.every_hop_has_its_minimum,
        _drop(_FUNCTION, "aurion-dev/Api", "Environment.Variables.DATABASE_SSLROOTCERT"),
        "no authority",
    ),
    (
        policies.database_keeps_no_words,
        _parameter("log_parameter_max_length", "-1"),
        "log_parameter_max_length",
    ),
    (
        policies.database_keeps_no_words,
        _put(_CLUSTER, _PROD, "BackupRetentionPeriod", 1),
        "BackupRetentionPeriod",
    ),
    (
        policies.database_keeps_no_words,
        _put(_CLUSTER, _PROD, "DeletionProtection", False),
        "DeletionProtection",
    ),
    (
        policies.database_keeps_no_words,
        _drop(_CLUSTER, _DATA, "EnableIAMDatabaseAuthentication"),
        "IAMDatabase",
    ),
    (
        policies.access_logs_know_nobody,
        _put(
            "AWS::ApiGateway::Stage",
            "aurion-dev/Api",
            "AccessLogSetting.Format",
            '{"ip": "$context.identity.sourceIp"}',
        ),
        "identity.sourceIp",
    ),
    (
        policies.access_logs_know_nobody,
        _put("AWS::ApiGateway::Stage", "aurion-dev/Api", "MethodSettings.0.DataTraceEnabled", True),
        "bodies",
    ),
    (
        policies.nothing_is_public,
        _drop(_BUCKET, _DATA, "PublicAccessBlockConfiguration.BlockPublicPolicy"),
        "may become public",
    ),
    (policies.nothing_is_public, _bucket_for_all, "allows everybody"),
    (policies.nothing_is_public, _open_group, "lets addresses in"),
    (policies.nothing_is_public, _open_group_v6, "lets addresses in"),
    (
        policies.nothing_is_public,
        _put("AWS::RDS::DBInstance", _PROD, "PubliclyAccessible", True),
        "public address",
    ),
    (
        policies.nothing_is_public,
        _a_bare("AWS::Lambda::Url", "aurion-dev/Api", AuthType="NONE"),
        "public URL",
    ),
    (
        policies.nothing_is_public,
        _put("AWS::Lambda::Permission", "aurion-dev/Api", "Principal", "*"),
        "lets * in",
    ),
    (policies.no_action_is_a_wildcard, _statement(Action="s3:*"), "s3:*"),
    (policies.no_action_is_a_wildcard, _statement(Action=["kms:ReEncrypt*"]), "kms:ReEncrypt*"),
    (policies.no_action_is_a_wildcard, _statement(NotAction="iam:*"), "all but"),
    (
        policies.every_role_has_the_boundary,
        _drop("AWS::IAM::Role", "aurion-dev/Api", "PermissionsBoundary"),
        "no boundary",
    ),
    (policies.every_role_has_the_boundary, _statement(Action="ec2:RunInstances"), "RunInstances"),
    (
        policies.every_queue_is_watched,
        _drop("AWS::SQS::Queue", "aurion-dev/Workers", "RedrivePolicy", "RetentionQueue"),
        "RetentionQueue",
    ),
    (
        policies.every_queue_is_watched,
        _alarm_of("ApproximateNumberOfMessagesVisible"),
        "nobody is told",
    ),
    (
        policies.every_queue_is_watched,
        _a_bare("AWS::SQS::Queue", "aurion-dev/Workers", QueueName="x"),
        "Planted",
    ),
    (policies.every_alarm_helps, _page_gone, "drafts-expired"),
    (
        policies.every_alarm_helps,
        _drop("AWS::CloudWatch::Alarm", "aurion-dev/Observability", "AlarmActions"),
        "tells nobody",
    ),
    (policies.every_alarm_helps, _alarm_of("DraftsExpired"), "outbox-DraftsExpired"),
    (policies.functions_are_the_table, _folder, "functions/forgotten"),
    (policies.functions_are_the_table, _no_folder, "functions/health"),
    (policies.functions_are_the_table, _entry_gone, "aurion-dev-health"),
    (
        policies.functions_are_the_table,
        _a_bare(_FUNCTION, "aurion-dev/Agent", FunctionName="by-the-way"),
        "by-the-way",
    ),
    (
        policies.functions_are_the_table,
        _put(_FUNCTION, "aurion-dev/Api", "Architectures", ["x86_64"]),
        "Architectures",
    ),
    (
        policies.functions_are_the_table,
        _drop(_FUNCTION, "aurion-dev/Api", "TracingConfig"),
        "Tracing",
    ),
    (
        policies.functions_are_the_table,
        _drop(_FUNCTION, "aurion-dev/Workers", "DeadLetterConfig", "Outbox"),
        "DeadLetters",
    ),
    (
        policies.environments_are_settings,
        _put(_FUNCTION, "aurion-dev/Api", "Environment.Variables.DATABSE_HOST", "x"),
        "DATABSE_HOST",
    ),
    (
        policies.environments_are_settings,
        _drop(_FUNCTION, "aurion-dev/Api", "Environment.Variables.DATABASE_HOST"),
        "DATABASE_HOST",
    ),
    (policies.environments_are_settings, _writer_without_a_key, "operate writes tenants' secrets"),
    (policies.every_route_leads_somewhere, _swapped_routes, "POST /twilio/voice"),
    (policies.every_route_leads_somewhere, _nothing_may_call, "leads to None"),
    (
        policies.every_route_leads_somewhere,
        _put("AWS::Scheduler::Schedule", "aurion-dev/Workers", "State", "DISABLED"),
        "schedules",
    ),
    (
        policies.every_route_leads_somewhere,
        _drop("AWS::Lambda::EventSourceMapping", "aurion-dev/Workers", "FunctionResponseTypes"),
        "consumes",
    ),
    (policies.data_outlives_its_stack, _unprotected, "at once"),
    (
        policies.data_outlives_its_stack,
        _attribute(_CLUSTER, _PROD, "DeletionPolicy", "Delete"),
        "Snapshot",
    ),
    (
        policies.data_outlives_its_stack,
        _attribute("AWS::KMS::Key", _DATA, "UpdateReplacePolicy", "Delete"),
        "Retain",
    ),
]


@pytest.mark.parametrize(
    ("policy", "plant", "complaint"),
    FAULTS,
    ids=[f"{policy.__name__}-{complaint}" for policy, _plant, complaint in FAULTS],
)
def test_policy_sees_its_fault(
    cloud: Cloud, policy: Policy, plant: Callable[[Cloud], None], complaint: str
) -> None:
    worse = cloud.copy()
    plant(worse)
    new = set(policy(worse))
    assert new, "the policy sees nothing"
    assert any(re.search(re.escape(complaint), fault) for fault in new), new


def test_every_policy_has_a_fault_planted() -> None:
    assert {policy for policy, _plant, _complaint in FAULTS} == set(policies.POLICIES)
