"""A service of ECS in moto, and the task that runs its first revision."""

import uuid
from dataclasses import dataclass, field
from typing import Self

from local.aws import Aws
from tests.providers.ecs_agent import EcsAgent

CLUSTER = "aurion-test"


@dataclass
class Service:
    """A service in moto that runs its first revision; `release` moves it on."""

    aws: Aws
    # Revisions of a family go on counting for ever, so each has its own.
    name: str = field(default_factory=lambda: f"agents-{uuid.uuid4().hex[:8]}")

    def __enter__(self) -> Self:
        self.aws.client("ecs").create_cluster(clusterName=CLUSTER)
        self.create()
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()
        self.aws.client("ecs").delete_cluster(cluster=CLUSTER)

    def register(self) -> str:
        container = {"name": "agent", "image": "agents", "memory": 128}
        registered = self.aws.client("ecs").register_task_definition(
            family=self.name, containerDefinitions=[container]
        )
        return str(registered["taskDefinition"]["taskDefinitionArn"])

    def create(self) -> None:
        self.aws.client("ecs").create_service(
            cluster=CLUSTER, serviceName=self.name, taskDefinition=self.register(), desiredCount=1
        )

    def delete(self) -> None:
        self.aws.client("ecs").delete_service(cluster=CLUSTER, service=self.name, force=True)

    def release(self) -> None:
        # moto's update leaves the deployments as they were.
        self.delete()
        self.create()

    def agent(self) -> EcsAgent:
        return EcsAgent(cluster=CLUSTER, service=self.name, family=self.name, revision=1)
