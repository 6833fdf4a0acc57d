"""What happens in calls' rooms, as LiveKit tells it, and the watch over callers without an agent.

A caller who came into a room is looked after seconds later, by a message that waits in a queue:
LiveKit tells a room's events one after the other and waits for each answer, so none is kept
waiting here. While nobody has redeemed the call's token no agent has come: then one more is sent,
then the room is ended, and the telephone side offers the caller what it can. The same is done for a
caller whose agent was lost, should the agents' own watch, which is faster, not have done it.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args
from uuid import UUID

from psycopg import Connection

from aurion import aws, calls, cells, database, inbox, rooms, secrets, telemetry, tenants
from aurion.aws import AwsRefused
from aurion.calls import Call
from aurion.errors import (
    CallNotFound,
    QueueUnavailable,
    RequestMalformed,
    TenantNotFound,
    Unavailable,
)
from aurion.http import Request, Response
from aurion.rooms import Errand, VoiceServer
from aurion.settings import settings
from aurion.signatures import check_livekit
from aurion.twilio_calls import call_token

logger = logging.getLogger(__name__)

type Participant = Literal["agent", "phone", "other"]
type Look = Literal["first", "second", "last", "lost", "gone"]

AGENT_WITHIN_S = 3
"""How soon an agent must be there."""

_ANOTHER_WITHIN_S = 2

_KINDS: dict[str, Participant] = {"AGENT": "agent", "SIP": "phone"}
_NEXT: dict[Look, Look] = {"first": "second", "second": "last", "lost": "gone"}
_AFTER_A_LOSS = ("lost", "gone")
# Whoever leaves a room for one of these reasons was meant to.
_MEANT = ("CLIENT_INITIATED", "PARTICIPANT_REMOVED", "ROOM_DELETED", "ROOM_CLOSED")


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """Something that happened in a call's room; numbers that are in the event are left there."""

    id: str
    kind: str
    room: str
    tenant_id: UUID
    participant: Participant | None
    identity: str = ""
    reason: str = ""

    @property
    def lost_agent_of(self) -> UUID | None:
        """The call whose agent is gone without having been meant to."""
        if self.kind == "participant_left" and self.reason not in _MEANT:
            return rooms.call_of_agent(self.identity)
        return None

    @property
    def says_that_a_caller_came(self) -> bool:
        """Whether somebody is on the phone now, and waits."""
        return self.kind == "participant_joined" and self.participant == "phone"


def answer(request: Request) -> Response:
    """Take an event up, once.

    Raises:
        Forged: LiveKit did not sign this body.
        RequestMalformed: It is no event.
        SecretsUnavailable: Nothing can be verified now.
        DatabaseUnavailable: The event could not be noted; LiveKit tells it again.
        QueueUnavailable: The watch could not begin; LiveKit tells it again.
    """
    voice = secrets.get_fields(settings().livekit_secret, "api_key", "api_secret")
    check_livekit(
        request.body,
        authorization=request.headers.get("authorization", ""),
        api_key=voice["api_key"],
        api_secret=voice["api_secret"],
    )
    event = read(request.body)
    if event is None:
        return Response(200)
    try:
        with database.tenant_transaction(event.tenant_id) as conn:
            tenants.get(conn)
            call = calls.find_by_token(conn, event.room.removeprefix(rooms.PREFIX))
            lost = _lost_call(conn, event)
        # Before the event is noted: a watch too many does nothing, one too few leaves a caller
        # alone.
        if call is not None and event.says_that_a_caller_came:
            _watch(call, "first")
        if lost is not None:
            _watch(lost, "lost", after_s=0)
        with database.tenant_transaction(event.tenant_id) as conn:
            inbox.accept(conn, provider="livekit", event_id=event.id)
    except TenantNotFound:
        logger.warning("an event of a company that is gone", extra={"kind": event.kind})
    return Response(200)


def read(body: bytes) -> RoomEvent | None:
    """Read a webhook's body; None when it is about no room of a company's call.

    Raises:
        RequestMalformed: It is no event.
    """
    try:
        raw: Any = json.loads(body)
        event_id, kind = str(raw["id"]), str(raw["event"])
        room: Any = raw.get("room") or {}
        errand = Errand.from_json(room.get("metadata") or "")
        name = str(room.get("name") or "")
        who: Any = raw.get("participant")
        participant = None if who is None else _KINDS.get(str(who.get("kind")), "other")
        identity = "" if who is None else str(who.get("identity") or "")
        reason = "" if who is None else str(who.get("disconnectReason") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RequestMalformed from None
    if not 0 < len(event_id) <= 200:
        raise RequestMalformed
    if errand is None or not name.startswith(rooms.PREFIX):
        return None
    return RoomEvent(event_id, kind, name, errand.tenant_id, participant, identity, reason)


def work_off(records: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Look after the callers of a batch of messages, and name those that must come again."""
    failed: list[dict[str, str]] = []
    for record in records:
        try:
            asyncio.run(_look(record["body"]))
        except (Unavailable, RequestMalformed) as error:
            logger.warning("a message comes again", extra={"error": type(error).__name__})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


async def _look(body: str) -> None:
    tenant_id, call_id, look = _read_message(body)
    waiting = "active" if look in _AFTER_A_LOSS else "ringing"
    found = await asyncio.to_thread(_find_lonely, tenant_id, call_id, waiting)
    if found is None:
        return
    call, agent_name, unredeemed = found
    server = await asyncio.to_thread(VoiceServer.from_secret)
    token = call_token(tenant_id, call.provider_call_id or "", secret=server.api_secret)
    room = rooms.PREFIX + token
    there = {participant.kind for participant in await rooms.who_is_in(room, server=server)}
    if "phone" not in there or (look in _AFTER_A_LOSS and "agent" in there):
        return
    log = {"call": str(call.id), "tenant": str(tenant_id), "look": look}
    if look in ("last", "gone") or (look == "second" and unredeemed):
        logger.error("no agent came, and none will", extra=log)
        await rooms.end(room, server=server)
        return
    if unredeemed or look == "lost":
        logger.error("no agent is there: another is sent", extra=log)
        telemetry.count("NoAgentCame", call=str(call.id))
        # The token lets one agent in: should both come after all, the second is refused.
        errand = Errand(tenant_id, resume=call.id, tries=1) if look == "lost" else Errand(tenant_id)
        await rooms.send_agent(room, agent_name=agent_name, errand=errand, server=server)
    await asyncio.to_thread(_watch, call, _NEXT[look], after_s=_ANOTHER_WITHIN_S)


def _find_lonely(
    tenant_id: UUID, call_id: UUID, status: calls.CallStatus
) -> tuple[Call, str, bool] | None:
    """Read a call that has this status, which agents it is for, and whether none came to it yet."""
    with database.tenant_transaction(tenant_id) as conn:
        try:
            call = calls.get(conn, call_id)
        except CallNotFound:
            return None
        if call.status != status:
            return None
        agent_name = cells.agent_name(conn, shared=settings().agent_name)
        return call, agent_name, calls.awaits_agent(conn, call_id)


def _lost_call(conn: Connection, event: RoomEvent) -> Call | None:
    if event.lost_agent_of is None:
        return None
    try:
        call = calls.get(conn, event.lost_agent_of)
    except CallNotFound:
        return None
    return call if call.status == "active" else None


def _watch(call: Call, look: Look, *, after_s: int = AGENT_WITHIN_S) -> None:
    body = {
        "version": 1,
        "tenant_id": str(call.tenant_id),
        "call_id": str(call.id),
        "look": look,
    }
    try:
        aws.call(
            aws.client("sqs"),
            "send_message",
            QueueUrl=settings().room_watch_queue_url,
            MessageBody=json.dumps(body),
            DelaySeconds=after_s,
        )
    except AwsRefused as error:
        raise QueueUnavailable from error


def _read_message(body: str) -> tuple[UUID, UUID, Look]:
    try:
        message: Any = json.loads(body)
        if message["version"] != 1 or message["look"] not in get_args(Look.__value__):
            raise RequestMalformed
        return UUID(message["tenant_id"]), UUID(message["call_id"]), message["look"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RequestMalformed from None
