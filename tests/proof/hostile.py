"""What a language model can do on its own: nothing; and with its caller's agreement: just that."""

import asyncio

from tests import hostile_models
from tests.parts import run_parts
from tests.proof import Proof


def measure(full: bool) -> Proof:
    """Run random histories of a captured and of an honest model through real calls' executors."""
    count = 1000 if full else 30
    with run_parts(speech=False) as parts:
        captured = asyncio.run(
            hostile_models.try_everything(parts.company, parts.other, histories=count, seed=1)
        )
        honest = asyncio.run(hostile_models.serve_callers(parts.company, histories=count, seed=2))
    tried = sum(captured.results.values())
    steps = sum(honest.results.values())
    markdown = (
        f"A captured model, {captured.histories:,} random histories, {tried:,} tool calls with ids"
        f" of other people and of another company: {captured.results['not_allowed']:,} refused,"
        f" {captured.results['not_found']:,} told that there is no such ticket,"
        f" {captured.results['asked'] + captured.results['offered']:,} put to the caller, who did"
        f" not agree, {captured.results['own data']:,} answered with the caller's own or public"
        " data. Changes in either company's desk or rows: **"
        f"{'none' if not captured.faults else 'SOME'}**.\n\n"
        f"An honest one, {honest.histories:,} random histories, {steps:,} steps with the caller's"
        " own ids: after each, the desk held exactly what an independent oracle expected"
        f" (**{len(honest.faults)}** differences)."
    )
    return Proof("Hostile models", markdown, [*captured.faults[:10], *honest.faults[:10]])
