"""Checks a report of a simulated month (`sentry report --format json`) with the records of the month.

    python local/month_report.py --folder .sentry/4566/month --page report.json

Every figure of a group is compared with the audit lines and the simulator's log (`month_check.py`), and the columns of the
ledger and of the bill with the usage history and the stand-in for Cost Explorer (`month_compare.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from month_check import prices_of, report_problems
from month_compare import TAG, compare
from month_data import Data
from month_prices import Prices

CATALOGUE = Path(__file__).resolve().parent.parent / "crates/sentry-models/catalogue"


def bill_problems(page: dict[str, Any], data: Data, prices: Prices) -> list[str]:
    """Every figure of the comparison by cost center that is not that of the records. Empty if the page has none."""
    comparison = page.get("comparison") or {}
    if comparison.get("tagKey") != TAG or page["grouping"] != TAG:
        return []
    computed = compare(data, prices, datetime.fromisoformat(page["generated"]))
    found = []
    for row in comparison["rows"]:
        ours = computed.get(row["group"])
        ledger, billed = Decimal(row["ledger"]["usd"]), Decimal(row["bill"])
        parts = sum((Decimal(reason["usd"]) for reason in row["reasons"]), Decimal(0))
        name = row["group"] or "nobody"
        if ours is None or (ledger, billed) != (ours.leading, ours.trailing):
            found.append(f"{name}: the report has {ledger} and {billed} dollars, the records have {ours}")
        if parts != Decimal(row["difference"]) or parts != ledger - billed:
            found.append(f"{name}: the reasons add up to {parts}, and the difference is {row['difference']}")
        found += [
            f"{name}: {reason['usd']} unexplained" for reason in row["reasons"] if reason["reason"] == "unexplained"
        ]
    missing = {name for name, ours in computed.items() if ours.trailing or ours.leading} - {
        row["group"] for row in comparison["rows"]
    }
    return found + [f"the comparison lacks {name or 'nobody'}" for name in sorted(missing)]


def main() -> int:
    """Prints every difference. Returns 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="the data of the month")
    parser.add_argument("--page", type=Path, required=True, help="the report as JSON")
    options = parser.parse_args()
    data, page = Data.read(options.folder), json.loads(options.page.read_text(encoding="utf-8"))
    prices = prices_of(data, CATALOGUE)
    found = report_problems(page, data, prices) + bill_problems(page, data, prices)
    for problem in found:
        print(f"DIFFERENT: {problem}")
    print(f"{len(page['groups'])} groups compared, {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
