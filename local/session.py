"""The stack a command works on: the one that runs, or one of its own."""

import contextlib
from collections.abc import Iterator
from uuid import UUID

from aurion import tenants
from aurion.tenants import Tenant

from local import state
from local.console import console, start_progress
from local.stack import Stack, install_environment
from local.state import State


class NotRunning(Exception):
    """Nothing runs here. Start it with `aurion up`."""


class PartsMissing(Exception):
    """Something of what runs here has ended. Start anew with `aurion reset` and `aurion up`."""


class TenantUnclear(Exception):
    """Say which company is meant with --tenant."""


def use_running() -> State:
    """Have this process use the stack that runs.

    Raises NotRunning, or PartsMissing when a part of it has ended.
    """
    running = state.running()
    if running is None:
        left = state.read()
        if left is not None and state.owner_runs(left):
            raise PartsMissing(
                f"{PartsMissing.__doc__} Missing: {', '.join(state.dead_parts(left))}."
            )
        raise NotRunning(NotRunning.__doc__)
    install_environment(running.environment)
    return running


@contextlib.contextmanager
def running_or_own() -> Iterator[State]:
    """Use the stack that runs, else start one and stop it at the end."""
    if state.running() is not None:
        yield use_running()
        return
    with own_stack(with_agent=True) as own:
        yield own.state


@contextlib.contextmanager
def own_stack(
    *, kept_running: bool = False, with_agent: bool = False, durable: bool = False
) -> Iterator[Stack]:
    """Start a stack with its progress shown, and stop it at the end, however that comes."""
    with contextlib.ExitStack() as held:
        with start_progress() as report:
            stack = held.enter_context(
                Stack(
                    kept_running=kept_running,
                    report=report,
                    with_agent=with_agent,
                    durable=durable,
                )
            )
        if stack.left_behind:
            console.print(
                f"[yellow]Ended what a killed run had left: {', '.join(stack.left_behind)}."
            )
        yield stack


def find_tenant(running: State, wanted: str | None) -> Tenant:
    """Find a company by name or id; without one, the company of the seed.

    Raises TenantUnclear when none, or more than one, answers to it.
    """
    everyone = tenants.list_all()
    if wanted is None:
        found = [tenant for tenant in everyone if tenant.tenant_id == UUID(running.tenant_id)]
    else:
        found = [
            tenant
            for tenant in everyone
            if wanted.casefold() in (tenant.name.casefold(), str(tenant.tenant_id))
        ]
    if len(found) != 1:
        raise TenantUnclear(TenantUnclear.__doc__)
    return found[0]
