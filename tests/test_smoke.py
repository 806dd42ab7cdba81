"""A stack that was just deployed answers requests.

The tests change no limit, so they may run against production. At most one small model call is paid for.
"""

import pytest

from contract import check_answer
from sentry_client import Sentry, document

# A working stack may deny this request with these codes, because its limits may not admit it. All other codes mean that
# something is missing or broken.
REFUSALS_OF_A_WORKING_STACK = {"LimitNotConfigured", "BudgetExceeded", "BudgetReserved"}
MODEL = "nova-micro"


@pytest.fixture(scope="module")
def deployed(request):
    """The unchanged stack, without the generous limit that the fixture `sentry` sets."""
    option = request.config.getoption
    endpoint = option("--endpoint")
    if endpoint is None:
        pytest.skip("no --endpoint")
    return Sentry(
        None if endpoint == "aws" else endpoint,
        option("--stack-name"),
        option("--bedrock-endpoint"),
        option("--region"),
    )


def test_document_that_is_wrong_is_refused_with_its_path(deployed):
    """The workflow runs and its first function answers. Nothing is counted or paid for."""
    answer = check_answer(
        deployed.ask({"model": MODEL, "prompt": {"messages": []}, "tags": {"applicationId": "smoke-test"}})
    )
    assert (answer["outcome"], answer["statusCode"]) == ("Invalid", 400)
    assert answer["error"]["details"]["path"].startswith("prompt.messages")


def test_request_is_served_or_refused_by_a_budget(deployed):
    """The tables, CloudWatch and the ledger answer. If the limits allow the request, the model answers too."""
    sent = document(MODEL, "Say yes.", parameters={"max_tokens": 5}, tags={"applicationId": "smoke-test"})
    answer = check_answer(deployed.ask(sent), sent)
    told = answer.get("error", {})
    assert answer["outcome"] == "Succeeded" or told["code"] in REFUSALS_OF_A_WORKING_STACK, told
