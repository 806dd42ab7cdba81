"""`sentry status`: faults that are really there, in every form, and what the caller may not see."""

import csv
import http.server
import io
import json
import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from contract import check_succeeded
from denying_aws import denying
from sentry_client import document, unique

pytestmark = pytest.mark.local

STATES = {"ok", "warning", "fault", "unknown"}
CHECKS = [
    "stack", "parameters", "workflows", "functions", "decisions", "metric queue", "dead letters", "request queue",
    "dead requests", "gateway", "sweep", "alarms", "notifications", "limits", "bypass", "model ends", "prices", "profiles", "profile tags", "no profile", "cost tag",
]  # fmt: skip


def status(command, code=None):
    """The rows by the name of the check. The exit code is 1 if there is a fault, and 0 otherwise."""
    rows = json.loads(command.output("--output", "json", "status", code=code))
    assert [row["check"] for row in rows] == CHECKS
    assert all(row["state"] in STATES and row["finding"] for row in rows)
    assert all(row["todo"] for row in rows if row["state"] != "ok")
    return {row["check"]: row for row in rows}


def faults(command):
    return {name for name, row in status(command).items() if row["state"] == "fault"}


def test_all_checks_are_there_in_every_form(command, sentry):
    answer = check_succeeded(sentry.ask(sent := document("nova-lite")), sent)
    sentry.wait_for_metrics(sentry.dimensions(answer))
    rows = status(command)
    (age,) = re.findall(r"^the newest decision in CloudWatch is (\d+) seconds? old$", rows["decisions"]["finding"])
    assert int(age) < 120
    assert rows["stack"]["state"] == "ok" and "_COMPLETE since " in rows["stack"]["finding"]
    assert "ModelInvocation=" in rows["parameters"]["finding"]
    assert rows["workflows"]["state"] == "ok" and "rate limiter and model router active" in rows["workflows"]["finding"]
    functions = len(sentry.resources("AWS::Lambda::Function"))
    assert rows["functions"]["finding"].startswith(f"{functions} functions, last change 20")
    is_fault = any(row["state"] == "fault" for row in rows.values())
    of_csv = csv.DictReader(io.StringIO(command.output("--output", "csv", "status", code=int(is_fault))))
    assert [(row["check"], row["state"]) for row in of_csv] == [(row["check"], row["state"]) for row in rows.values()]
    shown = command.on_a_terminal("status", code=int(is_fault))
    assert all(len(line) <= 80 for line in shown.splitlines()), shown
    assert all(name in shown for name in CHECKS)
    counts = [sum(row["state"] == state for row in rows.values()) for state in ("ok", "warning", "fault", "unknown")]
    assert "ok {}, warning {}, fault {}, unknown {}".format(*counts) in shown


def test_a_dead_letter_is_a_fault_until_it_is_gone(command, sentry):
    url = sentry.outputs["MetricsDeadLetterQueueUrl"]
    before = faults(command)
    sentry.queues.send_message(QueueUrl=url, MessageBody="a dead letter of a test")
    try:
        row = status(command, code=1)["dead letters"]
        assert row["state"] == "fault" and "redrive" in row["todo"]
        assert "dead letters" in command("status", code=1), "the error names the fault"
    finally:
        for message in sentry.queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            if message["Body"] == "a dead letter of a test":
                sentry.queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert faults(command) == before


def test_an_alarm_of_the_stack_is_a_fault_and_another_stacks_is_not(command, sentry):
    cloudwatch = sentry.cloudwatch
    alarms = sentry.resources("AWS::CloudWatch::Alarm")
    name = alarms["SettleThrottlesAlarm"]
    other = f"{sentry.stack_name}-{unique('other')}"
    cloudwatch.put_metric_alarm(
        AlarmName=other, Namespace="Test", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    try:
        for each in (name, other):
            cloudwatch.set_alarm_state(AlarmName=each, StateValue="ALARM", StateReason="a test")
        row = status(command, code=1)["alarms"]
        assert row["state"] == "fault" and f"1 of {len(alarms)} in ALARM: SettleThrottlesAlarm" in row["finding"]
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
        assert status(command)["alarms"]["state"] == "ok"
    finally:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
        cloudwatch.delete_alarms(AlarmNames=[other])


def test_a_limit_that_no_request_reaches_is_a_fault(command, sentry):
    key = f"costCentre#{unique('status')}"
    sentry.limits.put_item(Item={"modelId": key, "limit": {"usd": 5}})
    try:
        row = status(command, code=1)["limits"]
        assert row["state"] == "fault" and key in row["finding"] and row["todo"] == "sentry limits lint"
    finally:
        sentry.delete_limit(key)
    assert key not in status(command)["limits"]["finding"]


def test_profiles_without_tags_and_models_without_a_profile_are_named(command, sentry):
    bedrock = sentry.client("bedrock", sentry.bedrock_endpoint)
    # A name that comes first in the list of names.
    name = f"0000-{unique('status')}"
    source = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-lite-v1:0"
    arn = bedrock.create_inference_profile(
        inferenceProfileName=name, modelSource={"copyFrom": source}, tags=[{"key": "team", "value": "blue"}]
    )["inferenceProfileArn"]
    try:
        rows = status(command)
        assert rows["profile tags"]["state"] == "warning" and name in rows["profile tags"]["finding"]
        command("--yes", "profiles", "tag", name, "costCenter=sales")
        assert name not in status(command)["profile tags"]["finding"]
    finally:
        bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    answer = check_succeeded(sentry.ask(sent := document("nova-lite")), sent)
    sentry.history(f"model#{answer['model']['modelMetric']}", 1)
    row = status(command)["no profile"]
    assert row["state"] == "warning" and "sentry profiles create" in row["todo"]


def test_tokens_that_bypassed_the_sentry_are_a_warning(command, sentry):
    key = {"scope": f"ungoverned#{unique('status')}", "day": datetime.now(UTC).date().isoformat()}
    before = status(command)["bypass"]["finding"]
    sentry.usage.put_item(Item={**key, "input": 700, "output": 77})
    try:
        row = status(command)["bypass"]
        earlier = int(before.split(" ")[0]) if before[0].isdigit() else 0
        assert row["state"] == "warning" and row["finding"].startswith(f"{earlier + 777} tokens")
    finally:
        sentry.usage.delete_item(Key=key)
    assert status(command)["bypass"]["finding"] == before


@pytest.mark.parametrize(
    "operation, action, checks",
    [
        ("ListStackResources", "cloudformation:ListStackResources", ["functions"]),
        ("AWSStepFunctions.DescribeStateMachine", "states:DescribeStateMachine", ["workflows"]),
        ("GetMetricData", "cloudwatch:GetMetricData", ["decisions", "sweep"]),
        ("ListMetrics", "cloudwatch:ListMetrics", ["sweep"]),
        ("DescribeAlarms", "cloudwatch:DescribeAlarms", ["alarms", "notifications"]),
        ("AmazonSQS.GetQueueAttributes", "sqs:GetQueueAttributes", ["metric queue", "dead letters"]),
        ("DynamoDB_20120810.Scan", "dynamodb:Scan", ["limits", "bypass", "no profile"]),
        ("AWSInsightsIndexService.ListCostAllocationTags", "ce:ListCostAllocationTags", ["cost tag"]),
    ],
)
def test_without_a_permission_a_check_is_unknown_and_names_the_action(command, operation, action, checks):
    with denying(command, lambda called: called == operation) as denied:
        rows = status(denied)
    for check in checks:
        assert rows[check]["state"] == "unknown", rows[check]
        assert action in rows[check]["finding"] and f"allow {action}" in rows[check]["todo"]


def test_the_cost_allocation_tag_is_seen_active_and_inactive(command):
    for state, expected in (("Active", "ok"), ("Inactive", "warning"), (None, "warning")):
        with cost_allocation_tags(state) as url:
            found = json.loads(command("--output", "json", "status", AWS_ENDPOINT_URL_COST_EXPLORER=url))
        (row,) = [row for row in found if row["check"] == "cost tag"]
        assert row["state"] == expected, row
        assert ("update-cost-allocation-tags-status" in row["todo"]) == (state == "Inactive")


def test_without_aws_or_a_stack_there_is_no_status(command):
    assert "AWS cannot be reached" in command.at("http://127.0.0.1:9")("status", code=3)
    assert "no-such-stack" in command("status", code=1, stack="no-such-stack")
    with denying(command, lambda operation: operation == "DescribeStacks") as denied:
        assert "Ask for the permission" in denied("status", code=1)


@contextmanager
def cost_allocation_tags(state):
    """A Cost Explorer whose tag `costCenter` has this state. None knows no tag.

    The shapes are those of the API reference of AWS Cost Explorer, `ListCostAllocationTags`, in the protocol JSON 1.1.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            assert self.headers["X-Amz-Target"] == "AWSInsightsIndexService.ListCostAllocationTags"
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            tag = {"TagKey": call["TagKeys"][0], "Type": "UserDefined", "Status": state}
            body = json.dumps({"CostAllocationTags": [tag] if state else []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
