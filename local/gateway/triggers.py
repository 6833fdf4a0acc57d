"""What wakes functions by itself: queues with messages in them, and schedules."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.gateway import events, schedules
from local.gateway.sandboxes import Outcome, Throttled

logger = logging.getLogger(__name__)

type Invocation = Awaitable[Outcome]
type Invoke = Callable[[object], Invocation]

_MOST_MESSAGES = 10
_POLL_S = 0.5
_IDLE_POLL_S = 2.0  # a queue nobody has used for a while: each look costs local AWS some work
_LATER_S = 2.0
_THROTTLED_S = 0.2


async def watch_queue(sqs: Any, url: str, invoke: Invoke, *, region: str) -> None:
    """Hand a queue's messages over in batches, for ever; what fails stays until it is seen again.

    The queue itself moves a message that was seen too often to its dead-letter queue.
    """
    arn = f"arn:aws:sqs:{region}:{events.ACCOUNT}:{url.rpartition('/')[2]}"
    pause_s = _POLL_S
    while True:
        try:
            messages = await asyncio.to_thread(_receive, sqs, url)
        except (BotoCoreError, ClientError):
            logger.warning("a queue does not answer")
            await asyncio.sleep(_LATER_S)
            continue
        if not messages:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _IDLE_POLL_S)
            continue
        pause_s = _POLL_S
        done = await _hand_over(messages, invoke, arn=arn, region=region)
        if done:
            with contextlib.suppress(BotoCoreError, ClientError):  # then it is seen once more
                await asyncio.to_thread(sqs.delete_message_batch, QueueUrl=url, Entries=done)


async def keep_schedule(
    name: str, expression: str, invoke: Invoke, *, region: str, soonest_s: float | None = None
) -> None:
    """Invoke a function at its turns, for ever, one at a time.

    With `soonest_s` a rate of a few minutes is kept that much faster, so that nobody at a desk has
    to wait for it.
    """
    every = schedules.rate_s(expression)
    hastened = soonest_s is not None and every is not None and every <= _HASTENED_RATE_S
    while True:
        now = datetime.now(UTC)
        turn = schedules.next_turn(expression, now)
        if hastened and soonest_s is not None:
            turn = min(turn, now + timedelta(seconds=soonest_s))
        while (wait_s := (turn - datetime.now(UTC)).total_seconds()) > 0:
            await asyncio.sleep(min(wait_s, 60))  # a laptop that slept notices that it did
        try:
            outcome = await invoke(events.schedule_event(name, at=turn, region=region))
        except Throttled:
            logger.warning("a schedule's function is throttled", extra={"function": name})
        else:
            if outcome.failed:
                logger.warning("a schedule's function failed", extra={"function": name})


_HASTENED_RATE_S = 60


def _receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=_MOST_MESSAGES,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    return list(answer.get("Messages", []))


async def _hand_over(
    messages: list[dict[str, Any]], invoke: Invoke, *, arn: str, region: str
) -> list[dict[str, str]]:
    """Invoke for a batch; return the entries of what is done and can be deleted."""
    sent = [message["MessageId"] for message in messages]
    try:
        outcome = await invoke(events.queue_event(messages, arn=arn, region=region))
    except Throttled:
        return []
    failed = set(sent) if outcome.failed else events.failed_messages(outcome.payload, sent)
    return [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
        for number, message in enumerate(messages)
        if message["MessageId"] not in failed
    ]


async def invoke_later(invoke: Invoke, event: object, *, pauses_s: tuple[float, ...]) -> None:
    """Run an asynchronous invocation: tried again after each pause while it fails, then dropped.

    To be throttled is no try: the event waits.
    """
    pauses = iter(pauses_s)
    while True:
        try:
            if not (await invoke(event)).failed:
                return
        except Throttled:
            await asyncio.sleep(_THROTTLED_S)
            continue
        pause_s = next(pauses, None)
        if pause_s is None:
            # Never the event itself: it may hold what a caller said.
            logger.error("an asynchronous invocation was given up")
            return
        await asyncio.sleep(pause_s)
