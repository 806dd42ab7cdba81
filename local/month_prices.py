"""Prices of the simulated month, computed independently of the sentry: from the catalogue's files, with `Decimal`.

A model has the rates of the first row of its entry that is for the form of its id (`us` for `us.…`, otherwise `bare`) and
for no Region in particular. All models of the month have such a row, and no long-context rates apply to their prompts.
"""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from month_plan import PriceChange

MILLION = Decimal(1_000_000)
PICODOLLARS = 10**12
# The kinds of tokens, as the simulator and the history name them, with the name of their rate in the catalogue.
RATES = {"input": "input", "output": "output", "cacheRead": "cacheRead", "cacheWrite": "cacheWrite5m"}
Tokens = dict[str, int]


class NoPrice(Exception):
    """The catalogue has no rate for these tokens."""


@dataclass(frozen=True)
class Prices:
    """The rates of the catalogue, and one change in mid-month."""

    entries: dict[str, dict[str, Any]]
    written_at_input: list[str]
    change: PriceChange

    @classmethod
    def of(cls, catalogue: Path, change: PriceChange) -> Prices:
        """Reads the catalogue's files."""
        files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(catalogue.glob("*.json"))]
        entries = {entry["model"]: entry for file in files for entry in file.get("models", [])}
        at_input = [
            model for file in files for fact in file.get("cacheWriteAtInput", []) for model in fact.get("models", [])
        ]
        return cls(entries, at_input, change)

    def rates(self, model_id: str, at: datetime, *, on_the_bill: bool) -> dict[str, Decimal]:
        """Dollars per million tokens of each kind. The bill has a new price from its first day on, and the sentry from the
        moment on at which the administrator enters it.
        """
        since = self.change.at if on_the_bill else self.change.known_at
        if model_id == self.change.model and at >= since:
            return {name: Decimal(rate) for name, rate in self.change.price.items()}
        form, _, rest = model_id.partition(".")
        model = rest if form == "us" else model_id
        rows = self.entries[model]["prices"] if model in self.entries else []
        wanted = "us" if form == "us" else "bare"
        for row in rows:
            if wanted in row["for"] and not row.get("regions"):
                return self._with_writes(model, row["price"])
        raise NoPrice(f"the catalogue has no price for {model_id}")

    def _with_writes(self, model: str, price: dict[str, Any]) -> dict[str, Decimal]:
        rates = {name: Decimal(price[name]) for name in RATES.values() if name in price}
        if any(fnmatch.fnmatchcase(model, pattern) for pattern in self.written_at_input):
            rates.setdefault("cacheWrite5m", rates["input"])
        return rates

    def cost(self, model_id: str, at: datetime, tokens: Tokens, *, on_the_bill: bool = False) -> Decimal:
        """The exact dollars for the tokens of one call.

        # Raises
        NoPrice, if the price of a kind of tokens is unknown.
        """
        rates = self.rates(model_id, at, on_the_bill=on_the_bill)
        total = Decimal(0)
        for kind, name in RATES.items():
            if tokens.get(kind):
                if name not in rates:
                    raise NoPrice(f"the catalogue has no rate {name} for {model_id}")
                total += rates[name] * tokens[kind] / MILLION
        return total

    def saved(self, model_id: str, at: datetime, tokens: Tokens) -> Decimal:
        """The saving of the prompt cache in one call: its cached tokens at the input rate, less their cost. It is negative if the
        writes cost more than the reads saved.
        """
        cached = {kind: tokens.get(kind, 0) for kind in ("cacheRead", "cacheWrite")}
        without = {"input": sum(cached.values())}
        return self.cost(model_id, at, without) - self.cost(model_id, at, cached)


def picodollars(dollars: Decimal) -> int:
    """Dollars as whole picodollars. Every price is a whole number of picodollars per token."""
    exact = dollars * PICODOLLARS
    if exact != exact.to_integral_value():
        raise ValueError(f"{dollars} dollars are no whole number of picodollars")
    return int(exact)
