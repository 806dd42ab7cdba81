"""The limits of a simulated month.

The usual limits are those of the report. `plenty` denies nothing. `tight` has every kind of window and remedy, so that
`sentry limits backtest` is compared with real decisions of all kinds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import month_plan
from month_plan import Plan, Request
from month_prices import Prices

# The limits of the cost centers, as a multiple of what the plan costs without a prompt cache. Finance's budget ends before
# the month does, and the others are nearly used up.
BUDGETS = {"support": "1.10", "marketing": "0.82", "engineering": "0.95", "finance": "0.88"}
# The model's budget ends before the month does too.
MODEL_BUDGET = Decimal("0.85")
DAILY_BUDGET = 3
# The requests that count for these amounts.
USUAL = ("usual", "overspending")
PLENTY = 1_000_000_000_000
Row = dict[str, Any]
USUAL_LIMITS, PLENTY_LIMITS, TIGHT_LIMITS = "usual", "plenty", "tight"


def limits_of(plan: Plan, prices: Prices, name: str) -> list[Row]:
    """The items with this name."""
    by_name: dict[str, Callable[[Plan, Prices], list[Row]]] = {
        USUAL_LIMITS: usual_limits,
        PLENTY_LIMITS: plenty_of,
        TIGHT_LIMITS: tight_limits,
    }
    return by_name[name](plan, prices)


def plenty_of(_plan: Plan, _prices: Prices) -> list[Row]:
    """One item that no month uses up."""
    return [{"modelId": "default", "limit": {"input": PLENTY, "output": PLENTY}, "window": "month"}]


def tight_limits(plan: Plan, prices: Prices) -> list[Row]:
    """The usual limits, and one item for each kind of window, unit and remedy. An item applies to requests of one client
    only, because the order of requests of two clients is not the same in two months. No window is a minute, because the
    pace of a client depends on the answers."""
    days = (plan.end - plan.start).days
    output: defaultdict[str, int] = defaultdict(int)
    count: defaultdict[str, int] = defaultdict(int)
    for request in plan.requests:
        if request.kind == "usual":
            output[request.application.name] += request.output_tokens
            count[request.application.name] += 1

    def daily(name: str, part: float) -> int:
        return max(int(output[name] / days * part), 1)

    def per_day(name: str, part: float) -> int:
        return max(int(count[name] / days * part), 1)

    finance = cents(sum((planned_cost(prices, each) for each in plan.requests if of_finance(each)), Decimal()))
    changed: dict[str, Row] = {
        "application#helpdesk-chat": {
            "window": "day",
            "timeZone": "America/New_York",
            "limit": {"requests": per_day("helpdesk-chat", 1)},
        },
        "application#ticket-triage": {"window": "week", "limit": {"output": daily("ticket-triage", 7)}},
        "application#answer-search": {"limit": {"inFlight": 1}},
        "application#page-translator": {
            "window": "day",
            "limit": {"output": daily("page-translator", 1.1)},
            "whenExceeded": ["clamp"],
        },
        "application#caption-maker": {"window": "hour", "limit": {"output": daily("caption-maker", 0.4)}},
        "application#contract-check": {
            "window": "month",
            "limit": {"output": PLENTY},
            "perRequest": {"output": 700},
        },
        "application#test-writer": {
            "window": "day",
            "limit": {"output": daily("test-writer", 1.2)},
            "enforce": "observe",
        },
        # In requests, because CloudWatch also shows the tokens of calls whose usage the sentry does not know.
        "qwen.qwen3-235b-a22b-2507-v1:0": {
            "window": "day",
            "limit": {"requests": per_day("test-writer", 0.8)},
            "whenExceeded": ["fallback"],
        },
        "costCenter#finance": {
            "window": "month",
            "limit": {"usd": cents(finance * Decimal("0.8"))},
            "respond": {"at": 50, "set": {"usd": cents(finance * Decimal("0.6"))}},
        },
    }
    items = {item["modelId"]: item for item in usual_limits(plan, prices)}
    items |= {key: {"modelId": key, **item} for key, item in changed.items()}
    return list(items.values())


def of_finance(request: Request) -> bool:
    """True if the cost center finance pays for the request through the sentry."""
    return request.kind in USUAL and request.application.cost_center == "finance"


def usual_limits(plan: Plan, prices: Prices) -> list[Row]:
    """The items of a usual month. The amounts come from the plan, so that some budgets end and others do not."""
    days = (plan.end - plan.start).days
    cost: defaultdict[str, Decimal] = defaultdict(Decimal)
    for request in plan.requests:
        if request.kind in USUAL:
            dollars = planned_cost(prices, request)
            cost[request.application.cost_center] += dollars
            cost[request.application.name] += dollars if request.kind == "usual" else 0
    output = sum(
        request.output_tokens
        for request in plan.requests
        if request.kind in USUAL and model_of(request) == plan.change.model
    )
    monthly: list[Row] = [
        {
            "modelId": f"costCenter#{name}",
            "limits": [{"window": "month", "limit": {"usd": cents(cost[name] * Decimal(part))}, "alertAt": [80, 100]}],
            "note": "agreed with finance",
            "owner": f"{name}@example.com",
        }
        for name, part in BUDGETS.items()
    ]
    daily = cents(cost[month_plan.OVERSPENDER] / days * DAILY_BUDGET)
    return [
        {"modelId": "default", "limit": {"input": PLENTY, "output": PLENTY}, "window": "month"},
        *monthly,
        {
            "modelId": f"application#{month_plan.OVERSPENDER}",
            "limit": {"usd": daily},
            "window": "day",
            "alertAt": [100],
        },
        {
            "modelId": "application#test-writer",
            "limit": {"usd": cents(cost["test-writer"] / days)},
            "window": "day",
            "enforce": "observe",
        },
        {
            "modelId": plan.change.model,
            "limit": {"output": int(output * MODEL_BUDGET)},
            "window": "month",
            "alertAt": [80, 95],
        },
    ]


def planned_cost(prices: Prices, request: Request) -> Decimal:
    """The cost of a request without a prompt cache: its text in tokens of four bytes, and its answer."""
    text = request.prompt_bytes + (month_plan.CACHED_BYTES if request.application.cached else 0)
    tokens = {"input": text // 4, "output": request.output_tokens}
    return prices.cost(model_of(request), request.at, tokens)


# The ids that the aliases of the catalogue mean in us-east-1.
ALIASES = {
    "llama-3-3-70b": "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral-large-3": month_plan.MISTRAL,
    "nova-lite": month_plan.NOVA_LITE,
    "qwen3-235b": "qwen.qwen3-235b-a22b-2507-v1:0",
    "gpt-oss-120b": "openai.gpt-oss-120b-1:0",
}


def model_of(request: Request) -> str:
    """The id of the model or cross-Region profile behind the name that an application uses."""
    sources = {profile.name: profile.source for profile in month_plan.PROFILES}
    name = request.application.model
    return sources[name] if name in sources else ALIASES[name]


def cents(dollars: Decimal) -> Decimal:
    """Dollars, rounded up to a hundredth of a cent."""
    return dollars.quantize(Decimal("0.0001"), rounding="ROUND_UP")
