"""The stand-ins for metric math, Metrics Insights and SEARCH, against the examples of AWS's pages. Needs no endpoint."""

import random
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock

import pytest

from cloudwatch import metric_math, metrics_insights, search
from cloudwatch.queries import Graph, of_requests, of_widget
from cloudwatch.refused import Refused
from cloudwatch.store import DAY, Grid, Metric, Series, Store, from_cloudwatch

START = 1_763_640_000  # 2025-11-20T12:00:00Z
PERIOD = 300
GRID = Grid(START, START + 5 * PERIOD, PERIOD)


def series(*values, label=""):
    """A time series from the first period on. None is a missing value."""
    found = {START + place * PERIOD: float(value) for place, value in enumerate(values) if value is not None}
    return Series(found, GRID, label=label)


def listed(result):
    """The values of a series in the order of the periods, with None for a missing one."""
    return [result.values.get(time) for time in GRID]


def calculated(expression, **inputs):
    context = metric_math.Context(
        resolve=inputs.__getitem__,
        metrics=lambda: [(name, value) for name, value in inputs.items() if isinstance(value, Series)],
        search=MagicMock(),
        grid=GRID,
    )
    return metric_math.evaluate(expression, context)


# ---- Metric math: "Using math expressions with CloudWatch metrics"

METRIC1, METRIC2 = series(30, 20, 0, 0), series(20, None, 20, None)


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("metric1 < metric2", [0, 0, 1, 0]),
        ("metric1 >= 30", [1, 0, 0, 0]),
        ("metric1 > 15 AND metric2 > 15", [1, 0, 0, 0]),
        ("metric1 > 15 && metric2 > 15", [1, 0, 0, 0]),
        ("metric1 > 15 OR metric2 > 15", [1, 1, 1, 0]),
    ],
)
def test_the_page_s_table_of_comparisons(expression, expected):
    assert listed(calculated(expression, metric1=METRIC1, metric2=METRIC2))[:4] == expected


@pytest.mark.parametrize(
    "second, third, expected",
    [
        (series(30, None, 0, 0, 30), series(0, 0, 20, None, 20), [30, 0, 20, None, None]),
        (5.0, series(0, 0, 20, None, 20), [5, 5, 20, None, None]),
        (series(30, None, 0, 0, 30), 5.0, [30, 0, 5, 5, None]),
    ],
)
def test_the_page_s_tables_of_if(second, third, expected):
    condition = series(1, 1, 0, 0, None)
    assert listed(calculated("IF(metric1, b, c)", metric1=condition, b=second, c=third)) == expected


def test_if_without_a_third_argument_drops_the_rest():
    assert listed(calculated("IF(m < 400, m)", m=series(500, 100, 400, 399)))[:4] == [None, 100, None, 399]
    assert listed(calculated("IF(m < 400, 10, 2)", m=series(500, 100, 400, 399)))[:4] == [2, 10, 2, 10]


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("a + b", [11, 2, 30, None, None]),
        ("a - b", [-9, 2, -30, None, None]),
        ("-a", [-1, -2, None, None, None]),
        ("5 * a", [5, 10, None, None, None]),
        ("b / a", [10, 0, None, None, None]),
        ("a ^ 2", [1, 4, None, None, None]),
        ("2 + 3 * a", [5, 8, None, None, None]),
        ("(2 + 3) * a", [5, 10, None, None, None]),
        ("a / PERIOD(a)", [1 / 300, 2 / 300, None, None, None]),
        ("a - AVG(a)", [-0.5, 0.5, None, None, None]),
        ("MAX(b) / b", [3, None, 1, None, None]),
        ("SUM([a, b])", [11, 2, 30, None, None]),
        ("AVG([a, b])", [5.5, 1, 15, None, None]),
        ("MAX(METRICS())", [10, 2, 30, None, None]),
        ("SUM(METRICS()) / SUM(a) * 100", [1100 / 3, 200 / 3, 1000, None, None]),
        ("DATAPOINT_COUNT([a, b])", [2, 1, 1, None, None]),
        ("FILL(a, 10)", [1, 2, 10, 10, 10]),
        ("FILL(b, a)", [10, 2, 30, None, None]),
        ("FILL(b, REPEAT)", [10, 10, 30, 30, 30]),
        ("FILL(b, LINEAR)", [10, 20, 30, None, None]),
        ("FILL(a, MIN(a))", [1, 2, 1, 1, 1]),
        ("RATE(b)", [None, None, 20 / 600, None, None]),
        ("DIFF(b)", [None, None, 20, None, None]),
        ("DIFF_TIME(b)", [None, None, 600, None, None]),
        ("RUNNING_SUM(b)", [10, None, 40, None, None]),
        ("TIME_SERIES(MAX(b))", [30, 30, 30, 30, 30]),
        ("ABS(a - b)", [9, 2, 30, None, None]),
        ("CEIL(b / 4)", [3, None, 8, None, None]),
        ("FLOOR(b / 4)", [2, None, 7, None, None]),
        ("HOUR(a)", [12, 12, 12, 12, 12]),
        ("MINUTE(a)", [0, 5, 10, 15, 20]),
        ("IF(DAY(a) == 4, a)", [1, 2, 0, 0, 0]),
    ],
)
def test_functions(expression, expected):
    result = calculated(expression, a=series(1, 2), b=series(10, None, 30))
    assert listed(result) == [None if value is None else pytest.approx(value) for value in expected]


def test_arrays_keep_their_labels():
    result = calculated("METRICS() * 100", errors4=series(1, label="four"), errors5=series(2, label="five"))
    assert [(each.label, listed(each)[0]) for each in result] == [("four", 100), ("five", 200)]
    assert listed(calculated('SUM(METRICS("errors"))', errors4=series(1), other=series(7)))[0] == 1


def test_sort_and_slice():
    inputs = {"a": series(1, 9), "b": series(4, 4), "c": series(2)}
    assert [listed(each)[0] for each in calculated("SORT(METRICS(), SUM, DESC, 2)", **inputs)] == [1, 4]
    assert [listed(each)[0] for each in calculated("SLICE(SORT(METRICS(), AVG, ASC), 1)", **inputs)] == [4, 1]
    assert listed(calculated("FIRST(SORT(METRICS(), MAX, DESC))", **inputs))[:2] == [1, 9]


@pytest.mark.parametrize(
    "expression",
    [
        "AVG(a)",  # a scalar
        "avg([a])",  # functions are in upper case
        "ANOMALY_DETECTION_BAND(a)",
        "a +",
        "a b",
        "[a, 3]",
        "[a, b] + [a, b]",
        "PERIOD(a + b)",
        "FILL(a)",
        "1 / 0",
    ],
)
def test_an_expression_that_metric_math_does_not_have_is_refused(expression):
    with pytest.raises(Refused):
        calculated(expression, a=series(1), b=series(2))


# ---- Statistics


def test_statistics_of_values():
    store = Store(START + DAY)
    metric = Metric.of("N", "m")
    store.put(metric, START + 1, 1, 2, 3)
    store.put(metric, START + 299, 10)
    store.put(metric, START + 300, 7)
    assert {stat: listed(store.series(metric, stat, GRID))[:2] for stat in ("Sum", "SampleCount", "Average")} == {
        "Sum": [16, 7],
        "SampleCount": [4, 1],
        "Average": [4, 7],
    }
    assert listed(store.series(metric, "Maximum", GRID))[:2] == [10, 7]
    assert listed(store.series(metric, "Minimum", GRID))[:2] == [1, 7]
    assert listed(store.series(metric, "p50", GRID))[:2] == [2, 7]
    assert listed(store.series(metric, "p99", GRID))[:2] == [10, 7]
    with pytest.raises(Refused):
        store.series(metric, "tm99", GRID)


def test_percentiles_of_a_large_sample():
    store, metric = Store(START + DAY), Metric.of("N", "m")
    numbers = list(range(1, 1001))
    random.Random(1).shuffle(numbers)
    store.put(metric, START, *numbers)
    assert [store.series(metric, stat, GRID).latest for stat in ("p50", "p90", "p99", "p99.9")] == [500, 900, 990, 999]


def test_a_statistic_set_has_percentiles_only_if_its_values_are_equal():
    store, metric = Store(START + DAY), Metric.of("N", "m")
    store.put_set(metric, START, total=6, count=3, least=2, most=2)
    assert store.series(metric, "p99", GRID).latest == 2
    store.put_set(metric, START, total=6, count=3, least=1, most=3)
    with pytest.raises(Refused):
        store.series(metric, "p99", GRID)


def test_minutes_are_kept_for_fifteen_days():
    metric = Metric.of("N", "m")
    store = Store(START + 16 * DAY)
    store.put(metric, START, 1)
    assert store.series(metric, "Sum", Grid(START, START + 300, 60)).values == {}
    assert store.series(metric, "Sum", Grid(START, START + 300, 300)).values == {START: 1}


def test_the_future_has_no_data():
    store, metric = Store(START + 600), Metric.of("N", "m")
    for time in (START, START + 599, START + 600):
        store.put(metric, time, 1)
    assert store.series(metric, "Sum", GRID).values == {START: 1, START + 300: 1}


# ---- Metrics Insights: "Metrics Insights query components and syntax"

BALANCERS = {
    ("app/load-balancer-1", "us-east-1a"): [1, 5],
    ("app/load-balancer-1", "us-east-1b"): [10, 20],
    ("app/load-balancer-2", "us-east-1a"): [100],
}


@pytest.fixture
def balancers():
    """`RequestCount` as in the page's example, by load balancer and zone, and with the load balancer alone."""
    store = Store(START + 3600)
    for (balancer, zone), counts in BALANCERS.items():
        metric = Metric.of("AWS/ApplicationELB", "RequestCount", {"LoadBalancer": balancer, "AvailabilityZone": zone})
        for place, count in enumerate(counts):
            store.put(metric, START + place * PERIOD, count)
    alone = Metric.of("AWS/ApplicationELB", "RequestCount", {"LoadBalancer": "app/load-balancer-1"})
    store.put(alone, START, 11)
    store.put(Metric.of("AWS/ApplicationELB", "RequestCount"), START, 1000)
    return store


SOURCE = 'FROM SCHEMA("AWS/ApplicationELB", LoadBalancer, AvailabilityZone)'


@pytest.mark.parametrize(
    "query, expected",
    [
        (f"SELECT SUM(RequestCount) {SOURCE}", [111, 25]),
        (f"select sum(RequestCount) {SOURCE} where LoadBalancer = 'app/load-balancer-1'", [11, 25]),
        (f"SELECT SUM(RequestCount) {SOURCE} WHERE LoadBalancer != 'app/load-balancer-1'", [100, None]),
        (
            f"SELECT SUM(RequestCount) {SOURCE} WHERE LoadBalancer = 'app/load-balancer-1' AND AvailabilityZone = 'us-east-1b'",
            [10, 20],
        ),
        (f"SELECT AVG(RequestCount) {SOURCE}", [37, 12.5]),
        (f"SELECT COUNT(RequestCount) {SOURCE}", [3, 2]),
        (f"SELECT MAX(RequestCount) {SOURCE}", [100, 20]),
        (f"SELECT MIN(RequestCount) {SOURCE}", [1, 5]),
        # The namespace alone matches all metrics; SCHEMA with a namespace alone matches those without dimensions.
        ('SELECT SUM(RequestCount) FROM "AWS/ApplicationELB"', [1122, 25]),
        ('SELECT SUM(RequestCount) FROM SCHEMA("AWS/ApplicationELB")', [1000, None]),
        ('SELECT SUM(RequestCount) FROM SCHEMA("AWS/ApplicationELB", LoadBalancer)', [11, None]),
    ],
)
def test_queries_without_groups(balancers, query, expected):
    assert listed(metrics_insights.evaluate(query, balancers, GRID))[:2] == expected


@pytest.mark.parametrize(
    "clauses, expected",
    [
        ("GROUP BY AvailabilityZone", [("us-east-1a", [101, 5]), ("us-east-1b", [10, 20])]),
        ("GROUP BY AvailabilityZone ORDER BY MAX() DESC", [("us-east-1a", [101, 5]), ("us-east-1b", [10, 20])]),
        ("GROUP BY AvailabilityZone ORDER BY MAX()", [("us-east-1b", [10, 20]), ("us-east-1a", [101, 5])]),
        ("GROUP BY AvailabilityZone ORDER BY MIN() ASC LIMIT 1", [("us-east-1a", [101, 5])]),
        (
            "GROUP BY LoadBalancer, AvailabilityZone ORDER BY SUM() DESC LIMIT 2",
            [("app/load-balancer-2 us-east-1a", [100, None]), ("app/load-balancer-1 us-east-1b", [10, 20])],
        ),
    ],
)
def test_groups_order_and_limit(balancers, clauses, expected):
    found = grouped(f"SELECT SUM(RequestCount) {SOURCE} {clauses}", balancers)
    assert [(each.label, listed(each)[:2]) for each in found] == expected


def grouped(query, store, grid=GRID):
    """The series of a query with GROUP BY."""
    found = metrics_insights.evaluate(query, store, grid)
    assert isinstance(found, list)
    return found


def test_a_metric_without_the_dimension_of_the_group_is_other(balancers):
    found = grouped('SELECT SUM(RequestCount) FROM "AWS/ApplicationELB" GROUP BY LoadBalancer', balancers)
    assert [(each.label, listed(each)[0]) for each in found] == [
        ("Other", 1000),
        ("app/load-balancer-1", 22),
        ("app/load-balancer-2", 100),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT SUM(m) FROM AWS/EC2",  # a slash needs double quotes
        "SELECT SUM(My.Metric) FROM N",
        "SELECT SUM(LIMIT) FROM N",  # a reserved keyword
        "SELECT MAX(BudgetUsedPercent) FROM SCHEMA(GenAIRateLimiting, Scope) GROUP BY Scope",  # Scope is reserved too
        'SELECT SUM(m) FROM N WHERE a = "b"',  # a value needs single quotes
        "SELECT SUM(m) FROM N WHERE a = 'b' OR a = 'c'",
        "SELECT SUM(m) FROM N WHERE a LIKE 'b'",
        "SELECT P99(m) FROM N",
        "SELECT SUM(m) FROM N GROUP BY a LIMIT 501",
        "SELECT SUM(m) FROM N ORDER BY SUM",
        "SELECT SUM(m), AVG(m) FROM N",
        "SELECT SUM(m)",
    ],
)
def test_a_query_that_metrics_insights_does_not_have_is_refused(query):
    with pytest.raises(Refused):
        metrics_insights.parse(query)


def test_quotes_and_keywords():
    query = metrics_insights.parse(
        'SELECT AVG("LIMIT") FROM SCHEMA("My.Space", "Scope") WHERE "Scope" = \'it\\\'s\' GROUP BY "Scope"'
    )
    assert (query.metric, query.namespace, query.group_by) == ("LIMIT", "My.Space", ("Scope",))
    assert query.where == (("Scope", "=", "it's"),)


def test_metrics_insights_sees_two_weeks():
    store, metric = Store(START + 20 * DAY), Metric.of("N", "m")
    for day in range(20):
        store.put(metric, START + day * DAY, 1)
    grid = Grid.aligned(START, START + 20 * DAY, 3600)
    found = metrics_insights.evaluate("SELECT SUM(m) FROM N", store, grid)
    assert isinstance(found, Series)
    assert len(found.values) == 14


def many(count):
    store = Store(START + 60)
    for number in range(count):
        store.put(Metric.of("N", "m", {"a": f"v{number:05}"}), START, number)
    return store


def test_more_than_500_series_need_an_order():
    store = many(501)
    grid = Grid(START, START + 60, 60)
    with pytest.raises(Refused, match="501 series"):
        metrics_insights.evaluate("SELECT SUM(m) FROM N GROUP BY a", store, grid)
    found = grouped("SELECT SUM(m) FROM N GROUP BY a ORDER BY SUM() DESC", store, grid)
    assert len(found) == 500
    assert found[0].label == "v00500"
    with pytest.raises(Refused, match="501 metrics"):
        search.find("{N,a} m", store)


# ---- SEARCH: "CloudWatch search expression syntax"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("CustomCount1", {"customcount1", "custom", "count", "1"}),
        ("SDBFailure", {"sdbfailure", "sdb", "failure"}),
        ("Project2-trial333", {"project2trial333", "project", "2", "trial", "333"}),
    ],
)
def test_the_page_s_table_of_tokens(text, expected):
    assert set(search.tokens(text)) == expected


FOUND = {
    "cpu": Metric.of("AWS/EC2", "CPUUtilization", {"InstanceId": "i-1"}),
    "type": Metric.of("AWS/EC2", "CPUUtilization", {"InstanceType": "t2.micro"}),
    "all": Metric.of("AWS/EC2", "CPUUtilization"),
    "network": Metric.of("AWS/EC2", "NetworkPacketsIn", {"InstanceId": "i-1"}),
    "errors": Metric.of("AWS/Lambda", "Errors", {"FunctionName": "ProjectA"}),
    "invocations": Metric.of("AWS/Lambda", "Invocations", {"FunctionName": "ProjectA"}),
    "others": Metric.of("AWS/Lambda", "Invocations", {"FunctionName": "ProjectC"}),
    "count": Metric.of("MyNamespace", "CustomCount1"),
    "spaces": Metric.of("Custom-Namespace", "ErrorCount", {"Dimension Name With Spaces": "x"}),
}


@pytest.mark.parametrize(
    "text, expected",
    [
        (' {AWS/EC2,InstanceId} MetricName="CPUUtilization" ', {"cpu"}),
        (' {AWS/EC2,InstanceType} InstanceType=micro MetricName="CPUUtilization" ', {"type"}),
        (' {AWS/EC2,InstanceType} InstanceType="t2.micro" ', {"type"}),
        (' {AWS/EC2} MetricName="CPUUtilization" ', {"all"}),
        (' MetricName="CPUUtilization" ', {"cpu", "type", "all"}),
        ("{AWS/EC2,InstanceId} network AND packets", {"network"}),
        ("{AWS/EC2,InstanceId} network packets", {"network"}),
        ('{AWS/EC2,InstanceId} NOT "NetworkPacketsIn"', {"cpu"}),
        ("{AWS/EC2,InstanceId}", {"cpu", "network"}),
        (
            '{AWS/Lambda,FunctionName} MetricName="Errors" OR (MetricName="Invocations" AND ("ProjectA" OR "ProjectB"))',
            {"errors", "invocations"},
        ),
        ("count", {"count", "spaces"}),
        ("Count", {"count", "spaces"}),
        ("COUNT", {"count", "spaces"}),
        ('{MyNamespace}, "CustomCount1"', {"count"}),
        ('{MyNamespace}, "customcount1"', set()),
        ('{MyNamespace}, "Custom"', set()),
        ("NOT Namespace=AWS", {"count", "spaces"}),
        (" Errors ", {"errors"}),
        ('{"Custom-Namespace", "Dimension Name With Spaces"}, MetricName="ErrorCount"', {"spaces"}),
        # The schema names all dimensions of a metric.
        ('{AWS/Lambda} MetricName="Errors"', set()),
    ],
)
def test_searches(text, expected):
    store = Store(START + 60)
    for metric in FOUND.values():
        store.put(metric, START, 1)
    assert set(search.find(text, store)) == {FOUND[name] for name in expected}


@pytest.mark.parametrize(
    "text", ["", "{}", "{Custom-Namespace} a", "couNT", "i-1234567890123456", "a OR", "(a", "a)", "x" * 1025]
)
def test_an_expression_that_search_does_not_have_is_refused(text):
    with pytest.raises(Refused):
        search.parse(text)


def test_search_finds_metrics_of_the_last_two_weeks():
    store = Store(START + 14 * DAY + 1)
    store.put(FOUND["cpu"], START, 1)
    assert search.find("{AWS/EC2,InstanceId}", store) == []
    store.put(FOUND["cpu"], START + 2, 1)
    assert search.find("{AWS/EC2,InstanceId}", store) == [FOUND["cpu"]]


# ---- Graphs


@pytest.fixture
def lambdas():
    store = Store(START + 600)
    for name, errors, invocations in (("a", 1, 10), ("b", 3, 6)):
        store.put(Metric.of("AWS/Lambda", "Errors", {"FunctionName": name}), START, errors)
        store.put(Metric.of("AWS/Lambda", "Invocations", {"FunctionName": name}), START + 300, invocations)
    return store


def drawn(store, metrics, **options):
    queries = of_widget(metrics, stat=options.pop("stat", "Sum"), period=300)
    graph = Graph(queries, store, START, START + 600, **options)
    return [(each.label, dict(each.values)) for each in graph.evaluate()]


def test_dots_repeat_the_preceding_metric(lambdas):
    metrics = [
        ["AWS/Lambda", "Errors", "FunctionName", "a"],
        ["...", "b", {"label": "second"}],
        [".", "Invocations", ".", "."],
    ]
    assert drawn(lambdas, metrics) == [
        ("Errors", {START: 1}),
        ("second", {START: 3}),
        ("Invocations", {START + 300: 6}),
    ]


def test_hidden_metrics_and_expressions(lambdas):
    metrics = [
        [
            {
                "expression": "SEARCH('{AWS/Lambda,FunctionName} MetricName=\"Errors\"', 'Sum')",
                "id": "e",
                "label": "errors of",
            }
        ],
        [{"expression": "SUM(e)", "id": "all", "label": "together"}],
        ["AWS/Lambda", "Errors", "FunctionName", "a", {"id": "hidden", "visible": False}],
    ]
    assert drawn(lambdas, metrics) == [
        ("errors of a", {START: 1}),
        ("errors of b", {START: 3}),
        ("together", {START: 4}),
    ]


def test_dynamic_labels(lambdas):
    label = "${PROP('Dim.FunctionName')} max ${MAX} of ${LABEL}"
    assert (
        drawn(lambdas, [["AWS/Lambda", "Errors", "FunctionName", "b", {"label": label}]])[0][0] == "b max 3 of Errors"
    )
    with pytest.raises(Refused):
        drawn(lambdas, [["AWS/Lambda", "Errors", "FunctionName", "b", {"label": "${WHO}"}]])


def test_the_whole_range_is_one_period(lambdas):
    query = 'SELECT SUM(Errors) FROM SCHEMA("AWS/Lambda", FunctionName)'
    assert drawn(lambdas, [[{"expression": query, "label": "x"}]], whole=True) == [("x", {START: 4})]


@pytest.mark.parametrize(
    "metrics",
    [
        [[{"expression": "SELECT SUM(m) FROM N", "id": "a"}], [{"expression": "SELECT SUM(m) FROM N", "id": "b"}]],
        [["N", "m", {"id": "A"}]],
        [["N", "m", {"id": "a"}], ["N", "m", {"id": "a"}]],
        [["N", "m", "dimension"]],
        [["N", "m", {"colour": "red"}]],
        [[{"expression": "missing + 1"}]],
        [[{"expression": "a + 1", "id": "b"}], [{"expression": "b + 1", "id": "a"}]],
        [["N", f"m{number}"] for number in range(501)],
        [[".", "m"]],
    ],
)
def test_a_property_that_a_graph_cannot_have_is_refused(lambdas, metrics):
    with pytest.raises(Refused):
        drawn(lambdas, metrics)


def test_metric_data_queries(lambdas):
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Dimensions": [{"Name": "FunctionName", "Value": "a"}]}
    requests: list[dict[str, Any]] = [
        {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Sum"}, "ReturnData": False},
        {"Id": "e1", "Expression": "m1 * 2", "Label": "twice"},
    ]
    (found,) = Graph(of_requests(requests), lambdas, START, START + 600).evaluate()
    assert (found.label, found.values) == ("twice", {START: 2})


def test_data_come_from_cloudwatch():
    """The store has the same sums as CloudWatch's answers, here of a client that answers as the API reference says."""
    time = datetime.fromtimestamp(START, UTC)
    listing = [{"Metrics": [{"Namespace": "N", "MetricName": "m", "Dimensions": [{"Name": "a", "Value": "b"}]}]}]
    answers = {"Sum": 7.0, "SampleCount": 2.0, "Minimum": 3.0, "Maximum": 4.0, "p95": 3.9}
    asked = []

    def get_metric_data(**request):
        asked.extend(request["MetricDataQueries"])
        results = [
            {"Id": query["Id"], "Timestamps": [time], "Values": [answers[query["MetricStat"]["Stat"]]]}
            for query in request["MetricDataQueries"]
        ]
        return [{"MetricDataResults": results}]

    client = MagicMock()
    client.get_paginator.side_effect = lambda name: MagicMock(
        paginate=get_metric_data if name == "get_metric_data" else lambda **_: listing
    )
    store = from_cloudwatch(client, ["N"], START - 60, START + 60, START + 60)
    assert {query["MetricStat"]["Stat"] for query in asked} == {"Sum", "SampleCount", "Minimum", "Maximum"}
    metric = Metric.of("N", "m", {"a": "b"})
    assert store.metrics() == [metric]
    wanted = ("Sum", "Average", "Minimum", "Maximum")
    assert [store.series(metric, stat, GRID).latest for stat in wanted] == [7, 3.5, 3, 4]
    # A percentile is CloudWatch's own.
    assert store.series(metric, "p95", GRID).latest == 3.9
    assert asked[-1]["MetricStat"]["Period"] == GRID.period
