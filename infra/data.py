"""Data: everything that must outlive a deployment. It knows none of the stacks that use it."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy, SecretValue, Stack
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.acknowledgements import acknowledge
from infra.environments import Environment
from infra.keys import make_key
from infra.network import DATABASE_PORT, NetworkStack, retention_of

DATABASE_NAME = "aurion"
_ENGINE = "aurora-postgresql"
_ENGINE_VERSION = "18.4"
_PARAMETERS = {
    "rds.force_ssl": "1",
    "ssl_min_protocol_version": "TLSv1.3",
    # A statement's values are callers' words and names; a failed one's too, and so is the DETAIL of
    # a refused row ("Key (name)=(…) already exists").
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_connections": "1",
    # A Lambda that is frozen for good leaves its connection behind.
    "idle_session_timeout": "300000",
    "idle_in_transaction_session_timeout": "15000",
}
_SECRETS = {
    "twilio": ("account_sid", "auth_token"),
    "livekit": ("url", "api_key", "api_secret", "sip_host", "sip_username", "sip_password"),
    "models": ("anthropic_api_key", "llm_api_key"),
}
"""The vendors' secrets, and the fields of each."""
_ACCESS_IS_TRAILED = {
    "AwsSolutions-S1": "Server access logs can't be encrypted with a key of ours; the trail notes"
    " accesses instead, encrypted and locked for a year."
}
_LONGEST_PROMISE_DAYS = 365
"""The longest a company can have its recordings kept; the bucket deletes a week after it."""


class DataStack(Stack):
    """The keys, the database, the buckets and the vendors' secrets of an environment."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        network: NetworkStack,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, termination_protection=True, **stack)
        self._environment = environment
        self.logs_key = network.logs_key
        self._make_keys(environment)
        self._make_database(environment, network)
        self._make_secrets(environment)
        self.recordings = self._bucket("Recordings", "recordings", _expiry())
        self.exports = self._bucket("Exports", "exports", _short_expiry())
        self._make_audit(environment)

    def _make_keys(self, environment: Environment) -> None:
        self.badges_key = make_key(
            self,
            "BadgesKey",
            environment=environment,
            data_class="badges",
            purpose="The pepper of badges and numbers; without it none is known again",
            mac=True,
        )
        self.content_key = make_key(
            self,
            "ContentKey",
            environment=environment,
            data_class="content",
            purpose="Tickets and messages on their way out, per tenant by encryption context",
        )
        self.recordings_key = make_key(
            self,
            "RecordingsKey",
            environment=environment,
            data_class="recordings",
            purpose="Recordings of calls, and exports of them",
        )
        self.data_key = make_key(
            self,
            "DataKey",
            environment=environment,
            data_class="data",
            purpose="The database, the queues and the vendors' secrets",
        )

    def _make_database(self, environment: Environment, network: NetworkStack) -> None:
        identifier = environment.prefix
        # Aurora makes the group by itself otherwise, without our key and for ever.
        log_group = logs.LogGroup(
            self,
            "DatabaseLogs",
            log_group_name=f"/aws/rds/cluster/{identifier}/postgresql",
            encryption_key=self.logs_key,
            retention=retention_of(environment),
            removal_policy=RemovalPolicy.DESTROY,
        )
        subnets = rds.CfnDBSubnetGroup(
            self,
            "DatabaseSubnets",
            db_subnet_group_description="Subnets that reach nobody",
            subnet_ids=network.vpc.select_subnets(subnet_group_name="database").subnet_ids,
        )
        parameters = rds.CfnDBClusterParameterGroup(
            self,
            "DatabaseParameters",
            family=f"{_ENGINE}{_ENGINE_VERSION.split('.')[0]}",
            description="TLS 1.3, and no personal data in a log",
            parameters=_PARAMETERS,
        )
        cluster = rds.CfnDBCluster(
            self,
            "Database",
            engine=_ENGINE,
            engine_version=_ENGINE_VERSION,
            db_cluster_identifier=identifier,
            database_name=DATABASE_NAME,
            db_cluster_parameter_group_name=parameters.ref,
            db_subnet_group_name=subnets.ref,
            vpc_security_group_ids=[network.database_security_group.security_group_id],
            port=DATABASE_PORT,
            storage_encrypted=True,
            kms_key_id=self.data_key.key_arn,
            enable_iam_database_authentication=True,
            master_username="aurion_admin",
            # RDS keeps the password, in a secret of its own, and replaces it every seven days.
            manage_master_user_password=True,
            master_user_secret=rds.CfnDBCluster.MasterUserSecretProperty(
                kms_key_id=self.data_key.key_arn
            ),
            serverless_v2_scaling_configuration=rds.CfnDBCluster.ServerlessV2ScalingConfigurationProperty(
                min_capacity=environment.database_min_acu, max_capacity=environment.database_max_acu
            ),
            # Point-in-time recovery: what is erased is gone from the backups too after a week.
            backup_retention_period=7,
            preferred_backup_window="01:30-02:30",
            preferred_maintenance_window="sun:03:00-sun:04:00",
            copy_tags_to_snapshot=True,
            deletion_protection=True,
            enable_cloudwatch_logs_exports=["postgresql"],
            database_insights_mode="standard",
            performance_insights_enabled=True,
            performance_insights_kms_key_id=self.data_key.key_arn,
            performance_insights_retention_period=7,
        )
        cluster.apply_removal_policy(RemovalPolicy.SNAPSHOT)
        cluster.node.add_dependency(log_group)
        for number in range(1, environment.database_instances + 1):
            instance = rds.CfnDBInstance(
                self,
                f"DatabaseInstance{number}",
                engine=_ENGINE,
                db_cluster_identifier=cluster.ref,
                db_instance_identifier=f"{identifier}-{number}",
                db_instance_class="db.serverless",
                db_subnet_group_name=subnets.ref,
                auto_minor_version_upgrade=True,
                publicly_accessible=False,
                promotion_tier=0 if number <= 2 else 2,
                ca_certificate_identifier="rds-ca-rsa2048-g1",
            )
            instance.apply_removal_policy(RemovalPolicy.DESTROY)
        self.database = cluster
        self.database_host = cluster.attr_endpoint_address
        self.database_admin_secret_arn = cluster.attr_master_user_secret_secret_arn

    def database_role_arn(self, role: str) -> str:
        """Name a database role as IAM knows it: who may connect to this ARN may be that role."""
        return self._environment.arn(
            "rds-db", f"dbuser:{self.database.attr_db_cluster_resource_id}/{role}"
        )

    def _make_secrets(self, environment: Environment) -> None:
        self.secrets: dict[str, secretsmanager.Secret] = {}
        unset = SecretValue.unsafe_plain_text("unset")
        for name, fields in _SECRETS.items():
            self.secrets[name] = secretsmanager.Secret(
                self,
                f"{name.capitalize()}Secret",
                secret_name=environment.secret_name(name),
                description=f"{name.capitalize()}: {', '.join(fields)}",
                # What stands in it is put there by hand once; a deployment never touches it again.
                secret_object_value=dict.fromkeys(fields, unset),
                removal_policy=RemovalPolicy.RETAIN,
            )
            # Not `encryption_key=`, which adds to the key's policy what nothing needs.
            resource = self.secrets[name].node.default_child
            assert isinstance(resource, secretsmanager.CfnSecret)
            resource.kms_key_id = self.data_key.key_arn
            acknowledge(
                self.secrets[name],
                {
                    "AwsSolutions-SMG4": "A vendor's credentials are replaced in the vendor's own"
                    " console; the runbook says how, with both valid for a while."
                },
            )

    def _bucket(self, construct_id: str, name: str, lifecycle: list[s3.LifecycleRule]) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            construct_id,
            bucket_name=self._environment.bucket_name(name),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.recordings_key,
            bucket_key_enabled=True,
            # No versions: a deleted recording must be gone.
            versioned=False,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.3,
            lifecycle_rules=lifecycle,
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(bucket, _ACCESS_IS_TRAILED)
        return bucket

    def _make_audit(self, environment: Environment) -> None:
        """Note who touched the recordings, where nobody can take the note away for a year."""
        self.audit = s3.Bucket(
            self,
            "Audit",
            bucket_name=environment.bucket_name("audit"),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.logs_key,
            bucket_key_enabled=True,
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=s3.ObjectLockRetention.governance(Duration.days(365)),
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.3,
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(400),
                    noncurrent_version_expiration=Duration.days(1),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )
        acknowledge(self.audit, _ACCESS_IS_TRAILED)
        name = f"{environment.prefix}-trail"
        source = {"aws:SourceArn": environment.arn("cloudtrail", f"trail/{name}")}
        principal = iam.ServicePrincipal("cloudtrail.amazonaws.com")
        self.audit.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TrailLooks",
                principals=[principal],
                actions=["s3:GetBucketAcl"],
                resources=[self.audit.bucket_arn],
                conditions={"StringEquals": source},
            )
        )
        self.audit.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TrailWrites",
                principals=[principal],
                actions=["s3:PutObject"],
                resources=[self.audit.arn_for_objects(f"trail/AWSLogs/{environment.account}/*")],
                conditions={"StringEquals": source},
            )
        )
        trail = cloudtrail.CfnTrail(
            self,
            "Trail",
            trail_name=name,
            is_logging=True,
            is_multi_region_trail=False,
            include_global_service_events=False,
            enable_log_file_validation=True,
            s3_bucket_name=self.audit.bucket_name,
            s3_key_prefix="trail",
            kms_key_id=self.logs_key.key_arn,
            event_selectors=[
                cloudtrail.CfnTrail.EventSelectorProperty(
                    include_management_events=True,
                    read_write_type="All",
                    # Every encryption of every function would be an event.
                    exclude_management_event_sources=["kms.amazonaws.com"],
                    data_resources=[
                        cloudtrail.CfnTrail.DataResourceProperty(
                            type="AWS::S3::Object",
                            values=[
                                self.recordings.arn_for_objects(""),
                                self.exports.arn_for_objects(""),
                            ],
                        )
                    ],
                )
            ],
        )
        assert self.audit.policy is not None
        trail.node.add_dependency(self.audit.policy)


def _expiry() -> list[s3.LifecycleRule]:
    # The sweep by each company's own days decides; this catches what it could never see.
    return [
        s3.LifecycleRule(
            expiration=Duration.days(_LONGEST_PROMISE_DAYS + 7),
            abort_incomplete_multipart_upload_after=Duration.days(1),
        )
    ]


def _short_expiry() -> list[s3.LifecycleRule]:
    return [
        s3.LifecycleRule(
            expiration=Duration.days(7), abort_incomplete_multipart_upload_after=Duration.days(1)
        )
    ]
