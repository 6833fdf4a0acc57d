"""A line to the key service that counts requests and can be cut, for tests that need it to fail."""

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import urlsplit


class KeyLine:
    """Pass on what a client and an HTTP server say, and cut the line after a number of requests."""

    def __init__(self, endpoint: str, *, cut_after: int | None = None) -> None:
        target = urlsplit(endpoint)
        self._target = (str(target.hostname), int(target.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._ended = False
        self.cut_after = cut_after
        self.requests = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """The address to use instead of the server's."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for open_socket in (self._listener, *self._open):
            _close(open_socket)

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut():
                _close(client)
                continue
            server = socket.create_connection(self._target)
            self._open += [client, server]
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _is_cut(self) -> bool:
        return self.cut_after is not None and self.requests >= self.cut_after

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        while data := _receive(client):
            with self._lock:
                asked = data.count(b"X-Amz-Target: ")
                if asked and self._is_cut():
                    break
                self.requests += asked
            server.sendall(data)
        _close(client)
        _close(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        while data := _receive(server):
            try:
                client.sendall(data)
            except OSError:
                break


def _receive(from_socket: socket.socket) -> bytes:
    try:
        return from_socket.recv(65_536)
    except OSError:
        return b""


def _close(open_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)
    open_socket.close()
