"""How the fault proxy finds the process that it kills. Needs no endpoint."""

import shutil
import socket
import subprocess
import time

import pytest

from fault_proxy import PROGRAM, process_behind

WAIT_SECONDS = 10


@pytest.fixture
def connection():
    """A connection of 127.0.0.1 as the caller's socket and the ports of both ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as caller:
        accepted, _ = server.accept()
        with accepted:
            yield caller, caller.getsockname()[1], server.getsockname()[1]


def test_a_function_that_was_seen_before_its_program_started_is_found(connection, tmp_path):
    caller, *ports = connection
    program = shutil.copy(shutil.which("sleep"), tmp_path / PROGRAM)
    # The shell reads a line, and then runs the program in the same process.
    shell = ["sh", "-c", 'read -r _ && exec "$0" 60', program]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, pass_fds=[caller.fileno()]) as started:
        try:
            assert process_behind(*ports) is None
            started.stdin.write(b"\n")
            started.stdin.flush()
            deadline = time.monotonic() + WAIT_SECONDS
            while (found := process_behind(*ports)) is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert found == started.pid
        finally:
            started.kill()
