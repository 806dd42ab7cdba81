"""Models called by Step Functions itself. The answers are the same, byte for byte, as from the function that waits for models.

The tests send the same documents to this stack and to a second stack with `ModelInvocation=lambda`. The words of the simulator
depend only on the prompt.
"""

import json
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from queue_client import RequestQueue, asked
from sentry_client import PLENTY, SOMEBODY, Sentry, document, text, unique
from test_families import recorded, token
from test_rich_prompts import IMAGE, NOTES, TOOL

NAMES = Path(__file__).resolve().parent.parent / "crates/sentry-models/src/adapters/integration/names.rs"
MODELS = {
    "anthropic": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "nova": "us.amazon.nova-micro-v1:0",
    "llama": "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral": "mistral.mistral-large-3-675b-instruct",
    "gpt-oss": "openai.gpt-oss-120b-1:0",
    "qwen": "qwen.qwen3-32b-v1:0",
}
SPECIAL = 'Quotes " and \\ and\nnew lines, {"json": [1]}, größer 🦀 \u0001.'
PROMPTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "special characters": {"words": SPECIAL},
    "max_tokens": {"parameters": {"max_tokens": 5}},
    "parameters": {"parameters": {"max_tokens": 50, "temperature": 0.7, "top_p": 0.9}},
    "stop_sequences": {"parameters": {"stop_sequences": ["river"]}},
    "top_k": {"parameters": {"top_k": 37}},
    "system": {"before": [{"role": "system", "content": "Be brief."}]},
    "multi-turn": {"before": [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}]},
    "cached tokens": {"cache_read": 40, "cache_write": 7, "input_tokens": 21, "output_tokens": 9},
    "reasoning": {"reasoning": 4, "output_tokens": 9},
    "empty": {"fault": "empty"},
    "stop reason": {"stop_reason": "strange", "input_tokens": 21, "output_tokens": 9},
    "filtered": {"stop_reason": "content_filtered"},
    "large": {"output_bytes": 200_000, "output_tokens": 50_000},
    "escapes to too much": {"output_bytes": 250_000, "output_tokens": 50_000},
}
# Content blocks, and fields besides the messages. A model that does not accept them must cause the same error on both stacks.
USE = {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"someKey": [{"InnerKey": 0.5}], "none": None}}}
RESULT = {
    "toolResult": {
        "toolUseId": "t1",
        "status": "success",
        "content": [{"json": {"At": [1, 0.5, None]}}, {"text": SPECIAL}],
    }
}
RICH: dict[str, dict[str, Any]] = {
    "list of texts": {"blocks": [{"text": SPECIAL}]},
    "tool": {"tool": "find", "beside": {"tools": [TOOL]}},
    "tool choice": {"beside": {"tools": [TOOL], "toolChoice": {"tool": {"name": "find"}}}},
    "tool choice any": {"beside": {"tools": [TOOL], "toolChoice": {"any": {}}}},
    "tool result": {
        "before": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": [{"text": "Wait."}, USE]}],
        "blocks": [RESULT],
        "beside": {"tools": [TOOL]},
    },
    "guardrail": {"beside": {"guardrail": {"identifier": "lenient", "version": "1"}}},
    "guardrail blocks the prompt": {"beside": {"guardrail": {"identifier": "blocksinput", "version": "1"}}},
    "guardrail blocks the answer": {"beside": {"guardrail": {"identifier": "blocksoutput", "version": "DRAFT"}}},
    "service tier": {"beside": {"serviceTier": "flex"}},
    "system blocks": {"beside": {"system": [{"text": "Be"}, {"text": "brief."}]}},
    "text document": {"blocks": [NOTES]},
    "image": {"blocks": [IMAGE]},
}
FAULTS: dict[str, dict[str, Any]] = {
    fault: {"fault": fault}
    for fault in (
        "throttling",
        "quota",
        "not-ready",
        "unavailable",
        "internal",
        "close",
        "hang",
        "model-timeout",
        "model-error",
        "access-denied",
        "validation",
        "not-found",
        "malformed",
        "missing-usage",
    )
}
# Errors do not depend on the family, so one family is enough.
CELLS = [*((family, name) for family in MODELS for name in PROMPTS | RICH), *(("nova", name) for name in FAULTS)]

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def native(sentry):
    if not sentry.native:
        pytest.skip("the stack has not ModelInvocation=native")
    return sentry


@pytest.fixture(scope="module")
def waiting(request, native):
    """The stack in which a function waits for the model."""
    option = request.config.getoption
    if not option("--lambda-stack-name"):
        pytest.skip("no --lambda-stack-name")
    stack = Sentry(native.endpoint, option("--lambda-stack-name"), native.bedrock_endpoint, native.region)
    assert not stack.native
    with stack.default_item({"limit": {"input": PLENTY, "output": PLENTY}}):
        yield stack


def entry(family, name):
    """Returns the input of the model router for a case."""
    made = dict((PROMPTS | RICH | FAULTS)[name])
    before, parameters = made.pop("before", []), made.pop("parameters", {})
    blocks, beside = made.pop("blocks", None), made.pop("beside", {})
    content = text(**made)
    message = {"role": "user", "content": content if blocks is None else [{"text": content}, *blocks]}
    return {
        "model": {"modelId": MODELS[family], "family": family},
        "prompt": {"messages": [*before, message], "parameters": {"max_tokens": 100, **parameters}, **beside},
        "tags": {"applicationId": "e2e-native", "note": "what (?)"},
    }


def ended(stack, sent):
    """Returns the result of the model router as text, without the id of Bedrock's answer. The id is different each time."""
    done = stack.states.start_sync_execution(
        stateMachineArn=stack.outputs["ModelRouterArn"], input=json.dumps(sent, ensure_ascii=False)
    )
    cause = re.sub(r',?"bedrockRequestId": ?"[^"]+"', "", done.get("cause") or "")
    return done["status"], done["output"] if done["status"] == "SUCCEEDED" else None, done.get("error"), cause


@pytest.fixture(scope="module")
def both(native, waiting):
    sent = {cell: entry(*cell) for cell in CELLS}

    def run(stack):
        with ThreadPoolExecutor(6) as pool:
            return dict(zip(sent, pool.map(lambda each: ended(stack, each), sent.values()), strict=True))

    return {"sent": sent, "native": run(native), "lambda": run(waiting)}


@pytest.mark.parametrize("family, name", CELLS)
def test_answer_is_the_same_byte_for_byte(both, family, name):
    assert both["native"][family, name] == both["lambda"][family, name]


def test_both_ways_answered_and_failed(both):
    """The compared results contain enough successes and failures."""
    ends = [status for status, *_ in both["native"].values()]
    assert ends.count("SUCCEEDED") > 120 and ends.count("FAILED") > 20
    for name in RICH:
        assert both["native"]["mistral", name][0] == "SUCCEEDED", name


@pytest.fixture(scope="module")
def arrived(both, native):
    """Returns the bodies that reached Bedrock, by the token of the prompt."""
    found = recorded(native.bedrock_endpoint)
    if found is None:
        pytest.skip("the Bedrock simulator was not started with --record")
    return found


@pytest.mark.parametrize("family, name", [cell for cell in CELLS if cell[1] not in FAULTS])
def test_request_is_the_same(both, arrived, family, name):
    (key,) = token(json.dumps(both["sent"][family, name]))
    bodies = arrived.get(key, [])
    assert len(bodies) == 2
    assert bodies[:1] == bodies[1:]


@pytest.mark.parametrize("directives", [{}, {"fault": "validation"}, {"output_tokens": 30, "cache_read": 5}])
def test_document_of_the_rate_limiter_is_the_same(native, waiting, directives):
    sent = document(
        "nova-lite", tags={"applicationId": "e2e-native", "requestId": f"e2e-{secrets.token_hex(8)}"}, **directives
    )
    answers = [stack.ask(sent) for stack in (native, waiting)]
    for answer in answers:
        del answer["tags"]["timestamp"], answer["budget"]
        answer.get("error", {}).get("details", {}).pop("bedrockRequestId", None)
    assert json.dumps(answers[0]) == json.dumps(answers[1])


def test_no_function_waits_for_the_model(native):
    with native.crashing("InvokeModelFunction"):
        check_succeeded(native.ask(sent := document("nova-lite")), sent)
        check_error(native.ask(sent := document("nova-lite", fault="validation")), "ModelRejectedRequest", sent)


def test_model_that_hangs_is_given_up_after_its_time(native):
    seconds, begun = int(native.parameters["ModelTimeoutSeconds"]), time.monotonic()
    answer = native.execute(entry("nova", "hang"), machine="ModelRouterArn")
    assert answer["error"] == "ModelTimeout"
    assert seconds <= time.monotonic() - begun < seconds + 2
    assert "nothingSpent" not in json.loads(answer["cause"])


def test_repetition_is_stopped_where_the_sdk_has_repeated_by_itself(native):
    """`attempts` is the number of attempts by the integration's SDK. An attempt before the last may have been paid for."""

    def outcome(attempts, **directives):
        model, bare = native.profile_arn()
        sent = document(model, content=text(f"Hi. [[sdk attempts={attempts}]]", fault="throttling", **directives))
        sent |= {"model": {"modelId": model, "family": "nova"}}
        done = native.execute(sent, machine="ModelRouterArn")
        cause = json.loads(done["cause"] or "{}")
        return done["error"], cause.get("nothingSpent"), native.calls(bare)

    assert outcome(1) == ("ModelThrottled", True, 3)
    assert outcome(2) == ("ModelThrottled", None, 2)
    assert outcome(3) == ("ModelThrottled", None, 3)
    # If a retry by the SDK succeeds, the answer is like any other.
    assert outcome(2, times=1) == (None, None, 2)
    # The same is true if a retry by the router succeeds.
    assert outcome(1, times=2) == (None, None, 3)


def test_hold_stays_where_the_sdk_has_repeated_by_itself(native):
    for attempts, reserved in ((1, 0), (2, 100)):
        scope = unique("e2e-native")
        native.set_limit(f"costCenter#{scope}", {"output": 1_000})
        tags = {"applicationId": "e2e-native", "costCenter": scope}
        sent = document(
            "nova-lite",
            content=text(f"Hi. [[sdk attempts={attempts}]]", fault="throttling"),
            parameters={"max_tokens": 100},
            tags=tags,
        )
        answer = native.ask(sent)
        check_error(answer, "ModelThrottled", sent)
        assert entry_of(answer, f"costCenter#{scope}")["output"]["reserved"] == reserved


@pytest.mark.parametrize("function, nothing_spent", [("PrepareCallFunction", True), ("ReadAnswerFunction", None)])
def test_function_that_crashes_says_what_can_have_been_spent(native, function, nothing_spent):
    with native.crashing(function):
        done = native.execute(entry("nova", "plain"), machine="ModelRouterArn")
    assert (done["status"], done["error"]) == ("FAILED", "ModelUnavailable")
    assert json.loads(done["cause"]).get("nothingSpent") is nothing_spent


def test_answer_over_the_limit_of_a_payload_is_named_but_its_usage_is_not_known(native):
    done = native.execute(
        entry("nova", "plain") | {"prompt": {"messages": [{"role": "user", "content": text(output_bytes=400_000)}]}},
        machine="ModelRouterArn",
    )
    assert done["error"] == "OutputTooLarge"
    assert not {"usage", "nothingSpent"} & json.loads(done["cause"]).keys()


def members(shape, seen):
    """Yields the name of each member below `shape`, a flag that its content has free names, and a flag that it is binary."""
    if shape.type_name == "list":
        yield from members(shape.member, seen)
    elif shape.type_name == "structure" and shape.name not in seen:
        seen.add(shape.name)
        for name, member in shape.members.items():
            own = getattr(member, "is_document_type", False) or member.type_name == "map"
            yield name, own, member.type_name == "blob"
            if not own:
                yield from members(member, seen)


def test_names_are_those_of_the_service_model():
    """Every name can be converted to the other case and back. The lists of free-form and binary members are complete."""
    operation = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse")
    found = [each for shape in (operation.input_shape, operation.output_shape) for each in members(shape, set())]
    assert len(found) > 100 and all(re.fullmatch("[a-z][A-Za-z0-9]*", name) for name, _, _ in found)
    free, binary = (
        set(re.findall('"(.*?)"', listed))
        for listed in re.findall(r"const (?:FREE_FORM|BINARY): .*?= \[(.*?)\];", NAMES.read_text(), re.DOTALL)
    )
    assert free == {name for name, own, _ in found if own}
    assert binary == {name for name, _, blob in found if blob}
    assert not free & {name for name, own, _ in found if not own}


def test_a_message_of_the_queue_is_served_and_its_repetition_replayed(native):
    """The queue and kept answers do not depend on what calls the model."""
    if "RequestQueueUrl" not in native.outputs:
        pytest.skip("the stack has AsyncConcurrency=0")
    queue = RequestQueue(native)
    arn, bare = native.profile_arn()
    sent = asked(model=arn, request_id=unique("e2e-native"), output_tokens=9)
    queue.send(sent)
    answer = check_succeeded(queue.answer(SOMEBODY, sent["tags"]["requestId"]), None)
    assert answer["usage"]["outputTokens"] == 9
    assert native.ask(sent) == {**answer, "replayed": True}
    assert native.calls(bare) == 1 and native.ledger_settled(f"model#{bare}") == 9
