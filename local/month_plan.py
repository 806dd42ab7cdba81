"""The plan of a simulated month: who asks which model for what, and when. The same seed gives the same plan.

Twelve applications of four cost centers use eight models. Some call a model through an application inference profile of
their cost center, whose tags are on the bill, and one profile has no tags. The plan has failures, refused documents,
repeated ids, cached prompts, a day on which one application spends too much, calls that bypass the sentry, and a price
that changes in mid-month.
"""

from __future__ import annotations

import calendar
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

# The hours (UTC) at which clients send requests, with the share of the day's requests.
HOURS = {3: 0.06, 8: 0.16, 10: 0.24, 13: 0.22, 16: 0.22, 20: 0.10}
# The share of a normal day's requests on Saturdays and Sundays.
WEEKEND, WEEKEND_SUPPORT = 0.2, 0.6
# The share of requests of each kind that do not simply succeed.
FAULTS = {
    "throttling times=1": 0.004,
    "throttling": 0.001,
    "internal": 0.003,
    "model-timeout": 0.002,
    "model-error": 0.002,
    "missing-usage": 0.002,
    "malformed": 0.001,
    "close": 0.001,
    "access-denied": 0.002,
}
REFUSED, REPEATED = 0.004, 0.003
# The part of a maximum that an answer uses, on average. Clients ask for more than they need.
USED_OF_MAXIMUM = 0.6
WORDS = ["order", "invoice", "delivery", "refund", "contract", "margin", "release", "budget", "region", "customer"]
# Bytes of a text that is cached: above the minimum of all models that have one here (1,024 tokens of 4 bytes).
CACHED_BYTES = 5_200


@dataclass(frozen=True)
class Profile:
    """An application inference profile. Its name is also the alias that clients use (an item of the catalogue table)."""

    name: str
    source: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Application:
    """A client. `weight` is its share of the requests, and the other numbers are averages of one request."""

    name: str
    cost_center: str
    model: str
    weight: float
    prompt_bytes: int
    output_tokens: int
    cached: bool = False
    environment: str = "production"


@dataclass(frozen=True)
class Request:
    """One request of an application, or one call that bypasses the sentry (`direct`: the id to call)."""

    number: int
    at: datetime
    application: Application
    prompt_bytes: int
    output_tokens: int
    max_tokens: int
    kind: str = "usual"
    fault: str | None = None
    direct: str | None = None

    @property
    def request_id(self) -> str:
        """The client's id of the request. A repeated request has the id of the one before it."""
        number = self.number - 1 if self.kind == "repeated" else self.number
        return f"month-{number:06}"


@dataclass(frozen=True)
class PriceChange:
    """A list price in dollars per million tokens that holds from `at` on. The administrator enters it at `known_at`."""

    model: str
    at: datetime
    known_at: datetime
    price: dict[str, str]


@dataclass
class Plan:
    """A month."""

    month: str
    seed: int
    start: datetime
    end: datetime
    change: PriceChange
    overspending: tuple[str, date]
    requests: list[Request] = field(default_factory=list)

    def slots(self) -> list[tuple[datetime, list[Request]]]:
        """The requests by the hour at which they are sent, in the order of time."""
        found: dict[datetime, list[Request]] = {}
        for request in self.requests:
            found.setdefault(request.at, []).append(request)
        return sorted(found.items())

    def independent(self) -> Plan:
        """The same plan without requests whose usage or decision depends on that of another one: without prompt caches,
        which the request before fills, and without repeated ids."""
        kept = (request for request in self.requests if request.kind != "repeated")
        requests = [replace(each, application=replace(each.application, cached=False)) for each in kept]
        return replace(self, requests=requests)


SONNET, HAIKU = "us.anthropic.claude-sonnet-4-6", "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA_PRO, NOVA_LITE = "us.amazon.nova-pro-v1:0", "us.amazon.nova-lite-v1:0"
OPUS = "us.anthropic.claude-opus-4-6-v1"
MISTRAL = "mistral.mistral-large-3-675b-instruct"

PROFILES = [
    Profile("support-haiku", HAIKU, {"costCenter": "support", "application": "helpdesk-chat"}),
    Profile("support-nova-lite", NOVA_LITE, {"costCenter": "support", "application": "ticket-triage"}),
    Profile("marketing-sonnet", SONNET, {"costCenter": "marketing", "application": "campaign-writer"}),
    Profile("engineering-sonnet", SONNET, {"costCenter": "engineering", "application": "code-review"}),
    # Somebody forgot the tags.
    Profile("finance-nova-pro", NOVA_PRO, {}),
]
APPLICATIONS = [
    Application("helpdesk-chat", "support", "support-haiku", 20, 1_800, 260),
    Application("ticket-triage", "support", "support-nova-lite", 14, 1_200, 60),
    Application("answer-search", "support", "llama-3-3-70b", 9, 2_400, 180),
    Application("campaign-writer", "marketing", "marketing-sonnet", 6, 1_600, 520, cached=True),
    Application("page-translator", "marketing", "mistral-large-3", 9, 2_000, 420),
    Application("caption-maker", "marketing", "nova-lite", 7, 600, 50),
    Application("code-review", "engineering", "engineering-sonnet", 10, 2_800, 340, cached=True),
    Application("test-writer", "engineering", "qwen3-235b", 6, 2_000, 480, environment="staging"),
    Application("release-notes", "engineering", "gpt-oss-120b", 4, 1_500, 220, environment="staging"),
    Application("contract-check", "finance", "finance-nova-pro", 5, 3_200, 300, cached=True),
    Application("invoice-reader", "finance", "finance-nova-pro", 7, 1_400, 90),
    Application("forecast-notes", "finance", "gpt-oss-120b", 3, 1_000, 240),
]
BY_NAME = {application.name: application for application in APPLICATIONS}
# On this day of the month, this application sends so many times its usual requests: a loop that nobody stopped.
OVERSPENDING_DAY, OVERSPENDER, OVERSPENDING_FACTOR = 18, "campaign-writer", 9
# Calls that bypass the sentry: who, the id or the name of the profile that is called, calls in the month.
ROUND_THE_SENTRY = [
    ("code-review", OPUS, 40),
    ("contract-check", NOVA_PRO, 60),
    ("campaign-writer", "marketing-sonnet", 25),
]
# Days of the month on which the price changes, and on which the administrator enters the new price.
PRICE_CHANGE_DAY, PRICE_KNOWN_DAY = 16, 19
NEW_PRICE = {"input": "0.40", "output": "1.20"}


def make(month: str, requests: int, seed: int) -> Plan:
    """The plan of the month `2026-11`, with about `requests` requests."""
    year, number = (int(part) for part in month.split("-"))
    start = datetime(year, number, 1, tzinfo=UTC)
    days = calendar.monthrange(year, number)[1]
    change = PriceChange(
        MISTRAL, start + timedelta(days=PRICE_CHANGE_DAY - 1), start + timedelta(days=PRICE_KNOWN_DAY - 1), NEW_PRICE
    )
    overspending = (OVERSPENDER, (start + timedelta(days=OVERSPENDING_DAY - 1)).date())
    plan = Plan(month, seed, start, start + timedelta(days=days), change, overspending)
    chance = random.Random(seed)
    dates = [start.date() + timedelta(days=day) for day in range(days)]
    weights = sum(each.weight * weekday_factor(each.cost_center, day) for each in APPLICATIONS for day in dates)
    for day in range(days):
        for hour, share in HOURS.items():
            at = plan.start + timedelta(days=day, hours=hour)
            add_slot(plan, chance, at, requests * share / weights)
    add_direct_calls(plan, chance, days)
    plan.requests.sort(key=lambda request: (request.at, request.number))
    return plan


def weekday_factor(cost_center: str, day: date) -> float:
    """The share of a usual day's requests."""
    if day.weekday() < 5:
        return 1.0
    return WEEKEND_SUPPORT if cost_center == "support" else WEEKEND


def add_slot(plan: Plan, chance: random.Random, at: datetime, requests: float) -> None:
    """Adds the requests of one hour: `requests` for each unit of weight on a usual day."""
    for application in APPLICATIONS:
        expected = requests * application.weight * weekday_factor(application.cost_center, at.date())
        count = whole(chance, expected)
        overspends = plan.overspending == (application.name, at.date())
        for _ in range(max(count, 1) * OVERSPENDING_FACTOR if overspends else count):
            plan.requests.append(usual(plan, chance, at, application, "overspending" if overspends else "usual"))


def whole(chance: random.Random, expected: float) -> int:
    """A whole number whose average is `expected`."""
    return int(expected) + (chance.random() < expected - int(expected))


def usual(plan: Plan, chance: random.Random, at: datetime, application: Application, kind: str) -> Request:
    """A request of an application. A small share of them fails, is refused, or repeats the one before."""
    luck, fault = chance.random(), None
    for name, share in FAULTS.items():
        luck -= share
        if luck < 0:
            fault = name
            break
    if fault is None and 0 <= luck < REFUSED:
        kind = "refused"
    last = plan.requests[-1] if plan.requests else None
    if REFUSED <= luck < REFUSED + REPEATED and last and repeatable(last, at, application):
        kind = "repeated"
    output = max(5, round(application.output_tokens * chance.uniform(0.5, 1.5)))
    return Request(
        number=len(plan.requests) + 1,
        at=at,
        application=application,
        prompt_bytes=round(application.prompt_bytes * chance.uniform(0.6, 1.4)),
        output_tokens=output,
        max_tokens=round(output / USED_OF_MAXIMUM * chance.uniform(1.0, 1.5)),
        kind=kind,
        fault=fault,
    )


def repeatable(last: Request, at: datetime, application: Application) -> bool:
    """True if the request before can be sent again: by the same application, with a known result."""
    return (
        last.at == at and last.application == application and last.kind in ("usual", "overspending") and not last.fault
    )


def add_direct_calls(plan: Plan, chance: random.Random, days: int) -> None:
    """Adds the calls that bypass the sentry. They happen on weekdays."""
    weekdays = [day for day in range(days) if (plan.start + timedelta(days=day)).weekday() < 5]
    share = min(1.0, len(plan.requests) / 5_000)
    for name, called, calls in ROUND_THE_SENTRY:
        for _ in range(max(1, round(calls * share))):
            at = plan.start + timedelta(days=chance.choice(weekdays), hours=chance.choice([10, 13, 16]))
            request = usual(plan, chance, at, BY_NAME[name], "direct")
            plan.requests.append(Request(**{**vars(request), "kind": "direct", "fault": None, "direct": called}))


def text(request: Request) -> str:
    """The text of a prompt, with the directive for the simulator."""
    chance = random.Random(request.number)
    words = f"Request {request.number}:"
    while len(words) < request.prompt_bytes:
        words += " " + chance.choice(WORDS)
    told = f"wanted-tokens={request.output_tokens}"
    if request.fault:
        told += f" fault={request.fault}"
    return f"{words} [[sim {told}]]"


def cached_text(application: Application) -> str:
    """The text that all requests of an application have before their own."""
    line = f"The style guide of {application.name}. "
    return line * (CACHED_BYTES // len(line) + 1)


def document(request: Request) -> dict[str, object]:
    """The document of the contract for a request."""
    application = request.application
    content: object = text(request)
    if application.cached:
        point = {"cachePoint": {"type": "default"}}
        content = [{"text": cached_text(application)}, point, {"text": content}]
    parameters: dict[str, object] = {"max_tokens": request.max_tokens}
    if request.kind == "refused":
        parameters["temprature"] = 0.5
    tags = {
        "applicationId": application.name,
        "costCenter": application.cost_center,
        "environment": application.environment,
        "requestId": request.request_id,
    }
    prompt = {"messages": [{"role": "user", "content": content}], "parameters": parameters}
    return {"model": application.model, "prompt": prompt, "tags": tags}
