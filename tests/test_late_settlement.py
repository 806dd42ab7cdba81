"""The function of the metrics queue makes settlements and cancellations that `Settle` could not make.

It makes each of them once, even if it is killed at any step.
"""

import json
import threading
import time

import pytest

from contract import check_answer, check_error, check_succeeded
from fault_proxy import VARIANTS, Fault, FaultProxy, Handler
from sentry_client import document, unique

pytestmark = pytest.mark.local

TOKENS = 10
THROTTLED_SECONDS = 30
# Enough for the attempts of Settle, the message, and all redeliveries.
PATIENCE_SECONDS = 120


class OfEachKind:
    """A plan with one fault of each kind, at the `UpdateItem` calls of a function."""

    def __init__(self):
        self._waiting, self.struck = [Fault("late", "UpdateItem", *variant) for variant in VARIANTS], []
        self._lock = threading.Lock()

    def draw(self, _function, operation):
        with self._lock:
            return self._waiting.pop() if operation == "UpdateItem" and self._waiting else None

    def report(self, fault, happened):
        with self._lock:
            (self.struck if happened else self._waiting).append(fault)


class ThrottlingProxy(FaultProxy):
    """Throttles calls until the time `until`, and counts them. After that it passes calls on."""

    def __init__(self, function, upstream):
        super().__init__(function, upstream, Never(), Throttling)
        self.throttled, self.until = 0, time.monotonic() + 2 * PATIENCE_SECONDS


class Throttling(Handler):
    """Answers like DynamoDB when it throttles."""

    server: ThrottlingProxy

    def do_POST(self):
        if time.monotonic() > self.server.until:
            super().do_POST()
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps(
            {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "Rate exceeded"}
        ).encode()
        self.server.throttled += 1
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Never:
    """A plan that never injects a fault."""

    def draw(self, _function, _operation):
        return None


def limited(sentry):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": 1000})
    return document(arn, parameters={"max_tokens": 600}, output_tokens=TOKENS), f"model#{bare}"


def settled(sentry, scope):
    """Waits until the scope has no holds. Returns the settled output tokens."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        (item,) = sentry.ledger_items(scope)
        if not [name for name in item if name.startswith("h#")]:
            return int(item.get("settledOutput", 0))
        time.sleep(0.5)
    raise AssertionError(f"a hold is left: {item}")


def test_settle_that_is_throttled_for_half_a_minute_loses_nothing(sentry):
    sent, scope = limited(sentry)
    with (
        ThrottlingProxy("settle", sentry.endpoint) as proxy,
        sentry.late_metrics(300),
        sentry.quick_redelivery(),
        sentry.reconfigured("SettleFunction", AWS_ENDPOINT_URL_DYNAMODB=proxy.url),
        sentry.reconfigured("EmitMetricsFunction", AWS_ENDPOINT_URL_DYNAMODB=proxy.url),
    ):
        proxy.until = time.monotonic() + THROTTLED_SECONDS
        answer = sentry.ask(sent)
        check_answer(answer, sent, unsettled=True)
        assert answer["outcome"] == "Succeeded" and answer["budget"] == []
        assert settled(sentry, scope) == TOKENS
    assert proxy.throttled > 3


def test_late_settlements_are_made_once_whatever_is_killed(sentry):
    """The function is killed or loses its connection, before or after DynamoDB's write. Its messages are delivered again."""
    requests, plan = [limited(sentry) for _ in range(2 * len(VARIANTS))], OfEachKind()
    with (
        FaultProxy("late", sentry.endpoint, plan) as proxy,
        sentry.late_metrics(300),
        sentry.quick_redelivery(),
        sentry.reconfigured("EmitMetricsFunction", AWS_ENDPOINT_URL_DYNAMODB=proxy.url),
    ):
        with sentry.crashing("SettleFunction"):
            answers = sentry.execute_all({scope: sent for sent, scope in requests})
        assert {ended["output"]["outcome"] for ended in answers.values()} == {"Succeeded"}
        assert [settled(sentry, scope) for _, scope in requests] == [TOKENS] * len(requests)
        # A settled message may be delivered again. That changes nothing.
        time.sleep(6)
        assert [settled(sentry, scope) for _, scope in requests] == [TOKENS] * len(requests)
    assert {(fault.point, fault.kind) for fault in plan.struck} == set(VARIANTS), "not every kind of fault has happened"


class DiesWithItsHold:
    """A plan for one function. It is killed after it has written its hold, and again at each retry."""

    def __init__(self):
        self.holds = 0

    def draw(self, function, operation):
        if operation == "UpdateItem":
            self.holds += 1
            return Fault(function, operation, "after", "kill")
        return Fault(function, operation, "before", "kill") if self.holds and operation == "PutItem" else None

    def report(self, fault, happened):
        pass


def test_cancellation_that_fails_is_made_by_the_queue(sentry):
    """Neither the reservation nor its cancellation can finish. The hold is released long before it expires."""
    sent, scope = limited(sentry)
    sent["tags"]["requestId"] = unique("e2e-late")
    plan = DiesWithItsHold()
    with (
        FaultProxy("reserve", sentry.endpoint, plan) as proxy,
        sentry.crashing("SettleFunction"),
        sentry.reconfigured("ReserveFunction", AWS_ENDPOINT_URL_DYNAMODB=proxy.url),
    ):
        check_error(sentry.ask(sent), "LedgerUnavailable", sent)
    assert plan.holds == 1
    assert settled(sentry, scope) == 0
    # Nothing was spent, so the client may use the request id again.
    check_succeeded(sentry.ask(sent), sent)
