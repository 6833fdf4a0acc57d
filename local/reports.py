"""What one call came to: read from the database and the ticket system once it is over."""

from dataclasses import dataclass
from uuid import UUID

from aurion import calls, database, itsm, people, recordings, secrets, tickets, turns
from aurion.calls import Call
from aurion.errors import RecordingNotFound, Rejected, TicketNotFound, Unavailable
from aurion.recordings import Recording
from aurion.tenants import Tenant
from aurion.turns import Turn
from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel

from local import state
from local.state import State

_DONE = {"opened": "opened", "commented": "comment added", "callback": "call-back requested"}


@dataclass(frozen=True, slots=True)
class TicketDone:
    """A ticket a call touched, and what it did there; the summary is the ticket system's."""

    number: str
    done: str
    summary: str


@dataclass(frozen=True, slots=True)
class CallReport:
    """A call that is over; `caller` is the name of who was verified."""

    call: Call
    caller: str | None
    turns: tuple[Turn, ...]
    tickets: tuple[TicketDone, ...]
    recording: Recording | None


async def read(tenant: Tenant, call_id: UUID) -> CallReport:
    """Read what a call left."""
    with database.tenant_transaction(tenant.tenant_id) as conn:
        call = calls.get(conn, call_id)
        caller = people.get(conn, call.person_id).name if call.person_id else None
        said = turns.list_all(conn, call_id)
        references = tickets.list_references(conn, call_id)
        try:
            recording = recordings.get(conn, call_id)
        except RecordingNotFound:
            recording = None
    summaries = await _summaries(tenant, {reference.number for reference in references})
    touched = tuple(
        TicketDone(r.number, _DONE[r.kind], summaries.get(r.number, "")) for r in references
    )
    return CallReport(call, caller, tuple(said), touched, recording)


async def _summaries(tenant: Tenant, numbers: set[str]) -> dict[str, str]:
    if not numbers:
        return {}
    desk = itsm.connect(
        tenant.itsm_kind, base_url=tenant.itsm_url, secret=secrets.get(tenant.itsm_secret)
    )
    try:
        return {number: (await desk.get_ticket(number)).summary for number in sorted(numbers)}
    except (Unavailable, Rejected, TicketNotFound):
        return {}
    finally:
        await desk.aclose()


def as_object(report: CallReport) -> dict[str, object]:
    """Give a report as the object of --json."""
    call, recording = report.call, report.recording
    return {
        "call": str(call.id),
        "channel": call.channel,
        "level": call.level,
        "caller": report.caller,
        "language": call.language,
        "outcome": call.outcome,
        "tickets": [
            {"number": t.number, "done": t.done, "summary": t.summary} for t in report.tickets
        ],
        "turns": [
            {
                "speaker": turn.speaker,
                "text": turn.text,
                "language": turn.language,
                "reply_ms": turn.reply_ms,
            }
            for turn in report.turns
        ],
        "recording": recording
        and {
            "status": recording.status,
            "object": recording.object_key,
            "duration_ms": recording.duration_ms,
            "guarded_intervals": recording.guarded_intervals,
        },
    }


def show(report: CallReport, running: State, console: Console) -> None:
    """Print the box at the end of a call: who, how surely, what came of it, and where it all is."""
    call = report.call
    rows = [
        ("caller", f"{report.caller or 'nobody verified'}, level {call.level}"),
        ("language", call.language or "-"),
        ("outcome", call.outcome or call.status),
    ]
    rows += [("ticket", f"{t.number} {t.done}: {t.summary}") for t in report.tickets]
    rows.append(("recording", _recording(report.recording)))
    waits = sorted(t.reply_ms for t in report.turns if t.reply_ms is not None)
    if waits:
        typical = waits[len(waits) // 2]
        rows.append(("replies after", f"{typical / 1000:.2f} s (median), {waits[-1] / 1000:.2f} s"))
    rows += [
        ("call", f"aurion calls show {str(call.id)[:8]}"),
        ("demo desk", running.desk_url),
        ("logs", str(state.home() / "logs")),
    ]
    lines = [f"[dim]{label:<14}[/] {escape(value)}" for label, value in rows]
    console.print(Panel(Group(*lines), title="The call", expand=False))


def _recording(recording: Recording | None) -> str:
    if recording is None:
        return "none"
    if recording.object_key is None:
        return recording.status
    guarded = sum(end - start for start, end in recording.guarded_intervals) / 1000
    length = (recording.duration_ms or 0) / 1000
    return f"{length:.1f} s, {guarded:.1f} s of it silence on purpose, s3://{recording.object_key}"
