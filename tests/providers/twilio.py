"""Twilio's REST API as far as setting numbers up needs it.

Which requests there are, at which hosts and with which fields, is asked of Twilio's own SDK: a
request that the SDK would not make is refused. Each region keeps settings of its own and knows only
its own credentials.
"""

import base64
import inspect
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, override
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from twilio.http import HttpClient
from twilio.http.response import Response as SdkResponse
from twilio.rest import Client

from tests.providers.loopback import serve

ACCOUNT = "AC" + "0" * 31 + "1"
_NUMBER_SID = "PN" + "0" * 31 + "2"
_E164 = "+33100000000"


@dataclass(frozen=True, slots=True)
class Operation:
    """A request the SDK makes: where, and with which fields."""

    name: str
    method: str
    host: str
    path: re.Pattern[str]
    fields: frozenset[str]


class _Recorder(HttpClient):
    """Take the SDK's requests down instead of sending them."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger(__name__), False, 10)
        self.requests: list[tuple[str, str, dict[str, Any]]] = []

    @override
    def request(self, method: str, url: str, **given: Any) -> SdkResponse:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.requests.append((method, url, given.get("params") or given.get("data") or {}))
        return SdkResponse(
            200, '{"incoming_phone_numbers": [], "meta": {"key": "incoming_phone_numbers"}}'
        )


def operations(*, region: str | None, edge: str | None) -> list[Operation]:
    """Ask the SDK for the requests it makes, with every field it has for each."""
    recorder = _Recorder()
    regional = Client(ACCOUNT, "token", region=region, edge=edge, http_client=recorder)
    everywhere = Client(ACCOUNT, "token", http_client=recorder)
    numbers = regional.api.v2010.accounts(ACCOUNT).incoming_phone_numbers
    asked: dict[str, Callable[[], Any]] = {
        "account": regional.api.v2010.accounts(ACCOUNT).fetch,
        "list": lambda: list(numbers.list(**_everything(numbers.list), limit=1)),
        "update": lambda: numbers(_NUMBER_SID).update(**_everything(numbers(_NUMBER_SID).update)),
        "region": everywhere.routes.v2.phone_numbers(_E164).fetch,
        "set_region": lambda: everywhere.routes.v2.phone_numbers(_E164).update(
            voice_region="ie1", friendly_name="x"
        ),
    }
    made: list[Operation] = []
    for name, ask in asked.items():
        ask()
        method, url, fields = recorder.requests[-1]
        split = urlsplit(url)
        path = re.escape(split.path)
        path = path.replace(_NUMBER_SID, "(?P<sid>PN[0-9a-f]{32})")
        path = path.replace(re.escape(_E164), r"(?P<e164>\+[0-9]+)")
        made.append(
            Operation(name, method, split.netloc, re.compile(path), frozenset(map(str, fields)))
        )
    return made


def _everything(method: Callable[..., Any]) -> dict[str, Any]:
    skipped = ("limit", "page_size", "beta", "emergency_status")
    return {name: "x" for name in inspect.signature(method).parameters if name not in skipped}


@dataclass(slots=True)
class TwilioServer:
    """An account with numbers; `tokens` are each region's, `down` answers nothing but 503."""

    address: str = ""
    tokens: dict[str, str] = field(default_factory=lambda: {"us1": "us-token", "ie1": "ie-token"})
    status: str = "active"
    down: bool = False
    numbers: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    regions: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _operations: list[Operation] = field(
        default_factory=lambda: [
            *operations(region="ie1", edge="dublin"), *operations(region="us1", edge="ashburn")
        ]
    )  # fmt: skip

    def add_number(self, e164: str, *, region: str = "us1") -> None:
        """Have the account own a number, set up to ask nobody."""
        blank = {
            "sid": f"PN{len(self.numbers):032x}",
            "phone_number": e164,
            "voice_url": "",
            "voice_method": "POST",
            "status_callback": "",
            "status_callback_method": "POST",
            "voice_application_sid": "",
            "trunk_sid": "",
        }
        self.numbers[e164] = {name: dict(blank) for name in self.tokens}
        self.regions[e164] = region

    async def serve(self, request: Request) -> Response:
        """Answer a request whose path begins with the host it is for."""
        host, _, rest = request.path_params["path"].partition("/")
        fields = dict(
            request.query_params
            if request.method == "GET"
            else parse_qsl((await request.body()).decode(), keep_blank_values=True)
        )
        if self.down:
            return Response("upstream connect error", 503)
        for operation in self._operations:
            found = operation.path.fullmatch(f"/{rest}")
            if found and (operation.method, operation.host) == (request.method, host):
                break
        else:
            return self._refuse(404, f"{request.method} {host}/{rest}: no such request in the SDK")
        if unknown := fields.keys() - operation.fields:
            return self._refuse(400, f"{operation.name}: no such fields in the SDK: {unknown}")
        region = "us1" if operation.host.count(".") < 4 else operation.host.split(".")[2]
        if not self._knows(request, region):
            return _error(401, 20003, "Authenticate")
        answer: JSONResponse = getattr(self, f"_{operation.name}")(region, found, fields)
        return answer

    def _account(self, region: str, found: re.Match[str], fields: dict[str, str]) -> Response:
        return JSONResponse({"sid": ACCOUNT, "status": self.status})

    def _list(self, region: str, found: re.Match[str], fields: dict[str, str]) -> Response:
        # As the real one: any number that holds what was asked for.
        wanted = fields.get("PhoneNumber", "")
        listed = [per[region] for e164, per in self.numbers.items() if wanted in e164]
        return JSONResponse({"incoming_phone_numbers": listed})

    def _update(self, region: str, found: re.Match[str], fields: dict[str, str]) -> Response:
        for e164, per in self.numbers.items():
            if per[region]["sid"] == found["sid"]:
                for name, value in fields.items():
                    per[region][re.sub("(?<!^)(?=[A-Z])", "_", name).lower()] = value
                self.changes.append(f"{e164} in {region}")
                return JSONResponse(per[region])
        return _error(404, 20404, "The requested resource was not found")

    def _region(self, region: str, found: re.Match[str], fields: dict[str, str]) -> Response:
        return JSONResponse({"phone_number": found["e164"], **self._region_of(found["e164"])})

    def _set_region(self, region: str, found: re.Match[str], fields: dict[str, str]) -> Response:
        self.regions[found["e164"]] = fields["VoiceRegion"]
        self.changes.append(f"region of {found['e164']}")
        return JSONResponse(self._region_of(found["e164"]))

    def _region_of(self, e164: str) -> dict[str, str]:
        return {"voice_region": self.regions[e164]}

    def _knows(self, request: Request, region: str) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        return base64.b64decode(given).decode() == f"{ACCOUNT}:{self.tokens[region]}"

    def _refuse(self, status: int, why: str) -> Response:
        self.refused.append(why)
        return _error(status, 20404, why)


@contextmanager
def run() -> Iterator[TwilioServer]:
    """Run the API; `address` is what an Account takes."""
    server = TwilioServer()
    app = Starlette(routes=[Route("/{path:path}", server.serve, methods=["GET", "POST"])])
    with serve(app) as address:
        server.address = address + "/{host}"
        yield server


def _error(status: int, code: int, message: str) -> Response:
    return JSONResponse({"code": code, "message": message, "status": status}, status_code=status)
