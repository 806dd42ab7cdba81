"""`sentry ask` and `sentry budget` against the stack: the answer, the dry run that writes nothing, and the figures."""

import csv
import io
import json
import os
import time

import pytest

from sentry_client import document, unique

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def center(sentry):
    """A new cost center with two windows, of which a request of 200 tokens uses most."""
    name = unique("e2e-ask")
    windows = [{"window": "month", "limit": {"output": 1_000}}, {"window": "day", "limit": {"usd": 5}}]
    sentry.set_limit(f"costCenter#{name}", limits=windows)
    return name


def asked(center, *more):
    return ["ask", "--model", "nova-lite", "--application", "e2e-ask", "--cost-center", center, *more]


def test_a_request_is_answered_in_every_form(command, center):
    answer = json.loads(command("--output", "json", *asked(center, "--max-tokens", "50", "Hello")))
    assert (answer["outcome"], answer["tags"]["costCenter"]) == ("Succeeded", center)
    (row,) = csv.DictReader(io.StringIO(command("--output", "csv", *asked(center, "--max-tokens", "50", "Hello"))))
    assert (row["outcome"], row["code"]) == ("Succeeded", "") and int(row["outputTokens"]) > 0
    shown = command.on_a_terminal(*asked(center, "--max-tokens", "50", "Hello"))
    assert "Succeeded 200" in shown and "costCenter#" in shown


def test_a_dry_run_says_what_the_request_then_gets(command, center, tmp_path):
    tags = {"applicationId": "e2e-ask", "costCenter": center}
    cases = [({"max_tokens": 40}, "Approved"), ({"max_tokens": 9_000}, "Denied"), ({"temprature": 1}, "Invalid")]
    for number, (parameters, outcome) in enumerate(cases):
        sent = document("nova-lite", tags=tags, parameters=parameters)
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(sent))
        code = 0 if outcome == "Approved" else 1
        foreseen = run_json(command, "ask", "--dry-run", "--document", str(path), code=code)
        real = run_json(command, "ask", "--document", str(path), code=code)
        assert foreseen["wouldBe"] == outcome
        if outcome != "Approved":
            keys = ("outcome", "statusCode")
            assert [foreseen["answer"][key] for key in keys] == [real[key] for key in keys]
            assert foreseen["answer"]["error"] == real["error"]
            assert foreseen["answer"].get("budget") == real.get("budget")


def run_json(command, *arguments, code):
    return json.loads(command.output("--output", "json", *arguments, code=code))


def everything(sentry):
    """Returns all that a request could write: items, messages, log lines, calls of a model, and metrics."""
    dynamodb, sqs = sentry.client("dynamodb"), sentry.client("sqs")
    items = [
        sorted(json.dumps(item, sort_keys=True, default=str) for page in pages for item in page["Items"])
        for name in sentry.resources("AWS::DynamoDB::Table").values()
        for pages in [dynamodb.get_paginator("scan").paginate(TableName=name)]
    ]
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    queues = sentry.resources("AWS::SQS::Queue").values()
    waiting = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counts)["Attributes"] for url in queues]
    # The functions that a schedule starts write lines at any time.
    groups = sentry.resources("AWS::Logs::LogGroup")
    groups = [name for key, name in groups.items() if not key.startswith(("SweepHolds", "WatchUsage"))]
    pages = sentry.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace="GenAIRateLimiting")
    metrics = sum(len(page["Metrics"]) for page in pages)
    return items, waiting, list(sentry.log_events(groups)), sentry.calls(), metrics


def test_a_dry_run_writes_nothing_anywhere(sentry, command, center):
    # The metrics of earlier requests are still on their way.
    before, patience = everything(sentry), 60
    while (now := everything(sentry)) != before and patience:
        time.sleep(1)
        before, patience = now, patience - 1
    degraded = unique("e2e-ask")
    sentry.set_limit(f"costCenter#{degraded}", {"output": 30}, whenExceeded=["clamp"])
    before = everything(sentry)
    denied = asked(center, "--dry-run", "--max-tokens", "9000", "Hello")
    clamped = asked(degraded, "--dry-run", "--max-tokens", "100", "Hello")
    invalid = asked(center, "--dry-run", "--tag", "timestamp=x", "Hello")
    fits = asked(center, "--dry-run", "--max-tokens", "50", "Hello")
    for line, outcome in ((fits, "Approved"), (denied, "Denied"), (clamped, "Approved"), (invalid, "Invalid")):
        foreseen = json.loads(command.output("--output", "json", *line, code=None))
        assert foreseen["wouldBe"] == outcome
        assert bool(foreseen.get("degraded")) == (line is clamped)
    assert everything(sentry) == before


def test_the_budget_is_that_of_the_next_answer(command, center):
    rows = json.loads(command("--output", "json", "budget", f"costCenter#{center}"))
    answer = json.loads(command("--output", "json", *asked(center, "--max-tokens", "20", "Hello")))
    entry = next(entry for entry in answer["budget"] if entry["scope"] == f"costCenter#{center}" and "output" in entry)
    row = next(row for row in rows if row["unit"] == "output")
    assert int(row["used"]) + answer["usage"]["outputTokens"] == entry["output"]["used"]
    assert {row["unit"] for row in rows} == {"output", "usd"}
    shown = command.on_a_terminal("budget", f"costCenter#{center}", "--watch", "--interval", "1", "--looks", "2")
    assert shown.count("outlook") == 2
    assert all(len(line) <= 80 for line in shown.split("\n") if "\x1b" not in line)
    piped = command("--output", "csv", "budget", f"costCenter#{center}", "--watch", "--interval", "1", "--looks", "2")
    assert piped.count("scope,window") == 2


def test_a_command_that_cannot_be_done_says_why(command, center):
    assert "no limit applies to costCenterx#a" in command("budget", "costCenterx#a", code=1)
    assert "there is no prompt" in command("ask", code=2)
    assert "cannot be read" in command("ask", "--image", os.devnull + "/x.png", "Hi", code=2)
    assert "unexpected argument" in command("ask", "--max-token", "1", "Hi", code=2)
    nowhere = command.at("http://127.0.0.1:9")
    assert "AWS cannot be reached" in nowhere("budget", code=3)
