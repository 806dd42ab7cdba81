"""States of alarms over time.

Sources: Amazon CloudWatch User Guide, "Alarm evaluation" (alarm-evaluation.html), "Configuring how CloudWatch alarms treat missing
data" (alarms-and-missing-data.html), "Alarm evaluation window" (alarm-evaluation-window.html), "Limits" (alarm-limits.html),
"Acting on alarm changes" (Acting_Alarm_Changes.html); Amazon CloudWatch API Reference, PutMetricAlarm and PutCompositeAlarm.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import metric_math, metrics_insights, queries
from .refused import Refused
from .store import DAY, Grid, Metric, Series, Store

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
STATES = (OK, ALARM, INSUFFICIENT_DATA)
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
# CloudWatch retrieves more periods than it evaluates. "The exact number depends on the length of the alarm period"; the page's
# examples retrieve five for three.
MORE_PERIODS = 2
# "CloudWatch evaluates the alarm every minute, even if its period is longer" ("Limits").
EVERY = 60
# PutMetricAlarm: the evaluated range is a day at most, or a week if the period is an hour or more.
MOST_METRICS = 10
LONGEST_RULE = 10_240

METRIC_ALARM, COMPOSITE_ALARM = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
METRIC_PROPERTIES = {
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "AlarmName",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluationPeriods",
    "ExtendedStatistic",
    "InsufficientDataActions",
    "MetricName",
    "Metrics",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Tags",
    "Threshold",
    "TreatMissingData",
}
COMPOSITE_PROPERTIES = {
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "AlarmName",
    "AlarmRule",
    "InsufficientDataActions",
    "OKActions",
    "Tags",
}


@dataclass(frozen=True)
class Transition:
    """A change of state at a time in seconds since 1970. `contributor` is None for the alarm itself."""

    time: int
    alarm: str
    before: str
    after: str
    contributor: str | None = None


def state_of(points: list[bool | None], periods: int, to_alarm: int, treatment: str, current: str) -> str:
    """The state that an evaluation leads to.

    `points` are the retrieved data points from the oldest to the newest: True is breaching, None is missing.
    """
    existing = [point for point in points if point is not None][-periods:]
    breaching = existing.count(True)
    if len(existing) == periods:
        return ALARM if breaching >= to_alarm else OK
    missing = periods - len(existing)
    if treatment == "breaching":
        return ALARM if breaching + missing >= to_alarm else OK
    if treatment == "notBreaching":
        return ALARM if breaching >= to_alarm else OK
    if breaching >= to_alarm:
        return ALARM
    if False in existing:
        return OK
    if treatment == "ignore":
        return current
    return ALARM if _old_enough(points, to_alarm) else INSUFFICIENT_DATA


def _old_enough(points: list[bool | None], to_alarm: int) -> bool:
    """True if the oldest breaching point is at least as old as Datapoints to Alarm, and no newer one is within the threshold.

    "Avoiding premature transitions to alarm state" on the page about missing data.
    """
    if True not in points:
        return False
    oldest = points.index(True)
    return len(points) - oldest >= to_alarm and False not in points[oldest:]


@dataclass
class MetricAlarm:
    """An alarm on a metric, on metric math, or on a Metrics Insights query."""

    name: str
    queries: list[queries.Query]
    period: int
    periods: int
    to_alarm: int
    threshold: float
    compare: Callable[[float, float], bool]
    treatment: str
    actions: list[str]
    ok_actions: list[str]
    state: str = INSUFFICIENT_DATA
    # The state of each time series of a query with GROUP BY, and when it last had data.
    contributors: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    @property
    def is_multiple(self) -> bool:
        """True for an alarm on several time series."""
        returned = next(query for query in self.queries if query.visible)
        expression = returned.expression or ""
        return metrics_insights.is_query(expression) and bool(metrics_insights.parse(expression).group_by)

    def evaluate(self, store: Store, time: int) -> list[Transition]:
        """Evaluates the alarm at a time."""
        grid = Grid(time - (self.periods + MORE_PERIODS) * self.period, time, self.period)
        series = queries.Graph(self.queries, store, grid.start, grid.end, sliding=True).evaluate()
        if self.is_multiple:
            return self._evaluate_contributors(series, grid, time)
        if len(series) != 1:
            raise Refused(
                f"{self.name} watches {len(series)} time series; only a Metrics Insights query can return several"
            )
        after = state_of(self._points(series[0], grid), self.periods, self.to_alarm, self.treatment, self.state)
        return self._move(time, after)

    def _points(self, series: Series | None, grid: Grid) -> list[bool | None]:
        values = series.values if series else {}
        return [self.compare(values[begin], self.threshold) if begin in values else None for begin in grid]

    def _move(self, time: int, after: str) -> list[Transition]:
        before, self.state = self.state, after
        return [] if before == after else [Transition(time, self.name, before, after)]

    def _evaluate_contributors(self, series: list[Series], grid: Grid, time: int) -> list[Transition]:
        """Evaluates each time series by itself. The alarm is in alarm if one of them is.

        "Each contributor can only be in ALARM or OK state. This is because a time series only exists when data is present."
        AWS's pages do not say when a series without new data stops to exist. Here, it exists for three hours, which are the data
        that the condition of such an alarm can use.
        """
        found = {each.label: each for each in series if each.values}
        for label in found:
            self.contributors.setdefault(label, OK)
            self.seen[label] = time
        changes: list[Transition] = []
        for label, before in list(self.contributors.items()):
            after = self._contributor(found.get(label), grid, before)
            gone = time - self.seen[label] >= metrics_insights.ALARM_WINDOW
            after = OK if gone else after
            if before != after:
                changes.append(Transition(time, self.name, before, after, label))
            self.contributors[label] = after
            if gone:
                del self.contributors[label], self.seen[label]
        return changes + self._move(time, ALARM if ALARM in self.contributors.values() else OK)

    def _contributor(self, series: Series | None, grid: Grid, before: str) -> str:
        after = state_of(self._points(series, grid), self.periods, self.to_alarm, self.treatment, before)
        return before if after == INSUFFICIENT_DATA else after


def metric_alarm(name: str, properties: dict[str, Any]) -> MetricAlarm:
    """An alarm of resolved properties of AWS::CloudWatch::Alarm.

    # Raises
    Refused, if PutMetricAlarm would refuse the alarm, or if a property is not known here.
    """
    if unknown := properties.keys() - METRIC_PROPERTIES:
        raise Refused(f"{name} has the properties {sorted(unknown)}")
    listed, period = _queries(name, properties)
    periods = int(properties["EvaluationPeriods"])
    to_alarm = int(properties.get("DatapointsToAlarm", periods))
    treatment = properties.get("TreatMissingData", "missing")
    compare = OPERATORS.get(properties["ComparisonOperator"])
    if compare is None or treatment not in TREATMENTS or not 1 <= to_alarm <= periods:
        raise Refused(f"{name}: {properties['ComparisonOperator']}, {treatment}, {to_alarm} of {periods}")
    alarm = MetricAlarm(
        name=properties.get("AlarmName", name),
        queries=listed,
        period=period,
        periods=periods,
        to_alarm=to_alarm,
        threshold=float(properties["Threshold"]),
        compare=compare,
        treatment=treatment,
        actions=_actions(properties, "AlarmActions"),
        ok_actions=_actions(properties, "OKActions"),
    )
    _check_range(alarm)
    return alarm


def _actions(properties: dict[str, Any], key: str) -> list[str]:
    return list(properties.get(key, [])) if properties.get("ActionsEnabled", True) else []


def _queries(name: str, properties: dict[str, Any]) -> tuple[list[queries.Query], int]:
    if ("Metrics" in properties) == ("MetricName" in properties):
        raise Refused(f"{name} has either a MetricName or Metrics")
    if "MetricName" in properties:
        dimensions = {each["Name"]: each["Value"] for each in properties.get("Dimensions", [])}
        stat = properties.get("Statistic") or properties.get("ExtendedStatistic")
        metric = Metric.of(properties["Namespace"], properties["MetricName"], dimensions)
        period = int(properties["Period"])
        return [queries.Query(metric=metric, stat=stat, period=period)], period
    listed = queries.of_requests(properties["Metrics"])
    _check_queries(name, listed)
    return listed, next(query.period for query in listed if query.period)


def _check_queries(name: str, listed: list[queries.Query]) -> None:
    if sum(query.visible for query in listed) != 1:
        raise Refused(f"{name}: exactly one of the Metrics has ReturnData")
    if sum(query.metric is not None for query in listed) > MOST_METRICS:
        raise Refused(f"{name}: metric math of an alarm has at most {MOST_METRICS} metrics")
    if len({query.period for query in listed if query.period}) != 1:
        raise Refused(f"{name}: all metrics of an alarm have the same period")
    for query in listed:
        expression = query.expression
        if expression is None or metrics_insights.is_query(expression):
            continue
        if "SEARCH" in metric_math.functions_in(metric_math.parse(expression)):
            raise Refused(f"{name}: an alarm cannot use SEARCH, because it returns several time series")


def _check_range(alarm: MetricAlarm) -> None:
    length = alarm.period * alarm.periods
    if alarm.period % 60 and alarm.period not in {10, 20, 30}:
        raise Refused(f"{alarm.name}: a period is 10, 20, 30 or a multiple of 60 seconds")
    if length > (7 * DAY if alarm.period >= 3600 else DAY):
        raise Refused(f"{alarm.name} looks at {length} seconds, which is too long")
    insights = any(metrics_insights.is_query(query.expression or "") for query in alarm.queries)
    if insights and length > metrics_insights.ALARM_WINDOW:
        raise Refused(f"{alarm.name}: a Metrics Insights query of an alarm looks at three hours at most")


# ---- Composite alarms

RULE_TOKEN = re.compile(
    r"""\s*(?:(?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"(?P<quoted>[^"]+)"|(?P<bare>[^\s()"]+))\s*\)
        |(?P<word>TRUE|FALSE|AND|OR|NOT)\b
        |(?P<bracket>[()]))""",
    re.VERBOSE,
)
Rule = Callable[[Mapping[str, str]], bool]


class RuleParser:
    """Reads an AlarmRule. NOT binds before AND, and AND before OR."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_RULE:
            raise Refused(f"an AlarmRule has at most {LONGEST_RULE} characters")
        self.text, self.members = text, list[str]()
        self.left: list[re.Match[str]] = []
        position, stripped = 0, text.rstrip()
        while position < len(stripped):
            match = RULE_TOKEN.match(stripped, position)
            if match is None:
                raise Refused(f"the AlarmRule {text!r}: {stripped[position:]!r} cannot be read")
            self.left.append(match)
            position = match.end()

    def rule(self) -> Rule:
        rule = self._either()
        if self.left:
            raise Refused(f"the AlarmRule {self.text!r}: {self.left[0][0].strip()!r} is not expected")
        return rule

    def _accept(self, word: str) -> bool:
        if self.left and word in (self.left[0]["word"], self.left[0]["bracket"]):
            self.left.pop(0)
            return True
        return False

    def _either(self) -> Rule:
        parts = [self._both()]
        while self._accept("OR"):
            parts.append(self._both())
        return lambda states: any(part(states) for part in parts)

    def _both(self) -> Rule:
        parts = [self._one()]
        while self._accept("AND"):
            parts.append(self._one())
        return lambda states: all(part(states) for part in parts)

    def _one(self) -> Rule:
        if self._accept("NOT"):
            inner = self._one()
            return lambda states: not inner(states)
        if self._accept("("):
            inner = self._either()
            if not self._accept(")"):
                raise Refused(f"the AlarmRule {self.text!r}: ) is missing")
            return inner
        match = self.left.pop(0) if self.left else None
        if match is None or (match["state"] is None and match["word"] not in {"TRUE", "FALSE"}):
            raise Refused(f"the AlarmRule {self.text!r} is not complete")
        if match["state"] is None:
            always = match["word"] == "TRUE"
            return lambda states: always
        return self._member(match["state"], match["quoted"] or match["bare"])

    def _member(self, state: str, named: str) -> Rule:
        # An alarm is named by its name or by its ARN.
        name = named.rpartition(":alarm:")[2]
        self.members.append(name)
        return lambda states: states[name] == state


@dataclass
class CompositeAlarm:
    """An alarm on the states of other alarms."""

    name: str
    rule: Rule
    members: list[str]
    actions: list[str]
    ok_actions: list[str]
    # "This initial time after creation is the only time that [a composite alarm] can be in INSUFFICIENT_DATA state."
    state: str = INSUFFICIENT_DATA

    def evaluate(self, states: Mapping[str, str], time: int) -> list[Transition]:
        """Evaluates the alarm with the states of all alarms by name."""
        before, self.state = self.state, ALARM if self.rule(states) else OK
        return [] if before == self.state else [Transition(time, self.name, before, self.state)]


def composite_alarm(name: str, properties: dict[str, Any]) -> CompositeAlarm:
    """An alarm of resolved properties of AWS::CloudWatch::CompositeAlarm."""
    if unknown := properties.keys() - COMPOSITE_PROPERTIES:
        raise Refused(f"{name} has the properties {sorted(unknown)}")
    parser = RuleParser(properties["AlarmRule"])
    rule = parser.rule()
    return CompositeAlarm(
        name=properties.get("AlarmName", name),
        rule=rule,
        members=parser.members,
        actions=_actions(properties, "AlarmActions"),
        ok_actions=_actions(properties, "OKActions"),
    )


Alarm = MetricAlarm | CompositeAlarm


def run(alarms: Iterable[Alarm], store: Store, start: int, end: int) -> list[Transition]:
    """Evaluates the alarms every minute from `start` to `end`, in seconds since 1970, and returns all changes in order.

    Only the data before each minute count. A composite alarm follows its members at once.
    """
    every = list(alarms)
    metric_alarms = [alarm for alarm in every if isinstance(alarm, MetricAlarm)]
    composites = _ordered(every)
    changes: list[Transition] = []
    for time in range(start, end + 1, EVERY):
        store.now = time
        for alarm in metric_alarms:
            changes += alarm.evaluate(store, time)
        for composite in composites:
            changes += composite.evaluate({alarm.name: alarm.state for alarm in every}, time)
    return changes


def _ordered(every: list[Alarm]) -> list[CompositeAlarm]:
    """The composite alarms, each after its members."""
    names = {alarm.name for alarm in every}
    left = [alarm for alarm in every if isinstance(alarm, CompositeAlarm)]
    done = {alarm.name for alarm in every if isinstance(alarm, MetricAlarm)}
    ordered: list[CompositeAlarm] = []
    while left:
        ready = [alarm for alarm in left if set(alarm.members) <= done]
        if not ready:
            unknown = {member for alarm in left for member in alarm.members} - names
            raise Refused(f"composite alarms name {sorted(unknown)}, which do not exist, or each other")
        ordered += ready
        done |= {alarm.name for alarm in ready}
        left = [alarm for alarm in left if alarm.name not in done]
    return ordered


def notifications(changes: Iterable[Transition], alarms: Iterable[Alarm], state: str = ALARM) -> list[Transition]:
    """The changes to a state that the alarms' actions report.

    An alarm on several time series reports each of them by itself; the change of the alarm as a whole is then not counted again.
    """
    by_name = {alarm.name: alarm for alarm in alarms}
    reported = []
    for change in changes:
        alarm = by_name[change.alarm]
        multiple = isinstance(alarm, MetricAlarm) and alarm.is_multiple
        actions = alarm.actions if state == ALARM else alarm.ok_actions
        if change.after == state and actions and multiple == (change.contributor is not None):
            reported.append(change)
    return reported
