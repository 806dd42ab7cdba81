"""The dashboard of the template: its form, its queries, and its place on the grid. One test needs the deployed stack.

The form is that of AWS's page "Dashboard body structure and syntax" in the API reference of Amazon CloudWatch, read in November
2026. The quotas are those of "CloudWatch service quotas" in its user guide.
"""

import json
import re

import pytest
import yaml

import dashboard
import sam_template
from metric_queries import (
    INSIGHTS,
    NAMESPACE,
    PUBLISHED,
    REQUEST,
    STATISTIC,
    Query,
    check,
    insights,
    names_in_math,
    searches,
)
from sentry_client import METRICS
from test_template import FUNCTIONS, LOG_GROUPS, RESOURCES, ROOT, TEMPLATE, pointed_at

TEXT, VARIABLES = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
WIDGET = {"type", "x", "y", "width", "height", "properties"}
# The properties that this dashboard may use, for each type of widget. The required ones are first.
PROPERTIES = {
    "text": ({"markdown"}, {"background"}),
    "log": ({"query", "region"}, {"title", "view", "stacked"}),
    "alarm": ({"alarms"}, {"title", "sortBy", "states"}),
    "metric": (
        {"metrics", "region"},
        {"title", "view", "stacked", "period", "stat", "yAxis", "annotations", "setPeriodToTimeRange", "legend"},
    ),
}
VIEWS = {"timeSeries", "singleValue", "gauge", "bar", "pie", "table"}
RENDERING = {"id", "label", "stat", "color", "visible", "expression", "period", "yAxis"}
VARIABLE = {"type", "pattern", "inputType", "id", "label", "defaultValue", "visible", "search", "populateFrom"}
COLUMNS, MOST_WIDGETS, MOST_METRICS, MOST_METRICS_IN_ALL = 24, 500, 500, 2500
# The functions and the alarms of the widgets are written by the generator from the template.
ALARMS = {
    name
    for name, body in RESOURCES.items()
    if body["Type"] in {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"}
}


def filled(text, full):
    """Returns the body as CloudFormation sends it, with `<Name>` for a resource. With `full`, all conditions hold."""
    for name, value in VARIABLES.items():
        condition, yes, no = value["Fn::If"]
        assert condition in TEMPLATE["Conditions"] and no == ""
        text = text.replace(f"${{{name}}}", yes["Fn::Sub"] if full else no)
    return re.sub(r"\$\{([\w:.]+)\}", r"<\1>", text)


BODY = json.loads(filled(TEXT, full=True))
WIDGETS = BODY["widgets"]
GRAPHS = [widget["properties"] for widget in WIDGETS if widget["type"] == "metric"]


def named(properties):
    return properties["title"]


def options_of(metric):
    return metric[-1] if isinstance(metric[-1], dict) else {}


def queries_of(graph):
    """Yields every query of a graph, and every single metric as a query."""
    for metric in graph["metrics"]:
        expression = options_of(metric).get("expression")
        if expression is None:
            namespace, name, *dimensions = [part for part in metric if isinstance(part, str)]
            yield Query(namespace, name, frozenset(dimensions[::2]))
        elif expression.startswith("SELECT"):
            yield insights(expression)
        else:
            yield from searches(expression)[0]


QUERIES = [(graph["title"], query) for graph in GRAPHS for query in queries_of(graph)]


def test_the_template_has_what_the_source_says():
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    source = yaml.safe_load((ROOT / "dashboards" / "overview.yaml").read_text(encoding="utf-8"))
    written = dashboard.with_dashboard(text, dashboard.Source(source, sam_template.load(ROOT / "template.yaml")))
    assert written == text


def test_every_stack_has_the_dashboard_and_says_its_name():
    assert "Condition" not in RESOURCES["Dashboard"]
    assert pointed_at(TEMPLATE["Outputs"]["DashboardName"]["Value"]) == "Dashboard"


def test_the_body_has_known_members():
    assert BODY.keys() <= {"start", "end", "periodOverride", "variables", "widgets"}
    assert re.fullmatch(r"-P(\d+[DWM]|T\d+[HM])", BODY["start"])
    assert BODY["periodOverride"] in {"auto", "inherit"}


def test_the_body_is_within_the_quotas():
    assert len(WIDGETS) <= MOST_WIDGETS
    assert all(len(graph["metrics"]) <= MOST_METRICS for graph in GRAPHS)
    assert sum(len(graph["metrics"]) for graph in GRAPHS) <= MOST_METRICS_IN_ALL


def test_a_basic_stack_has_the_same_widgets():
    basic = json.loads(filled(TEXT, full=False))
    assert [widget["type"] for widget in basic["widgets"]] == [widget["type"] for widget in WIDGETS]


def test_everything_that_the_body_refers_to_exists():
    for reference in re.findall(r"\$\{([\w:.]+)\}", TEXT):
        name = reference.split(".")[0]
        known = {*RESOURCES, *TEMPLATE["Parameters"], *VARIABLES, "AWS::Region", "AWS::StackName", "AWS::Partition"}
        assert name in known | {"AWS::AccountId"}, reference
        # A stack without the resource could not be deployed.
        assert "Condition" not in RESOURCES.get(name, {}), reference


def test_widgets_are_on_the_grid_and_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for widget in WIDGETS:
        assert widget["x"] >= 0 and widget["width"] >= 1 and widget["x"] + widget["width"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not taken & cells
        taken |= cells
    assert len(taken) == COLUMNS * (1 + max(y for _, y in taken)), "no gap"


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget["properties"].get("title", "text"))
def test_widget_has_known_properties(widget):
    assert widget.keys() == WIDGET
    required, optional = PROPERTIES[widget["type"]]
    assert required <= widget["properties"].keys() <= required | optional
    assert widget["properties"].get("region", "<AWS::Region>") == "<AWS::Region>"
    assert "title" in widget["properties"] or widget["type"] == "text"


def test_titles_are_unique():
    titles = [widget["properties"].get("title") for widget in WIDGETS]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("graph", GRAPHS, ids=named)
def test_graph_has_a_known_form(graph):
    assert graph["view"] in VIEWS
    assert graph["period"] % 60 == 0
    assert "stacked" not in graph or graph["view"] == "timeSeries"
    assert "setPeriodToTimeRange" not in graph or graph["view"] in {"singleValue", "gauge", "bar", "pie"}
    if graph["view"] == "gauge":
        assert {"min", "max"} <= graph["yAxis"]["left"].keys(), "a gauge needs a range"
    for band in graph.get("annotations", {}).get("horizontal", []):
        assert band.keys() <= {"label", "value", "color", "fill"} and isinstance(band["value"], int)


@pytest.mark.parametrize("graph", GRAPHS, ids=named)
def test_metrics_of_a_graph_have_a_known_form(graph):
    ids = [options_of(metric)["id"] for metric in graph["metrics"] if "id" in options_of(metric)]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z]\w*", each) for each in ids)
    for metric in graph["metrics"]:
        options = options_of(metric)
        assert options.keys() <= RENDERING
        assert re.fullmatch("#[0-9a-f]{6}", options.get("color", "#000000"))
        if "expression" in options:
            assert len(metric) == 1 and "stat" not in options and "id" in options
        else:
            assert STATISTIC.fullmatch(options["stat"])
            assert len([part for part in metric if isinstance(part, str)]) % 2 == 0
    assert any(options_of(metric).get("visible", True) for metric in graph["metrics"])


@pytest.mark.parametrize("graph", GRAPHS, ids=named)
def test_a_graph_has_one_insights_query_at_most(graph):
    """GetMetricData accepts one. AWS's user guide: "Metrics Insights quotas"."""
    expressions = [options_of(metric).get("expression", "") for metric in graph["metrics"]]
    assert sum(bool(INSIGHTS.match(each)) for each in expressions) <= 1


@pytest.mark.parametrize("graph", GRAPHS, ids=named)
def test_math_refers_to_ids_of_its_graph(graph):
    ids = {options_of(metric).get("id") for metric in graph["metrics"]}
    for metric in graph["metrics"]:
        expression = options_of(metric).get("expression", "SELECT")
        if not expression.startswith("SELECT"):
            assert names_in_math(searches(expression)[1]) <= ids - {options_of(metric)["id"]}


@pytest.mark.parametrize("title, query", QUERIES)
def test_query_reads_a_published_metric_with_its_dimensions(title, query):
    check(query)


@pytest.mark.parametrize(
    "metric", sorted({query.metric for _, query in QUERIES if query.namespace == NAMESPACE} | PUBLISHED.keys())
)
def test_metric_is_in_the_code_of_a_function(metric):
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("crates/fn-*/src/**/*.rs")]
    assert any(f'"{metric}"' in source for source in sources)


def test_every_metric_of_a_request_is_in_the_list_of_published_metrics():
    of_requests = {metric for metric, dimensions in PUBLISHED.items() if dimensions == REQUEST}
    assert of_requests == {*METRICS, "CostUsd"}


@pytest.mark.parametrize("metric", sorted(PUBLISHED))
def test_metric_is_on_the_dashboard(metric):
    assert metric in {query.metric for _, query in QUERIES}


@pytest.mark.parametrize("variable", BODY["variables"], ids=lambda variable: variable["id"])
def test_drop_down_replaces_a_value_of_its_dimension(variable):
    """The console replaces the pattern everywhere. So it is in no text but in the filters of queries."""
    assert variable.keys() == VARIABLE
    assert (variable["type"], variable["inputType"]) == ("pattern", "select")
    filters = re.findall(rf"(\w+) = '{variable['pattern']}'", json.dumps(WIDGETS))
    assert set(filters) == {variable["populateFrom"]} and len(filters) >= 2
    assert json.dumps(WIDGETS).count(variable["pattern"]) == len(filters)
    (search,), rest = searches(f"SEARCH('{variable['search']}', 'Sum')")
    assert rest == "1"
    check(search)
    assert variable["populateFrom"] in search.dimensions


def test_drop_downs_are_for_cost_center_application_and_environment():
    assert [variable["populateFrom"] for variable in BODY["variables"]] == ["CostCenter", "Application", "Environment"]


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_is_watched(metric):
    found = {each[3] for graph in GRAPHS for each in graph["metrics"] if each[:2] == ["AWS/Lambda", metric]}
    assert found == {f"<{name}>" for name in FUNCTIONS if "Condition" not in RESOURCES[name]}


def test_every_alarm_is_on_the_dashboard():
    (widget,) = [each for each in WIDGETS if each["type"] == "alarm"]
    expected = {dashboard.alarm_arn(dashboard.Source({}, TEMPLATE), name) for name in ALARMS}
    assert {re.sub(r"<([\w:.]+)>", r"${\1}", arn) for arn in widget["properties"]["alarms"]} == expected
    assert len(expected) == len(ALARMS) <= 100


@pytest.mark.parametrize("widget", [each["properties"] for each in WIDGETS if each["type"] == "log"], ids=named)
def test_log_query_reads_audit_lines(widget):
    source, kept, *commands = [part.strip() for part in widget["query"].split(" | ")]
    group = re.fullmatch(r"SOURCE '<(\w+)>'", source)
    assert group and group[1] in LOG_GROUPS
    assert kept.startswith('filter message = "request"')
    assert {command.split()[0] for command in commands} <= {"filter", "stats", "sort", "limit", "display", "fields"}


def test_the_deployed_dashboard_is_that_of_the_template(sentry):
    client = sentry.client("cloudwatch")
    body = client.get_dashboard(DashboardName=sentry.outputs["DashboardName"])["DashboardBody"]
    found = json.loads(body)
    assert "${" not in body
    assert [widget["properties"].get("title") for widget in found["widgets"]] == [
        widget["properties"].get("title") for widget in WIDGETS
    ]
    (alarms,) = [each["properties"]["alarms"] for each in found["widgets"] if each["type"] == "alarm"]
    deployed = {
        alarm["AlarmArn"]
        for page in client.get_paginator("describe_alarms").paginate()
        for alarm in page["MetricAlarms"]
    }
    assert set(alarms) & deployed and not [arn for arn in alarms if "<" in arn]
