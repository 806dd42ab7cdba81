"""Every query of docs/LOGGING.md and every saved query of the template, run on sample log events. Needs no endpoint.

`EXPECTED` computes the rows from the requests themselves. A query without an entry fails.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

import sample_requests as sample
from cloudwatch.logs_insights import Event, Row, run
from cloudwatch.stack import Stack
from test_template import TEMPLATE

ROOT = Path(__file__).resolve().parent.parent
SAVED = "AWS::Logs::QueryDefinition"
SENT = sample.requests()
# The id that the queries of the documentation name belongs to a request of the sample.
EXAMPLE = "cfc6420c-bfd2-4895-99c5-fabc318fcc48"
CHOSEN = next(each for each in SENT[1234:] if each.is_priced)


def line(time, group, **fields):
    """A log event of a function. `time` is in seconds since 1970."""
    moment = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    return Event(time * 1000, json.dumps({"timestamp": moment, **fields}), group=f"/aws/lambda/sentry/{group}")


FAILED = [
    line(
        CHOSEN.time + 40,
        "emit-metrics",
        level="ERROR",
        message="a late settlement failed",
        request_id=f"{EXAMPLE}#D7x0",
        cause="contended",
    ),
    line(
        CHOSEN.time + 50,
        "emit-metrics",
        level="ERROR",
        message="a late cancellation failed",
        request_key=f"{EXAMPLE}#D7x0",
        cause="lost",
    ),
    line(
        CHOSEN.time + 60,
        "emit-metrics",
        level="ERROR",
        message="a late settlement failed",
        request_id="other#D7x0",
        cause="contended",
    ),
    line(CHOSEN.time + 10, "reserve", level="ERROR", message="…", error_type="LedgerUnavailable", request_id="l-1"),
    line(CHOSEN.time + 20, "reserve", level="ERROR", message="…", error_type="LedgerUnavailable", request_id="l-2"),
    line(CHOSEN.time + 900, "reserve", level="ERROR", message="…", error_type="LedgerUnavailable", request_id="l-3"),
    line(
        CHOSEN.time + 30,
        "fetch-usage",
        level="WARN",
        message="an older usage figure decides",
        cause="throttled",
        age_seconds=70,
    ),
    line(
        CHOSEN.time + 35, "sweep-holds", level="INFO", message="expired holds were settled in full", settled=2, alerts=0
    ),
    Event((CHOSEN.time + 5) * 1000, "REPORT RequestId: 1 Duration: 3 ms", group="/aws/lambda/sentry/reserve"),
]


def audit_events():
    """The audit lines. The chosen request has the id of the documentation."""
    found = []
    for each in SENT:
        record = sample.audit_line(each)
        if each is CHOSEN:
            record["tags"]["requestId"] = EXAMPLE
        found.append(Event((each.time + 30) * 1000, json.dumps(record), group=sample.GROUP))
    return found


EVENTS = audit_events() + FAILED


def documented():
    """The queries of the documentation: the blocks without a language that begin with a command."""
    text = (ROOT / "docs" / "LOGGING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block.strip() for block in blocks if re.match(r"(fields|filter|stats|parse|display|SOURCE)\b", block)]


def saved():
    """The saved queries of a stack that has everything, by name."""
    wanted = {"Observability": "full"}
    stack = Stack(TEMPLATE, {key: value for key, value in wanted.items() if key in TEMPLATE["Parameters"]})
    return {body["Name"]: body for body in stack.resources(SAVED).values()}


def without(row, *names):
    return {key: value for key, value in row.items() if key not in names}


def counted(keys):
    return dict(Counter(keys))


def denials_by_code_and_cost_center(rows):
    assert [row["denials"] for row in rows] == sorted((row["denials"] for row in rows), reverse=True)
    found = {(row["code"], row["tags.costCenter"]): row["denials"] for row in rows}
    assert found == counted((each.code, each.cost_center) for each in SENT if each.outcome == "Denied")


def tokens_by_model_and_outcome(rows):
    expected: dict[tuple[str, str], dict[str, int]] = {}
    for each in SENT:
        row = expected.setdefault((each.model_id, each.outcome), {"input": 0, "output": 0, "requests": 0})
        row["input"] += each.input_tokens
        row["output"] += each.output_tokens
        row["requests"] += 1
    assert {(row["model_id"], row["outcome"]): without(row, "model_id", "outcome") for row in rows} == expected


def one_request(rows):
    (row,) = rows
    assert row["timestamp"] == sample.audit_line(CHOSEN)["timestamp"]
    assert (row["outcome"], row["model"], row["model_id"]) == (CHOSEN.outcome, CHOSEN.model, CHOSEN.model_id)
    assert (row["input_tokens"], row["output_tokens"]) == (CHOSEN.input_tokens, CHOSEN.output_tokens)
    assert ("held_input_tokens" in row) == (CHOSEN.outcome != "Denied")


def failed_settlement(rows):
    assert [(row["level"], row["message"], row["cause"]) for row in rows] == [
        ("ERROR", "a late settlement failed", "contended"),
        ("ERROR", "a late cancellation failed", "lost"),
    ]


def lines_of_the_functions(rows):
    assert [(row["@log"].rpartition("/")[2], row["level"], row.get("error_type")) for row in rows] == [
        ("reserve", "ERROR", "LedgerUnavailable"),
        ("reserve", "ERROR", "LedgerUnavailable"),
        ("fetch-usage", "WARN", None),
        ("emit-metrics", "ERROR", None),
        ("emit-metrics", "ERROR", None),
        ("emit-metrics", "ERROR", None),
        ("reserve", "ERROR", "LedgerUnavailable"),
    ]


def observed(rows):
    found = {row["tags.requestId"]: row for row in rows}
    expected = [each for each in SENT if each.number % 50 == 7]
    assert found.keys() == {f"r-{each.number}" for each in expected}
    for each in expected:
        row = found[f"r-{each.number}"]
        assert row["would_deny.0.code"] == "BudgetExceeded"
        assert row["would_deny.0.details.scope"] == f"costCenter#{each.cost_center}"
        assert row["tags.applicationId"] == each.application


def failures_of_functions(rows):
    start = CHOSEN.time // 300 * 300
    found = {(row["@log"].rpartition("/")[2], row["error_type"], row["bin(5m)"]): row["failures"] for row in rows}
    times = [CHOSEN.time + 10, CHOSEN.time + 20, CHOSEN.time + 900]
    bins = [datetime.fromtimestamp(time // 300 * 300, UTC).strftime("%Y-%m-%d %H:%M:%S.000") for time in times]
    assert start <= CHOSEN.time
    assert found == counted(("reserve", "LedgerUnavailable", each) for each in bins)


# A part of each query of docs/LOGGING.md that no other query has, and the check of its rows.
DOCUMENTED = {
    "held_input_tokens": one_request,
    "request_key": failed_settlement,
    'level in ["ERROR", "WARN"]': lines_of_the_functions,
    "count(*) as denials by code, tags.costCenter": denials_by_code_and_cost_center,
    "by `model_id`, outcome": tokens_by_model_and_outcome,
    "would_deny.0.code": observed,
    "count(*) as failures": failures_of_functions,
}


def spend_by_cost_center(rows):
    expected: dict[str, dict[str, Decimal | int]] = {}
    for each in SENT:
        row = expected.setdefault(each.cost_center, {"usd": Decimal(0), "input": 0, "output": 0, "requests": 0})
        row["usd"] += each.dollars if each.is_priced else 0
        row["input"] += each.input_tokens
        row["output"] += each.output_tokens
        row["requests"] += 1
    assert {row["tags.costCenter"]: without(row, "tags.costCenter") for row in rows} == expected
    assert [row["usd"] for row in rows] == sorted((row["usd"] for row in rows), reverse=True)


def top_applications(rows):
    expected: dict[str, dict[str, Decimal | int]] = {}
    for each in SENT:
        if each.is_priced:
            row = expected.setdefault(each.application, {"usd": Decimal(0), "output": 0, "requests": 0})
            row["usd"] += each.dollars
            row["output"] += each.output_tokens
            row["requests"] += 1
    ranked = sorted(expected, key=lambda name: expected[name]["usd"], reverse=True)
    assert [row["tags.applicationId"] for row in rows] == ranked[:20]
    assert {row["tags.applicationId"]: without(row, "tags.applicationId") for row in rows} == expected


def slowest_steps(rows):
    steps = ("validate", "gather", "reserve", "model", "settle")
    expected = {}
    for model_id in {each.model_id for each in SENT}:
        sent = [each for each in SENT if each.model_id == model_id]
        row = {"requests": len(sent), "slowest": max(each.steps["total"] for each in sent)}
        for step in steps:
            values = sorted(each.steps[step] for each in sent if step in each.steps)
            row[step] = values[max(math.ceil(len(values) * 0.99), 1) - 1]
        expected[model_id] = row
    assert {row["model_id"]: without(row, "model_id") for row in rows} == expected
    assert [row["slowest"] for row in rows] == sorted((row["slowest"] for row in rows), reverse=True)


def story(rows):
    one_request(rows)
    (row,) = rows
    assert row["execution_id"] == sample.audit_line(CHOSEN)["execution_id"]
    assert row["cost_usd"] == f"{CHOSEN.dollars:f}"
    for step in ("decision", "model", "total"):
        assert row[f"steps_ms.{step}"] == CHOSEN.steps[step]


# The name of each saved query of the template after its last slash, and the check of its rows.
SAVED_CHECKS: dict[str, Callable[[list[Row]], None]] = {
    "Denials by reason": denials_by_code_and_cost_center,
    "Spend by cost center": spend_by_cost_center,
    "Top applications": top_applications,
    "Slowest steps": slowest_steps,
    "One request's story": story,
}
# What a reader replaces in a saved query by the id of a request.
PLACEHOLDER = "REQUEST-ID"


@pytest.mark.parametrize("query", documented())
def test_a_query_of_the_documentation_finds_what_it_says(query):
    checks = [check for part, check in DOCUMENTED.items() if part in query]
    assert len(checks) == 1
    checks[0](run(query, EVENTS).rows)


def test_the_documentation_has_queries_or_the_template_has_them():
    assert documented() or saved()


@pytest.mark.parametrize("name", saved())
def test_a_saved_query_finds_what_it_says(name):
    body = saved()[name]
    groups = set(body.get("LogGroupNames", [])) or {event.group for event in EVENTS}
    assert groups <= {event.group for event in EVENTS}, "the log groups of the query exist"
    query = body["QueryString"].replace(PLACEHOLDER, EXAMPLE)
    SAVED_CHECKS[name.rpartition("/")[2]](run(query, [event for event in EVENTS if event.group in groups]).rows)


def test_money_is_exact():
    """A sum of decimal strings has every digit, because dollars of a request are far below a cent."""
    (row,) = run('filter message = "request" | stats sum(`cost_usd`) as dollars', EVENTS).rows
    assert row["dollars"] == sum((each.dollars for each in SENT), Decimal(0))
