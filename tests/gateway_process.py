"""A gateway of a test's own: a server with the settings of the stack's function, which the test may kill."""

import hashlib
import os
import secrets
import socket
import subprocess
import threading
import time
from pathlib import Path

START_SECONDS = 20


class GatewayProcess:
    """The program `fn-gateway` on a free port. Every start has the same port and the same settings."""

    def __init__(self, sentry, program, log, **settings):
        function = sentry.functions.get_function_configuration(FunctionName=sentry.function_name("GatewayFunction"))
        simulator = sentry.bedrock_endpoint
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._program, self._log = program, Path(log)
        self._environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": sentry.region,
            "AWS_ENDPOINT_URL": sentry.endpoint,
            **{f"AWS_ENDPOINT_URL_{name}": simulator for name in ("BEDROCK_RUNTIME", "BEDROCK")},
            **function["Environment"]["Variables"],
            **settings,
            "SENTRY_GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
        }
        self._lock = threading.Lock()
        self.kills = 0

    def __enter__(self):
        self._start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def _start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([self._program], env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, "the gateway has ended"
                assert time.monotonic() < deadline, "the gateway does not listen"
                time.sleep(0.02)

    def kill(self):
        """Kills the process at once (SIGKILL), and starts it again. Returns the time of the kill."""
        with self._lock:
            at = time.monotonic()
            self._process.kill()
            self._process.wait()
            self.kills += 1
            self._start()
            return at

    @property
    def is_the_first(self):
        """True if the process that was started first still runs."""
        return self.kills == 0 and self._process.poll() is None


def stored_key(sentry, **attributes):
    """Writes a new key to the table as an item with `attributes`, and returns its text."""
    key = f"csk_{secrets.token_hex(32)}"
    table = sentry.session.resource("dynamodb", endpoint_url=sentry.endpoint).Table(sentry.outputs["KeysTableName"])
    item = {"keyHash": hashlib.sha256(key.encode()).hexdigest(), "applicationId": "e2e-gateway", "enabled": True}
    table.put_item(Item={**item, **attributes})
    return key
