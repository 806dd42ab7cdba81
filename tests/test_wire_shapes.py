"""All requests to Bedrock in this run, and its answers, conform to AWS's service model. Runs after most other tests."""

import json
import urllib.error
from collections import Counter

import pytest

from sentry_client import document, text
from wire_shapes import OF_A_TEST, Wire, check_events, exchanges

MODEL = "amazon.nova-lite-v1:0"
REQUEST = {
    "messages": [{"role": "user", "content": [{"text": "secret"}]}],
    "inferenceConfig": {"maxTokens": 5, "temperature": 0.5},
    "additionalModelRequestFields": {"inferenceConfig": {"topK": 5}},
    "requestMetadata": {"costCenter": "support"},
}
ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "secret"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    "metrics": {"latencyMs": 4},
}
# A body of InvokeModel and its answer, which the service model does not describe.
BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": [{"role": "user", "content": "secret"}]}
MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "secret"}]}
# The recorder does not keep the answer of a stream.
UNSEEN = {"answer": None, "status": None}


@pytest.fixture(scope="module")
def wire():
    return Wire()


def message(body, **headers):
    return {
        "headers": [[name.replace("_", "-"), value] for name, value in headers.items()],
        "body": body if isinstance(body, str) else json.dumps(body),
    }


def exchange(request, answer, *, status=200, operation="converse", model=MODEL, **headers):
    return {
        "number": 1,
        "method": "POST",
        "path": f"/model/{model}/{operation}",
        "damaged": False,
        "status": status,
        "request": message(request, content_type="application/json", accept="application/json"),
        "answer": message(answer, content_type="application/json", **headers),
    }


def without(document, name):
    return {key: value for key, value in document.items() if key != name}


def test_right_exchanges_pass(wire):
    assert wire.check(exchange(REQUEST, ANSWER)) == []
    count = {"input": {"converse": {"messages": REQUEST["messages"]}}}
    assert wire.check(exchange(count, {"inputTokens": 3}, operation="count-tokens")) == []
    error = exchange(REQUEST, {"message": "Too many."}, status=429, x_amzn_errortype="ThrottlingException")
    assert wire.check(error) == []
    assert wire.check(exchange(BODY, MESSAGE, operation="invoke")) == []
    assert wire.check(exchange(BODY, MESSAGE, operation="invoke-with-response-stream") | UNSEEN) == []
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123"
    assert wire.check(exchange(REQUEST, ANSWER, model=arn)) == []


@pytest.mark.parametrize(
    "request_, place",
    [
        (REQUEST | {"temprature": 1}, "unknown member temprature"),
        (REQUEST | {"messages": [{"role": "robot", "content": [{"text": "secret"}]}]}, "$.messages[0].role"),
        (REQUEST | {"messages": [{"role": "user", "content": "secret"}]}, "$.messages[0].content"),
        (REQUEST | {"messages": [{"content": [{"text": "secret"}]}]}, "lacks role"),
        (REQUEST | {"inferenceConfig": {"maxTokens": 0}}, "$.inferenceConfig.maxTokens: is below 1"),
        (REQUEST | {"inferenceConfig": {"temperature": 1.5}}, "$.inferenceConfig.temperature: is above 1"),
        (REQUEST | {"inferenceConfig": {"topK": 5}}, "unknown member topK"),
        (REQUEST | {"requestMetadata": {"team": "secret!"}}, "$.requestMetadata.value0"),
        (REQUEST | {"system": [{"text": "a", "cachePoint": {"type": "default"}}]}, "exactly one member"),
        ("not JSON: secret", "no JSON object"),
    ],
)
def test_wrong_request_is_found(wire, request_, place):
    wrong = wire.check(exchange(request_, ANSWER))
    assert any(place in each for each in wrong), wrong
    assert "secret" not in str(wrong)


@pytest.mark.parametrize(
    "answer, status, kind, place",
    [
        (without(ANSWER, "usage"), 200, None, "lacks usage"),
        (ANSWER | {"usage": {"inputTokens": 1}}, 200, None, "lacks totalTokens"),
        (
            ANSWER | {"usage": {"inputTokens": "1", "outputTokens": 2, "totalTokens": 3}},
            200,
            None,
            "$.usage.inputTokens",
        ),
        (ANSWER | {"stopReason": "strange"}, 200, None, "$.stopReason"),
        (ANSWER | {"id": "secret"}, 200, None, "unknown member id"),
        ({"message": "secret"}, 400, "ThrottlingException", "has status 429"),
        ({"message": "secret"}, 400, "StrangeException", "not an error of the operation"),
        ({"message": "secret"}, 400, None, "without a name"),
    ],
)
def test_wrong_answer_is_found(wire, answer, status, kind, place):
    headers = {"x_amzn_errortype": kind} if kind else {}
    wrong = wire.check(exchange(REQUEST, answer, status=status, **headers))
    assert any(place in each for each in wrong), wrong
    assert "secret" not in str(wrong)


def test_exchange_of_no_operation_is_found(wire):
    assert wire.check(exchange(REQUEST, ANSWER, operation="chat"))


def test_answers_that_are_wrong_on_purpose_are_passed_over(wire):
    assert wire.check(exchange(REQUEST, "{") | {"damaged": True}) == []
    assert wire.check(exchange(REQUEST, "{") | {"answer": None, "status": None}) == []


def test_wrong_headers_of_invoke_are_found(wire):
    sent = exchange(BODY, MESSAGE, operation="invoke")
    sent["request"] = message(BODY, x_amzn_bedrock_trace="SOME", x_amzn_bedrock_guardrailversion="secret")
    sent["answer"] = message(MESSAGE)
    found = wire.check(sent)
    assert len(found) == 3 and "secret" not in str(found)
    assert "$.trace: is none of" in found[0] and "$.guardrailVersion: does not match" in found[1]
    assert "answer 200: $: lacks contentType" in found[2]


@pytest.mark.local
@pytest.mark.parametrize(
    "operation, body, directive, last",
    [
        ("converse-stream", "messages", {}, "metadata"),
        ("invoke-with-response-stream", "claude", {}, "chunk"),
        ("invoke-with-response-stream", "nova", {}, "chunk"),
        ("invoke-with-response-stream", "claude", {"fail_after": 3}, "modelStreamErrorException"),
        ("converse-stream", "messages", {"fail_after": 3}, "modelStreamErrorException"),
    ],
)
def test_every_event_of_a_stream(sentry, wire, operation, body, directive, last):
    words = text(reasoning=4, output_tokens=9, chunk_words=3, **directive)
    messages = [{"role": "user", "content": [{"text": words}]}]
    claude = BODY | {"messages": [{"role": "user", "content": words}]}
    sent = claude if body == "claude" else {"messages": messages}
    model = MODEL if body == "nova" else "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    path = f"/model/{model}/{operation}"
    headers = {"x-amzn-bedrock-request-metadata": json.dumps(OF_A_TEST)} if "invoke" in operation else {}
    request = urllib.request.Request(sentry.bedrock_endpoint + path, json.dumps(sent).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found = answer.read()
    wrong, names = check_events(wire.operation({"method": "POST", "path": path})[0], found)
    assert not wrong
    assert names[-1] == last and len(names) > 3


@pytest.mark.local
def test_every_exchange_of_the_run(sentry, wire, capsys):
    sentry.execute_all({model: document(model) for model in ("nova-lite", "claude-haiku-4-5")})
    try:
        total, kept = exchanges(sentry.bedrock_endpoint)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        pytest.skip("the Bedrock simulator was not started with --record")
    wrong = Counter(complaint for each in kept for complaint in wire.check(each))
    operations = Counter(operation.name for operation, _ in map(wire.operation, kept) if operation)
    with capsys.disabled():
        print(
            f"\n{len(kept)} of {total} exchanges: "
            + ", ".join(f"{count} {name}" for name, count in operations.most_common())
        )
    assert operations["Converse"]
    invoked = [each for each in kept if "/invoke" in each["path"]]
    tags = [dict(each["request"]["headers"]).get("x-amzn-bedrock-request-metadata", "{}") for each in invoked]
    assert all(json.loads(each) == OF_A_TEST for each in tags), "the sentry calls InvokeModel"
    assert not wrong, "\n".join(f"{count} times {complaint}" for complaint, count in wrong.most_common(20))
