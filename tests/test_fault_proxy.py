"""How the fault proxy finds the process that it kills. Needs no endpoint."""

import os
import socket
import subprocess
import time

import pytest

from fault_proxy import process_behind, url

WAIT_SECONDS = 10


@pytest.fixture
def connection():
    """A connection of 127.0.0.1 as the caller's socket and the ports of both ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as caller:
        accepted, _ = server.accept()
        with accepted:
            yield caller, caller.getsockname()[1], server.getsockname()[1]


def test_a_function_that_was_seen_before_its_program_started_is_found(connection):
    caller, *ports = connection
    read_end, write_end = os.pipe()
    # The shell reads a line, and then runs the program in the same process.
    shell = ["sh", "-c", 'read -r _ && exec env AWS_ENDPOINT_URL_DYNAMODB="$0" sleep 60', url(ports[1])]
    with subprocess.Popen(shell, stdin=read_end, pass_fds=[caller.fileno()]) as started:
        try:
            assert process_behind(*ports) is None
            os.write(write_end, b"\n")
            deadline = time.monotonic() + WAIT_SECONDS
            while (found := process_behind(*ports)) is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert found == started.pid
        finally:
            started.kill()
            os.close(read_end)
            os.close(write_end)
