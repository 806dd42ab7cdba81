"""The metrics of a graph: dashboard widgets, `Metrics` of an alarm, and MetricDataQueries.

Sources: Amazon CloudWatch API Reference, "Dashboard Body Structure and Syntax"
(CloudWatch-Dashboard-Body-Structure.html, "Metric Widget: Format for Each Metric in the Array") and MetricDataQuery;
Amazon CloudWatch User Guide, "Using dynamic labels" (graph-dynamic-labels.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from . import metric_math, metrics_insights, search
from .refused import Refused
from .store import Grid, Metric, Series, Store

# "Each graph is limited to using a maximum of 500 metrics and expressions" (using-metric-math.html).
MOST_QUERIES = 500
# "You can have as many as 100 search expressions on one graph" (search-expression-syntax.html).
MOST_SEARCHES = 100
ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
LABEL_PART = re.compile(r"\$\{([^}]*)\}")
RENDERING = {
    "color",
    "expression",
    "id",
    "label",
    "period",
    "region",
    "stat",
    "visible",
    "yAxis",
    "accountId",
}


@dataclass(frozen=True)
class Query:
    """One line of a graph: a metric with its statistic, or an expression."""

    metric: Metric | None = None
    expression: str | None = None
    stat: str | None = None
    period: int | None = None
    id: str | None = None
    label: str | None = None
    visible: bool = True
    properties: dict[str, Any] = field(default_factory=dict)


def of_widget(metrics: Iterable[list[Any]], stat: str | None, period: int | None) -> list[Query]:
    """Reads the `metrics` array of a widget, whose `stat` and `period` apply to metrics without their own.

    In an array, "." repeats the entry of the preceding metric in that place, and "..." all entries up to its own last one.
    """
    queries: list[Query] = []
    before: list[str] = []
    for entry in metrics:
        properties = dict(entry[-1]) if entry and isinstance(entry[-1], dict) else {}
        parts = [part for part in entry if not isinstance(part, dict)]
        if unknown := properties.keys() - RENDERING:
            raise Refused(f"a metric has no properties {sorted(unknown)}")
        if parts:
            before = _repeated(parts, before)
            metric = _metric(before)
        elif "expression" in properties:
            metric = None
        else:
            raise Refused(f"{entry} has neither a metric nor an expression")
        queries.append(
            Query(
                metric=metric,
                expression=None if metric else str(properties["expression"]),
                stat=properties.get("stat", stat) if metric else None,
                period=properties.get("period", period),
                id=properties.get("id"),
                label=properties.get("label"),
                visible=properties.get("visible", True),
                properties=properties,
            )
        )
    return queries


def _repeated(parts: list[Any], before: list[str]) -> list[str]:
    if "..." in parts:
        if parts[0] != "..." or parts.count("...") > 1:
            raise Refused(f"{parts}: only the first entry can be ...")
        kept = len(before) - (len(parts) - 1)
        if kept < 0:
            raise Refused(f"{parts}: ... has nothing to repeat")
        return [*before[:kept], *(_kept(part, before, kept + place) for place, part in enumerate(parts[1:]))]
    return [_kept(part, before, place) for place, part in enumerate(parts)]


def _kept(part: Any, before: list[str], place: int) -> str:
    if not isinstance(part, str):
        raise Refused(f"{part!r} is not a text")
    if part != ".":
        return part
    if place >= len(before):
        raise Refused("a . has nothing to repeat")
    return before[place]


def _metric(parts: list[str]) -> Metric:
    if len(parts) < 2 or len(parts) % 2:
        raise Refused(f"{parts} is not a namespace, a name, and pairs of dimensions")
    return Metric.of(parts[0], parts[1], {parts[place]: parts[place + 1] for place in range(2, len(parts), 2)})


def of_requests(requests: Iterable[dict[str, Any]]) -> list[Query]:
    """Reads MetricDataQueries of GetMetricData, or the `Metrics` of an alarm."""
    queries: list[Query] = []
    for request in requests:
        if ("Expression" in request) == ("MetricStat" in request):
            raise Refused(f"{request.get('Id')} has either an Expression or a MetricStat")
        stat = request.get("MetricStat")
        queries.append(
            Query(
                metric=_requested(stat["Metric"]) if stat else None,
                expression=request.get("Expression"),
                stat=stat["Stat"] if stat else None,
                period=int(stat["Period"]) if stat else request.get("Period"),
                id=request["Id"],
                label=request.get("Label"),
                visible=request.get("ReturnData", True),
            )
        )
    return queries


def _requested(metric: dict[str, Any]) -> Metric:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
    return Metric.of(metric["Namespace"], metric["MetricName"], dimensions)


class Graph:
    """Evaluates the queries of one graph or one call of GetMetricData.

    With `whole`, each series has one period, which is the whole range (`setPeriodToTimeRange` of a widget). With `sliding`, the
    periods begin at `start`, as those of an alarm; else at multiples of the period since 1970.
    """

    def __init__(
        self,
        queries: list[Query],
        store: Store,
        start: float,
        end: float,
        *,
        whole: bool = False,
        sliding: bool = False,
    ) -> None:
        self.queries, self.store = queries, store
        self.start, self.end, self.whole, self.sliding = start, end, whole, sliding
        self.by_id = {query.id: query for query in queries if query.id is not None}
        self._check()
        self._known: dict[str, Series | list[Series]] = {}
        self._open: list[str] = []

    def _check(self) -> None:
        if len(self.queries) > MOST_QUERIES:
            raise Refused(f"a graph has at most {MOST_QUERIES} metrics and expressions, not {len(self.queries)}")
        ids = [query.id for query in self.queries if query.id is not None]
        if wrong := [each for each in ids if not ID.fullmatch(each)]:
            raise Refused(
                f"the ids {wrong} do not begin with a lower-case letter, or have other signs than letters, digits and _"
            )
        if len(ids) != len(set(ids)):
            raise Refused(f"the ids {ids} are not unique")
        expressions = [query.expression for query in self.queries if query.expression is not None]
        insights = [expression for expression in expressions if metrics_insights.is_query(expression)]
        if len(insights) > 1:
            raise Refused("a call of GetMetricData, and so a graph, has one Metrics Insights query at most")
        calls = [
            name
            for expression in expressions
            if expression not in insights
            for name in metric_math.functions_in(metric_math.parse(expression))
        ]
        if calls.count("SEARCH") > MOST_SEARCHES:
            raise Refused(f"a graph has at most {MOST_SEARCHES} search expressions")

    def evaluate(self) -> list[Series]:
        """The visible series, in the order of the queries."""
        found: list[Series] = []
        for query in self.queries:
            if query.visible:
                result = self._value(query)
                found += self._labelled(query, result)
        return found

    def _value(self, query: Query) -> Series | list[Series]:
        if query.metric is not None:
            if query.stat is None:
                raise Refused(f"{query.metric} has no statistic")
            return self.store.series(query.metric, query.stat, self._grid(query.period))
        expression = query.expression or ""
        if metrics_insights.is_query(expression):
            return metrics_insights.evaluate(expression, self.store, self._grid(query.period))
        return metric_math.evaluate(expression, self._context(query))

    def _grid(self, period: int | None) -> Grid:
        if self.whole:
            return Grid(int(self.start), int(self.end), int(self.end - self.start))
        if period is None:
            raise Refused("a metric without a period")
        if self.sliding:
            return Grid(int(self.start), int(self.end), period)
        return Grid.aligned(self.start, self.end, period)

    def _context(self, query: Query) -> metric_math.Context:
        period = query.period or min((each.period for each in self.queries if each.period), default=None)
        return metric_math.Context(
            resolve=self._resolve,
            metrics=lambda: [(name, self._series(name)) for name, each in self.by_id.items() if each.metric],
            search=lambda text, stat, own: self._found(text, stat, own or period),
            grid=self._grid(period),
        )

    def _resolve(self, name: str) -> Series | list[Series]:
        if name not in self.by_id:
            raise Refused(f"there is no metric or expression with the id {name}")
        if name in self._open:
            raise Refused(f"the expression {name} refers to itself")
        if name not in self._known:
            self._open.append(name)
            self._known[name] = self._value(self.by_id[name])
            self._open.pop()
        return self._known[name]

    def _series(self, name: str) -> Series:
        value = self._resolve(name)
        assert isinstance(value, Series)
        return value

    def _found(self, text: str, stat: str, period: int | None) -> list[Series]:
        metrics = search.find(text, self.store)
        labels = _differences(metrics)
        found = []
        for metric in metrics:
            series = self.store.series(metric, stat, self._grid(period))
            found.append(replace(series, label=labels[metric]))
        return found

    def _labelled(self, query: Query, result: Series | list[Series]) -> list[Series]:
        """Labels a result. Several series of an expression have its label and their own ("Expression-Label Metric-Label")."""
        several = isinstance(result, list)
        series = result if isinstance(result, list) else [result]
        return [
            replace(each, id=query.id, properties=query.properties, label=_label(query, each, several))
            for each in series
        ]


def _differences(metrics: list[Metric]) -> dict[Metric, str]:
    """Labels that tell metrics apart: the parts in which they differ."""
    names = {metric.name for metric in metrics}
    dimensions = sorted({name for metric in metrics for name in metric.dimension_names})
    telling = [name for name in dimensions if len({metric.value_of(name) for metric in metrics}) > 1]
    labels = {}
    for metric in metrics:
        parts = [metric.value_of(name) or "" for name in telling]
        parts = [metric.name, *parts] if len(names) > 1 or not parts else parts
        labels[metric] = " ".join(part for part in parts if part)
    return labels


def _label(query: Query, series: Series, several: bool) -> str:
    if query.label is None:
        return series.label if several or query.metric else (query.id or series.label)
    if LABEL_PART.search(query.label):
        return LABEL_PART.sub(lambda match: _dynamic(match[1], series), query.label)
    return f"{query.label} {series.label}".strip() if several else query.label


def _dynamic(part: str, series: Series) -> str:
    values = list(series.values.values())
    numbers = {
        "MAX": max(values, default=None),
        "MIN": min(values, default=None),
        "SUM": sum(values) if values else None,
        "AVG": sum(values) / len(values) if values else None,
        "FIRST": series.values[min(series.values)] if values else None,
        "LAST": series.latest,
        "DATAPOINT_COUNT": len(values),
    }
    if part == "LABEL":
        return series.label
    if part in numbers:
        return "--" if numbers[part] is None else f"{numbers[part]:g}"
    if match := re.fullmatch(r"PROP\('(?:(MetricName|Namespace|Period)|Dim\.([^']+))'\)", part):
        return _property(match[1], match[2], series)
    raise Refused(f"${{{part}}} in a label is not known")


def _property(name: str | None, dimension: str | None, series: Series) -> str:
    if dimension is not None:
        value = series.metric.value_of(dimension) if series.metric else series.group.get(dimension)
        return value or ""
    if name == "Period":
        return str(series.grid.period)
    if series.metric is None:
        return ""
    return series.metric.name if name == "MetricName" else series.metric.namespace
