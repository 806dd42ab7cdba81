"""The six metrics with the five dimensions after every outcome, and the metrics of the whole stack."""

import string
import time
from urllib.parse import quote

import pytest

from contract import check_error, check_succeeded
from sentry_client import METRICS, UNREACHABLE, document, unique

APPROVED = {"TotalRequests": 1, "RateLimitApproved": 1, "RateLimitDenied": 0, "InvocationFailed": 0}
DENIED = {
    "TotalRequests": 1,
    "RateLimitApproved": 0,
    "RateLimitDenied": 1,
    "InvocationFailed": 0,
    "InputTokens": 0,
    "OutputTokens": 0,
}
ALL_TAGS = {"costCenter": "research", "environment": "staging"}


def counted(sentry, answer, dimensions):
    """Returns the sums with exactly these dimensions. Each metric must have one point, even if its value is zero."""
    assert sentry.dimensions(answer) == dimensions
    found = sentry.wait_for_metrics(dimensions)
    assert {name: points for name, (_, points) in found.items()} == dict.fromkeys(METRICS, 1)
    return {name: total for name, (total, _) in found.items()}


@pytest.mark.parametrize(
    "model, model_id",
    [
        ("nova-lite", "us.amazon.nova-lite-v1:0"),
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ],
)
def test_succeeded(sentry, model, model_id):
    application = unique("e2e-metrics")
    sent = document(model, tags={"applicationId": application, **ALL_TAGS})
    answer = check_succeeded(sentry.ask(sent), sent)
    totals = counted(
        sentry,
        answer,
        {
            "Model": model,
            "ModelId": model_id,
            "CostCenter": "research",
            "Application": application,
            "Environment": "staging",
        },
    )
    assert totals == {
        **APPROVED,
        "InputTokens": answer["usage"]["inputTokens"],
        "OutputTokens": answer["usage"]["outputTokens"],
    }
    assert totals["OutputTokens"] > 0


@pytest.mark.local
def test_succeeded_through_a_profile_without_optional_tags(sentry):
    arn, _ = sentry.profile_arn()
    application = unique("e2e-metrics")
    sent = document(arn, tags={"applicationId": application}, input_tokens=21, output_tokens=143)
    answer = check_succeeded(sentry.ask(sent), sent)
    totals = counted(
        sentry,
        answer,
        {
            "Model": arn,
            "ModelId": arn,
            "CostCenter": "unspecified",
            "Application": application,
            "Environment": "unspecified",
        },
    )
    assert totals == {**APPROVED, "InputTokens": 21, "OutputTokens": 143}


def test_tag_that_is_not_ascii_is_percent_encoded(sentry):
    application = unique("e2e-größe")
    sent = document(tags={"applicationId": application, "costCenter": "支援", "environment": "100% ASCII"})
    answer = check_succeeded(sentry.ask(sent), sent)
    written = {
        "Application": quote(application, safe=string.printable),
        "CostCenter": "%E6%94%AF%E6%8F%B4",
        "Environment": "100% ASCII",
    }
    found = sentry.wait_for_metrics({**sentry.dimensions(answer), **written})
    assert found["TotalRequests"] == (1, 1)


@pytest.mark.parametrize("limit, code", [({"input": 0}, "BudgetExceeded"), ({"input": "many"}, "LimitMalformed")])
def test_denied(sentry, limit, code):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, limit)
    application = unique("e2e-metrics")
    sent = document(arn, tags={"applicationId": application, "costCenter": "research"})
    answer = sentry.ask(sent)
    check_error(answer, code, sent)
    totals = counted(
        sentry,
        answer,
        {
            "Model": arn,
            "ModelId": arn,
            "CostCenter": "research",
            "Application": application,
            "Environment": "unspecified",
        },
    )
    assert totals == DENIED


def test_denied_without_any_limit(sentry):
    sent = document(sentry.profile_arn()[0])
    with sentry.default_item(None):
        answer = sentry.ask(sent)
    check_error(answer, "LimitNotConfigured", sent)
    assert counted(sentry, answer, sentry.dimensions(answer)) == DENIED


@pytest.mark.local
def test_invocation_failed(sentry):
    application = unique("e2e-metrics")
    sent = document("nova-micro", fault="model-error", tags={"applicationId": application, "environment": "staging"})
    answer = sentry.ask(sent)
    check_error(answer, "ModelError", sent)
    totals = counted(
        sentry,
        answer,
        {
            "Model": "nova-micro",
            "ModelId": "us.amazon.nova-micro-v1:0",
            "CostCenter": "unspecified",
            "Application": application,
            "Environment": "staging",
        },
    )
    assert totals == {**APPROVED, "InvocationFailed": 1, "InputTokens": 0, "OutputTokens": 0}


def test_several_requests_of_one_application_add_up(sentry):
    application = unique("e2e-metrics")
    sent = {number: document(tags={"applicationId": application}) for number in range(5)}
    answers = [check_succeeded(ended["output"]) for ended in sentry.execute_all(sent).values()]
    dimensions = sentry.dimensions(answers[0])
    found = sentry.wait_for_metrics(dimensions, points=5)
    totals = {name: total for name, (total, _) in found.items()}
    assert totals == {
        "TotalRequests": 5,
        "RateLimitApproved": 5,
        "RateLimitDenied": 0,
        "InvocationFailed": 0,
        "InputTokens": sum(answer["usage"]["inputTokens"] for answer in answers),
        "OutputTokens": sum(answer["usage"]["outputTokens"] for answer in answers),
    }


def total_after(sentry, request, by, name, **dimensions):
    """Returns the answer, and the amount that the request adds to a metric that all requests share."""
    before = sentry.metric_total(name, **dimensions)
    answer = sentry.ask(request)
    return answer, sentry.wait_for_total(before + by, name, **dimensions) - before


@pytest.mark.parametrize("limit, code", [({"input": 0}, "BudgetExceeded"), ({"input": "many"}, "LimitMalformed")])
def test_denial_is_counted_by_its_code(sentry, limit, code):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, limit)
    answer, added = total_after(sentry, document(arn), 1, "Denials", Code=code)
    check_error(answer, code)
    assert added >= 1


@pytest.mark.local
def test_failure_to_know_the_budget_is_counted_by_its_code(sentry):
    with sentry.reconfigured("FetchUsageFunction", AWS_ENDPOINT_URL_CLOUDWATCH=UNREACHABLE):
        answer, added = total_after(sentry, document(), 1, "Denials", Code="UsageUnavailable")
    check_error(answer, "UsageUnavailable")
    assert added >= 1


def test_degradation_is_counted(sentry):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": 20})
    answer, added = total_after(sentry, document(arn), 1, "Degradations", Action="clamp")
    assert answer["degraded"]["to"] == 20
    assert added >= 1


@pytest.mark.local
def test_held_and_used_tokens_are_counted(sentry):
    sent = document(parameters={"max_tokens": 500}, input_tokens=10, output_tokens=40)
    # Messages of earlier tests must leave the queue. The figures are then only those of this request.
    time.sleep(5)
    before = sentry.metric_total("HeldTokens")
    answer, used = total_after(sentry, sent, 50, "UsedTokens")
    check_succeeded(answer, sent)
    held = sentry.wait_for_total(before + 500, "HeldTokens") - before
    assert used == 50
    assert 500 < held < 500 + len(sent["prompt"]["messages"][0]["content"].encode()) + 100


def test_invalid_request_counts_nothing(sentry):
    application = unique("e2e-metrics")
    sent = document(tags={"applicationId": application})
    check_error(sentry.ask({**sent, "unknown": 1}), "InvalidRequest")
    # The metrics of a later request have arrived, so those of the refused request would have arrived too.
    witness = document(tags={"applicationId": unique("e2e-witness")})
    answer = check_succeeded(sentry.ask(witness), witness)
    assert len(sentry.wait_for_metrics(sentry.dimensions(answer))) == len(METRICS)
    assert application not in sentry.metric_applications()
