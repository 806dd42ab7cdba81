"""Every widget of the dashboard on a simulated month, compared with the audit lines of the month.

cargo xtask month --port 4566
pytest tests/test_dashboard_month.py --month .sentry/4566/month
"""

import json
from pathlib import Path

import pytest

from cloudwatch import dashboards
from cloudwatch.stack import Stack
from month_folder import Month
from test_dashboard_data import EXPECTED, Figures, check
from test_template import TEMPLATE

RANGES = {"a day": 86_400, "ten days": 10 * 86_400}
# These widgets show what the audit lines of the requests do not have: what services count, and percentages of limits.
OTHER_SOURCES = {
    "Highest use of a budget",
    "Used of each limit, in percent",
    "Used of each limit over time, in percent",
    "Forecast for the end of the window, in percent of the limit",
    "Alerts sent, and requests degraded",
    "Tokens that bypassed the sentry, by model",
    "Share of tokens that bypassed the sentry, in percent",
    "Input tokens that Bedrock counted, by model or profile",
    "Output tokens that Bedrock counted, by model or profile",
    "Errors of functions",
    "Throttles of functions",
    "Workflow",
    "Queue of finished requests",
    "Holds that were not settled as usual",
}


def widgets(name):
    stack = Stack(TEMPLATE, name=name)
    for properties in stack.resources("AWS::CloudWatch::Dashboard").values():
        return json.loads(properties["DashboardBody"])
    return {"widgets": []}


BODY = widgets("cost-sentry")
TITLES = {
    kind: [each["properties"]["title"] for each in BODY["widgets"] if each["type"] == kind]
    for kind in ("metric", "log")
}


@pytest.fixture(scope="module")
def month(request):
    folder = request.config.getoption("--month")
    if folder is None:
        pytest.skip("no --month")
    return Month(Path(folder))


def widget_of(month, title, length):
    body = dashboards.chosen(BODY, month.store)
    (found,) = [each for each in dashboards.widgets(body, month.end - length, month.end) if each.title == title]
    return found


@pytest.mark.parametrize("length", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("title", TITLES["metric"])
def test_a_widget_shows_the_figures_of_the_month(month, title, length):
    widget = widget_of(month, title, length)
    found = widget.series(month.store, month.end - length, month.end)
    if title in OTHER_SOURCES:
        assert all(value >= 0 for each in found for value in each.values.values())
        return
    check(found, EXPECTED[title](Figures(length, widget.properties["period"], month.requests, month.end)))


@pytest.mark.parametrize("title", TITLES["log"])
def test_a_log_widget_has_rows_in_the_month(month, title):
    assert widget_of(month, title, RANGES["ten days"]).rows(month.events, month.end - 10 * 86_400, month.end).rows
