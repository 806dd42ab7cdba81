"""Measures each function alone, and the overhead that the whole system adds to a request.

For each function: the size of the binary, the start-up time (from the start of the process to its first request for an
event), the resident memory after all calls, and the time of a call. A stub replaces AWS and answers at once (see
stub_aws.py).

End to end: one client sends approved requests to the deployed stack, one after the other. The model answers at once. So
the result is the overhead of the sentry, the local AWS, and the client together.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

import sam_template as templates
import stub_aws
from deploy import client, outputs, say
from runtime_api import Function, FunctionFailed

STARTS = 10
WARM_UP = 20
TABLE = [("function", "<28"), ("size", ">9"), ("start-up", ">9"), ("memory", ">9"), ("call", ">9"), ("call p95", ">9")]
Figures = dict[str, Any]

REQUEST = {
    "model": "claude-haiku-4-5",
    "prompt": {
        "messages": [{"role": "user", "content": "Explain the benefits of using S3 using only 100 words."}],
        "parameters": {"max_tokens": 200, "temperature": 0.7},
    },
    "tags": {"applicationId": "bench", "costCenter": "bench", "environment": "bench"},
}

EXECUTION = "arn:aws:states:us-east-1:123456789012:express:bench:bench:01234567-89ab-cdef-0123-456789abcdef"


def percentile(values: list[float], part: float) -> float:
    """The percentile `part` (from 0 to 1) of the values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def environment_of(body: dict[str, Any], template: templates.Template, stub: str) -> dict[str, str]:
    """The function's environment. It has the template's defaults and uses the stub as AWS. It has no cache, which would
    hide calls.
    """
    own = body["Properties"].get("Environment", {}).get("Variables", {})
    parameters = template.get("Parameters", {})
    values = {name: literal(value, parameters) for name, value in own.items()}
    return {
        **values,
        "SENTRY_USAGE_CACHE_SECONDS": "0",
        "AWS_ENDPOINT_URL": stub,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "SENTRY_LOG_LEVEL": "info",
    }


def literal(value: Any, parameters: dict[str, Any]) -> str:
    """The text of a variable. A reference to a parameter becomes its default, and a reference to a resource becomes its
    logical name. Conditions do not hold, as with the default parameters.
    """
    if isinstance(value, dict) and "Fn::If" in value:
        return literal(value["Fn::If"][2], parameters)
    if isinstance(value, dict):
        name = value.get("Ref", "bench")
        return str(parameters.get(name, {}).get("Default", name))
    return str(value)


class Story:
    """Creates events in the order of the workflow. Each is built from earlier answers, as in the state machines."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}

    def event(self, binary: str) -> Any:
        """The input that the function gets in the workflow."""
        return self._events()[binary]()

    def _events(self) -> dict[str, Callable[[], Any]]:
        return {
            "fn-validate-and-tag": lambda: REQUEST,
            "fn-month-range": lambda: self._request,
            "fn-fetch-usage": lambda: self.answers["fn-month-range"],
            "fn-lookup-limit": lambda: self._request,
            "fn-count-tokens": lambda: {
                "countedAs": "anthropic.claude-haiku-4-5-20251001-v1:0",
                "prompt": self._prompt,
            },
            "fn-reserve": self._reserve,
            "fn-invoke-model": self._invoke_model,
            "fn-prepare-call": self._invoke_model,
            "fn-settle": self._settle,
            "fn-read-answer": self._settle,
            "fn-emit-metrics": self._emit_metrics,
            "fn-index-profiles": dict,
            "fn-serve-queue": lambda: {"Records": []},
            "fn-watch-usage": dict,
        }

    @property
    def order(self) -> list[str]:
        """The functions in the order of the workflow."""
        return list(self._events())

    @property
    def _request(self) -> Any:
        return self.answers["fn-validate-and-tag"]["request"]

    @property
    def _prompt(self) -> Any:
        return self.answers["fn-validate-and-tag"]["prompt"]

    @property
    def _admitted(self) -> Any:
        return self.answers["fn-reserve"]["admitted"]

    def _reserve(self) -> Any:
        gathered = [self.answers[binary] for binary in ("fn-fetch-usage", "fn-lookup-limit", "fn-count-tokens")]
        return {"executionId": EXECUTION, "request": self._request, "gathered": gathered}

    def _invoke_model(self) -> Any:
        most = self._admitted["reservation"]["maxTokens"]
        return {
            "model": self._admitted["model"],
            "tags": self._admitted["tags"],
            "maxTokens": most,
            "prompt": self._prompt,
        }

    def _settle(self) -> Any:
        return {"admitted": self._admitted, "ended": self.answers["fn-invoke-model"]}

    def _emit_metrics(self) -> Any:
        counted = {
            "usage": self.answers["fn-invoke-model"]["sealed"]["usage"],
            "hold": self._admitted["reservation"]["hold"],
        }
        record = {"outcome": "Succeeded", "tags": self._admitted["tags"], "model": self._admitted["model"], **counted}
        return {"Records": [{"messageId": "1", "body": json.dumps(record), "eventSource": "aws:sqs"}]}


def measure_function(binary: Path, environment: dict[str, str], story: Story, calls: int) -> Figures:
    """Measures one function, and stores its answer for later events."""
    event = story.event(binary.name)
    starts = []
    for _ in range(STARTS):
        function = Function(binary, environment)
        starts.append(function.start_seconds)
        function.stop()
    function = Function(binary, environment)
    try:
        story.answers[binary.name], first = function.call(event)
        times = [function.call(event)[1] for _ in range(calls)]
        memory = function.resident_bytes()
    finally:
        function.stop()
    return {
        "function": binary.name,
        "sizeBytes": binary.stat().st_size,
        "startMs": statistics.median(starts) * 1000,
        "residentBytes": memory,
        "firstCallMs": first * 1000,
        "callMs": statistics.median(times) * 1000,
        "callP95Ms": percentile(times, 0.95) * 1000,
    }


def measure_functions(options: argparse.Namespace) -> list[Figures]:
    """Measures every function that `Story` has an event for. Other functions of the template are reported: the gateway
    has a measurement of its own, and a call of `fn-sweep-holds` lasts half a minute, because it makes two passes.
    """
    template = templates.load(options.template)
    bodies = {
        body["Metadata"]["BuildProperties"]["Binary"]: body
        for body in templates.of_type(template, templates.SERVERLESS_FUNCTION).values()
    }
    story, stub = Story(), stub_aws.start()
    for unknown in bodies.keys() - set(story.order):
        say(f"not measured here: {unknown}")
    figures = []
    for name in story.order:
        say(f"  measuring {name}")
        environment = environment_of(bodies[name], template, stub)
        figures.append(measure_function(options.binaries / name, environment, story, options.invocations))
    return figures


def measure_end_to_end(options: argparse.Namespace) -> Figures:
    """Measures the milliseconds of approved requests from one client."""
    names = outputs(client("cloudformation", options.endpoint), options.stack_name)
    limit = {"modelId": {"S": "default"}, "limit": stub_aws.LIMIT["limit"]}
    client("dynamodb", options.endpoint).put_item(TableName=names["LimitsTableName"], Item=limit)
    machines = client("stepfunctions", options.endpoint)
    times = []
    for number in range(WARM_UP + options.requests):
        begun = time.perf_counter()
        ended = machines.start_sync_execution(stateMachineArn=names["RateLimiterArn"], input=json.dumps(REQUEST))
        elapsed = time.perf_counter() - begun
        if ended["status"] != "SUCCEEDED" or json.loads(ended["output"])["outcome"] != "Succeeded":
            raise FunctionFailed(f"a request was not approved: {ended['status']} {ended.get('output')}")
        if number >= WARM_UP:
            times.append(elapsed * 1000)
    return {
        "requests": options.requests,
        "medianMs": statistics.median(times),
        "p95Ms": percentile(times, 0.95),
        "p99Ms": percentile(times, 0.99),
    }


def row(cells: list[str]) -> str:
    """One row of the function table, in Markdown."""
    return "| " + " | ".join(format(cell, form) for cell, (_, form) in zip(cells, TABLE, strict=True)) + " |"


def print_functions(figures: list[Figures]) -> None:
    """The table of the functions, in Markdown."""
    print(row([title for title, _ in TABLE]))
    print("|" + "|".join("-" * (int(form[1:]) + 2) for _, form in TABLE) + "|")
    for each in figures:
        sizes = [f"{each[key] / 1_000_000:.1f} MB" for key in ("sizeBytes", "residentBytes")]
        times = [f"{each[key]:.2f} ms" for key in ("startMs", "callMs", "callP95Ms")]
        print(row([each["function"], sizes[0], times[0], sizes[1], times[1], times[2]]))


def print_end_to_end(figures: Figures) -> None:
    """One line of text about the overhead."""
    print(
        f"\nOverhead of an approved request at zero model latency, one client, {figures['requests']} requests: "
        f"median {figures['medianMs']:.1f} ms, 95th percentile {figures['p95Ms']:.1f} ms, "
        f"99th {figures['p99Ms']:.1f} ms"
    )
    print(
        "(local AWS without its own waits, see engine.py: 150 ms an execution, 50 and 40 ms a function call; usage cached)"
    )


def options_from(arguments: list[str]) -> argparse.Namespace:
    """Parses the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--binaries", required=True, type=Path)
    parser.add_argument("--template", required=True, type=Path)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--invocations", type=int, default=200)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def main() -> int:
    """Measures and prints. Returns 1 if a function or the stack failed."""
    options = options_from(sys.argv[1:])
    try:
        functions = measure_functions(options)
        print(f"\nMeasured on {os.cpu_count()} cores\n")
        print_functions(functions)
        end_to_end = measure_end_to_end(options)
        print_end_to_end(end_to_end)
    except (FunctionFailed, ClientError, BotoCoreError, OSError, KeyError) as error:
        say(f"measuring failed: {error!r}")
        return 1
    if options.json:
        options.json.write_text(
            json.dumps({"functions": functions, "endToEnd": end_to_end}, indent=2), encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
