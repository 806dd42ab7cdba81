"""Records the states, branches, nested executions, and function calls of an execution, with their times.

It also counts the evaluated expressions in each. The environment variable SENTRY_TRACE_FILE turns it on. It then
records the executions whose name begins with `traced-`. At its end, each execution is written as one line of JSON. A
span has `kind` (execution, branch, state, call), `name`, `begin` and `milliseconds` (`begin` counts from the start of
the execution), `expressions`, and `inside` (the spans that began within it). The branches of a Parallel state run at
the same time. Succeed and Fail states in a branch are not recorded, because the engine has no event for them.

If the engine's code has changed in these places, the start fails.
"""

from __future__ import annotations

import contextvars
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE_VARIABLE = "SENTRY_TRACE_FILE"
TRACED = "traced-"
# The engine's functions that are wrapped, with the parameters that are used here.
HANDLERS = ("_execute_pass", "_execute_task", "_execute_choice", "_execute_wait", "_execute_parallel", "_execute_map")
PARAMETERS = {
    "_run_execution": ["exec_arn"],
    "_run_sub_machine": ["states", "start_at"],
    "_add_event": ["execution", "event_type", "details"],
    **{handler: ["state_def", "raw_input"] for handler in HANDLERS},
}
# Events of states that the engine runs without a handler.
ENDS = ("SucceedStateEntered", "FailStateEntered")


class Span:
    """A part of an execution. Its times are those of the engine's monotonic clock, in seconds."""

    def __init__(self, kind: str, name: str, names: dict[int, str] | None = None) -> None:
        self.kind, self.name, self.names = kind, name, names or {}
        self.begun = self.ended = time.perf_counter()
        self.expressions = 0
        self.inside: list[Span] = []

    def told(self, start: float) -> dict[str, Any]:
        """The span in the format of the file. `start` is the start time of the execution."""
        return {
            "kind": self.kind,
            "name": self.name,
            "begin": (self.begun - start) * 1000,
            "milliseconds": (self.ended - self.begun) * 1000,
            "expressions": self.expressions,
            "inside": [each.told(start) for each in self.inside],
        }


# The current span of this thread. The engine's threads for branches and timed tasks inherit it. None if nothing is
# recorded.
CURRENT: contextvars.ContextVar[Span | None] = contextvars.ContextVar("span", default=None)


@contextmanager
def entered(span: Span) -> Iterator[None]:
    """Makes the span current for the block, and ends it with the block."""
    token = CURRENT.set(span)
    try:
        yield
    finally:
        span.ended = time.perf_counter()
        CURRENT.reset(token)


def within(kind: str, name: Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the function to record each call as a span, if there is a current span. `name` gets the arguments of the
    call.
    """

    def recorded(*arguments: Any, **named: Any) -> Any:
        outer = CURRENT.get()
        if outer is None:
            return function(*arguments, **named)
        span = Span(kind, name(*arguments))
        outer.inside.append(span)
        with entered(span):
            return function(*arguments, **named)

    return recorded


def state_name(state: dict[str, Any], *rest: Any) -> str:
    """The name of a state. A branch looks up its own states. It cannot use the engine's context, because branches share
    it and it has the name of the state that began last.
    """
    span = CURRENT.get()
    known = span.names.get(id(state)) if span else None
    return known or str(rest[-1]["State"]["Name"])


def machine_of(execution_arn: str) -> str:
    """The name of the state machine in the ARN of an execution."""
    return execution_arn.split(":")[-2]


def trace_executions(run: Callable[[str], None], file: Path) -> Callable[[str], None]:
    """Wraps the function to record executions with a traced name, and the executions that they start."""
    nested, lock = within("execution", machine_of, run), threading.Lock()

    def recorded(execution_arn: str) -> None:
        if CURRENT.get() is not None or not execution_arn.rpartition(":")[2].startswith(TRACED):
            nested(execution_arn)
            return
        span = Span("execution", machine_of(execution_arn))
        with entered(span):
            run(execution_arn)
        with lock, file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(span.told(span.begun)) + "\n")

    return recorded


def trace_branches(run: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the function to record a branch, together with the names of its states."""

    def recorded(states: dict[str, Any], start_at: str, *rest: Any) -> Any:
        outer = CURRENT.get()
        if outer is None:
            return run(states, start_at, *rest)
        span = Span("branch", start_at, {id(state): name for name, state in states.items()})
        outer.inside.append(span)
        with entered(span):
            return run(states, start_at, *rest)

    return recorded


def trace_ends(add: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the function to record the states that run without a handler."""

    def recorded(execution: Any, event_type: str, details: Any = None) -> Any:
        outer = CURRENT.get()
        if outer is not None and event_type in ENDS:
            outer.inside.append(Span("state", details["stateEnteredEventDetails"]["name"]))
        return add(execution, event_type, details)

    return recorded


def count_expressions(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps the function to count the expressions of a state."""

    def counted(*arguments: Any) -> Any:
        span = CURRENT.get()
        if span is not None:
            span.expressions += 1
        return evaluate(*arguments)

    return counted


def trace(stepfunctions: Any, lambda_runtime: Any, file: Path) -> None:
    """Turns on recording to `file`.

    # Raises
    RuntimeError, if the engine does not run states in these functions anymore.
    """
    for name, parameters in PARAMETERS.items():
        if list(inspect.signature(getattr(stepfunctions, name)).parameters)[: len(parameters)] != parameters:
            raise RuntimeError(f"{name} no longer takes {', '.join(parameters)}")
    for name in HANDLERS:
        setattr(stepfunctions, name, within("state", state_name, getattr(stepfunctions, name)))
    stepfunctions._run_execution = trace_executions(stepfunctions._run_execution, file)
    stepfunctions._run_sub_machine = trace_branches(stepfunctions._run_sub_machine)
    stepfunctions._add_event = trace_ends(stepfunctions._add_event)
    stepfunctions._evaluate_jsonata = count_expressions(stepfunctions._evaluate_jsonata)
    for worker in (lambda_runtime.Worker, lambda_runtime.ProvidedWorker):
        worker.invoke = within("call", lambda self, *_: str(self.func_name), worker.invoke)
