"""The changes to the engine of the local AWS (local/engine.py). Needs no endpoint."""

import inspect
import json
import os
import queue
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import jsonata
import pytest

import engine
from articles_trace import by_state, covered, in_turn, own, way
from engine import (
    IDLE_SECONDS,
    KEPT_EXECUTIONS,
    POINTS_VARIABLE,
    Events,
    IdleThreads,
    Output,
    change_runtime_api,
    find_metrics_by_key,
    forget_executions,
    keep_points,
    parse_once,
    record_points,
    replace_text,
    split_once,
)

# Each expression reads $n or $list. It uses a feature that can fail if threads share its syntax tree: variables, functions that
# are made at run time, partial application (which parses), sorting, regular expressions.
EXPRESSIONS = {
    "{'n': $n, 'twice': $n * 2}": lambda n: {"n": n, "twice": 2 * n},
    "($f := function($x) {$x + $n}; $map($list, $f))": lambda n: [n, n + 1, n + 2],
    "($add := function($a, $b) {$a + $b}; $by := $add(?, $n); $by(1))": lambda n: n + 1,
    "($cut := $substring(?, 0, 1); $cut($string($n)))": lambda n: str(n)[0],
    "$merge([{'a': 1}, {'n': $n}]).n": lambda n: n,
    "$sort($list, function($l, $r) {$l < $r})[0] + $n": lambda n: n + 2,
    "$replace($string($n), /[0-9]/, 'x')": lambda n: "x" * len(str(n)),
    "$reduce($list, function($all, $one) {$all + $one}) + $n": lambda n: n + 3,
    "$sum($list[$ > 0]) + $n": lambda n: n + 3,
    "$own() = $n": lambda n: True,
}


@pytest.fixture
def cached():
    """Applies the change to the class, and reverts it afterwards."""
    original = jsonata.Jsonata.__dict__["jsonata"]
    parse_once(jsonata.Jsonata)
    yield jsonata.Jsonata
    jsonata.Jsonata.jsonata = original


def evaluate(cached, expression, **variables):
    """Evaluates like the engine: it registers its own functions for each evaluation."""
    parsed = cached.jsonata(expression, timeout=1000)
    parsed.register_lambda("own", lambda: variables.get("n"))
    # Lets another thread run.
    time.sleep(0)
    return parsed.evaluate(None, variables)


def test_threads_that_evaluate_one_expression_at_once_each_get_their_own_result(cached):
    threads, rounds = 8, 40
    together = threading.Barrier(threads)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(thread):
        together.wait()
        wrong = []
        for turn in range(rounds):
            n = thread * 1000 + turn
            for expression, expected in EXPRESSIONS.items():
                got = evaluate(cached, expression, n=n, list=[0, 1, 2])
                if got != expected(n):
                    wrong.append((expression, n, got))
        return wrong

    try:
        with ThreadPoolExecutor(threads) as pool:
            assert [each for wrong in pool.map(work, range(threads)) for each in wrong] == []
    finally:
        sys.setswitchinterval(interval)


def test_an_expression_is_parsed_once(cached, monkeypatch):
    parsed = []
    parse = jsonata.parser.Parser.parse

    def recorded(self, text, *rest):
        parsed.append(text)
        return parse(self, text, *rest)

    monkeypatch.setattr(jsonata.parser.Parser, "parse", recorded)
    assert [evaluate(cached, "$n + 4711", n=n) for n in range(3)] == [4711, 4712, 4713]
    assert parsed == ["$n + 4711"]


def test_an_evaluation_sees_nothing_of_the_one_before(cached):
    assert evaluate(cached, "$exists($only)", only=1) is True
    assert evaluate(cached, "$exists($only)") is False
    first = cached.jsonata("$named()", timeout=1000)
    first.register_lambda("named", lambda: 1)
    assert first.evaluate(None, {}) == 1
    with pytest.raises(jsonata.JException):
        evaluate(cached, "$named()")


def test_every_evaluation_has_its_own_time(cached):
    first = evaluate(cached, "$millis()")
    time.sleep(0.005)
    assert evaluate(cached, "$millis()") > first


def test_every_evaluation_has_the_whole_time_limit(cached):
    for _ in range(3):
        assert cached.jsonata("1 + 1", timeout=50).evaluate(None, {}) == 2
        time.sleep(0.06)
    with pytest.raises(jsonata.JException):
        cached.jsonata("($f := function($n) {$f($n + 1)}; $f(0))", timeout=50).evaluate(None, {})


def test_a_text_that_is_no_expression_fails_every_time(cached):
    for _ in range(2):
        with pytest.raises(jsonata.JException):
            cached.jsonata("{'a': ", timeout=1000)


def test_a_map_of_one_item_at_a_time_runs_one_at_a_time():
    running, most = [], []

    def item(number):
        running.append(number)
        most.append(len(running))
        time.sleep(0.005)
        running.remove(number)

    with IdleThreads(max_workers=1) as pool:
        for future in [pool.submit(item, number) for number in range(5)]:
            future.result()
    assert max(most) == 1


def span(kind, name, begin, milliseconds, *inside, expressions=0):
    return {
        "kind": kind,
        "name": name,
        "begin": begin,
        "milliseconds": milliseconds,
        "expressions": expressions,
        "inside": list(inside),
    }


def recorded():
    """Returns a recorded execution: two parallel branches with three calls, then a nested execution with one call."""
    first = span(
        "branch",
        "A",
        1,
        7,
        span("state", "A", 1, 3, span("call", "a", 2, 1)),
        span("state", "B", 4, 4, span("call", "b", 5, 2)),
    )
    second = span("branch", "C", 1, 4, span("state", "C", 1, 4, span("call", "c", 2, 2)))
    nested = span("execution", "router", 11, 8, span("state", "Invoke", 12, 6, span("call", "d", 13, 4), expressions=1))
    gather = span("state", "Gather", 0, 8, first, second)
    return span("execution", "limiter", 0, 20, gather, span("state", "Route", 10, 10, nested, expressions=2))


def test_calls_in_branches_at_the_same_time_do_not_follow_each_other():
    assert in_turn(recorded()) == 3
    assert way(recorded()) == {
        "states entered": 6,
        "calls of functions": 4,
        "calls one after the other": 3,
        "executions": 2,
        "expressions": 3,
    }


def test_the_engine_is_charged_with_what_no_call_and_no_inner_state_covers():
    assert covered([span("call", "a", 0, 4), span("call", "b", 2, 4), span("call", "c", 10, 1)]) == 7
    assert own(recorded()) == 2
    rows = {row.name: row for row in by_state([recorded()])}
    assert {name: (row.calls, row.engine, row.functions) for name, row in rows.items()} == {
        "Gather": (0, [1.0], [0.0]),
        "A": (1, [2], [1]),
        "B": (1, [2], [2]),
        "C": (1, [2], [2]),
        "Route": (0, [2.0], [0.0]),
        "Invoke": (1, [2], [4]),
    }


class Module(SimpleNamespace):
    """Stands for a module of the engine."""

    __name__ = "module"


def test_only_the_newest_executions_are_kept():
    executions: dict[str, object] = {f"arn-{number}": {} for number in range(KEPT_EXECUTIONS + 2)}
    engine = Module(_executions=executions, _run_execution=lambda arn: None)
    forget_executions(engine)
    for number in range(KEPT_EXECUTIONS + 2):
        engine._run_execution(f"arn-{number}")
    assert len(executions) == KEPT_EXECUTIONS and "arn-1" not in executions and "arn-2" in executions


def test_a_metric_is_found_by_its_key_and_all_without_dimensions():
    from ministack.services import cloudwatch

    original = cloudwatch._get_metric_data
    try:
        find_metrics_by_key(cloudwatch)
        assert cloudwatch._get_metric_data is not original
        for place, dimension in enumerate(("a", "b")):
            cloudwatch._metrics["n", "m", (("d", dimension),)] = [place]
        found = [list(cloudwatch.metrics_of("n", "m", dimensions)) for dimensions in ((("d", "b"),), (("d", "c"),))]
        assert found == [[(("n", "m", (("d", "b"),)), [1])], []]
        assert len(cloudwatch.metrics_of("n", "m", None)) == 2
    finally:
        cloudwatch._get_metric_data = original
        cloudwatch._metrics.clear()


def test_expressions_of_dynamodb_are_split_once_and_each_caller_gets_its_own_tokens():
    from ministack.services import dynamodb

    originals = dynamodb._tokenize, dynamodb._condition_syntax_error
    expression, wrong = "#n0 = :v0 AND attribute_exists(#n1)", "#n0 = AND"
    expected = originals[0](expression), originals[1](expression, "ConditionExpression"), originals[1](wrong, "F")
    try:
        split_once(dynamodb)
        for _ in range(2):
            tokens = dynamodb._tokenize(expression)
            found = (
                tokens.copy(),
                dynamodb._condition_syntax_error(expression, "ConditionExpression"),
                dynamodb._condition_syntax_error(wrong, "F"),
            )
            assert found == expected and found[2] is not None
            tokens.clear()
        assert dynamodb._condition_syntax_error.cache_info().hits == 2
    finally:
        dynamodb._tokenize, dynamodb._condition_syntax_error = originals


def test_points_of_metrics_are_kept_for_455_days():
    cloudwatch = SimpleNamespace(TWO_WEEKS_SECONDS=14 * 86_400)
    keep_points(cloudwatch)
    assert cloudwatch.TWO_WEEKS_SECONDS == 455 * 86_400
    with pytest.raises(RuntimeError):
        keep_points(cloudwatch)


def test_every_stored_point_is_written_to_the_file(monkeypatch, tmp_path):
    stored = []

    def store(namespace, name, dims, ts, unit, value, values, counts, stat_values):
        stored.append((name, value, values))

    cloudwatch = SimpleNamespace(_store_datum=store)
    record_points(cloudwatch)
    assert cloudwatch._store_datum is store, "without a file, nothing changes"
    monkeypatch.setenv(POINTS_VARIABLE, str(tmp_path / "points.jsonl"))
    record_points(cloudwatch)
    cloudwatch._store_datum("Sentry", "Requests", {"Model": "m"}, 12.5, "Count", 3, None, None, None)
    cloudwatch._store_datum("Sentry", "Latency", {}, 13.5, "Milliseconds", None, [1.5, 2], [4, 1], None)
    assert stored == [("Requests", 3, None), ("Latency", None, [1.5, 2])]
    assert [json.loads(line) for line in (tmp_path / "points.jsonl").read_text().splitlines()] == [
        {"namespace": "Sentry", "name": "Requests", "dims": {"Model": "m"}, "ts": 12.5, "unit": "Count", "value": 3},
        {
            "namespace": "Sentry",
            "name": "Latency",
            "dims": {},
            "ts": 13.5,
            "unit": "Milliseconds",
            "values": [1.5, 2],
            "counts": [4, 1],
        },
    ]
    with pytest.raises(RuntimeError):
        record_points(SimpleNamespace(_store_datum=lambda namespace, name: None))


def test_a_text_that_is_no_longer_there_ends_the_start():
    with pytest.raises(RuntimeError, match="no longer has the one text"):
        replace_text(inspect.getmodule(parse_once), "parse_once", "this text", "another")


def test_an_invocation_takes_every_line_that_was_written_although_no_thread_reads():
    read, write = os.pipe()
    lines: queue.Queue[str] = queue.Queue(maxsize=3)
    output = Output(os.fdopen(read, "rb"), lines)
    os.write(write, b"one\r\ntwo\nthr")
    assert output.read()
    assert [lines.get_nowait(), lines.get_nowait(), lines.empty()] == ["one", "two", True]
    os.write(write, b"ee\n\xffour")
    assert output.read()
    assert lines.get_nowait() == "three"
    os.close(write)
    assert [output.read(), output.read()] == [False, False]
    assert [lines.get_nowait(), lines.empty()] == ["\ufffdour", True]


def test_a_full_queue_drops_the_oldest_lines():
    read, write = os.pipe()
    lines: queue.Queue[str] = queue.Queue(maxsize=3)
    os.write(write, b"1\n2\n3\n4\n5\n")
    os.close(write)
    assert not Output(os.fdopen(read, "rb"), lines).read()
    assert list(lines.queue) == ["3", "4", "5"]


def test_server_of_an_idle_environment_stops_at_once():
    class Worker:
        def __init__(self):
            self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)
            threading.Thread(target=self._server.serve_forever, args=(self._spawn(),), daemon=True).start()

        def _spawn(self):
            return 0.1

        def _build_handler_class(self, generation, pending):
            return SimpleNamespace(pending=pending)

        def _shutdown_server(self):
            self._server.shutdown()
            self._server.server_close()

    change_runtime_api(Worker)
    worker = Worker()
    assert worker._spawn() == IDLE_SECONDS
    handler = worker._build_handler_class(1, queue.Queue())
    assert handler.disable_nagle_algorithm and isinstance(handler.pending, Events)
    # The thread is in the middle of its wait.
    time.sleep(0.2)
    begun = time.monotonic()
    worker._shutdown_server()
    assert time.monotonic() - begun < IDLE_SECONDS / 2


def test_event_wakes_an_idle_environment_at_once():
    events: queue.Queue[str] = queue.Queue()
    begun = time.monotonic()
    threading.Timer(0.2, events.put, ["an event"]).start()
    assert Events(events).get(timeout=0.1) == "an event"
    assert 0.2 <= time.monotonic() - begun < IDLE_SECONDS / 2
    with pytest.raises(RuntimeError, match="no longer waits"):
        Events(events).get(timeout=1)


@pytest.fixture
def served():
    """The address of a small application behind the engine's server, which is stopped as the engine is: by SIGTERM."""
    application = textwrap.dedent("""
        import asyncio, sys
        from types import SimpleNamespace
        import engine

        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                print("ended", flush=True)
                await send({"type": "lifespan.shutdown.complete"})
                return
            body, more = b"", True
            while more:
                part = await receive()
                body, more = body + part.get("body", b""), part.get("more_body", False)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
            await send({"type": "http.response.body", "body": body})

        asyncio.run(engine.serve(app, SimpleNamespace(bind=["127.0.0.1:" + sys.argv[1]], keep_alive_timeout=75)))
    """)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(Path(engine.__file__).parent)}
    command = [sys.executable, "-B", "-c", application, str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    for _ in range(200):
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            break
        time.sleep(0.05)
    yield port
    with socket.create_connection(("127.0.0.1", port)):
        server.terminate()
        output, _ = server.communicate(timeout=10)
    assert output == "ended\n"


def exchange(port: int, sent: bytes) -> bytes:
    """Sends bytes on a connection of their own, and reads until the server closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65_536):
            received += part
    return received


def test_server_reads_http_as_clients_of_aws_write_it(served):
    large = b"x" * 1_500_000
    plain = exchange(
        served, b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(large) + large
    )
    assert plain.startswith(b"HTTP/1.1 200 OK\r\n") and plain.endswith(large)
    assert b"\r\nserver:" not in plain.lower() and b"\r\ndate:" not in plain.lower()
    # boto3 waits for this line before it sends the body of an upload.
    expecting = (
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab"
    )
    assert exchange(served, expecting).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    chunked = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert exchange(served, chunked).endswith(b"\r\n\r\nabc")
    assert exchange(served, b"no request\r\n\r\n").startswith(b"HTTP/1.1 400 ")
