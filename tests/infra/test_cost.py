"""docs/cost.md: every sum is right, and is about what the code deploys."""

import ast
import operator
import re
from pathlib import Path

import pytest
from aurion import function_table

from infra import environments
from infra.environments import Environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cost.md").read_text("utf-8")
_DO = {ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv}


def prices() -> dict[str, float]:
    return {
        name: float(price) for name, price in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.M)
    }


def work_out(sum_: str) -> float:
    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return prices()[name]
            case ast.BinOp(left=left, op=op, right=right):
                return float(_DO[type(op)](value(left), value(right)))
            case _:
                raise AssertionError(f"no sum: {ast.dump(node)}")

    return value(ast.parse(sum_.replace("×", "*"), mode="eval").body)


def tables() -> dict[str, list[tuple[str, str, str]]]:
    """The tables with sums: their first word, and each row's text, sum and amount."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, rows in re.findall(
        r"^\| ([^|]*) \| Sum \| \$ \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.M
    ):
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]
        found[name.split(",")[0]] = [
            (text, sum_.strip("`"), amount) for text, sum_, amount in cells
        ]
    return found


def test_every_table_of_sums_was_found() -> None:
    assert list(tables()) == ["dev", "prod", "AWS", "Vendors"]


@pytest.mark.parametrize("name", ["dev", "prod", "AWS", "Vendors"])
def test_the_sums_are_right(name: str) -> None:
    *rows, last = tables()[name]
    for text, sum_, amount in rows:
        assert f"{work_out(sum_):.2f}" == amount, text
    together = sum(float(amount) for _, _, amount in rows)
    assert last[2] == f"**{together:.2f}**"


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_what_is_idle_is_what_the_code_deploys(name: str) -> None:
    from infra.agent import SHARED_SIZE  # only who needs it starts the Node.js behind it

    environment: Environment = environments.read("dev" if name == "dev" else "prod", {})
    table = function_table.read(ROOT / "functions" / "functions.toml")
    sums = [sum_ for _, sum_, _ in tables()[name]]
    tasks, size = environment.agent_tasks_min, SHARED_SIZE
    of_functions = sum(len(function.alarms) for function in table.functions)
    # Besides: a dead-letter queue each and one for jobs, two of the API, three of the database,
    # three of the agents.
    alarms = of_functions + len(table.queues) + 1 + 2 + 3 + 3
    minutes = sum(f.schedule == "rate(1 minute)" for f in table.functions)
    hours = sum(f.schedule == "rate(1 hour)" for f in table.functions)
    for expected in (
        f"{tasks} × ({size.cpu // 1024} × vcpu + {size.memory_mib // 1024} × gb) × 730",
        f"{tasks + environment.nat_gateways} × ipv4 × 730",
        f"{environment.database_instances} × {environment.database_min_acu} × acu × 730",
        f"{environment.nat_gateways} × nat × 730 + 2 × nat",
        f"{alarms} × alarm",
        f"({minutes} × 60 + {hours}) × 730 × 0.3 × 0.5 × compute",
    ):
        assert expected in sums


def test_a_company_s_own_agents_are_of_the_size_that_is_named() -> None:
    from infra.tenant_cell import SIZE  # only who needs it starts the Node.js behind it

    sum_ = f"({SIZE.cpu // 1024} × vcpu + {SIZE.memory_mib // 1024} × gb + ipv4) × 730"
    assert f"`{sum_}`, {work_out(sum_):.2f} a month" in " ".join(PAGE.split())
