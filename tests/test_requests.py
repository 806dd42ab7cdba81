"""Successful requests: all ways to name a model, all forms of a prompt, and the form of the answer."""

import re
from decimal import Decimal
from typing import Any

import pytest

from catalogue_files import Catalogue
from contract import check_answer, check_succeeded
from sentry_client import document, text, unique

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"
FOUNDATION = "amazon.nova-lite-v1:0"
MISTRAL = "mistral.mistral-large-3-675b-instruct"
# A model of Amazon, one of Anthropic, and one without its own request fields. The values are parameters that they do not accept.
MODELS = {"nova-lite": (), "claude-haiku-4-5": ("top_p",), "mistral-large-3": ("top_k",)}

NAMES = {
    "alias": ("nova-lite", NOVA),
    "alias of a model that has profiles only": ("claude-haiku-4-5", HAIKU),
    "alias of a model that has no profile": ("mistral-large-3", MISTRAL),
    "alias of a profile for all Regions": (
        "claude-haiku-4-5-global",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    "nova micro": ("nova-micro", "us.amazon.nova-micro-v1:0"),
    "claude sonnet 4.5": ("claude-sonnet-4-5", SONNET),
    "full id": (FOUNDATION, FOUNDATION),
    "cross-Region profile id": (HAIKU, HAIKU),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spelling", ["model", "modelId"])
def test_model_is_found(sentry, name, spelling):
    requested, model_id = NAMES[name]
    sent = document(requested)
    sent = {spelling: sent.pop("model"), **sent}
    answer = check_succeeded(sentry.ask(sent), sent)
    assert (answer["model"]["modelId"], answer["model"]["modelMetric"]) == (model_id, model_id)
    assert answer["output"]["message"]["content"]
    assert answer["budget"][0]["scope"] == f"model#{model_id}"


@pytest.mark.parametrize(
    "alias, model_id",
    [
        ("claude-2", SONNET),
        ("claude-3-haiku", HAIKU),
        ("claude-3-sonnet", SONNET),
        ("claude-3-5-haiku", HAIKU),
        ("claude-3-5-sonnet-v2", SONNET),
        ("services", HAIKU),
        ("support", HAIKU),
    ],
)
def test_alias_of_the_articles_means_the_replacement_and_says_so(sentry, alias, model_id):
    sent = document(alias)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["model"] == {"requested": alias, "modelId": model_id, "modelMetric": model_id}
    notices = {notice["code"]: notice["message"] for notice in answer["notices"]}
    assert alias in notices["ModelReplaced"] and "answers in its place" in notices["ModelReplaced"]


def test_model_as_it_is_needs_no_notice(sentry):
    sent = document("nova-lite")
    assert "notices" not in check_succeeded(sentry.ask(sent), sent)


@pytest.mark.parametrize("spelling", ["model", "modelId"])
@pytest.mark.local
def test_any_application_inference_profile_is_called_by_its_arn(sentry, spelling):
    arn, bare = sentry.profile_arn()
    sent = document(arn)
    sent = {spelling: sent.pop("model"), **sent}
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["model"] == {"requested": arn, "modelId": arn, "modelMetric": bare}
    assert answer["budget"][0]["scope"] == f"model#{bare}"
    assert sentry.calls(bare) == 1


def test_profile_made_by_the_control_plane_is_called(sentry):
    bedrock = sentry.client("bedrock", sentry.bedrock_endpoint)
    source = f"arn:aws:bedrock:{sentry.region}::foundation-model/{FOUNDATION}"
    made = bedrock.create_inference_profile(
        inferenceProfileName=unique("e2e-profile"), modelSource={"copyFrom": source}
    )
    try:
        sent = document(made["inferenceProfileArn"])
        answer = check_succeeded(sentry.ask(sent), sent)
        assert answer["model"]["modelId"] == made["inferenceProfileArn"]
    finally:
        bedrock.delete_inference_profile(inferenceProfileIdentifier=made["inferenceProfileArn"])


def test_document_of_the_contract(sentry):
    sent = {
        "model": "claude-haiku-4-5",
        "prompt": {
            "messages": [{"role": "user", "content": "Explain the benefits of using S3 using only 100 words."}],
            "parameters": {"max_tokens": 2000, "temperature": 0.7, "top_k": 50, "stop_sequences": ["END"]},
        },
        "tags": {"applicationId": "aws-documentation-helper", "costCenter": "support", "environment": "production"},
    }
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["model"] == {"requested": "claude-haiku-4-5", "modelId": HAIKU, "modelMetric": HAIKU}


def said(*turns):
    """Returns messages with the given roles. Each has a different text."""
    return [{"role": role, "content": text(f"Part {number}.")} for number, role in enumerate(turns)]


CONVERSATIONS = {
    "one message": ("user",),
    "several turns": ("user", "assistant", "user", "assistant", "user"),
    "the user speaks twice in a row": ("user", "user"),
    "both speak several times in a row": ("user", "user", "assistant", "assistant", "assistant", "user", "user"),
    "system first": ("system", "user"),
    "several system messages": ("system", "system", "user"),
    "system in the middle": ("user", "system", "assistant", "system", "user"),
    "system between two messages of the user": ("user", "system", "user"),
    "system last": ("user", "system"),
    "the assistant's answer is begun": ("user", "assistant"),
    "long": ("user", "assistant") * 20 + ("user",),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation(sentry, name, model):
    sent = document(model, messages=said(*CONVERSATIONS[name]))
    check_succeeded(sentry.ask(sent), sent)


PARAMETERS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "empty": {},
    "all": {"max_tokens": 200, "temperature": 0.7, "top_p": 0.9, "top_k": 50, "stop_sequences": ["never-written"]},
    "lowest": {"max_tokens": 1, "temperature": 0, "top_p": 0},
    "highest": {"max_tokens": 4000, "temperature": 1, "top_p": 1, "top_k": 128},
    "decimals": {"temperature": 0.123456789, "top_p": 0.5},
    "one only": {"top_k": 5},
    "no stop sequences": {"stop_sequences": []},
    "nothing in many words": dict.fromkeys(("max_tokens", "temperature", "top_p", "top_k", "stop_sequences")),
    "several stop sequences": {"stop_sequences": ["never-written", "nor-this"]},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(sentry, name, model):
    parameters = PARAMETERS[name]
    if parameters:
        parameters = {each: value for each, value in parameters.items() if each not in MODELS[model]}
    sent = document(model, parameters=parameters)
    check_succeeded(sentry.ask(sent), sent)


NOTHING: dict[str, Any] = {"null": None, "empty text": "", "empty list": [], "empty object": {}}


@pytest.mark.parametrize("nothing", NOTHING)
def test_optional_field_that_says_nothing_is_not_given(sentry, nothing):
    fields = (
        "system",
        "parameters",
        "tools",
        "toolChoice",
        "guardrail",
        "serviceTier",
        "reasoning",
        "outputFormat",
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
    )
    sent = document(
        "nova-lite",
        tags={
            "applicationId": unique("e2e-nothing"),
            **dict.fromkeys(("costCenter", "environment", "requestId", "team"), NOTHING[nothing]),
        },
    )
    sent["prompt"].update(dict.fromkeys(fields, NOTHING[nothing]))
    answer = check_succeeded(sentry.ask(sent))
    assert answer["tags"].keys() == {"applicationId", "requestId", "timestamp", "modelMetric"}
    assert answer["tags"]["applicationId"] == sent["tags"]["applicationId"]


SILENCES = {"empty text": "", "blank text": " \n", "no blocks": [], "an empty block": [{"text": ""}]}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("silence", SILENCES)
def test_answer_that_said_nothing_can_be_sent_back(sentry, silence, model):
    first, last = said("user", "user")
    sent = document(model, messages=[first, {"role": "assistant", "content": SILENCES[silence]}, last])
    check_succeeded(sentry.ask(sent), sent)


@pytest.mark.parametrize("model", MODELS)
def test_max_tokens_reaches_the_model(sentry, model):
    sent = document(model, text("Count from one to two hundred in words."), parameters={"max_tokens": 5})
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["output"]["stopReason"] == "max_tokens"
    assert answer["usage"]["outputTokens"] <= 5


@pytest.mark.local
@pytest.mark.parametrize("model", MODELS)
def test_stop_sequence_reaches_the_model(sentry, model):
    sent = document(model)
    whole = check_succeeded(sentry.ask(sent), sent)["output"]["message"]["content"]
    word = max(re.findall(r"[A-Za-z]+", whole[len(whole) // 3 :]), key=len)
    stopped = check_succeeded(
        sentry.ask({**sent, "prompt": {**sent["prompt"], "parameters": {"stop_sequences": [word]}}})
    )
    assert stopped["output"]["stopReason"] == "stop_sequence"
    assert word not in stopped["output"]["message"]["content"]
    assert len(stopped["output"]["message"]["content"]) < len(whole)


def many_tags(count):
    return {"applicationId": unique("e2e-app"), **{f"tag{number}": f"value {number}" for number in range(count - 1)}}


TAGS = {
    "required only": {"applicationId": "e2e-only"},
    "all that have a meaning": {"applicationId": "e2e-all", "costCenter": "support", "environment": "production"},
    "twelve": many_tags(12),
    "one character": {"applicationId": "e"},
    "255 characters": {"applicationId": "e2e-" + "x" * 251, "costCenter": "y" * 255},
    "every printable character": {"applicationId": "e2e " + "".join(map(chr, range(33, 127)))},
    "colon inside": {"applicationId": "e2e:colon:"},
    "not ASCII": {"applicationId": "größe", "costCenter": "支援", "environment": "\U0001f980", "team": "é"},
    "255 characters that are not ASCII": {"applicationId": "ö" * 255},
    "quotes and backslashes": {"applicationId": 'e2e "quoted" \\n {% $x %} ${y}'},
}


@pytest.mark.parametrize("name", TAGS)
def test_tags_come_back(sentry, name):
    sent = document(tags=TAGS[name])
    check_succeeded(sentry.ask(sent), sent)


def test_request_id_of_the_client_is_kept(sentry):
    sent = document(tags={"applicationId": "e2e-own-id", "requestId": unique("e2e_Request")})
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["tags"]["requestId"] == sent["tags"]["requestId"]


def test_generated_request_ids_differ(sentry):
    first, second = (check_succeeded(sentry.ask(document())) for _ in range(2))
    assert first["tags"]["requestId"] != second["tags"]["requestId"]


CONTENTS = {
    "unicode": "Grüße, 世界, \U0001f980, e\u0301 and \u202e",
    "control characters": "a\tb\nc\r\nd\u0000e\u0007f",
    "quotes, braces and JSONata": 'He said "\\" {% $states.input %} {"a": [1]} ${x}',
    "whitespace round it": "  padded  ",
    "100,000 bytes": "word " * 20_000,
}


@pytest.mark.parametrize("model", ["nova-lite", "claude-haiku-4-5"])
@pytest.mark.parametrize("name", CONTENTS)
def test_content(sentry, name, model):
    sent = document(model, CONTENTS[name] + text(" "))
    check_succeeded(sentry.ask(sent), sent)


@pytest.mark.local
@pytest.mark.parametrize("model", MODELS)
def test_usage_is_the_models(sentry, model):
    sent = document(model, input_tokens=21, output_tokens=143)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["usage"] == {
        "inputTokens": 21,
        "outputTokens": 143,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
        "totalTokens": 164,
    }


@pytest.mark.local
def test_cached_tokens_are_counted_apart(sentry):
    sent = document("claude-haiku-4-5", input_tokens=21, output_tokens=143, cache_read=5, cache_write=7)
    usage = check_succeeded(sentry.ask(sent), sent)["usage"]
    assert usage == {
        "inputTokens": 21,
        "outputTokens": 143,
        "cacheReadInputTokens": 5,
        "cacheWriteInputTokens": 7,
        "totalTokens": 176,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 7}],
    }


COSTS = {
    "by alias": ("claude-haiku-4-5", HAIKU, {"input_tokens": 21, "output_tokens": 143}),
    "by full id": (HAIKU, HAIKU, {"input_tokens": 21, "output_tokens": 143}),
    "below nine decimals": ("nova-micro", "us.amazon.nova-micro-v1:0", {"input_tokens": 1, "output_tokens": 1}),
    "cache writes": (SONNET, SONNET, {"input_tokens": 350, "output_tokens": 900, "cache_write": 120_000}),
    "cache writes for an hour": (
        SONNET,
        SONNET,
        {"input_tokens": 350, "output_tokens": 900, "cache_write_1h": 120_000},
    ),
    "cache reads": (SONNET, SONNET, {"input_tokens": 350, "output_tokens": 900, "cache_read": 120_000}),
}


@pytest.mark.local
@pytest.mark.parametrize("name", COSTS)
def test_cost_is_exact(sentry, name):
    model, model_id, directives = COSTS[name]
    sent = document(model, **directives)
    answer = check_succeeded(sentry.ask(sent), sent)
    usage, cost = answer["usage"], answer["cost"]
    written = sum(directives.get(kind, 0) for kind in ("cache_write", "cache_write_1h"))
    counts = (directives["input_tokens"], directives["output_tokens"], directives.get("cache_read", 0), written)
    assert (
        tuple(usage[kind] for kind in ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"))
        == counts
    )
    assert [each["ttl"] for each in usage.get("cacheDetails", ())] == [
        "1h" if "cache_write_1h" in directives else "5m"
    ] * (written > 0)
    assert cost["priced"] and Decimal(cost["usd"]) == Catalogue(sentry.region).cost(model_id, usage), cost


@pytest.mark.local
def test_model_without_a_price_is_unpriced_and_not_free(sentry):
    sent = document(sentry.unpriced_model())
    assert check_succeeded(sentry.ask(sent), sent)["cost"] == {"priced": False}


@pytest.mark.local
@pytest.mark.parametrize(
    "reason", ["end_turn", "max_tokens", "stop_sequence", "content_filtered", "guardrail_intervened"]
)
def test_stop_reason(sentry, reason):
    sent = document("nova-lite", stop_reason=reason)
    assert check_succeeded(sentry.ask(sent), sent)["output"]["stopReason"] == reason


@pytest.mark.local
@pytest.mark.parametrize("model", ["nova-lite", "claude-haiku-4-5"])
def test_long_answer_comes_whole(sentry, model):
    sent = document(model, output_bytes=200 * 1024, output_tokens=50_000)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert len(answer["output"]["message"]["content"].encode()) == 200 * 1024


def test_requests_at_the_same_time_do_not_mix(sentry):
    sent = {number: document(tags={"applicationId": unique("e2e-parallel")}) for number in range(24)}
    ended = sentry.execute_all(sent)
    for number, execution in ended.items():
        assert execution["status"] == "SUCCEEDED", execution["error"]
        check_answer(execution["output"], sent[number])
    ids = {execution["output"]["tags"]["requestId"] for execution in ended.values()}
    assert len(ids) == len(sent)
