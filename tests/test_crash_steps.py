"""One crash at a known step, and its exact result. `test_crash_campaign.py` tests all other crashes at random."""

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from sentry_client import document, unique
from strikes import INVOKE, RESERVE, SETTLE, WRITES, struck

pytestmark = pytest.mark.local


@pytest.fixture(scope="module", autouse=True)
def late(sentry):
    with sentry.late_metrics(900):
        yield


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
def test_write_that_is_lost_once_is_repeated_and_counts_once(sentry, budget, function, kind, point):
    sized, figures = budget
    sent = sized()
    with struck(sentry, function, WRITES, point, kind, times=1):
        answer = check_succeeded(sentry.ask(sent), sent)
    assert figures(answer) == (10, 0)
    assert figures(check_succeeded(sentry.ask(sized(990, output_tokens=1)))) == (11, 0)


@pytest.mark.parametrize("point", ["before", "after"])
def test_reserve_that_never_answers_leaves_nothing_held(sentry, budget, point):
    sized, figures = budget
    sent = sized()
    # Reserve is tried three times. Each attempt is killed at a write, before or after the write is done.
    with struck(sentry, RESERVE, WRITES, point, "kill", times=3):
        check_error(sentry.ask(sent), "LedgerUnavailable", sent)
    # The whole budget is free, and the request id can be used again.
    answer = check_succeeded(sentry.ask(sized(1000, output_tokens=1)))
    assert figures(answer) == (1, 0)
    assert figures(check_succeeded(sentry.ask(sent), sent)) == (11, 0)


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_model_call_that_is_lost_keeps_its_hold(sentry, budget, kind, point):
    sized, figures = budget
    sent = sized()
    with struck(sentry, INVOKE, {"converse"}, point, kind, times=1):
        answer = sentry.ask(sent)
    check_error(answer, "ModelUnavailable", sent)
    assert figures(answer) == (0, 600)
    more = sized(401)
    assert check_error(sentry.ask(more), "BudgetReserved", more)["remaining"] == 400
    check_error(sentry.ask(sent), "DuplicateRequest")


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_release_that_is_lost_once_is_repeated(sentry, budget, kind, point):
    sized, figures = budget
    sent = sized(fault="throttling")
    with struck(sentry, SETTLE, WRITES, point, kind, times=1):
        answer = sentry.ask(sent)
    check_error(answer, "ModelThrottled", sent)
    assert figures(answer) == (0, 0)
    assert figures(check_succeeded(sentry.ask(sized(1000)))) == (10, 0)
