"""All failures of a model: the error code, and the metrics."""

import pytest

from contract import check_error, check_succeeded
from sentry_client import METRICS, document, unique

pytestmark = pytest.mark.local

FAULTS = {
    "throttling": "ModelThrottled",
    "quota": "ModelThrottled",
    "model-timeout": "ModelTimeout",
    "hang": "ModelTimeout",
    "not-ready": "ModelUnavailable",
    "unavailable": "ModelUnavailable",
    "internal": "ModelUnavailable",
    "close": "ModelUnavailable",
    "access-denied": "ModelAccessDenied",
    "validation": "ModelRejectedRequest",
    "not-found": "ModelRejectedRequest",
    "model-error": "ModelError",
    "malformed": "ModelError",
    "missing-usage": "ModelError",
}
# A retry would not help, or the call would be paid for twice.
NEVER_REPEATED = {
    "model-timeout",
    "hang",
    "access-denied",
    "validation",
    "not-found",
    "model-error",
    "malformed",
    "missing-usage",
}
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.fixture(scope="module")
def failures(sentry):
    """Sends every fault, each through its own profile, so that its calls can be counted."""
    sent, profiles = {}, {}
    for fault in FAULTS:
        model, profiles[fault] = sentry.profile_arn()
        sent[fault] = document(model, fault=fault, tags={"applicationId": unique(f"e2e-{fault}")})
    ended = sentry.execute_all(sent)
    return {each: (sent[each], ended[each], profiles[each]) for each in sent}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_has_its_code(failures, fault):
    sent, ended, _ = failures[fault]
    assert ended["status"] == "SUCCEEDED", f"the execution ended {ended['status']}: {ended['error']}: {ended['cause']}"
    check_error(ended["output"], FAULTS[fault], sent)


@pytest.mark.parametrize("fault", FAULTS)
def test_failed_invocation_is_counted(sentry, failures, fault):
    _, ended, _ = failures[fault]
    found = sentry.wait_for_metrics(sentry.dimensions(ended["output"]))
    assert set(found) == set(METRICS)
    counted = {name: found[name] for name in METRICS[:4]}
    assert counted == {
        "TotalRequests": (1, 1),
        "RateLimitApproved": (1, 1),
        "RateLimitDenied": (0, 1),
        "InvocationFailed": (1, 1),
    }


@pytest.mark.parametrize("fault", sorted(NEVER_REPEATED))
def test_call_that_may_have_been_paid_is_not_repeated(sentry, failures, fault):
    assert sentry.calls(failures[fault][2]) == 1


def test_answer_without_text_is_an_answer(sentry):
    """The model was paid for and gives a stop reason. This happens with guardrails and prefilled conversations."""
    sent = document(MODEL, fault="empty")
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["output"]["message"]["content"] == ""


@pytest.mark.parametrize("fault", ["throttling", "unavailable"])
def test_lasting_refusal_is_tried_again(sentry, failures, fault):
    assert sentry.calls(failures[fault][2]) > 1


@pytest.mark.parametrize("fault", ["throttling", "unavailable"])
def test_refusal_that_ends_after_two_tries_succeeds(sentry, fault):
    model, bare = sentry.profile_arn()
    sent = document(model, fault=fault, times=2)
    check_succeeded(sentry.ask(sent), sent)
    assert sentry.calls(bare) == 3


def test_answer_that_does_not_fit_is_named_and_counted(sentry):
    sent = document(
        MODEL,
        tags={"applicationId": unique("e2e-oversized")},
        output_bytes=400_000,
        input_tokens=30,
        output_tokens=90_000,
    )
    answer = sentry.ask(sent)
    check_error(answer, "OutputTooLarge", sent)
    found = sentry.wait_for_metrics(sentry.dimensions(answer))
    totals = {name: total for name, (total, _) in found.items()}
    # The tokens were spent, although no client receives them. With a native call, Step Functions drops the answer and its usage.
    tokens = (0, 0) if sentry.native else (30, 90_000)
    counted = {"InputTokens": tokens[0], "OutputTokens": tokens[1]}
    assert totals == {
        "TotalRequests": 1,
        "RateLimitApproved": 1,
        "RateLimitDenied": 0,
        "InvocationFailed": 1,
        **counted,
    }


def test_answer_that_grows_when_it_is_escaped_is_still_named(sentry):
    """Sizes near the limit of a state's payload return an answer or an error code, never a failed execution."""
    for size in (200_000, 240_000, 255_000, 262_144):
        sent = document(MODEL, output_bytes=size, output_tokens=50_000)
        answer = sentry.ask(sent)
        if answer["outcome"] == "Succeeded":
            check_succeeded(answer, sent)
            assert len(answer["output"]["message"]["content"].encode()) == size
        else:
            check_error(answer, "OutputTooLarge", sent)


def test_slow_answer_within_the_time_is_waited_for(sentry):
    sent = document(latency_ms=1500)
    check_succeeded(sentry.ask(sent), sent)


def test_slow_answer_past_the_time_is_a_timeout(sentry):
    seconds = int(sentry.parameters["ModelTimeoutSeconds"])
    assert seconds <= 10, "deploy with ModelTimeoutSeconds=3 for these tests"
    sent = document(latency_ms=(seconds + 3) * 1000)
    check_error(sentry.ask(sent), "ModelTimeout", sent)


def test_failure_tells_nothing_of_the_prompt(failures):
    for sent, ended, _ in failures.values():
        assert sent["prompt"]["messages"][0]["content"] not in str(ended["output"])
