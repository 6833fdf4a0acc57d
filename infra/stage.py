"""One environment: its stacks, and in which order they know each other."""

from aurion.function_table import FunctionTable
from aws_cdk import Environment as Target
from aws_cdk import Stage, Tags
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.agent import AgentStack
from infra.api import ApiStack
from infra.data import DataStack
from infra.edge import EdgeStack
from infra.environments import Environment
from infra.foundation import Foundation
from infra.layers import Parts
from infra.network import ZONES, NetworkStack
from infra.observability import ObservabilityStack
from infra.python_function import values
from infra.workers import WorkersStack


class AurionStage(Stage):
    """The stacks of an environment; what keeps data never knows what does not."""

    def __init__(
        self, scope: Construct, *, environment: Environment, table: FunctionTable, parts: Parts
    ) -> None:
        super().__init__(
            scope,
            environment.prefix,
            env=Target(account=environment.account, region=environment.region),
        )
        # Otherwise the zones would be asked of an account, whatever the network says.
        self.node.set_context(
            f"availability-zones:account={environment.account}:region={environment.region}", ZONES
        )
        self.network = NetworkStack(self, "Network", environment=environment)
        self.data = DataStack(self, "Data", environment=environment, network=self.network)
        foundation = Foundation(
            environment,
            self.network,
            self.data,
            table,
            parts,
            known=values(environment, self.data),
        )
        self.workers = WorkersStack(self, "Workers", foundation)
        self.api = ApiStack(self, "Api", foundation)
        # The database is migrated there, before anything here needs it.
        self.api.add_stack_dependency(self.workers)
        self.agent = AgentStack(self, "Agent", foundation)
        self.agent.add_stack_dependency(self.workers)
        self.edge = (
            EdgeStack(
                self, "Edge", environment=environment, domain=environment.domain, api=self.api
            )
            if environment.domain
            else None
        )
        self.observability = ObservabilityStack(
            self,
            "Observability",
            foundation,
            api=self.api,
            workers=self.workers,
            agent=self.agent,
        )
        Tags.of(self).add("product", "aurion")
        Tags.of(self).add("environment", environment.name)
        # Every role there is, also those that a construct makes by itself.
        iam.PermissionsBoundary.of(self).apply(
            iam.ManagedPolicy.from_managed_policy_arn(
                self.network, "OwnBoundary", environment.boundary_arn
            )
        )
