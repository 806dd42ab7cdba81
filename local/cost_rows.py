"""The bill for many requests of one kind. Each row has the charged item, its calculation, and dollars. This module only
computes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal

import cost_prices as prices
from cost_prices import PRICES
from cost_template import Deployed

DAY_SECONDS = 86_400
MINUTES = DAY_SECONDS // 60
METRICS_A_CALL = 1_000
INVOKE_MODEL, EMIT_METRICS, SWEEP_HOLDS = "InvokeModelFunction", "EmitMetricsFunction", "SweepHoldsFunction"

# The lines that Lambda itself writes for a call at level INFO, at their maximum size. They have the fields of
# Lambda's telemetry schema, with made-up values of the usual length.
ID = "8286a188-ba32-4475-8077-530cd35c09a9"
TRACE = {
    "spanId": "54565fb41ac79632",
    "type": "X-Amzn-Trace-Id",
    "value": f"Root=1-62e900b2-710d76f009d6e7785905449a;Parent={'0' * 16};Sampled=1",
}
MEASURED = {"durationMs": 123.456, "billedDurationMs": 124, "memorySizeMB": 256, "maxMemoryUsedMB": 24}
PLATFORM_RECORDS = {
    "platform.start": {"requestId": ID, "version": "$LATEST"},
    "platform.runtimeDone": {
        "requestId": ID,
        "status": "success",
        "metrics": {"durationMs": 123.456, "producedBytes": 1234},
        "tracing": TRACE,
    },
    "platform.report": {"requestId": ID, "metrics": MEASURED, "tracing": TRACE, "status": "success"},
}
PLATFORM_BYTES = sum(
    len(json.dumps({"time": "2026-11-26T12:00:00.000Z", "type": kind, "record": record})) + prices.LOG_EVENT_BYTES
    for kind, record in PLATFORM_RECORDS.items()
)


@dataclass(frozen=True)
class Load:
    """Requests that are spread evenly over a day, with the duration of a model call."""

    requests: int
    model_ms: int

    @property
    def a_second(self) -> Decimal:
        """The number of requests per second."""
        return Decimal(self.requests) / DAY_SECONDS

    @property
    def in_flight(self) -> int:
        """The number of requests that wait for a model at the same time, rounded up."""
        return -(-self.requests * self.model_ms // (DAY_SECONDS * 1000))


@dataclass(frozen=True)
class Counts:
    """The measured usage of one request. Functions are named by their logical id."""

    # Milliseconds of each function call by the workflow.
    calls_ms: dict[str, list[int]]
    emit_ms: int
    # Milliseconds of the execution, without the model's time.
    own_ms: int
    definition_bytes: int
    payload_bytes: int
    payloads: int
    write_units: Decimal
    read_units: Decimal
    message_bytes: int
    metrics_put: int
    log_bytes: int
    # True if a model was called.
    model: bool = True
    # Once a minute for each model: the shared usage figure and the catalogue's entries.
    minute_write_units: Decimal = Decimal(0)
    minute_read_units: Decimal = Decimal(0)
    minute_metrics: int = 0
    # Once a minute, by the sweep.
    sweep_read_units: Decimal = Decimal(0)
    # The largest item of the ledger under the number of requests in flight that the load causes.
    largest_bytes: int = 0


@dataclass
class Row:
    """One row of the bill, with exact dollars."""

    item: str
    how: str
    dollars: Decimal


@dataclass
class Bill:
    """The rows of a bill and their sum."""

    rows: list[Row] = field(default_factory=list)

    def add(self, item: str, amount: Decimal | int, price: str, how: str) -> None:
        """Adds a row for `amount` units of the price `price`."""
        self.rows.append(Row(item, how, Decimal(amount) * PRICES[price]))

    @property
    def total(self) -> Decimal:
        """The sum of the exact amounts, not of the rounded amounts."""
        return sum((row.dollars for row in self.rows), Decimal(0))


def bill(counts: Counts, deployed: Deployed, load: Load) -> Bill:
    """The bill for all requests of `load`."""
    made = Bill()
    workflow(made, counts, load)
    functions(made, counts, deployed, load)
    tables(made, counts, load)
    metrics(made, counts, deployed, load)
    observation(made, counts, deployed, load)
    return made


def workflow(made: Bill, counts: Counts, load: Load) -> None:
    """Adds the rows for the Express executions."""
    waited = load.model_ms if counts.model else 0
    memory = prices.express_memory_mb(counts.definition_bytes, counts.payload_bytes, counts.payloads)
    each = prices.express_gb_seconds(waited + counts.own_ms, memory)
    made.add("Express requests", load.requests, "express request", "1 execution")
    how = f"{waited / 1000:g} s + {counts.own_ms} ms, up to 100 ms, x {memory} MB"
    made.add("Express duration", load.requests * each, "express GB-second", how)


def batches(deployed: Deployed, load: Load) -> Decimal:
    """The number of runs of the queue's function."""
    window = max(Decimal(1), load.a_second * deployed.batch_seconds)
    return load.requests / min(window, Decimal(deployed.batch_size))


def functions(made: Bill, counts: Counts, deployed: Deployed, load: Load) -> None:
    """Adds the rows for function calls, their duration, and the wait for the model."""
    waits = counts.model and INVOKE_MODEL in counts.calls_ms
    calls = sum(len(each) for each in counts.calls_ms.values())
    emits = batches(deployed, load)
    how = f"{calls} calls; {emits:.0f} batches and {MINUTES} sweeps a day"
    made.add("Lambda requests", load.requests * calls + emits + MINUTES, "lambda request", how)
    if waits:
        memory = deployed.memory_mb[INVOKE_MODEL]
        each = prices.gb_seconds(load.model_ms, memory)
        made.add("Lambda wait", load.requests * each, "lambda GB-second", f"{load.model_ms / 1000:g} s x {memory} MB")
    work = sum(
        (prices.gb_seconds(sum(each), deployed.memory_mb[name]) for name, each in counts.calls_ms.items()), Decimal(0)
    )
    other = emits * prices.gb_seconds(counts.emit_ms, deployed.memory_mb[EMIT_METRICS])
    spent = sum(map(sum, counts.calls_ms.values()))
    how = f"{spent} ms in all at each function's memory, {counts.emit_ms} ms a batch"
    made.add("Lambda work", load.requests * work + other, "lambda GB-second", how)


def tables(made: Bill, counts: Counts, load: Load) -> None:
    """Adds the rows for the read and write units of DynamoDB."""
    made.add(
        "DynamoDB writes",
        load.requests * counts.write_units + MINUTES * counts.minute_write_units,
        "write unit",
        f"{counts.write_units:.3g} units, items up to {counts.largest_bytes} bytes with {load.in_flight} in flight; {counts.minute_write_units:.3g} a minute",
    )
    minute = counts.minute_read_units + counts.sweep_read_units
    made.add(
        "DynamoDB reads",
        load.requests * counts.read_units + MINUTES * minute,
        "read unit",
        f"{counts.read_units:.3g} units; {minute:.3g} a minute for what is read once a minute, and the sweep",
    )


def metrics(made: Bill, counts: Counts, deployed: Deployed, load: Load) -> None:
    """Adds the rows for the queue and for the calls to CloudWatch metrics."""
    requests = 3 * prices.steps(counts.message_bytes, prices.QUEUE_UNIT_BYTES)
    made.add("SQS", load.requests * requests, "queue request", "send, receive, delete; none taken as batched")
    emits = batches(deployed, load)
    batch = load.requests / emits
    calls = prices.steps(int(batch * counts.metrics_put), METRICS_A_CALL)
    how = f"{emits:.0f} batches of {batch:.1f}, {counts.metrics_put} metrics a request"
    made.add("PutMetricData", emits * calls, "PutMetricData call", how)
    if counts.minute_metrics:
        asked = DAY_SECONDS // deployed.usage_cache_seconds
        how = f"{counts.minute_metrics} metrics a model, every {deployed.usage_cache_seconds} s for all functions"
        made.add("GetMetricData", asked * counts.minute_metrics, "metric requested", how)


def observation(made: Bill, counts: Counts, deployed: Deployed, load: Load) -> None:
    """Adds the rows for logs and X-Ray traces."""
    emits = batches(deployed, load)
    calls = sum(len(each) for name, each in counts.calls_ms.items() if deployed.system_log[name])
    platform = load.requests * calls + (emits if deployed.system_log[EMIT_METRICS] else 0)
    platform += MINUTES if deployed.system_log[SWEEP_HOLDS] else 0
    written = load.requests * counts.log_bytes + platform * PLATFORM_BYTES
    how = f"{counts.log_bytes} bytes of our own; Lambda's lines, {PLATFORM_BYTES} bytes a call, of {calls} calls"
    made.add("CloudWatch Logs", written / prices.BYTES_OF_GB, "log GB", how)
    if deployed.traced:
        share = prices.traced_share(load.a_second)
        how = f"{share * 100:.1f} % at {load.a_second:.2f} a second, default rule"
        made.add("X-Ray", load.requests * share, "trace", how)
