"""A small HTTP proxy on loopback that hurts: it cuts connections, answers as a busy server does, and waits.

Faults are scripted: each applies to the next `times` requests whose path holds `path`; what no fault is for
goes through unchanged. `requests` holds what came, so that a test can see that something was sent again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Kind(StrEnum):
    """What a fault does."""

    ANSWER = "answer"
    """Answer with `status` and `body` instead of the server."""
    CUT_REQUEST = "cut request"
    """Pass on only `part` of the request, then cut both connections."""
    CUT_RESPONSE = "cut response"
    """Pass the request on whole, and only `part` of the answer back, then cut."""
    DELAY = "delay"
    """Wait `seconds` before the request is passed on."""
    REWRITE = "rewrite"
    """Pass the request on, and put `body` in the place of those of the answer's items at `items`."""


@dataclass
class Fault:
    """One fault for the next `times` requests whose path holds `path`, of at least `above` bytes."""

    kind: Kind
    path: str = "_bulk"
    times: int = 1
    status: int = 503
    body: dict[str, Any] = field(default_factory=lambda: {"error": {"type": "fault", "reason": "scripted"}})
    part: float = 0.5
    seconds: float = 0.0
    above: int = 0
    items: tuple[int, ...] = ()


@dataclass(frozen=True)
class Seen:
    """A request that came to the proxy, and what was done to it."""

    method: str
    path: str
    size: int
    fault: Kind | None


class FaultProxy:
    """A proxy in front of `upstream` (an http address on loopback). Use as a context manager."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.requests: list[Seen] = []
        self.lock = threading.Lock()
        self._faults: list[Fault] = []
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, *faults: Fault) -> None:
        """Add faults; earlier ones are used up first."""
        with self.lock:
            self._faults += faults

    def heal(self) -> None:
        """Forget the faults that are left."""
        with self.lock:
            self._faults.clear()

    def take(self, path: str, size: int) -> Fault | None:
        """The fault for this request, if there is one, and count it."""
        with self.lock:
            for fault in self._faults:
                if fault.times > 0 and fault.path in path and size >= fault.above:
                    fault.times -= 1
                    return fault
        return None

    def count(self, path: str = "_bulk", fault: Kind | None = None) -> int:
        """How many requests for a path came; with `fault`, how many of them were hurt in that way."""
        with self.lock:
            return sum(path in seen.path and (fault is None or seen.fault is fault) for seen in self.requests)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are this server's trade; nothing is printed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the base
        """Say nothing."""

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        fault = self.owner.take(self.path, size)
        with self.owner.lock:
            self.owner.requests.append(Seen(self.command, self.path, size, fault.kind if fault else None))
        if fault is not None and fault.kind is Kind.CUT_REQUEST:
            self._send_part_upstream(self.rfile.read(int(size * fault.part)), size)
            self._cut()
            return
        body = self.rfile.read(size)
        if fault is not None and fault.kind is Kind.DELAY:
            time.sleep(fault.seconds)
        if fault is not None and fault.kind is Kind.ANSWER:
            self._reply(fault.status, {"Content-Type": "application/json"}, json.dumps(fault.body).encode())
            return
        status, headers, answer = self._upstream(body)
        if fault is not None and fault.kind is Kind.CUT_RESPONSE:
            self._reply(status, headers, answer, only=int(len(answer) * fault.part))
            self._cut()
            return
        if fault is not None and fault.kind is Kind.REWRITE:
            answer = _rewritten(answer, fault)
        self._reply(status, headers, answer)

    do_GET = _handle  # noqa: N815 - the names that the base class looks for
    do_POST = _handle  # noqa: N815 - as above
    do_PUT = _handle  # noqa: N815 - as above
    do_DELETE = _handle  # noqa: N815 - as above
    do_HEAD = _handle  # noqa: N815 - as above

    def _passed_on(self) -> Iterator[tuple[str, str]]:
        for name, value in self.headers.items():
            if name.lower() not in {"host", "connection", "accept-encoding"}:
                yield name, value

    def _upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.owner.upstream, timeout=120)
        try:
            connection.request(self.command, self.path, body or None, dict(self._passed_on()))
            response = connection.getresponse()
            kept = {"content-type", "x-elastic-product", "warning"}
            headers = {k: v for k, v in response.getheaders() if k.lower() in kept}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def _send_part_upstream(self, part: bytes, size: int) -> None:
        """What a server sees of a client that dies in the middle: a promise of `size` bytes, and fewer."""
        with socket.create_connection(self.owner.upstream, timeout=30) as raw:
            head = f"{self.command} {self.path} HTTP/1.1\r\nHost: localhost\r\n"
            head += "".join(f"{k}: {v}\r\n" for k, v in self._passed_on() if k.lower() != "content-length")
            raw.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode() + part)

    def _reply(self, status: int, headers: dict[str, str], body: bytes, *, only: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "x-elastic-product" not in map(str.lower, headers):
            self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if only is None else body[:only])
        self.wfile.flush()

    def _cut(self) -> None:
        """End the client's connection with a reset, as a cable that is pulled or a process that is killed."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)


def _rewritten(answer: bytes, fault: Fault) -> bytes:
    """The answer to a bulk request in which the items at `fault.items` have `fault.body` as their result."""
    content = json.loads(answer)
    content["errors"] = True
    for i in fault.items:
        if i < len(content["items"]):
            (verb,) = content["items"][i]
            content["items"][i] = {verb: fault.body}
    return json.dumps(content).encode()
