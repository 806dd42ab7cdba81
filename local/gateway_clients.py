"""Clients of the gateway's measurement: plain HTTP on kept connections, so that they take little time themselves."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 60
# The signature is not checked. The local AWS reads the service from it, and the simulator only needs one.
SIGNATURE = "AWS4-HMAC-SHA256 Credential=test/20261128/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


class RequestFailed(Exception):
    """A request of the measurement was not answered as expected."""


class Door:
    """A way to the model, with one kept connection for each thread."""

    def __init__(self, name: str, url: str, path: str, headers: dict[str, str], body: Any) -> None:
        self.name, self.path = name, path
        self.headers = {"Content-Type": "application/json", **headers}
        self.body = json.dumps(body).encode()
        self._address = urlsplit(url)
        self._kept = threading.local()

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._kept, "connection"):
            host, port = self._address.hostname or "", self._address.port
            self._kept.connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        connection: http.client.HTTPConnection = self._kept.connection
        return connection

    def ask(self) -> float:
        """Sends a request, and reads the answer. Returns the milliseconds."""
        begun = time.perf_counter()
        connection = self._connection()
        connection.request("POST", self.path, self.body, self.headers)
        answer = connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - begun) * 1000
        if answer.status != 200 or self._is_denied(body):
            raise RequestFailed(f"{self.name}: {answer.status} {body[:300]!r}")
        return took

    def first_byte(self) -> float:
        """Sends a request, and reads the answer in events. Returns the milliseconds to the first byte of the body."""
        begun = time.perf_counter()
        connection = self._connection()
        connection.request("POST", self.path, self.body, self.headers)
        answer = connection.getresponse()
        first = answer.read(1)
        took = (time.perf_counter() - begun) * 1000
        rest = answer.read()
        if answer.status != 200 or b"metadata" not in first + rest:
            raise RequestFailed(f"{self.name}: {answer.status} {(first + rest)[:300]!r}")
        return took

    def _is_denied(self, body: bytes) -> bool:
        # An execution ends with 200 whatever its answer is.
        return (
            self.name == "workflow" and json.loads(json.loads(body).get("output", "{}")).get("outcome") != "Succeeded"
        )


@dataclass
class Opened:
    """A stream: the milliseconds to its first byte, and the time at which it ended. None if it did not come that far."""

    first_ms: float | None = None
    ended: float | None = None


class Streams:
    """Many streams through one door, which are open at the same time."""

    def __init__(self, door: Door, count: int, a_second: float) -> None:
        self.door, self.count, self.pause = door, count, 1 / a_second
        self.streams = [Opened() for _ in range(count)]
        self._wire = self._request()

    def _request(self) -> bytes:
        headers = {"Host": "gateway", "Content-Length": str(len(self.door.body)), **self.door.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self.door.path} HTTP/1.1\r\n{head}\r\n".encode() + self.door.body

    async def run(self) -> None:
        """Opens the streams one after another, and reads each to its end."""
        tasks = []
        for stream in self.streams:
            tasks.append(asyncio.create_task(self._read(stream)))
            await asyncio.sleep(self.pause)
        await asyncio.gather(*tasks)

    async def _read(self, stream: Opened) -> None:
        address = urlsplit(self.door._address.geturl())
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(self._wire)
        head = await reader.readuntil(b"\r\n\r\n")
        first = await reader.read(1)
        if b" 200 " not in head.split(b"\r\n")[0] or not first:
            raise RequestFailed(f"a stream was not opened: {head[:300]!r}")
        stream.first_ms = (time.perf_counter() - begun) * 1000
        tail = b""
        while not tail.endswith(b"0\r\n\r\n"):
            part = await reader.read(65536)
            if not part:
                raise RequestFailed("a stream broke off")
            tail = (tail + part)[-4096:]
        stream.ended = time.perf_counter()
        writer.close()

    @property
    def open(self) -> int:
        """The number of streams that are open now."""
        return sum(stream.first_ms is not None and stream.ended is None for stream in self.streams)
