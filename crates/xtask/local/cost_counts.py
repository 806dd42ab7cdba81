"""Counts what one request does on the local AWS: calls of functions and their time, calls to services, items, log lines.

Between each function and the services that it calls there is a proxy that counts (`counting_proxy.py`). Items have the size that
they have while as many requests are in flight as the load puts there: that many are sent to a model that is slow.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import threading
import time
from decimal import Decimal
from typing import Any

import cost_prices as prices
from cost_rows import EMIT_METRICS, Counts
from counting_proxy import Call, CountingProxy
from deploy import client, outputs

SERVICES = ("DYNAMODB", "CLOUDWATCH", "SQS")
WRITES = ("PutItem", "UpdateItem", "DeleteItem")
WARM_UP = 3
REPEATED = 9
SETTLED_SECONDS = 30
# How long the slow model takes, so that all requests are in flight for a while.
SLOW_MS = 20_000
REPORTED = re.compile(r"^REPORT RequestId: .*?\tDuration: (\d+) ms")
ENGINE_LINES = ("START RequestId:", "END RequestId:", "REPORT RequestId:")

APPROVED, DENIED = "cost-approved", "cost-denied"
PROMPT = "Explain the benefits of using S3 using only 100 words."
PLENTY, NOTHING = "1000000000", "1"
Item = dict[str, dict[str, Any]]
Key = tuple[str, ...]


class NotCounted(Exception):
    """The stack did not do what is to be counted; the message is for the person at the terminal."""


def document(application: str, latency_ms: int = 0) -> dict[str, Any]:
    """A request; its model takes `latency_ms`."""
    words = f"{PROMPT} [[sim latency-ms={latency_ms}]]" if latency_ms else PROMPT
    prompt = {"messages": [{"role": "user", "content": words}], "parameters": {"max_tokens": 200}}
    tags = {"applicationId": application, "costCenter": "cost", "environment": "cost"}
    return {"model": "claude-haiku-4-5", "prompt": prompt, "tags": tags}


def limit(key: str, tokens: str) -> Item:
    """An item of the limits table."""
    return {"modelId": {"S": key}, "limit": {"M": {"input": {"N": tokens}, "output": {"N": tokens}}}}


class Stack:
    """A deployed stack whose functions' calls are counted."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.names = outputs(client("cloudformation", endpoint), name)
        self._functions, self._logs = client("lambda", endpoint), client("logs", endpoint)
        self._tables, self._states = client("dynamodb", endpoint), client("stepfunctions", endpoint)
        self._physical = functions_of(client("cloudformation", endpoint), name)
        self._proxies = {function: CountingProxy(function, endpoint) for function in self._physical}
        for key, tokens in (("default", PLENTY), (f"applicationId#{DENIED}", NOTHING)):
            self._tables.put_item(TableName=self.names["LimitsTableName"], Item=limit(key, tokens))
        for function, proxy in self._proxies.items():
            self._put_between(self._physical[function], proxy.url)

    def stop(self) -> None:
        """Ends the proxies."""
        for proxy in self._proxies.values():
            proxy.stop()

    def _put_between(self, function: str, url: str) -> None:
        before = self._functions.get_function_configuration(FunctionName=function)
        variables = before.get("Environment", {}).get("Variables", {})
        variables |= {f"AWS_ENDPOINT_URL_{service}": url for service in SERVICES}
        self._functions.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
        while self._functions.get_function_configuration(FunctionName=function).get("LastUpdateStatus") == "InProgress":
            time.sleep(0.1)

    def ask(self, request: dict[str, Any], outcome: str) -> dict[str, Any]:
        """Sends a request, and checks how it ends."""
        ended = self._states.start_sync_execution(stateMachineArn=self.names["RateLimiterArn"], input=json.dumps(request))
        found = json.loads(ended["output"])["outcome"] if ended["status"] == "SUCCEEDED" else ended["status"]
        if found != outcome:
            raise NotCounted(f"a request ended with {found}, not {outcome}: {ended.get('output') or ended.get('cause')}")
        return ended

    def calls(self) -> list[Call]:
        """Every call so far."""
        return [call for proxy in self._proxies.values() for call in list(proxy.calls)]

    def forget(self) -> None:
        """Starts counting anew."""
        for proxy in self._proxies.values():
            proxy.calls.clear()

    def wait_for(self, operation: str, at_least: int) -> None:
        """Waits until so many calls of an operation were made."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while sum(call.operation == operation for call in self.calls()) < at_least:
            if time.monotonic() > deadline:
                raise NotCounted(f"{operation} was not called {at_least} times")
            time.sleep(0.1)

    def items(self) -> dict[Key, int]:
        """The size of every item of the sentry's tables, by table and key values."""
        sizes = {}
        for table in self.tables():
            keys = [each["AttributeName"] for each in self._tables.describe_table(TableName=table)["Table"]["KeySchema"]]
            for page in self._tables.get_paginator("scan").paginate(TableName=table):
                for item in page["Items"]:
                    sizes[(table, *(item[key]["S"] for key in keys))] = prices.item_bytes(item)
        return sizes

    def tables(self) -> list[str]:
        """The sentry's tables, that of the requests too, which is no output."""
        used = {table for call in self.calls() for table in tables_of(call.request)}
        return sorted(used | {self.names["LedgerTableName"]})

    def forget_usage(self) -> None:
        """Deletes the shared usage figures, so that the next request of a new environment asks CloudWatch."""
        table = self.names["LedgerTableName"]
        for key in self.items():
            if key[0] == table and key[1].startswith("usage#"):
                self._tables.delete_item(TableName=table, Key={"scope": {"S": key[1]}, "window": {"S": key[2]}})
        self._put_between(self._physical["FetchUsageFunction"], self._proxies["FetchUsageFunction"].url)

    def log_lines(self) -> dict[str, list[str]]:
        """Every line of each function's log."""
        lines: dict[str, list[str]] = {}
        for function, physical in self._physical.items():
            configuration = self._functions.get_function_configuration(FunctionName=physical)
            group = configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{physical}"
            lines[function] = []
            try:
                for page in self._logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                    lines[function] += [event["message"] for event in page["events"]]
            except self._logs.exceptions.ResourceNotFoundException:
                continue
        return lines

    def states_entered(self, execution: str) -> list[str]:
        """The payloads of the states that an execution entered, as JSON."""
        history = self._states.get_paginator("get_execution_history").paginate(executionArn=execution)
        events = [event for page in history for event in page["events"]]
        return [event["stateEnteredEventDetails"].get("input", "") for event in events if event["type"].endswith("StateEntered")]

    def definition_bytes(self) -> int:
        """The size of the rate limiter's definition."""
        described = self._states.describe_state_machine(stateMachineArn=self.names["RateLimiterArn"])
        return len(described["definition"].encode())


def functions_of(cloudformation: Any, stack: str) -> dict[str, str]:
    """`{logical id: name}` of the stack's functions."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    listed = [each for page in pages for each in page["StackResourceSummaries"]]
    found = [each for each in listed if each["ResourceType"] == "AWS::Lambda::Function"]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"].rsplit(":", 1)[-1] for each in found}


def tables_of(request: dict[str, Any]) -> set[str]:
    """The tables that a call of DynamoDB names."""
    parts = [part for item in request.get("TransactItems", []) for part in item.values()]
    return {each["TableName"] for each in [request, *parts] if "TableName" in each} | set(request.get("RequestItems", {}))


def units(calls: list[Call], sizes: dict[Key, int]) -> tuple[Decimal, Decimal]:
    """Write and read units of calls to DynamoDB, for items of the given sizes."""
    written, read = Decimal(0), Decimal(0)
    for call in calls:
        for kind, request, transaction in actions(call):
            size = size_of(request, sizes)
            if kind in WRITES:
                written += prices.write_units(size, transaction)
            elif kind == "ConditionCheck":
                written += prices.write_units(size, transaction)
            else:
                read += prices.read_units(size, request.get("ConsistentRead", False), transaction)
    return written, read


def actions(call: Call) -> list[tuple[str, dict[str, Any], bool]]:
    """What a call does to single items: the operation, what it says, and whether in a transaction."""
    request = call.request
    if call.operation == "TransactWriteItems":
        return [
            (kind if kind == "ConditionCheck" else f"{kind}Item", part, True)
            for item in request["TransactItems"]
            for kind, part in item.items()
        ]
    if call.operation == "BatchGetItem":
        return [
            ("GetItem", {"TableName": table, "Key": key, "ConsistentRead": wanted.get("ConsistentRead", False)}, False)
            for table, wanted in request["RequestItems"].items()
            for key in wanted["Keys"]
        ]
    return [(call.operation, request, False)] if call.operation in (*WRITES, "GetItem") else []


def size_of(request: dict[str, Any], sizes: dict[Key, int]) -> int:
    """The size of the item that a part of a call is about; 0 if there is none."""
    if "Item" in request:
        return prices.item_bytes(request["Item"])
    return sizes.get((request["TableName"], *(each["S"] for each in request["Key"].values())), 0)


def at_load(stack: Stack, in_flight: int) -> dict[Key, int]:
    """The items' sizes while `in_flight` requests wait for their model."""
    request = document(APPROVED, SLOW_MS)
    failures: list[Exception] = []

    def send() -> None:
        try:
            stack.ask(request, "Succeeded")
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that can say so
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
    """What one request does whose functions are warm and whose usage is known."""
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
    written, read = units([call for call in calls if call.function != EMIT_METRICS], sizes)
    late_written, late_read = units([call for call in calls if call.function == EMIT_METRICS], sizes)
    added = {function: lines[len(before[function]) :] for function, lines in stack.log_lines().items()}
    times = {function: reported(lines) for function, lines in added.items()}
    payloads = stack.states_entered(ended["executionArn"])
    put = [call for call in calls if call.operation == "PutMetricData"]
    return Counts(
        calls_ms={name: typical(each) for name, each in times.items() if each and name not in ("SweepHoldsFunction", EMIT_METRICS)},
        emit_ms=max(times[EMIT_METRICS], default=0),
        own_ms=math.ceil(statistics.median(own_ms)),
        definition_bytes=stack.definition_bytes(),
        payload_bytes=max(len(each.encode()) for each in payloads),
        payloads=len(payloads),
        write_units=(written + late_written) / REPEATED,
        read_units=(read + late_read) / REPEATED,
        message_bytes=message_bytes(calls, payloads),
        metrics_put=math.ceil(sum(len(call.request.get("MetricData", [])) for call in put) / REPEATED),
        log_bytes=math.ceil(sum(map(own_bytes, added.values())) / REPEATED),
        model=outcome == "Succeeded",
    )


def wait_for_metrics(stack: Stack) -> None:
    """Waits until nothing more is published."""
    seen = -1
    while (now := sum(call.operation == "PutMetricData" for call in stack.calls())) != seen or now == 0:
        seen = now
        time.sleep(3)


def typical(milliseconds: list[int]) -> list[int]:
    """The calls of one request, each at the median of all that were made."""
    return [max(1, math.ceil(statistics.median(milliseconds)))] * round(len(milliseconds) / REPEATED)


def reported(lines: list[str]) -> list[int]:
    """Milliseconds of the calls that a function's log reports."""
    return [int(found[1]) for line in lines if (found := REPORTED.match(line))]


def own_bytes(lines: list[str]) -> int:
    """What CloudWatch Logs bills for the lines that a function wrote itself."""
    own = [line for line in lines if not line.startswith(ENGINE_LINES)]
    return sum(len(line.encode()) + prices.LOG_EVENT_BYTES for line in own)


def message_bytes(calls: list[Call], payloads: list[str]) -> int:
    """The size of the metrics message: what was sent, or where the workflow sends it, the payload of its last state."""
    return max([call.request_bytes for call in calls if call.operation == "SendMessage"], default=len(payloads[-1].encode()))


def asking(stack: Stack) -> tuple[Decimal, Decimal, int]:
    """What the renewal of a usage figure adds to a request: write units, read units, metrics."""
    stack.forget_usage()
    stack.forget()
    stack.ask(document(APPROVED), "Succeeded")
    calls = [call for call in stack.calls() if call.function == "FetchUsageFunction"]
    written, read = units(calls, stack.items())
    asked = sum(len(call.request["MetricDataQueries"]) for call in calls if call.operation == "GetMetricData")
    return written, read, asked


def counted(endpoint: str, stack_name: str, in_flight: int) -> dict[str, Counts]:
    """The counts of an approved and of a denied request."""
    stack = Stack(endpoint, stack_name)
    try:
        stack.ask(document(APPROVED), "Succeeded")
        written, read, asked = asking(stack)
        sizes = at_load(stack, in_flight)
        ledger = sum(size for key, size in sizes.items() if key[0] == stack.names["LedgerTableName"])
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
        "sweep_read_units": prices.read_units(ledger, True),
    }
    return {name: Counts(**vars(each) | minute) for name, each in found.items()}
