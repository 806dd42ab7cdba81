"""The gateway's `invoke`, `invoke-with-response-stream` and Anthropic's Messages: the bodies of the models' vendors, within
the same budgets and with the same settlement as Converse."""

import http.client
import json
import time
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, EventStreamError

from gateway_client import TOKENS
from sentry_client import text, unique
from wire_shapes import OF_A_TEST

pytestmark = pytest.mark.local

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
CLAUDE, NOVA, GPT_OSS = "claude-haiku-4-5", "nova-lite", "gpt-oss-20b"
TOOL = {"name": "find", "description": "Finds.", "input_schema": {"type": "object", "properties": {}}}
SPEC = {"toolSpec": {"name": "find", "description": "Finds.", "inputSchema": {"json": TOOL["input_schema"]}}}


def claude(words, most=TOKENS, **more):
    """A body of Anthropic."""
    messages = [{"role": "user", "content": words}]
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": most, "messages": messages, **more}


def nova(words, most=TOKENS, **more):
    """A body of Amazon Nova."""
    messages = [{"role": "user", "content": [{"text": words}]}]
    return {"schemaVersion": "messages-v1", "messages": messages, "inferenceConfig": {"maxTokens": most}, **more}


def chat(words, most=TOKENS, **more):
    """A body of OpenAI's Chat Completions."""
    return {"messages": [{"role": "user", "content": words}], "max_completion_tokens": most, **more}


BODIES = [
    pytest.param(CLAUDE, claude, id="claude"),
    pytest.param(NOVA, nova, id="nova"),
    pytest.param(GPT_OSS, chat, id="gpt-oss"),
]


def invoke(caller, body, model=CLAUDE, **more):
    """The answer of `invoke_model`, and its headers."""
    answer = caller.bedrock.invoke_model(modelId=model, body=json.dumps(body), **more)
    assert answer["contentType"] == "application/json"
    return json.load(answer["body"]), answer["ResponseMetadata"]["HTTPHeaders"]


def chunks(caller, body, model=CLAUDE):
    """The chunks of `invoke_model_with_response_stream`."""
    answer = caller.bedrock.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    assert answer["contentType"] == "application/json"
    for event in answer["body"]:
        yield json.loads(event["chunk"]["bytes"])


def said(parts):
    """The text of chunks of any vendor."""
    return "".join(delta_of(part) for part in parts)


def delta_of(part):
    if "object" in part:
        return part["choices"][0]["delta"].get("content", "") if part["choices"] else ""
    delta = part.get("delta", {}) if "type" in part else part.get("contentBlockDelta", {}).get("delta", {})
    return delta.get("text", "")


def text_of(answer):
    """The text of a whole answer of any vendor."""
    if "choices" in answer:
        return answer["choices"][0]["message"]["content"]
    content = answer["content"] if "content" in answer else answer["output"]["message"]["content"]
    return content[0]["text"]


def budget(sentry, caller, tokens=1000):
    """Limits the caller's cost center, and returns its scope."""
    scope = f"costCenter#{caller.center}"
    sentry.set_limit(scope, {"output": tokens})
    return scope


def refused(call, *arguments, **options):
    """The error that boto3 raises for a call, as its class, its status and the code of the sentry."""
    with pytest.raises(ClientError) as raised:
        list(call(*arguments, **options))
    answer = raised.value.response["ResponseMetadata"]
    return type(raised.value).__name__, answer["HTTPStatusCode"], answer["HTTPHeaders"].get("x-sentry-code")


def messages(caller, body, headers=None):
    """A request to Anthropic's Messages. Returns the status, the headers, and the body: JSON, or the named events."""
    address = urlsplit(caller.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    headers = {"x-api-key": caller.key, "anthropic-version": "2023-06-01"} if headers is None else headers
    connection.request("POST", "/v1/messages", json.dumps(body), {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    found = answer.read().decode()
    connection.close()
    if answer.getheader("content-type") != "text/event-stream":
        return answer.status, answer.headers, json.loads(found)
    events = [event.split("\n") for event in found.strip().split("\n\n")]
    return (
        answer.status,
        answer.headers,
        [(name[len("event: ") :], json.loads(data[len("data: ") :])) for name, data in events],
    )


def asked(words, most=TOKENS, **more):
    """A body of Anthropic's Messages."""
    return {"model": CLAUDE, "max_tokens": most, "messages": [{"role": "user", "content": words}], **more}


def refusal(answer):
    """The status, Anthropic's type of the error, the code of the sentry, and if a client shall try again."""
    status, headers, body = answer
    assert body["type"] == "error" and body["error"]["message"]
    return status, body["error"]["type"], headers.get("x-sentry-code"), headers["x-should-retry"]


def amounts(sentry, scope):
    (item,) = sentry.ledger_items(scope)
    return {name: value for name, value in item.items() if name.startswith(("settled", "committed"))}


def test_the_same_conversation_by_each_api_is_the_same_request(sentry, client):
    """The decision, the answer, the usage, the cost and the amounts in the ledger do not depend on the API."""
    words = text(tool="find", output_tokens=9)
    one, two, three = client(), client(), client()
    scopes = [budget(sentry, caller) for caller in (one, two, three)]
    converse = one.bedrock.converse(
        modelId=CLAUDE,
        system=[{"text": "Be short."}, {"cachePoint": {"type": "default"}}],
        messages=[{"role": "user", "content": [{"text": words}]}],
        inferenceConfig={"maxTokens": TOKENS, "temperature": 0.5, "stopSequences": ["never"]},
        toolConfig={"tools": [SPEC], "toolChoice": {"tool": {"name": "find"}}},
    )
    more = {
        "system": [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
        "temperature": 0.5,
        "stop_sequences": ["never"],
        "tools": [TOOL],
        "tool_choice": {"type": "tool", "name": "find"},
    }
    invoked, headers = invoke(two, claude(words, **more))
    status, served, message = messages(three, asked(words, **more))
    assert status == 200 and message["content"] == invoked["content"] and message["usage"] == invoked["usage"]
    texts, tools = converse["output"]["message"]["content"]
    assert invoked["content"][0] == {"type": "text", "text": texts["text"]}
    assert invoked["content"][1]["input"] == tools["toolUse"]["input"]
    assert (invoked["stop_reason"], invoked["usage"]["input_tokens"]) == ("tool_use", converse["usage"]["inputTokens"])
    assert invoked["usage"]["output_tokens"] == converse["usage"]["outputTokens"]
    cost = {each["x-sentry-cost-usd"] for each in (converse["ResponseMetadata"]["HTTPHeaders"], headers, served)}
    assert len(cost) == 1 and float(cost.pop()) > 0
    assert headers["x-amzn-bedrock-input-token-count"] == str(invoked["usage"]["input_tokens"])
    assert headers["x-amzn-bedrock-output-token-count"] == str(invoked["usage"]["output_tokens"])
    assert int(headers["x-amzn-bedrock-invocation-latency"]) >= 0
    ledger = [amounts(sentry, scope) for scope in scopes]
    assert ledger[0] == ledger[1] == ledger[2] and ledger[0]
    sent = converse_bodies(sentry, [caller.center for caller in (one, two, three)])
    assert len(sent) == 3 and sent[0] == sent[1] == sent[2]


def converse_bodies(sentry, centers):
    """The bodies that Bedrock's Converse got from these cost centers, without the tags."""
    requests = [each["request"] for each in sentry.simulator("exchanges")["exchanges"]]
    # A read of an inference profile has no body.
    bodies = [json.loads(request["body"]) for request in requests if request["body"]]
    tagged = [(body.pop("requestMetadata", {}).get("costCenter"), body) for body in bodies]
    return [body for center, body in tagged if center in centers]


@pytest.mark.parametrize("model, body", BODIES)
def test_a_body_of_the_vendor_is_answered_in_its_form_and_settled(sentry, client, model, body):
    caller = client()
    scope = budget(sentry, caller)
    answer, _ = invoke(caller, body(text(output_tokens=7)), model)
    stopped, usage = {
        CLAUDE: lambda: (answer["stop_reason"], answer["usage"]["output_tokens"]),
        NOVA: lambda: (answer["stopReason"], answer["usage"]["outputTokens"]),
        GPT_OSS: lambda: (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]),
    }[model]()
    assert (stopped, usage) == ("stop" if model == GPT_OSS else "end_turn", 7)
    assert sentry.ledger_settled(scope) == 7


@pytest.mark.parametrize("model, body", BODIES)
def test_a_stream_has_the_chunks_of_the_vendor_as_they_come(sentry, client, model, body):
    caller = client()
    scope = budget(sentry, caller)
    sent = body(text(output_tokens=20, chunk_words=4, chunk_delay_ms=100))
    timed = [(part, time.monotonic()) for part in chunks(caller, sent, model)]
    parts = [part for part, _ in timed]
    whole, _ = invoke(caller, sent, model)
    assert said(parts) == text_of(whole) and len(said(parts).split()) == 20
    assert timed[-1][1] - timed[0][1] > 0.3, "the parts came together"
    metrics = parts[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] == 20 and metrics["invocationLatency"] >= metrics["firstByteLatency"] >= 0
    assert sentry.ledger_settled(scope) == 40
    if model == CLAUDE:
        names = [part["type"] for part in parts]
        deltas = ["content_block_delta"] * 5
        assert names == [
            "message_start", "content_block_start", *deltas, "content_block_stop", "message_delta", "message_stop",
        ]  # fmt: skip


@pytest.mark.parametrize("call", [invoke, chunks], ids=["whole", "stream"])
@pytest.mark.parametrize("model, body", BODIES)
def test_each_refusal_is_an_exception_of_bedrock(sentry, client, model, body, call):
    caller = client()
    scope = budget(sentry, caller, TOKENS)
    assert refused(call, caller, body(text(), TOKENS + 1), model) == (
        "ServiceQuotaExceededException",
        400,
        "BudgetExceeded",
    )
    assert refused(call, caller, body(text(fault="throttling")), model) == (
        "ThrottlingException",
        429,
        "ModelThrottled",
    )
    assert refused(call, caller, body(text()), "no-such-model") == ("ValidationException", 400, "UnknownModel")
    assert refused(call, caller, body(text(), 0), model) == ("ValidationException", 400, "InvalidRequest")
    assert refused(call, caller, body(text(), unknown=1), model) == ("ValidationException", 400, None)
    assert sentry.ledger_settled(scope) == 0


def test_a_body_that_cannot_be_translated_names_the_way_out(sentry, client):
    caller = client()
    before = sentry.calls()
    for model, body in [
        ("llama-3-3-70b", {"prompt": "<|begin_of_text|>"}),
        ("nova-lite", {"inputText": "Hi"}),
        (CLAUDE, nova("Hi")),
    ]:
        with pytest.raises(ClientError) as raised:
            invoke(caller, body, model)
        assert raised.value.response["Error"]["Code"] == "ValidationException"
    assert sentry.calls() == before


@pytest.mark.parametrize("directive", [{"fail_after": 3}, {"fault": "missing-usage"}], ids=["breaks off", "no usage"])
def test_a_stream_that_breaks_off_or_has_no_usage_ends_with_an_error_and_keeps_its_hold(sentry, client, directive):
    caller = client()
    scope = budget(sentry, caller)
    words = text(output_tokens=9, chunk_words=3, **directive)
    with pytest.raises(EventStreamError) as raised:
        list(chunks(caller, claude(words)))
    assert raised.value.response["Error"]["Code"] == "modelStreamErrorException"
    status, _, events = messages(caller, asked(words, stream=True))
    name, error = events[-1]
    assert status == 200 and name == error["type"] == "error"
    assert error["error"]["type"] == ("overloaded_error" if "fail_after" in directive else "api_error")
    (item,) = sentry.ledger_items(scope)
    assert (int(item.get("settledOutput", 0)), int(item["committedOutput"])) == (0, 2 * TOKENS)


def test_messages_are_streamed_as_server_sent_events(sentry, client):
    caller = client()
    scope = budget(sentry, caller)
    words = text(tool="find", reasoning=6, output_tokens=12)
    status, headers, events = messages(caller, asked(words, stream=True, tools=[TOOL]))
    assert (status, headers["content-type"]) == (200, "text/event-stream") and headers["x-sentry-request-id"]
    assert all(name == part["type"] for name, part in events)
    starts = [part["content_block"]["type"] for name, part in events if name == "content_block_start"]
    assert starts == ["thinking", "text", "tool_use"]
    deltas = [part["delta"] for name, part in events if name == "content_block_delta"]
    assert {each["type"] for each in deltas} == {"thinking_delta", "signature_delta", "text_delta", "input_json_delta"}
    assert json.loads("".join(each.get("partial_json", "") for each in deltas))
    (final,) = [part for name, part in events if name == "message_delta"]
    assert (final["delta"]["stop_reason"], final["usage"]["output_tokens"]) == ("tool_use", 12)
    assert sentry.ledger_settled(scope) == 12


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_each_refusal_of_messages_is_an_error_of_anthropic(sentry, client, stream):
    caller = client()
    scope = budget(sentry, caller, TOKENS)

    def ask(*arguments, **more):
        return refusal(messages(caller, asked(*arguments, stream=stream, **more)))

    assert ask(text(), TOKENS + 1) == (402, "billing_error", "BudgetExceeded", "false")
    assert ask(text(fault="throttling")) == (429, "rate_limit_error", "ModelThrottled", "true")
    assert ask(text(fault="validation")) == (400, "invalid_request_error", "ModelRejectedRequest", "false")
    assert ask(text(), model="no-such-model") == (404, "not_found_error", "UnknownModel", "false")
    assert ask(text(), 0) == (400, "invalid_request_error", "InvalidRequest", "false")
    assert ask(text(), mcp_servers=[]) == (400, "invalid_request_error", None, "false")
    assert sentry.ledger_settled(scope) == 0
    sentry.set_limit(scope, {"output": TOKENS}, stopped="maintenance")
    assert ask(text()) == (403, "permission_error", "Stopped", "false")
    body = asked(text(), stream=stream)
    for headers in ({}, {"x-api-key": "x"}, {"x-api-key": f"csk_{'0' * 64}"}):
        assert refusal(messages(caller, body, headers)) == (401, "authentication_error", None, "false")
    assert refusal(messages(caller, body, {"x-api-key": caller.key}))[:2] == (400, "invalid_request_error")


def test_the_user_of_a_request_has_a_budget_of_their_own(sentry, client):
    caller, user = client(), unique("user")
    sentry.set_limit(f"user#{user}", {"output": TOKENS})
    most = {"metadata": {"user_id": user}}
    assert messages(caller, asked(text(output_tokens=5), **most))[0] == 200
    assert refusal(messages(caller, asked(text(), TOKENS, **most)))[2] == "BudgetExceeded"
    assert refused(invoke, caller, claude(text(), TOKENS, **most))[2] == "BudgetExceeded"
    assert invoke(caller, claude(text(output_tokens=5)))[0]["usage"]["output_tokens"] == 5


def test_a_guardrail_and_tags_come_in_headers(sentry, client):
    caller = client()
    options = {"guardrailIdentifier": "blocksinput", "guardrailVersion": "1"}
    answer, _ = invoke(caller, claude(text()), **options)
    assert (answer["stop_reason"], answer["usage"]["output_tokens"]) == ("refusal", 0)
    assert refused(invoke, caller, claude(text()), trace="ENABLED")[:2] == ("ValidationException", 400)
    metadata = json.dumps({"costCenter": "other"})
    assert refused(invoke, caller, claude(text()), requestMetadata=metadata)[:2] == ("AccessDeniedException", 403)


def shape(value):
    """A JSON value with the kinds of its values instead of the values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


def joined(parts):
    """The parts of a stream. Parts of one block and one kind that follow each other are one part."""
    events: list[dict] = []
    for part in parts:
        new, last = delta_in(part), delta_in(events[-1]) if events else None
        if new and last and new.keys() == last.keys():
            for name in new.keys() - {"type"}:
                last[name] += new[name]
        else:
            events.append(part)
    return events


def delta_in(part):
    """The delta of a content block. None for another part."""
    if part.get("type") == "content_block_delta":
        return part["delta"]
    return part.get("contentBlockDelta", {}).get("delta")


def both(sentry, caller, body, alias, model, **options):
    """The answer and the joined chunks of a body: those of Bedrock's double, and those of the gateway."""
    direct = sentry.client("bedrock-runtime", sentry.bedrock_endpoint)
    tags = {"requestMetadata": json.dumps(OF_A_TEST)}
    for bedrock, name, more in ((direct, model, options | tags), (caller.bedrock, alias, options)):
        sent = {"modelId": name, "body": json.dumps(body), **more}
        whole = json.load(bedrock.invoke_model(**sent)["body"])
        stream = bedrock.invoke_model_with_response_stream(**sent)["body"]
        yield whole, joined([json.loads(event["chunk"]["bytes"]) for event in stream])


# The simulator's long answers have both words. An answer may begin with one of them. The spaces keep it from being empty.
STOPS = {"stop_sequences": [" river", " harbor"]}


@pytest.mark.parametrize(
    "directives, more",
    [
        ({"output_tokens": 12, "cache_read": 3}, {}),
        ({"output_tokens": 12, "cache_read": 3, "reasoning": 6, "tool": "find"}, {}),
        ({"wanted_tokens": 24, "cache_read": 3}, STOPS),
    ],
    ids=["text", "thoughts and tool", "stop sequence"],
)
def test_a_message_has_the_form_of_bedrock(sentry, client, directives, more):
    """The form of the gateway is that of the simulator, which has another author and takes it from the documentation."""
    body = claude(text(chunk_words=5, **directives), tools=[TOOL], **more)
    (whole, parts), (through, streamed) = both(sentry, client(), body, CLAUDE, HAIKU)
    assert shape(through) == shape(whole)
    assert (whole["stop_reason"] == "stop_sequence") == bool(more)
    for told in whole, through:
        del told["id"], told["model"]
        for block in told["content"]:
            block.pop("id", None)
    assert through == whole
    for events in parts, streamed:
        # Anthropic's clients replace the figures of the start by those of the end.
        start, end = events[0]["message"].pop("usage"), events[-2].pop("usage")
        assert start | end == whole["usage"]
        del events[0]["message"]["model"]
    assert shape(streamed) == shape(parts)
    assert [delta_in(part) for part in streamed] == [delta_in(part) for part in parts]
    assert [each.get("delta") for each in streamed[-2:]] == [each.get("delta") for each in parts[-2:]]


def test_an_answer_of_nova_has_the_form_of_bedrock(sentry, client):
    body = nova(text(output_tokens=12, chunk_words=5, cache_read=3))
    (whole, parts), (through, streamed) = both(sentry, client(), body, NOVA, "amazon.nova-lite-v1:0")
    assert through == whole
    assert shape(streamed) == shape(parts)
    assert [delta_in(part) for part in streamed] == [delta_in(part) for part in parts]
    assert streamed[-1]["metadata"]["usage"] == parts[-1]["metadata"]["usage"]


@pytest.mark.parametrize("guardrail, action", [("other", "NONE"), ("blocksoutput", "INTERVENED")])
def test_the_action_of_a_guardrail_is_told_as_bedrock_does(sentry, client, guardrail, action):
    options = {"guardrailIdentifier": guardrail, "guardrailVersion": "1"}
    for whole, parts in both(sentry, client(), claude(text(output_tokens=12)), CLAUDE, HAIKU, **options):
        assert whole["amazon-bedrock-guardrailAction"] == parts[-1]["amazon-bedrock-guardrailAction"] == action
