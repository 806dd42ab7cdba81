"""Computes what watching costs in a month: metrics, alarms, the dashboard and the audit log.

CloudWatch bills a metric only for the hours in which it has values. So these sums are upper bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import cost_prices as prices
import sam_template as templates
from cost_rows import Row

# Metrics that each combination of the five dimensions has: the six of every request, and CostUsd.
OF_A_COMBINATION = 7
# Metrics of a scope: BudgetUsedPercent, BudgetForecastPercent. A query of an alarm reads one of them.
OF_A_SCOPE = 2
# Metrics of a model: ModelLatency, UngovernedTokens.
OF_A_MODEL = 2
# Metrics of the stack: five steps, DecisionLatency, HeldTokens, UsedTokens, LateSettlements, UnsettledRequests, ExceededHolds, two
# kinds of degradations, and five codes of denials.
OF_THE_STACK = 18
# Bytes of an audit line for a request with five budgets in three units each, and CloudWatch's own bytes of an event. The line was
# measured with the budgets of an answer of the local AWS.
AUDIT_LINE_BYTES = 3_400
# How often somebody opens the dashboard, and the log widgets that then read the audit lines of a day.
OPENINGS_A_DAY, LOG_WIDGETS, DAYS = 10, 3, 30

# Metrics that a look for ungoverned usage asks for: at most four of a model, for a model with a prompt cache, and two of the
# queues. A model counts only while it is in use, here always.
LOOKED_AT_A_MODEL, LOOKED_AT_QUEUES, LOOKS_A_DAY = 4, 2, 24 * 60


@dataclass(frozen=True)
class Watched:
    """The extent of watching in a month. A combination is one of model, cost center, application and environment."""

    requests: int
    combinations: int
    scopes: int
    models: int


def alarms(template: templates.Template, kind: str) -> list[str]:
    """The alarms that every stack has (`single`), or the composite alarms (`composite`)."""
    resource = {"single": "AWS::CloudWatch::Alarm", "composite": "AWS::CloudWatch::CompositeAlarm"}[kind]
    found: dict[str, dict[str, Any]] = templates.of_type(template, resource)
    return [name for name, body in found.items() if kind == "composite" or "Condition" not in body]


def month(template: templates.Template, watched: Watched) -> list[Row]:
    """The items of a month with `Observability=full`. The last three exist only with it or with `AlertEmail`."""
    metrics = {
        f"{OF_A_COMBINATION} metrics of {watched.combinations} combinations": OF_A_COMBINATION * watched.combinations,
        f"{OF_A_SCOPE} metrics of {watched.scopes} scopes": OF_A_SCOPE * watched.scopes,
        f"{OF_A_MODEL} metrics of {watched.models} models, {OF_THE_STACK} of the stack": OF_A_MODEL * watched.models
        + OF_THE_STACK,
    }
    log = Decimal(watched.requests * (AUDIT_LINE_BYTES + prices.LOG_EVENT_BYTES)) / prices.BYTES_OF_GB
    single, composite = len(alarms(template, "single")), len(alarms(template, "composite"))
    # Three alarms read a metric of each scope, one a metric of each combination, and one a metric of each model.
    queried = 3 * watched.scopes + watched.combinations + watched.models
    scanned = log / DAYS * OPENINGS_A_DAY * DAYS * LOG_WIDGETS
    looked_at = (LOOKED_AT_A_MODEL * watched.models + LOOKED_AT_QUEUES) * LOOKS_A_DAY * DAYS
    counted: list[tuple[str, int | Decimal, str]] = [
        *((how, number, "custom metric") for how, number in metrics.items()),
        (f"{watched.requests:,} audit lines of {AUDIT_LINE_BYTES:,} bytes", log, "log GB"),
        (f"{OPENINGS_A_DAY} looks at the dashboard a day, {LOG_WIDGETS} log queries", scanned, "log GB queried"),
        (f"a look for ungoverned usage each minute, {watched.models} models", looked_at, "metric requested"),
        ("the dashboard", 1, "dashboard"),
        (f"{single} alarms of every stack", single, "alarm"),
        (f"full: alarms on queries, which read {queried} metrics", queried, "metric of a query alarm"),
        (f"full: {composite} composite alarms", composite, "composite alarm"),
        ("AlertEmail: encryption key of the alarm topic", 1, "encryption key"),
    ]
    return [row(item, number, kind) for item, number, kind in counted]


def row(item: str, number: int | Decimal, kind: str) -> Row:
    """An item, as many times the price of its kind as `number` says."""
    price = prices.PRICES[kind]
    amount = f"{number:,}" if isinstance(number, int) else f"{number:.2f} GB"
    return Row(item, f"{amount} x ${price:f}", number * price)


def table(rows: list[Row]) -> list[str]:
    """The items in Markdown."""
    lines = ["| item | how | $ a month |", "|---|---|---:|"]
    lines += [f"| {row.item} | {row.how} | {prices.cents(row.dollars)} |" for row in rows]
    return [*lines, f"| **sum** | | **{prices.cents(sum((row.dollars for row in rows), Decimal(0)))}** |"]
