"""The CDK app: `cdk synth` and `cdk deploy` run this file."""

import os
from collections.abc import Sequence

from aurion import function_table
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks

from infra import environments
from infra.environments import Environment
from infra.layers import ROOT, Parts
from infra.stage import AurionStage


def build(app: App, wanted: Sequence[Environment], parts: Parts) -> list[AurionStage]:
    """Build the environments' stages from the table of functions."""
    table = function_table.read(ROOT / "functions" / "functions.toml")
    return [
        AurionStage(app, environment=environment, table=table, parts=parts)
        for environment in wanted
    ]


def main() -> None:
    """Synthesise dev and prod."""
    app = App(analytics_reporting=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    build(app, [environments.read(name, os.environ) for name in ("dev", "prod")], Parts())
    app.synth()


if __name__ == "__main__":
    main()
