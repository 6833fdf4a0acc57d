"""What operators do, as commands with plain arguments and plain answers.

On one machine the `aurion` command calls these directly; for an environment in the cloud it sends
the same command to the function `operate`, which calls them there. So both do the same thing.
"""

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, cast
from uuid import UUID, uuid4

from psycopg.rows import dict_row

from aurion import (
    calls,
    cells,
    database,
    people,
    phone_numbers,
    recordings,
    secrets,
    telephony,
    tenants,
    tickets,
    turns,
)
from aurion.calls import Call
from aurion.errors import (
    AurionError,
    CallNotFound,
    OperationUnknown,
    RecordingNotFound,
    RequestMalformed,
    SettingRejected,
    TenantUnclear,
)
from aurion.tenants import Tenant

type Arguments = Mapping[str, Any]
type Answer = dict[str, Any]

_MOST_LISTED = 500


def answer(event: Mapping[str, Any]) -> Answer:
    """Run the command of an event; an error of ours is an answer too.

    The event is {"command": "number.add", "arguments": {...}}, the answer {"result": ...} or
    {"error": {"kind", "message"}}.
    """
    try:
        arguments: Any = event.get("arguments", {})
        if not isinstance(arguments, dict):
            raise RequestMalformed
        return {"result": run(str(event.get("command")), cast("Arguments", arguments))}
    except AurionError as error:
        return {"error": {"kind": type(error).__name__, "message": str(error)}}


def run(command: str, arguments: Arguments) -> Answer:
    """Run a command.

    Raises:
        OperationUnknown: There is no such command.
        RequestMalformed: An argument is missing or of another kind.
        AurionError: What the command itself raises.
    """
    if command not in _COMMANDS:
        raise OperationUnknown
    return _COMMANDS[command](arguments)


def commands() -> set[str]:
    """Name the commands there are."""
    return set(_COMMANDS)


def find_tenant(wanted: str) -> Tenant:
    """Find a company by its name or its id.

    Raises:
        TenantUnclear: None, or more than one, answers to it.
        DatabaseUnavailable: The database does not answer.
    """
    found = [
        tenant
        for tenant in tenants.list_all()
        if wanted.casefold() in (tenant.name.casefold(), str(tenant.tenant_id))
    ]
    if len(found) != 1:
        raise TenantUnclear
    return found[0]


def _add_tenant(arguments: Arguments) -> Answer:
    given = dict(arguments)
    name = _text(given, "name")
    tenant_id = _id(given["id"]) if "id" in given else uuid4()
    settings = {key: value for key, value in given.items() if key not in ("name", "id")}
    settings.setdefault("itsm_secret", secrets.itsm_secret_name(tenant_id))
    with database.tenant_transaction(tenant_id) as conn:
        # `tenants.add` refuses what it doesn't know, and whatever the database's checks refuse.
        tenant = tenants.add(conn, name=name, **cast("Any", settings))
    return _describe_tenant(tenant, [])


def _list_tenants(_: Arguments) -> Answer:
    described: list[Answer] = []
    for tenant in tenants.list_all():
        with database.tenant_transaction(tenant.tenant_id) as conn:
            described.append(_describe_tenant(tenant, phone_numbers.list_all(conn)))
    return {"tenants": described}


def _set_tenant(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    changes = {name: value for name, value in arguments.items() if name != "tenant"}
    with database.tenant_transaction(owner.tenant_id) as conn:
        tenant = tenants.update(conn, **cast("Any", changes))
        return _describe_tenant(tenant, phone_numbers.list_all(conn))


def _want_cell(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    least, most = arguments.get("min_tasks", 1), arguments.get("max_tasks", 4)
    if not isinstance(least, int) or not isinstance(most, int):
        raise RequestMalformed
    if not 1 <= least <= most <= 50:
        raise SettingRejected
    with database.tenant_transaction(owner.tenant_id) as conn:
        return _describe_cell(cells.want(conn, min_tasks=least, max_tasks=most))


def _give_up_cell(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    with database.tenant_transaction(owner.tenant_id) as conn:
        return _describe_cell(cells.give_up(conn))


def _show_cell(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    with database.tenant_transaction(owner.tenant_id) as conn:
        return _describe_cell(cells.get(conn))


def _describe_cell(cell: cells.Cell | None) -> Answer:
    if cell is None:
        return {"wanted": False, "state": "gone", "taking_calls": False}
    return {
        "wanted": cell.wanted,
        "state": cell.state,
        "taking_calls": cell.taking_calls,
        "min_tasks": cell.min_tasks,
        "max_tasks": cell.max_tasks,
        "stack_status": cell.stack_status,
    }


def _describe_tenant(tenant: Tenant, numbers: list[str]) -> Answer:
    return {
        "id": str(tenant.tenant_id),
        "name": tenant.name,
        "status": tenant.status,
        "languages": list(tenant.languages),
        "badge_format": tenant.badge_format,
        "retention_days": tenant.retention_days,
        "fallback_number": tenant.fallback_number,
        "itsm_secret": tenant.itsm_secret,
        "numbers": numbers,
    }


def _add_number(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    with database.tenant_transaction(owner.tenant_id) as conn:
        phone_numbers.add(conn, _text(arguments, "number"))
    return {"number": _text(arguments, "number"), "tenant": owner.name}


def _remove_number(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    with database.tenant_transaction(owner.tenant_id) as conn:
        phone_numbers.remove(conn, _text(arguments, "number"))
    return {"number": _text(arguments, "number"), "tenant": owner.name}


def _import_people(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    try:
        rows = io.BytesIO(base64.b64decode(_text(arguments, "csv"), validate=True))
    except ValueError:
        raise RequestMalformed from None  # the cause would quote the file
    report = people.import_csv(owner, rows)
    return {
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "rejected": [asdict(rejection) for rejection in report.rejected],
    }


def _list_people(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    listed: list[Answer] = []
    with database.tenant_transaction(owner.tenant_id) as conn:
        after = None
        while page := people.list_all(conn, after=after):
            listed += [
                {
                    "name": person.name,
                    "language": person.language,
                    "email": person.email,
                    "phone": person.phone,
                    "restricted": person.restricted,
                    "enrolled_at": person.enrolled_at and person.enrolled_at.isoformat(),
                }
                for person in page
            ]
            after = (page[-1].name_norm, page[-1].id)
    return {"tenant": owner.name, "people": listed}


def _list_calls(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    limit = arguments.get("limit", 20)
    if not isinstance(limit, int):
        raise RequestMalformed
    limit = min(_MOST_LISTED, max(1, limit))
    with database.tenant_transaction(owner.tenant_id) as conn:
        return {
            "calls": [_describe_call(conn, call) for call in calls.list_recent(conn, limit=limit)]
        }


def _show_call(arguments: Arguments) -> Answer:
    owner = find_tenant(_text(arguments, "tenant"))
    with database.tenant_transaction(owner.tenant_id) as conn:
        call = calls.get(conn, _complete(conn, _text(arguments, "call")))
        shown = _describe_call(conn, call)
        shown["turns"] = [
            {
                "seq": turn.seq,
                "speaker": turn.speaker,
                "text": turn.text,
                "reply_ms": turn.reply_ms,
            }
            for turn in turns.list_all(conn, call.id)
        ]
        shown["tickets"] = [
            {"number": reference.number, "kind": reference.kind}
            for reference in tickets.list_references(conn, call.id)
        ]
        try:
            recording = recordings.get(conn, call.id)
            shown["recording"] = {
                "status": recording.status,
                "seconds": (recording.duration_ms or 0) / 1000,
                "silent_s": sum(end - start for start, end in recording.guarded_intervals) / 1000,
                "object_key": recording.object_key,
            }
        except RecordingNotFound:
            shown["recording"] = None
    return shown


def _list_called(_: Arguments) -> Answer:
    return {"companies": [company.describe() for company in telephony.list_companies()]}


def _describe_connection(_: Arguments) -> Answer:
    """Say how this function's own connection is protected, as the database itself sees it."""
    with (
        database.system_transaction() as conn,
        conn.cursor(row_factory=dict_row) as cursor,
    ):
        seen = cursor.execute(
            """
            SELECT s.ssl AS encrypted, s.version AS tls, s.cipher, s.bits,
                current_setting('server_version') AS server
            FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()
            """
        ).fetchone()
    assert seen is not None
    return seen


def _describe_call(conn: database.Connection, call: Call) -> Answer:
    lasted = None
    if call.ended_at and call.answered_at:
        lasted = (call.ended_at - call.answered_at).total_seconds()
    return {
        "id": str(call.id),
        "started_at": call.started_at.isoformat(),
        "channel": call.channel,
        "caller": people.get(conn, call.person_id).name if call.person_id else None,
        "level": call.level,
        "language": call.language,
        "status": call.status,
        "outcome": call.outcome,
        "seconds": lasted,
    }


def _complete(conn: database.Connection, beginning: str) -> UUID:
    found = [
        call.id
        for call in calls.list_recent(conn, limit=_MOST_LISTED)
        if str(call.id).startswith(beginning.lower())
    ]
    if len(found) != 1:
        raise CallNotFound
    return found[0]


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise RequestMalformed
    return value


def _id(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise RequestMalformed from None


_COMMANDS: dict[str, Callable[[Arguments], Answer]] = {
    "tenant.add": _add_tenant,
    "tenant.list": _list_tenants,
    "tenant.set": _set_tenant,
    "cell.want": _want_cell,
    "cell.give_up": _give_up_cell,
    "cell.show": _show_cell,
    "number.add": _add_number,
    "number.remove": _remove_number,
    "people.import": _import_people,
    "people.list": _list_people,
    "calls.list": _list_calls,
    "calls.show": _show_call,
    "telephony.companies": _list_called,
    "database.connection": _describe_connection,
}
