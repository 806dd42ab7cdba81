"""A client that lost its connection sends its request again, and gets the kept answer. Nothing is paid twice. The stack of this
test keeps answers.
"""

import json

import pytest

from contract import check_error, check_succeeded
from sentry_client import InFlight, document, unique

pytestmark = pytest.mark.local

# A whole number that no double has.
LONG = 9_007_199_254_740_993


@pytest.fixture(scope="module", autouse=True)
def _keeps_answers(sentry):
    if "AnswersTableName" not in sentry.outputs:
        pytest.skip("the stack has KeepAnswersHours=0 and AsyncConcurrency=0")


def identified(model, **options):
    return document(model, tags={"applicationId": "e2e-replay", "requestId": unique("e2e-replay")}, **options)


def test_the_repetition_of_a_settled_request_is_its_first_answer(sentry):
    arn, bare = sentry.profile_arn()
    sent = identified(arn, output_tokens=7)
    first = check_succeeded(sentry.ask(sent), sent)
    for _ in range(2):
        assert sentry.ask(sent) == {**first, "replayed": True}
    # White space and the order of fields are no other document.
    assert sentry.ask(json.dumps(sent, indent=2, sort_keys=True))["replayed"]
    assert sentry.calls(bare) == 1
    assert sentry.ledger_settled(f"model#{bare}") == 7


def test_another_document_with_the_same_id_is_a_duplicate_with_the_usage_of_the_first(sentry):
    arn, bare = sentry.profile_arn()
    sent = identified(arn)
    first = check_succeeded(sentry.ask(sent), sent)
    other = {**sent, "prompt": {**sent["prompt"], "parameters": {"max_tokens": 9}}}
    details = check_error(sentry.ask(other), "DuplicateRequest")
    assert (details["state"], details["usage"], details["cost"]) == ("settled", first["usage"], first["cost"])
    assert sentry.ask(sent)["replayed"] and sentry.calls(bare) == 1


def test_a_repetition_while_the_first_request_runs_is_a_duplicate(sentry):
    arn, bare = sentry.profile_arn()
    sent = identified(arn, latency_ms=1500)
    with InFlight(sentry, sent, bare) as first:
        assert check_error(sentry.ask(sent), "DuplicateRequest")["state"] == "in_flight"
    assert sentry.ask(sent) == {**check_succeeded(first.answer, sent), "replayed": True}
    assert sentry.calls(bare) == 1


def test_a_failure_that_used_tokens_is_replayed_and_a_denial_may_come_again(sentry):
    arn, bare = sentry.profile_arn()
    sent = identified(arn, fault="empty")
    first = sentry.ask(sent)
    assert first["outcome"] == "InvocationFailed" or first["usage"]["totalTokens"] > 0
    assert sentry.ask(sent) == {**first, "replayed": True}
    assert sentry.calls(bare) == 1
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": 0})
    sent = identified(arn)
    check_error(sentry.ask(sent), "BudgetExceeded", sent)
    sentry.set_limit(bare, {"output": 1000})
    assert "replayed" not in check_succeeded(sentry.ask(sent), sent)


def test_numbers_of_a_replayed_tool_use_are_as_the_model_wrote_them(sentry):
    """The workflow passes the kept answer on without reading it."""
    schema = {"json": {"type": "object", "properties": {"id": {"type": "integer", "const": LONG}}, "required": ["id"]}}
    sent = identified("claude-haiku-4-5", tool="find")
    sent["prompt"]["tools"] = [{"toolSpec": {"name": "find", "inputSchema": schema}}]
    first = sentry.execute(sent)["output"]
    raw = sentry.states.start_sync_execution(stateMachineArn=sentry.outputs["RateLimiterArn"], input=json.dumps(sent))
    assert first["output"]["stopReason"] == "tool_use"
    assert json.loads(raw["output"]) == {**first, "replayed": True}
