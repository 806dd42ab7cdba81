"""`alertAt`: each threshold alerts once per window, at the request that reaches it, on the topic and as a metric."""

import json
import time

import pytest

from contract import check_error, check_succeeded
from sentry_client import document, number, unique

pytestmark = pytest.mark.local

LIMIT = 1000
HOLD_SECONDS = 15
# The maximum time from the expiry of a hold to its alert.
SWEPT_SECONDS = 120


class Subscriber:
    """A queue that receives every alert of the stack, or those that match a filter policy."""

    def __init__(self, sentry, policy=None):
        self._sentry, self._heard = sentry, []
        self._queue = sentry.queues.create_queue(QueueName=unique("e2e-alerts"))["QueueUrl"]
        attributes = sentry.queues.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        self._topics = sentry.client("sns")
        subscribed = self._topics.subscribe(
            TopicArn=sentry.outputs["BudgetAlertTopicArn"],
            Protocol="sqs",
            Endpoint=attributes["QueueArn"],
            ReturnSubscriptionArn=True,
            Attributes={"FilterPolicy": json.dumps(policy)} if policy else {},
        )
        self._subscription = subscribed["SubscriptionArn"]

    def close(self):
        self._topics.unsubscribe(SubscriptionArn=self._subscription)
        self._sentry.queues.delete_queue(QueueUrl=self._queue)

    def of(self, scope):
        """Returns all alerts of a scope so far, ordered by threshold."""
        while messages := self._sentry.queues.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages"):
            for message in messages:
                envelope = json.loads(message["Body"])
                attributes = {name: each["Value"] for name, each in envelope.get("MessageAttributes", {}).items()}
                self._heard.append(json.loads(envelope["Message"]) | {"attributes": attributes})
                self._sentry.queues.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return sorted((alert for alert in self._heard if alert["scope"] == scope), key=lambda alert: alert["threshold"])

    def settled(self, scope, count, quiet=2, seconds=20):
        """Waits for `count` alerts of a scope, then `quiet` seconds for unexpected ones. Returns the thresholds."""
        deadline = time.monotonic() + seconds
        while len(self.of(scope)) < count and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(quiet)
        return [alert["threshold"] for alert in self.of(scope)]


@pytest.fixture(scope="module")
def subscriber(sentry):
    listening = Subscriber(sentry)
    yield listening
    listening.close()


@pytest.fixture
def watched(sentry):
    """Creates a cost center with a limit and thresholds. Returns its scope, and a function that makes documents."""

    def make(alert_at, limit=None, **attributes):
        center = unique("e2e-alert")
        sentry.set_limit(f"costCenter#{center}", limit or {"output": LIMIT}, alertAt=alert_at, **attributes)

        def sized(tokens, **directives):
            tags = {"applicationId": "e2e-alert", "costCenter": center}
            return document(
                tags=tags, parameters={"max_tokens": tokens}, input_tokens=10, output_tokens=tokens, **directives
            )

        return f"costCenter#{center}", sized

    return make


def test_each_threshold_is_told_once_by_the_request_that_reaches_it(sentry, subscriber, watched):
    scope, sized = watched([50, 80, 100])
    reached = {5: [50], 8: [50, 80], 10: [50, 80, 100]}
    told: list[int] = []
    for count in range(1, 11):
        check_succeeded(sentry.ask(sized(100)))
        told = reached.get(count, told)
        assert subscriber.settled(scope, len(told), quiet=1 if count in (4, 9) else 0) == told, (
            f"after {count} requests"
        )
    check_error(sentry.ask(sized(100)), "BudgetExceeded")
    assert subscriber.settled(scope, 3) == [50, 80, 100]


def test_the_text_and_the_attributes_of_an_alert(sentry, subscriber, watched):
    scope, sized = watched([80])
    answer = check_succeeded(sentry.ask(sized(900)))
    assert subscriber.settled(scope, 1, quiet=0) == [80]
    (alert,) = subscriber.of(scope)
    entry = answer["budget"][-1]
    told = {name: alert[name] for name in ("scope", "window", "resetsAt", "threshold", "unit", "limit", "used")}
    assert told == {
        "scope": scope,
        "window": entry["window"],
        "resetsAt": entry["resetsAt"],
        "threshold": 80,
        "unit": "output",
        "limit": "1000",
        "used": "900",
    }
    assert scope in alert["text"] and "80%" in alert["text"]
    assert alert["content"]["description"] == alert["text"]
    kind = scope.split("#")[0]
    assert alert["attributes"] == {"scope": scope, "scopeKind": kind, "unit": "output", "threshold": "80"}


def test_a_filter_policy_chooses_the_scopes_of_an_owner(sentry, watched):
    """The owner of another budget gets no message of this one."""
    scope, sized = watched([50])
    owners = Subscriber(sentry, {"scope": [scope]}), Subscriber(sentry, {"scope": ["costCenter#another"]})
    try:
        check_succeeded(sentry.ask(sized(600)))
        assert owners[0].settled(scope, 1, quiet=1) == [50]
        assert owners[1].settled(scope, 0, quiet=0) == []
    finally:
        for owner in owners:
            owner.close()


def test_one_request_may_reach_several(sentry, subscriber, watched):
    scope, sized = watched([100, 50, 1])
    check_succeeded(sentry.ask(sized(LIMIT)))
    assert subscriber.settled(scope, 3) == [1, 50, 100]


def test_threshold_is_reached_at_its_exact_amount(sentry, subscriber, watched):
    scope, sized = watched([50])
    check_succeeded(sentry.ask(sized(499)))
    assert subscriber.settled(scope, 0) == []
    check_succeeded(sentry.ask(sized(1)))
    assert subscriber.settled(scope, 1) == [50]


@pytest.mark.parametrize("attributes", [{}, {"shards": 4}], ids=["one item", "four shards"])
def test_requests_that_reach_it_together_tell_it_once(sentry, subscriber, watched, attributes):
    scope, sized = watched([30, 50], {"output": 2000}, **attributes)
    ended = sentry.execute_all({number: sized(100) for number in range(12)}, parallel=12)
    for each in ended.values():
        check_succeeded(each["output"])
    assert subscriber.settled(scope, 2) == [30, 50]


def test_hold_alone_reaches_nothing(sentry, subscriber, watched):
    """The request holds the whole limit but uses little."""
    scope, sized = watched([50])
    sent = sized(10)
    sent["prompt"]["parameters"]["max_tokens"] = LIMIT
    check_succeeded(sentry.ask(sent))
    assert subscriber.settled(scope, 0) == []


def test_refusals_reach_nothing(sentry, subscriber, watched):
    scope, sized = watched([1])
    check_error(sentry.ask(sized(LIMIT + 1)), "BudgetExceeded")
    assert subscriber.settled(scope, 0) == []


@pytest.mark.parametrize("limit, told", [("0.0000492", [50]), ("0.000049201", [])])
def test_dollars_have_thresholds_too(sentry, subscriber, watched, limit, told):
    # nova-lite: 10 input tokens at $0.06 and 100 output tokens at $0.24 per million cost $0.0000246.
    scope, sized = watched([50], {"usd": number(limit)})
    check_succeeded(sentry.ask(sized(100)))
    assert subscriber.settled(scope, len(told)) == told


def test_model_has_thresholds_too(sentry, subscriber):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": LIMIT}, alertAt=[90])
    check_succeeded(sentry.ask(document(arn, parameters={"max_tokens": 950}, output_tokens=950)))
    assert subscriber.settled(f"model#{bare}", 1) == [90]


def test_alerts_are_counted(sentry, subscriber, watched):
    scope, sized = watched([50, 100])
    check_succeeded(sentry.ask(sized(600)))
    assert sentry.wait_for_total(1, "BudgetAlerts", Scope=scope, Threshold=50) == 1
    assert sentry.metric_total("BudgetAlerts", Scope=scope, Threshold=100) == 0


def test_window_that_begins_anew_tells_again(sentry, subscriber, watched):
    """A different window is a different budget with its own alerts. A window that is shorter than a day begins at zero."""
    scope, sized = watched([50])
    check_succeeded(sentry.ask(sized(600)))
    sentry.set_limit(scope, {"output": LIMIT}, alertAt=[50], window="hour")
    check_succeeded(sentry.ask(sized(600)))
    assert subscriber.settled(scope, 2) == [50, 50]
    assert len({alert["window"] for alert in subscriber.of(scope)}) == 2


@pytest.mark.parametrize("attributes", [{}, {"shards": 4}], ids=["one item", "four shards"])
def test_hold_that_expires_tells_it_though_no_request_comes(sentry, subscriber, watched, attributes):
    """The usage of a model that did not answer is unknown, so the hold counts in full when it expires."""
    scope, sized = watched([50, 100], **attributes)
    with sentry.reconfigured("ReserveFunction", SENTRY_HOLD_SECONDS=str(HOLD_SECONDS)):
        check_error(sentry.ask(sized(600, fault="hang")), "ModelTimeout")
    assert subscriber.settled(scope, 0, quiet=0) == []
    begun = time.monotonic()
    assert subscriber.settled(scope, 1, seconds=HOLD_SECONDS + SWEPT_SECONDS) == [50]
    assert time.monotonic() - begun < HOLD_SECONDS + SWEPT_SECONDS
    assert [alert["used"] for alert in subscriber.of(scope)] == ["600"]
