"""Metric data, and their statistics.

Source: Amazon CloudWatch User Guide, "Metrics concepts" (cloudwatch_concepts.html).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .refused import Refused

DAY = 86_400
# "Metrics retention" of the same page: the age in seconds up to which data of a period in seconds exist.
RETENTION = ((60, 15 * DAY), (300, 63 * DAY), (3600, 455 * DAY))
PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")
# GetMetricData accepts 500 queries a call. Four of them are needed for a metric.
METRICS_A_CALL = 125


@dataclass(frozen=True, order=True)
class Metric:
    """A metric. `dimensions` are pairs of name and value in alphabetical order."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, str] | None = None) -> Metric:
        return cls(namespace, name, tuple(sorted((dimensions or {}).items())))

    def value_of(self, dimension: str) -> str | None:
        return dict(self.dimensions).get(dimension)

    @property
    def dimension_names(self) -> set[str]:
        return {name for name, _ in self.dimensions}


@dataclass(frozen=True)
class Observations:
    """The values that one datum of PutMetricData adds. `values` is None for a statistic set, which has only a summary."""

    time: float
    total: float
    count: float
    least: float
    most: float
    values: tuple[float, ...] | None


@dataclass(frozen=True)
class Grid:
    """Consecutive periods. All times are seconds since 1970; `end` is exclusive."""

    start: int
    end: int
    period: int

    def __post_init__(self) -> None:
        if self.period <= 0 or self.end <= self.start:
            raise Refused(f"there is no period of {self.period} s between {self.start} and {self.end}")

    @classmethod
    def aligned(cls, start: float, end: float, period: int) -> Grid:
        """Periods that begin at multiples of the period since 1970, such as full hours and days of UTC."""
        return cls(int(start // period) * period, int(end), period)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.end, self.period))

    def begin_of(self, time: float) -> int:
        """The beginning of the period that contains `time`."""
        return self.start + int((time - self.start) // self.period) * self.period


@dataclass
class Series:
    """A time series: values by the beginning of their period, in seconds since 1970."""

    values: dict[int, float]
    grid: Grid
    label: str = ""
    id: str | None = None
    metric: Metric | None = None
    # The dimensions by which a Metrics Insights query groups, with their values.
    group: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def latest(self) -> float | None:
        """The value of the last period that has one."""
        return self.values[max(self.values)] if self.values else None


# Asks CloudWatch for one statistic of one metric: the values by the beginning of each period.
Ask = Callable[[Metric, str, Grid], dict[int, float]]


class Store:
    """Metric data in memory. `now` is the time of every query, in seconds since 1970.

    With `ask`, the percentiles of metrics come from CloudWatch, because statistic sets have none.
    """

    def __init__(self, now: float, ask: Ask | None = None) -> None:
        self.now, self.ask = now, ask
        self._data: dict[Metric, list[Observations]] = {}
        self._sorted = True

    def put(self, metric: Metric, time: float, *values: float) -> None:
        """Adds a datum with its values, as PutMetricData does with `Value` or `Values`."""
        if not values:
            raise ValueError("a datum has at least one value")
        self._add(metric, Observations(time, sum(values), len(values), min(values), max(values), tuple(values)))

    def put_set(self, metric: Metric, time: float, total: float, count: float, least: float, most: float) -> None:
        """Adds a statistic set, as PutMetricData does with `StatisticValues`."""
        self._add(metric, Observations(time, total, count, least, most, None))

    def _add(self, metric: Metric, observations: Observations) -> None:
        self._data.setdefault(metric, []).append(observations)
        self._sorted = False

    def metrics(self, since: float = -math.inf, matching: Callable[[Metric], bool] = lambda _: True) -> list[Metric]:
        """The metrics in alphabetical order that match and have data at or after `since` and before now."""
        self._sort()
        found = (metric for metric in self._data if matching(metric))
        return sorted(metric for metric in found if self._has_data(self._data[metric], since))

    def _has_data(self, data: list[Observations], since: float) -> bool:
        first = bisect_left(data, since, key=lambda each: each.time)
        return first < len(data) and data[first].time < self.now

    def _sort(self) -> None:
        if not self._sorted:
            for data in self._data.values():
                data.sort(key=lambda each: each.time)
            self._sorted = True

    def buckets(self, metric: Metric, grid: Grid) -> dict[int, list[Observations]]:
        """The observations of each period that has any and that CloudWatch still keeps. The future has none."""
        self._sort()
        data = self._data.get(metric, [])
        first = bisect_left(data, max(grid.start, self._oldest(grid.period)), key=lambda each: each.time)
        last = bisect_left(data, min(grid.end, self.now), key=lambda each: each.time)
        found: dict[int, list[Observations]] = {}
        for observations in data[first:last]:
            found.setdefault(grid.begin_of(observations.time), []).append(observations)
        return found

    def _oldest(self, period: int) -> float:
        ages = [age for least, age in RETENTION if period >= least]
        return self.now - (ages[-1] if ages else 3 * 3600)

    def series(self, metric: Metric, stat: str, grid: Grid) -> Series:
        """One statistic of one metric in each period that has data."""
        if self.ask is not None and PERCENTILE.fullmatch(stat):
            return Series(self.ask(metric, stat, grid), grid, label=metric.name, metric=metric)
        values = {time: statistic(stat, found) for time, found in self.buckets(metric, grid).items()}
        return Series(values, grid, label=metric.name, metric=metric)


def statistic(stat: str, found: list[Observations]) -> float:
    """One statistic of at least one observation.

    A percentile is that of the nearest rank; CloudWatch itself approximates. AWS gives no percentile of a statistic set unless
    its sample count is 1 or its minimum is its maximum ("Percentiles", same page).
    """
    if stat == "Sum":
        return sum(each.total for each in found)
    if stat == "SampleCount":
        return sum(each.count for each in found)
    if stat == "Average":
        return sum(each.total for each in found) / sum(each.count for each in found)
    if stat == "Minimum":
        return min(each.least for each in found)
    if stat == "Maximum":
        return max(each.most for each in found)
    if match := PERCENTILE.fullmatch(stat):
        return _percentile(float(match[1]), found)
    raise Refused(f"the statistic {stat!r} is not known")


def _percentile(percent: float, found: list[Observations]) -> float:
    values: list[float] = []
    for each in found:
        if each.values is not None:
            values += each.values
        elif each.count == 1 or each.least == each.most:
            values += [each.least] * round(each.count)
        else:
            raise Refused("a statistic set of several values has no percentiles")
    values.sort()
    rank = -(-percent * len(values) // 100)
    return values[max(int(rank), 1) - 1]


def from_cloudwatch(client: Any, namespaces: Iterable[str], start: float, end: float, now: float) -> Store:
    """Copies the data of all metrics of the namespaces from CloudWatch, minute by minute.

    Percentiles are not copied. The store asks CloudWatch for each when it is needed.
    """

    def ask(metric: Metric, stat: str, grid: Grid) -> dict[int, float]:
        stat_of = {"Metric": _request_of(metric), "Period": grid.period, "Stat": stat}
        found = _answers(client, [{"Id": "m", "MetricStat": stat_of}], grid.start, grid.end)
        return {int(time): value for time, value in found.get("m", {}).items()}

    store = Store(now, ask)
    for namespace in namespaces:
        pages = client.get_paginator("list_metrics").paginate(Namespace=namespace)
        metrics = [_metric_of(each) for page in pages for each in page["Metrics"]]
        for first in range(0, len(metrics), METRICS_A_CALL):
            _copy(client, store, metrics[first : first + METRICS_A_CALL], start, end)
    return store


STATISTICS = ("Sum", "SampleCount", "Minimum", "Maximum")


def _copy(client: Any, store: Store, metrics: list[Metric], start: float, end: float) -> None:
    queries = [
        {
            "Id": f"m{number}_{stat.lower()}",
            "MetricStat": {"Metric": _request_of(metric), "Period": 60, "Stat": stat},
        }
        for number, metric in enumerate(metrics)
        for stat in STATISTICS
    ]
    found = _answers(client, queries, start, end)
    for number, metric in enumerate(metrics):
        total, count, least, most = (found.get(f"m{number}_{stat.lower()}", {}) for stat in STATISTICS)
        for time in total:
            store.put_set(metric, time, total[time], count[time], least[time], most[time])


def _answers(client: Any, queries: list[dict[str, Any]], start: float, end: float) -> dict[str, dict[float, float]]:
    """The values of each query by their times."""
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(start, UTC),
        EndTime=datetime.fromtimestamp(end, UTC),
    )
    found: dict[str, dict[float, float]] = {}
    for page in pages:
        for result in page["MetricDataResults"]:
            points = found.setdefault(result["Id"], {})
            # The API reference of MetricDataResult: both lists have the same order and length.
            for position, time in enumerate(result["Timestamps"]):
                points[time.timestamp()] = result["Values"][position]
    return found


def _metric_of(listed: dict[str, Any]) -> Metric:
    dimensions = {each["Name"]: each["Value"] for each in listed.get("Dimensions", [])}
    return Metric.of(listed["Namespace"], listed["MetricName"], dimensions)


def _request_of(metric: Metric) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions]
    return {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}
