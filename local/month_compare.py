"""Compares the leading figures of a month (usage history) with the trailing ones (bill), and names each difference.

Of a cost center, the bill minus the history is the sum of these, in dollars:

| reason | what |
|---|---|
| `untagged` | calls of the cost center through no profile, or through one without the tag. They are in the bill's group without a value |
| `ungoverned` | calls that bypass the sentry |
| `price` | the bill has a new price before the administrator enters it |
| `late` | days that the bill does not have yet |
| `unknown` | calls whose usage the sentry does not know: the bill has the tokens, the history counts the whole hold |
| `rounding` | Cost Explorer rounds each amount to ten decimals |
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from cost_explorer import LATE, Bill, CostExplorer, end_of
from month_check import history_sums, source_of
from month_data import Data
from month_prices import PICODOLLARS, Prices

Row = dict[str, Any]
TAG = "costCenter"
REASONS = ("untagged", "ungoverned", "price", "late", "unknown", "rounding")
# The largest difference that rounding one amount a day can make.
ROUNDING_A_DAY = Decimal("0.00000000005")


@dataclass
class Compared:
    """One cost center. The name of the group without a value is empty."""

    leading: Decimal = Decimal(0)
    trailing: Decimal = Decimal(0)
    reasons: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    @property
    def unexplained(self) -> Decimal:
        """The difference that no reason explains."""
        return self.trailing - self.leading - sum(self.reasons.values(), Decimal(0))


def compare(data: Data, prices: Prices, now: datetime) -> dict[str, Compared]:
    """The comparison by cost center, with the bill of the moment `now`."""
    groups: defaultdict[str, Compared] = defaultdict(Compared)
    for group, usd in leading(data).items():
        groups[group].leading = usd
    for group, usd in trailing(data, now).items():
        groups[group].trailing = usd
    profiles = {profile["arn"]: profile for profile in data.facts["profiles"]}
    for call in data["simulator"]:
        if call["spent"]:
            profile = profiles.get(call["modelId"])
            explain(
                groups,
                call,
                (profile or {"tags": {}})["tags"].get(TAG, ""),
                source_of(data, call["modelId"]),
                prices,
                now,
            )
    for group, usd in unknown_holds(data).items():
        groups[group].reasons["unknown"] -= usd
    days = len({line["day"] for line in data["bill"]})
    for compared in groups.values():
        if abs(compared.unexplained) <= ROUNDING_A_DAY * days:
            compared.reasons["rounding"] += compared.unexplained
    return dict(groups)


def explain(
    groups: defaultdict[str, Compared], call: Row, billed_to: str, source: str, prices: Prices, now: datetime
) -> None:
    """Adds what one call does to the difference. `billed_to` is the value of its tag on the bill."""
    at = datetime.fromisoformat(call["at"])
    tokens = {kind: call["spent"][kind] for kind in ("input", "output", "cacheRead", "cacheWrite")}
    midnight = datetime.fromisoformat(f"{call['at'][:10]}T00:00:00+00:00")
    billed = prices.cost(source, midnight, tokens, on_the_bill=True)
    if end_of(call["at"][:10]) + LATE > now:
        groups[billed_to].reasons["late"] -= billed
    if call["direct"]:
        groups[billed_to].reasons["ungoverned"] += billed
        return
    cost_center = call["metadata"].get(TAG, "unspecified")
    if billed_to != cost_center:
        groups[cost_center].reasons["untagged"] -= billed
        groups[billed_to].reasons["untagged"] += billed
    if call["told"]:
        groups[cost_center].reasons["price"] += billed - prices.cost(source, at, tokens)
    else:
        groups[cost_center].reasons["unknown"] += billed


def leading(data: Data) -> dict[str, Decimal]:
    """The dollars of each cost center in the history: known usage, and the holds of unknown usage."""
    found: defaultdict[str, Decimal] = defaultdict(Decimal)
    for (scope, _), figures in history_sums(data["history"]).items():
        kind, _, value = scope.partition("#")
        if kind == TAG and "+" not in scope:
            found[value] += Decimal(figures["picodollars"] + figures["unknownPicodollars"]) / PICODOLLARS
    return found


def unknown_holds(data: Data) -> dict[str, Decimal]:
    """The dollars of unknown usage of each cost center in the history."""
    found: defaultdict[str, Decimal] = defaultdict(Decimal)
    for (scope, _), figures in history_sums(data["history"]).items():
        kind, _, value = scope.partition("#")
        if kind == TAG and "+" not in scope:
            found[value] += Decimal(figures["unknownPicodollars"]) / PICODOLLARS
    return found


def trailing(data: Data, now: datetime) -> dict[str, Decimal]:
    """The dollars of each cost center as Cost Explorer tells them, by day."""
    start, end = (datetime.fromisoformat(data.facts[name]).date() for name in ("start", "end"))
    explorer = CostExplorer(Bill(data["bill"], {TAG: date(2020, 1, 1)}), now)
    request = {
        "TimePeriod": {"Start": start.isoformat(), "End": end.isoformat()},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "TAG", "Key": TAG}],
    }
    found: defaultdict[str, Decimal] = defaultdict(Decimal)
    for result in explorer.answer("GetCostAndUsage", request)["ResultsByTime"]:
        for group in result["Groups"]:
            found[group["Keys"][0].removeprefix(f"{TAG}$")] += Decimal(group["Metrics"]["UnblendedCost"]["Amount"])
    return found


def unexplained(data: Data, prices: Prices) -> list[str]:
    """The cost centers with a difference that no reason explains: just after the month, and when the bill has all days."""
    now = datetime.fromisoformat(data.facts["now"])
    return [
        f"the bill of {group or 'nobody'} at {moment:%Y-%m-%d %H:%M} has {compared.unexplained} dollars without a reason"
        for moment in (now, now + timedelta(days=3))
        for group, compared in compare(data, prices, moment).items()
        if compared.unexplained
    ]


def table(data: Data, prices: Prices) -> str:
    """The comparison just after the month, in Markdown."""
    lines = [
        f"| cost center | history, $ | {' | '.join(f'{reason}, $' for reason in REASONS[:-1])} | bill, $ |",
        "|---|" + "---:|" * (len(REASONS) + 1),
    ]
    for group, compared in sorted(compare(data, prices, datetime.fromisoformat(data.facts["now"])).items()):
        reasons = " | ".join(f"{compared.reasons[reason]:+.4f}" for reason in REASONS[:-1])
        lines.append(f"| {group or '(no tag)'} | {compared.leading:.4f} | {reasons} | {compared.trailing:.4f} |")
    return "\n".join(lines)
