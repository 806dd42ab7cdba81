"""Strict checker of section 2 of the public contract: keys, types, formats, and the arithmetic between fields."""

import re
from datetime import UTC, datetime

from budget_contract import check_budget, check_denial, check_includes

# code: (outcome, status, retryable)
CODES = {
    "InvalidRequest": ("Invalid", 400, False),
    "UnknownModel": ("Invalid", 400, False),
    "DuplicateRequest": ("Invalid", 409, False),
    "BudgetExceeded": ("Denied", 429, False),
    "BudgetReserved": ("Denied", 429, True),
    "LimitNotConfigured": ("Denied", 403, False),
    "LimitMalformed": ("Denied", 403, False),
    "ModelNotPriced": ("Denied", 403, False),
    "RequestTooLarge": ("Denied", 403, False),
    "Stopped": ("Denied", 403, False),
    "UsageUnavailable": ("Denied", 503, True),
    "LedgerUnavailable": ("Denied", 503, True),
    "ModelThrottled": ("InvocationFailed", 429, True),
    "ModelTimeout": ("InvocationFailed", 504, True),
    "ModelUnavailable": ("InvocationFailed", 503, True),
    "ModelAccessDenied": ("InvocationFailed", 502, False),
    "ModelRejectedRequest": ("InvocationFailed", 502, False),
    "ModelError": ("InvocationFailed", 502, False),
    "OutputTooLarge": ("InvocationFailed", 502, False),
}
NOTICES = {"ModelRetiring", "ModelReplaced", "UnreadLimitItems"}
STOP_REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "content_filtered", "guardrail_intervened"}

REQUEST_ID = r"[A-Za-z0-9_-]{1,64}"
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
# The format of the workflow's own clock. The workflow sets the timestamp if validation fails to run.
WORKFLOW_TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"
USD = r"\d+\.\d{9,12}"


class Complaints(list):
    """All defects of a document, each with its path."""

    def of(self, ok, path, what):
        if not ok:
            self.append(f"{path}: {what}")
        return ok

    def keys(self, value, path, required, optional=()):
        if not self.of(isinstance(value, dict), path, f"is not an object but {value!r}"):
            return False
        missing, extra = set(required) - value.keys(), value.keys() - set(required) - set(optional)
        self.of(not missing, path, f"lacks {sorted(missing)}")
        self.of(not extra, path, f"has the unknown fields {sorted(extra)}")
        return not missing

    def text(self, value, path, pattern=None):
        if self.of(isinstance(value, str), path, f"is not a string but {value!r}") and pattern:
            self.of(re.fullmatch(pattern, value), path, f"{value!r} does not look like {pattern}")

    def whole_number(self, value, path):
        return self.of(type(value) is int and value >= 0, path, f"is not a whole number from 0 but {value!r}")

    def whole_numbers(self, values, path, names):
        """Checks all fields with these names, even after a defect."""
        sound = [self.whole_number(values[name], f"{path}.{name}") for name in names]
        return all(sound)


def check_answer(answer, sent=None, *, unvalidated=False, unresolved=False, unsettled=False):
    """Checks `answer` against the contract. The AssertionError lists all deviations. `sent` is the document that was answered.

    Set `unvalidated` for the denial that is returned if the document could not be validated, and `unresolved` for the denial
    that is returned if its model could not be looked up. Set `unsettled` for an answer whose hold could not be settled. Such an
    answer has no figures.
    """
    wrong = Complaints()
    if not isinstance(answer, dict) or answer.get("outcome") not in {
        "Succeeded",
        "InvocationFailed",
        "Denied",
        "Invalid",
    }:
        raise AssertionError(f"not an answer document: {answer!r}")
    outcome = answer["outcome"]
    if outcome == "Succeeded":
        wrong.keys(
            answer,
            "$",
            ("outcome", "statusCode", "tags", "model", "output", "usage", "cost", "budget"),
            ("degraded", "wouldDeny", "notices", "replayed"),
        )
        wrong.of(answer.get("statusCode") == 200, "statusCode", f"is {answer.get('statusCode')!r}")
        _output(wrong, answer.get("output"), sent)
        check_usage(answer.get("usage"), wrong)
        check_cost(answer.get("cost"), answer.get("usage"), wrong)
    elif outcome == "Invalid":
        wrong.keys(answer, "$", ("outcome", "statusCode", "tags", "error"), ("model",))
        _error(wrong, answer)
    elif unvalidated:
        wrong.keys(answer, "$", ("outcome", "statusCode", "tags", "error"), ("model", "budget"))
        _error(wrong, answer)
    else:
        wrong.keys(
            answer,
            "$",
            ("outcome", "statusCode", "tags", "model", "error", "budget"),
            ("notices", *(("degraded", "wouldDeny", "replayed") if outcome == "InvocationFailed" else ())),
        )
        _error(wrong, answer)
    if outcome in {"Succeeded", "InvocationFailed"}:
        if unsettled:
            wrong.of(
                answer.get("budget") == [], "budget", f"has figures though nothing was settled: {answer.get('budget')}"
            )
        else:
            wrong.of(answer.get("budget"), "budget", "is empty though the request was approved")
    if "notices" in answer:
        _notices(wrong, answer["notices"])
    if "replayed" in answer:
        wrong.of(answer["replayed"] is True, "replayed", f"is {answer['replayed']!r}")
    if "wouldDeny" in answer:
        _would_deny(wrong, answer["wouldDeny"])
    if "degraded" in answer:
        _degraded(wrong, answer["degraded"], answer.get("model") or {})
    complete = outcome != "Invalid" and not unvalidated and not unresolved
    _tags(wrong, answer, sent, complete)
    if complete:
        _model(wrong, answer, sent)
        check_budget(wrong, answer.get("budget"))
    if unresolved:
        _unresolved(wrong, answer, sent)
    if outcome == "Succeeded" and not wrong:
        check_includes(wrong, answer)
    assert not wrong, (
        "the answer breaks the contract:\n  "
        + "\n  ".join(wrong)
        + f"\nthe answer without its text: {redacted(answer)}"
    )
    return answer


def redacted(answer):
    return {key: value for key, value in answer.items() if key != "output"}


def is_rich(sent):
    """`True` if the answer to a document is a list of blocks: a message is such a list, or it has tools or `reasoning`."""
    prompt = sent["prompt"]
    return (
        "tools" in prompt
        or "reasoning" in prompt
        or any(isinstance(message["content"], list) for message in prompt["messages"])
    )


def _output(wrong, output, sent):
    asked = sent is None or sent["prompt"].get("additionalModelResponseFieldPaths")
    if wrong.keys(output, "output", ("message", "stopReason"), ("additionalModelResponseFields",) if asked else ()):
        # Any other word comes from the model itself.
        word = output["stopReason"]
        own = isinstance(word, str) and re.fullmatch("[a-z_]+", word)
        wrong.of(word in STOP_REASONS or own, "output.stopReason", f"is {word!r}")
        if wrong.keys(output["message"], "output.message", ("role", "content")):
            wrong.of(
                output["message"]["role"] == "assistant", "output.message.role", f"is {output['message']['role']!r}"
            )
            content = output["message"]["content"]
            path = "output.message.content"
            # Without the document, both forms are accepted.
            rich = not isinstance(content, str) if sent is None else is_rich(sent)
            if not rich:
                wrong.text(content, path)
            elif wrong.of(isinstance(content, list), path, f"is no list of blocks but {type(content).__name__}"):
                _blocks(wrong, content)


def _blocks(wrong, blocks):
    for position, block in enumerate(blocks):
        path = f"output.message.content[{position}]"
        if not wrong.of(isinstance(block, dict) and len(block) == 1, path, "is no block") or not wrong.keys(
            block, path, (), ("text", "toolUse", "reasoningContent")
        ):
            continue
        if "text" in block:
            wrong.text(block["text"], f"{path}.text", r"(?s).+")
        elif "toolUse" in block and wrong.keys(block["toolUse"], f"{path}.toolUse", ("toolUseId", "name", "input")):
            for name in ("toolUseId", "name"):
                wrong.text(block["toolUse"][name], f"{path}.toolUse.{name}", r".+")
        elif "reasoningContent" in block:
            _thought(wrong, block["reasoningContent"], f"{path}.reasoningContent")


def _thought(wrong, thought, path):
    if not wrong.of(isinstance(thought, dict) and len(thought) == 1, path, "is no thought") or not wrong.keys(
        thought, path, (), ("reasoningText", "redactedContent")
    ):
        return
    if "redactedContent" in thought:
        wrong.text(thought["redactedContent"], f"{path}.redactedContent", r"[A-Za-z0-9+/]+=*")
    elif wrong.keys(thought["reasoningText"], f"{path}.reasoningText", ("text",), ("signature",)):
        wrong.text(thought["reasoningText"]["text"], f"{path}.reasoningText.text")
        wrong.text(thought["reasoningText"].get("signature", "none"), f"{path}.reasoningText.signature", r".+")


def check_usage(usage, wrong=None):
    mine = Complaints() if wrong is None else wrong
    kinds = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    if mine.keys(usage, "usage", (*kinds, "totalTokens"), ("cacheDetails", "serviceTier")) and mine.whole_numbers(
        usage, "usage", (*kinds, "totalTokens")
    ):
        mine.of(
            usage["totalTokens"] == sum(usage[kind] for kind in kinds),
            "usage.totalTokens",
            f"is not the sum of the others in {usage}",
        )
        details = usage.get("cacheDetails", [])
        mine.of(
            sum(each["inputTokens"] for each in details) == usage["cacheWriteInputTokens"],
            "usage.cacheDetails",
            f"do not add up in {usage}",
        )
        mine.of(
            {each["ttl"] for each in details} <= {"5m", "1h"} and len(details) <= 2,
            "usage.cacheDetails",
            f"are {details}",
        )
        mine.of(
            usage.get("serviceTier", "flex") in {"flex", "priority", "reserved"},
            "usage.serviceTier",
            f"is {usage.get('serviceTier')!r}",
        )
    assert wrong is not None or not mine, mine


def check_cost(cost, usage, wrong=None):
    mine = Complaints() if wrong is None else wrong
    if mine.keys(cost, "cost", ("priced",), ("usd", "savedUsd", "discountPercent")):
        mine.of(type(cost["priced"]) is bool, "cost.priced", f"is {cost['priced']!r}")
        mine.of(
            ("usd" in cost) == (cost["priced"] is True), "cost", f"must have usd if and only if it is priced: {cost}"
        )
        if "usd" in cost:
            mine.text(cost["usd"], "cost.usd", USD)
        cached = [(usage or {}).get(f"cache{kind}InputTokens") for kind in ("Read", "Write")]
        mine.of(
            ("savedUsd" in cost) == ("usd" in cost and any(cached)),
            "cost",
            f"must have savedUsd if and only if it is priced and {cached} tokens were cached: {cost}",
        )
        if "savedUsd" in cost:
            mine.text(cost["savedUsd"], "cost.savedUsd", f"-?{USD}")
        if "discountPercent" in cost:
            mine.of("usd" in cost, "cost.discountPercent", "is there without dollars")
            mine.text(cost["discountPercent"], "cost.discountPercent", r"\d{1,2}(\.\d{1,2})?")
    assert wrong is not None or not mine, mine


def _error(wrong, answer):
    error = answer.get("error")
    if not wrong.keys(error, "error", ("code", "message", "retryable", "details"), ("retryAfterSeconds",)):
        return
    if not wrong.of(error["code"] in CODES, "error.code", f"{error['code']!r} is not in the contract"):
        return
    outcome, status, retryable = CODES[error["code"]]
    wrong.of(answer["outcome"] == outcome, "outcome", f"is {answer['outcome']} with {error['code']}")
    wrong.of(answer.get("statusCode") == status, "statusCode", f"is {answer.get('statusCode')!r} with {error['code']}")
    wrong.of(error["retryable"] is retryable, "error.retryable", f"is {error['retryable']!r} with {error['code']}")
    wrong.of(
        isinstance(error["message"], str) and len(error["message"]) >= 10,
        "error.message",
        f"says too little: {error['message']!r}",
    )
    wrong.of(isinstance(error["details"], dict), "error.details", f"is {error['details']!r}")
    wait = error.get("retryAfterSeconds")
    if retryable:
        wrong.of(type(wait) is int and wait > 0, "error.retryAfterSeconds", f"is {wait!r} though it is retryable")
    else:
        wrong.of("retryAfterSeconds" not in error, "error.retryAfterSeconds", "is there though a retry does not help")
    if error["code"] in {"BudgetExceeded", "BudgetReserved"} and isinstance(error["details"], dict):
        check_denial(wrong, error, answer.get("budget") or [])


def _notices(wrong, notices):
    if not wrong.of(isinstance(notices, list) and notices, "notices", f"is no list of notices but {notices!r}"):
        return
    for position, notice in enumerate(notices):
        path = f"notices[{position}]"
        if wrong.keys(notice, path, ("code", "message")):
            wrong.of(notice["code"] in NOTICES, f"{path}.code", f"is {notice['code']!r}")
            wrong.text(notice["message"], f"{path}.message", r".{10,}")


def _would_deny(wrong, denials):
    """Checks the errors with which limits that only observe would have denied the request. They do not change the outcome."""
    if not wrong.of(isinstance(denials, list) and denials, "wouldDeny", f"is no list of errors but {denials!r}"):
        return
    for position, error in enumerate(denials):
        path = f"wouldDeny[{position}]"
        if wrong.keys(error, path, ("code", "message", "retryable", "details"), ("retryAfterSeconds",)):
            known = error["code"] in {"BudgetExceeded", "BudgetReserved", "RequestTooLarge", "ModelNotPriced"}
            wrong.of(known, f"{path}.code", f"is {error['code']!r}")
            wrong.of("scope" in error["details"], f"{path}.details", f"says too little: {error['details']}")


def _degraded(wrong, degraded, model):
    if isinstance(degraded, dict) and degraded.get("action") == "fallback":
        if wrong.keys(degraded, "degraded", ("action", "from", "to"), ("maxTokens",)):
            for name in ("from", "to"):
                wrong.text(degraded[name], f"degraded.{name}", r".+")
            wrong.of(degraded["from"] != degraded["to"], "degraded", f"changes no model: {degraded}")
            wrong.of(
                degraded["to"] == model.get("modelId"),
                "degraded.to",
                f"is {degraded['to']!r}, not the model of {model}",
            )
            if "maxTokens" in degraded and wrong.keys(degraded["maxTokens"], "degraded.maxTokens", ("from", "to")):
                _lowered(wrong, degraded["maxTokens"], "degraded.maxTokens")
    elif wrong.keys(degraded, "degraded", ("action", "from", "to")):
        wrong.of(degraded["action"] == "clamp", "degraded.action", f"is {degraded['action']!r}")
        _lowered(wrong, degraded, "degraded")


def _lowered(wrong, tokens, path):
    if wrong.whole_numbers(tokens, path, ("from", "to")):
        wrong.of(tokens["from"] > tokens["to"] > 0, path, f"lowers nothing: {tokens}")


def _tags(wrong, answer, sent, complete):
    tags = answer.get("tags")
    required = ("requestId", "timestamp") + (("applicationId", "modelMetric") if complete else ())
    if not wrong.of(isinstance(tags, dict) and tags.keys() >= set(required), "tags", f"must have {required}: {tags!r}"):
        return
    for name, value in tags.items():
        wrong.text(value, f"tags.{name}")
    wrong.text(tags["requestId"], "tags.requestId", REQUEST_ID)
    wrong.text(
        tags["timestamp"],
        "tags.timestamp",
        TIMESTAMP if complete or answer["outcome"] == "Invalid" else WORKFLOW_TIMESTAMP,
    )
    if not complete or sent is None:
        return
    expected = {
        **sent["tags"],
        "timestamp": tags["timestamp"],
        "modelMetric": tags["modelMetric"],
        "requestId": sent["tags"].get("requestId", tags["requestId"]),
    }
    wrong.of(tags == expected, "tags", f"are {tags}, not {expected}")
    age = datetime.now(UTC) - datetime.strptime(tags["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z")
    wrong.of(-5 < age.total_seconds() < 600, "tags.timestamp", f"{tags['timestamp']} is not the time of the request")


def _unresolved(wrong, answer, sent):
    tags = {name: value for name, value in answer["tags"].items() if name not in {"requestId", "timestamp"}}
    given = {name: value for name, value in sent["tags"].items() if name != "requestId"}
    wrong.of(tags == given, "tags", f"are {answer['tags']}, sent were {sent['tags']}")
    wrong.of(
        answer["tags"]["requestId"] == sent["tags"].get("requestId", answer["tags"]["requestId"]),
        "tags.requestId",
        "is another one",
    )
    wrong.of(answer.get("model") == {"requested": sent["model"]}, "model", f"is {answer.get('model')}")
    wrong.of(answer.get("budget") == [], "budget", f"is {answer.get('budget')} though no scope is known")


def _model(wrong, answer, sent):
    model = answer.get("model")
    if not wrong.keys(model, "model", ("requested", "modelId", "modelMetric")):
        return
    for name, value in model.items():
        wrong.text(value, f"model.{name}", r".+")
    wrong.of(model["modelMetric"] == answer["tags"].get("modelMetric"), "model.modelMetric", "is not tags.modelMetric")
    # Of an ARN, the metrics have the id at its end.
    wrong.of(
        model["modelMetric"] == str(model["modelId"]).rsplit("/", 1)[-1],
        "model.modelMetric",
        f"{model['modelMetric']} is not the id of {model['modelId']}",
    )
    if sent is not None:
        requested = sent.get("model", sent.get("modelId"))
        wrong.of(
            model["requested"] == requested, "model.requested", f"is {model['requested']!r}, sent was {requested!r}"
        )


def check_error(answer, code, sent=None, **options):
    """Checks that an answer has the error `code`, with the outcome, status and retryability of this code. Returns its details."""
    check_answer(answer, sent, **options)
    found = answer.get("error", {}).get("code")
    assert found == code, f"expected {code}, got {answer['outcome']} {answer.get('error')}"
    return answer["error"]["details"]


def check_succeeded(answer, sent=None):
    check_answer(answer, sent)
    assert answer["outcome"] == "Succeeded", f"expected Succeeded, got {answer['outcome']} {answer.get('error')}"
    return answer
