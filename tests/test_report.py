"""The command `sentry` shows the figures of the answers: usage, report, and the story of a request."""

import csv
import http.server
import io
import json
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from contract import check_error, check_succeeded
from sentry_client import document, unique

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def spent(sentry):
    """Returns the tags of one answered and one denied request of a new cost center, and the answer."""
    center = unique("e2e-report")
    tags = {"applicationId": center, "costCenter": center, "requestId": unique("e2e-report")}
    sentry.set_limit(f"costCenter#{center}", {"output": 300})
    sent = document("nova-lite", tags=tags, input_tokens=21, output_tokens=143, parameters={"max_tokens": 200})
    answer = check_succeeded(sentry.ask(sent), sent)
    denied = document("nova-lite", tags={**tags, "requestId": unique("e2e-report")}, parameters={"max_tokens": 250})
    check_error(sentry.ask(denied), "BudgetExceeded", denied)
    sentry.history(f"costCenter#{center}", requests=2)
    return tags, answer


def test_usage_and_report_have_the_figures_of_the_answer(command, spent):
    tags, answer = spent
    center, usd = tags["costCenter"], Decimal(answer["cost"]["usd"])
    (day,) = json.loads(command("--output", "json", "usage", "--scope", f"costCenter#{center}"))
    assert (day["requests"], day["denied"], day["input"], day["output"]) == (2, 1, 21, 143)
    assert Decimal(day["usd"]) == usd
    report = json.loads(command("report", "--format", "json"))
    (group,) = [group for group in report["groups"] if group["name"] == center]
    assert Decimal(group["figures"]["spend"]["usd"]) == usd
    assert group["figures"]["deniedByCode"] == {"BudgetExceeded": 1}
    total = sum(Decimal(group["figures"]["spend"]["usd"]) for group in report["groups"])
    assert Decimal(report["total"]["spend"]["usd"]) == total
    (budget,) = [budget for budget in report["budgets"] if budget["scope"] == f"costCenter#{center}"]
    (unit,) = budget["units"]
    assert (unit["unit"], unit["limit"], unit["used"], unit["usedPercent"]) == ("output", "300", "143", "47.7")
    rows = {
        row["group"]: row
        for row in csv.DictReader(io.StringIO(command("report", "--format", "csv", "--by", "application")))
    }
    assert Decimal(rows[center]["spend_usd"]) == usd
    page = command("report", "--by", "model")
    assert "us.amazon.nova-lite-v1:0" in page and "<script" not in page


def test_the_story_of_a_request_has_its_record_and_its_ledger_entry(command, spent):
    tags, _ = spent
    story = json.loads(command("--output", "json", "trace", tags["requestId"]))
    record = story["auditRecords"][0]
    assert (record["outcome"], record["tags"]["requestId"]) == ("Succeeded", tags["requestId"])
    assert (record["input_tokens"], record["output_tokens"]) == (21, 143)
    assert story["ledger"]["state"] == "settled"
    told = command("trace", tags["requestId"])
    assert "audit record" in told and "settled" in told
    message = command("trace", "no-such-request", code=1)
    assert "nothing is known" in message


def test_a_stack_or_a_grouping_that_does_not_exist_is_refused(command, spent):
    assert "no-such-stack" in command("usage", code=1, stack="no-such-stack")
    assert "none by nosuchtag" in command("report", "--by", "nosuchtag", code=1)


def test_the_bill_is_beside_the_ledger_and_each_difference_has_a_reason(command, spent):
    tags, answer = spent
    today = datetime.now(UTC).date().isoformat()
    with cost_explorer([(today, f"costCenter${tags['costCenter']}", "model$Nova Lite", answer["cost"]["usd"])]) as (
        url,
        asked,
    ):
        report = json.loads(command("report", "--format", "json", "--trailing", AWS_ENDPOINT_URL_COST_EXPLORER=url))
    comparison = report["comparison"]
    assert [len(asked), comparison["requests"]] == [2, 2], "two pages"
    assert asked[0]["GroupBy"] == [
        {"Type": "TAG", "Key": "costCenter"},
        {"Type": "PRODUCT_ATTRIBUTE", "Key": "model"},
    ]
    (row,) = [row for row in comparison["rows"] if row["group"] == tags["costCenter"]]
    assert (Decimal(row["difference"]), row["reasons"]) == (0, [])
    for row in [*comparison["rows"], comparison["total"]]:
        assert sum(Decimal(reason["usd"]) for reason in row["reasons"]) == Decimal(row["difference"])


def test_a_bill_that_cannot_be_read_is_unknown_and_no_zero(command, spent):
    report = json.loads(
        command("report", "--format", "json", "--trailing", AWS_ENDPOINT_URL_COST_EXPLORER="http://127.0.0.1:9")
    )
    assert report["comparison"] is None
    assert any("The bill is unknown" in sentence for sentence in report["unknown"])


class cost_explorer:
    """A Cost Explorer whose first page is empty, and whose second page has `amounts`: day, tag, model and dollars.

    The shapes are those of the API reference of AWS Cost Explorer, `GetCostAndUsage`, in the protocol JSON 1.1.
    """

    def __init__(self, amounts):
        asked: list[dict] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.headers["X-Amz-Target"] == "AWSInsightsIndexService.GetCostAndUsage"
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append(call)
                answer: dict = {"ResultsByTime": [], "NextPageToken": "second"}
                if call.get("NextPageToken") == "second":
                    answer = {"ResultsByTime": [self.result(*amount) for amount in amounts]}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            @staticmethod
            def result(day, tag, model, usd):
                amount = {"UnblendedCost": {"Amount": usd, "Unit": "USD"}}
                return {
                    "TimePeriod": {"Start": day, "End": day},
                    "Groups": [{"Keys": [tag, model], "Metrics": amount}],
                    "Estimated": True,
                }

            def log_message(self, *_):
                pass

        self.asked, self.server = asked, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}", self.asked

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
