"""`requestId` as an idempotency key.

A repeated id is refused while the first request runs and after it was settled. If the first request spent nothing, its id can be
used again. The stack of this test keeps no answers.
"""

import pytest

from contract import check_error, check_succeeded
from sentry_client import METRICS, InFlight, document, unique

APPLICATION = "e2e-duplicate"


@pytest.fixture(scope="module", autouse=True)
def _keeps_no_answers(sentry):
    if "AnswersTableName" in sentry.outputs:
        pytest.skip("the stack keeps answers; test_replay.py tests what it does with a repeated id")


def identified(model="nova-lite", request_id=None, application=None, **options):
    tags = {"applicationId": application or APPLICATION, "requestId": request_id or unique("e2e-id")}
    return document(model, tags=tags, **options)


def refused(sentry, sent):
    answer = sentry.ask(sent)
    check_error(answer, "DuplicateRequest")
    assert answer["tags"]["requestId"] == answer["error"]["details"]["requestId"] == sent["tags"]["requestId"]
    return answer


def test_settled_request_is_not_repeated(sentry):
    sent = identified()
    first = check_succeeded(sentry.ask(sent), sent)
    answer = refused(sentry, sent)
    assert answer["tags"]["applicationId"] == sent["tags"]["applicationId"]
    told = {"state": "settled", "usage": first["usage"], "cost": first["cost"]}
    assert answer["error"]["details"] == {"requestId": sent["tags"]["requestId"], **told}


def test_the_id_alone_decides(sentry):
    """An id is refused even if the prompt and the model are different."""
    first = identified()
    check_succeeded(sentry.ask(first), first)
    refused(sentry, identified("nova-micro", request_id=first["tags"]["requestId"]))


def test_id_that_the_sentry_gave_is_taken_too(sentry):
    first = check_succeeded(sentry.ask(document(tags={"applicationId": APPLICATION})))
    refused(sentry, identified(request_id=first["tags"]["requestId"]))


def test_id_belongs_to_its_application(sentry):
    """Two applications can use the same request ids."""
    name = unique("e2e-own")
    for application in (unique("e2e-one"), unique("e2e-other")):
        sent = identified(request_id=name, application=application)
        check_succeeded(sentry.ask(sent), sent)
        refused(sentry, sent)


def test_ids_that_differ_in_case_are_two(sentry):
    name = unique("e2e-case")
    for each in (name, name.upper()):
        check_succeeded(sentry.ask(identified(request_id=each)))


@pytest.mark.local
def test_request_in_flight_is_not_repeated(sentry):
    arn, bare = sentry.profile_arn()
    sent = identified(arn, latency_ms=2000)
    with InFlight(sentry, sent, bare) as first:
        answer = refused(sentry, sent)
        assert answer["error"]["details"] == {"requestId": sent["tags"]["requestId"], "state": "in_flight"}
    check_succeeded(first.answer, sent)
    assert sentry.calls(bare) == 1


@pytest.mark.local
def test_of_many_at_once_one_is_served(sentry):
    arn, bare = sentry.profile_arn()
    sent = identified(arn, latency_ms=500, output_tokens=10)
    answers = sentry.decide_all(dict.fromkeys(range(12), sent), parallel=12).values()
    served = [answer for answer in answers if answer["outcome"] == "Succeeded"]
    assert len(served) == 1, [answer["outcome"] for answer in answers]
    for answer in answers:
        if answer is not served[0]:
            check_error(answer, "DuplicateRequest")
    assert sentry.calls(bare) == 1
    (entry,) = served[0]["budget"]
    assert (entry["output"]["used"], entry["output"]["reserved"]) == (10, 0)


def test_denied_request_may_come_again(sentry):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": 0})
    sent = identified(arn)
    for _ in range(2):
        check_error(sentry.ask(sent), "BudgetExceeded", sent)


@pytest.mark.local
def test_denied_request_is_served_once_it_fits(sentry):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": 10})
    sent = identified(arn, parameters={"max_tokens": 100})
    check_error(sentry.ask(sent), "BudgetExceeded", sent)
    sentry.set_limit(bare, {"output": 1000})
    check_succeeded(sentry.ask(sent), sent)
    refused(sentry, sent)


@pytest.mark.local
def test_throttled_request_may_come_again(sentry):
    sent = identified(fault="throttling")
    for _ in range(2):
        check_error(sentry.ask(sent), "ModelThrottled", sent)


@pytest.mark.local
def test_answer_without_tokens_is_an_answer(sentry):
    """A guardrail blocks the prompt before the model is called. AWS charges for that, so the request is not repeated."""
    arn, _ = sentry.profile_arn()
    sent = identified(arn)
    sent["prompt"]["guardrail"] = {"identifier": "blocksinput", "version": "1"}
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["usage"]["totalTokens"] == 0
    refused(sentry, sent)


@pytest.mark.local
def test_malformed_limit_does_not_take_the_id(sentry):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": "many"})
    sent = identified(arn)
    check_error(sentry.ask(sent), "LimitMalformed", sent)
    sentry.set_limit(bare, {"output": 100_000})
    check_succeeded(sentry.ask(sent), sent)


def test_duplicates_are_counted_nowhere(sentry):
    application = unique("e2e-duplicate")
    sent = identified(application=application)
    answer = check_succeeded(sentry.ask(sent), sent)
    for _ in range(3):
        refused(sentry, sent)
    witness = document(tags={"applicationId": unique("e2e-witness")})
    last = check_succeeded(sentry.ask(witness), witness)
    assert len(sentry.wait_for_metrics(sentry.dimensions(last))) == len(METRICS)
    found = sentry.wait_for_metrics(sentry.dimensions(answer))
    assert found["TotalRequests"] == (1, 1) and found["RateLimitDenied"] == (0, 1)
