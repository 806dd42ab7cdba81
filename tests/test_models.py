"""Every living model of every provider.

It answers requests with the features that it accepts by the catalogue. The cost is that of the catalogue's files to the
picodollar. Requests with features that it does not accept are refused before anything is held.
"""

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from budget_contract import entry_of
from catalogue_files import Catalogue, read
from contract import check_error, check_succeeded
from sentry_client import document, text, unique
from test_families import recorded, token

pytestmark = pytest.mark.local

CATALOGUE = Catalogue("us-east-1")
MODELS = CATALOGUE.alive()
LIVING = {CATALOGUE.name(model) for model in MODELS}
PARALLEL = 4
TAGS = {"applicationId": "e2e-models"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"image": {"format": "png", "source": {"bytes": PNG}}}
NOTES = {"document": {"format": "txt", "name": "notes", "source": {"text": "Storage"}}}
TOOL = {"toolSpec": {"name": "find", "description": "Finds a place.", "inputSchema": {"json": {"type": "object"}}}}
POINT = {"cachePoint": {"type": "default"}}
HOUR = {"cachePoint": {"type": "default", "ttl": "1h"}}
LONG = "All that stands here is read once and cached. " * 500


def said(*content, role="user"):
    """Returns a message. Its content is a string if there is one text, otherwise a list of blocks."""
    return {"role": role, "content": content[0] if len(content) == 1 and isinstance(content[0], str) else list(content)}


def to(model, *messages, tags=TAGS, **prompt):
    return {"model": model, "prompt": {"messages": list(messages) or [said(text())], **prompt}, "tags": tags}


def served(sentry, sent):
    """Returns the answer to a document. It must succeed and be priced. Cost and saving are those of the catalogue's rates."""
    answer = sentry.ask(sent)
    answer.pop("notices", None)
    check_succeeded(answer, sent)
    model_id, usage = answer["model"]["modelId"], answer["usage"]
    saved = CATALOGUE.saved(model_id, usage)
    expected = {"usd": CATALOGUE.cost(model_id, usage)} | ({} if saved is None else {"savedUsd": saved})
    told = {name: Decimal(value) for name, value in answer["cost"].items() if name != "priced"}
    assert answer["cost"]["priced"] and told == expected, f"{answer['cost']} is not {expected}"
    return answer


def of_each(models, attempt):
    """Calls `attempt` with every model, several at a time. Fails with the list of all problems."""

    def wrong(model):
        try:
            attempt(model)
        except AssertionError as problem:
            return f"{model}: {problem}"

    assert len(models) > 0
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = [each for each in pool.map(wrong, models) if each]
    assert not found, f"{len(found)} of {len(models)} models:\n" + "\n".join(found)


def loop(sentry, model, turns, directives=None, **prompt):
    """Runs a conversation in which the model uses the tool in every turn except the last. Returns the messages."""
    messages = [said({"text": text("Where is it?", tool="find", **directives or {})})]
    for turn in range(turns - 1):
        answer = served(sentry, to(model, *messages, tools=[TOOL], **prompt))["output"]
        assert answer["stopReason"] == "tool_use"
        (use,) = [block["toolUse"] for block in answer["message"]["content"] if "toolUse" in block]
        again = {"tool": "find"} if turn < turns - 2 else {}
        found = text("It is there.", **again, **directives or {})
        messages += [
            answer["message"],
            said({"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": found}]}}),
        ]
    answer = served(sentry, to(model, *messages, tools=[TOOL], **prompt))["output"]
    assert answer["stopReason"] == "end_turn"
    return [*messages, answer["message"]]


def names(**wanted):
    """Returns the names of models that accept all features in `wanted`. The values apply if the catalogue has none."""

    def takes(model, name, default):
        return bool(CATALOGUE.takes(model).get(name, default))

    return [
        CATALOGUE.name(model)
        for model in MODELS
        if all(takes(model, name, default) for name, default in wanted.items())
    ]


def taken(name):
    """Returns the properties of the model that has this name."""
    return CATALOGUE.takes(next(model for model in MODELS if CATALOGUE.name(model) == name))


def test_models_are_of_every_provider():
    """Every provider has a model until all of its models have ended, and every form of a request has many.

    In November 2026, 67 models have no announced end: 64 of them take tools, 46 images, 44 think and take tools, and 21 cache.
    The floors are a little lower. So a test fails if the catalogue loses models or capabilities, and not when announced ends
    come.
    """
    assert {model for models in CATALOGUE.providers.values() for model in models} >= set(MODELS)
    over = {
        model
        for model in CATALOGUE.models
        if CATALOGUE.has_ended(model) or CATALOGUE.simulated.get(model, {}).get("ends", "9999") <= CATALOGUE.today
    }
    assert all(set(models) & set(MODELS) or set(models) <= over for models in CATALOGUE.providers.values())
    sent = {
        "plain": MODELS,
        "tool loop": names(tools=True),
        "picture": names(images=True),
        "thinking": names(reasoning=False, tools=True),
        "caching": names(cache=False),
    }
    floors = {"plain": 60, "tool loop": 60, "picture": 40, "thinking": 40, "caching": 20}
    few = {form: len(sent[form]) for form, least in floors.items() if len(sent[form]) < least}
    assert not few, f"{few} of {floors}"


def test_plain_request(sentry):
    def attempt(model):
        name = CATALOGUE.name(model)
        parameters = {"max_tokens": 2000} | (
            {} if CATALOGUE.takes(model).get("sampling") == "none" else {"temperature": 0.7}
        )
        answer = served(
            sentry,
            to(name, said(text("Explain the benefits of using S3 using only 100 words.")), parameters=parameters),
        )
        assert answer["model"] == {
            "requested": name,
            "modelId": CATALOGUE.model_id(model),
            "modelMetric": CATALOGUE.model_id(model),
        }
        assert answer["output"]["message"]["content"]

    of_each(MODELS, attempt)


def test_tool_loop_of_three_turns(sentry):
    def attempt(name):
        assert len(loop(sentry, name, 3)) == 6

    of_each(names(tools=True), attempt)


def test_picture(sentry):
    of_each(names(images=True), lambda name: served(sentry, to(name, said({"text": text()}, IMAGE))))


def test_parts_that_a_model_takes(sentry):
    """Sends a system prompt, turns, a document and all parameters at once.

    The rules of the simulator have another source than the catalogue, so this test finds differences between the two.
    """

    def attempt(model):
        takes = CATALOGUE.takes(model)
        sampling = {"none": {}, "one-of-temperature-top-p": {"top_p": 0.9}}.get(
            takes.get("sampling"), {"temperature": 0.7, "top_p": 0.9}
        )
        parameters: dict[str, Any] = {"max_tokens": 500, **sampling}
        if takes.get("topK"):
            parameters["top_k"] = 5
        if takes.get("stopSequences", True):
            parameters["stop_sequences"] = ["END"]
        turns = [said("Hi"), said("Hello.", role="assistant")] if takes.get("turns", True) else []
        last = said({"text": text()}, *([NOTES] if takes.get("documents", True) else []))
        system = {"system": "Be brief."} if takes.get("system", True) else {}
        served(sentry, to(CATALOGUE.name(model), *turns, last, parameters=parameters, **system))

    of_each(MODELS, attempt)


def reasoning(name):
    """Returns the field that makes a model think. Empty if the model cannot be told how much to think."""
    style = taken(name)["reasoning"].get("style")
    if style is None:
        return {}
    return {"reasoning": {"budgetTokens": 1024} if style == "claude-budget" else {"effort": "low"}}


def thoughts(message):
    return [block for block in message["content"] if "reasoningContent" in block]


def test_thinking_goes_on_after_a_tool(sentry):
    """The simulator thinks because the request says so. It needs a directive only for a model that no request can ask.

    The number of tokens shows that the simulator understood the request: 8 for a low effort, at most 64 for a budget. A
    model that thinks by default would use another number.
    """

    def attempt(name):
        asked = reasoning(name)
        directives = {"wanted_tokens": 5} | ({} if asked else {"reasoning": 5})
        messages = loop(sentry, name, 2, directives=directives, **asked)
        assert thoughts(messages[1]) and thoughts(messages[3])
        again = served(sentry, to(name, *messages[:3], tools=[TOOL], **asked))
        spent = {"budgetTokens": 64, "effort": 8}[next(iter(asked["reasoning"]))] if asked else 5
        assert again["usage"]["outputTokens"] == 5 + spent

    of_each(names(reasoning=False, tools=True), attempt)


def test_caching(sentry):
    def attempt(name):
        messages = [said({"text": f"{unique('read-once')} {LONG}"}, POINT, {"text": text()})]
        first = served(sentry, to(name, *messages))
        written = first["usage"]
        assert (
            written["cacheWriteInputTokens"] >= taken(name)["cache"]["minTokens"]
            and written["cacheReadInputTokens"] == 0
        )
        second = served(sentry, to(name, *messages))
        read = second["usage"]
        assert (read["cacheReadInputTokens"], read["cacheWriteInputTokens"]) == (written["cacheWriteInputTokens"], 0)
        # `served` compares both savings with the price row. A write saves nothing, and a read does.
        assert Decimal(first["cost"]["savedUsd"]) <= 0 < Decimal(second["cost"]["savedUsd"])

    of_each(names(cache=False), attempt)


# Costs

# A model that has ended is replaced by its successor.
TODAYS = [
    CATALOGUE.heir(name)
    for name in (
        "claude-sonnet-5",
        "claude-opus-5-5",
        "claude-haiku-4-5",
        "claude-haiku-5-5",
        "nova-2-lite",
        "gpt-oss-120b",
        "llama-4-maverick",
        "kimi-k3",
        "grok-4-7",
        "deepseek-v3-2",
    )
]


def test_a_budget_in_dollars_is_for_todays_models(sentry):
    center = unique("e2e-models")
    scope, tags = f"costCenter#{center}", {**TAGS, "costCenter": center}
    sentry.set_limit(scope, {"usd": 250})
    spent = Decimal(0)
    assert set(TODAYS) <= LIVING
    for name in TODAYS:
        answer = served(sentry, to(name, tags=tags))
        spent += Decimal(answer["cost"]["usd"])
        usd = {key: Decimal(value) for key, value in entry_of(answer, scope)["usd"].items()}
        assert usd == {"limit": 250, "used": spent, "reserved": 0, "remaining": 250 - spent}, name
    assert spent > 0


def cost_of(sentry, sent):
    return Decimal(served(sentry, sent)["cost"]["usd"])


@pytest.mark.parametrize(
    "model, read, dollars",
    [
        ("gpt-6-sol", 272_000, "0.5995"),  # 272,000 x 2.20 + 100 x 11.00
        ("gpt-6-sol", 300_000, "1.32165"),  # 300,000 x 4.40 + 100 x 16.50
        ("claude-haiku-5-5", 100_000, "0.011055"),  # 100,000 x 0.11 + 100 x 0.55
        ("claude-haiku-5-5", 300_000, "0.165275"),  # 300,000 x 0.55 + 100 x 2.75
    ],
)
def test_long_prompts_cost_their_own_rates(sentry, model, read, dollars):
    assert cost_of(sentry, document(model, tags=TAGS, input_tokens=read, output_tokens=100)) == Decimal(dollars)


def test_each_lifetime_of_a_cache_costs_its_own_rate(sentry):
    told = text(input_tokens=100, cache_write=2000, cache_write_1h=3000, output_tokens=50)
    sent = to("claude-haiku-4-5", said({"text": "Remember this."}, HOUR, {"text": told}, POINT))
    # 100 x 1.10 + 2,000 x 1.375 + 3,000 x 2.20 + 50 x 5.50
    answer = served(sentry, sent)
    assert Decimal(answer["cost"]["usd"]) == Decimal("0.009735")
    # 2,000 x (1.10 - 1.375) + 3,000 x (1.10 - 2.20)
    assert Decimal(answer["cost"]["savedUsd"]) == Decimal("-0.00385")
    assert sorted((each["ttl"], each["inputTokens"]) for each in answer["usage"]["cacheDetails"]) == [
        ("1h", 3000),
        ("5m", 2000),
    ]


@pytest.mark.parametrize(
    "tier, dollars",
    [
        ("flex", "0.000495"),  # 1,000 x 0.31 + 200 x 0.925
        ("priority", "0.0017325"),  # 1,000 x 1.085 + 200 x 3.2375
    ],
)
def test_tier_costs_its_own_rate(sentry, tier, dollars):
    sent = to("deepseek-v3-2", said(text(input_tokens=1000, output_tokens=200)), serviceTier=tier)
    assert cost_of(sentry, sent) == Decimal(dollars)


@pytest.mark.parametrize(
    "model, tier, usd, saved",
    [
        # 100 x 3.30 + 1,000 x 0.33 + 200 x 4.125 + 10 x 16.50, and 1,000 x 2.97 - 200 x 0.825
        ("kimi-k3", "default", "0.00165", "0.002805"),
        # 100 x 1.65 + 1,000 x 0.165 + 200 x 2.0625 + 10 x 8.25, and 1,000 x 1.485 - 200 x 0.4125
        ("kimi-k3", "flex", "0.000825", "0.0014025"),
        # 100 x 0.06 + 1,000 x 0.015 + 200 x 0.06 + 10 x 0.24, and 1,000 x 0.045
        ("nova-lite", "default", "0.0000354", "0.000045"),
    ],
)
def test_saving_is_the_difference_to_the_input_rate_of_the_tier(sentry, model, tier, usd, saved):
    told = text(input_tokens=100, cache_read=1000, cache_write=200, output_tokens=10)
    cost = served(sentry, to(model, said(told), serviceTier=tier))["cost"]
    assert (Decimal(cost["usd"]), Decimal(cost["savedUsd"])) == (Decimal(usd), Decimal(saved))


def test_saving_of_a_long_prompt(sentry):
    told = text(input_tokens=100_000, cache_read=200_000, output_tokens=100)
    cost = served(sentry, to("claude-haiku-5-5", said(told)))["cost"]
    # 100,000 x 0.55 + 200,000 x 0.055 + 100 x 2.75, and 200,000 x 0.495
    assert (Decimal(cost["usd"]), Decimal(cost["savedUsd"])) == (Decimal("0.066275"), Decimal("0.099"))


# Reasoning


def thinking_loop(sentry, model, **prompt):
    """Runs a loop of two turns. Returns its messages without the last answer, so that a test can send the second turn again."""
    messages = loop(sentry, model, 2, **prompt)
    assert len(thoughts(messages[1])) == 1
    return messages[:3]


@pytest.mark.parametrize(
    "model, prompt",
    [
        ("claude-haiku-4-5", {"reasoning": {"budgetTokens": 1024}}),
        ("claude-sonnet-5", {"reasoning": {"effort": "high"}}),
    ],
)
@pytest.mark.parametrize(
    "signature, reason", [("changed", "Invalid `signature`"), ("absent", "thinking.signature: Field required")]
)
def test_signature_arrives_as_it_is_and_the_model_needs_its_own(sentry, model, prompt, signature, reason):
    messages = thinking_loop(sentry, model, **prompt)
    forged = copy.deepcopy(messages)
    told = thoughts(forged[1])[0]["reasoningContent"]["reasoningText"]
    own = told.pop("signature")
    if signature == "changed":
        told["signature"] = own[:-8] + "AAAAAAA="
    sent = to(model, *forged, tools=[TOOL], **prompt)
    details = check_error(sentry.ask(sent), "ModelRejectedRequest", sent)
    assert reason in details["bedrockMessage"]
    # The model accepts its own reasoning if it is unchanged.
    served(sentry, to(model, *messages, tools=[TOOL], **prompt))
    bodies = recorded(sentry.bedrock_endpoint)
    if bodies is None:
        pytest.skip("the Bedrock simulator was not started with --record")
    # The second turn of the loop, the forged one, and the unchanged one.
    arrived = [thoughts(body["messages"][1]) for body in bodies[token(json.dumps(sent))[0]]]
    assert arrived == [thoughts(messages[1]), thoughts(forged[1]), thoughts(messages[1])] and own


@pytest.mark.parametrize(
    "model, prompt, refused",
    [
        ("claude-haiku-4-5", {"reasoning": {"budgetTokens": 1024}}, True),
        ("claude-sonnet-5", {"reasoning": {"effort": "high"}}, False),
    ],
)
def test_loop_without_its_thoughts(sentry, model, prompt, refused):
    """A model that thinks by budget must get its reasoning back. A model that thinks adaptively continues without it."""
    messages = thinking_loop(sentry, model, **prompt)
    messages[1]["content"] = [block for block in messages[1]["content"] if "reasoningContent" not in block]
    sent = to(model, *messages, tools=[TOOL], **prompt)
    if refused:
        assert "thinking" in check_error(sentry.ask(sent), "ModelRejectedRequest", sent)["bedrockMessage"]
    else:
        served(sentry, sent)


# Rules, each broken once

HI, BEGUN = said("Hi"), said("I", role="assistant")
USE = {"toolUse": {"toolUseId": "t1", "name": "find", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "There."}]}}
PICTURE_OF_A_TOOL = {"toolResult": {"toolUseId": "t1", "content": [IMAGE]}}
PDF = {"document": {"format": "pdf", "name": "report", "source": {"bytes": "JVBERi0xLjQ="}}}
FORCED = {"tools": [TOOL], "toolChoice": {"any": {}}}
THINKING = {"reasoning": {"budgetTokens": 1024}, "parameters": {"max_tokens": 4000}}
SCHEMA = {"outputFormat": {"jsonSchema": {"name": "place", "schema": {"type": "object"}}}}
FIRST = "prompt.messages[0]"
FIELDS = "prompt.additionalModelRequestFields"


def named(name):
    """Returns a document with this name."""
    return {"document": {**NOTES["document"], "name": name}}


# rule: document, details.path, details.parameter (None if the details have no parameter)
BROKEN = {
    "temperature with top_p": (
        to("claude-haiku-4-5", parameters={"temperature": 0.5, "top_p": 0.9}),
        "prompt.parameters.top_p",
        "top_p",
    ),
    "sampling": (
        to("claude-opus-4-7", parameters={"temperature": 0.5}),
        "prompt.parameters.temperature",
        "temperature",
    ),
    "top_k": (to("gpt-oss-120b", parameters={"top_k": 5}), "prompt.parameters.top_k", "top_k"),
    "top_k while thinking": (
        to("claude-haiku-4-5", **THINKING | {"parameters": {"max_tokens": 4000, "top_k": 5}}),
        "prompt.parameters.top_k",
        "top_k",
    ),
    "output limit": (to("command-text", parameters={"max_tokens": 1_000_000}), "prompt.parameters.max_tokens", None),
    "system text": (to("command-text", system="Be brief."), "prompt.system", "system"),
    "system message": (to("mistral-small", said("Be brief.", role="system"), HI), FIRST, "system"),
    "second turn": (to("command-text", HI, BEGUN, HI), "prompt.messages[1]", "messages"),
    "temperature while thinking": (
        to("claude-haiku-4-5", **THINKING | {"parameters": {"max_tokens": 4000, "temperature": 0.5}}),
        "prompt.parameters.temperature",
        "temperature",
    ),
    "prefill": (to("claude-sonnet-4-6", HI, BEGUN), "prompt.messages[1]", "messages"),
    "prefill that ends with white space": (
        to("claude-haiku-4-5", HI, said("I ", role="assistant")),
        "prompt.messages[1].content",
        "messages",
    ),
    "prefill while thinking": (to("claude-haiku-4-5", HI, BEGUN, **THINKING), "prompt.messages[1]", "messages"),
    "forced tool while thinking": (to("claude-haiku-4-5", **THINKING, **FORCED), "prompt.toolChoice", "toolChoice"),
    "forced tool of a model that always thinks": (to("claude-opus-5-5", **FORCED), "prompt.toolChoice", "toolChoice"),
    "forced tool": (to("llama-3-3-70b", **FORCED), "prompt.toolChoice", "toolChoice"),
    "tools": (to("command-text", tools=[TOOL]), "prompt.tools", "tools"),
    "picture": (to("gpt-oss-120b", said({"text": "Hi"}, IMAGE)), f"{FIRST}.content[1]", "image"),
    "picture in a tool's result": (
        to("gpt-oss-120b", HI, said(USE, role="assistant"), said(PICTURE_OF_A_TOOL), tools=[TOOL]),
        "prompt.messages[2].content[0]",
        "image",
    ),
    "twenty-first picture": (
        to("nova-lite", said({"text": "Hi"}, *[IMAGE] * 21)),
        f"{FIRST}.content[21]",
        None,
    ),
    "document": (to("nova-micro", said({"text": "Hi"}, NOTES)), f"{FIRST}.content[1]", "document"),
    "PDF": (to("nova-micro", said({"text": "Hi"}, PDF)), f"{FIRST}.content[1]", "document"),
    "sixth document": (
        to("nova-lite", said({"text": "Hi"}, *(named(f"notes {number}") for number in range(6)))),
        f"{FIRST}.content[6]",
        None,
    ),
    "document without a text": (to("nova-lite", said(NOTES)), f"{FIRST}.content[0]", None),
    "thinking": (to("nova-lite", reasoning={"effort": "low"}), "prompt.reasoning", "reasoning"),
    "effort": (to("claude-sonnet-5", reasoning={"effort": "max"}), "prompt.reasoning.effort", "reasoning"),
    "budget": (to("claude-opus-4-7", reasoning={"budgetTokens": 2000}), "prompt.reasoning.budgetTokens", "reasoning"),
    "budget as large as the answer": (
        to("claude-haiku-4-5", reasoning={"budgetTokens": 4000}, parameters={"max_tokens": 4000}),
        "prompt.reasoning.budgetTokens",
        "reasoning",
    ),
    "effort without room to answer": (
        to("claude-haiku-4-5", reasoning={"effort": "low"}, parameters={"max_tokens": 1000}),
        "prompt.reasoning",
        "reasoning",
    ),
    "effort that excludes max_tokens": (
        to("nova-2-lite", reasoning={"effort": "high"}),
        "prompt.reasoning.effort",
        "reasoning",
    ),
    "amount of thinking": (to("deepseek-r1", reasoning={"effort": "low"}), "prompt.reasoning", "reasoning"),
    "thinking off": (to("claude-opus-5-5", reasoning={"off": True}), "prompt.reasoning.off", "reasoning"),
    "cache point": (to("gpt-oss-120b", said({"text": "Hi"}, POINT)), f"{FIRST}.content[1].cachePoint", "cachePoint"),
    "cache point of a model that caches by itself": (
        to("kimi-k3", said({"text": "Hi"}, POINT)),
        f"{FIRST}.content[1].cachePoint",
        "cachePoint",
    ),
    "cache point of an hour": (
        to("nova-lite", said({"text": "Hi"}, HOUR)),
        f"{FIRST}.content[1].cachePoint.ttl",
        "cachePoint",
    ),
    "cache point among tools": (to("nova-lite", tools=[TOOL, POINT]), "prompt.tools[1].cachePoint", "cachePoint"),
    "an hour after five minutes": (
        to("claude-haiku-4-5", said({"text": "Hi"}, POINT, {"text": "there"}, HOUR)),
        f"{FIRST}.content[3].cachePoint.ttl",
        None,
    ),
    "fifth cache point": (
        to("claude-haiku-4-5", said(*[{"text": "Hi"}, POINT] * 5)),
        f"{FIRST}.content[9].cachePoint",
        None,
    ),
    "structured output": (to("nova-lite", **SCHEMA), "prompt.outputFormat", "outputFormat"),
    "unknown field of its own": (
        to("claude-haiku-4-5", additionalModelRequestFields={"anthropic_beta": ["x"]}),
        f"{FIELDS}.anthropic_beta",
        "additionalModelRequestFields",
    ),
    "thinking said twice": (
        to(
            "claude-haiku-4-5",
            additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 1024}},
            **THINKING,
        ),
        FIELDS,
        "additionalModelRequestFields",
    ),
    "max_tokens among its own fields": (
        to("claude-haiku-4-5", additionalModelRequestFields={"max_tokens": 9}),
        f"{FIELDS}.max_tokens",
        "additionalModelRequestFields",
    ),
    "max_tokens inside a field of its own": (
        to(
            "claude-haiku-4-5",
            additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 1024, "max_tokens": 9}},
        ),
        FIELDS,
        "additionalModelRequestFields",
    ),
    "tool history without tools": (
        to("nova-lite", HI, said(USE, role="assistant"), said(RESULT)),
        "prompt.messages[1].content[0]",
        "tools",
    ),
    "toolUse without its result": (
        to("nova-lite", HI, said(USE, role="assistant"), HI, tools=[TOOL]),
        "prompt.messages[1].content[0].toolUse",
        None,
    ),
    "result without its toolUse": (
        to("nova-lite", said(RESULT), tools=[TOOL]),
        f"{FIRST}.content[0].toolResult.toolUseId",
        None,
    ),
    "toolUseId twice": (
        to("nova-lite", HI, said(USE, USE, role="assistant"), said(RESULT), tools=[TOOL]),
        "prompt.messages[1].content[1].toolUse.toolUseId",
        None,
    ),
    "second result of a toolUse": (
        to("nova-lite", HI, said(USE, role="assistant"), said(RESULT, RESULT), tools=[TOOL]),
        "prompt.messages[2].content[1].toolResult.toolUseId",
        None,
    ),
    "name of a tool twice": (to("nova-lite", tools=[TOOL, TOOL]), "prompt.tools[1].toolSpec.name", None),
    "blank text": (to("nova-lite", said(" \n ")), f"{FIRST}.content", None),
    "blank text in a block": (to("nova-lite", said({"text": " "}, {"text": "Hi"})), f"{FIRST}.content[0].text", None),
    "white-space stop sequence": (
        to("nova-lite", parameters={"stop_sequences": ["x", " \n"]}),
        "prompt.parameters.stop_sequences[1]",
        None,
    ),
    "stop sequence": (
        to("gpt-oss-120b", parameters={"stop_sequences": ["x"]}),
        "prompt.parameters.stop_sequences",
        "stop_sequences",
    ),
    "name of a document": (
        to("nova-lite", said({"text": "Hi"}, named("notes.v2"))),
        f"{FIRST}.content[1].document.name",
        None,
    ),
    "schema that is no object": (
        to("nova-lite", tools=[{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "string"}}}}]),
        "prompt.tools[0].toolSpec.inputSchema.json.type",
        None,
    ),
    "first turn of the assistant": (to("nova-lite", BEGUN, HI), f"{FIRST}.role", None),
}


def rows(sentry, table):
    """Returns the number of items in a table."""
    pages = (
        sentry.client("dynamodb").get_paginator("scan").paginate(TableName=table, Select="COUNT", ConsistentRead=True)
    )
    return sum(page["Count"] for page in pages)


@pytest.fixture
def center(sentry):
    """Returns the scope and the tags of a cost center that no other test uses. Its first hold makes an item in the ledger."""
    value = unique("e2e-models")
    sentry.set_limit(f"costCenter#{value}", {"output": 1_000_000})
    return f"costCenter#{value}", {**TAGS, "costCenter": value}


def traces(sentry, scope):
    """Returns the numbers that a request with a hold increases: items of its scope, items of both tables, and model calls."""
    requests = sentry.resources("AWS::DynamoDB::Table")["RequestsTable"]
    return {
        "items of the scope": len(sentry.ledger_items(scope)),
        "ledger": rows(sentry, sentry.ledger.name),
        "requests": rows(sentry, requests),
        "calls": sentry.calls(),
    }


def test_broken_rules_are_refused_before_anything_is_held(sentry, center, say):
    scope, tags = center
    before = traces(sentry, scope)
    assert before["items of the scope"] == 0

    def attempt(what):
        sent, path, parameter = BROKEN[what]
        sent = {**sent, "tags": tags}
        details = check_error(sentry.ask(sent), "InvalidRequest", sent)
        assert (details["path"], details.get("parameter")) == (path, parameter), details

    over = [what for what, (sent, *_) in BROKEN.items() if CATALOGUE.has_ended(sent["model"])]
    of_each([what for what in BROKEN if what not in over], attempt)
    assert traces(sentry, scope) == before
    say(f"{len(BROKEN) - len(over)} rules are broken. Rules whose model has ended: {', '.join(over) or 'none'}.")
    # The control: a request that keeps the rules increases every number.
    served(sentry, to("nova-lite", tags=tags))
    after = traces(sentry, scope)
    assert {name for name in before if after[name] > before[name]} == before.keys(), (before, after)


def test_model_of_profiles_alone_is_refused_on_demand_with_its_profiles(sentry, center):
    scope, tags = center
    before, sent = traces(sentry, scope), to(CATALOGUE.named("claude-haiku-4-5"), tags=tags)
    details = check_error(sentry.ask(sent), "UnknownModel", sent)
    assert details["path"] == "model" and CATALOGUE.callable("claude-haiku-4-5") in details["profiles"]
    assert traces(sentry, scope) == before


# Ends of life


def notice(answer):
    (only,) = answer.pop("notices")
    return only


def test_model_that_ends_soon_is_served_with_a_notice(sentry):
    """The sentry's clock cannot be set, so the days are relative to today. Its unit tests set the day."""
    ends = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    model = sentry.add_model(ends=ends, successor="nova-lite")
    sent = document(model, tags=TAGS)
    answer = sentry.ask(sent)
    told = notice(answer)
    check_succeeded(answer, sent)
    assert told["code"] == "ModelRetiring" and ends in told["message"] and "nova-lite" in told["message"]


def test_model_that_ended_is_refused_with_its_replacement(sentry):
    calls = sentry.calls()
    ended = datetime.now(UTC).date().isoformat()
    for model, successor in (
        (sentry.add_model(ends=ended, successor="nova-lite"), "nova-lite"),
        ("llama-3-1-405b", CATALOGUE.heir("llama-3-1-405b")),
    ):
        sent = document(model, tags=TAGS)
        answer = sentry.ask(sent)
        check_error(answer, "UnknownModel", sent)
        assert successor in answer["error"]["message"]
    assert sentry.calls() == calls


COMMON = read("sentry-models", "catalogue", "common.json")


@pytest.mark.parametrize("alias", COMMON["lasting"])
def test_lasting_alias_leads_on_if_its_model_has_ended(sentry, alias):
    model = COMMON["aliases"].get(alias, alias)
    by = CATALOGUE.heir(model)
    sent = document(alias, tags=TAGS)
    answer = sentry.ask(sent)
    told = [each for each in answer.pop("notices", ()) if each["code"] == "ModelReplaced"]
    check_succeeded(answer, sent)
    assert len(told) == (by != model)
    assert all(alias in each["message"] and by in each["message"] for each in told)
    assert answer["model"] == {
        "requested": alias,
        "modelId": CATALOGUE.callable(by),
        "modelMetric": CATALOGUE.callable(by),
    }
