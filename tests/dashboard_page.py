"""Draws the dashboard of a template as an HTML page, with the data of a stack or made-up ones.

python tests/dashboard_page.py PAGE.html                        # the template of this checkout, ten days of made-up requests
python tests/dashboard_page.py PAGE.html --endpoint http://127.0.0.1:4566 --days 30     # a stack on the local AWS
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

import sample_requests
from cloudwatch import alarms, dashboards, logs_insights, render
from cloudwatch.refused import Refused
from cloudwatch.stack import Stack
from cloudwatch.store import Store, from_cloudwatch
from month_folder import Month
from test_template import Loader

ROOT = Path(__file__).resolve().parent.parent
NAMESPACES = ("GenAIRateLimiting", "AWS/Bedrock", "AWS/BedrockMantle", "AWS/Lambda", "AWS/States", "AWS/SQS")
# The states are those after the last hours. No alarm looks back further.
ALARM_HOURS = 6


@dataclass
class Shown:
    """The contents of a page. `end` is the end of the range, in seconds since 1970."""

    body: dict[str, Any]
    store: Store
    events: list[logs_insights.Event]
    alarms: list[alarms.Alarm]
    end: float


def body_of(stack: Stack) -> dict[str, Any]:
    """The dashboard of a stack."""
    found = list(stack.resources("AWS::CloudWatch::Dashboard").values())
    if len(found) != 1:
        sys.exit(f"the template has {len(found)} dashboards")
    body: dict[str, Any] = json.loads(found[0]["DashboardBody"])
    return body


def everything(template: dict[str, Any]) -> dict[str, str]:
    """The parameters of a stack that has all alarms."""
    return {"Observability": "full"} if "Observability" in template["Parameters"] else {}


def of_sample(template: dict[str, Any]) -> Shown:
    """The dashboard of a template with made-up requests."""
    stack = Stack(template, everything(template))
    sent = sample_requests.requests()
    store = sample_requests.metric_data(sent)
    sample_requests.put_healthy(store, stack)
    return Shown(body_of(stack), store, sample_requests.events(sent), of_stack(stack), sample_requests.END)


def of_month(template: dict[str, Any], folder: Path) -> Shown:
    """The dashboard of a template with the data of a simulated month."""
    month = Month(folder)
    stack = Stack(template, everything(template), name=month.stack_name)
    return Shown(body_of(stack), month.store, month.events, with_data(of_stack(stack), month.store), month.end)


def of_endpoint(endpoint: str, name: str, days: float) -> Shown:
    """The dashboard, the metric data, the log events and the alarms of a stack on the local AWS."""
    end = time.time()
    start = end - days * 86_400
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
    return Shown(body, store, events, with_data(of_cloudwatch(cloudwatch), store), end)


def of_stack(stack: Stack) -> list[alarms.Alarm]:
    """The alarms of a stack."""
    found: list[alarms.Alarm] = []
    for name, body in stack.resources(alarms.METRIC_ALARM).items():
        found.append(alarms.metric_alarm(stack.ref(name), body))
    for name, body in stack.resources(alarms.COMPOSITE_ALARM).items():
        found.append(alarms.composite_alarm(stack.ref(name), body))
    return found


def with_data(found: list[alarms.Alarm], store: Store) -> list[alarms.Alarm]:
    """The alarms on namespaces of which there are data, and the composite alarms of these alarms only.

    The local AWS publishes no metrics of Lambda, Step Functions and SQS, so the state of the other alarms is not known.
    """
    namespaces = {metric.namespace for metric in store.metrics()}
    metric_alarms = [
        alarm
        for alarm in found
        if isinstance(alarm, alarms.MetricAlarm)
        and all(query.metric is None or query.metric.namespace in namespaces for query in alarm.queries)
    ]
    names = {alarm.name for alarm in metric_alarms}
    composites = [alarm for alarm in found if isinstance(alarm, alarms.CompositeAlarm) and set(alarm.members) <= names]
    return [*metric_alarms, *composites]


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


def html(shown: Shown, days: float, period: int | None) -> str:
    """The page of a dashboard for the last days of its data."""
    start = shown.end - days * 86_400
    states = states_of(shown.alarms, shown.store, int(shown.end) // 60 * 60)
    body = dashboards.chosen(shown.body, shown.store)
    widgets = dashboards.widgets(body, start, shown.end, period)
    return render.page(widgets, shown.store, shown.events, start, shown.end, title="Dashboard", states=states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="the HTML file to write")
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml")
    parser.add_argument("--month", type=Path, help="the folder of a simulated month")
    parser.add_argument("--endpoint", help="URL of the local AWS")
    parser.add_argument("--dashboard", default="cost-sentry", help="name of the dashboard on the local AWS")
    parser.add_argument("--days", type=float, default=1.0, help="days before the end of the data; 1 is the default")
    parser.add_argument("--period", type=int, help="seconds that override the period of all graphs")
    arguments = parser.parse_args()
    template = yaml.load(arguments.template.read_text(encoding="utf-8"), Loader)
    if arguments.endpoint:
        shown = of_endpoint(arguments.endpoint, arguments.dashboard, arguments.days)
    elif arguments.month:
        shown = of_month(template, arguments.month)
    else:
        shown = of_sample(template)
    try:
        text = html(shown, arguments.days, arguments.period)
    except Refused as error:
        sys.exit(f"the dashboard cannot be drawn: {error}")
    arguments.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
