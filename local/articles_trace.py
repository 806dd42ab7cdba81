"""Summarizes the records of `engine_trace.py` about the executions of a design."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Span = dict[str, Any]


@dataclass
class Row:
    """One state in all recorded executions: its counts, and its milliseconds in each execution."""

    name: str
    calls: int = 0
    expressions: int = 0
    engine: list[float] = field(default_factory=list)
    functions: list[float] = field(default_factory=list)


def spans(span: Span, kind: str) -> Iterator[Span]:
    """All spans of one kind inside `span`, in the order in which they began. `span` itself is not included."""
    for each in span["inside"]:
        if each["kind"] == kind:
            yield each
        yield from spans(each, kind)


def in_turn(span: Span) -> int:
    """The number of function calls that run one after the other. Of parallel branches, only the longest counts."""
    if span["kind"] == "call":
        return 1
    branches = [in_turn(each) for each in span["inside"] if each["kind"] == "branch"]
    return max(branches, default=0) + sum(in_turn(each) for each in span["inside"] if each["kind"] != "branch")


def covered(inside: list[Span]) -> float:
    """The milliseconds during which at least one of the spans runs."""
    total, until = 0.0, float("-inf")
    for each in sorted(inside, key=lambda span: span["begin"]):
        end = each["begin"] + each["milliseconds"]
        total += max(0.0, end - max(until, each["begin"]))
        until = max(until, end)
    return total


def own(span: Span) -> float:
    """The milliseconds of a span during which nothing inside it runs. This is the engine's own work."""
    return float(span["milliseconds"]) - covered(span["inside"])


def way(execution: Span) -> dict[str, int]:
    """The counts of one execution, including the executions that it started."""
    states = list(spans(execution, "state"))
    return {
        "states entered": len(states),
        "calls of functions": len(list(spans(execution, "call"))),
        "calls one after the other": in_turn(execution),
        "executions": 1 + len(list(spans(execution, "execution"))),
        "expressions": sum(state["expressions"] for state in states),
    }


def by_state(executions: list[Span]) -> list[Row]:
    """One row for each state, in the order of the first execution."""
    rows: dict[str, Row] = {}
    for number, execution in enumerate(executions):
        engine: defaultdict[str, float] = defaultdict(float)
        functions: defaultdict[str, float] = defaultdict(float)
        for state in spans(execution, "state"):
            row = rows.setdefault(state["name"], Row(state["name"]))
            calls = [each for each in state["inside"] if each["kind"] == "call"]
            if number == 0:
                row.calls += len(calls)
                row.expressions += state["expressions"]
            engine[row.name] += own(state)
            functions[row.name] += covered(calls)
        for name in engine:
            rows[name].engine.append(engine[name])
            rows[name].functions.append(functions[name])
    return list(rows.values())


def print_states(title: str, executions: list[Span]) -> None:
    """Prints a table of a design's states. Milliseconds are medians."""
    print(f"\n## {title}, by state, {len(executions)} executions\n")
    print("| state | calls | expressions | engine, ms | functions, ms |\n|---|---:|---:|---:|---:|")
    for row in by_state(executions):
        engine, functions = statistics.median(row.engine), statistics.median(row.functions)
        print(f"| {row.name} | {row.calls} | {row.expressions} | {engine:.1f} | {functions:.1f} |")
    whole = statistics.median(execution["milliseconds"] for execution in executions)
    between = statistics.median(own(execution) for execution in executions)
    busy = statistics.median(covered(list(spans(execution, "call"))) for execution in executions)
    print(f"| between states | | | {between:.1f} | |\n| the whole | | | {whole - busy:.1f} | {busy:.1f} |")
