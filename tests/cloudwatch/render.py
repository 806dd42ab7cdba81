"""Draws a dashboard as one HTML page with SVG charts, without scripts and without network.

The page shows what the console would show: the widgets on their grid, with the data of the evaluators.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .dashboards import Widget
from .logs_insights import Event, Result
from .store import Series, Store

# Pixels of a column and a row of the grid.
COLUMN, ROW, GAP = 58, 52, 10
# A palette that people with color blindness can tell apart (Okabe and Ito), without its black and with darker yellows.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a6d00", "#6a51a3", "#3b7d4f", "#7f7f7f")
ALARM_COLORS = {"ALARM": "#d62728", "OK": "#2ca02c", "INSUFFICIENT_DATA": "#8c8c8c"}
# The width of a letter in pixels.
LETTER = 6.6
MOST_LEGEND, MOST_BARS, MOST_ROWS = 8, 14, 12

STYLE = """
:root { color-scheme: light dark; --page: #f3f5f8; --card: #fff; --ink: #16191f; --soft: #5f6b7a; --line: #dfe4ea; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1620; --card: #17202d; --ink: #e8ecf2; --soft: #94a3b5; --line: #2b3747; } }
body { margin: 0; padding: 18px; background: var(--page); color: var(--ink); font: 13px/1.45 system-ui, sans-serif; }
.grid { display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: 52px; gap: 10px; max-width: 1660px; margin: auto; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; overflow: hidden;
  display: flex; flex-direction: column; min-width: 0; }
.card h2 { font-size: 13px; margin: 0 0 4px; font-weight: 600; }
.card svg { flex: 1; width: 100%; min-height: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 1px 12px; font-size: 11px; color: var(--soft); max-height: 34px; overflow: hidden; }
.legend i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 4px; }
.numbers { flex: 1; display: flex; flex-wrap: wrap; align-items: center; gap: 6px 26px; }
.numbers b { display: block; font-size: 26px; font-weight: 600; line-height: 1.2; }
.numbers span { color: var(--soft); font-size: 12px; }
.text { overflow: auto; } .text h1 { font-size: 19px; margin: 0 0 4px; } .text p { margin: 2px 0; } .text a { color: #0972d3; }
.rows { overflow: auto; flex: 1; } table { border-collapse: collapse; width: 100%; font-size: 11.5px; }
th, td { text-align: left; padding: 2px 10px 2px 0; border-bottom: 1px solid var(--line); white-space: nowrap; max-width: 230px;
  overflow: hidden; text-overflow: ellipsis; }
th { color: var(--soft); font-weight: 600; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.none { flex: 1; display: grid; place-items: center; color: var(--soft); }
.alarms { display: flex; flex-wrap: wrap; gap: 5px; align-content: start; overflow: auto; }
.alarms span { color: #fff; border-radius: 4px; padding: 1px 7px; font-size: 11.5px; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; } svg text.strong { fill: var(--ink); font-weight: 600; }
svg .axis { stroke: var(--line); }
@media (max-width: 800px) { .grid { display: block; } .card { margin-bottom: 10px; } .card svg { min-height: 170px; } }
"""


@dataclass(frozen=True)
class Band:
    """A horizontal annotation of a widget."""

    value: float
    label: str
    color: str


def page(
    widgets: Iterable[Widget],
    store: Store,
    events: Sequence[Event],
    start: float,
    end: float,
    *,
    title: str = "Dashboard",
    states: Mapping[str, str] | None = None,
) -> str:
    """The HTML page of a dashboard. Times are in seconds since 1970; `states` are those of alarms by name."""
    cards = "\n".join(_card(widget, store, events, start, end, states or {}) for widget in widgets)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f'<body><div class="grid">\n{cards}\n</div></body></html>\n'
    )


def _card(
    widget: Widget, store: Store, events: Sequence[Event], start: float, end: float, states: Mapping[str, str]
) -> str:
    place = f"grid-column:{widget.x + 1}/span {widget.width};grid-row:{widget.y + 1}/span {widget.height}"
    heading = f"<h2>{html.escape(widget.title)}</h2>" if widget.title else ""
    return f'<section class="card" style="{place}">{heading}{_content(widget, store, events, start, end, states)}</section>'


def _content(
    widget: Widget, store: Store, events: Sequence[Event], start: float, end: float, states: Mapping[str, str]
) -> str:
    if widget.kind == "text":
        return f'<div class="text">{markdown(widget.properties["markdown"])}</div>'
    if widget.kind == "alarm":
        return _alarms(widget.properties["alarms"], states)
    if widget.kind == "log":
        return _log(widget, widget.rows(events, start, end))
    series = [each for each in widget.series(store, start, end) if each.values]
    if not series:
        return '<div class="none">no data</div>'
    return _chart(widget, series, start, end)


def _chart(widget: Widget, series: list[Series], start: float, end: float) -> str:
    if widget.view == "singleValue":
        return _numbers(series)
    if widget.view == "gauge":
        return _gauge(widget, series)
    if widget.view == "bar":
        return _bars(widget, series)
    if widget.view == "pie":
        return _pie(widget, series)
    if widget.view == "table":
        return _table(["", "latest"], [[each.label, short(each.latest or 0)] for each in series])
    return _lines(widget, series, start, end) + _legend(series)


# ---- Text


def short(value: float) -> str:
    """A number as a person reads it: 1234567 is 1.23M."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}" if value else "0"


def _shown(value: float) -> float:
    """The value with the digits that `short` shows. A budget that denies whatever does not fit rarely ends at exactly 100%."""
    return float(f"{value:.3g}")


def markdown(text: str) -> str:
    """The parts of Markdown that dashboards use: headings, lists, links, bold and code."""
    found = []
    for line in text.splitlines():
        if match := re.match(r"(#{1,4})\s+(.*)", line):
            level = len(match[1])
            found.append(f"<h{level}>{_inline(match[2])}</h{level}>")
        elif match := re.match(r"[-*]\s+(.*)", line):
            found.append(f"<p>• {_inline(match[1])}</p>")
        elif line.strip():
            found.append(f"<p>{_inline(line)}</p>")
    return "".join(found)


def _inline(text: str) -> str:
    text = html.escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r'<a href="\2">\1</a>', text)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    heads = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows[:MOST_ROWS])
    return f'<div class="rows"><table><tr>{heads}</tr>{body}</table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return f'<td class="number">{value:f}</td>'
    return f"<td>{html.escape('' if value is None else str(value))}</td>"


def _log(widget: Widget, result: Result) -> str:
    columns = result.columns
    if not result.rows:
        return '<div class="none">no log events</div>'
    if widget.view != "table" and len(columns) > 1:
        numbers = [column for column in columns if isinstance(result.rows[0].get(column), Decimal)]
        names = [
            " ".join(str(row.get(column, "")) for column in columns if column not in numbers) for row in result.rows
        ]
        values = [float(str(row.get(numbers[0], 0))) for row in result.rows]
        return _bar_chart(names, values, [], None)
    return _table(columns, [[row.get(column) for column in columns] for row in result.rows])


def _alarms(arns: Iterable[str], states: Mapping[str, str]) -> str:
    """One chip an alarm. Those in alarm come first."""
    names = [arn.rpartition(":alarm:")[2] for arn in arns]
    chips = []
    for name in sorted(names, key=lambda each: states.get(each) != "ALARM"):
        state = states.get(name, "INSUFFICIENT_DATA")
        chips.append(f'<span style="background:{ALARM_COLORS[state]}" title="{state}">{html.escape(name)}</span>')
    return f'<div class="alarms">{"".join(chips)}</div>'


def _numbers(series: list[Series]) -> str:
    parts = [f"<div><b>{short(each.latest or 0)}</b><span>{html.escape(each.label)}</span></div>" for each in series]
    return f'<div class="numbers">{"".join(parts)}</div>'


# ---- Charts


def _color(series: Series, place: int) -> str:
    return str(series.properties.get("color") or COLORS[place % len(COLORS)])


def _bands(widget: Widget) -> list[Band]:
    listed = widget.properties.get("annotations", {}).get("horizontal", [])
    found = [
        Band(float(each["value"]), each.get("label", ""), each.get("color", "#d62728"))
        for each in listed
        if isinstance(each, dict) and "value" in each
    ]
    return sorted(found, key=lambda band: band.value)


def _axis(widget: Widget) -> Mapping[str, float]:
    found: Mapping[str, float] = widget.properties.get("yAxis", {}).get("left", {})
    return found


def _size(widget: Widget, legend: bool = False) -> tuple[int, int]:
    """The room for a chart in pixels."""
    width = widget.width * COLUMN + (widget.width - 1) * GAP - 24
    height = widget.height * ROW + (widget.height - 1) * GAP - (44 if widget.title else 20) - (34 if legend else 0)
    return width, height


def _ticks(least: float, most: float) -> list[float]:
    step = 10 ** math.floor(math.log10((most - least) / 3)) if most > least else 1.0
    while (most - least) / step > 5:
        step *= 2 if (most - least) / step <= 10 else 5
    first = math.ceil(least / step) * step
    return [first + number * step for number in range(int((most - first) / step + 1e-9) + 1)]


def _lines(widget: Widget, series: list[Series], start: float, end: float) -> str:
    width, height = _size(widget, legend=True)
    left, top, right, bottom = 42, 8, width - 8, height - 20
    stacked = bool(widget.properties.get("stacked"))
    drawn = _stacked(series) if stacked else [(each.values, None) for each in series]
    bands = _bands(widget)
    highest = max(max(values.values()) for values, _ in drawn)
    lowest = min(0.0, *(min(values.values()) for values, _ in drawn))
    least = float(_axis(widget).get("min", lowest))
    most = max(float(_axis(widget).get("max", highest * 1.05)), *(band.value * 1.05 for band in bands), least + 1e-9)

    def x(time: float) -> float:
        return left + (time - start) / (end - start) * (right - left)

    def y(value: float) -> float:
        return bottom - (min(max(value, least), most) - least) / (most - least) * (bottom - top)

    parts = [
        f'<line class="axis" x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{left - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        for tick in _ticks(least, most)
    ]
    parts += _times(start, end, x, height)
    for place, (values, floor) in enumerate(drawn):
        color = _color(series[place], place)
        points = [f"{x(time):.1f},{y(value):.1f}" for time, value in sorted(values.items())]
        if floor is not None:
            under = [f"{x(time):.1f},{y(floor[time]):.1f}" for time in sorted(values, reverse=True)]
            parts.append(f'<polygon points="{" ".join(points + under)}" fill="{color}" fill-opacity=".75"/>')
        elif len(points) == 1:
            at = points[0].split(",")
            parts.append(f'<circle cx="{at[0]}" cy="{at[1]}" r="2.5" fill="{color}"/>')
        else:
            parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    for band in bands:
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{y(band.value):.1f}" y2="{y(band.value):.1f}" stroke="{band.color}"'
            f' stroke-dasharray="5 3"/><text x="{right}" y="{y(band.value) - 3:.1f}" text-anchor="end">'
            f"{html.escape(band.label)}</text>"
        )
    return _svg(width, height, parts)


def _times(start: float, end: float, x: Any, height: int) -> list[str]:
    days = (end - start) / 86_400
    step = 86_400 * math.ceil(days / 8) if days > 2 else 3600 * max(1, math.ceil(days * 24 / 8))
    found = []
    time = math.ceil(start / step) * step
    while time < end - step / 3:
        label = datetime.fromtimestamp(time, UTC).strftime("%d %b" if days > 2 else "%H:%M")
        found.append(f'<text x="{x(time):.1f}" y="{height - 5}" text-anchor="middle">{label}</text>')
        time += step
    return found


def _stacked(series: list[Series]) -> list[tuple[dict[int, float], dict[int, float]]]:
    """The upper and the lower edge of each area. A missing value is 0."""
    times = sorted(set().union(*(each.values for each in series), series[0].grid))
    floor = dict.fromkeys(times, 0.0)
    found = []
    for each in series:
        upper = {time: floor[time] + each.values.get(time, 0.0) for time in times}
        found.append((upper, floor))
        floor = upper
    return found


def _legend(series: list[Series]) -> str:
    parts = [
        f'<span><i style="background:{_color(each, place)}"></i>{html.escape(each.label)}</span>'
        for place, each in enumerate(series[:MOST_LEGEND])
    ]
    if len(series) > MOST_LEGEND:
        parts.append(f"<span>and {len(series) - MOST_LEGEND} more</span>")
    return f'<div class="legend">{"".join(parts)}</div>'


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="xMidYMid meet">{"".join(parts)}</svg>'


def _bars(widget: Widget, series: list[Series]) -> str:
    colors = [str(each.properties.get("color") or "") for each in series]
    values = [each.latest or 0.0 for each in series]
    return _bar_chart([each.label for each in series], values, _bands(widget), _size(widget), colors)


def _bar_chart(
    names: Sequence[str],
    values: Sequence[float],
    bands: Sequence[Band],
    size: tuple[int, int] | None,
    colors: Sequence[str] = (),
) -> str:
    """Horizontal bars. A bar that reaches a band has the color and the label of the highest band that it reaches."""
    width, height = size or (420, 240)
    count = min(len(names), MOST_BARS)
    longest = max(len(name) for name in names[:count])
    left, thick = min(width * 0.55, longest * LETTER + 12), min((height - 4) / count, 38)
    most = max([*values, *(band.value * 1.15 for band in bands), 1e-9])
    scale = (width - left - 96) / most
    parts = []
    for place in range(count):
        value, y = values[place], place * thick + 2
        reached = [band for band in bands if _shown(value) >= band.value]
        color = reached[-1].color if reached else (colors[place] if colors and colors[place] else COLORS[0])
        note = f" · {reached[-1].label} reached" if reached and reached[-1].label else ""
        middle = y + thick / 2 + 4
        fits = int((left - 10) / LETTER)
        name = names[place] if len(names[place]) <= fits else "…" + names[place][1 - fits :]
        parts.append(
            f'<text class="strong" x="{left - 6:.0f}" y="{middle:.1f}" text-anchor="end">{html.escape(name)}</text>'
            f'<rect x="{left:.0f}" y="{y + 2:.1f}" width="{max(value * scale, 1):.1f}" height="{thick - 4:.1f}" rx="2"'
            f' fill="{color}"/><text x="{left + max(value * scale, 1) + 5:.1f}" y="{middle:.1f}">{short(value)}{note}</text>'
        )
    for band in bands:
        x = left + band.value * scale
        end = count * thick + 2
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{end:.0f}" stroke="{band.color}" stroke-dasharray="5 3"/>'
        )
    return _svg(width, height, parts)


def _pie(widget: Widget, series: list[Series]) -> str:
    width, height = _size(widget)
    shares = [(each, max(each.latest or 0.0, 0.0)) for each in series]
    total = sum(value for _, value in shares) or 1.0
    radius, around = height / 2 - 8, height / 2
    parts, angle = [], 0.0
    for place, (each, value) in enumerate(shares):
        sweep = value / total
        parts.append(_ring(around, around, radius, angle, angle + sweep, _color(each, place)))
        angle += sweep
        line = 18 * place + 16
        if line < height:
            parts.append(
                f'<rect x="{height + 12}" y="{line - 9}" width="9" height="9" rx="2" fill="{_color(each, place)}"/>'
                f'<text x="{height + 27}" y="{line}">{html.escape(each.label)}: {short(value)} ({sweep:.0%})</text>'
            )
    parts.append(f'<text class="strong" x="{around}" y="{around + 4}" text-anchor="middle">{short(total)}</text>')
    return _svg(width, height, parts)


def _ring(x: float, y: float, radius: float, start: float, end: float, color: str) -> str:
    """A part of a ring. The angles are shares of a whole turn from the top."""
    end = min(end, start + 0.9999)
    first, last = 2 * math.pi * start - math.pi / 2, 2 * math.pi * end - math.pi / 2
    middle = radius * 0.8
    large = int(end - start > 0.5)
    return (
        f'<path d="M {x + middle * math.cos(first):.1f} {y + middle * math.sin(first):.1f}'
        f" A {middle:.1f} {middle:.1f} 0 {large} 1 {x + middle * math.cos(last):.1f} {y + middle * math.sin(last):.1f}"
        f'" fill="none" stroke="{color}" stroke-width="{radius * 0.36:.1f}"/>'
    )


def _gauge(widget: Widget, series: list[Series]) -> str:
    """Half a ring with the latest value of the first series. Its color is that of the highest band that it reaches."""
    width, height = _size(widget)
    axis, value = _axis(widget), series[0].latest or 0.0
    least, most = float(axis["min"]), float(axis["max"])
    reached = [band for band in _bands(widget) if _shown(value) >= band.value]
    color = reached[-1].color if reached else "#2ca02c"
    radius = min(width / 2 - 14, height - 44)
    x, y = width / 2, radius + 10

    def share(number: float) -> float:
        return 0.75 + 0.5 * (min(max(number, least), most) - least) / (most - least)

    parts = [
        _ring(x, y, radius, 0.75, 1.25, "var(--line)"),
        _ring(x, y, radius, 0.75, max(share(value), 0.7501), color),
    ]
    for band in _bands(widget):
        angle = 2 * math.pi * share(band.value) - math.pi / 2
        inner, outer = radius * 0.6, radius * 1.02
        parts.append(
            f'<line x1="{x + inner * math.cos(angle):.1f}" y1="{y + inner * math.sin(angle):.1f}"'
            f' x2="{x + outer * math.cos(angle):.1f}" y2="{y + outer * math.sin(angle):.1f}" stroke="{band.color}" stroke-width="2"/>'
        )
    text = f'<text class="strong" x="{x}" y="{y}" text-anchor="middle" style="font-size:{radius / 3:.0f}px">{short(value)}</text>'
    label = f'<text x="{x}" y="{y + 20}" text-anchor="middle">{html.escape(series[0].label)}</text>'
    return _svg(width, height, [*parts, text, label])
