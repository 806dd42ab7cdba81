"""Ten days of made-up requests, with the audit lines and the metric data that the sentry publishes of them.

The tests compute what a query returns from the requests themselves.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cloudwatch.logs_insights import Event
from cloudwatch.stack import Stack
from cloudwatch.store import Metric, Store

NAMESPACE = "GenAIRateLimiting"
START = 1_763_596_800  # 2025-11-20T00:00:00Z
DAYS = 10
END = START + DAYS * 86_400
GROUP = "/aws/lambda/sentry/emit-metrics"

# Names, ids, dollars per million input and output tokens, and milliseconds of the model.
MODELS = {
    "nova-lite": ("us.amazon.nova-lite-v1:0", Decimal("0.06"), Decimal("0.24"), 700),
    "nova-pro": ("us.amazon.nova-pro-v1:0", Decimal("0.80"), Decimal("3.20"), 1600),
    "claude-haiku-4-5": ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Decimal("1.10"), Decimal("5.50"), 2100),
    "claude-sonnet-4-5": ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Decimal("3.30"), Decimal("16.50"), 5200),
}
# Applications with their cost center, environment and models.
APPLICATIONS = {
    "helper": ("support", "production", ("nova-lite", "claude-haiku-4-5")),
    "triage": ("support", "production", ("nova-lite",)),
    "pricing": ("sales", "production", ("nova-pro", "claude-sonnet-4-5")),
    "letters": ("sales", "staging", ("nova-pro",)),
    "papers": ("research", "staging", ("claude-sonnet-4-5", "nova-pro")),
    "notebook": ("research", "development", ("claude-haiku-4-5", "nova-lite")),
}
# Dollars of the ten days. Research stays far below its limit, and Nova Pro reaches its own.
LIMITS = {
    "costCenter#support": Decimal("2.00"),
    "costCenter#sales": Decimal("4.40"),
    "costCenter#research": Decimal("12.00"),
    "model#us.amazon.nova-pro-v1:0": Decimal("1.60"),
    "model#us.anthropic.claude-sonnet-4-5-20250929-v1:0": Decimal("9.00"),
}
STEPS = ("validate", "gather", "reserve", "settle")


@dataclass(frozen=True)
class Request:
    """A request that reached the decision. `time` is in seconds since 1970; `dollars` is 0 without usage."""

    number: int
    time: int
    model: str
    application: str
    outcome: str
    code: str | None
    input_tokens: int
    output_tokens: int
    held_tokens: int
    dollars: Decimal
    steps: dict[str, int]
    # Percent of each limit after the request, and at the end of the window at this pace.
    used: dict[str, float]
    forecast: dict[str, float]

    @property
    def model_id(self) -> str:
        return MODELS[self.model][0]

    @property
    def cost_center(self) -> str:
        return APPLICATIONS[self.application][0]

    @property
    def environment(self) -> str:
        return APPLICATIONS[self.application][1]

    @property
    def knows_usage(self) -> bool:
        """True if the model answered, so that its usage is known."""
        return self.outcome == "Succeeded"

    @property
    def is_priced(self) -> bool:
        """True if the cost is known. All models of the sample have a price."""
        return self.knows_usage

    @property
    def scopes(self) -> list[str]:
        return [scope for scope in (f"costCenter#{self.cost_center}", f"model#{self.model_id}") if scope in LIMITS]

    @property
    def dimensions(self) -> dict[str, str]:
        return {
            "Model": self.model,
            "ModelId": self.model_id,
            "CostCenter": self.cost_center,
            "Application": self.application,
            "Environment": self.environment,
        }


def requests() -> list[Request]:
    """All requests in the order of their times. They are the same at every call."""
    dice = random.Random(13)
    spent: dict[str, Decimal] = dict.fromkeys(LIMITS, Decimal(0))
    found = []
    for number, time in enumerate(sorted(_times(dice))):
        request = _draw(dice, number, time)
        cost = request.dollars
        if any(spent[scope] + cost > LIMITS[scope] for scope in request.scopes):
            request = _denied(request, "BudgetExceeded")
        elif dice.random() < 0.01:
            request = _denied(request, "LedgerUnavailable")
        elif dice.random() < 0.02:
            request = replace(
                request, outcome="InvocationFailed", code="ModelThrottled", output_tokens=0, input_tokens=0
            )
            request = replace(request, dollars=Decimal(0))
        for scope in request.scopes:
            spent[scope] += request.dollars
        found.append(_with_figures(request, spent))
    return found


def _times(dice: random.Random) -> Iterator[int]:
    for hour in range(DAYS * 24):
        busy = 3 if 8 <= hour % 24 < 18 else 1
        # The seventh day is one of overspending.
        for _ in range(busy * 5 * (3 if hour // 24 == 6 else 1)):
            yield START + hour * 3600 + dice.randrange(3600)


def _draw(dice: random.Random, number: int, time: int) -> Request:
    application = dice.choice(list(APPLICATIONS))
    model = dice.choice(APPLICATIONS[application][2])
    _, price_in, price_out, latency = MODELS[model]
    read, written = dice.randrange(200, 2000), dice.randrange(20, 900)
    steps = {"validate": dice.randrange(2, 6), "gather": dice.randrange(8, 30), "reserve": dice.randrange(5, 14)}
    steps["decision"] = sum(steps.values())
    steps["model"] = int(latency * dice.uniform(0.6, 1.8))
    steps["settle"] = dice.randrange(5, 12)
    steps["total"] = steps["decision"] + steps["model"] + steps["settle"]
    dollars = (read * price_in + written * price_out) / 1_000_000
    return Request(
        number, time, model, application, "Succeeded", None, read, written, read + 1000, dollars, steps, {}, {}
    )


def _denied(request: Request, code: str) -> Request:
    steps = {key: value for key, value in request.steps.items() if key not in {"model", "settle"}}
    steps["total"] = steps["decision"]
    return replace(
        request,
        outcome="Denied",
        code=code,
        input_tokens=0,
        output_tokens=0,
        held_tokens=0,
        dollars=Decimal(0),
        steps=steps,
    )


def _with_figures(request: Request, spent: dict[str, Decimal]) -> Request:
    used = {scope: float(100 * spent[scope] / LIMITS[scope]) for scope in request.scopes}
    passed = (request.time - START) / (END - START)
    forecast = {scope: min(percent / max(passed, 0.05), 400.0) for scope, percent in used.items()}
    return replace(request, used=used, forecast=forecast)


def audit_line(request: Request) -> dict[str, Any]:
    """The audit line of a request, version 1."""
    moment = datetime.fromtimestamp(request.time, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    line = {
        "level": "INFO",
        "message": "request",
        "timestamp": moment,
        "v": 1,
        "execution_id": f"arn:aws:states:us-east-1:123456789012:express:RateLimiter:{request.number}",
        "outcome": request.outcome,
        "code": request.code,
        "model": request.model,
        "model_id": request.model_id,
        "model_metric": request.model_id,
        "input_tokens": request.input_tokens,
        "output_tokens": request.output_tokens,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "tags": {
            "applicationId": request.application,
            "costCenter": request.cost_center,
            "environment": request.environment,
            "requestId": f"r-{request.number}",
            "timestamp": moment,
            "modelMetric": request.model_id,
        },
        "steps_ms": request.steps,
    }
    if request.is_priced:
        line |= {"usage": "known", "priced": True, "cost_usd": f"{request.dollars:f}", "price_source": "catalogue"}
    if request.outcome != "Denied":
        line["held_input_tokens"] = request.held_tokens - 1000
        line["held_output_tokens"] = 1000
        line["held_usd"] = f"{request.dollars * 2:f}"
    if request.number % 50 == 7:
        line["would_deny"] = [{"code": "BudgetExceeded", "details": {"scope": f"costCenter#{request.cost_center}"}}]
    if request.number % 97 == 5:
        line["degraded"] = "clamp"
    return line


def events(sent: list[Request]) -> list[Event]:
    """The log events of the queue's function. A line is written half a minute after its request."""
    return [Event((each.time + 30) * 1000, json.dumps(audit_line(each)), group=GROUP) for each in sent]


def metric_data(sent: list[Request]) -> Store:
    """The metric data of the requests, of direct calls of a model, and of a healthy stack."""
    store = Store(END)
    for request in sent:
        _put_request(store, request)
    _put_bypassing(store)
    return store


def _put_request(store: Store, request: Request) -> None:
    approved = request.outcome != "Denied"

    def put(name: str, value: float, **dimensions: str) -> None:
        store.put(Metric.of(NAMESPACE, name, dimensions), request.time, value)

    put("TotalRequests", 1, **request.dimensions)
    put("RateLimitApproved", approved, **request.dimensions)
    put("RateLimitDenied", not approved, **request.dimensions)
    put("InvocationFailed", request.outcome == "InvocationFailed", **request.dimensions)
    put("InputTokens", request.input_tokens, **request.dimensions)
    put("OutputTokens", request.output_tokens, **request.dimensions)
    put("DecisionLatency", request.steps["decision"])
    for step in STEPS:
        if step in request.steps:
            put("StepLatency", request.steps[step], Step=step)
    for scope in request.scopes:
        put("BudgetUsedPercent", request.used[scope], Scope=scope)
        put("BudgetForecastPercent", request.forecast[scope], Scope=scope)
    if approved:
        put("StepLatency", request.steps["model"], Step="model")
    else:
        put("Denials", 1, Code=str(request.code))
    if request.is_priced:
        put("CostUsd", float(request.dollars), **request.dimensions)
        put("ModelLatency", request.steps["model"], ModelId=request.model_id)
        put("HeldTokens", request.held_tokens)
        put("UsedTokens", request.input_tokens + request.output_tokens)
        for name, tokens in (("InputTokenCount", request.input_tokens), ("OutputTokenCount", request.output_tokens)):
            store.put(Metric.of("AWS/Bedrock", name, {"ModelId": request.model_id}), request.time, tokens)
        store.put(Metric.of("AWS/Bedrock", "Invocations", {"ModelId": request.model_id}), request.time, 1)
    if request.number % 97 == 5:
        put("Degradations", 1, Action="clamp")


# Calls that bypass the sentry: each hour of the last two days, with these input and output tokens.
BYPASSING = "us.amazon.nova-lite-v1:0"
BYPASSING_TOKENS = (4000, 1000)


def bypassing_times() -> list[int]:
    return [END - 2 * 86_400 + hour * 3600 + 60 for hour in range(48)]


def _put_bypassing(store: Store) -> None:
    for time in bypassing_times():
        read, written = BYPASSING_TOKENS
        store.put(Metric.of("AWS/Bedrock", "InputTokenCount", {"ModelId": BYPASSING}), time, read)
        store.put(Metric.of("AWS/Bedrock", "OutputTokenCount", {"ModelId": BYPASSING}), time, written)
        store.put(Metric.of("AWS/Bedrock", "Invocations", {"ModelId": BYPASSING}), time, 1)
        store.put(Metric.of(NAMESPACE, "UngovernedTokens", {"ModelId": BYPASSING}), time + 60, read + written)


def put_healthy(store: Store, stack: Stack) -> None:
    """Adds what Lambda, Step Functions and SQS publish of a healthy stack, every five minutes."""
    functions = [stack.ref(name) for name in stack.resources("AWS::Serverless::Function")]
    queues = [stack.attribute(name, "QueueName") for name in stack.resources("AWS::SQS::Queue")]
    workflow = stack.ref("RateLimiter")
    for time in range(START, END, 300):
        for function in functions:
            for name, value in (("Invocations", 5), ("Errors", 0), ("Throttles", 0)):
                store.put(Metric.of("AWS/Lambda", name, {"FunctionName": function}), time, value)
        for name in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionThrottled"):
            store.put(Metric.of("AWS/States", name, {"StateMachineArn": workflow}), time, 0)
        for queue in queues:
            for name in ("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"):
                store.put(Metric.of("AWS/SQS", name, {"QueueName": queue}), time, 0)


if __name__ == "__main__":
    listed = requests()
    print(Counter((each.outcome, each.code) for each in listed))
    print({scope: round(percent) for each in listed for scope, percent in each.used.items()})
