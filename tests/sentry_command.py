"""Runs the command `sentry` as an administrator does: piped, or on a terminal of 80 columns."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import termios
import time
from dataclasses import dataclass, field, replace
from fcntl import ioctl

PATIENCE_SECONDS = 60
ROWS, COLUMNS = 24, 80


@dataclass
class Command:
    """The program, for the stack of the tests."""

    program: str
    stack_name: str
    endpoint: str
    region: str
    variables: dict[str, str] = field(default_factory=dict)

    def run(
        self, *arguments: str, code: int = 0, stack: str | None = None, stdin: str | None = None, **variables
    ) -> str:
        """Runs the command with pipes. Returns standard output, or standard error if `code` is not 0."""
        done = subprocess.run(
            self._line(arguments, stack),
            env=self._environment(variables),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def __call__(self, *arguments: str, **options) -> str:
        return self.run(*arguments, **options)

    def output(self, *arguments: str, code: int | None) -> str:
        """Runs the command with pipes. Returns standard output. `None` as the code accepts every refusal and denial."""
        done = subprocess.run(
            self._line(arguments, None),
            env=self._environment({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode in ((0, 1) if code is None else (code,)), f"{done.stdout}{done.stderr}"
        return done.stdout

    def at(self, endpoint: str) -> Command:
        """The same command for another AWS."""
        return replace(self, endpoint=endpoint)

    def on_a_terminal(
        self, *arguments: str, typed: str = "", code: int | None = 0, seconds: float = PATIENCE_SECONDS
    ) -> str:
        """Runs the command on a terminal of 80 columns, on which somebody types `typed`. Returns all that is shown. `None` as the
        code accepts 0 and 1.
        """
        master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**self._environment({}), "TERM": "xterm-256color"}
        process = subprocess.Popen(
            self._line(arguments, None),
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        shown = bytearray()
        try:
            os.write(master, typed.encode())
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if not select.select([master], [], [], 0.1)[0]:
                    continue
                try:
                    part = os.read(master, 65_536)
                except OSError:  # Linux reports the end of the program so.
                    break
                if not part:
                    break
                shown += part
            else:
                process.terminate()
            assert process.wait(PATIENCE_SECONDS) in ((0, 1) if code is None else (code,)), shown.decode()
        finally:
            os.close(master)
            if process.poll() is None:
                process.kill()
                process.wait()
        return shown.decode().replace("\r\n", "\n")

    def _line(self, arguments: tuple[str, ...], stack: str | None) -> list[str]:
        return [self.program, "--stack-name", stack or self.stack_name, "--endpoint-url", self.endpoint, *arguments]

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": self.region}
        alone = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        return {**keys, **alone, **self.variables, **more}
