"""Compares what `sentry limits backtest` finds with what really happened.

The month `plenty` was simulated with limits that deny nothing, and `tight` is the same month with tight limits. The command
replays the audit lines of `plenty` against the limits of `tight`. Each of its verdicts must be the real one of `tight`.

Both months are without prompt caches and without repeated ids (`Plan.independent`). A cache that a denied request would have
filled makes the next request dearer, and a repetition is decided only if the first request was denied. No replay can know of
that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from month_data import read_lines

Row = dict[str, Any]
MOST_SECONDS = 10
SHOWN = 40


class Verdict(NamedTuple):
    """The decision about a request."""

    verdict: str
    code: str
    change: str
    would_deny: str


def options_from(arguments: list[str]) -> argparse.Namespace:
    """Parses the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plenty", type=Path, required=True, help="folder of the month that is replayed")
    parser.add_argument("--tight", type=Path, required=True, help="folder of the month with the limits to try out")
    parser.add_argument("--sentry", type=Path, required=True, help="the command")
    return parser.parse_args(arguments)


def requests_of(folder: Path) -> list[Row]:
    """The audit lines of a month, each execution once."""
    lines = (line for line in read_lines(folder / "audit.jsonl") if line["message"] == "request")
    return list({line["execution_id"]: line for line in lines}.values())


def real(line: Row) -> Verdict:
    """The decision that an audit line tells."""
    would_deny = " ".join(error["code"] for error in line.get("would_deny", []))
    if line["outcome"] == "Denied":
        return Verdict("denied", line["code"], "", "")
    change = line.get("degraded", "")
    if change == "fallback":
        change += f" {line['model_id']}"
    if "degraded_to_tokens" in line:
        change += f" {line['degraded_to_tokens']}"
    return Verdict("degraded" if change else "approved", "", change, would_deny)


def foreseen(row: Row) -> Verdict:
    """The decision that a row of the command tells."""
    return Verdict(row["verdict"], row["code"], row["change"], row["wouldDeny"])


def as_file(value: Any, name: str = "") -> Any:
    """An item of the data of a month as a file of limits has it: dollars are numbers."""
    if isinstance(value, dict):
        return {key: as_file(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [as_file(each) for each in value]
    return float(value) if name == "usd" else value


def backtest(options: argparse.Namespace) -> tuple[list[Row], float]:
    """The rows of the command, and the seconds that it took."""
    limits = [as_file(item) for item in read_lines(options.tight / "limits.jsonl")]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"limits": limits}, file)
        file.flush()
        command = [str(options.sentry), "limits", "backtest", file.name, "--audit", str(options.plenty / "audit.jsonl")]
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
        print(shown.stdout + shown.stderr)
        begun = time.monotonic()
        rows = subprocess.run([*command, "--all", "--output", "json"], check=True, capture_output=True, text=True)
        return json.loads(rows.stdout), time.monotonic() - begun


def dollars(lines: list[Row]) -> Decimal:
    """The known cost of audit lines."""
    return sum((Decimal(line.get("cost_usd", 0)) for line in lines), Decimal())


def main() -> int:
    """Compares. Returns 1 if a verdict differs, or if the command is too slow."""
    options = options_from(sys.argv[1:])
    rows, seconds = backtest(options)
    found = {row["requestId"]: foreseen(row) for row in rows}
    past, lines = requests_of(options.plenty), requests_of(options.tight)
    happened = {line["tags"]["requestId"]: real(line) for line in lines}
    told = {line["tags"]["requestId"]: line for line in lines}
    both = found.keys() & happened.keys()
    different = sorted(request for request in both if found[request] != happened[request])
    missing, surplus = found.keys() - happened.keys(), happened.keys() - found.keys()
    for request in different[:SHOWN]:
        tags = told[request]["tags"]
        print(
            f"DIFFERENT {request} {tags['timestamp']} {tags['applicationId']}: found {found[request]}, was {happened[request]}"
        )
    for request in sorted(missing)[:SHOWN]:
        print(f"MISSING {request}: it was not decided in the second month")
    for request in sorted(surplus)[:SHOWN]:
        print(f"SURPLUS {request}: it was decided only in the second month")
    print(f"{len(rows)} requests in {seconds:.1f} s: {dict(Counter(each.verdict for each in found.values()))}")
    print(f"codes: {dict(Counter(each.code for each in happened.values() if each.code))}")
    saved = sum((Decimal(row["savedUsd"]) for row in rows), Decimal())
    print(f"spend: ${dollars(past)} then, ${dollars(past) - saved} by the replay, ${dollars(lines)} really")
    print(f"{len(different)} of {len(both)} verdicts differ")
    return 1 if different or missing or surplus or seconds > MOST_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
