"""Workers: the queues, the jobs, and what only an operator or a deployment calls."""

from collections.abc import Sequence
from typing import Any

from aurion.function_table import Function
from aws_cdk import CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.foundation import Foundation
from infra.grants import send
from infra.layers import hash_folder
from infra.python_function import LayerSet, PythonFunction

JOBS_DEAD = "jobs-dead"
"""Where a job's event goes that failed twice; its runbook has the same name."""


class WorkersStack(Stack):
    """Everything of the table that no vendor calls."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        foundation: Foundation,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        self._foundation = foundation
        table = foundation.table
        self.queues: dict[str, sqs.Queue] = {}
        self.dead_letters: dict[str, tuple[sqs.Queue, str]] = {}
        jobs_dead = self._queue(JOBS_DEAD, retention=Duration.days(14))
        self.dead_letters[JOBS_DEAD] = (jobs_dead, JOBS_DEAD)
        for queue in table.queues:
            dead = self._queue(queue.dead_letter_name, retention=Duration.days(14))
            self.dead_letters[queue.dead_letter_name] = (dead, queue.runbook)
            self.queues[queue.name] = self._queue(
                queue.name,
                retention=Duration.days(4),
                visibility_timeout=Duration.seconds(queue.visibility_s),
                dead_letter_queue=sqs.DeadLetterQueue(
                    queue=dead, max_receive_count=queue.max_receives
                ),
            )
        layers = LayerSet(self, foundation.parts)
        entries = [function for function in table.functions if function.route is None]
        self.functions = {
            entry.name: PythonFunction(
                self,
                foundation,
                function=entry,
                layers=layers,
                dead_letters=jobs_dead if "schedule" in entry.triggers else None,
            )
            for entry in entries
        }
        self._schedule([e for e in entries if e.schedule])
        for entry in entries:
            if "deploy" in entry.triggers:
                self._run_on_deploy(entry)

    def _queue(
        self,
        name: str,
        *,
        retention: Duration,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        words = name.replace("-", "_").split("_")
        return sqs.Queue(
            self,
            "".join(word.capitalize() for word in words) + "Queue",
            queue_name=self._foundation.environment.queue_name(name),
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self._foundation.data.data_key,
            data_key_reuse=Duration.hours(1),
            enforce_ssl=True,
            retention_period=retention,
            visibility_timeout=visibility_timeout,
            dead_letter_queue=dead_letter_queue,
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _schedule(self, entries: Sequence[Function]) -> None:
        environment, data = self._foundation.environment, self._foundation.data
        group = scheduler.CfnScheduleGroup(self, "Schedules", name=environment.prefix)
        arn = environment.arn("scheduler", f"schedule/{environment.prefix}/*")
        role = iam.Role(
            self,
            "SchedulerRole",
            description="Starts the jobs of the table of functions",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": environment.account},
                    "ArnLike": {"aws:SourceArn": arn},
                },
            ),
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["lambda:InvokeFunction"],
                resources=[self.functions[entry.name].function_arn for entry in entries],
            )
        )
        for statement in send(environment, data, JOBS_DEAD):
            role.add_to_policy(statement)
        for entry in entries:
            function = self.functions[entry.name]
            scheduler.CfnSchedule(
                self,
                f"{function.node.id}Schedule",
                name=environment.function_name(entry.name),
                group_name=group.ref,
                description=entry.purpose,
                schedule_expression=entry.schedule or "",
                schedule_expression_timezone="Europe/Paris",
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=function.function_arn,
                    role_arn=role.role_arn,
                    retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=max(60, entry.timeout_s),
                        maximum_retry_attempts=2,
                    ),
                    dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(
                        arn=self.dead_letters[JOBS_DEAD][0].queue_arn
                    ),
                ),
            )

    def _run_on_deploy(self, entry: Function) -> None:
        """Run a function whenever a migration is new, before the other functions of a release."""
        function = self.functions[entry.name]
        ran = CustomResource(
            self,
            f"{function.node.id}Run",
            service_token=function.function_arn,
            service_timeout=Duration.seconds(entry.timeout_s + 60),
            resource_type="Custom::MigratedDatabase",
            properties={"Migrations": hash_folder(self._foundation.parts.migrations)},
        )
        for name, other in self.functions.items():
            if name != entry.name:
                other.node.add_dependency(ran)
