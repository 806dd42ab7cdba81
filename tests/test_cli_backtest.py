"""`sentry limits backtest` finds from the audit log what limits would have decided, before they are in force."""

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from audit_record import records
from sentry_client import document, unique

pytestmark = pytest.mark.local

# The output tokens that each request asks for and uses.
REQUESTS = [(200, 90), (300, 120), (500, 400), (60, 60), (700, 30), (200, 90)]
LIMIT = {"output": 600}
REMEDIES = ["clamp"]


def send(sentry, application):
    """Sends the requests one after the other, and returns their answers."""
    tags = {"applicationId": application, "costCenter": application}
    sent = (
        document("nova-lite", tags=tags, input_tokens=20, output_tokens=used, parameters={"max_tokens": most})
        for most, used in REQUESTS
    )
    return [sentry.ask(each) for each in sent]


def wait_for_lines(sentry, application):
    """Waits until the audit log has a line for each request of an application."""
    group = sentry.resources("AWS::Logs::LogGroup")["EmitMetricsLogGroup"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        time.sleep(1)
        # The local AWS sometimes stores the last lines of an invocation only with the next one.
        sentry.functions.invoke(FunctionName=sentry.function_name("EmitMetricsFunction"), Payload='{"Records": []}')
        written = records(sentry.log_events([group]))
        found = {each["execution_id"] for each in written if each["tags"].get("applicationId") == application}
        if len(found) >= len(REQUESTS):
            return
    raise AssertionError(f"only {len(found)} audit lines")


def decision(answer):
    """The decision that an answer tells, in the words of the command."""
    if answer["outcome"] == "Denied":
        return ("denied", answer["error"]["code"], "", answer["error"]["details"]["scope"])
    degraded = answer.get("degraded")
    return ("degraded", "", f"{degraded['action']} {degraded['to']}") if degraded else ("approved", "", "")


def test_a_backtest_finds_what_the_limits_then_decide(command, sentry, tmp_path):
    past, then = unique("backtest").lower(), unique("backtest").lower()
    assert {answer["outcome"] for answer in send(sentry, past)} == {"Succeeded"}
    wait_for_lines(sentry, past)
    items = [
        {"modelId": "default", "limit": {"output": 10**12}},
        {"modelId": f"application#{past}", "limit": LIMIT, "whenExceeded": REMEDIES},
    ]
    file = tmp_path / "limits.json"
    file.write_text(json.dumps({"limits": items}), encoding="utf-8")
    today = datetime.now(UTC).date()
    days = ["--from", (today - timedelta(days=1)).isoformat(), "--to", today.isoformat()]
    shown = command("--output", "csv", "limits", "backtest", str(file), *days, "--all")
    rows = [row for row in csv.DictReader(io.StringIO(shown)) if row["applicationId"] == past]
    assert {row["approximate"] for row in rows} == {"no"}

    sentry.set_limit(f"application#{then}", LIMIT, whenExceeded=REMEDIES)
    really = [decision(answer) for answer in send(sentry, then)]
    assert {each[0] for each in really} == {"approved", "degraded", "denied"}
    found = [
        (row["verdict"], row["code"], row["change"], *([row["scope"].replace(past, then)] if row["code"] else []))
        for row in rows
    ]
    assert found == really

    summary = command("limits", "backtest", str(file), *days)
    assert f"application#{past}" in summary and "first denial" in summary


def test_a_month_without_lines_and_a_wrong_file_are_refused(command, tmp_path):
    file = tmp_path / "limits.yaml"
    file.write_text("limits:\n  - modelId: default\n    limit: {usd: 1}\n", encoding="utf-8")
    message = command("limits", "backtest", str(file), "--month", "2020-01", code=1).lower()
    assert "logretentiondays" in message and "--audit" in message
    file.write_text("limits:\n  - modelId: default\n    limits: {usd: 1}\n", encoding="utf-8")
    assert "line 3" in command("limits", "backtest", str(file), code=1)
