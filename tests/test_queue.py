"""The request queue: an answer for every message, and no request is paid twice. The stack of this test has `AsyncConcurrency`
and `ReplyQueueArns`.
"""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from random import Random
from string import ascii_letters

import pytest

from contract import check_error, check_succeeded
from function_processes import kill_one
from queue_client import RequestQueue, asked, until
from sentry_client import CANARY, SOMEBODY, document, text, unique

pytestmark = pytest.mark.local

REPLIES = "cost-sentry-e2e-replies"
# The messages of the burst, and how many of them the budget allows.
BURST, AFFORDABLE, TOKENS = 240, 120, 10
# Functions that are killed during the burst. Some of them are idle.
KILLS = 6
# More than the attempts of one model call.
FAULTS = 4
# Functions that die, and the seconds after which their messages come again.
DEATHS, REDELIVERY_SECONDS = 10, 6


@pytest.fixture(scope="module")
def queue(sentry):
    if "RequestQueueUrl" not in sentry.outputs:
        pytest.skip("the stack has AsyncConcurrency=0")
    queue = RequestQueue(sentry)
    # The message of a function that dies comes again soon. The local AWS also ends running functions when a test changes
    # their configuration.
    name = "VisibilityTimeout"
    before = sentry.queues.get_queue_attributes(QueueUrl=queue.url, AttributeNames=[name])["Attributes"]
    sentry.queues.set_queue_attributes(QueueUrl=queue.url, Attributes={name: str(REDELIVERY_SECONDS)})
    yield queue
    sentry.queues.set_queue_attributes(QueueUrl=queue.url, Attributes=before)


@pytest.fixture(scope="module", autouse=True)
def waiting(sentry, queue, command):
    """Requests that wait for a throttled model and for the next minute, while the other tests run."""
    application, request_id = unique("e2e-minute"), unique("e2e-throttled")
    sentry.set_limit(f"application#{application}", {"requests": 2}, window="minute")
    queue.send(asked(request_id=request_id, fault="throttling", times=FAULTS, output_tokens=7))
    minutes = [queue.send(asked(application), WhenExceeded="wait") for _ in range(2)]
    # The command waits for the same reset.
    told = command("--output", "json", "ask", "--async", "--no-wait", "--wait-for-reset", *words(application), "Hello")
    minutes.append(json.loads(told)["requestId"])
    return {"throttled": request_id, "application": application, "minutes": minutes}


def words(application):
    """The options of a small request of the command."""
    options = {"model": "nova-lite", "application": application, "cost-center": "support", "max-tokens": "20"}
    return [each for name, value in options.items() for each in (f"--{name}", value)]


@pytest.fixture(scope="module")
def events(sentry):
    """A queue that gets all events of the sentry."""
    bus, queues = sentry.client("events"), sentry.queues
    url = queues.create_queue(QueueName=unique("e2e-events"))["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = unique("e2e-finished")
    bus.put_rule(Name=rule, EventPattern=json.dumps({"source": ["cost-sentry"], "detail-type": ["Request Finished"]}))
    bus.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    yield Reader(sentry, url)
    bus.remove_targets(Rule=rule, Ids=["queue"])
    bus.delete_rule(Name=rule)
    queues.delete_queue(QueueUrl=url)


def received(sentry, url):
    """Receives and deletes up to ten messages."""
    got = sentry.queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    for message in got.get("Messages", []):
        sentry.queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return got.get("Messages", [])


class Reader:
    """Reads a queue that several tests use."""

    def __init__(self, sentry, url):
        self.sentry, self.url, self.messages = sentry, url, []

    def wait_for(self, belongs, what):
        """Waits for the message for which `belongs` is true. Others stay for other tests."""

        def found():
            self.messages += received(self.sentry, self.url)
            return next(filter(belongs, self.messages), None)

        message = until(found, what)
        self.messages.remove(message)
        return message


def attribute_of(message, name):
    return message.get("MessageAttributes", {}).get(name, {}).get("StringValue")


@pytest.fixture(scope="module")
def dead_letters(sentry, queue):
    return Reader(sentry, sentry.outputs["RequestDeadLetterQueueUrl"])


def test_answer_arrives_with_an_event_that_has_no_text(sentry, queue, events):
    sent = asked(parameters={"max_tokens": 50}, output_tokens=12)
    message_id = queue.send(sent)
    answer = check_succeeded(queue.answer(SOMEBODY, message_id), None)
    assert answer["tags"]["requestId"] == message_id
    item = queue.item(SOMEBODY, message_id)
    assert 23 * 3600 < int(item["expiresAt"]) - time.time() <= 24 * 3600
    event = events.wait_for(lambda each: message_id in each["Body"], "the event")["Body"]
    detail = json.loads(event)["detail"]
    assert detail == {
        "applicationId": SOMEBODY,
        "requestId": message_id,
        "answersTable": sentry.outputs["AnswersTableName"],
        "outcome": "Succeeded",
        "statusCode": 200,
        "costCenter": "support",
        "model": answer["model"],
        "usage": answer["usage"],
        "cost": answer["cost"],
    }
    assert CANARY not in event and answer["output"]["message"]["content"] not in event


def test_redelivery_is_answered_once_and_paid_once(sentry, queue):
    arn, bare = sentry.profile_arn()
    sent, message_id = asked(model=arn), unique("e2e-message")
    assert queue.deliver(sent, message_id) == []
    first = queue.item(SOMEBODY, message_id)
    for receives in (2, 3):
        assert queue.deliver(sent, message_id, receives) == []
    assert queue.item(SOMEBODY, message_id) == first
    assert sentry.calls(bare) == 1


def test_worker_that_dies_after_the_payment_finds_the_answer_of_the_workflow(sentry, queue):
    """The workflow has kept the answer, before the function could write it."""
    arn, bare = sentry.profile_arn()
    message_id, request_id = unique("e2e-message"), unique("e2e-died")
    sent = asked(model=arn, request_id=request_id)
    begun = {"state": "running", "firstMessageId": message_id, "version": 1, "interrupted": 0}
    queue.answers.put_item(Item={"applicationId": SOMEBODY, "requestId": request_id, **begun})
    paid = check_succeeded(sentry.ask(sent), sent)
    assert queue.deliver(sent, message_id, 2) == []
    assert queue.answer(SOMEBODY, request_id) == paid
    assert sentry.calls(bare) == 1


def test_functions_that_die_while_the_model_answers_lose_no_answer_and_pay_once(sentry, queue):
    """The functions have a second, and the model takes longer. So each function dies in its execution, which goes on."""
    arn, bare = sentry.profile_arn()
    with sentry.reconfigured("ServeQueueFunction", timeout=1):
        ids = [queue.send(asked(model=arn, latency_ms=1500)) for _ in range(DEATHS)]
        for message_id in ids:
            answer = check_succeeded(queue.answer(SOMEBODY, message_id), None)
            asked_at = datetime.fromisoformat(answer["tags"]["timestamp"]).timestamp()
            told_after = int(queue.item(SOMEBODY, message_id)["toldAt"]) - asked_at
            # A function that did not die would have told within its second.
            assert told_after >= REDELIVERY_SECONDS - 3, "the function did not die"
    assert sentry.calls(bare) == DEATHS


def test_worker_that_dies_is_honest_if_the_answer_was_not_kept(sentry, queue):
    arn, bare = sentry.profile_arn()
    message_id, request_id = unique("e2e-message"), unique("e2e-lost")
    sent = asked(model=arn, request_id=request_id)
    paid = check_succeeded(sentry.ask(sent), sent)
    begun = {"state": "running", "firstMessageId": message_id, "version": 1, "interrupted": 0}
    queue.answers.put_item(Item={"applicationId": SOMEBODY, "requestId": request_id, **begun})
    assert queue.deliver(sent, message_id, 2) == []
    details = check_error(queue.answer(SOMEBODY, request_id), "DuplicateRequest")
    assert (details["state"], details["usage"], details["cost"]) == ("settled", paid["usage"], paid["cost"])
    assert sentry.calls(bare) == 1


def test_the_same_document_twice_is_one_request_and_another_document_is_refused(sentry, queue, replies):
    arn, bare = sentry.profile_arn()
    request_id = unique("e2e-twice")
    sent = asked(model=arn, request_id=request_id, latency_ms=300)
    queue.send(sent, ReplyTo=replies.arn)
    queue.send(sent, ReplyTo=replies.arn)
    first, second = sorted(replies.of(request_id, 2), key=lambda answer: "replayed" in answer)
    assert second == {**first, "replayed": True}
    queue.send(asked(model=arn, request_id=request_id, content=f"Another text {CANARY}"), ReplyTo=replies.arn)
    (refused,) = replies.of(request_id, 1)
    check_error(refused, "DuplicateRequest")
    assert queue.answer(SOMEBODY, request_id) == first
    assert sentry.calls(bare) == 1


def test_message_with_the_id_of_a_direct_caller_gets_its_answer_for_the_same_document_only(sentry, queue, replies):
    arn, bare = sentry.profile_arn()
    sent = asked(model=arn, request_id=unique("e2e-direct"))
    request_id, first = sent["tags"]["requestId"], check_succeeded(sentry.ask(sent), sent)
    queue.send(sent, ReplyTo=replies.arn)
    assert replies.of(request_id, 1) == [{**first, "replayed": True}]
    queue.send(asked(model=arn, request_id=request_id), ReplyTo=replies.arn)
    (refused,) = replies.of(request_id, 1)
    assert check_error(refused, "DuplicateRequest")["usage"] == first["usage"]
    assert sentry.calls(bare) == 1 and json.loads(queue.item(SOMEBODY, request_id)["answer"]) == first


class Replies(Reader):
    """The reply queue."""

    def __init__(self, sentry):
        super().__init__(sentry, sentry.queues.create_queue(QueueName=REPLIES)["QueueUrl"])
        attributes = sentry.queues.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = attributes["Attributes"]["QueueArn"]

    def of(self, request_id, number):
        """Waits for a number of answers to a request."""
        messages = [
            self.wait_for(lambda each: attribute_of(each, "requestId") == request_id, f"a reply to {request_id}")
            for _ in range(number)
        ]
        return [json.loads(message["Body"]) for message in messages]


@pytest.fixture(scope="module")
def replies(sentry, queue):
    queue_of_replies = Replies(sentry)
    assert queue_of_replies.arn in sentry.parameters["ReplyQueueArns"]
    yield queue_of_replies
    sentry.queues.delete_queue(QueueUrl=queue_of_replies.url)


def test_reply_goes_to_an_allowed_queue(sentry, queue, replies):
    message_id = queue.send(asked(), ReplyTo=replies.arn)
    (reply,) = replies.of(message_id, 1)
    assert reply == queue.answer(SOMEBODY, message_id)


@pytest.mark.parametrize(
    "attribute, value", [("ReplyTo", "arn:aws:sqs:us-east-1:000000000000:other"), ("WhenExceeded", "x")]
)
def test_attribute_that_is_not_allowed_refuses_the_request(sentry, queue, attribute, value):
    arn, bare = sentry.profile_arn()
    message_id = queue.send(asked(model=arn), **{attribute: value})
    details = check_error(queue.answer(SOMEBODY, message_id), "InvalidRequest")
    assert details["path"] == attribute
    assert sentry.calls(bare) == 0


def test_used_up_budget_and_unacceptable_document_are_answers(sentry, queue):
    application = unique("e2e-spent")
    sentry.set_limit(f"application#{application}", {"output": 0})
    denied = queue.send(asked(application))
    # No reset helps a request that is larger than its limit.
    never = queue.send(asked(application), WhenExceeded="wait")
    invalid = queue.send({**asked(application), "temprature": 1})
    check_error(queue.answer(application, denied), "BudgetExceeded")
    check_error(queue.answer(application, never), "BudgetExceeded")
    assert check_error(queue.answer(application, invalid), "InvalidRequest")["path"] == "temprature"


def test_large_document_is_answered_and_one_that_fits_nowhere_is_refused(sentry, queue):
    """SQS takes a message of 1 MiB. A document above the input of an execution goes there in packed form."""
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"input": 10**9, "output": 10**9})
    large = asked(model=arn, content=text("The budget is held before the call. " * 27_000, output_bytes=190_000))
    chance = Random(24)
    noise = asked(model=arn, content="".join(chance.choices(ascii_letters, k=600_000)))
    sizes = [len(json.dumps(each)) for each in (large, noise)]
    assert 950_000 < sizes[0] < 1_048_576 and sizes[1] > 262_144
    served, refused = (queue.send(each) for each in (large, noise))
    answer = check_succeeded(queue.answer(SOMEBODY, served), None)
    assert len(answer["output"]["message"]["content"]) == 190_000
    details = check_error(queue.answer(SOMEBODY, refused), "InvalidRequest")
    assert details["path"] == "$" and sentry.calls(bare) == 1


def test_the_sample_of_the_contract_works_as_it_is_written(sentry, queue, monkeypatch):
    contract = Path(__file__).parent.parent / "docs/CONTRACT.md"
    entry = contract.read_text(encoding="utf-8").partition("## Entry by queue")[2]
    sample = entry.partition("```python\n")[2].partition("```")[0]
    settings = {"ENDPOINT_URL": sentry.endpoint, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
    for name, value in {**settings, "DEFAULT_REGION": sentry.region}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    sent = asked(parameters={"max_tokens": 20})
    known = {"request": sent, "REQUEST_QUEUE_URL": queue.url, "ANSWERS_TABLE_NAME": queue.answers.name}
    exec(compile(sample, "the sample of the contract", "exec"), known)
    check_succeeded(known["answer"], None)


POISON = {
    "no JSON": (f'{{"model": "{CANARY}', "is not JSON"),
    "no document": ("[1, 2]", "is not a JSON object"),
    "no application": (json.dumps({**document(), "tags": {"costCenter": "support"}}), "tags.applicationId"),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_becomes_a_dead_letter_with_its_reason(queue, dead_letters, name):
    body, reason = POISON[name]
    trace = unique("e2e-poison")
    queue.send(body, Trace=trace)
    letter = dead_letters.wait_for(lambda each: attribute_of(each, "Trace") == trace, "a dead letter")
    assert letter["Body"] == body
    told = attribute_of(letter, "Reason")
    assert reason in told and CANARY not in told


def test_request_whose_function_dies_again_and_again_is_given_up(queue, dead_letters):
    message_id = unique("e2e-message")
    begun = {"state": "running", "firstMessageId": message_id, "version": 1, "interrupted": 4}
    queue.answers.put_item(Item={"applicationId": SOMEBODY, "requestId": message_id, **begun})
    assert queue.deliver(asked(), message_id, Trace=message_id) == []
    details = check_error(queue.answer(SOMEBODY, message_id), "LedgerUnavailable", unvalidated=True)
    assert details == {"reason": "GivenUp"}
    letter = dead_letters.wait_for(lambda each: attribute_of(each, "Trace") == message_id, "a dead letter")
    assert "5 attempts" in attribute_of(letter, "Reason")


@pytest.fixture(scope="module")
def engine(request):
    """The process id of the local AWS, from the file that the build tool leaves beside the logs."""
    state = Path(request.config.getoption("--log-dir")) / "state.json"
    return json.loads(state.read_text(encoding="utf-8"))["engine"]["pid"]


def test_burst_has_one_answer_a_message_and_no_more_than_the_budget(sentry, queue, engine, say):
    """A fifth of the calls are throttled once, and functions are killed. `cargo xtask bench --part queue` is the large form."""
    application, (arn, bare) = unique("e2e-burst"), sentry.profile_arn()
    sentry.set_limit(f"application#{application}", {"output": AFFORDABLE * TOKENS})
    faults = [{"fault": "throttling", "times": 1} if number % 4 == 0 else {} for number in range(BURST)]
    sent = [asked(application, arn, parameters={"max_tokens": TOKENS}, output_tokens=TOKENS, **each) for each in faults]
    begun, chance, killed = time.monotonic(), Random(24), 0
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(queue.send, sent))
    for part in range(1, KILLS + 1):
        until(lambda part=part: sentry.calls(bare) > part * AFFORDABLE // (KILLS + 1), "the burst")
        killed += kill_one(queue.function, engine, chance)
    answers = {message_id: queue.answer(application, message_id) for message_id in ids}
    again = sum(int(queue.item(application, message_id)["interrupted"]) for message_id in ids)
    took = time.monotonic() - begun
    say(
        f"{BURST} messages were answered in {took:.1f} s; {killed} functions were killed, {again} requests asked for again"
    )
    codes = Counter(answer.get("error", {}).get("code", "Succeeded") for answer in answers.values())
    assert codes == {"Succeeded": AFFORDABLE, "BudgetExceeded": BURST - AFFORDABLE}
    used = sum(answer["usage"]["outputTokens"] for answer in answers.values() if "usage" in answer)
    served = [number for number, message_id in enumerate(ids) if "usage" in answers[message_id]]
    throttled = sum("times" in faults[number] for number in served)
    assert sentry.calls(bare) == AFFORDABLE + throttled and throttled > 0 and killed == KILLS
    assert sentry.ledger_settled(f"application#{application}") == used == AFFORDABLE * TOKENS


def test_request_of_a_throttled_model_comes_again(queue, waiting):
    answer = check_succeeded(queue.answer(SOMEBODY, waiting["throttled"]), None)
    assert answer["usage"]["outputTokens"] == 7
    assert queue.item(SOMEBODY, waiting["throttled"])["version"] >= 2, "the model was asked in two executions"


def test_request_that_waits_for_a_reset_is_served_in_the_next_window(queue, waiting, command):
    """The budget has room for two requests a minute. The last of the three was sent by the command."""
    answers = [queue.answer(waiting["application"], message_id) for message_id in waiting["minutes"]]
    windows: Counter[str] = Counter()
    for answer in answers:
        check_succeeded(answer, None)
        windows.update(entry["window"] for entry in answer["budget"] if "requests" in entry)
    assert len(windows) >= 2 and max(windows.values()) <= 2, windows
    shown = command(
        "--output", "json", "ask", "--answer", waiting["minutes"][2], "--application", waiting["application"]
    )
    assert json.loads(shown) == answers[2]


def test_the_command_sends_to_the_queue_and_shows_the_kept_answer(command):
    options = words("e2e-ask")
    answer = json.loads(command("--output", "json", "ask", "--async", *options, "Hello"))
    assert (answer["outcome"], answer["tags"]["costCenter"]) == ("Succeeded", "support")
    request_id = answer["tags"]["requestId"]
    kept = ["ask", "--answer", request_id, "--application", "e2e-ask"]
    assert json.loads(command("--output", "json", *kept)) == answer
    assert request_id in command("ask", "--async", "--request-id", request_id, *options, "Hello", code=4)
    assert "has no request" in command("ask", "--answer", unique("e2e-none"), code=1)
    later = json.loads(command("--output", "json", "ask", "--async", "--no-wait", *options, "Hello"))
    assert later["applicationId"] == "e2e-ask" and later["requestId"] != request_id
