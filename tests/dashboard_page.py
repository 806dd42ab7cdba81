"""Draws the dashboard of a template as an HTML page, with the data of a stack or made-up ones.

python tests/dashboard_page.py PAGE.html                        # the template of this checkout, ten days of made-up requests
python tests/dashboard_page.py PAGE.html --endpoint http://127.0.0.1:4566 --days 30     # a stack on the local AWS
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import yaml

import sample_requests
from cloudwatch import alarms, dashboards, logs_insights, render
from cloudwatch.refused import Refused
from cloudwatch.stack import Stack
from cloudwatch.store import Store, from_cloudwatch
from test_template import Loader

ROOT = Path(__file__).resolve().parent.parent
NAMESPACES = ("GenAIRateLimiting", "AWS/Bedrock", "AWS/BedrockMantle", "AWS/Lambda", "AWS/States", "AWS/SQS")
# The states are those after the last hours. No alarm looks back further.
ALARM_HOURS = 6


def of_template(path: Path) -> tuple[dict[str, Any], Stack]:
    """The dashboard and the stack of a template with its default parameters."""
    stack = Stack(yaml.load(path.read_text(encoding="utf-8"), Loader))
    found = stack.resources("AWS::CloudWatch::Dashboard")
    if len(found) != 1:
        sys.exit(f"{path} has {len(found)} dashboards")
    (properties,) = found.values()
    return json.loads(properties["DashboardBody"]), stack


def of_endpoint(
    endpoint: str, name: str, start: float, end: float
) -> tuple[dict[str, Any], Store, list[logs_insights.Event], list[alarms.Alarm]]:
    """The dashboard, the metric data, the log events and the alarms of a stack on the local AWS."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    cloudwatch = session.client("cloudwatch", endpoint_url=endpoint)
    logs = session.client("logs", endpoint_url=endpoint)
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    store = from_cloudwatch(cloudwatch, NAMESPACES, start, end, end)
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws/lambda/")
    groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    events = [
        event for group in groups for event in logs_insights.events_of(logs, group, int(start * 1000), int(end * 1000))
    ]
    return body, store, events, of_cloudwatch(cloudwatch)


def of_stack(stack: Stack) -> list[alarms.Alarm]:
    """The alarms of a stack."""
    found: list[alarms.Alarm] = []
    for name, body in stack.resources(alarms.METRIC_ALARM).items():
        found.append(alarms.metric_alarm(stack.ref(name), body))
    for name, body in stack.resources(alarms.COMPOSITE_ALARM).items():
        found.append(alarms.composite_alarm(stack.ref(name), body))
    return found


def of_cloudwatch(client: Any) -> list[alarms.Alarm]:
    """The alarms that the local AWS has. It does not evaluate them itself."""
    found: list[alarms.Alarm] = []
    for page in client.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm", "CompositeAlarm"]):
        for body in page.get("MetricAlarms", []):
            found.append(alarms.metric_alarm(body["AlarmName"], _given(body, alarms.METRIC_PROPERTIES)))
        for body in page.get("CompositeAlarms", []):
            found.append(alarms.composite_alarm(body["AlarmName"], _given(body, alarms.COMPOSITE_PROPERTIES)))
    return found


def _given(body: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key in names and value not in (None, "", [])}


def states_of(found: list[alarms.Alarm], store: Store, end: int) -> dict[str, str]:
    """The states of alarms at the end of the data."""
    alarms.run(found, store, end - ALARM_HOURS * 3600, end)
    return {alarm.name: alarm.state for alarm in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="the HTML file to write")
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--endpoint", help="URL of the local AWS; without it, the data are made up")
    parser.add_argument("--dashboard", default="cost-sentry", help="name of the dashboard on the local AWS")
    parser.add_argument("--days", type=float, help="range; the default is that of the dashboard")
    arguments = parser.parse_args()
    body, stack = of_template(arguments.template)
    end: float = time.time() if arguments.endpoint else sample_requests.END
    start, _ = dashboards.time_range(body, end)
    if arguments.days:
        start = end - arguments.days * 86_400
    if arguments.endpoint:
        body, store, events, watched = of_endpoint(arguments.endpoint, arguments.dashboard, start, end)
    else:
        sent = sample_requests.requests()
        store, events = sample_requests.metric_data(sent), sample_requests.events(sent)
        sample_requests.put_healthy(store, stack)
        watched = of_stack(stack)
    try:
        states = states_of(watched, store, int(end) // 60 * 60)
        shown = dashboards.chosen(body, store)
        text = render.page(
            dashboards.widgets(shown, start, end), store, events, start, end, title=stack.name, states=states
        )
    except Refused as error:
        sys.exit(f"the dashboard cannot be drawn: {error}")
    arguments.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
