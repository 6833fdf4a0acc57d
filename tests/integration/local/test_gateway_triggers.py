"""What wakes functions besides HTTP: Lambda's own API as boto3 speaks it, queues, schedules."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws import Aws
from local.gateway import environments
from local.gateway.process import GatewayProcess
from tests.gateways import add_function, add_queue, gateway_over

NOTE = """
import json
def handler(event, context):
    with open("../noted.jsonl", "a") as notes:
        notes.write(json.dumps(event) + "\\n")
    if event == "raise":
        raise RuntimeError("as asked")
    if event == "hold":
        import time
        time.sleep(1)
    return {"echo": event, "arn": context.invoked_function_arn}
"""
CONSUME = """
import json
def handler(event, context):
    with open("../consumed.jsonl", "a") as notes:
        notes.write(json.dumps(event) + "\\n")
    bodies = [record["body"] for record in event["Records"]]
    if "raise" in bodies:
        raise RuntimeError("the whole batch")
    failed = [r["messageId"] for r in event["Records"] if r["body"].startswith("poison")]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}
"""
TICK = """
import json
def handler(event, context):
    with open("../ticks.jsonl", "a") as notes:
        notes.write(json.dumps(event) + "\\n")
    raise RuntimeError("a failing turn does not end the schedule")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    functions = tmp_path_factory.mktemp("functions")
    add_queue(functions, "retention", visibility_s=60, max_receives=2)
    add_function(functions, "note", NOTE, concurrency=1)
    add_function(functions, "consume", CONSUME, queue="retention")
    add_function(functions, "tick", TICK, schedule="rate(1 minute)")
    add_function(functions, "daily", NOTE, schedule="cron(0 3 * * ? *)")
    return functions


@pytest.fixture(scope="module")
def queue(aws: Aws) -> str:
    """A queue whose messages come back soon; its name is this file's own."""
    sqs = aws.client("sqs")
    dead = sqs.create_queue(QueueName="gateway-test-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "2"}
    made = sqs.create_queue(
        QueueName="gateway-test",
        Attributes={"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive)},
    )
    return str(made["QueueUrl"])


@pytest.fixture(scope="module")
def gateway(folder: Path, aws: Aws, queue: str) -> Iterator[GatewayProcess]:
    settings = {environments.queue_variable("retention"): queue}
    with gateway_over(folder, settings=settings, aws=aws, soonest_s=0.5) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: GatewayProcess, aws: Aws) -> Any:
    known = aws.environment()
    return boto3.client(
        "lambda",
        endpoint_url=gateway.url,
        region_name=known["AWS_REGION"],
        aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(found: Callable[[], Any], within_s: float = 15.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.05)
    return answer


@pytest.mark.parametrize(
    "name",
    [
        "note",
        "aurion-local-note",
        "aurion-local-note:$LATEST",
        "arn:aws:lambda:eu-west-3:123456789012:function:aurion-local-note",
    ],
)
def test_boto3_invokes_a_function_by_each_of_its_names(client: Any, name: str) -> None:
    answer = client.invoke(FunctionName=name, Payload=b'{"a": ["\\u00e9", 1]}')
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    told = json.load(answer["Payload"])
    assert told["echo"] == {"a": ["é", 1]}
    assert told["arn"] == "arn:aws:lambda:eu-west-3:123456789012:function:aurion-local-note"


def test_failure_of_an_invoked_function_is_told_to_the_invoker(client: Any) -> None:
    answer = client.invoke(FunctionName="note", Payload=b'"raise"')
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    told = json.load(answer["Payload"])
    assert (told["errorType"], told["errorMessage"]) == ("RuntimeError", "as asked")


def test_unknown_function_unreadable_payload_and_throttling_are_errors_of_the_api(
    client: Any,
) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName="note", Payload=b"{")
    client.invoke(FunctionName="note", InvocationType="Event", Payload=b'"hold"')
    time.sleep(0.3)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName="note", Payload=b"{}")


def test_asynchronous_invocation_is_tried_twice_more(client: Any, folder: Path) -> None:
    before = lines(folder / "noted.jsonl").count("raise")
    answer = until(lambda: _accepted(client, b'"raise"'))
    assert answer["StatusCode"] == 202
    assert client.invoke(FunctionName="note", InvocationType="DryRun")["StatusCode"] == 204
    until(lambda: lines(folder / "noted.jsonl").count("raise") == before + 3)
    time.sleep(0.5)
    assert lines(folder / "noted.jsonl").count("raise") == before + 3


def _accepted(client: Any, payload: bytes) -> Any:
    return client.invoke(FunctionName="note", InvocationType="Event", Payload=payload)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "AWS4-HMAC-SHA256 Credential=somebody/20261124/eu-west-3/lambda/x"},
        {
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20261124/eu-west-3/lambda/x",
            "Host": "rebound.example",
        },
    ],
)
def test_invocation_that_names_no_key_of_the_stack_is_refused(
    gateway: GatewayProcess, folder: Path, headers: dict[str, str]
) -> None:
    before = len(lines(folder / "noted.jsonl"))
    url = f"{gateway.url}/2015-03-31/functions/note/invocations"
    answer = httpx2.post(url, content=b'"forged"', headers=headers, trust_env=False)
    assert answer.status_code == 403
    assert len(lines(folder / "noted.jsonl")) == before
    with pytest.raises(ClientError):
        boto3.client(
            "lambda",
            endpoint_url=gateway.url,
            region_name="eu-west-3",
            aws_access_key_id="AKIASOMEBODY",
            aws_secret_access_key="else",
        ).invoke(FunctionName="note")


def test_messages_arrive_as_sqs_hands_them_over_and_only_failed_ones_come_back(
    gateway: GatewayProcess, folder: Path, aws: Aws, queue: str
) -> None:
    sqs = aws.client("sqs")
    for body in ("one", "poison", "two"):
        attributes = {"kind": {"DataType": "String", "StringValue": "test"}}
        sqs.send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=attributes)

    def received(body: str) -> list[dict[str, Any]]:
        batches = lines(folder / "consumed.jsonl")
        return [r for batch in batches for r in batch["Records"] if r["body"] == body]

    poisoned = until(lambda: found if len(found := received("poison")) == 2 else None)
    assert [r["attributes"]["ApproximateReceiveCount"] for r in poisoned] == ["1", "2"]
    assert len(received("one")) == len(received("two")) == 1
    record = received("one")[0]
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == "arn:aws:sqs:eu-west-3:123456789012:gateway-test"
    assert record["messageAttributes"]["kind"]["stringValue"] == "test"
    assert record["awsRegion"] == "eu-west-3"
    dead = until(lambda: _dead_letters(sqs))
    assert [message["Body"] for message in dead] == ["poison"]
    left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessages"] == "0"


def test_batch_of_a_function_that_raises_comes_back_whole(
    gateway: GatewayProcess, folder: Path, aws: Aws, queue: str
) -> None:
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="raise")
    counts = until(
        lambda: (
            found
            if len(
                found := [
                    r["attributes"]["ApproximateReceiveCount"]
                    for batch in lines(folder / "consumed.jsonl")
                    for r in batch["Records"]
                    if r["body"] == "raise"
                ]
            )
            == 2
            else None
        )
    )
    assert counts == ["1", "2"]


def _dead_letters(sqs: Any) -> list[dict[str, Any]]:
    url = sqs.get_queue_url(QueueName="gateway-test-dead")["QueueUrl"]
    return list(sqs.receive_message(QueueUrl=url).get("Messages", []))


def test_schedule_turns_with_an_event_of_the_scheduler_and_goes_on_after_a_failure(
    gateway: GatewayProcess, folder: Path
) -> None:
    ticks = until(lambda: found if len(found := lines(folder / "ticks.jsonl")) >= 2 else None)
    event = ticks[-1]
    assert event["source"] == "aws.scheduler"
    assert event["detail-type"] == "Scheduled Event"
    assert event["detail"] == "{}"
    assert event["resources"] == ["arn:aws:scheduler:eu-west-3:123456789012:schedule/default/tick"]
    age = datetime.now(UTC) - datetime.fromisoformat(event["time"])
    assert abs(age.total_seconds()) < 60
    # What has its hour is not hastened.
    daily = [e for e in lines(folder / "noted.jsonl") if isinstance(e, dict) and "resources" in e]
    assert not daily
