"""A stack that has just been deployed answers. Changes no limit, so it may run against production; at most one small call is paid for."""

import pytest

from contract import check_answer
from sentry_client import Sentry, document

# What a stack that works may say to the request of somebody it may not know. All other codes mean that something is missing or broken.
REFUSALS_OF_A_WORKING_STACK = {"LimitNotConfigured", "BudgetExceeded", "BudgetReserved"}
MODEL = "nova-micro"


@pytest.fixture(scope="module")
def deployed(request):
    """The stack as it is: without the generous limit that the fixture `sentry` sets."""
    option = request.config.getoption
    endpoint = option("--endpoint")
    if endpoint is None:
        pytest.skip("no --endpoint")
    return Sentry(None if endpoint == "aws" else endpoint, option("--stack-name"), option("--bedrock-endpoint"), option("--region"))


def test_document_that_is_wrong_is_refused_with_its_path(deployed):
    """The workflow runs and its first function answers; nothing is counted or paid."""
    answer = check_answer(deployed.ask({"model": MODEL, "prompt": {"messages": []}, "tags": {"applicationId": "smoke-test"}}))
    assert (answer["outcome"], answer["statusCode"]) == ("Invalid", 400)
    assert answer["error"]["details"]["path"].startswith("prompt.messages")


def test_request_is_served_or_refused_by_a_budget(deployed):
    """Tables, CloudWatch and the ledger answer; where a limit allows it, so does the model."""
    sent = document(MODEL, "Say yes.", parameters={"max_tokens": 5}, tags={"applicationId": "smoke-test"})
    answer = check_answer(deployed.ask(sent), sent)
    told = answer.get("error", {})
    assert answer["outcome"] == "Succeeded" or told["code"] in REFUSALS_OF_A_WORKING_STACK, told
