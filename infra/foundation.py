"""What every stack that runs something stands on, handed on as one."""

from collections.abc import Mapping
from dataclasses import dataclass

from aurion.function_table import FunctionTable

from infra.data import DataStack
from infra.environments import Environment
from infra.layers import Parts
from infra.network import NetworkStack


@dataclass(frozen=True, slots=True)
class Foundation:
    """Hold an environment, its lasting stacks, and what its functions are made of.

    `known` is what a function can be told, by the settings' names.
    """

    environment: Environment
    network: NetworkStack
    data: DataStack
    table: FunctionTable
    parts: Parts
    known: Mapping[str, str]
