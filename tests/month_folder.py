"""Reads the folder of a simulated month (`cargo xtask month`): its metric data, log events, and requests.

`local/month_data.py` describes the files.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from cloudwatch.logs_insights import Event
from cloudwatch.store import Metric, Store


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def seconds(shown: str) -> float:
    return datetime.fromisoformat(shown).timestamp()


@dataclass(frozen=True)
class Recorded:
    """A request as its audit line has it, with the names of `sample_requests.Request`."""

    line: dict[str, Any]

    @property
    def time(self) -> float:
        return seconds(self.line["timestamp"])

    @property
    def model_id(self) -> str:
        return str(self.line["model_id"])

    @property
    def application(self) -> str:
        return str(self.line["tags"]["applicationId"])

    @property
    def cost_center(self) -> str:
        return str(self.line["tags"].get("costCenter", "unspecified"))

    @property
    def environment(self) -> str:
        return str(self.line["tags"].get("environment", "unspecified"))

    @property
    def outcome(self) -> str:
        return str(self.line["outcome"])

    @property
    def code(self) -> str | None:
        return self.line["code"]

    @property
    def input_tokens(self) -> int:
        return int(self.line["input_tokens"])

    @property
    def output_tokens(self) -> int:
        return int(self.line["output_tokens"])

    @property
    def held_tokens(self) -> int:
        return int(self.line["held_input_tokens"]) + int(self.line["held_output_tokens"])

    @property
    def knows_usage(self) -> bool:
        return bool(self.line.get("usage", "known") == "known" and self.outcome == "Succeeded")

    @property
    def is_priced(self) -> bool:
        return bool(self.line.get("priced")) and "cost_usd" in self.line

    @property
    def dollars(self) -> Decimal:
        return Decimal(self.line["cost_usd"])

    @property
    def steps(self) -> dict[str, int]:
        found: dict[str, int] = self.line.get("steps_ms", {})
        return found


class Month:
    """A simulated month. `end` is the full hour after it, in seconds since 1970."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "month.json").read_text(encoding="utf-8"))
        self.end = math.ceil(seconds(facts["now"]) / 3600) * 3600
        self.stack_name = str(facts["stackName"])
        audit = [line for line in lines(folder / "audit.jsonl") if line["message"] == "request"]
        group = f"/aws/lambda/{self.stack_name}/emit-metrics"
        self.events = [Event(round(seconds(line["timestamp"]) * 1000), json.dumps(line), group=group) for line in audit]
        # The queue can deliver a message twice, and then there are two lines of a request.
        unique = {(line["tags"]["applicationId"], line["tags"]["requestId"]): line for line in audit}
        self.requests = [Recorded(line) for line in unique.values()]
        self.store = Store(self.end)
        for metric in lines(folder / "metrics.jsonl"):
            named = Metric.of(metric["namespace"], metric["name"], metric["dimensions"])
            for time, value, count in metric["points"]:
                self.store.put(named, time, *[value] * round(count))
