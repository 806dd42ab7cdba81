"""The catalogue's files, read on their own: which models are alive, what they take, and what an answer of theirs costs.

The program has its own reading of the same files; a test compares the two. Which models the simulator knows is in its own list.
"""

import json
from datetime import datetime, timezone
from decimal import Decimal
from itertools import chain, zip_longest
from pathlib import Path

CRATES = Path(__file__).parent.parent / "crates"
MILLION = 1_000_000


def read(*path):
    return json.loads(CRATES.joinpath(*path).read_text())


def fits(pattern, name):
    """Whether a name is the pattern, or begins with what stands before its `*`."""
    return len(name) >= len(pattern) and name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


class Catalogue:
    """The models as they are called from one Region today."""

    def __init__(self, region):
        self.region = region
        self.today = datetime.now(timezone.utc).date().isoformat()
        files = sorted((CRATES / "sentry-models" / "catalogue").glob("*.json"))
        providers = [read(file) for file in files if file.name != "common.json"]
        self.groups = read("sentry-models", "catalogue", "common.json")["regionGroups"]
        self.simulated = read("bedrock-sim", "data", "ids.json")
        self.providers = {each["provider"]: [model["model"] for model in each["models"]] for each in providers}
        self.models = {model["model"]: model for each in providers for model in each["models"]}
        self.rules = [rule for each in providers for rule in each["takes"]]
        self.profile_only = [pattern for each in providers for rule in each["profileOnly"] for pattern in rule["models"]]

    def name(self, model):
        """The name that clients have for a model: its first alias, or else its id."""
        return self.models[model].get("aliases", [model])[0]

    def named(self, name):
        """The model of an alias or of an id without its Region group; None for others."""
        return next((model for model, entry in self.models.items() if name in (model, *entry.get("aliases", ()))), None)

    def has_ended(self, name):
        return self.models.get(self.named(name), {}).get("ends", "9999") <= self.today

    def heir(self, name):
        """The name of the model that replaces one that has ended: of its successors the first that has not."""
        while self.has_ended(name):
            name = self.models[self.named(name)]["successor"]
        return name

    def callable(self, name):
        """The id under which the Region calls the model of a name."""
        return self.model_id(self.named(name))

    def model_id(self, model):
        """The id under which the Region calls a model: its group's profile, else the global one, else its own; None where there is none."""
        groups = [group for group in self.groups if group != "global"]
        form = next((form for form in (*groups, "global", "bare") if self.has_form(model, form)), None)
        return form and (model if form == "bare" else f"{form}.{model}")

    def has_form(self, model, form):
        listed = form in self.models[model].get("forms", ()) and self.is_here(form)
        return listed or any(self.holds(model, row, form) for row in self.models[model].get("prices", ()))

    def is_here(self, form):
        return form == "bare" or any(fits(pattern, self.region) for pattern in self.groups[form])

    def holds(self, model, row, form):
        """Whether a row's price is that of a form in this Region."""
        if form not in row["for"]:
            return False
        if "regions" in row:
            return any(fits(pattern, self.region) for pattern in row["regions"])
        return self.is_here(form) and not (form == "bare" and any(fits(pattern, model) for pattern in self.profile_only))

    def price(self, model_id):
        """The row of an id; one that names the Region comes before one that does not."""
        form, _, model = model_id.partition(".")
        form, model = (form, model) if form in self.groups else ("bare", model_id)
        rows = [row for row in self.models[model].get("prices", ()) if self.holds(model, row, form)]
        return min(rows, key=lambda row: "regions" not in row)["price"] if rows else None

    def cost(self, model_id, usage):
        """What an answer costs, in dollars: every kind of token at its rate, of the tier and the length that `usage` tells; None where a rate is unknown."""
        price = self.price(model_id)
        kinds = {"input": usage["inputTokens"], "output": usage["outputTokens"], "cacheRead": usage["cacheReadInputTokens"]}
        kinds["cacheWrite1h"] = sum(each["inputTokens"] for each in usage.get("cacheDetails", ()) if each["ttl"] == "1h")
        kinds["cacheWrite5m"] = usage["cacheWriteInputTokens"] - kinds["cacheWrite1h"]
        long, rates = price.get("longContext"), price
        if "serviceTier" in usage:
            rates = price["tiers"][usage["serviceTier"]]
        elif long and usage["totalTokens"] - usage["outputTokens"] > long["above"]:
            rates = long["rates"]
        spent = {kind: tokens for kind, tokens in kinds.items() if tokens}
        if not spent.keys() <= rates.keys():
            return None
        return sum((Decimal(rates[kind]) * tokens / MILLION for kind, tokens in spent.items()), Decimal(0))

    def takes(self, model):
        """What an entry and the rules over it say that a model takes."""
        found = {}
        for layer in (self.models[model].get("takes", {}), *(rule["takes"] for rule in self.rules if any(fits(each, model) for each in rule["models"]))):
            for name, value in layer.items():
                found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
        return found

    def alive(self):
        """The models that can be called today and have a price, newest first, taken from the providers in turns."""
        def lives(model):
            ends = (self.models[model].get("ends"), self.simulated.get(model, {}).get("ends"))
            return model in self.simulated and all(day is None or day > self.today for day in ends) and self.model_id(model) and self.price(self.model_id(model))

        turns = zip_longest(*([model for model in reversed(models) if lives(model)] for models in self.providers.values()))
        return [model for model in chain.from_iterable(turns) if model]
