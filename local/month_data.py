"""The data of a simulated month: collected from the local AWS and the simulator, and kept in files.

The folder `.sentry/<port>/month` has these files. Every `.jsonl` file has one JSON object a line. Times are UTC.

| file | contents |
|---|---|
| `month.json` | `month`, `seed`, `start`, `end`, `now` (the time at the end), `stackName`, `profiles` (`name`, `arn`, `id`, `source`, `tags`), `applications`, `priceChange` (`model`, `at`, `knownAt`, `price` in dollars per million tokens), `overspending` (`application`, `day`), `counts` |
| `answers.jsonl` | what the clients saw: a line a request (`number`, `at`, `application`, `costCenter`, `environment`, `kind`, `fault`, `requestId`, `requested`, `modelId`, `timestamp`, `outcome`, `statusCode`, `code`, `usage`, `cost`, `wouldDeny`, `executionArn`, `began`, `ended`). `kind` is `usual`, `overspending`, `refused`, `repeated` or `direct` (past the sentry: no more than `modelId` and `usage`) |
| `audit.jsonl` | the audit lines of the log group of Emit Metrics as they were written, in the order of time |
| `simulator.jsonl` | every Converse call that reached the simulator: `number`, `at`, `modelId`, `status`, `error`, `damaged`, `told` (the answer's `usage`, or null), `spent` (`input`, `output`, `cacheRead`, `cacheWrite`, `cacheWrite1h`, or null), `direct` (true if it bypassed the sentry), `metadata` (the tags that the sentry sent) |
| `history.jsonl` | the items of the usage history, without the markers of requests. Numbers are numbers |
| `ledger.jsonl`, `limits.jsonl`, `catalogue.jsonl` | the items of these tables |
| `metrics.jsonl` | one line a metric: `namespace`, `name`, `dimensions`, `unit`, `points`: `[seconds since 1970, value, count]`, in the order of time |
| `bill.jsonl` | the lines of the bill (`month_bill.py`), all days. `cost_explorer.py` serves them |

No file has the text of a prompt or of an answer.
"""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from month_bill import bill
from month_plan import APPLICATIONS, Plan
from month_prices import Prices
from month_run import Month

Row = dict[str, Any]
FILES = (
    "answers",
    "audit",
    "simulator",
    "history",
    "ledger",
    "limits",
    "catalogue",
    "metrics",
    "bill",
)
TABLES = {
    "history": "UsageTableName",
    "ledger": "LedgerTableName",
    "limits": "LimitsTableName",
    "catalogue": "CatalogueTableName",
}
AUDIT_MESSAGES = ("request", "response")
MARKER = "request#"
MOST_EVENTS = 10_000
CONVERSE = ("/model/", "/converse")


class Data:
    """The facts and the rows of a month, by file."""

    def __init__(self, facts: Row, rows: dict[str, list[Row]]) -> None:
        self.facts, self.rows = facts, rows

    def __getitem__(self, name: str) -> list[Row]:
        return self.rows[name]

    @classmethod
    def read(cls, folder: Path) -> Data:
        """Reads the files."""
        facts = json.loads((folder / "month.json").read_text(encoding="utf-8"))
        return cls(facts, {name: read_lines(folder / f"{name}.jsonl") for name in FILES})

    def write(self, folder: Path) -> None:
        """Writes the files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "month.json").write_text(json.dumps(self.facts, indent=2) + "\n", encoding="utf-8")
        for name in FILES:
            write_lines(folder / f"{name}.jsonl", self.rows[name])


def read_lines(path: Path) -> list[Row]:
    """The objects of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, rows: Iterable[Row]) -> None:
    """Writes one line for each object."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)


def collect(month: Month, plan: Plan, prices: Prices, points: Path) -> Data:
    """Collects everything from the running local AWS."""
    rows = {name: table(month, output) for name, output in TABLES.items()}
    rows["history"] = [item for item in rows["history"] if not item["scope"].startswith(MARKER)]
    rows["answers"] = month.answers
    rows["audit"] = audit_lines(month, plan)
    rows["simulator"] = calls(month.options.bedrock_endpoint)
    rows["metrics"] = metrics(points)
    profiles = list(month.profiles.values())
    rows["bill"] = bill(rows["simulator"], profiles, prices)
    change = plan.change
    facts = {
        "month": plan.month,
        "seed": plan.seed,
        "start": plan.start.isoformat(),
        "end": plan.end.isoformat(),
        "now": month.clock.now().isoformat(),
        "stackName": month.options.stack_name,
        "profiles": profiles,
        "applications": [vars(application) for application in APPLICATIONS],
        "priceChange": {
            "model": change.model,
            "at": change.at.isoformat(),
            "knownAt": change.known_at.isoformat(),
            "price": change.price,
        },
        "overspending": {"application": plan.overspending[0], "day": plan.overspending[1].isoformat()},
        "counts": {name: len(each) for name, each in rows.items()},
    }
    return Data(facts, rows)


def table(month: Month, output: str) -> list[Row]:
    """All items of a table, as JSON can have them."""
    read = TypeDeserializer().deserialize
    pages = month.client("dynamodb").get_paginator("scan").paginate(TableName=month.outputs[output])
    items = [{name: plain(read(value)) for name, value in item.items()} for page in pages for item in page["Items"]]
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def plain(value: Any) -> Any:
    """A value of DynamoDB as JSON. A number with a fraction is a string, because a float would change it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, set):
        return sorted(plain(each) for each in value)
    return [plain(each) for each in value] if isinstance(value, list) else value


def audit_lines(month: Month, plan: Plan) -> list[Row]:
    """The audit lines of the log group of Emit Metrics. Each day is read alone, because the engine tells only the first
    10,000 events of a query.
    """
    group, logs = f"/aws/lambda/{month.options.stack_name}/emit-metrics", month.client("logs")
    found: list[Row] = []
    at = plan.start
    while at < month.clock.now():
        after = at + timedelta(days=1)
        first, last = (int(moment.timestamp() * 1000) for moment in (at, after))
        events = logs.filter_log_events(logGroupName=group, startTime=first, endTime=last - 1)["events"]
        if len(events) >= MOST_EVENTS:
            raise ValueError(f"the log group has more than {MOST_EVENTS} events on {at:%Y-%m-%d}")
        found += [line for event in events if (line := audit_line(event["message"]))]
        at = after
    return sorted(found, key=lambda line: str(line["timestamp"]))


def audit_line(text: str) -> Row | None:
    """An audit line. None for any other line of a log."""
    if not text.startswith("{"):
        return None
    line: Row = json.loads(text)
    return line if line.get("message") in AUDIT_MESSAGES else None


def calls(bedrock_endpoint: str) -> list[Row]:
    """Every call of Converse that the simulator has kept."""
    with urllib.request.urlopen(f"{bedrock_endpoint}/_sim/exchanges", timeout=120) as answer:
        kept = json.load(answer)
    if len(kept["exchanges"]) != kept["total"]:
        raise ValueError(f"the simulator kept {len(kept['exchanges'])} of {kept['total']} exchanges")
    return [call(each) for each in kept["exchanges"] if each["path"].endswith(CONVERSE[1])]


def call(exchange: Row) -> Row:
    """One call, without the texts."""
    path = exchange["path"].removeprefix(CONVERSE[0]).removesuffix(CONVERSE[1])
    metadata = json.loads(exchange["request"]["body"]).get("requestMetadata")
    answer = exchange["answer"] or {"headers": [], "body": ""}
    return {
        "number": exchange["number"],
        "at": exchange["at"],
        "modelId": urllib.parse.unquote(path),
        "status": exchange["status"],
        "error": dict(answer["headers"]).get("x-amzn-errortype"),
        "damaged": exchange["damaged"],
        "told": told(answer["body"]),
        "spent": exchange["spent"],
        "direct": metadata is None,
        "metadata": metadata,
    }


def told(body: str) -> Row | None:
    """The usage that an answer reports. None if it reports none."""
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    usage: Row | None = answer.get("usage") if isinstance(answer, dict) else None
    return usage


def metrics(points: Path) -> list[Row]:
    """The points that the engine recorded, by metric."""
    found: dict[str, Row] = {}
    for point in read_lines(points):
        key = json.dumps([point["namespace"], point["name"], point["dims"]], sort_keys=True)
        metric = found.setdefault(
            key,
            {
                "namespace": point["namespace"],
                "name": point["name"],
                "dimensions": point["dims"],
                "unit": point["unit"],
                "points": [],
            },
        )
        values = point["values"] if "values" in point else [point.get("value", 0.0)]
        counts = point.get("counts") or [1.0] * len(values)
        metric["points"] += [[point["ts"], value, count] for value, count in zip(values, counts, strict=True)]
    for metric in found.values():
        metric["points"].sort()
    return [found[key] for key in sorted(found)]
