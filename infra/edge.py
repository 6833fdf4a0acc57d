"""Edge: our own names for what vendors reach; it exists where an environment has a domain."""

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as certificates
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from infra.api import ApiStack
from infra.environments import Domain, Environment


class EdgeStack(Stack):
    """`hooks.<domain>`: certificate, domain name, and the records that lead to it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        environment: Environment,
        domain: Domain,
        api: ApiStack,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        zone = route53.HostedZone.from_hosted_zone_attributes(
            self, "Zone", hosted_zone_id=domain.hosted_zone_id, zone_name=domain.name
        )
        certificate = certificates.Certificate(
            self,
            "Certificate",
            domain_name=domain.hooks,
            certificate_name=f"{environment.prefix}-hooks",
            validation=certificates.CertificateValidation.from_dns(zone),
            key_algorithm=certificates.KeyAlgorithm.EC_PRIME256_V1,
        )
        name = apigateway.DomainName(
            self,
            "Hooks",
            domain_name=domain.hooks,
            certificate=certificate,
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS13_1_2_PFS_PQ_2025_09,
            endpoint_access_mode=apigateway.EndpointAccessMode.STRICT,
        )
        apigateway.BasePathMapping(
            self,
            "HooksMapping",
            domain_name=name,
            rest_api=api.rest,
            stage=api.rest.deployment_stage,
            # From here the API's own stack would have to wait for this one.
            attach_to_stage=False,
        )
        route53.ARecord(
            self,
            "HooksRecord",
            zone=zone,
            record_name=domain.hooks,
            target=route53.RecordTarget.from_alias(targets.ApiGatewayDomain(name)),
        )
        # Nobody but Amazon issues a certificate for this name.
        route53.CaaRecord(
            self,
            "HooksAuthority",
            zone=zone,
            record_name=domain.hooks,
            values=[route53.CaaRecordValue(flag=0, tag=route53.CaaTag.ISSUE, value="amazon.com")],
        )
