"""Computes the AWS cost of 100,000 requests from the usage of one request on the local AWS: `cargo xtask cost`.

Two stacks are already deployed, one for each way to call the models. Calls, units, and bytes are counted there.
Durations are those of this machine. Memory, batching, and tracing come from the template. Prices are in
`cost_prices.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

import cost_prices as prices
import cost_watching as watching
import sam_template as templates
from cost_counts import counted
from cost_rows import Bill, Counts, Load, bill
from cost_stack import NotCounted
from cost_template import Deployed, deployed
from deploy import say

LOAD = Load(requests=100_000, model_ms=35_000)
# Eight models, and twelve applications that use two models each. Each has a limit, as have four cost centers and three environments.
WATCHED = watching.Watched(requests=LOAD.requests, combinations=24, scopes=27, models=8)
# For each way to call the models: the target in dollars, and the title of its column.
MODES = {"lambda": (Decimal("12.00"), "by function"), "native": (Decimal("6.00"), "natively")}
SLOWER = 10


def table(bills: dict[str, Bill]) -> list[str]:
    """Both bills side by side, in Markdown. A row that is missing in one bill costs nothing there."""
    items = list(dict.fromkeys(row.item for each in bills.values() for row in each.rows))
    found = {mode: {row.item: row for row in each.rows} for mode, each in bills.items()}
    lines = [
        "| item | " + " | ".join(f"{MODES[mode][1]}: how | $" for mode in bills) + " |",
        "|---" + "|---|---:" * len(bills) + "|",
    ]
    for item in items:
        rows = [found[mode].get(item) for mode in bills]
        cells = [f"{row.how} | {row.dollars:.3f}" if row else "none | 0.000" for row in rows]
        lines.append(f"| {item} | " + " | ".join(cells) + " |")
    sums = [f"| **{prices.cents(each.total)}**" for each in bills.values()]
    return [*lines, "| **sum** | " + " | ".join(sums) + " |"]


def slower(counts: Counts) -> Counts:
    """The same counts with all durations multiplied by `SLOWER`, except the model's."""
    calls = {name: [SLOWER * each for each in times] for name, times in counts.calls_ms.items()}
    return Counts(
        **vars(counts) | {"calls_ms": calls, "emit_ms": SLOWER * counts.emit_ms, "own_ms": SLOWER * counts.own_ms}
    )


def report(counts: dict[str, dict[str, Counts]], templated: dict[str, Deployed], template: templates.Template) -> bool:
    """Prints the whole report. Returns True if the targets are met."""
    approved = {mode: bill(each["approved"], templated[mode], LOAD) for mode, each in counts.items()}
    print(
        f"\n{LOAD.requests:,} approved requests of {LOAD.model_ms // 1000} s, evenly over a day, {date.today()}, {os.cpu_count()} cores\n"
    )
    print("\n".join(table(approved)))
    print()
    met = True
    for mode, (aim, title) in MODES.items():
        total = prices.cents(approved[mode].total)
        met = met and total <= aim
        longer = prices.cents(bill(slower(counts[mode]["approved"]), templated[mode], LOAD).total)
        denied = prices.cents(bill(counts[mode]["denied"], templated[mode], LOAD).total)
        print(
            f"{title}: ${total}, aim ${aim}: {'met' if total <= aim else 'NOT met'}. All durations but the model's {SLOWER} times as long: ${longer}."
        )
        print(f"{title}: as many denied requests: ${denied}.")
    print(
        "Not in the sums: tokens; what a month costs without a request (metrics, alarms, idle polls of the queue, backups, keys)."
    )
    print(f"\nWatching, a month of {WATCHED.requests:,} requests, without free tiers:\n")
    print("\n".join(watching.table(watching.month(template, WATCHED))))
    print("\nThe same arithmetic for the published workflows, 100,000 requests:")
    print(
        f"Standard, {prices.PUBLISHED_TRANSITIONS} transitions less {prices.FREE_TRANSITIONS:,} free ones: ${prices.cents(prices.published_standard())}"
    )
    print(
        f"Express, {prices.PUBLISHED_MS / 1000:g} s at {prices.EXPRESS_STEP_MB} MB: ${prices.cents(prices.published_express())}"
    )
    return met


def options_from(arguments: list[str]) -> argparse.Namespace:
    """Parses the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--template", required=True, type=Path)
    for mode in MODES:
        parser.add_argument(f"--{mode}-stack-name", required=True)
    return parser.parse_args(arguments)


def main() -> int:
    """Counts and prints. Returns 1 if something could not be counted, or if a sum is above its target."""
    options = options_from(sys.argv[1:])
    template = templates.load(options.template)
    templated = {mode: deployed(template, {"ModelInvocation": mode}) for mode in MODES}
    counts = {}
    try:
        for mode in MODES:
            say(f"  counting {MODES[mode][1]}")
            counts[mode] = counted(options.endpoint, getattr(options, f"{mode}_stack_name"), LOAD.in_flight)
    except (NotCounted, ClientError, BotoCoreError, OSError, KeyError) as error:
        say(f"counting failed: {error!r}")
        return 1
    return 0 if report(counts, templated, template) else 1


if __name__ == "__main__":
    sys.exit(main())
