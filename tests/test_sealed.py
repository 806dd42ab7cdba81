"""If a function calls the model, only the input of the first state shows the prompt.

No input of another state contains a word of the prompt, of the answer or of Bedrock's error.
"""

import json

import pytest

from contract import check_error, check_succeeded
from sentry_client import UNREACHABLE, document, text, unique

pytestmark = pytest.mark.local


def inputs(sentry, sent):
    """Returns the answer of an execution, and the inputs of all states after the first as text, branches included."""
    ended = sentry.states.start_sync_execution(stateMachineArn=sentry.outputs["RateLimiterArn"], input=json.dumps(sent))
    events = sentry.states.get_execution_history(executionArn=ended["executionArn"], maxResults=1000)["events"]
    entered = [event["stateEnteredEventDetails"] for event in events if "stateEnteredEventDetails" in event]
    assert entered[0]["name"] == "Validate And Tag" and len(entered) > 3
    return json.loads(ended["output"]), {state["name"]: state.get("input", "") for state in entered[1:]}


def shown(inputs, *words):
    return [(name, word) for name, text in inputs.items() for word in words if word in text]


@pytest.fixture(autouse=True)
def through_a_function(sentry):
    if sentry.native:
        pytest.skip("natively Step Functions itself has the request and the answer")


def test_prompt_and_answer_are_in_no_later_input(sentry):
    marker = unique("marker")
    answer, later = inputs(sentry, document(content=text(marker)))
    said = check_succeeded(answer)["output"]["message"]["content"]
    assert not shown(later, marker, said[:40], said[-40:])
    assert "Settle" in later


def test_bedrocks_reason_reaches_the_client_and_no_later_input(sentry):
    marker = unique("marker").replace("-", "")
    sent = document(fault="validation", error_text=marker)
    answer, later = inputs(sentry, sent)
    check_error(answer, "ModelRejectedRequest", sent)
    assert marker in answer["error"]["details"]["bedrockMessage"]
    # The prompt contains the marker, so this also proves that no input contains the prompt.
    assert not shown(later, marker)


def test_answer_of_a_request_that_could_not_be_settled_is_in_no_later_input(sentry):
    with sentry.reconfigured("SettleFunction", AWS_ENDPOINT_URL_DYNAMODB=UNREACHABLE):
        answer, later = inputs(sentry, document())
    said = answer["output"]["message"]["content"]
    assert "Queue Settlement" in later and "Read Answer" in later
    assert not shown(later, said[:40], said[-40:])
