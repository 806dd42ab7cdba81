"""The bill of a simulated month: what the simulator was really asked, at list prices, as AWS bills Bedrock.

A line is the tokens of one kind, of one model, on one day, through one profile. Its sources:

- A call through an application inference profile has the tags of the profile, and other calls have none. Source: Amazon
  Bedrock User Guide, "Tracking costs with application inference profiles".
- Usage types are named `USE1-Claude4.6Sonnet-input-tokens`, `…-output-tokens`, `…-cache-read-input-token-count` and
  `…-cache-write-input-token-count`, and amounts are in thousands of tokens. Source: Amazon Bedrock User Guide,
  "Understanding CUR data".
- Claude is a product of its own, such as `Claude Sonnet 4.6 (Amazon Bedrock Edition)`, that AWS Marketplace bills. The
  models of others here are `Amazon Bedrock`. Source: reports of people with accounts, read in November 2026.
- `provider`, `model`, `inferenceType` and `feature` are product attributes. Source: AWS Billing and Cost Management API
  Reference, `ProductAttributeValues`, which names the values for input and output. The names for the two cache kinds are
  ours.

A new list price holds from its day on, whenever the administrator of the sentry hears of it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from month_prices import RATES, Prices

Row = dict[str, Any]
REGION, ACCOUNT = "us-east-1", "000000000000"
INFERENCE_TYPES = {
    "input": "Input tokens",
    "output": "Output tokens",
    "cacheRead": "Cache read input tokens",
    "cacheWrite": "Cache write input tokens",
}
USAGE_TYPES = {
    "input": "input-tokens",
    "output": "output-tokens",
    "cacheRead": "cache-read-input-token-count",
    "cacheWrite": "cache-write-input-token-count",
}


@dataclass(frozen=True)
class Product:
    """How the bill names a model."""

    provider: str
    model: str
    usage_type: str

    @property
    def service(self) -> str:
        """The value of the dimension SERVICE."""
        return f"{self.model} (Amazon Bedrock Edition)" if self.provider == "Anthropic" else "Amazon Bedrock"

    @property
    def billing_entity(self) -> str:
        """The seller."""
        return "AWS Marketplace" if self.provider == "Anthropic" else "AWS"


PRODUCTS = {
    "anthropic.claude-sonnet-4-6": Product("Anthropic", "Claude Sonnet 4.6", "Claude4.6Sonnet"),
    "anthropic.claude-haiku-4-5-20251001-v1:0": Product("Anthropic", "Claude Haiku 4.5", "Claude4.5Haiku"),
    "anthropic.claude-opus-4-6-v1": Product("Anthropic", "Claude Opus 4.6", "Claude4.6Opus"),
    "amazon.nova-lite-v1:0": Product("Amazon", "Nova Lite", "NovaLite"),
    "amazon.nova-pro-v1:0": Product("Amazon", "Nova Pro", "NovaPro"),
    "meta.llama3-3-70b-instruct-v1:0": Product("Meta", "Llama 3.3 70B Instruct", "Llama3-3-70B"),
    "mistral.mistral-large-3-675b-instruct": Product("Mistral AI", "Mistral Large 3", "MistralLarge3"),
    "qwen.qwen3-235b-a22b-2507-v1:0": Product("Qwen", "Qwen3 235B A22B 2507", "Qwen3-235B-A22B"),
    "qwen.qwen3-32b-v1:0": Product("Qwen", "Qwen3 32B", "Qwen3-32B"),
    "openai.gpt-oss-120b-1:0": Product("OpenAI", "gpt-oss-120b", "gpt-oss-120b"),
}


def foundation_of(model_id: str) -> str:
    """The id of the foundation model without the group of Regions."""
    return model_id.removeprefix("us.")


def bill(calls: list[Row], profiles: list[Row], prices: Prices) -> list[Row]:
    """The lines of the bill for the simulator's calls (`simulator.jsonl`)."""
    by_arn = {profile["arn"]: profile for profile in profiles}
    tokens: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
    moments: dict[str, datetime] = {}
    for call in calls:
        day = call["at"][:10]
        moments.setdefault(day, datetime.fromisoformat(f"{day}T00:00:00+00:00"))
        profile = by_arn.get(call["modelId"])
        source = profile["source"] if profile else call["modelId"]
        for kind in RATES:
            count = (call["spent"] or {}).get(kind, 0)
            if count:
                tokens[day, call["modelId"], source, kind] += count
    return [
        line(day, by_arn.get(called), source, kind, count, prices.rates(source, moments[day], on_the_bill=True))
        for (day, called, source, kind), count in sorted(tokens.items())
    ]


def line(day: str, profile: Row | None, source: str, kind: str, count: int, rates: dict[str, Decimal]) -> Row:
    """One line of the bill."""
    product = PRODUCTS[foundation_of(source)]
    dollars = rates[RATES[kind]] * count / 1_000_000
    return {
        "day": day,
        "service": product.service,
        "billingEntity": product.billing_entity,
        "usageType": f"USE1-{product.usage_type}-{USAGE_TYPES[kind]}",
        "region": REGION,
        "linkedAccount": ACCOUNT,
        "provider": product.provider,
        "model": product.model,
        "inferenceType": INFERENCE_TYPES[kind],
        "feature": "On-demand Inference",
        "resourceId": profile["arn"] if profile else None,
        "tags": profile["tags"] if profile else {},
        "thousandsOfTokens": format(Decimal(count) / 1000, "f"),
        "usd": format(dollars, "f"),
    }
