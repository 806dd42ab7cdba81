"""Tokens of calls that bypass the sentry become a figure and a metric. Governed traffic becomes neither."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from boto3.dynamodb.conditions import Key

from contract import check_succeeded
from sentry_client import document, text, unique

pytestmark = pytest.mark.local

GOVERNED_REQUESTS = 100
DIRECT_CALLS = 5
# The time in which calls that bypass the sentry must be found.
SECONDS = 60


class Watch:
    """The function that compares CloudWatch with the history, without its schedule."""

    def __init__(self, sentry):
        self._sentry, self._function = sentry, sentry.function_name("WatchUsageFunction")

    def run(self):
        answer = self._sentry.functions.invoke(FunctionName=self._function)
        report = json.load(answer["Payload"])
        assert "FunctionError" not in answer, report
        assert report["in_doubt"] is False
        return report

    def item(self, model):
        """Returns the figures of a model, over all days."""
        items = self._sentry.usage.query(
            KeyConditionExpression=Key("scope").eq(f"ungoverned#{model}"), ConsistentRead=True
        )["Items"]
        return {
            name: sum(int(item.get(name, 0)) for item in items)
            for name in ("input", "output", "published", "seenInput", "seenOutput")
        }

    def metric(self, model):
        return self._sentry.metric_total("UngovernedTokens", ModelId=model)


@pytest.fixture(scope="module")
def watch(sentry):
    return Watch(sentry)


def call_directly(sentry, model, calls):
    """Calls the model without the sentry. Returns the tokens."""
    bedrock = sentry.client("bedrock-runtime", endpoint=sentry.bedrock_endpoint)
    used = {"input": 0, "output": 0}
    for _ in range(calls):
        content = [{"text": text(input_tokens=40, output_tokens=25)}]
        usage = bedrock.converse(modelId=model, messages=[{"role": "user", "content": content}])["usage"]
        used["input"] += usage["inputTokens"]
        used["output"] += usage["outputTokens"]
    return used


@pytest.fixture(scope="module")
def traffic(sentry, watch):
    """Sends governed traffic to one profile, direct calls to another, and both to a third. Runs the function meanwhile.

    Returns the profiles, the tokens of the direct calls, and the time in which they were found.
    """
    while datetime.now(UTC).hour == 23 and datetime.now(UTC).minute >= 56:
        time.sleep(5)
    profiles = {name: sentry.profile_arn() for name in ("governed", "direct", "both")}
    sent = {
        (name, number): document(profiles[name][0], tags={"applicationId": unique("e2e-round")}, latency_ms=300)
        for name in ("governed", "both")
        for number in range(GOVERNED_REQUESTS // 2)
    }
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sentry.execute_all, sent)
        while not running.done():
            watch.run()
            time.sleep(1)
        for each in running.result().values():
            check_succeeded(each["output"])
    begun = time.monotonic()
    direct = {name: call_directly(sentry, profiles[name][0], DIRECT_CALLS) for name in ("direct", "both")}
    found = None
    while time.monotonic() < begun + SECONDS:
        watch.run()
        figures = {name: watch.item(profiles[name][1]) for name in direct}
        if all({kind: figures[name][kind] for kind in direct[name]} == direct[name] for name in direct):
            found = time.monotonic() - begun
            break
        time.sleep(1)
    return {name: bare for name, (_, bare) in profiles.items()}, direct, found


def test_calls_that_bypass_the_sentry_are_found_exactly_within_a_minute(watch, traffic):
    models, direct, found = traffic
    assert direct["direct"] == {"input": 40 * DIRECT_CALLS, "output": 25 * DIRECT_CALLS}
    assert found is not None, {name: watch.item(models[name]) for name in direct}


def test_the_increase_is_published_once(watch, traffic):
    models, direct, _ = traffic
    for name, used in direct.items():
        total = sum(used.values())
        assert watch.item(models[name])["published"] == total
        assert watch.metric(models[name]) == total


def test_governed_traffic_alone_is_never_ungoverned(sentry, watch, traffic):
    models, _, _ = traffic
    used = sentry.history(f"model#{models['governed']}", requests=GOVERNED_REQUESTS // 2)
    figures = watch.item(models["governed"])
    assert (figures["seenInput"], figures["seenOutput"]) == (used["input"], used["output"])
    assert (figures["input"], figures["output"], figures["published"]) == (0, 0, 0)
    assert watch.metric(models["governed"]) == 0


def test_another_run_publishes_nothing(watch, traffic):
    models, _, _ = traffic
    before = {name: watch.item(model) for name, model in models.items()}
    watch.run()
    assert {name: watch.item(model) for name, model in models.items()} == before
