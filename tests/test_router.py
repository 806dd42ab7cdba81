"""The model router, called without the rate limiter."""

import pytest

from contract import STOP_REASONS, check_cost, check_usage
from sentry_client import document, text

ROUTES = {
    "anthropic": ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic"),
    "nova": ("us.amazon.nova-lite-v1:0", "nova"),
    "llama": ("us.meta.llama3-3-70b-instruct-v1:0", "llama"),
    "converse": ("amazon.nova-micro-v1:0", "converse"),
}


def entry(model_id, family, **directives):
    return {
        "model": {"modelId": model_id, "family": family},
        "prompt": {"messages": [{"role": "user", "content": text(**directives)}], "parameters": {"max_tokens": 100}},
        "tags": {"applicationId": "e2e-router"},
    }


@pytest.mark.parametrize("name", ROUTES)
def test_answer(sentry, name):
    ended = sentry.execute(entry(*ROUTES[name]), machine="ModelRouterArn")
    assert ended["status"] == "SUCCEEDED", ended
    answer = ended["output"]
    assert set(answer) - {"cost"} == {"output", "usage"}
    assert set(answer["output"]) == {"message", "stopReason"}
    assert answer["output"]["stopReason"] in STOP_REASONS
    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["output"]["message"]["content"]
    check_usage(answer["usage"])
    if "cost" in answer:
        check_cost(answer["cost"], answer["usage"])


@pytest.mark.local
def test_saving_of_the_cache(sentry):
    sent = entry(*ROUTES["anthropic"], input_tokens=100, cache_read=1000, cache_write=200, output_tokens=10)
    answer = sentry.execute(sent, machine="ModelRouterArn")["output"]
    # 100 x 1.10 + 1,000 x 0.11 + 200 x 1.375 + 10 x 5.50. The cache saved 1,000 x 0.99 - 200 x 0.275.
    assert answer["cost"] == {"priced": True, "usd": "0.000550000", "savedUsd": "0.000935000"}
    check_cost(answer["cost"], answer["usage"])


@pytest.mark.local
@pytest.mark.parametrize(
    "fault, code",
    [
        ("throttling", "ModelThrottled"),
        ("hang", "ModelTimeout"),
        ("unavailable", "ModelUnavailable"),
        ("close", "ModelUnavailable"),
        ("access-denied", "ModelAccessDenied"),
        ("validation", "ModelRejectedRequest"),
        ("model-error", "ModelError"),
        ("malformed", "ModelError"),
    ],
)
@pytest.mark.parametrize("name", ["nova", "llama"])
def test_failure_has_a_stable_name(sentry, name, fault, code):
    sent = entry(*ROUTES[name], fault=fault)
    ended = sentry.execute(sent, machine="ModelRouterArn")
    assert (ended["status"], ended["error"]) == ("FAILED", code)
    assert sent["prompt"]["messages"][0]["content"] not in (ended["cause"] or "")


@pytest.mark.local
def test_oversized_answer(sentry):
    ended = sentry.execute(entry(*ROUTES["nova"], output_bytes=400_000), machine="ModelRouterArn")
    assert (ended["status"], ended["error"]) == ("FAILED", "OutputTooLarge")


@pytest.mark.local
def test_function_that_crashes(sentry):
    with sentry.crashing("ReadAnswerFunction" if sentry.native else "InvokeModelFunction"):
        ended = sentry.execute(entry(*ROUTES["nova"]), machine="ModelRouterArn")
    assert (ended["status"], ended["error"]) == ("FAILED", "ModelUnavailable")


def test_same_answer_as_through_the_limiter(sentry):
    through = sentry.ask(document(parameters={"max_tokens": 100}))
    alone = sentry.execute(entry(*ROUTES["nova"]), machine="ModelRouterArn")["output"]
    for part in ("output", "usage", "cost"):
        assert alone[part].keys() == through[part].keys()
