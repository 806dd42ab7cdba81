"""Writes the dashboard of `dashboards/overview.yaml` into `template.yaml`, or compares both: `cargo xtask dashboard`.

The body stands between two comments of the template, one widget per line. The properties of widgets are those of AWS's
page "Dashboard body structure and syntax" in the API reference of Amazon CloudWatch, read in November 2026.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import sam_template as templates

BEGIN = "      # Begin of the dashboard. `cargo xtask dashboard` writes it from dashboards/overview.yaml."
END = "      # End of the dashboard."
# The metric whose dimensions fill the drop-downs. Every decided request publishes it.
CHOICES = '{GenAIRateLimiting,Application,CostCenter,Environment,Model,ModelId} MetricName="TotalRequests"'
ALARM_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
LAMBDA = "AWS/Lambda"
# The properties of a series that the widget has in the same form.
RENDERING = ("id", "label", "stat", "color", "visible")


class SourceError(Exception):
    """The source cannot be written as a dashboard. The message names the place."""


@dataclass(frozen=True)
class Source:
    """The source of the dashboard, and the template that gets it."""

    document: dict[str, Any]
    template: templates.Template

    def named(self, text: str) -> str:
        """The text with the names under `names` replaced."""
        for name, meaning in self.document["names"].items():
            text = text.replace(name, meaning)
        return text


def functions(source: Source) -> list[str]:
    """The logical ids of the functions that every stack has."""
    found = templates.of_type(source.template, templates.SERVERLESS_FUNCTION)
    return [name for name, body in found.items() if "Condition" not in body]


def series(source: Source, entry: dict[str, Any]) -> Iterator[list[Any]]:
    """The metrics of one entry of `series`, in the form of the widget."""
    rendering = {key: entry[key] for key in RENDERING if key in entry}
    if "functions" in entry:
        for name in functions(source):
            label = name.removesuffix("Function")
            yield [LAMBDA, entry["functions"], "FunctionName", f"${{{name}}}", {**rendering, "label": label}]
    elif "metric" in entry:
        yield [*entry["metric"], rendering]
    elif "query" in entry or "math" in entry:
        text = entry["query"] if "query" in entry else entry["math"]
        yield [{"expression": source.named(text), **rendering}]
    else:
        raise SourceError(f"a series has no query, math, metric or functions: {entry}")


def graph(source: Source, widget: dict[str, Any]) -> dict[str, Any]:
    """The properties of a widget with metrics."""
    view = widget.get("view", "timeSeries")
    properties: dict[str, Any] = {
        "title": widget["title"],
        "region": "${AWS::Region}",
        "view": view,
        "period": widget.get("period_seconds", source.document["period_seconds"]),
    }
    axis = dict(widget.get("axis", {}))
    if view == "timeSeries":
        properties["stacked"] = widget.get("stacked", False)
    if widget.get("stacked"):
        # Stacked graphs show sums, and a sum needs the time that it is over.
        axis["label"] = f"in {properties['period'] // 60} minutes"
    if widget.get("whole_range"):
        properties["setPeriodToTimeRange"] = True
    if axis:
        properties["yAxis"] = {"left": axis}
    if "bands" in widget:
        properties["annotations"] = {"horizontal": widget["bands"]}
    properties["metrics"] = [metric for entry in widget["series"] for metric in series(source, entry)]
    return properties


def contents(source: Source, widget: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type and the properties of a widget."""
    if "text" in widget:
        return "text", {"markdown": widget["text"].strip()}
    if "logs" in widget:
        query = source.named(widget["logs"])
        return "log", {"title": widget["title"], "region": "${AWS::Region}", "view": "table", "query": query}
    if "alarms" in widget:
        return "alarm", {"title": widget["title"], "alarms": ["@alarms"]}
    if "series" in widget:
        return "metric", graph(source, widget)
    raise SourceError(f"a widget has no text, logs, alarms or series: {widget}")


def widgets(source: Source) -> Iterator[dict[str, Any]]:
    """The widgets, placed row by row on the grid of 24 columns."""
    y = 0
    for row in source.document["rows"]:
        x = 0
        of_the_row = {key: row[key] for key in ("period_seconds",) if key in row}
        for each in row["widgets"]:
            widget = of_the_row | each
            kind, properties = contents(source, widget)
            place = {"x": x, "y": y, "width": widget["width"], "height": row["height"]}
            yield {"type": kind, **place, "properties": properties}
            x += widget["width"]
        if x != 24:
            raise SourceError(f"the row of {row['widgets'][0].get('title')!r} has a width of {x}, not 24")
        y += row["height"]


def variable(entry: dict[str, str]) -> dict[str, Any]:
    """A drop-down. It replaces the text `pattern` everywhere in the dashboard by the chosen value."""
    return {
        "type": "pattern",
        "pattern": entry["value"],
        "inputType": "select",
        "id": entry["id"],
        "label": entry["label"],
        "defaultValue": "__FIRST",
        "visible": True,
        "search": CHOICES,
        "populateFrom": entry["dimension"],
    }


def alarm_groups(source: Source) -> dict[str | None, list[str]]:
    """The logical ids of all alarms, by the condition under which a stack has them."""
    groups: dict[str | None, list[str]] = {}
    for name, body in source.template["Resources"].items():
        if body["Type"] in ALARM_TYPES:
            groups.setdefault(body.get("Condition"), []).append(name)
    return groups


def alarm_arn(source: Source, name: str) -> str:
    """The ARN of an alarm, for Fn::Sub. An alarm with a condition has a name of its own, so nothing refers to it if the
    stack does not have it.
    """
    body = source.template["Resources"][name]
    if "Condition" not in body:
        return f"${{{name}.Arn}}"
    own = body["Properties"].get("AlarmName", {}).get("Fn::Sub")
    if not isinstance(own, str):
        raise SourceError(f"{name} has a condition, so it needs an AlarmName with !Sub")
    return f"arn:${{AWS::Partition}}:cloudwatch:${{AWS::Region}}:${{AWS::AccountId}}:alarm:{own}"


def alarms(source: Source) -> tuple[str, list[str]]:
    """The alarms as they stand in the body, and the lines of the variables for alarms that have a condition."""
    groups = alarm_groups(source)
    listed = ", ".join(json.dumps(alarm_arn(source, name)) for name in groups.pop(None, []))
    lines = []
    for condition, names in groups.items():
        added = "".join(", " + json.dumps(alarm_arn(source, name)) for name in names)
        listed += f"${{AlarmsIf{condition}}}"
        lines.append(f"AlarmsIf{condition}: !If [{condition}, !Sub '{added}', \"\"]")
    return listed, lines


def block(source: Source) -> str:
    """The lines of the template between the two comments."""
    listed, variables = alarms(source)
    lines = ["{", f'"start": {json.dumps(source.document["start"])},', '"periodOverride": "inherit",', '"variables": [']
    lines += joined([variable(entry) for entry in source.document["variables"]])
    lines += ["],", '"widgets": [']
    lines += joined(list(widgets(source)))
    lines += ["]", "}"]
    body = [f"          {line}".replace('"@alarms"', listed) for line in lines]
    return "\n".join(["      DashboardBody: !Sub", "        - |-", *body, *mapping(variables)])


def mapping(lines: list[str]) -> list[str]:
    """The variables of Fn::Sub as an element of its list, one per line."""
    if not lines:
        return ["        - {}"]
    return [f"        - {lines[0]}", *(f"          {line}" for line in lines[1:])]


def joined(values: list[dict[str, Any]]) -> list[str]:
    """The values as JSON, one per line, with commas between them."""
    written = [json.dumps(value, ensure_ascii=False) for value in values]
    return [f"{line}," for line in written[:-1]] + written[-1:]


def with_dashboard(text: str, source: Source) -> str:
    """The text of the template with the dashboard of the source."""
    before, begin, rest = text.partition(BEGIN + "\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SourceError("the template lacks the comments around the dashboard")
    return f"{before}{BEGIN}\n{block(source)}\n{END}{after}"


def main() -> None:
    """Writes the template. With `--check`, it only compares, and exits with 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the folder of template.yaml")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    path = arguments.root / "template.yaml"
    document = yaml.safe_load((arguments.root / "dashboards" / "overview.yaml").read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8")
    try:
        written = with_dashboard(text, Source(document, templates.load(path)))
    except SourceError as error:
        sys.exit(f"dashboards/overview.yaml: {error}")
    if not arguments.check:
        path.write_text(written, encoding="utf-8")
    elif text != written:
        sys.exit("the dashboard in template.yaml is not what its source says; run `cargo xtask dashboard`")


if __name__ == "__main__":
    main()
