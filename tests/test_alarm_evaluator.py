"""The stand-in for alarms, against the tables and examples of AWS's pages. Needs no endpoint."""

import pytest

from cloudwatch import alarms
from cloudwatch.alarms import ALARM, INSUFFICIENT_DATA, OK
from cloudwatch.refused import Refused
from cloudwatch.store import Metric, Store

# "How alarm state is evaluated when data is missing", the oldest data point first: 0 is within the threshold, X is breaching,
# - is missing. The states for missing, ignore, breaching, notBreaching; R is the current state.
THREE_OF_THREE = [
    ("0 - X - X", OK, OK, OK, OK),
    ("0 - - - -", OK, OK, OK, OK),
    ("- - - - -", INSUFFICIENT_DATA, "R", ALARM, OK),
    ("0 X X - X", ALARM, ALARM, ALARM, ALARM),
    ("- - - - X", INSUFFICIENT_DATA, "R", ALARM, OK),
    ("X - - - -", ALARM, "R", ALARM, OK),
]
TWO_OF_THREE = [
    ("0 - X - X", ALARM, ALARM, ALARM, ALARM),
    ("0 0 X 0 X", ALARM, ALARM, ALARM, ALARM),
    ("0 - X - -", OK, OK, ALARM, OK),
    ("- - - - 0", OK, OK, ALARM, OK),
    ("- - - - X", INSUFFICIENT_DATA, "R", ALARM, OK),
]
ROWS = [(3, *row) for row in THREE_OF_THREE] + [(2, *row) for row in TWO_OF_THREE]
POINTS = {"0": False, "X": True, "-": None}


@pytest.mark.parametrize("current", alarms.STATES)
@pytest.mark.parametrize("to_alarm, points, missing, ignore, breaching, not_breaching", ROWS)
def test_the_page_s_tables(to_alarm, points, missing, ignore, breaching, not_breaching, current):
    read = [POINTS[sign] for sign in points.split()]
    expected = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    for treatment, state in expected.items():
        assert alarms.state_of(read, 3, to_alarm, treatment, current) == (current if state == "R" else state), treatment


START = 1_763_640_000
METRIC = Metric.of("N", "m", {"a": "b"})


def alarm(name="one", **changes):
    properties = {
        "Namespace": "N",
        "MetricName": "m",
        "Dimensions": [{"Name": "a", "Value": "b"}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 3,
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:topic"],
        **changes,
    }
    return alarms.metric_alarm(name, {key: value for key, value in properties.items() if value is not None})


def minutes(*values, metric=METRIC):
    """Data of consecutive minutes. None is a missing point."""
    store = Store(START)
    for minute, value in enumerate(values):
        if value is not None:
            store.put(metric, START + 60 * minute, value)
    return store


def changes(store, watched, length):
    """The changes as (minutes since the start, state)."""
    return [
        ((each.time - START) // 60, each.after)
        for each in alarms.run([watched], store, START + 60, START + 60 * length)
    ]


def test_the_page_s_figure_of_three_periods_of_three():
    """The threshold is three units: the third to fifth values breach, the sixth does not, and the ninth does alone."""
    store = minutes(2, 2, 4, 4, 4, 2, 2, 2, 4, 2)
    assert changes(store, alarm(EvaluationPeriods=3), 10) == [(1, OK), (5, ALARM), (6, OK)]


@pytest.mark.parametrize(
    "operator, value, state",
    [
        ("GreaterThanThreshold", 3, OK),
        ("GreaterThanThreshold", 3.1, ALARM),
        ("GreaterThanOrEqualToThreshold", 3, ALARM),
        ("LessThanThreshold", 3, OK),
        ("LessThanThreshold", 2.9, ALARM),
        ("LessThanOrEqualToThreshold", 3, ALARM),
    ],
)
def test_operators(operator, value, state):
    assert changes(minutes(value), alarm(ComparisonOperator=operator), 1) == [(1, state)]


def test_a_value_counts_until_newer_ones_replace_it_or_it_leaves_the_evaluation_range():
    """With one period of a minute, the last value is evaluated again while it is among the three periods retrieved."""
    store = minutes(4, None, None, None, None, None)
    assert changes(store, alarm(TreatMissingData="notBreaching"), 6) == [(1, ALARM), (4, OK)]
    store = minutes(4, 1)
    assert changes(store, alarm(TreatMissingData="notBreaching"), 6) == [(1, ALARM), (2, OK)]


def test_a_long_period_slides_by_a_minute():
    """Two values in different clock periods of five minutes add up in the window of the alarm."""
    store = minutes(0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0)
    assert changes(store, alarm(Period=300), 12) == [(1, OK), (6, ALARM), (9, OK)]


def test_metric_math():
    store = minutes(4, 4, 0)
    for minute, value in enumerate((10, 80, 10)):
        store.put(Metric.of("N", "all"), START + 60 * minute, value)
    stat = {"Period": 60, "Stat": "Sum"}
    dimensions = [{"Name": "a", "Value": "b"}]
    share = alarm(
        Namespace=None,
        MetricName=None,
        Dimensions=None,
        Statistic=None,
        Period=None,
        Threshold=20,
        Metrics=[
            {
                "Id": "m",
                "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "m", "Dimensions": dimensions}, **stat},
                "ReturnData": False,
            },
            {
                "Id": "all",
                "MetricStat": {"Metric": {"Namespace": "N", "MetricName": "all"}, **stat},
                "ReturnData": False,
            },
            {"Id": "percent", "Expression": "100 * m / all"},
        ],
    )
    assert changes(store, share, 3) == [(1, ALARM), (2, OK)]


def insights(**changed):
    query = "SELECT MAX(m) FROM SCHEMA(N, a) GROUP BY a ORDER BY MAX() DESC"
    return alarm(
        Namespace=None,
        MetricName=None,
        Dimensions=None,
        Statistic=None,
        Period=None,
        Metrics=[{"Id": "q", "Expression": query, "Period": 60}],
        **changed,
    )


def test_each_series_of_a_query_is_watched_by_itself():
    store = minutes(4, 4, 4, 1, 1, 1)
    for minute, value in enumerate((1, 1, 5, 5, 1, 1)):
        store.put(Metric.of("N", "m", {"a": "c"}), START + 60 * minute, value)
    watched = insights()
    found = alarms.run([watched], store, START + 60, START + 360)
    assert [((each.time - START) // 60, each.contributor, each.after) for each in found] == [
        (1, "b", ALARM),
        (1, None, ALARM),
        (3, "c", ALARM),
        (4, "b", OK),
        (5, "c", OK),
        (5, None, OK),
    ]
    assert [each.contributor for each in alarms.notifications(found, [watched])] == ["b", "c"]


def test_a_series_without_new_data_keeps_its_state_if_missing_data_are_ignored():
    store = minutes(4)
    watched = insights(TreatMissingData="ignore")
    alarms.run([watched], store, START + 60, START + 60 * 120)
    assert watched.state == ALARM
    watched = insights(TreatMissingData="notBreaching")
    alarms.run([watched], store, START + 60, START + 60 * 120)
    assert watched.state == OK


@pytest.mark.parametrize(
    "changed",
    [
        {"EvaluationWindow": {"WallClockWindow": {}}},
        {"Period": 45},
        {"Period": 300, "EvaluationPeriods": 289},
        {"DatapointsToAlarm": 2},
        {"ComparisonOperator": "GreaterThanUpperThreshold"},
        {"TreatMissingData": "bad"},
        {"Metrics": []},
        {"Metrics": [{"Id": "s", "Expression": "SUM(SEARCH('{N,a} m', 'Sum'))", "Period": 60}], "MetricName": None},
        {
            "Metrics": [{"Id": "s", "Expression": "SELECT SUM(m) FROM N", "Period": 3600}],
            "MetricName": None,
            "EvaluationPeriods": 4,
        },
    ],
)
def test_a_property_that_an_alarm_cannot_have_is_refused(changed):
    with pytest.raises(Refused):
        alarm(**changed)


# ---- Composite alarms: PutCompositeAlarm

STATES = {"a": ALARM, "b": OK, "c": INSUFFICIENT_DATA}


@pytest.mark.parametrize(
    "rule, expected",
    [
        ("ALARM(a)", True),
        ('ALARM("a")', True),
        ("ALARM(arn:aws:cloudwatch:us-east-1:123456789012:alarm:a)", True),
        ("ALARM(b)", False),
        ("OK(b) AND INSUFFICIENT_DATA(c)", True),
        ("ALARM(a) AND ALARM(b)", False),
        ("ALARM(a) OR ALARM(b)", True),
        ("ALARM(a) AND NOT ALARM(b)", True),
        ("(ALARM(a) OR ALARM(b)) AND OK(c)", False),
        ("ALARM(b) AND OK(b) OR TRUE", True),
        ("NOT (ALARM(a) OR FALSE)", False),
    ],
)
def test_rules_of_composite_alarms(rule, expected):
    assert alarms.RuleParser(rule).rule()(STATES) is expected


@pytest.mark.parametrize("rule", ["", "a", "ALARM(a) ALARM(b)", "ALARM(a) AND", "(ALARM(a)", "AT_LEAST(1, ALARM(a))"])
def test_rules_that_cannot_be_read_are_refused(rule):
    with pytest.raises(Refused):
        alarms.RuleParser(rule).rule()


def test_a_composite_alarm_follows_its_members_and_reports_once():
    store = minutes(4, 4, 1, 1)
    for minute, value in enumerate((1, 9, 9, 1)):
        store.put(Metric.of("N", "m", {"a": "c"}), START + 60 * minute, value)
    members = [
        alarm("first", AlarmActions=[]),
        alarm("second", AlarmActions=[], Dimensions=[{"Name": "a", "Value": "c"}]),
    ]
    above = alarms.composite_alarm("above", {"AlarmRule": "ALARM(whole) OR FALSE", "AlarmActions": ["topic"]})
    whole = alarms.composite_alarm("whole", {"AlarmRule": "ALARM(first) OR ALARM(second)"})
    every = [above, *members, whole]
    found = alarms.run(every, store, START + 60, START + 240)
    assert [((each.time - START) // 60, each.after) for each in found if each.alarm == "above"] == [(1, ALARM), (4, OK)]
    assert [each.alarm for each in alarms.notifications(found, every)] == ["above"]


def test_a_composite_alarm_of_an_unknown_alarm_is_refused():
    with pytest.raises(Refused, match="nobody"):
        alarms.run([alarms.composite_alarm("x", {"AlarmRule": "ALARM(nobody)"})], minutes(), START, START + 60)
