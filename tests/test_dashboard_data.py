"""Every widget of the dashboard returns the right series for made-up requests. Needs no endpoint.

`EXPECTED` computes the figures of each widget from the requests themselves, by the title of the widget. A widget without an entry
fails `test_each_widget_has_expected_figures`.
"""

import json
import math
import re
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

import sample_requests as sample
from cloudwatch import dashboards, render
from cloudwatch.refused import Refused
from cloudwatch.stack import Stack
from sample_requests import END, metric_data, put_healthy, requests
from test_template import TEMPLATE

SENT = requests()
STACK = Stack(TEMPLATE)
# The ranges in seconds.
RANGES = {"a day": 86_400, "ten days": 10 * 86_400}

# A small dashboard with each kind of widget and view, which is tested even if the template has none.
SMALL: dict[str, Any] = {
    "start": "-P1D",
    "variables": [
        {
            "type": "pattern",
            "pattern": "chosen-center",
            "inputType": "select",
            "id": "center",
            "label": "Cost center",
            "defaultValue": "__FIRST",
            "visible": True,
            "search": '{GenAIRateLimiting,Application,CostCenter,Environment,Model,ModelId} MetricName="TotalRequests"',
            "populateFrom": "CostCenter",
        },
        {
            "type": "property",
            "property": "Step",
            "inputType": "radio",
            "id": "step",
            "label": "Step",
            "defaultValue": "gather",
            "visible": True,
            "values": [{"value": "gather", "label": "Gather"}, {"value": "settle", "label": "Settle"}],
        },
    ],
    "widgets": [
        {
            "type": "text",
            "x": 0,
            "y": 0,
            "width": 24,
            "height": 2,
            "properties": {"markdown": "# Sentry\n- **bold** [x](https://a.b)"},
        },
        {
            "type": "metric",
            "x": 0,
            "y": 2,
            "width": 6,
            "height": 5,
            "properties": {
                "title": "Gauge",
                "view": "gauge",
                "region": "us-east-1",
                "yAxis": {"left": {"min": 0, "max": 120}},
                "annotations": {"horizontal": [{"label": "limit", "value": 100, "color": "#d62728"}]},
                "metrics": [
                    [
                        {
                            "expression": 'SELECT MAX(BudgetUsedPercent) FROM SCHEMA(GenAIRateLimiting, "Scope")',
                            "label": "used",
                        }
                    ]
                ],
            },
        },
        {
            "type": "metric",
            "x": 6,
            "y": 2,
            "width": 6,
            "height": 5,
            "properties": {
                "title": "Step",
                "stat": "p90",
                "region": "us-east-1",
                "metrics": [["GenAIRateLimiting", "StepLatency", "Step", "any"]],
            },
        },
        {
            "type": "metric",
            "x": 12,
            "y": 2,
            "width": 6,
            "height": 5,
            "properties": {
                "title": "Chosen",
                "view": "pie",
                "region": "us-east-1",
                "setPeriodToTimeRange": True,
                "metrics": [
                    [
                        {
                            "expression": "SELECT SUM(CostUsd) FROM GenAIRateLimiting WHERE CostCenter = 'chosen-center' GROUP BY Application",
                            "label": "",
                        }
                    ]
                ],
            },
        },
        {
            "type": "log",
            "x": 18,
            "y": 2,
            "width": 6,
            "height": 5,
            "properties": {
                "title": "Log",
                "region": "us-east-1",
                "view": "bar",
                "query": f"SOURCE '{sample.GROUP}' | filter message = 'request' | stats count(*) as n by outcome | sort n desc",
            },
        },
    ],
}


@pytest.fixture(scope="module")
def store():
    found = metric_data(SENT)
    put_healthy(found, STACK)
    return found


@pytest.fixture(scope="module")
def logged():
    return sample.events(SENT)


# ---- The expected figures, computed from the requests


class Figures:
    """Sums, percentiles and maxima of the requests in a range, by period. Labels come in the order of the widget."""

    def __init__(self, length, period, every=None, end=END):
        self.start, self.end, self.period = end - length, end, period
        self.every = SENT if every is None else every
        self.sent = [each for each in self.every if self.start <= each.time < end]
        self.priced = [each for each in self.sent if each.is_priced]
        self.known = [each for each in self.sent if each.knows_usage]

    def bucket(self, time):
        return int(time // self.period) * self.period

    def collect(self, pairs):
        """`pairs` of time and value: the values of each period."""
        found = defaultdict(list)
        for time, value in pairs:
            found[self.bucket(time)].append(float(value))
        return found

    def of(self, pairs, combine=math.fsum):
        return {time: combine(values) for time, values in self.collect(pairs).items()}

    def by(self, key, value, sent=None, combine=math.fsum, order=None):
        """Series by a property of the requests, in alphabetical order, or by `order` of their values, highest first."""
        groups = defaultdict(list)
        for each in self.sent if sent is None else sent:
            groups[key(each)].append((each.time, value(each)))
        found = {name: self.of(pairs, combine) for name, pairs in sorted(groups.items())}
        if order is not None:
            ranked = sorted(found, key=lambda name: order(found[name].values()), reverse=True)
            found = {name: found[name] for name in ranked}
        return found

    def scopes(self, which, order=None):
        """The highest percentage of each scope in each period."""
        pairs = defaultdict(list)
        for each in self.sent:
            for scope, percent in which(each).items():
                pairs[scope].append((each.time, percent))
        found = {name: self.of(listed, max) for name, listed in sorted(pairs.items())}
        if order is not None:
            found = {
                name: found[name] for name in sorted(found, key=lambda name: max(found[name].values()), reverse=True)
            }
        return found

    def total(self, value, sent=None):
        counted = self.sent if sent is None else sent
        return {int(self.start): math.fsum(float(value(each)) for each in counted)} if counted else {}

    def zeros(self):
        return dict.fromkeys(range(int(self.start), self.end, self.period), 0.0)

    @property
    def bypassing(self):
        return [(time + 60, sum(sample.BYPASSING_TOKENS)) for time in sample.bypassing_times() if time >= self.start]


def nearest_rank(percent):
    def combine(values):
        return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]

    return combine


def is_denied(each):
    return each.outcome == "Denied"


def is_failed(each):
    return each.outcome == "InvocationFailed"


def dollars(each):
    return each.dollars


def model(each):
    return each.model_id


def center(each):
    return each.cost_center


def application(each):
    return each.application


def spent(key):
    """Dollars by a property of the requests."""
    return lambda figures: figures.by(key, dollars, figures.priced, order=sum)


def chosen(which, key, figure):
    """A widget of the drop-downs, which show the first value of the dimension."""

    def series(figures):
        first = min(which(each) for each in figures.every)
        sent = figures.priced if figure is dollars else figures.sent
        return figures.by(key, figure, [each for each in sent if which(each) == first], order=sum)

    return series


def environment(each):
    return each.environment


def read(each):
    return each.input_tokens


def written(each):
    return each.output_tokens


def outcomes(figures):
    failed = figures.of((each.time, is_failed(each)) for each in figures.sent)
    denied = figures.of((each.time, is_denied(each)) for each in figures.sent)
    every = figures.of((each.time, 1) for each in figures.sent)
    return {
        "failed": failed,
        "denied": denied,
        "succeeded": {time: every[time] - failed[time] - denied[time] for time in every},
    }


def failing(figures):
    def percent(values):
        return 100 * math.fsum(values) / len(values)

    return figures.by(model, is_failed, combine=percent, order=lambda values: sum(values) / len(values))


def bypassed_share(figures):
    around = figures.of(figures.bypassing)
    governed = figures.of((each.time, each.input_tokens + each.output_tokens) for each in figures.known)
    found = {}
    for time in {*figures.zeros(), *governed}:
        whole = around.get(time, 0.0) + governed.get(time, 0.0)
        if whole:
            found[time] = 100 * around.get(time, 0.0) / whole
    return {"bypassed": found}


def counted_by_bedrock(value, extra):
    def series(figures):
        found = figures.by(model, value, figures.known)
        around = figures.of((time, extra) for time in sample.bypassing_times() if time >= figures.start)
        for time, tokens in around.items():
            found[sample.BYPASSING][time] = found[sample.BYPASSING].get(time, 0.0) + tokens
        return found

    return series


def held_for_each_used(figures):
    held = figures.of((each.time, each.held_tokens) for each in figures.known)
    used = figures.of((each.time, each.input_tokens + each.output_tokens) for each in figures.known)
    return {"held / used": {time: held[time] / used[time] for time in held if used[time]}}


def latencies(figures):
    pairs = [(each.time, each.steps["decision"]) for each in figures.sent if "decision" in each.steps]
    return {f"p{percent}": figures.of(pairs, nearest_rank(percent)) for percent in (50, 95, 99)}


def answered(figures):
    return [each for each in figures.sent if each.outcome == "Succeeded" and "model" in each.steps]


def steps(figures):
    return {
        step: figures.of(
            ((each.time, each.steps[step]) for each in figures.sent if step in each.steps),
            nearest_rank(95),
        )
        for step in sample.STEPS
    }


def of_functions(figures):
    names = [
        name
        for name, body in TEMPLATE["Resources"].items()
        if body["Type"] == "AWS::Serverless::Function" and "Condition" not in body
    ]
    return {name.removesuffix("Function"): figures.zeros() for name in names}


def degraded(figures):
    return {"degraded Degradations": figures.of((each.time, 1) for each in figures.sent if each.number % 97 == 5)}


def small_pie(figures):
    return {
        name: figures.total(lambda each, name=name: each.dollars if each.application == name else 0)
        for name in ("notebook", "papers")
    }


EXPECTED = {
    "Gauge": lambda figures: {
        "used": figures.of(((each.time, max(each.used.values())) for each in figures.sent if each.used), max)
    },
    "Step": lambda figures: {
        "StepLatency": figures.of(((each.time, each.steps["gather"]) for each in figures.sent), nearest_rank(90))
    },
    "Chosen": small_pie,
    "Highest use of a budget": lambda figures: {
        "% of the limit": figures.of(((each.time, max(each.used.values())) for each in figures.sent if each.used), max)
    },
    "Used of each limit, in percent": lambda figures: figures.scopes(lambda each: each.used, order=max),
    "In the time range": lambda figures: {
        "requests": figures.total(lambda each: 1),
        "denied": figures.total(is_denied),
        "failed": figures.total(is_failed),
        "dollars": figures.total(dollars, figures.priced),
    },
    "Requests by outcome": outcomes,
    "Denials by reason": lambda figures: figures.by(
        lambda each: each.code, lambda each: 1, [e for e in figures.sent if is_denied(e)]
    ),
    "Denials by cost center": lambda figures: figures.by(center, is_denied, order=sum),
    "Dollars by model": spent(model),
    "Dollars by cost center": spent(center),
    "Dollars by application in the time range": lambda figures: {
        name: {int(figures.start): math.fsum(values.values())} for name, values in spent(application)(figures).items()
    },
    "Input tokens by model": lambda figures: figures.by(model, read, order=sum),
    "Output tokens by model": lambda figures: figures.by(model, written, order=sum),
    "Input tokens by cost center": lambda figures: figures.by(center, read, order=sum),
    "Output tokens by cost center": lambda figures: figures.by(center, written, order=sum),
    "Used of each limit over time, in percent": lambda figures: figures.scopes(lambda each: each.used, order=max),
    "Forecast for the end of the window, in percent of the limit": lambda figures: figures.scopes(
        lambda each: each.forecast, order=max
    ),
    "Alerts sent, and requests degraded": degraded,
    "Chosen cost center, dollars by application": chosen(center, application, dollars),
    "Chosen application, dollars by model": chosen(application, model, dollars),
    "Chosen environment, dollars by cost center": chosen(environment, center, dollars),
    "Chosen cost center, denials by model": chosen(center, model, is_denied),
    "Chosen application, denials by model": chosen(application, model, is_denied),
    "Chosen environment, requests by application": chosen(environment, application, lambda each: 1),
    "Decision in milliseconds, without the model": latencies,
    "Milliseconds by step, p95": steps,
    "Milliseconds of the model, p95": lambda figures: figures.by(
        model, lambda each: each.steps["model"], answered(figures), nearest_rank(95)
    ),
    "Share of requests that failed, by model, in percent": failing,
    "Tokens that bypassed the sentry, by model": lambda figures: {"UngovernedTokens": figures.of(figures.bypassing)},
    "Share of tokens that bypassed the sentry, in percent": bypassed_share,
    "Input tokens that Bedrock counted, by model or profile": counted_by_bedrock(read, sample.BYPASSING_TOKENS[0]),
    "Output tokens that Bedrock counted, by model or profile": counted_by_bedrock(written, sample.BYPASSING_TOKENS[1]),
    "Errors of functions": of_functions,
    "Throttles of functions": of_functions,
    "Workflow": lambda figures: dict.fromkeys(("failed", "timed out", "throttled"), figures.zeros()),
    "Queue of finished requests": lambda figures: dict.fromkeys(("age in seconds", "dead letters"), figures.zeros()),
    # A healthy stack publishes none of these metrics.
    "Holds that were not settled as usual": lambda figures: {},
    "Tokens held for each token used": held_for_each_used,
}


def time_of(each):
    return sample.audit_line(each)["timestamp"]


def slowest(figures):
    ranked = sorted(figures.sent, key=lambda each: each.steps["total"], reverse=True)[:10]
    return [each.steps["total"] for each in ranked]


def spend(figures):
    groups = defaultdict(list)
    for each in figures.sent:
        groups[each.cost_center, each.application].append(each)
    rows = [
        {
            "tags.costCenter": key[0],
            "tags.applicationId": key[1],
            "dollars": sum((each.dollars for each in sent if each.is_priced), Decimal(0)),
            "requests": len(sent),
            "tokens": sum(each.input_tokens + each.output_tokens for each in sent),
        }
        for key, sent in groups.items()
    ]
    return sorted(rows, key=lambda row: row["dollars"], reverse=True)


def latest_denials(figures):
    denied = sorted((each for each in figures.sent if is_denied(each)), key=lambda each: each.time, reverse=True)
    return [time_of(each) for each in denied[:20]]


# What a log widget shows: a function of the rows, and the same computed from the requests.
EXPECTED_ROWS = {
    "Log": (
        lambda rows: {row["outcome"]: row["n"] for row in rows},
        lambda figures: {
            outcome: sum(each.outcome == outcome for each in figures.sent)
            for outcome in ("Succeeded", "Denied", "InvocationFailed")
        },
    ),
    "Slowest requests": (lambda rows: [row["steps_ms.total"] for row in rows], slowest),
    "Latest denials": (lambda rows: [row["timestamp"] for row in rows], latest_denials),
    "Dollars by cost center and application": (lambda rows: rows, spend),
}


# ---- The widgets


def bodies():
    found = {"small": SMALL}
    for name, properties in STACK.resources("AWS::CloudWatch::Dashboard").items():
        found[name] = json.loads(properties["DashboardBody"])
    return found


BODIES = bodies()
TITLES = [
    (name, widget["properties"]["title"], widget["type"])
    for name, body in BODIES.items()
    for widget in body["widgets"]
    if widget["type"] in {"metric", "log"}
]


def widget_of(name, title, store, length):
    body = dashboards.chosen(BODIES[name], store)
    (found,) = [each for each in dashboards.widgets(body, END - length, END) if each.title == title]
    return found


def test_each_widget_has_expected_figures():
    titles = {kind: {title for _, title, each in TITLES if each == kind} for kind in ("metric", "log")}
    assert titles["metric"] <= EXPECTED.keys()
    assert titles["log"] <= EXPECTED_ROWS.keys()


@pytest.mark.parametrize("length", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("name, title", [(name, title) for name, title, kind in TITLES if kind == "metric"])
def test_a_widget_shows_the_figures_of_the_requests(store, name, title, length):
    widget = widget_of(name, title, store, length)
    found = widget.series(store, END - length, END)
    expected = EXPECTED[title](Figures(length, widget.properties["period"]))
    check(found, expected)


def check(found, expected):
    """Compares labels, their order, and values. SEARCH also finds metrics without data in the range."""
    with_data = [each for each in found if each.values]
    wanted = {label: values for label, values in expected.items() if values}
    if len(with_data) == len(wanted) == 1:
        # The label of a single metric that SEARCH finds is the name of the metric.
        wanted = {with_data[0].label: next(iter(wanted.values()))}
    assert [each.label for each in with_data] == list(wanted)
    for each in with_data:
        assert each.values == pytest.approx(wanted[each.label])


@pytest.mark.parametrize("length", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("name, title", [(name, title) for name, title, kind in TITLES if kind == "log"])
def test_a_log_widget_shows_the_rows_of_the_requests(store, logged, name, title, length):
    # A line is written after its request. So the range ends a little later here.
    shown, expected = EXPECTED_ROWS[title]
    rows = widget_of(name, title, store, length).rows(logged, END - length + 30, END + 30).rows
    assert shown(rows) == expected(Figures(length, length))


# ---- Variables and the page


def test_a_variable_offers_the_values_of_its_dimension(store):
    center_variable, step = SMALL["variables"]
    assert dashboards.choices(center_variable, store) == ["research", "sales", "support"]
    assert dashboards.choices(step, store) == ["gather", "settle"]


def test_a_chosen_value_replaces_the_pattern_and_the_property(store):
    body = dashboards.chosen(SMALL, store, {"center": "sales", "step": "settle"})
    _, _, step, pie, _ = body["widgets"]
    assert step["properties"]["metrics"] == [["GenAIRateLimiting", "StepLatency", "Step", "settle"]]
    assert "CostCenter = 'sales'" in pie["properties"]["metrics"][0][0]["expression"]


@pytest.mark.parametrize("length, period", [(3 * 3600, 60), (86_400, 300), (7 * 86_400, 3600), (30 * 86_400, 21_600)])
def test_the_period_adapts_to_the_range(length, period):
    assert dashboards.automatic_period(length) == period


def test_a_widget_of_an_unknown_kind_is_refused():
    with pytest.raises(Refused):
        dashboards.widgets({"widgets": [{"type": "explorer", "properties": {}}]})


def drawn(name, store, logged, states=None):
    body = dashboards.chosen(BODIES[name], store)
    start = END - 10 * 86_400
    return render.page(dashboards.widgets(body, start, END), store, logged, start, END, states=states)


@pytest.mark.parametrize("name", BODIES)
def test_the_page_has_all_widgets_and_loads_nothing(store, logged, name):
    text = drawn(name, store, logged)
    assert text.count('<section class="card"') == len(BODIES[name]["widgets"])
    assert not re.search(r"<script|<link|<img|src=|@import|url\(", text)
    assert all(f">{title}<" in text for each, title, _ in TITLES if each == name)


def test_a_budget_at_its_limit_is_red():
    """The bar of the scope that reached its limit has the color of the limit, and says so."""
    names, values = ["model#full", "model#half"], [99.96, 50.0]
    text = render._bar_chart(names, values, [render.Band(100, "limit", "#d62728")], (600, 100))
    full, half = re.findall(r"<rect[^>]*fill=\"([^\"]+)\"/><text[^>]*>([^<]*)</text>", text)
    assert full == ("#d62728", "100 · limit reached")
    assert half == (render.COLORS[0], "50")


def test_alarms_in_alarm_come_first():
    text = render._alarms([f"arn:aws:cloudwatch:us-east-1:1:alarm:{name}" for name in "abc"], {"a": "OK", "b": "ALARM"})
    assert re.findall(r'title="(\w+)">(\w)<', text) == [("ALARM", "b"), ("OK", "a"), ("INSUFFICIENT_DATA", "c")]


def test_markdown():
    assert render.markdown("# A\n- **b** [c](https://d.e) `<f>`") == (
        '<h1>A</h1><p>• <b>b</b> <a href="https://d.e">c</a> <code>&lt;f&gt;</code></p>'
    )
