"""Observability: what wakes somebody, what they look at first, and how one call is followed."""

from collections.abc import Mapping
from typing import Any

from aurion.function_table import Alarm, Function, FunctionTable
from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_xray as xray
from constructs import Construct

from infra.agent import AgentStack
from infra.agent_service import NAMESPACE
from infra.api import ApiStack
from infra.environments import Environment
from infra.foundation import Foundation
from infra.workers import WorkersStack

RUNBOOKS = "docs/runbooks"
_LAMBDA_METRICS = {"Errors", "Throttles", "Duration", "ConcurrentExecutions", "DeadLetterErrors"}
_MORE = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD


class ObservabilityStack(Stack):
    """The topic that alarms go to, the alarms, the dashboard, and saved searches."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        foundation: Foundation,
        *,
        api: ApiStack,
        workers: WorkersStack,
        agent: AgentStack,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        environment, table = foundation.environment, foundation.table
        self._environment = environment
        self.topic = sns.Topic(
            self,
            "Alarms",
            topic_name=f"{environment.prefix}-alarms",
            master_key=foundation.network.logs_key,
            enforce_ssl=True,
        )
        if environment.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(environment.alarm_email))
        for function in table.functions:
            for number, alarm in enumerate(function.alarms):
                self._function_alarm(function, alarm, number)
        for name, (queue, runbook) in workers.dead_letters.items():
            self._alarm(
                f"{environment.queue_name(name)}",
                queue.metric_approximate_number_of_messages_visible(
                    period=Duration.minutes(1), statistic="Maximum"
                ),
                threshold=1,
                runbook=runbook,
                says=f"Something lies in the queue {name}: it could not be done.",
            )
        self._api_alarms(api)
        self._database_alarms()
        self._agent_alarms(agent)
        self._make_dashboard(table, api, workers, agent)
        self._make_searches(environment, table)

    def _function_alarm(self, function: Function, alarm: Alarm, number: int) -> None:
        name = self._environment.function_name(function.name)
        if alarm.metric in _LAMBDA_METRICS:
            metric = self._lambda(function, alarm.metric, alarm.period_s)
        else:
            metric = self._own(function, alarm.metric, alarm.period_s)
        self._alarm(
            f"{name}-{alarm.metric}",
            metric,
            threshold=alarm.threshold,
            runbook=alarm.runbook,
            says=f"{function.purpose} {alarm.metric}: {alarm.threshold} in {alarm.period_s} s.",
        )

    def _api_alarms(self, api: ApiStack) -> None:
        self._alarm(
            f"{self._environment.prefix}-hooks-5xx",
            api.rest.metric_server_error(period=Duration.minutes(1), statistic="Sum"),
            threshold=1,
            runbook="calls-not-answered",
            says="Vendors' webhooks are answered with an error of ours.",
        )
        self._alarm(
            f"{self._environment.prefix}-hooks-refused",
            api.rest.metric_client_error(period=Duration.minutes(5), statistic="Sum"),
            threshold=50,
            runbook="webhooks-refused",
            says="Many requests are refused: a changed secret or address, or somebody trying.",
        )

    def _database_alarms(self) -> None:
        for metric, statistic, threshold, says in (
            ("ACUUtilization", "Average", 90, "The database is as large as it may become."),
            ("DatabaseConnections", "Maximum", 150, "The database has many connections."),
            ("Deadlocks", "Sum", 5, "Transactions wait for each other."),
        ):
            self._alarm(
                f"{self._environment.prefix}-database-{metric}",
                self._database(metric, statistic),
                threshold=threshold,
                runbook="database",
                says=says,
                periods=3,
            )

    def _agent_alarms(self, agent: AgentStack) -> None:
        prefix = self._environment.prefix
        self._alarm(
            f"{prefix}-agents-busy",
            agent.load,
            threshold=9,
            runbook="agents-busy",
            says="The agents have as many calls as they can carry.",
            periods=3,
        )
        running = cloudwatch.Metric(
            namespace="ECS/ContainerInsights",
            metric_name="RunningTaskCount",
            dimensions_map={"ClusterName": prefix, "ServiceName": agent.service_name},
            statistic="Minimum",
            period=Duration.minutes(1),
        )
        self._alarm(
            f"{prefix}-agents-gone",
            running,
            threshold=1,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            missing=cloudwatch.TreatMissingData.BREACHING,
            runbook="no-agent-came",
            says="No agent runs.",
            periods=2,
        )
        self._alarm(
            f"{prefix}-agents-unprotected",
            agent.protection_failures,
            # A single one is made up for by the next try, 15 s later.
            threshold=5,
            runbook="agents-unprotected",
            says="ECS does not protect tasks that have calls: a release would cut these off.",
        )

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float,
        runbook: str,
        says: str,
        periods: int = 1,
        comparison: cloudwatch.ComparisonOperator = _MORE,
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> None:
        words = name.removeprefix(f"{self._environment.prefix}-").split("-")
        alarm = cloudwatch.Alarm(
            self,
            "".join(word[:1].upper() + word[1:] for word in words) + "Alarm",
            alarm_name=name,
            alarm_description=f"{says} Runbook: {RUNBOOKS}/{runbook}.md",
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        action = actions.SnsAction(self.topic)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)

    def _lambda(
        self, function: Function, metric: str, period_s: int, statistic: str = "Sum"
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name=metric,
            dimensions_map={"FunctionName": self._environment.function_name(function.name)},
            statistic=statistic,
            period=Duration.seconds(period_s),
        )

    def _own(self, function: Function, metric: str, period_s: int) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=metric,
            dimensions_map={"environment": self._environment.name, "function": function.name},
            statistic="Sum",
            period=Duration.seconds(period_s),
        )

    def _database(self, metric: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/RDS",
            metric_name=metric,
            dimensions_map={"DBClusterIdentifier": self._environment.prefix},
            statistic=statistic,
            period=Duration.minutes(5),
        )

    def _make_dashboard(
        self,
        table: FunctionTable,
        api: ApiStack,
        workers: WorkersStack,
        agent: AgentStack,
    ) -> None:
        http = [function for function in table.functions if function.route]
        jobs = [function for function in table.functions if not function.route]
        own = [
            self._own(function, alarm.metric, 300)
            for function in table.functions
            for alarm in function.alarms
            if alarm.metric not in _LAMBDA_METRICS
        ]
        rows: Mapping[str, list[tuple[str, list[cloudwatch.IMetric]]]] = {
            "Calls": [
                ("Calls per task, and refused protection", [agent.load, agent.protection_failures]),
                ("What goes wrong with calls", list(own)),
                (
                    "Webhooks",
                    [
                        api.rest.metric_count(),
                        api.rest.metric_client_error(),
                        api.rest.metric_server_error(),
                    ],
                ),
            ],
            "Webhook functions": [
                ("Errors", [self._lambda(f, "Errors", 300) for f in http]),
                ("Duration, p99 (ms)", [self._lambda(f, "Duration", 300, "p99") for f in http]),
                ("Throttles", [self._lambda(f, "Throttles", 300) for f in http]),
            ],
            "Jobs": [
                ("Errors", [self._lambda(f, "Errors", 300) for f in jobs]),
                ("Duration, p99 (ms)", [self._lambda(f, "Duration", 300, "p99") for f in jobs]),
                (
                    "Waiting, and given up",
                    [
                        queue.metric_approximate_number_of_messages_visible()
                        for queue in [
                            *workers.queues.values(),
                            *(dead for dead, _ in workers.dead_letters.values()),
                        ]
                    ],
                ),
            ],
            "Database": [
                ("Capacity (ACU)", [self._database("ServerlessDatabaseCapacity", "Average")]),
                ("Connections", [self._database("DatabaseConnections", "Maximum")]),
                ("Commit latency (ms)", [self._database("CommitLatency", "Average")]),
            ],
        }
        dashboard = cloudwatch.Dashboard(self, "Dashboard", dashboard_name=self._environment.prefix)
        for title, graphs in rows.items():
            dashboard.add_widgets(cloudwatch.TextWidget(markdown=f"## {title}", width=24, height=1))
            dashboard.add_widgets(
                *(
                    cloudwatch.GraphWidget(title=name, left=metrics, width=8, height=6)
                    for name, metrics in graphs
                )
            )

    def _make_searches(self, environment: Environment, table: FunctionTable) -> None:
        """Save the searches a runbook asks for first, over every log that has a call's id."""
        groups = [environment.log_group_name(function.name) for function in table.functions]
        groups.append(environment.log_group_name("agent"))
        for name, query in (
            (
                "one call",
                logs.QueryString(
                    fields=["@timestamp", "function", "level", "message", "error", "@log"],
                    filter_statements=['call = "THE CALL ID" or call_id = "THE CALL ID"'],
                    sort="@timestamp asc",
                ),
            ),
            (
                "errors",
                logs.QueryString(
                    fields=["@timestamp", "function", "message", "error", "call_id", "@log"],
                    filter_statements=['level = "error"'],
                    sort="@timestamp desc",
                    limit=200,
                ),
            ),
        ):
            logs.CfnQueryDefinition(
                self,
                f"Search{name.title().replace(' ', '')}",
                name=f"{environment.prefix}/{name}",
                query_string=query.to_string(),
                log_group_names=groups,
            )
        traces = xray.CfnGroup(
            self,
            "Traces",
            group_name=environment.prefix,
            filter_expression=f'service(id(name: "{environment.prefix}-hooks/hooks"))',
        )
        traces.apply_removal_policy(RemovalPolicy.DESTROY)
