"""Simulates a month on the local AWS, keeps its data in files, and checks every figure of the usage history.

`cargo xtask month` starts it. `month_plan.py` has the plan, `month_run.py` sends the requests, `month_data.py` describes
the files, and `month_check.py` computes the figures again: from the audit lines, and from the simulator's own log.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

import month_plan
from month_check import prices_of, problems
from month_compare import table, unexplained
from month_data import Data, collect
from month_limits import PLENTY_LIMITS, TIGHT_LIMITS, USUAL_LIMITS
from month_prices import NoPrice, Prices
from month_run import Month, MonthFailed, Options
from movable_clock import ClockError, MovableClock

SHOWN = 40


def options_from(arguments: list[str]) -> argparse.Namespace:
    """Parses the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--bedrock-endpoint", required=True)
    parser.add_argument("--month", required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--points", type=Path, required=True, help="where the engine records the points of metrics")
    parser.add_argument("--catalogue", type=Path, required=True, help="folder of the model catalogue")
    parser.add_argument("--limits", choices=[USUAL_LIMITS, PLENTY_LIMITS, TIGHT_LIMITS], default=USUAL_LIMITS)
    parser.add_argument("--folder", type=Path, required=True, help="folder for the data")
    return parser.parse_args(arguments)


def simulate(options: argparse.Namespace) -> Data:
    """Simulates the month, and keeps its data."""
    plan = month_plan.make(options.month, options.requests, options.seed)
    if options.limits != USUAL_LIMITS:
        # Two months are compared, in which different requests are denied.
        plan = plan.independent()
    prices = Prices.of(options.catalogue, plan.change)
    stack = Options(options.endpoint, options.stack_name, options.bedrock_endpoint, options.limits)
    month = Month(stack, plan, prices, MovableClock.of_environment())
    print(f"{len(plan.requests):,} requests in {plan.month}, seed {plan.seed}", file=sys.stderr)
    begun = time.monotonic()
    month.set_up()
    month.run()
    print(f"The month took {time.monotonic() - begun:.0f} s.", file=sys.stderr)
    data = collect(month, plan, prices, options.points)
    data.write(options.folder)
    return data


def summary(data: Data) -> str:
    """The counts of the month, for the terminal."""
    outcomes = Counter(answer["outcome"] for answer in data["answers"])
    codes = Counter(answer["code"] for answer in data["answers"] if answer.get("code"))
    models = {item["scope"] for item in data["history"] if item["scope"].startswith("foundation#")}
    lines = [
        f"outcomes: {dict(outcomes)}",
        f"codes: {dict(codes)}",
        f"{len(models)} models, {len(data['audit'])} audit lines, {len(data['simulator'])} calls of models,"
        f" {len(data['history'])} items of the history, {len(data['metrics'])} metrics, {len(data['bill'])} lines of the bill",
    ]
    return "\n".join(lines)


def main() -> int:
    """Simulates and checks. Returns 1 if the month could not be simulated or if a figure differs."""
    options = options_from(sys.argv[1:])
    try:
        data = simulate(options)
    except (MonthFailed, ClockError, NoPrice, ClientError, BotoCoreError, OSError) as error:
        print(f"the month failed: {error}", file=sys.stderr)
        return 1
    print(summary(data))
    if options.limits != USUAL_LIMITS:
        # The checks of the figures are for the usual month. Two months with other limits are compared with each other.
        return 0
    prices = prices_of(data, options.catalogue)
    print(f"\n{table(data, prices)}\n")
    found = problems(data, prices) + unexplained(data, prices)
    for problem in found[:SHOWN]:
        print(f"DIFFERENT: {problem}")
    print(f"{len(found)} differences; the data are in {options.folder}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
