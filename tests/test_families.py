"""Every family takes and returns the common format. A request is refused by name if the family lacks a feature.

Each case runs through the model router and through the rate limiter. The last test prints a table of the results.
"""

import json
import re
import urllib.error
from dataclasses import dataclass
from typing import Any

import pytest

from catalogue_files import Catalogue
from contract import check_error, check_succeeded, check_usage
from sentry_client import CANARY, document, text
from wire_shapes import exchanges

pytestmark = pytest.mark.local

NAMES = {"system": {"system", "messages"}, "multi-turn": {"messages"}}
STOP = "river"  # The simulator's answers contain this word.
VALUES = {"temperature": 0.25, "top_p": 0.5, "top_k": 37}
FAULTS = {
    "throttled": ("throttling", "ModelThrottled"),
    "timeout": ("model-timeout", "ModelTimeout"),
    "rejected": ("validation", "ModelRejectedRequest"),
    "malformed": ("malformed", "ModelError"),
    "missing usage": ("missing-usage", "ModelError"),
}
COUNTS = {"input_tokens": 21, "output_tokens": 9}
CACHED = 40
ALWAYS_THINK = {"gpt-oss"}
CASES = (
    "plain",
    "system",
    "multi-turn",
    "max_tokens",
    *VALUES,
    "stop_sequences",
    "stop reason",
    *FAULTS,
    "cached tokens",
    "reasoning",
)


@dataclass(frozen=True)
class Route:
    """A model and the workflow through which it is called. Requests for the features in `lacks` must be refused."""

    name: str
    family: str
    model: str
    entry: str
    lacks: frozenset

    def __str__(self):
        return f"{self.name} {self.entry}"


def routes(name, model, lacks=(), *, family=None):
    """Returns the model with both workflows. `lacks` comes from AWS's pages about the family."""
    return [Route(name, family or name, model, entry, frozenset(lacks)) for entry in ("router", "limiter")]


ROUTES = [
    *routes("anthropic", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    *routes("nova", "us.amazon.nova-lite-v1:0"),
    *routes("llama", "us.meta.llama3-3-70b-instruct-v1:0", ("top_k",)),
    *routes("mistral text", "mistral.mistral-7b-instruct-v0:2", ("system",), family="mistral"),
    *routes("mistral chat", "mistral.mistral-large-2407-v1:0", ("top_k",), family="mistral"),
    *routes("cohere text", "cohere.command-text-v14", ("system", "multi-turn"), family="cohere"),
    *routes("jamba", "ai21.jamba-instruct-v1:0", ("top_k",)),
    *routes("deepseek", "us.deepseek.v3.2", ("top_k", "stop_sequences")),
    *routes("gpt-oss", "openai.gpt-oss-120b-1:0", ("top_k", "stop_sequences")),
    *routes("qwen", "qwen.qwen3-32b-v1:0", ("top_k", "stop_sequences")),
    *routes("converse", "minimax.minimax-m2.5", ("top_k",)),
]
# A model that has ended can no longer test its family. The table names these families.
ENDED = [route for route in ROUTES if Catalogue("us-east-1").has_ended(route.model.removeprefix("us."))]
ROUTES = [route for route in ROUTES if route not in ENDED]
CELLS = [(route, case) for route in ROUTES for case in CASES]


def entry(route, case):
    """Returns the input of a case: a document for the rate limiter, or the same document in the format of the model router."""
    directives: dict[str, Any] = {}
    parameters: dict[str, Any] = {"max_tokens": 100}
    if case in FAULTS:
        directives = {"fault": FAULTS[case][0]}
    elif case == "stop reason":
        directives = {"stop_reason": "strange", **COUNTS}
    elif case == "cached tokens":
        directives = {"cache_read": CACHED, **COUNTS}
    elif case == "reasoning":
        directives = {"reasoning": 4, **COUNTS}
    elif case == "max_tokens":
        parameters["max_tokens"] = 5
    elif case == "stop_sequences":
        parameters["stop_sequences"] = [STOP]
    elif case in VALUES:
        parameters[case] = VALUES[case]
    messages = [{"role": "user", "content": text(**directives)}]
    if case == "system":
        messages.insert(0, {"role": "system", "content": "Be brief."})
    if case == "multi-turn":
        messages = [
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello, how can I help?"},
            *messages,
        ]
    made = document(route.model, messages=messages, parameters=parameters, tags={"applicationId": "e2e-families"})
    if route.entry == "router":
        made["model"] = {"modelId": route.model, "family": route.family}
    return made


def token(body):
    """Returns the unique part of a prompt of this run, as a list with at most one item."""
    return re.findall(f"{CANARY} ([0-9a-f]{{12}})", body)[-1:]


@pytest.fixture(scope="module")
def ended(sentry):
    """Returns for each cell the input, the result, and the bodies that reached Bedrock (None if none are recorded)."""
    sent = {cell: entry(*cell) for cell in CELLS}
    limiter = {cell: each for cell, each in sent.items() if cell[0].entry == "limiter"}
    router = {cell: each for cell, each in sent.items() if cell not in limiter}
    done = sentry.execute_all(router, machine="ModelRouterArn") | sentry.execute_all(limiter)
    bodies = recorded(sentry.bedrock_endpoint)
    arrived = {
        cell: None if bodies is None else bodies.get(token(json.dumps(each))[0], []) for cell, each in sent.items()
    }
    return {cell: (sent[cell], done[cell], arrived[cell]) for cell in sent}


def recorded(endpoint):
    """Returns the bodies of the recorded model calls by the token of their prompt. None if nothing is recorded."""
    try:
        _, kept = exchanges(endpoint)
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None
    found: dict[str, list[Any]] = {}
    for exchange in kept:
        if exchange["path"].endswith("/converse"):
            for each in token(exchange["request"]["body"]):
                found.setdefault(each, []).append(json.loads(exchange["request"]["body"]))
    return found


def outcome(route, sent, done):
    """Returns `(answer, None)` or `(None, failure)`, in one form for both workflows. A failure has code, details and usage."""
    if route.entry == "router":
        if done["status"] == "SUCCEEDED":
            return done["output"], None
        cause = json.loads(done["cause"])
        assert done["error"] == cause["error"]["code"]
        return None, cause["error"] | {"usage": cause.get("usage"), "nothingSpent": cause.get("nothingSpent", False)}
    assert done["status"] == "SUCCEEDED", f"the execution ended {done['status']}: {done['error']}"
    if done["output"]["outcome"] == "Succeeded":
        return check_succeeded(done["output"], sent), None
    check_error(done["output"], done["output"]["error"]["code"], sent)
    return None, done["output"]["error"]


def leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def check_refusal(route, case, failure, arrived):
    """Checks the refusal of a parameter that the model lacks.

    The rate limiter refuses it by name before anything is held. The model router knows families and not models, so Bedrock may
    reject it. Nothing is spent then.
    """
    if route.entry == "router":
        assert failure["code"] == "ModelRejectedRequest", failure["code"]
        assert failure["nothingSpent"] is True, "nothingSpent is not said"
        return
    assert failure["code"] == "InvalidRequest", failure["code"]
    named = failure["details"].get("parameter")
    assert named in NAMES.get(case, {case}), f"details.parameter is {named!r}, details are {sorted(failure['details'])}"
    assert named in failure["message"], "the message does not say which parameter"
    assert not arrived, "the request reached Bedrock all the same"


def check_failure(route, case, failure):
    assert failure is not None, "it succeeded"
    assert failure["code"] == FAULTS[case][1], failure["code"]
    if route.entry == "router" and case in ("malformed", "missing usage"):
        assert not failure["nothingSpent"], "it says that nothing was spent"
    if route.entry == "router" and case == "missing usage":
        assert failure["usage"] is None, "it makes a usage up"


def check_answer(route, case, answer, sent, arrived):
    output, usage = answer["output"], answer["usage"]
    check_usage(usage)
    assert output["message"]["role"] == "assistant"
    content, parameters = output["message"]["content"], sent["prompt"]["parameters"]
    # Reasoning uses the same tokens as the answer.
    spoken = 0 if route.name in ALWAYS_THINK else 5
    assert content or case == "stop_sequences" or (case, spoken) == ("max_tokens", 0), "the text is empty"
    if case == "max_tokens":
        assert (output["stopReason"], usage["outputTokens"], len(content.split())) == ("max_tokens", 5, spoken)
    elif case == "stop_sequences":
        # Not every model reports that a stop sequence ended its answer.
        assert STOP not in content and output["stopReason"] in {"stop_sequence", "end_turn"}
    else:
        # An unknown stop reason is passed to the client unchanged, with the text that was paid for.
        assert output["stopReason"] == ("strange" if case == "stop reason" else "end_turn"), output["stopReason"]
    if case == "cached tokens":
        assert (usage["inputTokens"], usage["outputTokens"], usage["cacheReadInputTokens"]) == (21, 9, CACHED), usage
    if case == "reasoning":
        assert len(content.split()) == COUNTS["output_tokens"], "the reasoning is taken for a part of the answer"
    if arrived is not None:
        assert len(arrived) == 1, f"Bedrock was asked {len(arrived)} times"
        if case in VALUES:
            assert parameters[case] in leaves(arrived[0]), "the parameter did not reach Bedrock"


def verdict(route, case, sent, done, arrived):
    """Returns the word of a cell for the table. Raises AssertionError if something is wrong."""
    answer, failure = outcome(route, sent, done)
    if case in FAULTS:
        check_failure(route, case, failure)
        return "ok"
    if case in route.lacks and (failure or route.entry == "limiter"):
        assert failure is not None, "it succeeded although the family lacks this"
        check_refusal(route, case, failure, arrived)
        return "refused"
    assert failure is None, f"{failure['code']}, {failure['details']}"
    check_answer(route, case, answer, sent, arrived)
    return "ok"


@pytest.mark.parametrize("route, case", CELLS, ids=[f"{route}: {case}" for route, case in CELLS])
def test_cell(ended, route, case):
    verdict(route, case, *ended[route, case])


def test_print_the_table(ended, capsys):
    """The words are `ok`, `refused` if the family lacks the feature, and `FAILED`."""
    lines, failed = [["", *CASES]], []
    for route in ROUTES:
        words = []
        for case in CASES:
            try:
                words.append(verdict(route, case, *ended[route, case]))
            except (AssertionError, KeyError, TypeError, ValueError) as error:
                words.append("FAILED")
                failed.append(f"{route}: {case}: {error!r}")
        lines.append([str(route), *words])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    with capsys.disabled():
        print()
        for line in lines:
            print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
        print(f"Not tested, because the model has ended: {', '.join(map(str, ENDED)) or 'none'}")
    assert not failed, "\n".join(failed)
