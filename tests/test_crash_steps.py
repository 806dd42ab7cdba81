"""One crash at a known step, and its exact result. `test_crash_campaign.py` tests all other crashes at random."""

from contextlib import contextmanager

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from fault_proxy import Fault, FaultProxy
from sentry_client import document, unique

pytestmark = pytest.mark.local

RESERVE = ("ReserveFunction", "AWS_ENDPOINT_URL_DYNAMODB")
SETTLE = ("SettleFunction", "AWS_ENDPOINT_URL_DYNAMODB")
INVOKE = ("InvokeModelFunction", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
WRITES = {"UpdateItem", "TransactWriteItems"}
# Reserve also reads while it registers the request. If reads were hit, one attempt would meet two faults.
READS = {"GetItem", "BatchGetItem", "Query"}


class Strikes:
    """A plan with one kind of fault, which happens `times` times.

    The first fault meets the first call of the given operations. After that, a fault meets every call, except reads that are not
    given.
    """

    def __init__(self, operations, point, kind, times):
        self._operations, self._point, self._kind, self._left = operations, point, kind, times
        self.happened = 0

    def draw(self, function, operation):
        if (
            self._left == 0
            or (self.happened == 0 and operation not in self._operations)
            or operation in READS - self._operations
        ):
            return None
        self._left -= 1
        return Fault(function, operation, self._point, self._kind)

    def report(self, _fault, happened):
        self.happened += happened


@pytest.fixture(scope="module", autouse=True)
def late(sentry):
    with sentry.late_metrics(900):
        yield


@pytest.fixture
def struck(sentry):
    """Runs a function behind a proxy that injects faults."""

    @contextmanager
    def make(function, operations, point, kind, times):
        name, variable = function
        strikes = Strikes(operations, point, kind, times)
        upstream = sentry.endpoint if variable.endswith("DYNAMODB") else sentry.bedrock_endpoint
        with FaultProxy(name, upstream, strikes) as proxy, sentry.reconfigured(name, **{variable: proxy.url}):
            yield strikes
        assert strikes.happened == times

    return make


@pytest.fixture(params=[1, 2], ids=["one scope", "two scopes"])
def budget(sentry, request):
    """Creates a model with a limit of 1,000 tokens, alone or with a cost center that has the same limit.

    Returns a function that makes documents that hold 600 tokens, and a function that reads `(used, reserved)`.
    """
    arn, bare = sentry.profile_arn()
    center = unique("e2e-steps")
    scopes = [f"model#{bare}", f"costCenter#{center}"][: request.param]
    sentry.set_limit(bare, {"output": 1000})
    if request.param == 2:
        sentry.set_limit(scopes[1], {"output": 1000})

    def sized(max_tokens=600, **directives):
        tags = {"applicationId": "e2e-steps", "costCenter": center, "requestId": unique("e2e-steps")}
        return document(arn, tags=tags, parameters={"max_tokens": max_tokens}, **{"output_tokens": 10, **directives})

    def figures(answer):
        found = {
            (entry_of(answer, scope)["output"]["used"], entry_of(answer, scope)["output"]["reserved"])
            for scope in scopes
        }
        assert len(found) == 1, found
        return found.pop()

    return sized, figures


KINDS = ["kill", "cut"]


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", [RESERVE, SETTLE], ids=["reserve", "settle"])
def test_write_that_is_lost_once_is_repeated_and_counts_once(sentry, struck, budget, function, kind, point):
    sized, figures = budget
    sent = sized()
    with struck(function, WRITES, point, kind, times=1):
        answer = check_succeeded(sentry.ask(sent), sent)
    assert figures(answer) == (10, 0)
    assert figures(check_succeeded(sentry.ask(sized(990, output_tokens=1)))) == (11, 0)


@pytest.mark.parametrize("point", ["before", "after"])
def test_reserve_that_never_answers_leaves_nothing_held(sentry, struck, budget, point):
    sized, figures = budget
    sent = sized()
    # Reserve is tried three times. Each attempt is killed at a write, before or after the write is done.
    with struck(RESERVE, WRITES, point, "kill", times=3):
        check_error(sentry.ask(sent), "LedgerUnavailable", sent)
    # The whole budget is free, and the request id can be used again.
    answer = check_succeeded(sentry.ask(sized(1000, output_tokens=1)))
    assert figures(answer) == (1, 0)
    assert figures(check_succeeded(sentry.ask(sent), sent)) == (11, 0)


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_model_call_that_is_lost_keeps_its_hold(sentry, struck, budget, kind, point):
    sized, figures = budget
    sent = sized()
    with struck(INVOKE, {"converse"}, point, kind, times=1):
        answer = sentry.ask(sent)
    check_error(answer, "ModelUnavailable", sent)
    assert figures(answer) == (0, 600)
    more = sized(401)
    assert check_error(sentry.ask(more), "BudgetReserved", more)["remaining"] == 400
    check_error(sentry.ask(sent), "DuplicateRequest")


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_release_that_is_lost_once_is_repeated(sentry, struck, budget, kind, point):
    sized, figures = budget
    sent = sized(fault="throttling")
    with struck(SETTLE, WRITES, point, kind, times=1):
        answer = sentry.ask(sent)
    check_error(answer, "ModelThrottled", sent)
    assert figures(answer) == (0, 0)
    assert figures(check_succeeded(sentry.ask(sized(1000)))) == (10, 0)
