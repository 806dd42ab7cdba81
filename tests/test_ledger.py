"""Holds and their settlement, as seen in `budget` and by the next request.

Requests have known sizes. The simulator reports the tokens that the prompt asks for. A request holds its `max_tokens` of
`output`. CloudWatch receives all usage long after these tests, so every figure comes from the ledger.
"""

import time

import pytest

from budget_contract import entry_of
from contract import check_answer, check_error, check_succeeded
from sentry_client import UNREACHABLE, InFlight, document, text, unique

pytestmark = pytest.mark.local

LATE_SECONDS = 900


@pytest.fixture(scope="module", autouse=True)
def late(sentry):
    with sentry.late_metrics(LATE_SECONDS):
        yield


@pytest.fixture
def limited(sentry):
    """Creates a profile with a limit that no other test uses. Returns its ARN and its scope."""

    def make(**limit):
        arn, bare = sentry.profile_arn()
        sentry.set_limit(bare, limit)
        return arn, f"model#{bare}"

    return make


def sized(arn, max_tokens, request_id=None, **directives):
    tags = {"applicationId": "e2e-ledger", **({"requestId": request_id} if request_id else {})}
    return document(arn, parameters={"max_tokens": max_tokens}, tags=tags, **directives)


def succeeded(sentry, sent):
    return check_succeeded(sentry.ask(sent), sent)


def room(answer, scope, unit="output"):
    """Returns `(used, reserved)` of a unit in a scope."""
    entry = entry_of(answer, scope)[unit]
    return entry["used"], entry["reserved"]


# Settling


def test_used_is_what_was_used_though_cloudwatch_knows_nothing(sentry, limited):
    arn, scope = limited(input=100_000, output=5000)
    for times in (1, 2, 3):
        answer = succeeded(sentry, sized(arn, 100, input_tokens=21, output_tokens=70, cache_read=5, cache_write=7))
        assert room(answer, scope, "input") == (33 * times, 0)
        assert room(answer, scope, "output") == (70 * times, 0)


def test_last_request_that_fits_exactly_is_served(sentry, limited):
    arn, scope = limited(output=300)
    for times in (1, 2, 3):
        assert room(succeeded(sentry, sized(arn, 100, output_tokens=100)), scope) == (100 * times, 0)
    sent = sized(arn, 1)
    details = check_error(sentry.ask(sent), "BudgetExceeded", sent)
    assert (details["exceeded"], details["needed"], details["remaining"]) == ("output", 1, 0)


def test_answer_that_is_too_large_is_settled_at_what_it_used(sentry, limited):
    arn, scope = limited(output=200_000)
    sent = sized(arn, 30_000, output_bytes=400_000, input_tokens=30, output_tokens=29_000)
    answer = sentry.ask(sent)
    check_error(answer, "OutputTooLarge", sent)
    assert room(answer, scope) == (29_000, 0)
    assert room(succeeded(sentry, sized(arn, 100, output_tokens=10)), scope) == (29_010, 0)


NOTHING_SPENT = ["throttling", "quota", "not-ready", "unavailable", "access-denied", "validation", "not-found"]
NOBODY_KNOWS = ["hang", "model-timeout", "close", "internal", "model-error", "malformed", "missing-usage"]


@pytest.fixture(scope="module")
def failures(sentry):
    """Sends every fault once, each to a model with a limit of 1,000 tokens and a hold of 500."""
    sent, scopes = {}, {}
    for fault in NOTHING_SPENT + NOBODY_KNOWS:
        arn, bare = sentry.profile_arn()
        sentry.set_limit(bare, {"input": 100_000, "output": 1000})
        sent[fault], scopes[fault] = sized(arn, 500, request_id=unique("e2e-fault"), fault=fault), f"model#{bare}"
    ended = sentry.execute_all(sent)
    return {fault: (sent[fault], check_answer(ended[fault]["output"], sent[fault]), scopes[fault]) for fault in sent}


@pytest.mark.parametrize("fault", NOTHING_SPENT)
def test_failure_that_spent_nothing_gives_the_hold_back(sentry, failures, fault):
    sent, answer, scope = failures[fault]
    assert answer["outcome"] == "InvocationFailed"
    assert room(answer, scope) == (0, 0) and room(answer, scope, "input") == (0, 0)
    assert room(succeeded(sentry, sized(sent["model"], 1000, output_tokens=10)), scope) == (10, 0)


@pytest.mark.parametrize("fault", NOTHING_SPENT)
def test_request_id_of_a_failure_that_spent_nothing_may_be_used_again(sentry, failures, fault):
    sent, _, _ = failures[fault]
    succeeded(sentry, sized(sent["model"], 10, request_id=sent["tags"]["requestId"], output_tokens=1))


@pytest.mark.parametrize("fault", NOBODY_KNOWS)
def test_failure_that_may_have_been_paid_keeps_the_hold(sentry, failures, fault):
    sent, answer, scope = failures[fault]
    assert answer["outcome"] == "InvocationFailed"
    assert room(answer, scope) == (0, 500)
    assert room(answer, scope, "input")[1] > 0
    more = sized(sent["model"], 501)
    refused = sentry.ask(more)
    details = check_error(refused, "BudgetReserved", more)
    assert (details["needed"], details["remaining"]) == (501, 500)
    assert refused["error"]["retryAfterSeconds"] >= 1
    assert room(succeeded(sentry, sized(sent["model"], 500, output_tokens=1)), scope) == (1, 500)


@pytest.mark.parametrize("fault", NOBODY_KNOWS)
def test_request_id_of_a_failure_that_may_have_been_paid_is_taken(sentry, failures, fault):
    sent, _, _ = failures[fault]
    check_error(sentry.ask(sent), "DuplicateRequest")


def test_model_that_was_never_reached_spends_nothing(sentry, limited):
    arn, scope = limited(output=1000)
    sent = sized(arn, 500)
    with sentry.reconfigured("InvokeModelFunction", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=UNREACHABLE):
        answer = sentry.ask(sent)
    check_error(answer, "ModelUnavailable", sent)
    assert room(answer, scope) == (0, 0)


# Denials


def test_reserved_and_exceeded_are_told_apart(sentry, limited):
    arn, scope = limited(output=1000)
    bare = scope.removeprefix("model#")
    with InFlight(sentry, sized(arn, 600, output_tokens=10, latency_ms=2000), bare) as first:
        held, never = sized(arn, 600), sized(arn, 1200)
        refused = sentry.ask(held)
        details = check_error(refused, "BudgetReserved", held)
        assert (details["scope"], details["exceeded"], details["needed"], details["remaining"]) == (
            scope,
            "output",
            600,
            400,
        )
        assert room(refused, scope) == (0, 600)
        details = check_error(sentry.ask(never), "BudgetExceeded", never)
        assert (details["needed"], details["remaining"]) == (1200, 400)
        small = succeeded(sentry, sized(arn, 400, output_tokens=5))
        assert room(small, scope) == (5, 600)
    assert room(check_succeeded(first.answer, first.sent), scope) == (15, 0)
    assert room(succeeded(sentry, sized(arn, 600, output_tokens=1)), scope) == (16, 0)
    assert sentry.calls(bare) == 3


def test_waiting_as_long_as_told_is_enough(sentry, limited):
    arn, scope = limited(output=1000)
    with InFlight(sentry, sized(arn, 900, output_tokens=10, latency_ms=1000), scope.removeprefix("model#")):
        sent = sized(arn, 900, output_tokens=10)
        waits = []
        while (answer := sentry.ask(sent))["outcome"] != "Succeeded":
            check_error(answer, "BudgetReserved", sent)
            waits.append(answer["error"]["retryAfterSeconds"])
            assert sum(waits) < 20, waits
            time.sleep(waits[-1])
    check_succeeded(answer, sent)
    assert waits


def test_own_maximum_is_never_lowered(sentry, limited):
    arn, scope = limited(output=1000)
    sent = sized(arn, 5000)
    answer = sentry.ask(sent)
    details = check_error(answer, "BudgetExceeded", sent)
    assert (details["scope"], details["exceeded"], details["needed"], details["remaining"]) == (
        scope,
        "output",
        5000,
        1000,
    )
    assert sentry.calls(scope.removeprefix("model#")) == 0
    assert "degraded" not in answer


def test_bound_on_the_input_is_exact(sentry, limited):
    """A request holds the `input` that its denial gives as needed. A limit of this amount admits it, one token less denies it."""
    arn, scope = limited(input=0)
    content = text("A prompt of some length.", input_tokens=1)
    sent = document(arn, content, parameters={"max_tokens": 5})
    needed = check_error(sentry.ask(sent), "BudgetExceeded", sent)["needed"]
    assert 0 < needed <= len(content.encode()) + 100
    bare = scope.removeprefix("model#")
    sentry.set_limit(bare, {"input": needed - 1})
    check_error(sentry.ask(sent), "BudgetExceeded", sent)
    sentry.set_limit(bare, {"input": needed})
    assert room(succeeded(sentry, sent), scope, "input") == (1, 0)


# Clients that set no max_tokens


def test_default_that_fits_is_asked_for_in_full(sentry, limited):
    arn, _ = limited(output=2048)
    assert "degraded" not in succeeded(sentry, document(arn))


def test_default_is_lowered_to_what_is_left(sentry, limited):
    arn, scope = limited(output=20)
    answer = succeeded(sentry, document(arn))
    assert answer["degraded"] == {"action": "clamp", "from": 2048, "to": 20}
    assert (answer["output"]["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 20)
    assert room(answer, scope) == (20, 0)


def test_default_is_lowered_to_what_requests_in_flight_leave(sentry, limited):
    arn, scope = limited(output=1000)
    with InFlight(sentry, sized(arn, 900, output_tokens=10, latency_ms=1500), scope.removeprefix("model#")):
        answer = succeeded(sentry, document(arn))
    assert answer["degraded"] == {"action": "clamp", "from": 2048, "to": 100}
    assert answer["usage"]["outputTokens"] <= 100


def test_no_fewer_than_sixteen_tokens_are_asked_for(sentry, limited):
    arn, scope = limited(output=16)
    answer = succeeded(sentry, document(arn))
    assert answer["degraded"]["to"] == 16 and answer["usage"]["outputTokens"] <= 16
    arn, scope = limited(output=15)
    sent = document(arn)
    check_error(sentry.ask(sent), "BudgetExceeded", sent)
    assert sentry.calls(scope.removeprefix("model#")) == 0


def test_failed_invocation_tells_that_it_was_degraded(sentry, limited):
    arn, _ = limited(output=500)
    sent = document(arn, fault="access-denied")
    answer = sentry.ask(sent)
    check_error(answer, "ModelAccessDenied", sent)
    assert answer.get("degraded") == {"action": "clamp", "from": 2048, "to": 500}
