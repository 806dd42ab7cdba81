"""Damaged HTTP requests to the gateway: no server error, no panic, and nothing stays held.

`--fuzz-requests 100000` makes it a longer run. The seed is fixed, so a failure can be repeated.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from damaged_requests import damaged, send
from gateway_process import GatewayProcess, stored_key
from sentry_client import unique

pytestmark = pytest.mark.local

SEED, SENDERS = 20, 4
# Everything that HTTP or CONTRACT.md allows for a request that is not right.
ALLOWED = {200, 400, 401, 403, 404, 405, 413, 414, 417, 424, 431, 501}


class Fuzz:
    """Sends damaged requests with a key of a cost center, and counts the answers."""

    def __init__(self, address, key, count):
        self._address, self._key, self._count = address, key, count
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    def run(self, first):
        """Sends every request of one sender."""
        for number in range(first, self._count, SENDERS):
            request = damaged(Random(f"{SEED} {number}"), self._key)
            status = send(self._address, request)
            self.statuses[status] += 1
            # A request that is not complete may be closed without an answer. So may one that is refused before its large
            # body is read: the answer is lost if the body still arrives.
            may_be_lost = not request.complete or "size" in request.kinds
            if status not in ALLOWED and not (status == 0 and may_be_lost):
                self.wrong.append(f"number {number}: {status} {request.kinds} {request.wire[:300]!r}")


def test_damaged_requests_are_answered_and_hold_nothing(sentry, url, request, say):
    option = request.config.getoption
    count, center = option("--fuzz-requests"), unique("fuzz")
    scope, log = f"costCenter#{center}", Path(option("--log-dir")) / "gateway-fuzz.log"
    log.unlink(missing_ok=True)
    sentry.set_limit(scope, {"output": 10_000_000})
    key = stored_key(sentry, costCenter=center)
    with GatewayProcess(sentry, Path(option("--sentry-command")).parent / "fn-gateway", log) as gateway:
        fuzz, begun = Fuzz(("127.0.0.1", gateway.port), key, count), time.monotonic()
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(fuzz.run, range(SENDERS)))
        say(f"{count} damaged requests in {time.monotonic() - begun:.0f} s: {dict(sorted(fuzz.statuses.items()))}")
        assert not fuzz.wrong, (len(fuzz.wrong), fuzz.wrong[:5])
        assert gateway.is_the_first
        settle(sentry, scope)
    assert "panicked" not in log.read_text(encoding="utf-8", errors="replace")
    assert fuzz.statuses[200] > count / 100 and fuzz.statuses[400] > count / 10
    items = sentry.ledger_items(scope)
    assert items and all(item["settledOutput"] == item["committedOutput"] for item in items), "something is still held"


def settle(sentry, scope):
    """Waits until the requests whose sender has left have settled."""
    deadline = time.monotonic() + 10
    while any(item["settledOutput"] != item["committedOutput"] for item in sentry.ledger_items(scope)):
        assert time.monotonic() < deadline, "something is still held"
        time.sleep(0.2)
