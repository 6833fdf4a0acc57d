"""The turns of one call on their way into the database: in order, kept while it is down."""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from uuid import UUID

from aurion import database, turns
from aurion.errors import CallClosed, CallNotFound, DatabaseUnavailable, StaleEpoch
from aurion.tenants import Language

from agent_container import config

logger = logging.getLogger(__name__)

REDACTED_BADGE = turns.REDACTED
REDACTED_NAME = "[redacted: name]"

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Entry:
    speaker: turns.Speaker
    text: str
    language: Language | None
    reply_ms: int | None


class TurnLog:
    """Write a call's turns down; one task writes, so that the order is the order of speaking.

    `written` is how many turns the call has already. `taken_over` is set once another agent has the
    call: whoever holds this log must leave without another word.
    """

    def __init__(self, tenant_id: UUID, call_id: UUID, *, epoch: int, written: int = 0) -> None:
        self._tenant_id = tenant_id
        self._call_id = call_id
        self._epoch = epoch
        self._written = written
        self._waiting: deque[_Entry] = deque()
        self._pulse = asyncio.Event()
        self._accepted = 0
        self._done = 0
        self._task: asyncio.Task[None] | None = None
        self.down = False
        self.taken_over = asyncio.Event()

    def start(self) -> None:
        """Begin to write; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="turn log")

    async def caller(self, text: str, language: Language | None) -> bool:
        """Write what the caller said and return whether it is committed; it is kept either way."""
        number = self._accept(_Entry("caller", text, language, None))
        return await self._wait_for(number, config.COMMIT_S)

    def agent(self, text: str, language: Language | None, reply_ms: int | None = None) -> None:
        """Write what the agent has said, without waiting for it."""
        self._accept(_Entry("agent", text, language, reply_ms))

    async def flush(self, timeout_s: float) -> bool:
        """Wait until everything is committed, for so long at most; return whether it is."""
        return await self._wait_for(self._accepted, timeout_s)

    async def recovered(self) -> None:
        """Wait until the database has taken everything again."""
        while self.down or self._done < self._accepted:
            await self._pulse.wait()

    async def aclose(self) -> None:
        """Stop writing."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _accept(self, entry: _Entry) -> int:
        self._waiting.append(entry)
        self._accepted += 1
        self._notify()
        return self._accepted

    def _notify(self) -> None:
        self._pulse.set()
        self._pulse = asyncio.Event()

    async def _wait_for(self, number: int, timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (self._done >= number or self.down or self.taken_over.is_set()):
                    await self._pulse.wait()
        if self._done < number and not self.taken_over.is_set():
            self.down = True  # the caller has waited long enough; the writer goes on trying
        return self._done >= number

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                await self._pulse.wait()
            entries = list(self._waiting)
            try:
                await asyncio.to_thread(self._append, entries)
            except DatabaseUnavailable:
                if not self.down:
                    logger.warning(
                        "turns wait for the database", extra={"call": str(self._call_id)}
                    )
                self.down = True
                self._notify()
                await asyncio.sleep(_RETRY_S)
                continue
            except (StaleEpoch, CallClosed, CallNotFound):
                self.taken_over.set()
                self._notify()
                return
            for _ in entries:
                self._waiting.popleft()
            self._written += len(entries)
            self._done += len(entries)
            self.down = False
            self._notify()

    def _append(self, entries: list[_Entry]) -> None:
        with database.tenant_transaction(self._tenant_id) as conn:
            for seq, entry in enumerate(entries, start=self._written + 1):
                # Numbered by us: the answer to a commit can be lost, and the turn must not double.
                turns.append(
                    conn,
                    call_id=self._call_id,
                    epoch=self._epoch,
                    speaker=entry.speaker,
                    text=entry.text,
                    language=entry.language,
                    reply_ms=entry.reply_ms,
                    seq=seq,
                )
