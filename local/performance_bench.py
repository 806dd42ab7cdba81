"""Repeats the performance analysis of the articles: 501 requests to models that take 6.76 to 32.24 seconds.

The answers go from a sentence to 500 words, and the model's time grows with the answer, as published. The simulator takes
exactly this time. So the rest of a request's duration is the overhead of the workflow, its functions, the local AWS, and
the client. The requests begin evenly over two minutes, in a random order, so about ninety wait for their model at once.

Events are those that Step Functions records for the path of a request. The engine records the path of some requests
(`engine_trace.py`), and the number of events of a state follows from its type. Source: AWS Step Functions API Reference,
`HistoryEvent`, and Developer Guide, "Viewing execution details". Dollars are computed as in `cost_prices.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import cost_prices as prices
import stub_aws
from articles_trace import spans
from cost_prices import PRICES
from deploy import client, outputs, say
from engine_trace import TRACED

REQUESTS = 501
SHORTEST_MS, LONGEST_MS = 6_760, 32_240
FEWEST_WORDS, MOST_WORDS = 20, 500
SENDING_SECONDS = 120.0
MOST_IN_FLIGHT = 250
ANSWER_TIMEOUT_SECONDS = 310
# Requests before the measurement, so that the functions have as many execution environments as they need later: their
# number, the time over which they begin, and the model's time.
WARM_UP, WARM_UP_SECONDS, WARM_UP_MS = 110, 20.0, 20_000
# Every so many requests, the engine records one.
RECORDED_EVERY = 25
SEED = 501
# The published figures. Source: AWS's articles about the cost sentry, as in `cost_prices.py`.
PUBLISHED = {"overhead": "0.09 %", "events": "47 to 49", "standard": "$37.40", "express": "$3.75"}
# Events of a state by its type, and of the execution itself (ExecutionStarted, ExecutionSucceeded).
EVENTS = {"Task": 5, "Parallel": 4, "Pass": 2, "Choice": 2, "Wait": 2, "Succeed": 2, "Fail": 1}
EVENTS_OF_EXECUTION = 2
COUNTED = 100_000
Document = dict[str, Any]


class BenchFailed(Exception):
    """A request did not end as expected."""


@dataclass(frozen=True)
class Sent:
    """One finished request. Times are in milliseconds."""

    model_ms: int
    duration_ms: float
    execution: str
    words: int

    @property
    def overhead_ms(self) -> float:
        """The duration without the model's time."""
        return self.duration_ms - self.model_ms


class Stack:
    """The deployed stack."""

    def __init__(self, endpoint: str, name: str) -> None:
        found = outputs(client("cloudformation", endpoint), name)
        limit = {"modelId": {"S": "default"}, "limit": stub_aws.LIMIT["limit"]}
        client("dynamodb", endpoint).put_item(TableName=found["LimitsTableName"], Item=limit)
        self._machine = found["RateLimiterArn"]
        config = Config(
            retries={"total_max_attempts": 1},
            inject_host_prefix=False,
            max_pool_connections=MOST_IN_FLIGHT,
            read_timeout=ANSWER_TIMEOUT_SECONDS,
        )
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self._states = boto3.client(
            "stepfunctions", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys
        )

    def ask(self, number: int, words: int, model_ms: int) -> Sent:
        """Sends one request."""
        named = {"name": f"{TRACED}{uuid.uuid4()}"} if number % RECORDED_EVERY == 0 else {}
        body = json.dumps(document(number, words, model_ms))
        begun = time.perf_counter()
        ended = self._states.start_sync_execution(stateMachineArn=self._machine, input=body, **named)
        duration = (time.perf_counter() - begun) * 1000
        answer = json.loads(ended["output"]) if ended["status"] == "SUCCEEDED" else ended
        if answer.get("outcome") != "Succeeded":
            raise BenchFailed(f"request {number} ended with {answer.get('outcome')}: {reason(answer)}")
        return Sent(model_ms, duration, ended["executionArn"], answer["usage"]["outputTokens"])

    def definition(self) -> str:
        """The definition of the workflow."""
        described = self._states.describe_state_machine(stateMachineArn=self._machine)
        return str(described["definition"])

    def payloads(self, execution: str) -> list[str]:
        """The input of each state that an execution entered."""
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=execution)
        events = [event for page in pages for event in page["events"]]
        entered = [event for event in events if event["type"].endswith("StateEntered")]
        return [event["stateEnteredEventDetails"].get("input", "") for event in entered]


def reason(answer: Document) -> str:
    """The code and the reason of an error. The message is left out."""
    error = answer.get("error") or {}
    return (
        f"{error.get('code')} {error.get('details', {}).get('reason', '')}" if isinstance(error, dict) else str(error)
    )


def document(number: int, words: int, model_ms: int) -> Document:
    """A request whose answer has so many words, and whose model takes so long."""
    text = f"{number}: Explain the benefits of using S3 using only {words} words."
    told = f"[[sim wanted-tokens={words} latency-ms={model_ms}]]"
    return {
        "model": "claude-haiku-4-5",
        "prompt": {
            "messages": [{"role": "user", "content": f"{text} {told}"}],
            "parameters": {"max_tokens": 1_000, "temperature": 0.7},
        },
        "tags": {"applicationId": "performance", "costCenter": "performance", "environment": "bench"},
    }


def plan() -> list[tuple[int, int]]:
    """Words and milliseconds of each request, in a random order. Both grow evenly."""
    steps = REQUESTS - 1
    grown = [
        (
            FEWEST_WORDS + round((MOST_WORDS - FEWEST_WORDS) * step / steps),
            SHORTEST_MS + round((LONGEST_MS - SHORTEST_MS) * step / steps),
        )
        for step in range(REQUESTS)
    ]
    random.Random(SEED).shuffle(grown)
    return grown


def send_all(stack: Stack) -> list[Sent]:
    """Sends all requests. Returns the measurements, and prints each request that did not succeed."""
    evenly(stack, [(FEWEST_WORDS, WARM_UP_MS)] * WARM_UP, WARM_UP_SECONDS)
    say(f"{REQUESTS} requests, evenly over {SENDING_SECONDS:.0f} s")
    sent = evenly(stack, plan(), SENDING_SECONDS)
    for failure in (each for each in sent if isinstance(each, BenchFailed)):
        say(f"not measured: {failure}")
    return [each for each in sent if isinstance(each, Sent)]


def evenly(stack: Stack, requests: list[tuple[int, int]], over_seconds: float) -> list[Sent | BenchFailed]:
    """Sends requests that begin evenly over a time. The result of each is its measurement or its failure."""

    def ask(number: int, words: int, model_ms: int) -> Sent | BenchFailed:
        try:
            return stack.ask(number, words, model_ms)
        except BenchFailed as failure:
            return failure

    with ThreadPoolExecutor(MOST_IN_FLIGHT) as pool:
        begun, futures = time.monotonic(), []
        for number, (words, model_ms) in enumerate(requests):
            time.sleep(max(0.0, begun + over_seconds * number / len(requests) - time.monotonic()))
            futures.append(pool.submit(ask, number, words, model_ms))
        return [future.result() for future in futures]


def state_types(definition: Document) -> dict[str, str]:
    """The type of every state by its name, those of branches included."""
    types = {}
    for name, state in definition["States"].items():
        types[name] = state["Type"]
        for branch in state.get("Branches", []):
            types |= state_types(branch)
    return types


def events_and_states(record: Document, types: dict[str, str]) -> tuple[int, int]:
    """The number of events of a recorded execution, and of the states that it entered."""
    entered = [types[span["name"]] for span in spans(record, "state")]
    return EVENTS_OF_EXECUTION + sum(EVENTS[each] for each in entered), len(entered)


def express_dollars(stack: Stack, sent: list[Sent]) -> Decimal:
    """The cost of 100,000 such requests as Express executions."""
    payloads = stack.payloads(sent[-1].execution)
    largest = max(len(each.encode()) for each in payloads)
    memory = prices.express_memory_mb(len(stack.definition().encode()), largest, len(payloads))
    used = sum((prices.express_gb_seconds(round(each.duration_ms), memory) for each in sent), Decimal(0))
    each = PRICES["express request"] + used / len(sent) * PRICES["express GB-second"]
    return prices.cents(each * COUNTED)


def standard_dollars(states: int) -> Decimal:
    """The cost of 100,000 such requests as Standard executions, less the free transitions of a month."""
    return prices.cents((COUNTED * states - prices.FREE_TRANSITIONS) * PRICES["standard transition"])


def row(name: str, published: str, ours: str) -> str:
    """One row of the table."""
    return f"| {name} | {published} | {ours} |"


def seconds(milliseconds: float) -> str:
    """Milliseconds as seconds."""
    return f"{milliseconds / 1000:.2f} s"


def report(stack: Stack, sent: list[Sent], records: list[Document]) -> list[str]:
    """The table, in Markdown."""
    types = state_types(json.loads(stack.definition()))
    counted = sorted({events_and_states(record, types) for record in records})
    durations, overheads = [each.duration_ms for each in sent], [each.overhead_ms for each in sent]
    share = sum(overheads) / sum(durations) * 100
    events = " to ".join(str(number) for number in sorted({counted[0][0], counted[-1][0]}))
    models = [each.model_ms for each in sent]
    return [
        "| figure | published | here |",
        "|---|---:|---:|",
        row("requests", str(REQUESTS), str(len(sent))),
        row("words of an answer", "a sentence to 500", f"{min(s.words for s in sent)} to {max(s.words for s in sent)}"),
        row("the model's time", "6.76 to 32.24 s", f"{seconds(min(models))} to {seconds(max(models))}"),
        row("duration, shortest", "", seconds(min(durations))),
        row("duration, median", "", seconds(statistics.median(durations))),
        row("duration, mean", "", seconds(statistics.mean(durations))),
        row("duration, longest", "", seconds(max(durations))),
        row("overhead, median", "", f"{statistics.median(overheads):.0f} ms"),
        row("overhead, longest", "", f"{max(overheads):.0f} ms"),
        row("share of the overhead", PUBLISHED["overhead"], f"{share:.2f} %"),
        row("events of an execution", PUBLISHED["events"], events),
        row("states entered", str(prices.PUBLISHED_TRANSITIONS), str(counted[-1][1])),
        row("Standard, 100,000 requests", PUBLISHED["standard"], f"${standard_dollars(counted[-1][1])}"),
        row("Express, 100,000 requests", PUBLISHED["express"], f"${express_dollars(stack, sent)}"),
    ]


def records_of(trace: Path) -> list[Document]:
    """The executions that the engine has recorded."""
    lines = trace.read_text(encoding="utf-8").splitlines() if trace.exists() else []
    return [json.loads(line) for line in lines]


def main() -> int:
    """Measures and prints. Returns 1 if a request failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--trace", type=Path, required=True, help="where the engine records executions")
    options = parser.parse_args()
    try:
        stack = Stack(options.endpoint, options.stack_name)
        load_before = os.getloadavg()[0]
        sent = send_all(stack)
        lines = report(stack, sent, records_of(options.trace))
    except (BenchFailed, ClientError, BotoCoreError, OSError, KeyError) as error:
        say(f"measuring failed: {error!r}")
        return 1
    print(f"\n## The performance analysis of the articles, {date.today()}, {os.cpu_count()} cores\n")
    print("\n".join(lines))
    print(f"\nLoad of the machine before: {load_before:.2f}; at most {MOST_IN_FLIGHT} requests in flight.")
    return 0 if len(sent) == REQUESTS else 1


if __name__ == "__main__":
    sys.exit(main())
