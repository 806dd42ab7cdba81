"""Counts the usage of one request on the local AWS: function calls and their time, service calls, items, and log lines.

A proxy between each function and the services counts the calls (`counting_proxy.py`). The size of an item depends on
the number of requests in flight. So it is measured while that number of requests waits for a slow model.
"""

from __future__ import annotations

import math
import re
import statistics
import threading
import time
from decimal import Decimal
from typing import Any

import cost_prices as prices
from cost_rows import EMIT_METRICS, SWEEP_HOLDS, Counts
from cost_stack import Item, Key, Stack, key_of
from counting_proxy import Call

# These functions cache their reads for one minute.
CACHED = ("FetchUsageFunction", "ValidateAndTagFunction")
# A condition check in a transaction is billed as a write.
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
WARM_UP = 3
REPEATED = 9
# Latency of the slow model. It is long enough for all requests to be in flight at the same time.
SLOW_MS = 20_000
REPORTED = re.compile(r"^REPORT RequestId: .*?\tDuration: (\d+) ms")
ENGINE_LINES = ("START RequestId:", "END RequestId:", "REPORT RequestId:")

APPROVED, DENIED = "cost-approved", "cost-denied"
PROMPT = "Explain the benefits of using S3 using only 100 words."
PLENTY, NOTHING = "1000000000", "1"


def document(application: str, latency_ms: int = 0) -> dict[str, Any]:
    """A request document. `latency_ms` sets the latency of its model."""
    words = f"{PROMPT} [[sim latency-ms={latency_ms}]]" if latency_ms else PROMPT
    prompt = {"messages": [{"role": "user", "content": words}], "parameters": {"max_tokens": 200}}
    tags = {"applicationId": application, "costCenter": "cost", "environment": "cost"}
    return {"model": "claude-haiku-4-5", "prompt": prompt, "tags": tags}


def limit(key: str, tokens: str) -> Item:
    """An item of the limits table."""
    return {"modelId": {"S": key}, "limit": {"M": {"input": {"N": tokens}, "output": {"N": tokens}}}}


def units(calls: list[Call], sizes: dict[Key, int]) -> tuple[Decimal, Decimal]:
    """The write and read units of DynamoDB calls, for items of the given sizes."""
    written, read = Decimal(0), Decimal(0)
    for call in calls:
        for kind, request, transaction in actions(call):
            size = size_of(request, sizes)
            if kind in WRITES:
                written += prices.write_units(size, transaction)
            else:
                read += prices.read_units(size, request.get("ConsistentRead", False), transaction)
    return written, read


def actions(call: Call) -> list[tuple[str, dict[str, Any], bool]]:
    """The actions of a call on single items: operation, request, and whether it is part of a transaction."""
    request = call.request
    if call.operation == "TransactWriteItems":
        return [(f"{kind}Item", part, True) for item in request["TransactItems"] for kind, part in item.items()]
    if call.operation == "BatchGetItem":
        return [
            ("GetItem", {"TableName": table, "Key": key, "ConsistentRead": wanted.get("ConsistentRead", False)}, False)
            for table, wanted in request["RequestItems"].items()
            for key in wanted["Keys"]
        ]
    return [(call.operation, request, False)] if call.operation in (*WRITES, "GetItem") else []


def size_of(request: dict[str, Any], sizes: dict[Key, int]) -> int:
    """The size of the item that an action is about. 0 if the item does not exist."""
    if "Item" in request:
        return prices.item_bytes(request["Item"])
    return sizes.get(key_of(request["TableName"], request["Key"]), 0)


def at_load(stack: Stack, in_flight: int) -> dict[Key, int]:
    """The sizes of the items while `in_flight` requests wait for their model."""
    request = document(APPROVED, SLOW_MS)
    failures: list[Exception] = []

    def send() -> None:
        try:
            stack.ask(request, "Succeeded")
        except Exception as error:  # The main thread raises it again below.
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(in_flight)]
    stack.forget()
    for thread in threads:
        thread.start()
    stack.wait_for("PutItem", in_flight)
    time.sleep(2)
    sizes = stack.items()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sizes


def count(stack: Stack, application: str, outcome: str, sizes: dict[Key, int]) -> Counts:
    """The usage of one request with warm functions and a cached usage figure."""
    request = document(application)
    for _ in range(WARM_UP):
        stack.ask(request, outcome)
    stack.wait_for("PutMetricData", 1)
    time.sleep(2)
    stack.forget()
    before = stack.log_lines()
    own_ms, ended = [], {}
    for _ in range(REPEATED):
        begun = time.perf_counter()
        ended = stack.ask(request, outcome)
        own_ms.append((time.perf_counter() - begun) * 1000)
    wait_for_metrics(stack)
    calls = stack.calls()
    sizes = stack.items() | sizes
    written, read = units([call for call in calls if call.function not in CACHED], sizes)
    added = {function: lines[len(before[function]) :] for function, lines in stack.log_lines().items()}
    times = {function: reported(lines) for function, lines in added.items()}
    payloads = stack.states_entered(ended["executionArn"])
    put = [call for call in calls if call.operation == "PutMetricData"]
    return Counts(
        calls_ms={
            name: typical(each) for name, each in times.items() if each and name not in (SWEEP_HOLDS, EMIT_METRICS)
        },
        emit_ms=max(times[EMIT_METRICS], default=0),
        own_ms=math.ceil(statistics.median(own_ms)),
        definition_bytes=stack.definition_bytes(),
        payload_bytes=max(len(each.encode()) for each in payloads),
        payloads=len(payloads),
        write_units=written / REPEATED,
        read_units=read / REPEATED,
        message_bytes=message_bytes(calls, payloads),
        metrics_put=math.ceil(sum(len(call.request.get("MetricData", [])) for call in put) / REPEATED),
        log_bytes=math.ceil(sum(map(own_bytes, added.values())) / REPEATED),
        model=outcome == "Succeeded",
    )


def wait_for_metrics(stack: Stack) -> None:
    """Waits until no more metrics are published."""
    seen = -1
    while (now := sum(call.operation == "PutMetricData" for call in stack.calls())) != seen or now == 0:
        seen = now
        time.sleep(3)


def typical(milliseconds: list[int]) -> list[int]:
    """The milliseconds of one request's calls to a function. Each is the median of all calls."""
    return [max(1, math.ceil(statistics.median(milliseconds)))] * round(len(milliseconds) / REPEATED)


def reported(lines: list[str]) -> list[int]:
    """The milliseconds of each call, from the REPORT lines in a function's log."""
    return [int(found[1]) for line in lines if (found := REPORTED.match(line))]


def own_bytes(lines: list[str]) -> int:
    """The bytes that CloudWatch Logs bills for the lines that a function itself wrote."""
    own = [line for line in lines if not line.startswith(ENGINE_LINES)]
    return sum(len(line.encode()) + prices.LOG_EVENT_BYTES for line in own)


def message_bytes(calls: list[Call], payloads: list[str]) -> int:
    """The size of the metrics message. If the workflow itself sends it, this is the payload of the last state."""
    return max(
        [call.request_bytes for call in calls if call.operation == "SendMessage"], default=len(payloads[-1].encode())
    )


def each_minute(stack: Stack) -> tuple[Decimal, Decimal, int]:
    """The additional usage of a request if the functions have empty caches: write units, read units, and requested
    metrics.
    """
    stack.forget_usage()
    stack.start_anew(CACHED)
    stack.forget()
    stack.ask(document(APPROVED), "Succeeded")
    calls = [call for call in stack.calls() if call.function in CACHED]
    written, read = units(calls, stack.items())
    asked = sum(len(call.request["MetricDataQueries"]) for call in calls if call.operation == "GetMetricData")
    return written, read, asked


def counted(endpoint: str, stack_name: str, in_flight: int) -> dict[str, Counts]:
    """The counts of an approved and of a denied request."""
    limits = [limit("default", PLENTY), limit(f"application#{DENIED}", NOTHING)]
    stack = Stack(endpoint, stack_name, limits)
    try:
        stack.ask(document(APPROVED), "Succeeded")
        written, read, asked = each_minute(stack)
        sizes = at_load(stack, in_flight)
        ledger = [size for key, size in sizes.items() if key[0] == stack.names["LedgerTableName"]]
        found = {
            "approved": count(stack, APPROVED, "Succeeded", sizes),
            "denied": count(stack, DENIED, "Denied", sizes),
        }
    finally:
        stack.stop()
    minute = {
        "minute_write_units": written,
        "minute_read_units": read,
        "minute_metrics": asked,
        "sweep_read_units": prices.read_units(sum(ledger), True),
        "largest_bytes": max(ledger),
    }
    return {name: Counts(**vars(each) | minute) for name, each in found.items()}
