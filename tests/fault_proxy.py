"""A proxy between functions and the services that they call. It kills the caller or cuts its connection at a chosen step.

Each proxy serves one function and one service, so it knows the caller. A fault affects one call of one operation. It happens
before the proxy passes the call on, or after the service has answered and before the caller receives the answer.
"""

import http.client
import multiprocessing
import os
import random
import re
import signal
import socket
import struct
import sys
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import psutil

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}
UPSTREAM_SECONDS = 60
# Closing a connection with this option sends a reset.
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """A fault in one call. `point` is `before` or `after`, `kind` is `kill` or `cut`."""

    function: str
    operation: str
    point: str
    kind: str


VARIANTS = [(point, kind) for point in ("before", "after") for kind in ("kill", "cut")]


class Plan:
    """Selects the calls that get a fault: a `share` of all calls while `active`. Each gets the rarest fault of its operation."""

    def __init__(self, seed, share):
        self.share, self.active = share, False
        self.happened: Counter[Fault] = Counter()
        self.seen: Counter[tuple[str, str]] = Counter()
        self._chosen: Counter[Fault] = Counter()
        self._random, self._lock = random.Random(seed), threading.Lock()

    def draw(self, function, operation):
        """Returns a fault for this call, or None."""
        with self._lock:
            self.seen[function, operation] += 1
            if not self.active or self._random.random() >= self.share:
                return None
            faults = [Fault(function, operation, *variant) for variant in VARIANTS]
            fault = min(faults, key=lambda each: (self._chosen[each], self._random.random()))
            self._chosen[fault] += 1
            return fault

    def report(self, fault, happened):
        """Records if a drawn fault has happened. A fault that has not happened is due again."""
        with self._lock:
            (self.happened if happened else self._chosen)[fault] += 1 if happened else -1

    def total(self):
        """Returns the number of faults that have happened."""
        with self._lock:
            return self.happened.total()


class FaultProxy(ThreadingHTTPServer):
    """Passes the calls of `function` on to `upstream`, except if `plan` has a fault for a call."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, function, upstream, plan, handler=None):
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.function, self.plan = function, plan
        self.upstream = urlsplit(upstream)
        self.url = url(self.server_address[1])
        # On a busy machine its start takes seconds. By then, the first caller that is to be killed would have given up.
        finder().submit(os.getpid).result()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Ignores errors of a connection, because this proxy kills callers on purpose."""


class Handler(BaseHTTPRequestHandler):
    """Handles one connection of a function."""

    server: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        plan, function = self.server.plan, self.server.function
        fault = plan.draw(function, operation_of(self.path, self.headers))
        if fault and fault.point == "before":
            plan.report(fault, self.strike(fault.kind))
            return
        status, headers, answer = self.passed_on(body)
        if fault:
            plan.report(fault, self.strike(fault.kind))
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def passed_on(self, body):
        upstream = http.client.HTTPConnection(
            self.server.upstream.hostname, self.server.upstream.port, timeout=UPSTREAM_SECONDS
        )
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def strike(self, kind):
        """Kills the caller or cuts its connection. Returns `True` if this was done. The connection is closed in any case."""
        self.close_connection = True
        done = True
        if kind == "kill":
            ports = self.client_address[1], self.server.server_address[1]
            caller = finder().submit(process_behind, *ports).result()
            done = caller is not None
            if done:
                os.kill(caller, signal.SIGKILL)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()
        return done

    def log_message(self, format, *args):
        """Suppresses the log lines of the base class."""


def operation_of(path, headers):
    """Returns the operation in the header of DynamoDB, such as `UpdateItem`. For Bedrock, it is the last part of the path."""
    target = headers.get("X-Amz-Target")
    return target.rsplit(".", 1)[-1] if target else path.rstrip("/").rsplit("/", 1)[-1]


@cache
def finder():
    """A process that looks for callers. A thread of this process would wait for the other threads after each file that it reads,
    for seconds in all, and the caller would have given up by then."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def process_behind(client_port, server_port):
    """Returns the id of the function's process at the other end of a connection, or None if the process has ended.

    Searches only the processes that have the proxy's address in their environment, because hundreds of functions can run, and
    each has many open files.
    """
    socket_name = socket_of(client_port, server_port) if sys.platform == "linux" else None
    address = url(server_port)
    # `psutil.process_iter` is not used, because it remembers processes that it saw before they started their program.
    for process_id in psutil.pids():
        try:
            if calls(process_id, address) and holds(process_id, socket_name, client_port, server_port):
                return process_id
        except (psutil.Error, OSError):
            continue
    return None


def calls(process_id, address):
    """`True` if a process has `address` as a value in its environment. psutil needs ten times as long to read one."""
    if sys.platform == "linux":
        return f"={address}\0".encode() in Path(f"/proc/{process_id}/environ").read_bytes()
    return address in psutil.Process(process_id).environ().values()


def url(port):
    return f"http://127.0.0.1:{port}"


def socket_of(client_port, server_port):
    """Returns Linux's name of the caller's socket. psutil would read the whole list of sockets again for each process."""
    # The local and the remote address, the state, queues, timer, retransmissions, the user, a timeout, and the name.
    row = rb":%04X [0-9A-F]+:%04X [0-9A-F]+ \S+ \S+ \S+ +\d+ +\d+ (\d+) " % (client_port, server_port)
    found = re.search(row, Path("/proc/net/tcp").read_bytes())
    return f"socket:[{found[1].decode()}]" if found else None


def holds(process_id, socket_name, client_port, server_port):
    """`True` if a process has the connection open."""
    if sys.platform == "linux":
        return socket_name in open_files(process_id)
    return any(
        each.raddr and (each.laddr.port, each.raddr.port) == (client_port, server_port)
        for each in psutil.Process(process_id).net_connections(kind="tcp4")
    )


def open_files(process_id):
    """Yields Linux's names of a process's open files. Skips files that the process closes meanwhile."""
    for descriptor in Path(f"/proc/{process_id}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())
