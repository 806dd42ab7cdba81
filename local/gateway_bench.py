"""Measures the gateway: its overhead beside the workflow's, the time to the first byte, and many open streams.

Requests go to the simulator directly, through the gateway and through the workflow in turns, on plain HTTP and with the
same small client. The model takes no time. The overhead of a way is its time without the median of the direct requests.
So it contains the sentry and the local AWS, which is one Python process. `share of the local AWS` says how much that is: the
calls of one request, each with the time of such a call from this client.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

import gateway
import sam_template as templates
import stub_aws
from articles_bench import processor_ms
from bench import environment_of, percentile
from counting_proxy import CountingProxy
from deploy import client, outputs, say
from gateway_clients import SIGNATURE, Door, RequestFailed, Streams
from gateway_keys import KINDS, bad_keys, status_and_time

MODEL = "amazon.nova-lite-v1:0"
CLIENTS, ROUNDS, WARM_UP = 16, 5, 30
SETTLING_SECONDS = 2.0
# The targets: of the workflow's overhead, and in milliseconds.
SHARE, MEDIAN_MS, P95_MS, FIRST_BYTE_MS = 1 / 3, 12.0, 29.0, 50.0
STREAM_MODEL_MS = 200
# Many streams: how many a second are opened, and how long each lasts. All are open before the first ends.
OPENED_A_SECOND, EVENT_SECONDS, EVENTS_AFTER_FIRST = 20.0, 20, 5
COUNTED = 20
Times = dict[str, list[float]]


class Bench:
    """The deployed stack, and the three ways to a model."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.outputs = outputs(client("cloudformation", options.endpoint), options.stack_name)
        self.dynamodb = client("dynamodb", options.endpoint)
        plenty = {unit: {"N": "1000000000"} for unit in ("input", "output")}
        limit = {"modelId": {"S": "default"}, "limit": {"M": plenty}}
        self.dynamodb.put_item(TableName=self.outputs["LimitsTableName"], Item=limit)
        self.key = self.add_key()

    def add_key(self, **attributes: Any) -> str:
        """Stores a new key with these attributes, and returns its text."""
        key = f"csk_{secrets.token_hex(32)}"
        item = {
            "keyHash": {"S": hashlib.sha256(key.encode()).hexdigest()},
            "applicationId": {"S": "bench"},
            "enabled": {"BOOL": True},
            **attributes,
        }
        self.dynamodb.put_item(TableName=self.outputs["KeysTableName"], Item=item)
        return key

    def through_gateway(self, url: str, body: Any, operation: str = "converse") -> Door:
        """The way through a gateway at `url`."""
        return Door("gateway", url, f"/model/{MODEL}/{operation}", {"Authorization": f"Bearer {self.key}"}, body)

    def direct(self, body: Any, operation: str = "converse") -> Door:
        """The way to the simulator."""
        headers = {"Authorization": SIGNATURE.format("bedrock")}
        return Door("direct", self.options.bedrock_endpoint, f"/model/{MODEL}/{operation}", headers, body)

    def through_workflow(self) -> Door:
        """The way through the workflow."""
        document = {
            "model": MODEL,
            "prompt": {"messages": [{"role": "user", "content": words()}], "parameters": {"max_tokens": 200}},
            "tags": {"applicationId": "bench"},
        }
        body = {"stateMachineArn": self.outputs["RateLimiterArn"], "input": json.dumps(document)}
        return Door("workflow", self.options.endpoint, "/", aws("states", "AWSStepFunctions.StartSyncExecution"), body)

    def doors(self) -> list[Door]:
        """The three ways."""
        return [
            self.direct(converse()),
            self.through_gateway(self.options.gateway, converse()),
            self.through_workflow(),
        ]


def aws(service: str, target: str) -> dict[str, str]:
    """The headers of a call of an AWS service with the JSON protocol."""
    return {
        "Authorization": SIGNATURE.format(service),
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.0",
    }


def words(**directives: int) -> str:
    """A prompt, with directives for the simulator."""
    told = " ".join(f"{name.replace('_', '-')}={value}" for name, value in directives.items())
    return "Explain the benefits of using S3 using only 100 words." + (f" [[sim {told}]]" if told else "")


def converse(**directives: int) -> Any:
    """A request to Converse."""
    messages = [{"role": "user", "content": [{"text": words(**directives)}]}]
    return {"messages": messages, "inferenceConfig": {"maxTokens": 200}}


def one_by_one(doors: list[Door], requests: int) -> Times:
    """Sends requests from one client, in rounds by each way. Returns milliseconds by way.

    The local AWS still works on the end of a request when its answer has come. In a round, this delays requests of the same way.
    """
    took: Times = {door.name: [] for door in doors}
    for number in range(ROUNDS + 1):
        for door in doors:
            times = [door.ask() for _ in range(requests // ROUNDS)]
            # The first round is not counted, because it starts the execution environments of the functions.
            if number > 0:
                took[door.name] += times
    return took


def at_once(doors: list[Door], options: argparse.Namespace) -> tuple[Times, dict[str, Load]]:
    """Sends requests from sixteen clients by each way in turn. Returns milliseconds by way, and the load of each way."""
    took: Times = {door.name: [] for door in doors}
    loads = {door.name: Load() for door in doors}
    each_round = max(CLIENTS, options.requests // ROUNDS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for number in range(ROUNDS + 1):
            for door in doors:
                before = processor_times(options)
                begun = time.perf_counter()
                times = list(pool.map(lambda _, door=door: door.ask(), range(each_round)))
                seconds = time.perf_counter() - begun
                # The queue's function runs later. Its work belongs to these requests.
                time.sleep(SETTLING_SECONDS)
                # The first round is not counted, because it starts the execution environments of the functions.
                if number > 0:
                    loads[door.name].add(each_round, seconds, before, processor_times(options))
                    took[door.name] += times
    return took, loads


@dataclass
class Load:
    """The requests of a way, the seconds that they took, and the milliseconds of processor time in each process."""

    requests: int = 0
    seconds: float = 0.0
    processor_ms: Counter[str] = field(default_factory=Counter)

    def add(self, requests: int, seconds: float, before: dict[str, float], after: dict[str, float]) -> None:
        """Adds a round."""
        self.requests += requests
        self.seconds += seconds
        for name, later in after.items():
            self.processor_ms[name] += later - before[name]  # type: ignore[assignment]


def processor_times(options: argparse.Namespace) -> dict[str, float]:
    """The processor time of the engine, its functions, and the gateway so far, in milliseconds."""
    engine, functions = processor_ms(options.engine_pid)
    gateway_ms, _ = processor_ms(options.gateway_pid)
    return {"engine": engine, "functions": functions, "gateway": gateway_ms}


def overheads(times: Times) -> dict[str, tuple[float, float]]:
    """The overhead of each way, in milliseconds: median and 95th percentile."""
    direct = statistics.median(times["direct"])
    return {
        name: (statistics.median(each) - direct, percentile(each, 0.95) - direct)
        for name, each in times.items()
        if name != "direct"
    }


def overhead_rows(title: str, times: Times) -> None:
    """The table of the three ways."""
    print(f"\n### {title}\n\n| way | median | 95th percentile | overhead, median | overhead, 95th |")
    print("|---|---:|---:|---:|---:|")
    over = overheads(times)
    for name, each in times.items():
        figures = [statistics.median(each), percentile(each, 0.95), *over.get(name, ())]
        print(f"| {name} | {' | '.join(f'{value:.1f} ms' for value in figures)} |")
    ratios = [mine / theirs for mine, theirs in zip(over["gateway"], over["workflow"], strict=True)]
    print(
        f"\nThe gateway's overhead / the workflow's: {ratios[0]:.2f} (median), {ratios[1]:.2f} (95th); target {SHARE:.2f}"
    )


def load_rows(loads: dict[str, Load]) -> None:
    """The table of throughput and processor time."""
    print("\n| way | requests a second | engine, processor ms | functions | gateway |\n|---|---:|---:|---:|---:|")
    for name, load in loads.items():
        each = [load.processor_ms[process] / load.requests for process in ("engine", "functions", "gateway")]
        print(f"| {name} | {load.requests / load.seconds:.1f} | {' | '.join(f'{value:.1f}' for value in each)} |")


def measure_overhead(bench: Bench) -> None:
    """One client and sixteen."""
    requests = bench.options.requests
    doors = bench.doors()
    times = one_by_one(doors, requests)
    overhead_rows(f"One client, {requests} requests in {ROUNDS} rounds", times)
    median, high = overheads(times)["gateway"]
    print(f"Targets of the gateway: {MEDIAN_MS:.0f} and {P95_MS:.0f} ms. Measured: {median:.1f} and {high:.1f} ms")
    times, loads = at_once(doors, bench.options)
    overhead_rows(f"{CLIENTS} clients, {requests} requests in {ROUNDS} rounds", times)
    load_rows(loads)


def measure_own(bench: Bench) -> None:
    """The gateway's own time: AWS is a stub that answers at once, as in the measurement of the functions."""
    stub = stub_aws.start()
    template = templates.load(bench.options.template)
    body = template["Resources"][gateway.FUNCTION]
    with started(bench, environment_of(body, template, stub)) as (url, pid):
        door = bench.through_gateway(url, converse())
        for _ in range(WARM_UP):
            door.ask()
        before, _ = processor_ms(pid)
        times = [door.ask() for _ in range(bench.options.requests)]
        used = (processor_ms(pid)[0] - before) / len(times)
    alone = door_times(Door("stub", stub, f"/model/{MODEL}/converse", {}, converse()))
    print(
        "\n### The gateway alone, with a stub of AWS that answers at once\n\n| figure | median | 95th percentile |\n|---|---:|---:|"
    )
    for name, each in [("a request through the gateway", times), ("a call of the stub", alone)]:
        print(f"| {name} | {statistics.median(each):.2f} ms | {percentile(each, 0.95):.2f} ms |")
    print(f"\nProcessor time of the gateway: {used:.2f} ms a request")


@contextmanager
def started(bench: Bench, environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Runs another gateway with these variables. Yields its URL and its process id."""
    port = free_port()
    program = str(bench.options.binaries / "fn-gateway")
    listen = {"SENTRY_GATEWAY_LISTEN": f"127.0.0.1:{port}"}
    with subprocess.Popen([program], env={**os.environ, **environment, **listen}, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()


def measure_calls(bench: Bench) -> None:
    """The calls of one request to AWS, and the time of each kind of call at the local AWS."""
    proxy = CountingProxy("gateway", bench.options.endpoint)
    settings = gateway.settings(bench.options.stack_name, bench.options.endpoint)
    with started(bench, {**settings, "AWS_ENDPOINT_URL": proxy.url}) as (url, _):
        door = bench.through_gateway(url, converse())
        for _ in range(WARM_UP):
            door.ask()
        proxy.calls.clear()
        for _ in range(COUNTED):
            door.ask()
        counts = Counter(call.operation for call in proxy.calls)
    proxy.stop()
    alone = {name: door_times(door) for name, door in engine_doors(bench).items()}
    print(
        "\n### The share of the local AWS\n\n| call | in a request | alone, median | 95th percentile |\n|---|---:|---:|---:|"
    )
    total = 0.0
    for operation, count in sorted(counts.items()):
        times = alone.get(operation)
        told = f"{statistics.median(times):.2f} ms | {percentile(times, 0.95):.2f} ms" if times else "not measured | "
        total += count / COUNTED * statistics.median(times) if times else 0
        print(f"| {operation} | {count / COUNTED:.2f} | {told} |")
    print(f"\nTogether {total:.1f} ms a request at the local AWS, if no two calls were made at once")


def engine_doors(bench: Bench) -> dict[str, Door]:
    """Calls of the local AWS like those of the gateway, by operation."""
    table = f"gateway-bench-{secrets.token_hex(4)}"
    key = {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    bench.dynamodb.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **key)
    queue = client("sqs", bench.options.endpoint).create_queue(QueueName=table)["QueueUrl"]
    item = {"id": {"S": "a"}, "settled": {"N": "1"}}
    bench.dynamodb.put_item(TableName=table, Item=item)
    change = {
        "TableName": table,
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "ADD settled :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    bodies: dict[str, Any] = {
        "GetItem": {"TableName": table, "Key": {"id": {"S": "a"}}, "ConsistentRead": True},
        "BatchGetItem": {"RequestItems": {table: {"Keys": [{"id": {"S": name}} for name in "abcd"]}}},
        "PutItem": {"TableName": table, "Item": item},
        "UpdateItem": change,
        "TransactWriteItems": {
            "TransactItems": [{"Update": change}, {"Put": {"TableName": table, "Item": {"id": {"S": "b"}}}}]
        },
        "SendMessage": {"QueueUrl": queue, "MessageBody": "x" * 2000},
    }
    targets = {"SendMessage": ("sqs", "AmazonSQS")}
    return {
        name: Door(name, bench.options.endpoint, "/", aws(service, f"{prefix}.{name}"), body)
        for name, body in bodies.items()
        for service, prefix in [targets.get(name, ("dynamodb", "DynamoDB_20120810"))]
    }


def door_times(door: Door) -> list[float]:
    """The milliseconds of a hundred calls."""
    return [door.ask() for _ in range(100)]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    """Waits until a program that has just started listens on `port`."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def measure_first_byte(bench: Bench) -> None:
    """The time to the first byte of a stream, beside that of the same stream from the simulator."""
    body = converse(latency_ms=STREAM_MODEL_MS, output_tokens=8)
    doors = [
        bench.direct(body, "converse-stream"),
        bench.through_gateway(bench.options.gateway, body, "converse-stream"),
    ]
    times: Times = {door.name: [] for door in doors}
    for number in range(WARM_UP + bench.options.requests):
        for door in doors:
            took = door.first_byte()
            if number >= WARM_UP:
                times[door.name].append(took)
    later = [mine - theirs for mine, theirs in zip(times["gateway"], times["direct"], strict=True)]
    print(
        f"\n### First byte of a stream, {len(later)} pairs, a model of {STREAM_MODEL_MS} ms\n\n| | median | 95th percentile |\n|---|---:|---:|"
    )
    for name, each in [
        ("from the simulator", times["direct"]),
        ("through the gateway", times["gateway"]),
        ("later", later),
    ]:
        print(f"| {name} | {statistics.median(each):.1f} ms | {percentile(each, 0.95):.1f} ms |")
    print(f"\nLater includes the decision before the call (target: at most {FIRST_BYTE_MS:.0f} ms)")


def resident_kb(pid: int) -> int:
    """The resident memory of a process, in kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def measure_many(bench: Bench) -> None:
    """Many open streams in one process: its memory, and the time to the first byte."""
    count, pid = bench.options.streams, bench.options.gateway_pid
    # The first event comes at once. Each of the others comes after a pause.
    body = converse(output_tokens=2, chunk_words=1, chunk_delay_ms=EVENT_SECONDS * 1000)
    streams = Streams(bench.through_gateway(bench.options.gateway, body, "converse-stream"), count, OPENED_A_SECOND)
    before, seen = resident_kb(pid), []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append((streams.open, resident_kb(pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        asyncio.run(streams.run())
    finally:
        over.set()
        watcher.join()
    most = max(number for number, _ in seen)
    peak = max(memory for _, memory in seen)
    first = [stream.first_ms for stream in streams.streams if stream.first_ms is not None]
    print(f"\n### {count} streams in one process, {OPENED_A_SECOND:.0f} opened a second\n\n| figure | |\n|---|---:|")
    print(
        f"| open at the same time, most | {most} |\n| ended with their last event | {sum(s.ended is not None for s in streams.streams)} |"
    )
    print(f"| memory before | {before / 1000:.1f} MB |\n| memory, most | {peak / 1000:.1f} MB |")
    print(f"| memory a stream | {(peak - before) / max(most, 1):.1f} kB |")
    for name, part in [("first", first[: count // 10]), ("all", first), ("last", first[-count // 10 :])]:
        print(
            f"| first byte, {name} {len(part)}: median, 95th | {statistics.median(part):.1f}, {percentile(part, 0.95):.1f} ms |"
        )
    print(f"| memory after they ended | {resident_kb(pid) / 1000:.1f} MB |")


def measure_keys(bench: Bench) -> None:
    """The time of the answer to keys that are not valid, by kind."""
    keys = bad_keys(bench.add_key, bench.options.keys)
    times: Times = {kind: [] for kind in KINDS}
    answers: Counter[tuple[int, bytes]] = Counter()
    for kind, key in keys:
        status, body, took = status_and_time(bench.options.gateway, key)
        answers[status, body] += 1
        times[kind].append(took)
    print(
        f"\n### {len(keys)} keys that are not valid, in turns\n\n| kind | keys | median | 95th percentile |\n|---|---:|---:|---:|"
    )
    for kind, each in times.items():
        print(f"| {kind} | {len(each)} | {statistics.median(each):.2f} ms | {percentile(each, 0.95):.2f} ms |")
    print(f"\n{len(answers)} different answers: {sorted(status for status, _ in answers)}")


PARTS = {
    "overhead": measure_overhead,
    "own": measure_own,
    "calls": measure_calls,
    "first-byte": measure_first_byte,
    "keys": measure_keys,
    "streams": measure_many,
}


def main() -> int:
    """Measures and prints. Returns 1 if a request was not answered as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--bedrock-endpoint", required=True)
    parser.add_argument("--gateway", required=True, help="URL of the gateway, which runs as a server")
    parser.add_argument("--gateway-pid", required=True, type=int)
    parser.add_argument("--engine-pid", required=True, type=int)
    parser.add_argument("--template", required=True, type=Path)
    parser.add_argument("--binaries", required=True, type=Path)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure only this (repeatable)")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"\n## The gateway, {date.today()}, {os.cpu_count()} cores, load of the machine before {load:.1f}")
    try:
        bench = Bench(options)
        for name in options.only or PARTS:
            PARTS[name](bench)
            sys.stdout.flush()
    except (RequestFailed, ClientError, BotoCoreError, OSError, KeyError) as error:
        say(f"measuring failed: {error!r}")
        return 1
    print(f"\nLoad of the machine after: {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
