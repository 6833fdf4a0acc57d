"""What a tool has at hand: the call's state, the company's ticket system, and the agent's voice."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from aurion.itsm import Asset, Connector, Outage, Requester, Ticket

from agent_container import phrases
from agent_container.call_state import CallState, PendingWrite
from agent_container.tools.registry import Result
from agent_container.tools.text import spoken

logger = logging.getLogger(__name__)


class Voice(Protocol):
    """Whoever speaks on this call."""

    def say(self, text: str) -> None:
        """Say a text after what is being said now, and let the model know it was said."""
        ...

    async def finish(self) -> None:
        """Wait until everything has been said."""
        ...


@dataclass(slots=True)
class Desk:
    """Serve one call's tools."""

    state: CallState
    voice: Voice

    @property
    def connector(self) -> Connector:
        """Return the company's ticket system."""
        return self.state.connector

    def say(self, *keys: str, **slots: str) -> None:
        """Say fixed phrases, in one breath, in the call's language.

        What fills their slots is cleaned first.
        """
        cleaned = {name: spoken(value) for name, value in slots.items()}
        said = [phrases.say(key, self.state.language, **cleaned) for key in keys]
        self.voice.say(" ".join(said))

    def ask(self, tool: str, arguments: Mapping[str, str], key: str, **slots: str) -> Result:
        """Put the exact change to the caller in a fixed sentence, and wait for their own answer."""
        self.state.pending = PendingWrite(tool, dict(arguments), "asked")
        self.say(key, **slots)
        return {"status": "asked"}

    def offer(self, tool: str, arguments: Mapping[str, str], key: str, **slots: str) -> Result:
        """Mention a change beside something else; only an explicit request takes it."""
        known = self.state.pending
        self.state.pending = PendingWrite(tool, dict(arguments), "offered", turns_left=3)
        if known is None or known.tool != tool or known.mode != "offered":
            self.say(key, **slots)  # said once, it needn't follow every step
        return {"status": "offered"}

    async def requester(self) -> Requester | None:
        """Return the caller as the ticket system knows them; nobody below level 1."""
        state = self.state
        if state.requester is None and state.person is not None and state.level >= 1:
            state.requester = await self.connector.find_requester(state.person.email)
        return state.requester

    async def tickets(self) -> list[Ticket]:
        """List the caller's own tickets, prefetched when they have arrived already."""
        if self.state.tickets is None:
            requester = await self.requester()
            found = [] if requester is None else await self.connector.tickets_of(requester.id)
            self.state.tickets = found
        return self.state.tickets

    async def assets(self) -> list[Asset]:
        """List what the caller holds."""
        if self.state.assets is None:
            requester = await self.requester()
            found = [] if requester is None else await self.connector.assets_of(requester.id)
            self.state.assets = found
        return self.state.assets

    async def outages(self) -> list[Outage]:
        """List the disturbances that are known now."""
        if self.state.outages is None:
            self.state.outages = await self.connector.outages()
        return self.state.outages
