"""A call as it happens, for the eyes: who speaks, what the agent does, how long it takes."""

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from agent_container.call_state import Speaker, Stage, ToolStatus

_STAGES: dict[Stage, str] = {
    "greeting": "the agent answers",
    "verifying": "verifying who calls (name and badge are not shown, stored or sent to a model)",
    "verified": "verified",
    "unverified": "not verified: public help, a person or a message only",
    "desk": "the desk listens",
    "transferring": "looking for a person",
    "over": "the call is over",
}
_TOOLS: dict[ToolStatus, str] = {
    "done": "[green]done[/]",
    "asked": "[cyan]waits for the caller's yes[/]",
    "refused": "[yellow]refused[/]",
    "unavailable": "[yellow]desk does not answer[/]",
    "failed": "[red]failed[/]",
}


@dataclass(slots=True)
class SpokenTurn:
    """One utterance as the call's events told it; `reply_ms` is the caller's wait before it."""

    speaker: Speaker
    text: str
    at_s: float
    reply_ms: int | None


@dataclass(slots=True)
class Transcript:
    """Prints a call's events and keeps them for the summary."""

    console: Console
    started_at: float = field(default_factory=time.time)
    last_event_at: float = 0.0
    agent_spoke_at: float = 0.0
    turns: list[SpokenTurn] = field(default_factory=list)
    tools: list[tuple[str, ToolStatus, int]] = field(default_factory=list)

    def said(self, speaker: Speaker, text: str, at: float, reply_ms: int | None) -> None:
        """Print an utterance."""
        self.turns.append(SpokenTurn(speaker, text, at - self.started_at, reply_ms))
        self.last_event_at = time.time()
        if speaker == "agent":
            self.agent_spoke_at = self.last_event_at
        if speaker == "tool":
            return
        waited = f" [dim]{reply_ms / 1000:.2f} s[/]" if reply_ms is not None else ""
        who = "[bold cyan]caller[/]" if speaker == "caller" else "[bold green] agent[/]"
        self._print(f"{who} │ {escape(text)}{waited}", at)

    def tool(self, name: str, status: ToolStatus, ms: int) -> None:
        """Print what a tool did."""
        self.tools.append((name, status, ms))
        self.last_event_at = time.time()
        self._print(
            f"       │ [dim]{escape(name)}[/] {_TOOLS[status]} [dim]{ms} ms[/]", time.time()
        )

    def state(self, name: Stage) -> None:
        """Print that the call has come to another stage."""
        self.last_event_at = time.time()
        self._print(f"       │ [dim italic]{_STAGES[name]}[/]", time.time())

    def _print(self, text: str, at: float) -> None:
        seconds = max(0, int(at - self.started_at))
        self.console.print(f"[dim]{seconds // 60:02d}:{seconds % 60:02d}[/] {text}")
