"""Computes the figures of a simulated month again, and compares them with the usage history.

The figures come from two records that do not depend on the history: the audit lines, and the simulator's own log. The
simulator knows nothing of denials, and the audit line knows nothing of prices (unless it has `cost_usd`), so each record
gives the figures that it can give. All sums are by scope and UTC day, as in the history (crates/sentry-history/README.md
lists the scopes of a request).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from month_bill import foundation_of
from month_data import Data
from month_plan import PriceChange
from month_prices import Prices, picodollars

Row = dict[str, Any]
Sums = dict[tuple[str, str], Counter[str]]
TAGS = {"application": "applicationId", "costCenter": "costCenter", "environment": "environment"}
WITH_MODEL = ("application", "costCenter")
# Items of the history's table that are no sums of requests, by the beginning of their scope.
UNGOVERNED = "ungoverned#"
OTHER_ITEMS = (UNGOVERNED, "metric-values#", "metric-combinations#", "request#", "responses")
KEYS = ("scope", "day", "expiresAt")
# What each record can give.
HELD = ("heldInput", "heldOutput", "heldPicodollars")
UNKNOWN = ("unknown", "unknownInput", "unknownOutput", "unknownPicodollars")
FROM_AUDIT = ("requests", "approved", "denied", "failed", "settled", "read", "output", *HELD, *UNKNOWN)
FROM_NEW_AUDIT = ("input", "cacheRead", "cacheWrite")
FROM_SIMULATOR = ("settled", "input", "output", "cacheRead", "cacheWrite", "picodollars")
# What the prompt cache saved, and what it cost in calls whose writes cost more than their reads saved. Older histories lack both.
SAVED = ("savedPicodollars", "lostPicodollars")
# Failures after which an answer was paid for and its usage is known.
KNOWN_USAGE = ("OutputTooLarge",)
# Failures after which Bedrock certainly did nothing. The plan has no others of these: no connection that was never made,
# and no model that is unavailable or not ready.
NOTHING_SPENT = ("ModelThrottled", "ModelAccessDenied", "ModelRejectedRequest")


def problems(data: Data, prices: Prices) -> list[str]:
    """Every difference between the records, one sentence each. Empty if all figures agree."""
    history = history_sums(data["history"])
    audit = audit_sums(data)
    found = clients_against_audit(data)
    found += differences("the audit lines", audit, history, of_audit(data))
    of_simulator = FROM_SIMULATOR + (SAVED if any(figures[SAVED[0]] for figures in history.values()) else ())
    found += differences("the simulator's log", simulator_sums(data, prices), history, of_simulator)
    found += costs_against_prices(data, prices)
    found += metrics_against_audit(data)
    if any(item["scope"].startswith(UNGOVERNED) for item in data["history"]):
        found += ungoverned_problems(data)
    return found


def prices_of(data: Data, catalogue: Path) -> Prices:
    """The prices of the month."""
    change = data.facts["priceChange"]
    at, known_at = (datetime.fromisoformat(change[name]) for name in ("at", "knownAt"))
    return Prices.of(catalogue, PriceChange(change["model"], at, known_at, change["price"]))


def requests_of(data: Data) -> list[Row]:
    """The audit lines of decided requests, each once. A message that SQS delivers twice can have two lines."""
    lines = {audit_key(line): line for line in data["audit"] if line["message"] == "request"}
    return list(lines.values())


def audit_key(line: Row) -> tuple[str, ...]:
    """The decision of a line."""
    execution = line.get("execution_id")
    return (execution,) if execution else (line["tags"]["requestId"], line["timestamp"])


def of_audit(data: Data) -> tuple[str, ...]:
    """The figures that the audit lines can give. Newer lines have the cached tokens and the cost."""
    lines = requests_of(data)
    new = bool(lines) and all("cache_read_tokens" in line for line in lines)
    costs = new and all("cost_usd" in line for line in lines if is_settled(line))
    return FROM_AUDIT + (FROM_NEW_AUDIT if new else ()) + (("picodollars",) if costs else ())


def history_sums(items: list[Row]) -> Sums:
    """The history's own figures. `read` is the sum of its kinds of input tokens."""
    sums: Sums = {}
    for item in items:
        if item["scope"].startswith(OTHER_ITEMS):
            continue
        figures = Counter({name: value for name, value in item.items() if name not in KEYS})
        figures["read"] = figures["input"] + figures["cacheRead"] + figures["cacheWrite"]
        sums[item["scope"], item["day"]] = figures
    return sums


def scopes(model_metric: str, foundation: str, tags: Row) -> list[str]:
    """The scopes for which a request counts. A missing tag is `unspecified`."""
    model = f"model#{model_metric}"
    of_tags = {scope: f"{scope}#{tags.get(tag, 'unspecified')}" for scope, tag in TAGS.items()}
    with_model = [f"{of_tags[scope]}+{model}" for scope in WITH_MODEL]
    return [model, f"foundation#{foundation}", *of_tags.values(), *with_model]


def foundations(data: Data) -> Callable[[str], str]:
    """The foundation model behind an id or an ARN."""
    sources = {profile["arn"]: profile["source"] for profile in data.facts["profiles"]}
    return lambda model_id: foundation_of(sources.get(model_id, model_id))


def metric_of(model_id: str) -> str:
    """The value under which CloudWatch counts a model: the id at the end of an ARN."""
    return model_id.rpartition("/")[2] if model_id.startswith("arn:") else model_id


def add(sums: Sums, names: Iterable[str], day: str, figures: Row) -> None:
    """Adds the figures of a request to each of its scopes."""
    for name in names:
        sums.setdefault((name, day), Counter()).update(figures)


def is_settled(line: Row) -> bool:
    """True if the usage of a decided request is known. Newer lines say it."""
    if "usage" in line:
        return bool(line["usage"] == "known")
    return line["outcome"] == "Succeeded" or line["code"] in KNOWN_USAGE


def is_unknown(line: Row) -> bool:
    """True if a decided request may have used something, but nobody knows how much."""
    if "usage" in line:
        return bool(line["usage"] == "unknown")
    return line["outcome"] == "InvocationFailed" and not is_settled(line) and line["code"] not in NOTHING_SPENT


def audit_sums(data: Data) -> Sums:
    """The figures of the audit lines."""
    sums: Sums = {}
    foundation = foundations(data)
    for line in requests_of(data):
        names = scopes(metric_of(line["model_id"]), foundation(line["model_id"]), line["tags"])
        add(sums, names, line["timestamp"][:10], audit_figures(line))
    return sums


def audit_figures(line: Row) -> Row:
    """The figures that one decided request adds."""
    figures: Row = {"requests": 1, "read": line["input_tokens"], "output": line["output_tokens"]}
    figures["denied" if line["outcome"] == "Denied" else "approved"] = 1
    if line["outcome"] == "InvocationFailed":
        figures["failed"] = 1
    for outcome, name in (("Denied", "denied"), ("InvocationFailed", "failed")):
        if line["outcome"] == outcome:
            figures[f"{name}#{line['code']}"] = 1
    if is_settled(line):
        figures |= {"settled": 1} | held(line, HELD)
    elif is_unknown(line):
        figures |= {"unknown": 1} | held(line, UNKNOWN[1:])
    cached = {
        kind: line.get(f"{name}_tokens", 0)
        for kind, name in (("cacheRead", "cache_read"), ("cacheWrite", "cache_write"))
    }
    figures |= cached
    figures["input"] = line["input_tokens"] - sum(cached.values())
    if "cost_usd" in line and is_settled(line):
        figures["picodollars"] = picodollars(Decimal(line["cost_usd"]))
    return figures


def held(line: Row, names: tuple[str, ...]) -> Row:
    """The hold of a request, under these names of input tokens, output tokens and picodollars."""
    dollars = picodollars(Decimal(line["held_usd"]))
    return dict(zip(names, (line["held_input_tokens"], line["held_output_tokens"], dollars), strict=True))


def simulator_sums(data: Data, prices: Prices) -> Sums:
    """The figures of the calls that came through the sentry and whose answer told their usage."""
    sums: Sums = {}
    foundation = foundations(data)
    for call in data["simulator"]:
        if call["direct"] or not call["told"] or call["status"] != 200:
            continue
        source = source_of(data, call["modelId"])
        tokens = {kind: call["spent"][kind] for kind in ("input", "output", "cacheRead", "cacheWrite")}
        at = datetime.fromisoformat(call["at"])
        figures = {"settled": 1, **tokens, "picodollars": picodollars(prices.cost(source, at, tokens))}
        saved = picodollars(prices.saved(source, at, tokens))
        figures[SAVED[saved < 0]] = abs(saved)
        names = scopes(metric_of(call["modelId"]), foundation(call["modelId"]), call["metadata"])
        add(sums, names, call["at"][:10], figures)
    return sums


def source_of(data: Data, model_id: str) -> str:
    """The id whose price a call has: that of the model from which a profile was made."""
    sources = {profile["arn"]: profile["source"] for profile in data.facts["profiles"]}
    return str(sources.get(model_id, model_id))


def differences(record: str, computed: Sums, history: Sums, names: tuple[str, ...]) -> list[str]:
    """The figures that differ, in both directions. A figure that one side lacks is zero."""
    found = []
    for key in sorted(computed.keys() | history.keys()):
        ours, theirs = computed.get(key, Counter()), history.get(key, Counter())
        coded = [name for name in {**ours, **theirs} if "#" in name and "requests" in names]
        for name in [*names, *sorted(coded)]:
            if ours[name] != theirs[name]:
                where = f"{key[0]} on {key[1]}"
                found.append(f"{name} of {where}: the history has {theirs[name]}, {record} have {ours[name]}")
    return found


def clients_against_audit(data: Data) -> list[str]:
    """Compares what the clients saw with the audit lines, by outcome and code. Refused requests have no line."""
    seen = Counter(
        (answer["outcome"], answer["code"])
        for answer in data["answers"]
        if answer["outcome"] not in ("Invalid", "Direct")
    )
    told = Counter((line["outcome"], line["code"]) for line in requests_of(data))
    return [
        f"{key}: the clients saw {seen[key]} answers, the audit has {told[key]} lines"
        for key in sorted({*seen, *told}, key=str)
        if seen[key] != told[key]
    ]


def costs_against_prices(data: Data, prices: Prices) -> list[str]:
    """Compares the cost in each answer, and in each audit line that has one, with the catalogue's price."""
    costs = {line["tags"]["requestId"]: line["cost_usd"] for line in requests_of(data) if "cost_usd" in line}
    found = []
    for answer in data["answers"]:
        if answer["outcome"] != "Succeeded":
            continue
        usage = answer["usage"]
        tokens = {
            "input": usage["inputTokens"],
            "output": usage["outputTokens"],
            "cacheRead": usage["cacheReadInputTokens"],
            "cacheWrite": usage["cacheWriteInputTokens"],
        }
        at = datetime.fromisoformat(answer["timestamp"])
        exact = prices.cost(source_of(data, answer["modelId"]), at, tokens)
        for where, told in (("the answer", answer["cost"]["usd"]), ("the audit line", costs.get(answer["requestId"]))):
            if told is not None and Decimal(told) != exact:
                found.append(f"the cost of {answer['requestId']} is {told} in {where}, and {exact} by the price list")
    return found


def metrics_against_audit(data: Data) -> list[str]:
    """Compares the sums of the six metrics of every request with the audit lines. A line is written when its metrics are
    stored, so a message that SQS delivers twice counts twice in both.
    """
    lines = [line for line in data["audit"] if line["message"] == "request"]
    told = {
        "TotalRequests": len(lines),
        "RateLimitApproved": sum(line["outcome"] != "Denied" for line in lines),
        "RateLimitDenied": sum(line["outcome"] == "Denied" for line in lines),
        "InvocationFailed": sum(line["outcome"] == "InvocationFailed" for line in lines),
        "InputTokens": sum(line["input_tokens"] for line in lines),
        "OutputTokens": sum(line["output_tokens"] for line in lines),
    }
    counted: Counter[str] = Counter()
    for metric in data["metrics"]:
        if metric["namespace"] == "GenAIRateLimiting":
            counted[metric["name"]] += sum(value * count for _, value, count in metric["points"])
    return [
        f"the metric {name}: CloudWatch has {counted[name]:.0f}, the audit lines have {figure}"
        for name, figure in told.items()
        if counted[name] != figure
    ]


def ungoverned_problems(data: Data) -> list[str]:
    """Compares the tokens that bypassed the sentry with the direct calls in the simulator's log, by model and day.

    The hold of a request whose usage is unknown counts as governed, so it can hide as many tokens as it held. Without such a
    request, the figure is exact.
    """
    direct: Sums = {}
    for call in data["simulator"]:
        if call["direct"] and call["spent"]:
            spent = call["spent"]
            read = spent["input"] + spent["cacheRead"] + spent["cacheWrite"]
            add(direct, [metric_of(call["modelId"])], call["at"][:10], {"input": read, "output": spent["output"]})
    told: Sums = {}
    for item in data["history"]:
        if item["scope"].startswith(UNGOVERNED):
            model = item["scope"].removeprefix(UNGOVERNED)
            add(told, [model], item["day"], {kind: item.get(kind, 0) for kind in ("input", "output")})
    history, found = history_sums(data["history"]), []
    for model, day in sorted(direct.keys() | told.keys()):
        hidden = history.get((f"model#{model}", day), Counter())
        for kind, name in (("input", "unknownInput"), ("output", "unknownOutput")):
            most, figure = direct.get((model, day), Counter())[kind], told.get((model, day), Counter())[kind]
            if not most - hidden[name] <= figure <= most:
                least = max(0, most - hidden[name])
                found.append(
                    f"ungoverned {kind} of {model} on {day}: the history has {figure}, direct calls used {least} to {most}"
                )
    return found


# The names of a report's figures (`sentry report --format json`), and the history's.
REPORTED = {
    "requests": "requests",
    "approved": "approved",
    "denied": "denied",
    "failed": "failed",
    "settled": "settled",
    "unknown": "unknown",
    "inputTokens": "input",
    "outputTokens": "output",
    "cacheReadTokens": "cacheRead",
    "cacheWriteTokens": "cacheWrite",
}
CODED = {"deniedByCode": "denied", "failedByCode": "failed"}


def report_problems(page: Row, data: Data, prices: Prices) -> list[str]:
    """Compares the groups of a report with the records of the month. `page` is the report's JSON.

    Requests and denials come from the audit lines, tokens and known costs from the simulator's log, and the dollars of unknown
    usage from the holds in the audit lines.
    """
    audit, simulator = audit_sums(data), simulator_sums(data, prices)
    found = []
    for group in page["groups"]:
        scope, told = group["scope"], reported(group["figures"])
        computed = Counter({**of_scope(simulator, scope), **of_requests(audit, scope)})
        computed["picodollars"] += computed.pop("unknownPicodollars", 0)
        found += [
            f"{name} of {scope}: the report has {told[name]}, the records have {computed[name]}"
            for name in sorted({*told, *(name for name in computed if "#" in name)})
            if told[name] != computed[name]
        ]
    scopes_told = {group["scope"] for group in page["groups"]}
    kinds = {scope.partition("#")[0] for scope in scopes_told}
    missing = {name for name, _ in audit if name.partition("#")[0] in kinds and "+" not in name} - scopes_told
    return found + [f"the report lacks {scope}" for scope in sorted(missing)]


def of_scope(sums: Sums, scope: str) -> Counter[str]:
    """The figures of a scope over all days."""
    total: Counter[str] = Counter()
    for (name, _), figures in sums.items():
        if name == scope:
            total.update(figures)
    return total


def of_requests(audit: Sums, scope: str) -> Row:
    """The figures of a scope that only the audit lines have."""
    total = of_scope(audit, scope)
    names = ("requests", "approved", "denied", "failed", "unknown", "unknownPicodollars")
    return {name: total[name] for name in total if name in names or "#" in name}


def reported(figures: Row) -> Counter[str]:
    """The figures of a report's group under the history's names."""
    told = Counter({name: figures[key] for key, name in REPORTED.items()})
    for key, kind in CODED.items():
        told.update({f"{kind}#{code}": count for code, count in figures[key].items()})
    told["picodollars"] = picodollars(Decimal(figures["spend"]["usd"]))
    return told
