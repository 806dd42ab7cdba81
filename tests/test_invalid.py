"""Documents that must be refused. Each answer contains the path of the field, and nothing after the first state is called."""

import time
from contextlib import ExitStack

import pytest

import invalid_documents
from contract import CODES, check_answer
from invalid_documents import CASES
from sentry_client import CANARY, Tap, document, unique

TAPPED = {
    "LookupLimitFunction": "AWS_ENDPOINT_URL_DYNAMODB",
    "FetchUsageFunction": "AWS_ENDPOINT_URL_CLOUDWATCH",
    "CountTokensFunction": "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "ReserveFunction": "AWS_ENDPOINT_URL_DYNAMODB",
    "InvokeModelFunction": "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "SettleFunction": "AWS_ENDPOINT_URL_DYNAMODB",
    "EmitMetricsFunction": "AWS_ENDPOINT_URL_CLOUDWATCH",
}
APPLICATION = unique(invalid_documents.APPLICATION)
# AWS itself rejects this document.
ONLY_LOCAL = {"the document has over 262,144 bytes"}


def sent_documents(local):
    """Returns the documents of the cases. Their application is unique to this run, and their prompts contain the canary."""
    return {
        name: raw.replace(f'"{invalid_documents.APPLICATION}"', f'"{APPLICATION}"').replace(
            f'"{invalid_documents.CANARY_PLACE}"', f'"{CANARY}"'
        )
        for name, (raw, *_) in CASES.items()
        if local or name not in ONLY_LOCAL
    }


class Run:
    """Sends all documents. Records the end of each execution, and the connections of functions to services during the run."""

    def __init__(self, sentry):
        self.calls_before = sentry.calls() if sentry.bedrock_endpoint else None
        self.connections = {}
        with ExitStack() as stack:
            taps = {}
            if sentry.local:
                # Messages of earlier tests must leave the queue before the taps start.
                time.sleep(3)
                for function, variable in TAPPED.items():
                    taps[function] = stack.enter_context(Tap())
                    stack.enter_context(sentry.reconfigured(function, **{variable: taps[function].url}))
            self.ended = sentry.execute_all(sent_documents(sentry.local))
            time.sleep(2 if sentry.local else 60)
            self.connections = {function: tap.connections for function, tap in taps.items()}
            self.calls_after = sentry.calls() if sentry.bedrock_endpoint else None
            self.applications = sentry.metric_applications()


@pytest.fixture(scope="module")
def run(sentry):
    return Run(sentry)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.local) if name in ONLY_LOCAL else name for name in CASES]
)
def test_invalid_document(run, name):
    _, codes, paths, parameter = CASES[name]
    ended = run.ended[name]
    assert ended["status"] == "SUCCEEDED", f"the execution ended {ended['status']}: {ended['error']}: {ended['cause']}"
    answer = check_answer(ended["output"])
    error = answer.get("error", {})
    assert (answer["outcome"], answer["statusCode"]) == ("Invalid", 400), f"{answer['outcome']} {error}"
    assert error["code"] in codes, error
    assert error["details"].get("path") in paths, f"expected one of {sorted(paths)}: {error}"
    assert parameter in (None, error["details"].get("parameter")), error
    assert set(codes) <= CODES.keys()


def test_there_are_at_least_sixty():
    assert len(CASES) >= 60


def test_nothing_of_an_invalid_prompt_comes_back(run):
    assert not [name for name, ended in run.ended.items() if CANARY in str(ended["output"])]


@pytest.mark.local
def test_none_reached_the_model(run):
    assert run.calls_after == run.calls_before


@pytest.mark.local
@pytest.mark.parametrize("function", TAPPED)
def test_none_reached_the_service_behind(run, function):
    assert run.connections[function] == 0


@pytest.mark.local
@pytest.mark.parametrize("function, variable", TAPPED.items())
def test_the_taps_hear_a_valid_request(sentry, run, function, variable):
    """Control for the test above: the same tap notices a valid request."""
    with Tap() as tap, sentry.reconfigured(function, **{variable: tap.url}):
        sent = document("claude-haiku-4-5")
        check_answer(sentry.ask(sent), sent, unsettled=function == "SettleFunction")
        deadline = time.monotonic() + 10
        while not tap.connections and time.monotonic() < deadline:
            time.sleep(0.1)
        assert tap.connections


def test_none_published_a_metric(run):
    assert APPLICATION not in run.applications
    assert "unspecified" not in run.applications
