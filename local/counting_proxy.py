"""Records every call of one function to AWS, and forwards it to the local AWS."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import cbor2

UPSTREAM_SECONDS = 60
# Headers that belong to one connection. They are not forwarded.
NOT_PASSED_ON = {
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


@dataclass(frozen=True)
class Call:
    """A recorded call: the operation (such as `UpdateItem`), its request, and the size of the request in bytes."""

    function: str
    operation: str
    request: dict[str, Any]
    request_bytes: int


class CountingProxy(ThreadingHTTPServer):
    """Forwards calls from `function` to `upstream`. `calls` has them with the oldest first."""

    daemon_threads = True

    def __init__(self, function: str, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.function, self.upstream = function, urlsplit(upstream)
        self.calls: list[Call] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stops the server and closes its socket."""
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """A connection from the function."""

    server: CountingProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        """Forwards a call to the local AWS, and its answer to the function."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, answer = self.passed_on(body)
        operation = operation_of(self.path, self.headers.get("X-Amz-Target"))
        plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        said = contents(self.headers.get("Content-Type", ""), plain)
        self.server.calls.append(Call(self.server.function, operation, said, len(body)))
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Sends a call to the local AWS. Returns status, headers, and body of the answer."""
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=UPSTREAM_SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_PASSED_ON}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Suppresses the log line of each request."""


def operation_of(path: str, target: str | None) -> str:
    """The operation, such as `UpdateItem`. The JSON protocol has it in a header, and the CBOR protocol has it in the
    path.
    """
    return target.rsplit(".", 1)[-1] if target else path.rstrip("/").rsplit("/", 1)[-1]


def contents(content_type: str, body: bytes) -> dict[str, Any]:
    """The request of a call, in the JSON or the CBOR protocol."""
    if not body:
        return {}
    said = cbor2.loads(body) if "cbor" in content_type else json.loads(body)
    return said if isinstance(said, dict) else {}
