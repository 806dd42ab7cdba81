"""Outages of services and functions: a denial if the budget is unknown, or an answer that names the error."""

import time
from contextlib import ExitStack

import pytest

from contract import check_answer, check_error, check_succeeded
from sentry_client import METRICS, UNREACHABLE, Tap, document, unique

pytestmark = pytest.mark.local


@pytest.fixture
def profile(sentry):
    return sentry.profile_arn()


def works_again(sentry):
    check_succeeded(sentry.ask(document()))


@pytest.mark.parametrize(
    "function, variable, code",
    [
        ("FetchUsageFunction", "AWS_ENDPOINT_URL_CLOUDWATCH", "UsageUnavailable"),
        ("LookupLimitFunction", "AWS_ENDPOINT_URL_DYNAMODB", "LedgerUnavailable"),
        ("ReserveFunction", "AWS_ENDPOINT_URL_DYNAMODB", "LedgerUnavailable"),
    ],
)
@pytest.mark.parametrize("how", ["unreachable", "hangs up"])
def test_unreachable_service_denies_and_calls_no_model(sentry, profile, function, variable, code, how):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 1_000_000})
    sent = document(arn)
    with ExitStack() as stack:
        url = UNREACHABLE if how == "unreachable" else stack.enter_context(Tap()).url
        stack.enter_context(sentry.reconfigured(function, **{variable: url}))
        answer = sentry.ask(sent)
    check_error(answer, code, sent)
    assert sentry.calls(bare) == 0
    works_again(sentry)


def test_both_unreachable_denies(sentry, profile):
    arn, bare = profile
    sent = document(arn)
    with (
        sentry.reconfigured("FetchUsageFunction", AWS_ENDPOINT_URL_CLOUDWATCH=UNREACHABLE),
        sentry.reconfigured("LookupLimitFunction", AWS_ENDPOINT_URL_DYNAMODB=UNREACHABLE),
    ):
        answer = sentry.ask(sent)
    check_answer(answer, sent)
    assert answer["outcome"] == "Denied"
    assert answer["error"]["code"] in {"UsageUnavailable", "LedgerUnavailable"}
    assert sentry.calls(bare) == 0


@pytest.mark.parametrize(
    "function, code, unvalidated",
    [
        ("ValidateAndTagFunction", "LedgerUnavailable", True),
        ("FetchUsageFunction", "UsageUnavailable", False),
        ("LookupLimitFunction", "LedgerUnavailable", False),
        ("ReserveFunction", "LedgerUnavailable", False),
        ("InvokeModelFunction", "ModelUnavailable", False),
    ],
)
def test_function_that_crashes(sentry, profile, function, code, unvalidated):
    arn, bare = profile
    sent = document(arn)
    with sentry.crashing(function):
        answer = sentry.ask(sent)
    details = check_error(answer, code, sent, unvalidated=unvalidated)
    if function in {"ValidateAndTagFunction", "ReserveFunction"}:
        assert isinstance(details.get("reason"), str) and details["reason"]
    assert sentry.calls(bare) == 0
    works_again(sentry)


@pytest.mark.parametrize(
    "function, variable, code",
    [
        ("FetchUsageFunction", "AWS_ENDPOINT_URL_CLOUDWATCH", "UsageUnavailable"),
        ("LookupLimitFunction", "AWS_ENDPOINT_URL_DYNAMODB", "LedgerUnavailable"),
        ("ReserveFunction", "AWS_ENDPOINT_URL_DYNAMODB", "LedgerUnavailable"),
        ("InvokeModelFunction", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "ModelTimeout"),
    ],
)
def test_function_that_times_out(sentry, profile, function, variable, code):
    arn, bare = profile
    sent = document(arn)
    with Tap(silent=True) as silence, sentry.reconfigured(function, timeout=1, **{variable: silence.url}):
        answer = sentry.ask(sent)
    check_error(answer, code, sent)
    assert silence.connections > 0
    assert sentry.calls(bare) == 0
    works_again(sentry)


def test_function_that_fails_after_a_working_call(sentry, profile):
    """The cache of a warm function must not hide an outage of CloudWatch. The first figure is of a different model."""
    works_again(sentry)
    sent = document(profile[0])
    with sentry.reconfigured("FetchUsageFunction", AWS_ENDPOINT_URL_CLOUDWATCH=UNREACHABLE):
        check_error(sentry.ask(sent), "UsageUnavailable", sent)


@pytest.mark.parametrize(
    "broken",
    [
        lambda sentry: sentry.crashing("CountTokensFunction"),
        lambda sentry: sentry.reconfigured("CountTokensFunction", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=UNREACHABLE),
    ],
    ids=["crashes", "Bedrock unreachable"],
)
def test_tokens_that_cannot_be_counted_are_bounded(sentry, profile, broken):
    arn, bare = profile
    sent = document(arn)
    with broken(sentry):
        check_succeeded(sentry.ask(sent), sent)
    assert sentry.calls(bare) == 1


def test_both_reserve_and_its_cancellation_fail(sentry, profile):
    """The budget is unknown, so the model is not called."""
    arn, bare = profile
    sent = document(arn)
    with sentry.crashing("ReserveFunction"), sentry.crashing("SettleFunction"):
        check_error(sentry.ask(sent), "LedgerUnavailable", sent)
    assert sentry.calls(bare) == 0
    works_again(sentry)


@pytest.mark.parametrize(
    "broken",
    [
        lambda sentry: sentry.crashing("SettleFunction"),
        lambda sentry: sentry.reconfigured("SettleFunction", AWS_ENDPOINT_URL_DYNAMODB=UNREACHABLE),
    ],
    ids=["crashes", "DynamoDB unreachable"],
)
@pytest.mark.parametrize("fault", [None, "throttling"])
def test_answer_is_not_withheld_because_its_hold_could_not_be_settled(sentry, profile, broken, fault):
    """The function of the metrics queue settles the hold from the message of the request. A metric counts it."""
    arn, bare = profile
    sentry.set_limit(bare, {"output": 1000})
    sent = document(arn, parameters={"max_tokens": 600}, output_tokens=10, **({"fault": fault} if fault else {}))
    late = sentry.metric_total("LateSettlements")
    # CloudWatch must not report the tokens before the test reads the budget.
    with sentry.late_metrics(60):
        with broken(sentry):
            answer = sentry.ask(sent)
        check_answer(answer, sent, unsettled=True)
        assert answer["outcome"] == ("InvocationFailed" if fault else "Succeeded")
        assert sentry.wait_for_total(late + 1, "LateSettlements") >= late + 1
        used = 0 if fault else 10
        more = document(arn, parameters={"max_tokens": 1001 - used})
        assert check_error(sentry.ask(more), "BudgetExceeded", more)["remaining"] == 1000 - used
    works_again(sentry)


@pytest.mark.parametrize(
    "broken",
    [
        lambda sentry: sentry.crashing("EmitMetricsFunction"),
        lambda sentry: sentry.reconfigured("EmitMetricsFunction", AWS_ENDPOINT_URL_CLOUDWATCH=UNREACHABLE),
    ],
    ids=["crashes", "CloudWatch unreachable"],
)
def test_metrics_that_could_not_be_sent_arrive_later(sentry, broken):
    sent = document(tags={"applicationId": unique("e2e-late-metrics")})
    with sentry.quick_redelivery():
        with broken(sentry):
            answer = check_succeeded(sentry.ask(sent), sent)
            time.sleep(3)
            assert not sentry.metrics(sentry.dimensions(answer))
        found = sentry.wait_for_metrics(sentry.dimensions(answer), seconds=90)
    assert {name: total for name, (total, _) in found.items()} == {
        "TotalRequests": 1,
        "RateLimitApproved": 1,
        "RateLimitDenied": 0,
        "InvocationFailed": 0,
        "InputTokens": answer["usage"]["inputTokens"],
        "OutputTokens": answer["usage"]["outputTokens"],
    }
    assert set(found) == set(METRICS)
