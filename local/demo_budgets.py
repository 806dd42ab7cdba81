"""The demo's chapters about several budgets: a cost center, a limit in dollars, a repeated request, and a burst."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from demo_client import Demo
from demo_stack import MAX_PARALLEL, Expect, Unexpected, document

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
INTERNS = {"output": 300}
CONTRACTS = {"usd": Decimal("0.01")}
# The burst: the maximum tokens of a request, the tokens that it writes, and the number of requests that its budget
# allows.
BURST_TOKENS = 100
BURST_WORTH = 4


def several_budgets(demo: Demo) -> None:
    """A request must fit all budgets that apply to it."""
    demo.terminal.chapter("Several budgets at once")
    demo.step = "The admin limits a cost center, and an application in dollars"
    demo.stack.set_limit("costCenter#interns", INTERNS, window="day")
    demo.stack.set_limit("application#contracts", CONTRACTS)
    note = "tokens a day, and dollars a month; the models' own limits go on applying"
    demo.terminal.admin(demo.step, note, {"costCenter#interns": INTERNS, "application#contracts": CONTRACTS})

    demo.request(
        "No max_tokens: the sentry asks for as many as fit",
        document("claude-haiku-4-5", "Tell me about budgets.", "playground", "interns", max_tokens=None),
        Expect(
            "Succeeded",
            200,
            source="model",
            scopes=[f"model#{MODEL}", "costCenter#interns"],
            degraded_to=INTERNS["output"],
        ),
    )
    scopes = [f"model#{MODEL}", "application#contracts"]
    demo.request(
        "A contract, paid from a budget in dollars",
        document("claude-haiku-4-5", "Summarise this contract.", "contracts", "legal"),
        Expect("Succeeded", 200, source="model", scopes=scopes),
    )
    demo.request(
        "A longer answer, which could cost more than is left",
        document("claude-haiku-4-5", "Rewrite this contract.", "contracts", "legal", max_tokens=4_000),
        Expect("Denied", 429, code="BudgetExceeded", scopes=scopes, short_of=("application#contracts", "usd")),
    )


def same_request_twice(demo: Demo) -> None:
    """A request with its own id is charged only once."""
    demo.terminal.chapter("The same request twice")
    invoice = document("nova-lite", "Read this invoice.", "invoices", "accounting")
    invoice["tags"]["requestId"] = "invoice-0042"
    demo.request("An invoice, by its own requestId", invoice, Expect("Succeeded", 200, source="model"))
    demo.request("Its repetition does not reach the model", invoice, Expect("Invalid", 409, code="DuplicateRequest"))


def burst(demo: Demo) -> None:
    """A burst of requests is admitted only up to the budget."""
    demo.terminal.chapter("A burst")
    limit = {"output": BURST_WORTH * BURST_TOKENS}
    demo.stack.set_limit("application#flash-sale", limit, window="hour")
    title = f"{MAX_PARALLEL} requests at once, on a budget for {BURST_WORTH}"
    demo.terminal.admin("The admin limits an application", "tokens an hour", {"application#flash-sale": limit})
    prompt = f"Praise the sale. [[sim output-tokens={BURST_TOKENS}]]"
    body = document("nova-lite", prompt, "flash-sale", "marketing", max_tokens=BURST_TOKENS)
    entries = demo.requests_at_once(title, [body] * MAX_PARALLEL)
    demo.terminal.burst(title, entries)
    outcomes = Counter(entry.outcome for entry in entries)
    expected = {"Succeeded": BURST_WORTH, "Denied": MAX_PARALLEL - BURST_WORTH}
    if outcomes != expected:
        raise Unexpected(f"expected {expected}, got {dict(outcomes)}")
