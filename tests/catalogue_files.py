"""Reads the files of the catalogue: which models are alive, the parts of a request that they accept, and the cost of an answer.

The program has its own code that reads the same files, and tests compare the results. The simulator has its own list of models.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

CRATES = Path(__file__).parent.parent / "crates"
MILLION = 1_000_000


def read(*path):
    return json.loads(CRATES.joinpath(*path).read_text())


def fits(pattern, name):
    """`True` if a name matches a pattern: it is equal, or it continues the part before the final `*`."""
    return len(name) >= len(pattern) and name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def cached_tokens(usage):
    """Returns the cached tokens of a usage by kind."""
    hour = sum(each["inputTokens"] for each in usage.get("cacheDetails", ()) if each["ttl"] == "1h")
    written = usage["cacheWriteInputTokens"] - hour
    return {"cacheRead": usage["cacheReadInputTokens"], "cacheWrite5m": written, "cacheWrite1h": hour}


class Catalogue:
    """The catalogue as it applies to calls from one Region today."""

    def __init__(self, region):
        self.region = region
        self.today = datetime.now(UTC).date().isoformat()
        files = sorted((CRATES / "sentry-models" / "catalogue").glob("*.json"))
        providers = [read(file) for file in files if file.name != "common.json"]
        common = read("sentry-models", "catalogue", "common.json")
        self.groups = common["regionGroups"]
        self.writes_at_input = [pattern for rule in common["cacheWriteAtInput"] for pattern in rule["models"]]
        self.simulated = read("bedrock-sim", "data", "ids.json")
        self.providers = {each["provider"]: [model["model"] for model in each["models"]] for each in providers}
        self.models = {model["model"]: model for each in providers for model in each["models"]}
        self.rules = [rule for each in providers for rule in each["takes"]]
        self.profile_only = [
            pattern for each in providers for rule in each["profileOnly"] for pattern in rule["models"]
        ]

    def name(self, model):
        """Returns the name that clients use for a model: its first alias, or its id if it has no alias."""
        return self.models[model].get("aliases", [model])[0]

    def named(self, name):
        """Returns the model of an alias, or of an id without a Region group. None for any other name."""
        return next((model for model, entry in self.models.items() if name in (model, *entry.get("aliases", ()))), None)

    def has_ended(self, name):
        return self.models.get(self.named(name), {}).get("ends", "9999") <= self.today

    def heir(self, name):
        """Returns the first name that has not ended: `name` itself, or one of its successors."""
        while self.has_ended(name):
            name = self.models[self.named(name)]["successor"]
        return name

    def callable(self, name):
        """Returns the id under which the Region calls the model that has this name."""
        return self.model_id(self.named(name))

    def model_id(self, model):
        """Returns the id under which the Region calls a model, or None if it cannot be called.

        The order is: the profile of the Region's group, the global profile, the model's own id.
        """
        groups = [group for group in self.groups if group != "global"]
        form = next((form for form in (*groups, "global", "bare") if self.has_form(model, form)), None)
        return form and (model if form == "bare" else f"{form}.{model}")

    def has_form(self, model, form):
        listed = form in self.models[model].get("forms", ()) and self.is_here(form)
        return listed or any(self.holds(model, row, form) for row in self.models[model].get("prices", ()))

    def is_here(self, form):
        return form == "bare" or any(fits(pattern, self.region) for pattern in self.groups[form])

    def holds(self, model, row, form):
        """`True` if the price of a row applies to a form of the model in this Region."""
        if form not in row["for"]:
            return False
        if "regions" in row:
            return any(fits(pattern, self.region) for pattern in row["regions"])
        return self.is_here(form) and not (
            form == "bare" and any(fits(pattern, model) for pattern in self.profile_only)
        )

    def price(self, model_id):
        """Returns the price of an id, or None. A row that names the Region takes precedence over a row that does not."""
        model = self.foundation(model_id)
        form = "bare" if model == model_id else model_id.partition(".")[0]
        rows = [row for row in self.models[model].get("prices", ()) if self.holds(model, row, form)]
        return min(rows, key=lambda row: "regions" not in row)["price"] if rows else None

    def rates(self, model_id, usage):
        """Returns the rates of each kind of token for the tier and the prompt length in `usage`."""
        price = self.price(model_id)
        long, rates = price.get("longContext"), price
        if "serviceTier" in usage:
            rates = price["tiers"][usage["serviceTier"]]
        elif long and usage["totalTokens"] - usage["outputTokens"] > long["above"]:
            rates = long["rates"]
        if any(fits(pattern, self.foundation(model_id)) for pattern in self.writes_at_input):
            rates = {"cacheWrite5m": rates["input"], **rates}
        return rates

    def foundation(self, model_id):
        group, _, model = model_id.partition(".")
        return model if group in self.groups else model_id

    def cost(self, model_id, usage):
        """Returns the cost of an answer in dollars. Each kind of token has its own rate. Fails if a rate is unknown."""
        cached = cached_tokens(usage)
        kinds = {"input": usage["inputTokens"], "output": usage["outputTokens"], **cached}
        return self._sum(model_id, usage, kinds)

    def saved(self, model_id, usage):
        """Returns the dollars that the cache saved, or None if nothing was cached. Negative if it cost more."""
        cached = cached_tokens(usage)
        full = self._sum(model_id, usage, {"input": sum(cached.values())})
        return full - self._sum(model_id, usage, cached) if any(cached.values()) else None

    def _sum(self, model_id, usage, kinds):
        rates = self.rates(model_id, usage)
        spent = {kind: tokens for kind, tokens in kinds.items() if tokens}
        assert spent.keys() <= rates.keys(), f"{model_id} has no rate for one of {spent}"
        return sum((Decimal(rates[kind]) * tokens / MILLION for kind, tokens in spent.items()), Decimal(0))

    def takes(self, model):
        """Returns the properties of a model from its entry and its matching rules. Rules override the entry."""
        found: dict[str, Any] = {}
        for layer in (
            self.models[model].get("takes", {}),
            *(rule["takes"] for rule in self.rules if any(fits(each, model) for each in rule["models"])),
        ):
            for name, value in layer.items():
                found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
        return found

    def alive(self):
        """Returns the models that can be called today and have a price, newest first. Providers take turns."""

        def lives(model):
            ends = (self.models[model].get("ends"), self.simulated.get(model, {}).get("ends"))
            return (
                model in self.simulated
                and all(day is None or day > self.today for day in ends)
                and self.model_id(model)
                and self.price(self.model_id(model))
            )

        turns = zip_longest(
            *([model for model in reversed(models) if lives(model)] for models in self.providers.values())
        )
        return [model for model in chain.from_iterable(turns) if model]
