"""What a function is handed, and what an HTTP client gets back, in the shapes of AWS.

Shapes: docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
(payload version 1.0), docs.aws.amazon.com/lambda/latest/dg/with-sqs.html and
docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html.
"""

import base64
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from local.gateway.environments import STAGE

ACCOUNT = "123456789012"
MOST_BODY_BYTES = 10_485_760
"""What API Gateway takes; the bound of an invocation, 6 MB, is met first by text."""
MOST_PAYLOAD_BYTES = 6_291_456

_TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/javascript",
    }
)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as it arrived; header names are in lower case, `path` is below the stage."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    source_ip: str
    protocol: str = "HTTP/1.1"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def header(self, name: str) -> str:
        """Give the last value of a header, or an empty text."""
        return next((value for key, value in reversed(self.headers) if key == name), "")


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back to an HTTP client."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


class ResponseMalformed(Exception):
    """A function answered a request with what API Gateway would not pass on."""


def proxy_event(
    request: Request,
    *,
    resource: str,
    parameters: Mapping[str, str],
    region: str,
    base64_always: bool = False,
) -> dict[str, Any]:
    """Describe an HTTP request to a function: REST API, Lambda proxy integration.

    A body that is no text is handed over in base64, with `base64_always` each one is.
    """
    headers = [(_as_sent(name), value) for name, value in request.headers]
    headers += [
        ("X-Forwarded-For", request.source_ip),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
        ("X-Amzn-Trace-Id", trace_id(request.at)),
    ]
    query = parse_qsl(request.query, keep_blank_values=True)
    body, encoded = _body(request, base64_always=base64_always)
    host = request.header("host")
    return {
        "resource": resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": dict(headers),
        "multiValueHeaders": _gather(headers),
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": _gather(query) or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": STAGE,
            "deploymentId": STAGE,
            "domainName": host.partition(":")[0],
            "domainPrefix": host.partition(".")[0],
            "extendedRequestId": base64.b64encode(uuid.uuid4().bytes[:9]).decode() + "=",
            "httpMethod": request.method,
            "identity": {**_NOBODY, **_sender(request)},
            "path": f"/{STAGE}{request.path}",
            "protocol": request.protocol,
            "requestId": request.id,
            "requestTime": request.at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(request.at.timestamp() * 1000),
            "resourceId": resource.strip("/").replace("/", "-") or "root",
            "resourcePath": resource,
            "stage": STAGE,
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def read_answer(payload: bytes) -> Response:
    """Read a function's answer to an HTTP request.

    Raises:
        ResponseMalformed: API Gateway would answer 502 in its place.
    """
    try:
        answer = json.loads(payload)
    except ValueError:
        raise ResponseMalformed from None
    if not isinstance(answer, dict) or not answer.keys() <= _ANSWER_KEYS:
        raise ResponseMalformed
    try:
        status = int(answer["statusCode"])
        single = {str(name): _word(value) for name, value in (answer.get("headers") or {}).items()}
        several = [
            (str(name), _word(value))
            for name, values in (answer.get("multiValueHeaders") or {}).items()
            for value in values
        ]
        body = answer.get("body") or ""
        if not isinstance(body, str) or not 100 <= status <= 599:
            raise ResponseMalformed
        encoded = answer.get("isBase64Encoded") is True
        raw = base64.b64decode(body, validate=True) if encoded else body.encode()
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ResponseMalformed from None
    named = {name.lower() for name, _ in several}
    headers = [(name, value) for name, value in single.items() if name.lower() not in named]
    headers += several
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    return Response(status, headers, raw)


def refusal(status: int, message: str) -> Response:
    """Answer a request that reaches no function, or whose function failed."""
    body = json.dumps({"message": message}).encode()
    return Response(status, [("content-type", "application/json")], body)


def queue_event(messages: Iterable[Mapping[str, Any]], *, arn: str, region: str) -> dict[str, Any]:
    """Describe a batch of messages, as boto3 received them, to a function."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": dict(message.get("Attributes", {})),
                "messageAttributes": {
                    name: _message_attribute(value)
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": region,
            }
            for message in messages
        ]
    }


def failed_messages(payload: bytes, sent: Iterable[str]) -> set[str]:
    """Say which messages of a batch come back: those the function names, or all when it is unclear.

    Source: docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    everything = set(sent)
    try:
        answer = json.loads(payload)
        failures = (answer or {}).get("batchItemFailures") or []
        failed = {failure["itemIdentifier"] for failure in failures}
    except (ValueError, TypeError, KeyError, AttributeError):
        return everything
    return failed if failed <= everything else everything


def schedule_event(name: str, *, at: datetime, region: str) -> dict[str, Any]:
    """Describe a schedule's turn to a function, as EventBridge Scheduler does without an input."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:scheduler:{region}:{ACCOUNT}:schedule/default/{name}"],
        "detail": "{}",
    }


def trace_id(at: datetime) -> str:
    """Make the header that names one request to X-Ray."""
    return f"Root=1-{int(at.timestamp()):08x}-{uuid.uuid4().hex[:24]}"


_ANSWER_KEYS = frozenset({"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"})

_NOBODY = dict.fromkeys(
    (
        "accessKey",
        "accountId",
        "caller",
        "cognitoAuthenticationProvider",
        "cognitoAuthenticationType",
        "cognitoIdentityId",
        "cognitoIdentityPoolId",
        "principalOrgId",
        "user",
        "userArn",
    )
)


def _sender(request: Request) -> dict[str, str | None]:
    return {"sourceIp": request.source_ip, "userAgent": request.header("user-agent") or None}


def _body(request: Request, *, base64_always: bool) -> tuple[str | None, bool]:
    if not request.body:
        return None, False
    kind = request.header("content-type").partition(";")[0].strip().lower()
    if not base64_always and (kind.startswith("text/") or kind in _TEXT_TYPES):
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(request.body).decode(), True


def _as_sent(name: str) -> str:
    # The server lowers names; a client that speaks HTTP/1.1 capitalises them.
    return "-".join(part.capitalize() for part in name.split("-"))


def _gather(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for name, value in pairs:
        gathered.setdefault(name, []).append(value)
    return gathered


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise ResponseMalformed


def _message_attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    raw = value.get("BinaryValue")
    return {
        "stringValue": value.get("StringValue"),
        "binaryValue": None if raw is None else base64.b64encode(raw).decode(),
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
