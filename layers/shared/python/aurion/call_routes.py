"""To whose agents a company's calls go: the voice server's rules, held to what the cells say.

The telephone side as a whole is set up from outside (`aurion.telephony`). What agents a rule sends
changes by itself, as a company's own agents come and go.
"""

import asyncio
from dataclasses import replace
from uuid import UUID

from aurion import cells, database, trunks
from aurion.rooms import Errand, VoiceServer
from aurion.settings import settings

RULE_PREFIX = "aurion "
"""What our rules are called, before the company's id."""


async def follow_cells(*, voice: VoiceServer) -> int:
    """Have each company's rule send the agents that take its calls; return how many were changed.

    Raises:
        RoomsUnavailable: The voice server does not answer, or has no telephone side.
        DatabaseUnavailable: The database does not answer.
    """
    changed = 0
    for rule in await trunks.list_rules(server=voice):
        errand = Errand.from_json(rule.metadata)
        if errand is None or rule.name != f"{RULE_PREFIX}{errand.tenant_id}":
            continue  # somebody else's
        wanted = await asyncio.to_thread(_agent_name, errand.tenant_id)
        if rule.agent_name != wanted:
            await trunks.save_rule(replace(rule, agent_name=wanted), server=voice)
            changed += 1
    return changed


def _agent_name(tenant_id: UUID) -> str:
    with database.tenant_transaction(tenant_id) as conn:
        return cells.agent_name(conn, shared=settings().agent_name)
