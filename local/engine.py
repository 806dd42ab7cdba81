"""Starts the local AWS (MiniStack) in this process, with changes to its code.

AWS does not have these three waits. Without them, a request takes the time of the workflow and its functions:

- `stepfunctions._run_execution` sleeps 150 ms before the first state of every execution. The constant in the function's
  code is replaced. Upstream fault: the sleep also delays StartSyncExecution, which returns only at the end.
- `Worker._drain_stderr_bounded` waits up to 50 ms for a log line after each invocation of a function that wrote none.
  The default becomes 0. Upstream fault: the wait is part of the invocation's time.
- For `provided.*` functions, an invocation that ends reads the function's output itself. A function writes its lines
  before it answers, so all of them are there. Upstream fault: only a thread of its own reads them, and the invocation
  cannot know if this thread is late. A late line would appear in the log at the end of the next invocation.
- The Runtime API for `provided.*` functions writes the head and the body of an event in two packets. Nagle's algorithm
  holds back the second one until the function's side acknowledges the first one, which Linux delays by 40 ms. The
  sockets get TCP_NODELAY. Upstream fault: the HTTP server does not set it.

The engine does work that grows with the number of requests. After a few thousand requests it would answer in seconds:

- Every PutMetricData evaluates every alarm over all metrics. Alarms are not evaluated. The tests check the template's
  alarms as a file.
- Every call of CloudWatch looks through all points for points older than two weeks. Once a minute is enough.
- Each query of GetMetricData looks through all stored metrics for the one that it names, on the thread that serves all
  requests. The metric is found by its key. Upstream fault: `_get_metric_data` iterates over `_metrics.items()`.
- Every execution is kept forever, with the input and output of each state, although AWS keeps no history of an Express
  execution. Only the newest executions are kept. Upstream fault: `_start_sync_execution` never removes its record.
- Python's collector of reference cycles visits all objects while all threads wait. It runs less often.

The engine does work for every execution environment that it keeps, although most of them are idle. With five hundred of them,
this takes more than half of its time:

- For each environment, one thread looks ten times a second if its server must stop, and another one if an event has come.
  They look every few seconds. An event wakes its thread at once, and a stop wakes the server.
- For each invocation, a thread looks twenty times a second if the process has ended. It looks five times a second.

The engine is served by Hypercorn, which reads HTTP with h11, in Python. For a call of DynamoDB, this takes almost half of
the engine's time. uvicorn serves the same application, and reads HTTP with httptools, in C. Upstream fault: the engine's
`main` knows no other server.

The engine splits the expressions of every DynamoDB call into tokens several times, character by character, which takes a
third of the time of an UpdateItem. A function sends the same few texts with other values, so each text is split once.

The engine repeats work for every state:

- `_invoke_resource_with_timeout` starts a new thread for every task with a time limit. Idle threads are reused.
- `_evaluate_jsonata` parses the expression again for every evaluation, which takes twice as long as the evaluation. Each
  text is parsed once. Every evaluation still has its own variables, functions and time limit.
- The time limit of an expression is one second of real time. On a busy machine, a hundred executions at once exceed it.
  It becomes thirty times as long, which still ends an expression that would never end.

These changes do not affect the result of an execution.

The engine drops points of metrics after two weeks. CloudWatch keeps them for 455 days, and so does this engine.

The engine compares the `MaximumConcurrency` of a queue as text if it is the value of a stack parameter, and then reads no
queue any more. It becomes a number. Upstream fault: a parameter of the type Number stays text.

The engine returns the messages of a standard queue in the order of sending. `fair_queues.py` adds SQS's fair queues.

`bedrock_integration.py` adds two features of AWS: the service integration of Bedrock's Converse, and expressions as the
`TimeoutSeconds` of a task. `engine_trace.py` records executions if SENTRY_TRACE_FILE is set. If SENTRY_POINTS_FILE is set,
every stored point of a metric is written to this file, one line of JSON each.

If the code of the engine is no longer as described, the start fails.
"""

from __future__ import annotations

import copy
import gc
import inspect
import json
import os
import queue
import select
import socket
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from types import FunctionType
from typing import Any

import uvicorn

from bedrock_integration import add_converse, evaluate_timeouts
from engine_trace import FILE_VARIABLE, trace
from fair_queues import FairOrder

START_SLEEP_SECONDS = 0.15
EVICTION_SECONDS = 60
# How long the threads of an idle execution environment wait: the engine's own and the changed time.
ENGINE_IDLE_SECONDS = 0.1
IDLE_SECONDS = 5.0
# How often a running invocation looks for its process.
PROCESS_SECONDS = 0.2
# More tasks than ever wait at once: the engine itself runs about 570 functions.
MOST_THREADS = 2_000
# More than run at once, so that a test still finds the history of the execution that it has just seen end.
KEPT_EXECUTIONS = 1_000
KEPT_EXPRESSIONS = 1_000
# Objects made before a collection of each generation; Python's own are 700, 10 and 10.
COLLECTED_AFTER = (50_000, 50, 100)
# Most bytes that are read from a pipe at once.
PIPE_BYTES = 65_536
LOG_WAIT_DEFAULTS = (0.050, 0.005, 0.250)
# How long points of metrics are kept: by the engine, and by CloudWatch. Source: Amazon CloudWatch User Guide, "Metrics
# retention", read in November 2026.
ENGINE_RETENTION_SECONDS = 14 * 24 * 3600
RETENTION_SECONDS = 455 * 24 * 3600
POINTS_VARIABLE = "SENTRY_POINTS_FILE"
# How long open connections may finish their requests after SIGTERM.
STOP_SECONDS = 1


def replace_seconds(function: FunctionType, old: float, new: float) -> None:
    """Replaces the constant `old` of `function`, which must be there once, with `new`."""
    constants = function.__code__.co_consts
    if constants.count(old) != 1:
        raise RuntimeError(f"{function.__qualname__} no longer has the one time of {old} s")
    replaced = tuple(new if value == old else value for value in constants)
    function.__code__ = function.__code__.replace(co_consts=replaced)


def remove_log_wait(function: FunctionType) -> None:
    """Sets the default of `first_line_wait` to 0 and leaves the other two as they are."""
    if function.__defaults__ != LOG_WAIT_DEFAULTS:
        raise RuntimeError(f"{function.__qualname__} no longer has the defaults {LOG_WAIT_DEFAULTS}")
    function.__defaults__ = (0.0, *LOG_WAIT_DEFAULTS[1:])


class Output:
    """The output of an execution environment: a pipe, and a queue of the lines that were read from it."""

    def __init__(self, stream: BufferedReader, lines: queue.Queue[str]) -> None:
        self._stream, self._lines, self._begun = stream, lines, b""
        self._reading = threading.Lock()
        os.set_blocking(stream.fileno(), False)
        self._poll = select.poll()
        self._poll.register(stream, select.POLLIN)

    def wait(self) -> None:
        """Returns when there is something to read, or at the end of the output."""
        self._poll.poll()

    def read(self) -> bool:
        """Moves all lines that were written until now into the queue. Returns `False` at the end of the output."""
        with self._reading:
            if self._stream.closed:
                return False
            with suppress(BlockingIOError):
                while part := os.read(self._stream.fileno(), PIPE_BYTES):
                    *lines, self._begun = (self._begun + part).split(b"\n")
                    self._put(lines)
                self._put([self._begun] if self._begun else [])
                self._stream.close()
                return False
        return True

    def _put(self, lines: list[bytes]) -> None:
        for line in lines:
            # If the queue is full, the oldest line is dropped, because a full pipe would stop the function.
            if self._lines.full():
                with suppress(queue.Empty):
                    self._lines.get_nowait()
            self._lines.put_nowait(line.decode(errors="replace").rstrip("\r"))


def read_output(worker: Any) -> None:
    """Lets an invocation of `worker` take all lines that the function has written."""
    taken = worker._drain_stderr

    def pump(self: Any, stream: BufferedReader, lines: queue.Queue[str]) -> None:
        output = Output(stream, lines)
        self._output = (lines, output)
        while output.read():
            output.wait()

    def take(self: Any, **_: Any) -> str:
        lines, output = getattr(self, "_output", (None, None))
        # The output of an earlier process of the environment may still be open.
        if output is not None and lines is self._stderr_queue:
            output.read()
        text: str = taken(self)
        return text

    if "_pump_output" not in vars(worker):
        raise RuntimeError("the engine no longer reads the output of an environment in _pump_output")
    worker._pump_output, worker._drain_stderr, worker._drain_stderr_bounded = pump, take, take


class Events:
    """The events of an execution environment. Waits longer than the engine does if there is none."""

    def __init__(self, events: queue.Queue[Any]) -> None:
        self._events = events

    def get(self, timeout: float) -> Any:
        """The next event. Raises `queue.Empty` after a while, as a queue does."""
        if timeout != ENGINE_IDLE_SECONDS:
            raise RuntimeError(f"the engine no longer waits {ENGINE_IDLE_SECONDS} s for an event")
        return self._events.get(timeout=IDLE_SECONDS)


def change_runtime_api(worker: Any) -> None:
    """Sets TCP_NODELAY on the connections of the Runtime API that `worker` serves, and lets its idle threads wait longer."""
    build, stop = worker._build_handler_class, worker._shutdown_server

    def build_changed(self: Any, generation: int, pending: queue.Queue[Any]) -> Any:
        handler = build(self, generation, Events(pending))
        handler.disable_nagle_algorithm = True
        return handler

    def stop_at_once(self: Any) -> None:
        if self._server is not None:
            # The attribute that the server reads. A connection wakes it.
            self._server._BaseServer__shutdown_request = True
            with suppress(OSError):
                socket.create_connection(self._server.server_address).close()
        stop(self)

    replace_seconds(worker._spawn, ENGINE_IDLE_SECONDS, IDLE_SECONDS)
    worker._build_handler_class, worker._shutdown_server = build_changed, stop_at_once


def remove_growing_work(cloudwatch: Any) -> None:
    """Leaves alarms alone, and looks for old points once a minute."""
    evict = cloudwatch._evict_old_metrics
    if not callable(cloudwatch._evaluate_all_alarms):
        raise RuntimeError("the engine no longer evaluates its alarms in one function")
    last = 0.0

    def evict_sometimes() -> None:
        nonlocal last
        if time.monotonic() - last > EVICTION_SECONDS:
            last = time.monotonic()
            evict()

    cloudwatch._evaluate_all_alarms = lambda: None
    cloudwatch._evict_old_metrics = evict_sometimes


def keep_points(cloudwatch: Any) -> None:
    """Keeps points of metrics as long as CloudWatch does."""
    if cloudwatch.TWO_WEEKS_SECONDS != ENGINE_RETENTION_SECONDS:
        raise RuntimeError("the engine no longer keeps points of metrics for two weeks")
    cloudwatch.TWO_WEEKS_SECONDS = RETENTION_SECONDS


def record_points(cloudwatch: Any) -> None:
    """Writes every stored point to a file, if the environment says where to."""
    path = os.environ.get(POINTS_VARIABLE)
    if not path:
        return
    store, file = cloudwatch._store_datum, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    names = ["namespace", "name", "dims", "ts", "unit", "value", "values", "counts", "stat_values"]
    if list(inspect.signature(store).parameters) != names:
        raise RuntimeError("the engine no longer stores a point with these parameters")

    def stored(*point: Any) -> None:
        store(*point)
        told = {name: each for name, each in zip(names, point, strict=True) if each is not None}
        os.write(file, (json.dumps(told, default=float) + "\n").encode())

    cloudwatch._store_datum = stored


def replace_text(module: Any, name: str, old: str, new: str) -> None:
    """Compiles the function `name` of the module again with `new` in the place of `old`, which must be there once."""
    source = inspect.getsource(getattr(module, name))
    if source.count(old) != 1:
        raise RuntimeError(f"{module.__name__}.{name} no longer has the one text {old!r}")
    exec(compile(source.replace(old, new), f"<{name}, changed>", "exec"), vars(module))


def find_metrics_by_key(cloudwatch: Any) -> None:
    """Lets GetMetricData look up the metric that a query names. A query without dimensions still looks through all of them."""

    def metrics_of(namespace: str, name: str, dimensions: Any) -> Any:
        metrics = cloudwatch._metrics
        if dimensions is None:
            return metrics.items()
        key = (namespace, name, dimensions)
        points = metrics.get(key)
        return [] if points is None else [(key, points)]

    cloudwatch.metrics_of = metrics_of
    replace_text(cloudwatch, "_get_metric_data", "in _metrics.items():", "in metrics_of(ns, mn, req_dims_key):")


def forget_executions(stepfunctions: Any) -> None:
    """Keeps the newest executions of StartSyncExecution."""
    run = stepfunctions._run_execution
    newest: deque[str] = deque()

    def run_and_forget(exec_arn: str) -> None:
        run(exec_arn)
        newest.append(exec_arn)
        while len(newest) > KEPT_EXECUTIONS:
            stepfunctions._executions.pop(newest.popleft(), None)

    stepfunctions._run_execution = run_and_forget


# So many times longer may an expression take on the clock.
CLOCK_FACTOR = 30


class OwnParser:
    """The parser of the thread that asks. A partial application parses while it is evaluated, and a parser has the state of one parse."""

    dbg = False

    def __init__(self, jsonata: Any) -> None:
        self._jsonata = jsonata

    def parse(self, text: str) -> Any:
        """The syntax tree."""
        return self._jsonata.get_parser().parse(text)


def parse_once(jsonata: Any) -> None:
    """Keeps the syntax tree of each expression that the class `jsonata` has parsed; evaluation only reads it."""
    parse, own_parser = jsonata.jsonata, OwnParser(jsonata)
    trees: dict[str, Any] = {}
    if not all(hasattr(jsonata, name) for name in ("create_frame", "static_frame", "get_parser", "CURRENT")):
        raise RuntimeError("the package jsonata no longer keeps an expression's variables in a frame")

    def parsed(expression: str, **bounds: Any) -> Any:
        known = trees.get(expression)
        if known is None:
            known = trees[expression] = parse(expression, **bounds)
        fresh = copy.copy(known)
        fresh.parser = own_parser
        fresh.environment = fresh.create_frame(jsonata.static_frame)
        limit = bounds.get("timeout")
        fresh.environment.set_runtime_bounds(limit and limit * CLOCK_FACTOR, bounds.get("stack"))
        jsonata.CURRENT.jsonata = fresh
        return fresh

    jsonata.jsonata = staticmethod(parsed)


def split_once(dynamodb: Any) -> None:
    """Keeps the tokens of each expression of DynamoDB, and the result of the check of its syntax."""
    split = lru_cache(KEPT_EXPRESSIONS)(lambda expression, split=dynamodb._tokenize: tuple(split(expression)))
    dynamodb._tokenize = lambda expression: list(split(expression))
    dynamodb._condition_syntax_error = lru_cache(KEPT_EXPRESSIONS)(dynamodb._condition_syntax_error)


class IdleThreads:
    """Takes the place of an executor that is made for one task: the task gets a thread that is idle, or a new one."""

    _pool = ThreadPoolExecutor(max_workers=MOST_THREADS, thread_name_prefix="task")

    def __new__(cls, max_workers: int) -> Any:
        """An executor of its own for everything that is not one task."""
        return super().__new__(cls) if max_workers == 1 else ThreadPoolExecutor(max_workers)

    def submit(self, *call: Any) -> Future[Any]:
        """Runs the task."""
        return self._pool.submit(*call)

    def shutdown(self, wait: bool) -> None:
        """Leaves the thread to the next task."""

    def __enter__(self) -> ThreadPoolExecutor:
        """A Map state of one item at a time: its executor must not run two."""
        self._own = ThreadPoolExecutor(1)
        return self._own

    def __exit__(self, *_: Any) -> None:
        self._own.shutdown()


async def serve(app: Any, config: Any) -> None:
    """Serves `app` on the first address of Hypercorn's `config`, until SIGTERM or SIGINT."""
    host, _, port = config.bind[0].rpartition(":")
    settings = uvicorn.Config(
        app,
        host=host,
        port=int(port),
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        # The application writes both headers itself, if AWS's service has them.
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(config.keep_alive_timeout),
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    await uvicorn.Server(settings).serve()


def replace_server() -> None:
    """Lets uvicorn serve the engine's application, with HTTP alone."""
    from hypercorn import asyncio as hypercorn

    if list(inspect.signature(hypercorn.serve).parameters)[:2] != ["app", "config"]:
        raise RuntimeError("the engine's server no longer takes an application and its settings")
    hypercorn.serve = serve


def remove_waits() -> None:
    """Takes out the waits that the module's first lines describe."""
    from ministack.core import lambda_runtime
    from ministack.services import cloudwatch, dynamodb, stepfunctions

    split_once(dynamodb)
    remove_growing_work(cloudwatch)
    find_metrics_by_key(cloudwatch)
    keep_points(cloudwatch)
    record_points(cloudwatch)
    parse_once(stepfunctions.jsonata.Jsonata)
    if not isinstance(stepfunctions.ThreadPoolExecutor, type):
        raise RuntimeError("the engine no longer runs tasks in a ThreadPoolExecutor")
    stepfunctions.ThreadPoolExecutor = IdleThreads
    replace_seconds(stepfunctions._run_execution, START_SLEEP_SECONDS, 0.0)
    forget_executions(stepfunctions)
    gc.set_threshold(*COLLECTED_AFTER)
    remove_log_wait(lambda_runtime.Worker._drain_stderr_bounded)
    read_output(lambda_runtime.ProvidedWorker)
    change_runtime_api(lambda_runtime.ProvidedWorker)
    if not isinstance(lambda_runtime._PROVIDED_POLL, float):
        raise RuntimeError("the engine no longer looks for a process at an interval")
    lambda_runtime._PROVIDED_POLL = PROCESS_SECONDS


def add_missing() -> None:
    """Adds what the module's first lines describe."""
    from ministack.services import lambda_svc, sqs, stepfunctions

    sqs.in_fair_order = FairOrder()
    visible = 'visible = [m for m in q["messages"] if m["visible_at"] <= now]\n'
    replace_text(sqs, "_collect_msgs", visible, visible + "    visible = in_fair_order(q, visible, now)\n")
    add_converse(stepfunctions)
    evaluate_timeouts(stepfunctions)
    replace_text(lambda_svc, "_sqs_esm_concurrency", "return min(limit", "limit = int(limit)\n    return min(limit")


def record_executions() -> None:
    """Records executions, if the environment says where to."""
    from ministack.core import lambda_runtime
    from ministack.services import stepfunctions

    file = os.environ.get(FILE_VARIABLE)
    if file:
        trace(stepfunctions, lambda_runtime, Path(file))


def main() -> None:
    """Runs the engine until it is told to stop."""
    remove_waits()
    replace_server()
    add_missing()
    record_executions()
    from ministack.app import main as serve

    sys.argv = ["ministack"]
    serve()


if __name__ == "__main__":
    main()
