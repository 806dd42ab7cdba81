"""A Lambda Runtime API for one function process, with little overhead for measurements.

It supports the two calls that a runtime needs: `GET …/invocation/next`, and `POST …/invocation/{id}/response` or
`/error`. It uses plain sockets, because the parsing of http.server would take as long as some of the functions.
"""

from __future__ import annotations

import json
import os
import queue
import socketserver
import subprocess
import threading
import time
from io import BufferedIOBase
from pathlib import Path
from typing import Any

START_TIMEOUT_SECONDS = 10.0
CALL_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 5.0


class FunctionFailed(Exception):
    """The function answered with an error, or it did not answer."""


class Handler(socketserver.StreamRequestHandler):
    """A connection from the function."""

    server: Server
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle(self) -> None:
        """Answers requests until the function closes the connection."""
        try:
            while request := read_request(self.rfile):
                self.answer(*request)
        except (ConnectionError, ValueError):
            return

    def answer(self, method: str, path: str, body: bytes) -> None:
        """Returns the next event, or accepts a result."""
        if method == "GET":
            self.server.polled.set()
            number, event = self.server.events.get()
            headers = f"Lambda-Runtime-Aws-Request-Id: {number}\r\nLambda-Runtime-Deadline-Ms: {deadline_ms()}\r\n"
            headers += "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:bench\r\n"
            self.server.sent_at = time.perf_counter()
            self.send("200 OK", headers, event)
            return
        received_at = time.perf_counter()
        self.send("202 Accepted", "", b"")
        self.server.results.put((received_at, path.rsplit("/", 1)[-1], body))

    def send(self, status: str, headers: str, body: bytes) -> None:
        """Writes one answer to the connection."""
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)
        self.wfile.flush()


class Server(socketserver.ThreadingTCPServer):
    """The Runtime API on a free port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.events: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.results: queue.Queue[tuple[float, str, bytes]] = queue.Queue()
        self.polled = threading.Event()
        self.sent_at = 0.0

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        return int(self.server_address[1])


def deadline_ms() -> int:
    """The deadline of a call that starts now, in milliseconds since 1970."""
    return int((time.time() + CALL_TIMEOUT_SECONDS) * 1000)


def read_request(stream: BufferedIOBase) -> tuple[str, str, bytes] | None:
    """Reads method, path, and body of the next request. Returns None at the end of the connection."""
    line = stream.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    length, chunked = 0, False
    while (header := stream.readline()) not in (b"\r\n", b""):
        name, _, value = header.decode().partition(":")
        if name.lower() == "content-length":
            length = int(value)
        chunked = chunked or (name.lower() == "transfer-encoding" and "chunked" in value.lower())
    return method, path, read_chunks(stream) if chunked else stream.read(length)


def read_chunks(stream: BufferedIOBase) -> bytes:
    """Reads a body with chunked transfer encoding."""
    body = b""
    while size := int(stream.readline().strip(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


class Function:
    """A running process of a function."""

    def __init__(self, binary: Path, environment: dict[str, str]) -> None:
        self._server = Server()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        variables = {**environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.port}"}
        begun = time.perf_counter()
        self._process = subprocess.Popen([binary], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if not self._server.polled.wait(START_TIMEOUT_SECONDS):
            raise FunctionFailed(f"{binary.name} did not ask for an event: {self._end()}")
        self.start_seconds = time.perf_counter() - begun
        # `stderr` is not None, because it is a pipe.
        self._drain = threading.Thread(target=self._process.stderr.read, daemon=True)  # type: ignore[union-attr]
        self._drain.start()
        self._calls = 0

    def call(self, event: Any) -> tuple[Any, float]:
        """Calls the function. Returns the answer, and the seconds from the delivery of the event to the result."""
        self._calls += 1
        self._server.events.put((self._calls, json.dumps(event).encode()))
        try:
            received_at, kind, body = self._server.results.get(timeout=CALL_TIMEOUT_SECONDS)
        except queue.Empty as error:
            raise FunctionFailed("no answer") from error
        if kind != "response":
            raise FunctionFailed(body.decode(errors="replace"))
        return json.loads(body), received_at - self._server.sent_at

    def resident_bytes(self) -> int:
        """The current resident memory of the process, in bytes."""
        statm = Path(f"/proc/{self._process.pid}/statm")
        if statm.exists():
            return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        listing = ["ps", "-o", "rss=", "-p", str(self._process.pid)]
        return int(subprocess.run(listing, capture_output=True, text=True, check=True).stdout) * 1024

    def stop(self) -> None:
        """Stops the process and the server."""
        self._end()
        self._server.shutdown()
        self._server.server_close()

    def _end(self) -> str:
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_SECONDS)
        return f"exit code {self._process.returncode}"
