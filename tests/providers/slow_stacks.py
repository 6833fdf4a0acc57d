"""CloudFormation's patience, in front of moto: stacks take as long as a test says, and can fail.

moto makes a stack within the request. Here the request goes on to moto as it is, and what the stack
is said to be stays `…_IN_PROGRESS` until the test lets it end, well or badly.
"""

import http.client
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

_STACK = re.compile(
    r"(<StackName>(?P<name>[^<]+)</StackName>.*?<StackStatus>)(?P<status>[^<]+)(</StackStatus>)",
    re.DOTALL,
)
_BEGUN = {
    "CreateStack": "CREATE_IN_PROGRESS",
    "UpdateStack": "UPDATE_IN_PROGRESS",
    "ContinueUpdateRollback": "UPDATE_ROLLBACK_IN_PROGRESS",
}


_CONTINUED = (
    b"<ContinueUpdateRollbackResponse><ContinueUpdateRollbackResult/>"
    b"</ContinueUpdateRollbackResponse>"
)


class SlowStacks:
    """A server in front of another; `shown` says what stacks are said to be, by name."""

    def __init__(self, behind: str) -> None:
        self.shown: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.refuse: set[str] = set()
        front = self
        host = urlsplit(behind).netloc

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._pass_on()

            def do_GET(self) -> None:
                self._pass_on()

            def do_PUT(self) -> None:
                self._pass_on()

            def log_message(self, format: str, *args: object) -> None:
                pass

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                form = {n: v[0] for n, v in parse_qs(body.decode("latin-1")).items()}
                action, name = form.get("Action", ""), form.get("StackName", "")
                if action in front.refuse:
                    front.asked.append((action, name))
                    status, headers, said = 400, {}, _refusal()
                elif action == "ContinueUpdateRollback":  # moto does not know it
                    front.begin(action, name)
                    status, headers, said = 200, {}, _CONTINUED
                else:
                    status, headers, said = self._ask(body)
                    if status == 200:
                        front.begin(action, name)
                if action == "DescribeStacks":
                    said = front.show(said.decode()).encode()
                self.send_response(status)
                for header, value in headers.items():
                    if header.lower() not in ("content-length", "transfer-encoding"):
                        self.send_header(header, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
                connection = http.client.HTTPConnection(host, timeout=60)
                try:
                    connection.request(self.command, self.path, body, dict(self.headers))
                    answer = connection.getresponse()
                    return answer.status, dict(answer.getheaders()), answer.read()
                finally:
                    connection.close()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def begin(self, action: str, name: str) -> None:
        """Note that a stack's change has begun."""
        if action in _BEGUN:
            self.asked.append((action, name))
            self.shown[name] = _BEGUN[action]
        elif action == "DeleteStack":
            self.asked.append((action, name))
            self.shown.pop(name, None)

    def end(self, status: str, *names: str) -> None:
        """Let changes end, all that go on unless they are named."""
        for name in names or [n for n, s in self.shown.items() if s.endswith("_IN_PROGRESS")]:
            self.shown[name] = status

    def show(self, listed: str) -> str:
        """Write into a list of stacks what they are said to be."""

        def written(found: re.Match[str]) -> str:
            return found[1] + self.shown.get(found["name"], found["status"]) + found[4]

        return _STACK.sub(written, listed)

    def take_asked(self) -> list[tuple[str, str]]:
        """Return what was asked for since the last time."""
        asked, self.asked = self.asked, []
        return asked

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _refusal() -> bytes:
    return (
        b"<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>"
        b"<Message>no</Message></Error></ErrorResponse>"
    )
