"""`respond`: at a percentage, the limit of a window goes to a stated value, or the model to its fallback, until it is taken
back or the window ends. The audit record has the beginning and the end, each once.
"""

import json
import time
from datetime import UTC, datetime

import pytest

from contract import check_error, check_succeeded
from sentry_client import document, number, unique

pytestmark = pytest.mark.local

LIMIT, LOWER = 1000, 940
SET = {"at": 90, "set": {"output": LOWER}}
FALLBACK = {"at": 50, "action": "fallback"}
# Dollars per million tokens.
DEAR, CHEAP = {"input": "100", "output": "400"}, {"input": "10", "output": "40"}


@pytest.fixture(scope="module", autouse=True)
def late(sentry):
    """CloudWatch receives all usage long after these tests, so every figure comes from the ledger."""
    with sentry.late_metrics(900):
        yield


class Center:
    """A cost center with a limit of its own."""

    def __init__(self, sentry):
        self._sentry, self._name = sentry, unique("e2e-respond")
        self.scope = f"costCenter#{self._name}"

    def limit(self, output=LIMIT, **attributes):
        self._sentry.set_limit(self.scope, {"output": output}, **attributes)

    def ask(self, tokens):
        tags = {"applicationId": "e2e-respond", "costCenter": self._name}
        sent = document(tags=tags, parameters={"max_tokens": tokens}, input_tokens=10, output_tokens=tokens)
        return self._sentry.ask(sent)


class Record:
    """The lines of the audit record about responses."""

    def __init__(self, sentry):
        self._sentry, self._sweep = sentry, sentry.function_name("SweepHoldsFunction")
        self._group = f"/aws/lambda/{sentry.stack_name}/emit-metrics"

    def of(self, scope, count, seconds=30):
        """Waits for `count` lines about a scope, then a moment for unexpected ones."""
        deadline = time.monotonic() + seconds
        while len(found := self._of(scope)) < count and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(1)
        return self._of(scope) if len(found) >= count else found

    def _of(self, scope):
        lines = [json.loads(line) for _, line in self._sentry.log_events([self._group]) if '"response"' in line]
        return [line for line in lines if line["message"] == "response" and line["scope"] == scope]

    def sweep(self):
        """Starts the sweep now. It looks for ended responses before anything else."""
        self._sentry.functions.invoke(FunctionName=self._sweep, InvocationType="Event")


@pytest.fixture
def center(sentry):
    return Center(sentry)


@pytest.fixture(scope="module")
def record(sentry):
    return Record(sentry)


def seconds_of(instant):
    return datetime.fromisoformat(instant)


def test_limit_goes_to_the_stated_value_until_it_is_taken_back(center, record):
    center.limit(respond=SET)
    check_succeeded(center.ask(899))
    # Below the percentage, the whole limit applies.
    check_succeeded(center.ask(1))
    details = check_error(center.ask(LOWER - 900 + 1), "BudgetExceeded")
    assert (details["scope"], details["remaining"], details["needed"]) == (center.scope, 40, 41)
    answer = check_succeeded(center.ask(10))
    assert {"limit": LOWER, "used": 910, "reserved": 0, "remaining": 30} in [
        entry["output"] for entry in answer["budget"] if "output" in entry
    ]
    (line,) = record.of(center.scope, 1)
    told = {name: line[name] for name in ("v", "change", "item", "at", "unit", "used", "by")}
    assert told == {
        "v": 1,
        "change": "set",
        "item": center.scope,
        "at": 90,
        "unit": "output",
        "used": "900",
        "by": "automatic",
    }
    assert (line["limit_before"], line["limit_after"]) == ({"output": LIMIT}, {"output": LOWER})
    # A larger limit does not end the response.
    center.limit(output=2 * LIMIT, respond=SET)
    check_error(center.ask(31), "BudgetExceeded")
    record.sweep()
    center.limit()
    check_succeeded(center.ask(LIMIT - 910))
    record.sweep()
    begun, ended = record.of(center.scope, 2)
    assert begun == line
    assert (ended["change"], ended["reason"], ended["by"]) == ("ended", "takenBack", "admin")
    assert (ended["limit_before"], ended["limit_after"]) == ({"output": LOWER}, {"output": LIMIT})
    assert ended["since"] == line["timestamp"]


def test_new_window_has_the_whole_limit_again(center, record):
    while datetime.now(UTC).second > 30:
        time.sleep(1)
    center.limit(window="minute", respond=SET)
    check_succeeded(center.ask(950))
    check_error(center.ask(1), "BudgetExceeded")
    (line,) = record.of(center.scope, 1)
    resets_at = seconds_of(line["resets_at"])
    while datetime.now(UTC) < resets_at:
        time.sleep(0.5)
    check_succeeded(center.ask(LIMIT))
    record.sweep()
    lines = record.of(center.scope, 3)
    ended = [line for line in lines if line["change"] == "ended"]
    assert [(each["window"], each["reason"], each["by"]) for each in ended] == [(line["window"], "window", "automatic")]
    assert seconds_of(ended[0]["timestamp"]) >= resets_at
    # The request of the new window has set the response there.
    assert sorted({each["window"] for each in lines if each["change"] == "set"})[0] == line["window"]
    assert len([each for each in lines if each["change"] == "set"]) == 2


@pytest.mark.parametrize("attributes", [{}, {"shards": 4}], ids=["one item", "four shards"])
def test_requests_that_reach_it_together_set_it_once(sentry, center, record, attributes):
    center.limit(output=2000, respond={"at": 30, "set": {"output": 1900}}, **attributes)
    tags = {"applicationId": "e2e-respond", "costCenter": center.scope.removeprefix("costCenter#")}
    sized = {
        n: document(tags=tags, parameters={"max_tokens": 100}, input_tokens=10, output_tokens=100) for n in range(10)
    }
    for each in sentry.execute_all(sized, parallel=10).values():
        check_succeeded(each["output"])
    assert [line["change"] for line in record.of(center.scope, 1)] == ["set"]
    check_error(center.ask(901), "BudgetExceeded")
    check_succeeded(center.ask(900))


def test_model_goes_to_its_fallback_until_it_is_taken_back(sentry, record):
    cheap = sentry.add_model(outputLimit=5000, price=CHEAP, priceSource="a test")
    dear = sentry.add_model(outputLimit=5000, price=DEAR, priceSource="a test", fallback=cheap)

    def served(tokens):
        sent = document(dear, parameters={"max_tokens": tokens}, input_tokens=21, output_tokens=tokens)
        answer = check_succeeded(sentry.ask(sent), sent)
        return answer["model"]["modelId"], answer.get("degraded")

    sentry.set_limit(dear, {"output": LIMIT}, respond=FALLBACK)
    sentry.set_limit(cheap, {"output": LIMIT})
    assert served(500) == (dear, None)
    assert served(100) == (cheap, {"action": "fallback", "from": dear, "to": cheap})
    (line,) = record.of(f"model#{dear}", 1)
    assert (line["change"], line["at"], line["action"]) == ("set", 50, "fallback")
    sentry.set_limit(dear, {"output": LIMIT})
    assert served(100) == (dear, None)
    record.sweep()
    assert [each["change"] for each in record.of(f"model#{dear}", 2)] == ["set", "ended"]


def test_model_without_a_fallback_answers_up_to_its_limit(sentry):
    alone = sentry.add_model(outputLimit=5000, price=DEAR, priceSource="a test")
    sentry.set_limit(alone, {"output": LIMIT}, respond=FALLBACK)
    for _ in range(2):
        check_succeeded(sentry.ask(document(alone, parameters={"max_tokens": 500}, output_tokens=500)))


@pytest.mark.parametrize(
    "respond, field",
    [
        ({"at": 90}, "respond"),
        ({"at": 90, "set": {"output": LIMIT}}, "respond.set.output"),
        ({"at": 90, "set": {"usd": number("1")}}, "respond.set.usd"),
        ({"set": {"output": 1}}, "respond.at"),
        ({"at": 90, "action": "stop"}, "respond.action"),
    ],
)
def test_response_that_is_not_understood_denies(center, respond, field):
    center.limit(respond=respond)
    details = check_error(center.ask(1), "LimitMalformed")
    assert details["field"] == field
