"""The line a call comes in on: typed text, audio on this machine, or a room of the voice server."""

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol

from livekit import rtc
from livekit.agents.voice import io

type LineKind = Literal["text", "local", "room"]


class Line(Protocol):
    """What a call needs from the line it runs on; the call's own code is the same on every kind.

    A text line has `typed` and no audio. A local line has both audio ends. A room line has the
    room; the session makes its audio ends itself.
    """

    @property
    def kind(self) -> LineKind:
        """Say which kind of line this is."""
        ...

    @property
    def calling_number(self) -> str | None:
        """Return the caller's number (E.164), None when it is withheld."""
        ...

    @property
    def audio_input(self) -> io.AudioInput | None:
        """Return where the caller's audio comes from."""
        ...

    @property
    def audio_output(self) -> io.AudioOutput | None:
        """Return where the agent's audio goes."""
        ...

    @property
    def room(self) -> rtc.Room | None:
        """Return the room, on a room line."""
        ...

    @property
    def caller_identity(self) -> str | None:
        """Return which participant of the room is the caller, on a room line."""
        ...

    @property
    def typed(self) -> asyncio.Queue[str] | None:
        """Return the caller's typed sentences, on a text line."""
        ...

    @property
    def closed(self) -> asyncio.Event:
        """Return the event that is set once the far end has hung up."""
        ...

    def on_key(self, callback: Callable[[str], None]) -> None:
        """Have each key the caller presses reported: one of 0-9, * and #."""
        ...

    async def put_through(self, number: str, *, ringing_s: float) -> bool:
        """Hand the caller over to a number (E.164); False when they are still here."""
        ...

    async def hang_up(self) -> None:
        """End the call from our side."""
        ...
