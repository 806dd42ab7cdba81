"""The gateway's streams: events as they come, the settlement of what was used, and streams that do not end as they should."""

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, EventStreamError

from gateway_client import MODEL, TOKENS, opened
from sentry_client import text

pytestmark = pytest.mark.local


def refused(caller, words, **options):
    with pytest.raises(ClientError) as raised:
        opened(caller, words, **options)
    answer = raised.value.response["ResponseMetadata"]
    return type(raised.value).__name__, answer["HTTPStatusCode"], answer["HTTPHeaders"].get("x-sentry-code")


def said(events):
    return "".join(each["contentBlockDelta"]["delta"]["text"] for each in events if "contentBlockDelta" in each)


def consume(stream, read):
    """Reads a stream into the list `read`, which has what came before an error."""
    for event in stream:
        read.append(event)


def budget(sentry, caller, tokens=1000):
    """Limits the caller's cost center, and returns its scope."""
    scope = f"costCenter#{caller.center}"
    sentry.set_limit(scope, {"output": tokens})
    return scope


def eventually(found, expected, seconds=10):
    deadline = time.monotonic() + seconds
    while (value := found()) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert value == expected


def held(sentry, scope):
    """The output tokens of the scope that are settled, and those that are settled or held."""
    items = sentry.ledger_items(scope)
    return tuple(sum(int(item.get(name, 0)) for item in items) for name in ("settledOutput", "committedOutput"))


def test_a_stream_has_the_events_and_the_text_of_converse_and_is_settled(sentry, client):
    caller = client()
    scope = budget(sentry, caller)
    words = text(output_tokens=20, chunk_words=3)
    events = list(opened(caller, words))
    names = [next(iter(event)) for event in events]
    assert names == ["messageStart", *["contentBlockDelta"] * 7, "contentBlockStop", "messageStop", "metadata"]
    assert said(events) == caller.converse(words)["output"]["message"]["content"][0]["text"]
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 20
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"
    assert held(sentry, scope) == (40, 40)


def test_events_reach_the_client_as_they_come(client):
    caller = client()
    begun, times = time.monotonic(), []
    for event in opened(caller, text(output_tokens=40, chunk_words=4, chunk_delay_ms=100)):
        if "contentBlockDelta" in event:
            times.append(time.monotonic() - begun)
    assert len(times) == 10
    assert times[-1] - times[0] > 0.7, "the parts came together"


def test_a_tool_and_thoughts_come_in_events(client):
    caller = client()
    tool = {"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
    messages = [{"role": "user", "content": [{"text": text(tool="find", reasoning=9)}]}]
    stream = caller.bedrock.converse_stream(
        modelId="claude-haiku-4-5", messages=messages, toolConfig={"tools": [tool]}
    )["stream"]
    events = list(stream)
    starts = [each["contentBlockStart"]["start"] for each in events if "contentBlockStart" in each]
    assert [start["toolUse"]["name"] for start in starts] == ["find"]
    deltas = [each["contentBlockDelta"]["delta"] for each in events if "contentBlockDelta" in each]
    assert json.loads("".join(each["toolUse"]["input"] for each in deltas if "toolUse" in each)) is not None
    thoughts = [each["reasoningContent"] for each in deltas if "reasoningContent" in each]
    assert any("text" in thought for thought in thoughts) and any("signature" in thought for thought in thoughts)


def test_a_stream_that_is_denied_or_fails_before_it_begins_is_an_exception(sentry, client):
    caller = client()
    scope = budget(sentry, caller, TOKENS)
    assert refused(caller, text(), most=TOKENS + 1) == ("ServiceQuotaExceededException", 400, "BudgetExceeded")
    assert refused(caller, text(), model="no-such-model") == ("ValidationException", 400, "UnknownModel")
    assert refused(caller, text(fault="throttling")) == ("ThrottlingException", 429, "ModelThrottled")
    assert held(sentry, scope) == (0, 0)


def test_a_client_that_leaves_pays_what_was_written_and_no_more(sentry, client):
    """The stream is read to its end, and settled at its usage. The rest of the hold is free again."""
    caller = client()
    scope = budget(sentry, caller)
    address = urlsplit(caller.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    words = text(output_tokens=40, chunk_words=4, chunk_delay_ms=100)
    body = {"messages": [{"role": "user", "content": [{"text": words}]}], "inferenceConfig": {"maxTokens": TOKENS}}
    headers = {"Authorization": f"Bearer {caller.key}"}
    connection.request("POST", f"/model/{MODEL}/converse-stream", json.dumps(body), headers)
    assert connection.getresponse().read(50)
    connection.close()
    assert held(sentry, scope) == (0, TOKENS), "the stream has not ended yet"
    eventually(lambda: held(sentry, scope), (40, 40))


@pytest.mark.parametrize("event", range(5))
@pytest.mark.parametrize("fault", ["cut_after", "fail_after"])
def test_a_stream_that_breaks_off_at_an_event_keeps_its_hold(sentry, client, fault, event):
    """Nobody knows what Bedrock bills for it, so the hold stays until it expires."""
    caller = client()
    scope = budget(sentry, caller)
    read: list[dict] = []
    stream = opened(caller, text(output_tokens=9, chunk_words=3, **{fault: event}))
    with pytest.raises(EventStreamError) as raised:
        consume(stream, read)
    assert len(read) == event
    assert raised.value.response["Error"]["Code"] == "modelStreamErrorException"
    eventually(lambda: held(sentry, scope), (0, TOKENS))


def test_a_stream_without_a_usage_keeps_its_hold(sentry, client):
    caller = client()
    scope = budget(sentry, caller)
    list(opened(caller, text(output_tokens=9, fault="missing-usage")))
    assert held(sentry, scope) == (0, TOKENS)


def test_a_stream_may_last_longer_than_a_whole_answer_and_so_does_its_hold(sentry, client):
    caller = client()
    scope = budget(sentry, caller)
    names = ("ModelTimeoutSeconds", "StreamSeconds", "HoldSeconds")
    model, most, hold = (int(sentry.parameters[name]) for name in names)
    used = 2 * model + 2
    stream = iter(opened(caller, text(output_tokens=used, chunk_words=1, chunk_delay_ms=500)))
    events = [next(stream)]
    (item,) = sentry.ledger_items(scope)
    left = int(item["sweepAtMs"]) / 1000 - time.time()
    assert hold + most - model - 30 < left <= hold + most - model
    events += stream
    assert events[-1]["metadata"]["usage"]["outputTokens"] == used
    assert held(sentry, scope) == (used, used)


def test_a_stream_that_pauses_for_longer_than_a_model_may_is_ended(sentry, client):
    caller = client()
    scope = budget(sentry, caller)
    begun = time.monotonic()
    with pytest.raises(EventStreamError) as raised:
        list(opened(caller, text(output_tokens=60, chunk_words=30, chunk_delay_ms=8000)))
    assert "ModelTimeout" in str(raised.value)
    assert time.monotonic() - begun < int(sentry.parameters["ModelTimeoutSeconds"]) + 5
    assert held(sentry, scope) == (0, TOKENS)


@pytest.mark.parametrize("guardrail, used", [("blocksinput", 0), ("blocksoutput", 20)])
def test_a_stream_that_a_guardrail_stops_is_settled_at_its_usage(sentry, client, guardrail, used):
    caller = client()
    scope = budget(sentry, caller)
    config = {"guardrailIdentifier": guardrail, "guardrailVersion": "1"}
    events = list(opened(caller, text(output_tokens=20, chunk_words=2), guardrailConfig=config))
    assert events[-2]["messageStop"]["stopReason"] == "guardrail_intervened"
    assert events[-1]["metadata"]["usage"]["outputTokens"] == used
    assert held(sentry, scope) == (used, used)


@pytest.mark.parametrize("change", [{"limit": {"output": 10}}, {"limit": {"output": 1000}, "stopped": "a loop"}])
def test_a_budget_that_is_lowered_in_mid_stream_lets_the_stream_end_and_no_other_begin(sentry, client, change):
    caller = client()
    scope = budget(sentry, caller)
    stream = opened(caller, text(output_tokens=40, chunk_words=4, chunk_delay_ms=60))
    events = [next(iter(stream)) for _ in range(2)]
    sentry.limits.put_item(Item={"modelId": scope, **change})
    code = "Stopped" if "stopped" in change else "BudgetExceeded"
    assert refused(caller, text(), most=TOKENS)[2] == code
    events += list(stream)
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 40
    assert held(sentry, scope) == (40, 40)
    assert refused(caller, text(), most=1)[2] == code


@pytest.mark.parametrize("fault", ["cut_after", "fail_after"])
def test_a_stream_that_is_lost_after_its_last_event_is_settled_at_its_usage(sentry, client, fault):
    caller = client()
    scope = budget(sentry, caller)
    # Six events: messageStart, two parts, contentBlockStop, messageStop, metadata.
    events = list(opened(caller, text(output_tokens=6, chunk_words=3, **{fault: 6})))
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 6
    assert held(sentry, scope) == (6, 6)


def test_many_streams_at_once_on_a_budget_for_ten(sentry, client, say):
    caller, clients, capacity = client(), 100, 10
    scope = budget(sentry, caller, capacity * TOKENS)
    together = threading.Barrier(clients)

    def stream(_):
        together.wait()
        deadline = time.monotonic() + 90
        while True:
            try:
                words = text(output_tokens=TOKENS, chunk_words=20, chunk_delay_ms=50)
                return list(opened(caller, words))[-1]["metadata"]["usage"]["outputTokens"]
            except ClientError as error:
                code = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-sentry-code")
                if code not in ("LedgerUnavailable", "UsageUnavailable") or time.monotonic() > deadline:
                    return code
                time.sleep(1)

    with ThreadPoolExecutor(clients) as pool:
        ended = list(pool.map(stream, range(clients)))
    say(f"{clients} streams at once: {dict(Counter(map(str, ended)))}")
    assert ended.count(TOKENS) == capacity
    assert held(sentry, scope) == (capacity * TOKENS, capacity * TOKENS)
