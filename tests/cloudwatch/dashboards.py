"""Dashboards: their variables, and the data of each widget.

Source: Amazon CloudWatch API Reference, "Dashboard Body Structure and Syntax" (CloudWatch-Dashboard-Body-Structure.html).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import logs_insights, queries, search
from .refused import Refused
from .store import Series, Store

COLUMNS = 24
MOST_WIDGETS = 500
KINDS = {"text", "metric", "log", "alarm"}
METRIC_VIEWS = {"timeSeries", "bar", "pie", "gauge", "singleValue", "table"}
LOG_VIEWS = {"table", "timeSeries", "bar", "pie"}
# The periods of "auto", in seconds, and the most data points that a graph then has.
PERIODS = (60, 300, 900, 3600, 21_600, 86_400)
MOST_POINTS = 300
# A variable with this default takes the first of its choices.
FIRST = "__FIRST"
DURATION = re.compile(r"-P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?)?")


@dataclass(frozen=True)
class Widget:
    """A widget on the grid of 24 columns."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    properties: dict[str, Any]

    @property
    def title(self) -> str:
        return str(self.properties.get("title", ""))

    @property
    def view(self) -> str:
        default = "table" if self.kind == "log" else "timeSeries"
        return str(self.properties.get("view", default))

    def series(self, store: Store, start: float, end: float) -> list[Series]:
        """The visible series of a metric widget."""
        properties = self.properties
        listed = queries.of_widget(
            properties["metrics"], properties.get("stat", "Average"), properties.get("period", 300)
        )
        whole = properties.get("setPeriodToTimeRange", False)
        return queries.Graph(listed, store, start, end, whole=whole).evaluate()

    def rows(self, events: Iterable[logs_insights.Event], start: float, end: float) -> logs_insights.Result:
        """The rows of a log widget, from the events in the range."""
        inside = [event for event in events if start * 1000 <= event.time < end * 1000]
        return logs_insights.run(self.properties["query"], inside)


def widgets(
    body: Mapping[str, Any], start: float | None = None, end: float | None = None, period: int | None = None
) -> list[Widget]:
    """The widgets of a dashboard, from the top left to the bottom right.

    With a range, their periods adapt to it, unless the dashboard has the `periodOverride` `inherit`. `period` overrides all
    periods, as a viewer can do in the console.
    """
    adapts = period is None and body.get("periodOverride", "auto") == "auto"
    if adapts and start is not None and end is not None:
        period = automatic_period(end - start)
    found = [_widget(each, period) for each in body["widgets"]]
    if len(found) > MOST_WIDGETS:
        raise Refused(f"a dashboard has at most {MOST_WIDGETS} widgets, not {len(found)}")
    return sorted(found, key=lambda widget: (widget.y, widget.x))


def automatic_period(length: float) -> int:
    """The period of all graphs for a range in seconds: the shortest with at most 300 data points.

    "Specifying auto causes the period of all graphs on the dashboard to automatically adapt to the time range." The page does not
    say how; the console shows five minutes for a day and an hour for a week.
    """
    return next((period for period in PERIODS if length / period <= MOST_POINTS), PERIODS[-1])


def _with_period(properties: Mapping[str, Any], period: int) -> dict[str, Any]:
    metrics = [
        [{**part, "period": period} if isinstance(part, dict) and "period" in part else part for part in entry]
        for entry in properties["metrics"]
    ]
    return {**properties, "period": period, "metrics": metrics}


def _widget(body: Mapping[str, Any], period: int | None) -> Widget:
    kind, properties = body["type"], body["properties"]
    if period is not None and kind == "metric":
        properties = _with_period(properties, period)
    x, y, width, height = (
        int(body.get(key, default)) for key, default in (("x", 0), ("y", 0), ("width", 6), ("height", 6))
    )
    widget = Widget(kind, x, y, width, height, properties)
    if kind not in KINDS:
        raise Refused(f"a widget of the type {kind} is not known")
    views = {"metric": METRIC_VIEWS, "log": LOG_VIEWS}.get(kind)
    if views and widget.view not in views:
        raise Refused(f"{widget.title!r}: the view {widget.view} is not known")
    if not 0 <= widget.x <= COLUMNS - widget.width:
        raise Refused(f"{widget.title!r} is wider than the dashboard")
    return widget


def choices(variable: Mapping[str, Any], store: Store) -> list[str]:
    """The choices of a drop-down: its own values, or those of a dimension of the metrics that its search finds."""
    if "values" in variable:
        return [str(each["value"]) for each in variable["values"]]
    if "search" not in variable or "populateFrom" not in variable:
        raise Refused(f"the variable {variable['id']} has neither values nor a search")
    found = search.find(variable["search"], store)
    values = {metric.value_of(variable["populateFrom"]) for metric in found}
    return sorted(value for value in values if value is not None)


def chosen(body: Mapping[str, Any], store: Store, values: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The dashboard with a value for each variable: the given one, or else its default.

    A variable of the type `pattern` replaces a text everywhere; one of the type `property` the value of a dimension or of another
    property of metrics.
    """
    text = json.dumps({key: value for key, value in body.items() if key != "variables"})
    properties: dict[str, str] = {}
    for variable in body.get("variables", []):
        value = (values or {}).get(variable["id"]) or _default(variable, store)
        if value is None:
            continue
        if variable["type"] == "pattern":
            text = text.replace(json.dumps(variable["pattern"])[1:-1], json.dumps(value)[1:-1])
        elif variable["type"] == "property":
            properties[variable["property"]] = value
        else:
            raise Refused(f"the variable type {variable['type']} is not known")
    replaced: dict[str, Any] = json.loads(text)
    for widget in replaced["widgets"]:
        if widget["type"] == "metric":
            _replace_properties(widget["properties"], properties)
    return replaced


def _default(variable: Mapping[str, Any], store: Store) -> str | None:
    default = variable.get("defaultValue")
    if default != FIRST:
        return default
    return next(iter(choices(variable, store)), None)


def _replace_properties(widget: dict[str, Any], values: Mapping[str, str]) -> None:
    for entry in widget["metrics"]:
        names = [part for part in entry if isinstance(part, str)]
        for place in range(2, len(names) - 1, 2):
            if names[place] in values:
                entry[place + 1] = values[names[place]]
    if "region" in values:
        widget["region"] = values["region"]


def time_range(body: Mapping[str, Any], now: float) -> tuple[float, float]:
    """The default range of a dashboard, in seconds since 1970: `start` is a duration before now, such as -P1D."""
    match = DURATION.fullmatch(body.get("start", "-PT3H"))
    if match is None:
        raise Refused(f"the start {body['start']!r} is not a duration")
    units = {"weeks": 604_800, "days": 86_400, "hours": 3600, "minutes": 60}
    return now - sum(int(match[unit] or 0) * seconds for unit, seconds in units.items()), now
