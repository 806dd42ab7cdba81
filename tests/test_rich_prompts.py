"""Content blocks, tools, system prompts, guardrails and service tiers, end to end.

The tests check the call that reaches Bedrock, the answer, and the charge to the budget.
"""

import base64
import json

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from sentry_client import document, number, text, unique
from test_families import ROUTES, recorded, token

pytestmark = pytest.mark.local

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"image": {"format": "png", "source": {"bytes": PNG}}}
PDF = {
    "document": {"format": "pdf", "name": "report", "source": {"bytes": base64.b64encode(b"%PDF-1.4 nothing").decode()}}
}
NOTES = {"document": {"format": "md", "name": "notes", "source": {"text": "# Storage"}}}
TOOL = {
    "toolSpec": {
        "name": "find",
        "description": "Finds a place.",
        "inputSchema": {"json": {"type": "object", "properties": {"place": {"type": "string"}}}},
    }
}
CLAUDE = "claude-haiku-4-5"  # Bedrock counts its tokens.
NOVA, NOVA_WINDOW = "nova-lite", 300_000  # Bedrock does not count its tokens.
NOVA_IMAGE_TOKENS = 1_300  # An image up to 900 x 900 pixels (Amazon Nova User Guide, "Image understanding").
UNPRICED = "writer.of-no-known-window-v1:0"  # The catalogue has no entry for it.
TEXT_ALONE = "gpt-oss-120b"


def rich(model, *blocks, tags=None, parameters=None, directives=None, **beside):
    """Returns a document with one message that has a text and these blocks."""
    made = document(
        model,
        messages=[{"role": "user", "content": [{"text": text(**directives or {})}, *blocks]}],
        tags=tags,
        parameters=parameters,
    )
    made["prompt"] |= beside
    return made


def arrived(sentry, sent):
    """Returns the only body that reached Bedrock."""
    bodies = recorded(sentry.bedrock_endpoint)
    if bodies is None:
        pytest.skip("the Bedrock simulator was not started with --record")
    (body,) = bodies[token(json.dumps(sent))[0]]
    return body


@pytest.fixture
def center(sentry):
    """Returns the scope and the tags of a cost center that no other test uses."""
    value = unique("e2e-rich")
    return f"costCenter#{value}", {"applicationId": "e2e-rich", "costCenter": value}


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
@pytest.mark.parametrize("block", [IMAGE, PDF, NOTES], ids=["image", "compressed document", "text document"])
def test_block_reaches_the_model_as_it_is(sentry, model, block):
    sent = rich(model, block)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert [list(each) for each in answer["output"]["message"]["content"]] == [["text"]]
    assert arrived(sentry, sent)["messages"] == sent["prompt"]["messages"]


def test_text_callers_see_no_change(sentry):
    sent = document(NOVA)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert isinstance(answer["output"]["message"]["content"], str)
    body = arrived(sentry, sent)
    assert body["messages"] == [{"role": "user", "content": [{"text": sent["prompt"]["messages"][0]["content"]}]}]
    assert body.keys() <= {"messages", "inferenceConfig", "requestMetadata"}


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
def test_tool_conversation_in_two_steps(sentry, model):
    asked = {"role": "user", "content": text("Where is it?", tool="find")}
    first = document(model, messages=[asked])
    first["prompt"] |= {"tools": [TOOL], "toolChoice": {"auto": {}}}
    answer = check_succeeded(sentry.ask(first), first)
    message = answer["output"]["message"]
    assert answer["output"]["stopReason"] == "tool_use"
    (use,) = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    assert use["name"] == "find" and use["input"]["more"] == [{}] and use["input"]["none"] is None
    result = {
        "toolUseId": use["toolUseId"],
        "status": "success",
        "content": [{"json": {"at": [1, 0.5, None]}}, {"text": text("It is there.")}],
    }
    second = document(model, messages=[asked, message, {"role": "user", "content": [{"toolResult": result}]}])
    second["prompt"]["tools"] = [TOOL]
    answer = check_succeeded(sentry.ask(second), second)
    assert answer["output"]["stopReason"] == "end_turn"
    bodies = recorded(sentry.bedrock_endpoint) or {}
    for body in bodies.get(token(json.dumps(second))[-1], []):
        assert body["messages"][1:] == second["prompt"]["messages"][1:] and body["toolConfig"] == {"tools": [TOOL]}


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
def test_thoughts_come_back_where_the_answer_is_a_list(sentry, model):
    sent = rich(model, directives={"reasoning": 4, "output_tokens": 9})
    content = check_succeeded(sentry.ask(sent), sent)["output"]["message"]["content"]
    assert [list(each) for each in content] == [["reasoningContent"], ["text"]]


def test_tool_choice_reaches_the_model(sentry):
    sent = rich(CLAUDE, tools=[TOOL], toolChoice={"tool": {"name": "find"}})
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["output"]["stopReason"] == "tool_use"
    assert arrived(sentry, sent)["toolConfig"] == {"tools": [TOOL], "toolChoice": {"tool": {"name": "find"}}}


@pytest.mark.parametrize(
    "system, blocks",
    [
        ("Be brief.", [{"text": "Be brief."}]),
        ([{"text": "Be"}, {"text": "brief."}], [{"text": "Be"}, {"text": "brief."}]),
    ],
    ids=["string", "blocks"],
)
def test_system_stands_before_system_messages(sentry, system, blocks):
    sent = document(NOVA, messages=[{"role": "user", "content": text()}, {"role": "system", "content": "Be kind."}])
    sent["prompt"]["system"] = system
    answer = check_succeeded(sentry.ask(sent), sent)
    assert isinstance(answer["output"]["message"]["content"], str)
    assert arrived(sentry, sent)["system"] == [*blocks, {"text": "Be kind."}]


# Features that Bedrock rejects (AWS, "Supported models and model features"). The model router knows families, not models.
LACKS = {
    "mistral text": {"image", "tools"},
    "cohere text": {"image", "tools"},
    "jamba": {"image"},
    "deepseek": {"image"},
    "mistral chat": {"image"},
    "gpt-oss": {"image"},
    "qwen": {"image"},
    "llama": {"image"},
    "converse": {"image"},
}
ROUTER = [route for route in ROUTES if route.entry == "router"]
PARTS = {"image": ([IMAGE], {}), "document": ([NOTES], {}), "tools": ([], {"tools": [TOOL]})}


@pytest.fixture(scope="module")
def parts(sentry):
    """Returns the result of the model router for every family with every part."""
    sent = {}
    for route in ROUTER:
        for part, (blocks, beside) in PARTS.items():
            sent[route, part] = rich(route.model, *blocks, **beside)
            sent[route, part]["model"] = {"modelId": route.model, "family": route.family}
    return sentry.execute_all(sent, machine="ModelRouterArn")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("route", ROUTER, ids=str)
def test_part_is_honored_or_refused_by_name(parts, route, part):
    done = parts[route, part]
    if part not in LACKS.get(route.name, set()):
        assert done["status"] == "SUCCEEDED", done["cause"]
        assert isinstance(done["output"]["output"]["message"]["content"], list)
        return
    cause = json.loads(done["cause"])
    assert (done["error"], cause["nothingSpent"]) == ("ModelRejectedRequest", True)


def test_refusal_comes_before_the_hold(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"input": 1_000_000})
    sent = rich(TEXT_ALONE, IMAGE, tags=tags)
    details = check_error(sentry.ask(sent), "InvalidRequest", sent)
    assert (details["path"], details["parameter"]) == ("prompt.messages[0].content[1]", "image")
    assert not sentry.ledger_items(scope)


def test_refusal_of_bedrock_gives_the_hold_back(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"input": 1_000_000})
    sent = rich(NOVA, IMAGE, tags=tags, directives={"fault": "validation"})
    answer = sentry.ask(sent)
    check_error(answer, "ModelRejectedRequest", sent)
    assert entry_of(answer, scope)["input"] == {"limit": 1_000_000, "used": 0, "reserved": 0, "remaining": 1_000_000}


# Guardrails


@pytest.mark.parametrize("model", [NOVA, UNPRICED])
@pytest.mark.parametrize("guardrail, tokens", [("blocksinput", 0), ("blocksoutput", 9), ("lenient", 9)])
def test_guardrail_is_applied_and_settled_at_what_was_used(sentry, center, model, guardrail, tokens):
    scope, tags = center
    sentry.set_limit(scope, {"output": 1_000})
    sent = document(model, content=text(output_tokens=9), parameters={"max_tokens": 100}, tags=tags)
    sent["prompt"]["guardrail"] = {"identifier": guardrail, "version": "1"}
    answer = check_succeeded(sentry.ask(sent), sent)
    assert (answer["output"]["stopReason"] == "guardrail_intervened") == (guardrail != "lenient")
    assert answer["output"]["message"]["content"]
    assert (answer["usage"]["outputTokens"], answer["usage"]["inputTokens"] == 0) == (
        tokens,
        guardrail == "blocksinput",
    )
    assert answer["cost"]["priced"] == (model == NOVA)
    assert entry_of(answer, scope)["output"] == {
        "limit": 1_000,
        "used": tokens,
        "reserved": 0,
        "remaining": 1_000 - tokens,
    }


# Service tiers


@pytest.mark.parametrize("model, priced", [(NOVA, {"default"}), ("nova-pro", {"default", "flex", "priority"})])
@pytest.mark.parametrize("tier", ["default", "flex", "priority"])
def test_tier_reaches_bedrock_and_is_priced_where_its_rates_are_known(sentry, model, tier, priced):
    sent = document(model)
    sent["prompt"]["serviceTier"] = tier
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["cost"]["priced"] == (tier in priced)
    assert arrived(sentry, sent)["serviceTier"] == {"type": tier}


def test_reserved_tier_is_bedrocks_to_refuse(sentry):
    sent = document(NOVA)
    sent["prompt"]["serviceTier"] = "reserved"
    details = check_error(sentry.ask(sent), "ModelRejectedRequest", sent)
    assert details["bedrockMessage"] == "Reservation not found."
    assert arrived(sentry, sent)["serviceTier"] == {"type": "reserved"}


@pytest.mark.parametrize("tier", ["default", "flex"])
def test_limit_in_dollars_refuses_a_tier_without_a_rate(sentry, center, tier):
    scope, tags = center
    sentry.set_limit(scope, {"usd": number("1")})
    sent = document(NOVA, tags=tags)
    sent["prompt"]["serviceTier"] = tier
    answer = sentry.ask(sent)
    if tier == "default":
        check_succeeded(answer, sent)
    else:
        assert check_error(answer, "ModelNotPriced", sent)["field"] == "limit.usd"


def test_tokens_of_a_tier_without_a_rate_cost_no_dollars_in_the_ledger(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"output": 10_000})
    sent = document(NOVA, tags=tags)
    sent["prompt"]["serviceTier"] = "priority"
    check_succeeded(sentry.ask(sent), sent)
    sentry.set_limit(scope, {"usd": number("1"), "output": 10_000})
    priced = document(NOVA, tags=tags)
    answer = check_succeeded(sentry.ask(priced), priced)
    assert entry_of(answer, scope)["usd"]["used"].rstrip("0") == answer["cost"]["usd"].rstrip("0")


# The model's own answer


def test_fields_of_the_models_own_answer_come_back_if_they_are_asked_for(sentry):
    sent = document("claude-haiku-4-5", output_tokens=5)
    sent["prompt"]["additionalModelResponseFieldPaths"] = ["/usage", "/no_such_field"]
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["output"]["additionalModelResponseFields"]["usage"]["output_tokens"] == 5
    assert answer["output"]["additionalModelResponseFields"].keys() == {"usage"}
    assert arrived(sentry, sent)["additionalModelResponseFieldPaths"] == ["/usage", "/no_such_field"]


# Budgets


def test_a_prompt_that_nothing_else_bounds_is_held_at_the_context_window(sentry, center):
    scope, tags = center
    sent = rich(NOVA, PDF, tags=tags)
    sentry.set_limit(scope, {"input": NOVA_WINDOW - 1})
    details = check_error(sentry.ask(sent), "BudgetExceeded", sent)
    assert (details["exceeded"], details["needed"]) == ("input", NOVA_WINDOW)
    sentry.set_limit(scope, {"input": NOVA_WINDOW})
    answer = check_succeeded(sentry.ask(sent), sent)
    used = answer["usage"]["inputTokens"]
    assert 1_500 <= used < 2_000
    assert entry_of(answer, scope)["input"] == {
        "limit": NOVA_WINDOW,
        "used": used,
        "reserved": 0,
        "remaining": NOVA_WINDOW - used,
    }


def test_picture_is_held_by_its_size(sentry, center):
    scope, tags = center
    sent = rich(NOVA, IMAGE, tags=tags)
    sentry.set_limit(scope, {"input": NOVA_IMAGE_TOKENS})
    needed = check_error(sentry.ask(sent), "BudgetExceeded", sent)["needed"]
    assert NOVA_IMAGE_TOKENS < needed <= 2 * NOVA_IMAGE_TOKENS
    sentry.set_limit(scope, {"input": needed})
    answer = check_succeeded(sentry.ask(sent), sent)
    assert NOVA_IMAGE_TOKENS < answer["usage"]["inputTokens"] <= needed


def test_hold_is_tight_where_bedrock_counts(sentry, center):
    scope, tags = center
    sent = rich(CLAUDE, IMAGE, tags=tags, tools=[TOOL], system="Be brief.")
    sentry.set_limit(scope, {"input": 1})
    needed = check_error(sentry.ask(sent), "BudgetExceeded", sent)["needed"]
    assert needed < 1_000
    sentry.set_limit(scope, {"input": needed})
    answer = check_succeeded(sentry.ask(sent), sent)
    # A hold is the counted tokens plus a margin of 16.
    assert answer["usage"]["inputTokens"] == needed - 16


def test_text_documents_and_tools_are_held_by_their_bytes(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"input": 1})
    long = {
        "document": {"format": "csv", "name": "table", "source": {"bytes": base64.b64encode(b"1,2\n" * 500).decode()}}
    }
    for sent in (rich(NOVA, long, tags=tags), rich(NOVA, tags=tags, tools=[TOOL])):
        details = check_error(sentry.ask(sent), "BudgetExceeded", sent)
        assert 1_000 < details["needed"] < 5_000


@pytest.mark.parametrize("block, place", [(IMAGE, "image"), (PDF, "document")])
def test_unknown_context_window_is_refused_where_it_matters(sentry, block, place):
    sent = rich(UNPRICED, block)
    answer = sentry.ask(sent)
    assert check_error(answer, "InvalidRequest", sent)["path"] == f"prompt.messages[0].content[1].{place}"
    assert "contextWindow" in answer["error"]["message"]
    sent = rich(UNPRICED, NOTES)
    check_succeeded(sentry.ask(sent), sent)


@pytest.mark.parametrize(
    "value",
    [
        10**15 - 1,
        -(10**15) + 1,
        0.1,
        1e-7,
        12345.678,
        True,
        None,
        "1" * 30,
        "größer 🦀",
        [],
        {},
        [[]],
        [[1], []],
        [{"a": [None]}],
    ],
)
def test_json_reaches_the_model_to_the_letter(sentry, value):
    """Tool inputs pass through expressions of two workflows. Expressions can change lists with one item, and numbers."""
    use = {"toolUseId": "t1", "name": "find", "input": {"value": value, "list": [value]}}
    result = {"toolUseId": "t1", "content": [{"json": {"value": value}}, {"text": text()}]}
    sent = document(
        NOVA,
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"toolUse": use}]},
            {"role": "user", "content": [{"toolResult": result}]},
        ],
    )
    sent["prompt"]["tools"] = [TOOL]
    check_succeeded(sentry.ask(sent), sent)
    assert arrived(sentry, sent)["messages"][1:] == sent["prompt"]["messages"][1:]
