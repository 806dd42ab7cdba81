"""Limits against usage: denials and their reasons, the effect of an administrator's edit, and the item that decides.

Each case has its own application inference profile, so cases do not share usage. The profile does not need to exist if the case
ends in a denial, because no model is called.
"""

import time
from typing import Any

import pytest

from contract import check_error, check_succeeded
from sentry_client import PLENTY, InFlight, document, number


@pytest.fixture
def profile(sentry):
    return sentry.profile_arn()


def budget_of(answer):
    (entry,) = answer["budget"]
    return entry


def denied(sentry, arn):
    """Checks that a request exceeds its budget. Returns its budget entry."""
    sent = document(arn)
    answer = sentry.ask(sent)
    details = check_error(answer, "BudgetExceeded", sent)
    entry = budget_of(answer)
    assert (details["scope"], details["resetsAt"]) == (entry["scope"], entry["resetsAt"])
    return entry


def approved(sentry, arn):
    """Checks that a request is within its budget. Returns its budget entry."""
    sent = document(arn)
    return budget_of(check_succeeded(sentry.ask(sent), sent))


# Usage against a limit


@pytest.mark.local
def test_spent_budget_denies_until_the_admin_raises_the_item(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 1000, "output": 1000})
    sentry.put_usage(bare, InputTokenCount=1500, OutputTokenCount=20)
    entry = denied(sentry, arn)
    assert (entry["scope"], entry["source"]) == (f"model#{bare}", "model")
    assert entry["input"] == {"limit": 1000, "used": 1500, "reserved": 0, "remaining": 0}
    assert entry["output"] == {"limit": 1000, "used": 20, "reserved": 0, "remaining": 980}
    assert sentry.calls(bare) == 0

    sentry.set_limit(bare, {"input": 10_000_000, "output": 10_000_000})
    entry = approved(sentry, arn)
    assert entry["input"]["limit"] == 10_000_000
    assert entry["input"]["used"] >= 1500
    assert sentry.calls(bare) == 1


def test_lowered_limit_denies_the_next_request(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 0, "output": PLENTY})
    assert denied(sentry, arn)["input"]["limit"] == 0
    sentry.set_limit(bare, {"input": PLENTY, "output": 0})
    entry = denied(sentry, arn)
    assert (entry["input"]["limit"], entry["output"]["limit"]) == (PLENTY, 0)


@pytest.mark.local
@pytest.mark.parametrize("metric", ["InputTokenCount", "OutputTokenCount"])
def test_limit_is_used_up_when_all_of_it_is_spent(sentry, profile, metric):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 5000, "output": 5000})
    sentry.put_usage(bare, **{metric: 5000})
    kind = "input" if metric.startswith("Input") else "output"
    assert denied(sentry, arn)[kind] == {"limit": 5000, "used": 5000, "reserved": 0, "remaining": 0}


@pytest.mark.local
def test_usage_is_the_sum_of_all_points(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 60})
    for amount in (10, 20, 30):
        sentry.put_usage(bare, InputTokenCount=amount)
    assert denied(sentry, arn)["input"]["used"] == 60


@pytest.mark.local
def test_usage_of_another_model_does_not_count(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 1_000_000, "output": 1_000_000})
    sentry.put_usage(bare + "x", InputTokenCount=10_000_000)
    sentry.put_usage(bare[:-1], InputTokenCount=10_000_000)
    sentry.put_usage(arn, InputTokenCount=10_000_000)
    assert approved(sentry, arn)["input"]["used"] < 1_000_000


@pytest.mark.parametrize(
    "limit",
    [
        {"input": 0, "output": 0},
        {"input": 0},
        {"output": 0},
        {"input": 0, "output": PLENTY},
        {"input": PLENTY, "output": 0},
    ],
    ids=str,
)
def test_limit_of_zero_allows_nothing(sentry, profile, limit):
    arn, bare = profile
    sentry.set_limit(bare, limit)
    entry = denied(sentry, arn)
    assert {kind: entry[kind]["limit"] for kind in ("input", "output") if kind in entry} == limit


@pytest.mark.local
@pytest.mark.parametrize(
    "kind, other, metric, unlimited",
    [
        ("input", "output", "InputTokenCount", "OutputTokenCount"),
        ("output", "input", "OutputTokenCount", "InputTokenCount"),
    ],
)
def test_only_one_kind_of_token_is_limited(sentry, profile, kind, other, metric, unlimited):
    arn, bare = profile
    sentry.set_limit(bare, {kind: 1_000_000})
    sentry.put_usage(bare, **{unlimited: 50_000_000})
    assert other not in approved(sentry, arn)
    sentry.put_usage(bare, **{metric: 1_000_000})
    entry = denied(sentry, arn)
    assert other not in entry
    assert entry[kind]["remaining"] == 0


CACHE_METRICS = {
    "documented spelling": ({"CacheReadInputTokens": 300, "CacheWriteInputTokens": 40}, 440),
    "spelling seen in accounts": ({"CacheReadInputTokenCount": 300, "CacheWriteInputTokenCount": 40}, 440),
    "both spellings, the same figures": (
        {
            "CacheReadInputTokens": 300,
            "CacheReadInputTokenCount": 300,
            "CacheWriteInputTokens": 40,
            "CacheWriteInputTokenCount": 40,
        },
        440,
    ),
    "both spellings, the larger counts": (
        {
            "CacheReadInputTokens": 250,
            "CacheReadInputTokenCount": 300,
            "CacheWriteInputTokens": 40,
            "CacheWriteInputTokenCount": 20,
        },
        440,
    ),
    "one spelling each": ({"CacheReadInputTokens": 300, "CacheWriteInputTokenCount": 40}, 440),
    "reads only": ({"CacheReadInputTokens": 300}, 400),
    "writes only": ({"CacheWriteInputTokenCount": 40}, 140),
}


@pytest.mark.local
@pytest.mark.parametrize("name", CACHE_METRICS)
def test_cached_tokens_count_as_input_once(sentry, profile, name):
    arn, bare = profile
    points, used = CACHE_METRICS[name]
    sentry.set_limit(bare, {"input": 100})
    sentry.put_usage(bare, InputTokenCount=100, OutputTokenCount=5, **points)
    assert denied(sentry, arn)["input"]["used"] == used


@pytest.mark.local
def test_answers_close_the_budget_at_once(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"output": 1000})
    sent = document(arn, parameters={"max_tokens": 900}, output_tokens=900, input_tokens=20)
    first = check_succeeded(sentry.ask(sent), sent)
    assert first["usage"]["outputTokens"] == 900
    assert budget_of(first)["output"] == {"limit": 1000, "used": 900, "reserved": 0, "remaining": 100}
    answer = sentry.ask(sent)
    check_error(answer, "BudgetExceeded", sent)
    assert budget_of(answer)["output"] == {"limit": 1000, "used": 900, "reserved": 0, "remaining": 100}


@pytest.mark.local
def test_traffic_that_bypasses_the_sentry_counts_as_soon_as_bedrock_reports_it(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"output": 1000})
    sent = document(arn, parameters={"max_tokens": 100}, output_tokens=100)
    around = {
        "model": {"modelId": arn, "family": "converse"},
        "prompt": document(output_tokens=950)["prompt"],
        "tags": {"applicationId": "e2e-around"},
    }
    check_succeeded(sentry.ask(sent), sent)
    assert sentry.execute(around, machine="ModelRouterArn")["status"] == "SUCCEEDED"
    deadline = time.monotonic() + 30
    while (answer := sentry.ask(sent))["outcome"] == "Succeeded" and time.monotonic() < deadline:
        time.sleep(1)
    check_error(answer, "BudgetExceeded", sent)
    assert budget_of(answer)["output"]["used"] >= 950


# The item that decides


def test_default_item_decides_where_the_model_has_none(sentry, profile):
    arn, bare = profile
    with sentry.default_item({"limit": {"input": 0, "output": 4321}}):
        entry = denied(sentry, arn)
    assert (entry["source"], entry["scope"], entry["output"]["limit"]) == ("default", f"model#{bare}", 4321)


@pytest.mark.local
def test_default_item_is_applied_to_each_model_apart(sentry, profile):
    arn, bare = profile
    other, other_bare = sentry.profile_arn()
    with sentry.default_item({"limit": {"input": 1_000_000}}):
        sentry.put_usage(bare, InputTokenCount=1_000_000)
        assert denied(sentry, arn)["source"] == "default"
        assert approved(sentry, other)["scope"] == f"model#{other_bare}"


def test_neither_an_item_nor_a_default(sentry, profile):
    sent = document(profile[0])
    with sentry.default_item(None):
        check_error(sentry.ask(sent), "LimitNotConfigured", sent)


def test_item_of_the_model_does_not_need_a_default(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 0})
    with sentry.default_item(None):
        assert denied(sentry, arn)["source"] == "model"


def test_deleted_item_leaves_the_default(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"input": 0, "output": 11})
    with sentry.default_item({"limit": {"input": 0, "output": 22}}):
        assert denied(sentry, arn)["output"]["limit"] == 11
        sentry.delete_limit(bare)
        assert denied(sentry, arn)["output"]["limit"] == 22


@pytest.mark.parametrize(
    "keys, winner",
    [
        (("metric", "arn", "default"), "metric"),
        (("metric", "default"), "metric"),
        (("arn", "default"), "arn"),
        (("default",), "default"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else f"first is {value}",
)
def test_lookup_order_of_a_profile(sentry, profile, keys, winner):
    arn, bare = profile
    figures = {"metric": 31, "arn": 32, "default": 34}
    for key, name in (("metric", bare), ("arn", arn)):
        if key in keys:
            sentry.set_limit(name, {"input": 0, "output": figures[key]})
    with sentry.default_item({"limit": {"input": 0, "output": figures["default"]}}):
        entry = denied(sentry, arn)
    assert entry["output"]["limit"] == figures[winner]
    assert entry["source"] == ("default" if winner == "default" else "model")
    assert entry["scope"] == f"model#{bare}"


def test_lookup_order_of_an_alias(sentry):
    alias, model_id = "claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    try:
        sentry.set_limit(alias, {"input": 0, "output": 41})
        entry = denied(sentry, alias)
        assert (entry["output"]["limit"], entry["source"], entry["scope"]) == (41, "model", f"model#{model_id}")
        sentry.set_limit(model_id, {"input": 0, "output": 42})
        assert denied(sentry, alias)["output"]["limit"] == 42
        sentry.delete_limit(alias)
        assert denied(sentry, model_id)["output"]["limit"] == 42
    finally:
        sentry.delete_limit(alias)
        sentry.delete_limit(model_id)


def test_item_of_an_alias_is_not_for_its_full_id(sentry):
    alias, model_id = "claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    try:
        sentry.set_limit(alias, {"input": 0, "output": 43})
        with sentry.default_item({"limit": {"input": 0, "output": 44}}):
            assert denied(sentry, model_id)["output"]["limit"] == 44
    finally:
        sentry.delete_limit(alias)


# Malformed items: (the fields of the item besides its key, the field that the details must name)

MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "input is a word": ({"limit": {"input": "many"}}, "limit.input"),
    "input is a number in a string": ({"limit": {"input": "1000"}}, "limit.input"),
    "input is negative": ({"limit": {"input": -1}}, "limit.input"),
    "input is a fraction": ({"limit": {"input": number("10.5")}}, "limit.input"),
    "input is a boolean": ({"limit": {"input": True}}, "limit.input"),
    "input is null": ({"limit": {"input": None}}, "limit"),
    "input is a list": ({"limit": {"input": [1000]}}, "limit.input"),
    "input is an object": ({"limit": {"input": {"tokens": 1000}}}, "limit.input"),
    "input is beyond any count": ({"limit": {"input": number("1E+30")}}, "limit.input"),
    "output is a word": ({"limit": {"input": 1000, "output": "many"}}, "limit.output"),
    "output is negative": ({"limit": {"input": 1000, "output": -5}}, "limit.output"),
    "output is a fraction": ({"limit": {"output": number("0.5")}}, "limit.output"),
    "no limit": ({}, "limit"),
    "limit is empty": ({"limit": {}}, "limit"),
    "limit is a list": ({"limit": [1000, 3000]}, "limit"),
    "limit is a number": ({"limit": 1000}, "limit"),
    "limit is a string": ({"limit": '{"input": 1000}'}, "limit"),
    "limit is null": ({"limit": None}, "limit"),
    "unknown key in limit": ({"limit": {"input": 1000, "inputs": 5}}, "limit.inputs"),
    "misspelt key in limit": ({"limit": {"imput": 1000}}, "limit.imput"),
    "unknown attribute beside limit": ({"limit": {"input": 1000}, "windw": "month"}, "windw"),
    "window is unknown": ({"limit": {"input": 1000}, "window": "fortnight"}, "window"),
    "window is a number": ({"limit": {"input": 1000}, "window": 30}, "window"),
}


@pytest.fixture(scope="module")
def malformed_answers(sentry):
    sent = {}
    for name, (item, _) in MALFORMED.items():
        arn, bare = sentry.profile_arn()
        sentry.set_limit(bare, **item)
        sent[name] = document(arn)
    return sent, sentry.execute_all(sent)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_item_denies_and_is_named(sentry, malformed_answers, name):
    sent, ended = malformed_answers
    assert ended[name]["status"] == "SUCCEEDED", ended[name]
    answer = ended[name]["output"]
    details = check_error(answer, "LimitMalformed", sent[name])
    _, field = MALFORMED[name]
    assert details.get("field") == field, details
    key = answer["model"]["modelMetric"]
    assert key in details.values(), f"the details do not name the item: {details}"


def test_malformed_default_denies(sentry, profile):
    sent = document(profile[0])
    with sentry.default_item({"limit": {"input": "many"}}):
        details = check_error(sentry.ask(sent), "LimitMalformed", sent)
    assert details.get("field") == "limit.input"
    assert "default" in details.values()


@pytest.mark.local
def test_repaired_item_approves(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"input": "many"})
    sent = document(arn)
    check_error(sentry.ask(sent), "LimitMalformed", sent)
    assert sentry.calls(bare) == 0
    sentry.set_limit(bare, {"input": PLENTY})
    assert approved(sentry, arn)["source"] == "model"


@pytest.mark.local
@pytest.mark.parametrize(
    "item",
    [{"limit": {"input": PLENTY, "output": PLENTY}, "window": "month"}, {"limit": {"input": number("1E+9")}}],
    ids=["window month", "exponent"],
)
def test_item_in_another_spelling_is_understood(sentry, profile, item):
    arn, bare = profile
    sentry.set_limit(bare, **item)
    assert approved(sentry, arn)["source"] == "model"


# Other fields of an item


@pytest.mark.local
def test_limit_that_observes_serves_and_says_what_it_would_deny(sentry):
    model_id = sentry.unpriced_model()
    sentry.set_limit(model_id, {"output": 0, "usd": 1}, enforce="observe", perRequest={"input": 1})
    sent = document(model_id)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert {error["code"] for error in answer["wouldDeny"]} == {"BudgetExceeded", "RequestTooLarge", "ModelNotPriced"}
    assert {error["details"]["scope"] for error in answer["wouldDeny"]} == {f"model#{model_id}"}
    entry = budget_of(answer)
    assert (entry["enforce"], entry["output"]["used"], entry["output"]["remaining"]) == (
        "observe",
        answer["usage"]["outputTokens"],
        0,
    )


def test_stopped_scope_admits_nothing_and_keeps_its_limit(sentry, profile):
    arn, bare = profile
    sent = document(arn)
    for enforce in ("deny", "observe"):
        sentry.set_limit(bare, {"output": PLENTY}, stopped="a leaked key, ticket 17", enforce=enforce)
        answer = sentry.ask(sent)
        details = check_error(answer, "Stopped", sent)
        assert (details["scope"], details["reason"]) == (f"model#{bare}", "a leaked key, ticket 17")
        assert "a leaked key, ticket 17" in answer["error"]["message"]
    assert not sentry.local or sentry.calls(bare) == 0
    sentry.set_limit(bare, {"output": PLENTY})
    assert approved(sentry, arn)["output"]["limit"] == PLENTY


def test_raise_ends_by_itself(sentry, profile):
    arn, bare = profile
    raised = {"limit": {"output": PLENTY}, "until": "2099-01-01T00:00:00Z"}
    sentry.set_limit(bare, {"output": 0}, **{"raise": raised})
    assert approved(sentry, arn)["output"]["limit"] == PLENTY
    sentry.set_limit(bare, {"output": 0}, **{"raise": {**raised, "until": "2024-01-01T00:00:00Z"}})
    assert denied(sentry, arn)["output"]["limit"] == 0


@pytest.mark.local
def test_one_request_may_hold_no_more_than_the_item_says(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"output": PLENTY}, perRequest={"output": 100})
    sent = document(arn, parameters={"max_tokens": 101})
    answer = sentry.ask(sent)
    details = check_error(answer, "RequestTooLarge", sent)
    assert (details["scope"], details["exceeded"], details["needed"], details["limit"]) == (
        f"model#{bare}",
        "output",
        101,
        100,
    )
    # The ledger was not called.
    assert (answer["budget"], sentry.ledger_items(f"model#{bare}"), sentry.calls(bare)) == ([], [], 0)
    # If the client sets no max_tokens, the model is asked for the amount that fits.
    open_ended = document(arn)
    answer = check_succeeded(sentry.ask(open_ended), open_ended)
    assert (answer["degraded"]["action"], answer["degraded"]["to"]) == ("clamp", 100)


@pytest.mark.local
def test_requests_in_flight_are_counted_at_every_moment(sentry, profile):
    arn, bare = profile
    sentry.set_limit(bare, {"output": PLENTY, "inFlight": 1}, window="day")
    sent = document(arn, latency_ms=2500)
    with InFlight(sentry, sent, bare) as first:
        answer = sentry.ask(document(arn))
        details = check_error(answer, "BudgetReserved")
        assert (details["exceeded"], details["window"]) == ("inFlight", "inFlight")
    check_succeeded(first.answer, sent)
    answer = check_succeeded(sentry.ask(document(arn)))
    assert [entry["inFlight"]["reserved"] for entry in answer["budget"] if "inFlight" in entry] == [0]
