"""What ECS puts beside every task: its metadata, and what protects it from being ended.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
and https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MOST_MIN = 2880


class EcsAgent:
    """A task's own endpoints; `protected_until` is in the clock's seconds, None when it isn't."""

    def __init__(self, *, cluster: str, service: str | None, family: str, revision: int) -> None:
        self.task: dict[str, Any] = {
            "Cluster": cluster,
            "TaskARN": f"arn:aws:ecs:eu-west-3:123456789012:task/{cluster}/0123456789abcdef",
            "Family": family,
            "Revision": str(revision),
            **({"ServiceName": service} if service else {}),
        }
        self.protected_until: float | None = None
        self.asked: list[tuple[float, bool]] = []
        """When it was asked (perf_counter), and whether for protection."""
        self.blocked = False
        """A deployment goes on with more protected tasks than the service wants."""
        self.denied = False
        """The task's role may not."""
        self.takes_s = 0.0
        """How long it takes to answer."""
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, agent.task) if self.path == "/v4/task" else self.send_error(404)

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != "/task-protection/v1/state":
                    self.send_error(404)
                    return
                self._answer(*agent.change(json.loads(body)))

            def log_message(self, format: str, *args: object) -> None:
                pass

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                said = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def environment(self) -> dict[str, str]:
        """What ECS sets in a container."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {"ECS_AGENT_URI": url, "ECS_CONTAINER_METADATA_URI_V4": f"{url}/v4"}

    @property
    def protected(self) -> bool:
        return self.protected_until is not None and self.protected_until > time.time()

    def change(self, wish: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Do what is asked, or say why not, as ECS does."""
        arn = self.task["TaskARN"]
        enabled, minutes = wish.get("ProtectionEnabled"), wish.get("ExpiresInMinutes", 120)
        malformed = not isinstance(enabled, bool) or not 1 <= int(minutes) <= MOST_MIN
        if malformed or wish.keys() - {"ProtectionEnabled", "ExpiresInMinutes"}:
            return 400, _error(arn, "InvalidParameterException")
        self.asked.append((time.perf_counter(), bool(enabled)))
        time.sleep(self.takes_s)
        if self.denied:
            return 400, _error(arn, "AccessDeniedException")
        if self.blocked:
            return 200, {"failure": {"Arn": arn, "Reason": "DEPLOYMENT_BLOCKED"}}
        self.protected_until = time.time() + minutes * 60 if enabled else None
        expires = (
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.protected_until))
            if self.protected_until
            else None
        )
        state = {"ProtectionEnabled": enabled, "ExpirationDate": expires, "TaskArn": arn}
        return 200, {"protection": state}

    def take_asked(self) -> list[bool]:
        """Return what was asked for since the last time."""
        asked, self.asked = self.asked, []
        return [enabled for _, enabled in asked]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _error(arn: str, code: str) -> dict[str, Any]:
    return {"requestID": "0", "error": {"Arn": arn, "Code": code, "Message": "refused"}}
