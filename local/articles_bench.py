"""Compares the deployed stack with the articles' design (folder `articles`), on one local AWS and in one run.

Both designs get the same requests in turns: approved and denied requests from one client, and approved requests from
sixteen clients. The model answers at once. So only overhead is measured: of the workflow, its functions, the local AWS,
and the client. Processor time comes from /proc. The engine is one Python process, and the functions are its children.
The engine records some executions state by state (`engine_trace.py`), so a change of the definitions needs no change
here.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import time
import uuid
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from articles_trace import print_states, way
from bench import percentile
from deploy import client, outputs
from engine_trace import TRACED

HERE = Path(__file__).resolve().parent / "articles"
MODEL = "amazon.nova-lite-v1:0"
DENIED_MODEL = "us.amazon.nova-lite-v1:0"
KINDS = {"approved": MODEL, "denied": DENIED_MODEL}
CLIENTS = 16
WARM_UP = 20
ROUNDS = 5
SETTLING_SECONDS = 2
# Number of executions of each kind that are recorded state by state.
RECORDED = 20
HANDLERS = {
    "ValidateAndTag": "validate_and_tag",
    "MonthRange": "month_range",
    "GetUsage": "get_usage",
    "InvokeModel": "invoke_model",
}
ROLE = "arn:aws:iam::000000000000:role/articles"
PLENTY = 1_000_000_000
Figures = dict[str, Any]


def request(model: str) -> dict[str, Any]:
    """A request document that both designs accept."""
    messages = [{"role": "user", "content": "Explain the benefits of using S3 using only 100 words."}]
    return {
        "model": model,
        "prompt": {"messages": messages, "parameters": {"max_tokens": 200}},
        "tags": {"applicationId": "bench"},
    }


class Design:
    """A deployed rate limiter with a name and a check for approval."""

    def __init__(self, name: str, states: Any, arn: str, accepts: Callable[[Any], bool]) -> None:
        self.name, self.states, self.arn, self.accepts = name, states, arn, accepts

    def ask(self, model: str, **named: str) -> float:
        """Sends a request and returns its duration in milliseconds. `name` can set the name of the execution."""
        begun = time.perf_counter()
        ended = self.states.start_sync_execution(stateMachineArn=self.arn, input=json.dumps(request(model)), **named)
        took = (time.perf_counter() - begun) * 1000
        if ended["status"] != "SUCCEEDED" or self.accepts(json.loads(ended["output"])) != (model == MODEL):
            raise SystemExit(
                f"{self.name}: {model} ended {ended['status']}: {ended.get('cause') or ended.get('output')}"
            )
        return took


def ours(endpoint: str, stack_name: str) -> Design:
    """The design of the stack, with a limit for each of the two models."""
    found = outputs(client("cloudformation", endpoint), stack_name)
    for model, most in ((MODEL, PLENTY), (DENIED_MODEL, 0)):
        put_limit(endpoint, found["LimitsTableName"], model, most)
    return Design("ours", workflows(endpoint), found["RateLimiterArn"], lambda answer: answer["outcome"] == "Succeeded")


def workflows(endpoint: str) -> Any:
    """A Step Functions client that all threads share."""
    config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, max_pool_connections=CLIENTS * 2)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("stepfunctions", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)


def put_limit(endpoint: str, table: str, model: str, most: int) -> None:
    """Writes a limit in the format of the articles, which both designs read."""
    limit = {"M": {unit: {"N": str(most)} for unit in ("input", "output")}}
    client("dynamodb", endpoint).put_item(TableName=table, Item={"modelId": {"S": model}, "limit": limit})


def theirs(endpoint: str) -> Design:
    """Deploys the articles' design to the local AWS."""
    table = "articles-limits"
    key = {
        "AttributeDefinitions": [{"AttributeName": "modelId", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "modelId", "KeyType": "HASH"}],
    }
    client("dynamodb", endpoint).create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **key)
    for model, most in ((MODEL, PLENTY), (DENIED_MODEL, 0)):
        put_limit(endpoint, table, model, most)
    substitutions = {"LimitsTable": table} | {name: deploy_function(endpoint, name) for name in HANDLERS}
    states = workflows(endpoint)
    for name in ("model-router", "rate-limiter"):
        definition = (HERE / f"{name}.asl.json").read_text()
        for key_, value in substitutions.items():
            definition = definition.replace(f"${{{key_}}}", value)
        made = states.create_state_machine(name=f"articles-{name}", definition=definition, roleArn=ROLE, type="EXPRESS")
        substitutions["ModelRouter" if name == "model-router" else "RateLimiter"] = made["stateMachineArn"]
    return Design("articles", states, substitutions["RateLimiter"], lambda answer: answer["statusCode"] == 200)


def deploy_function(endpoint: str, name: str) -> str:
    """Creates a Python function from `handlers.py` and returns its ARN."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(HERE / "handlers.py", "handlers.py")
    made = client("lambda", endpoint).create_function(
        FunctionName=f"articles-{name}",
        Runtime="python3.12",
        Role=ROLE,
        Handler=f"handlers.{HANDLERS[name]}",
        Code={"ZipFile": archive.getvalue()},
        MemorySize=256,
    )
    return str(made["FunctionArn"])


def processor_ms(pid: int) -> tuple[float, float]:
    """The processor time of the engine and of its running children, in milliseconds."""
    tick = 1000 / os.sysconf("SC_CLK_TCK")

    def used(process: int) -> float:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * tick

    children = 0.0
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(each.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                children += used(int(each.parent.name))
        except (OSError, ValueError):
            continue
    return used(pid), children


def in_turns(designs: list[Design], model: str, requests: int) -> dict[str, list[float]]:
    """Sends requests from one client to each design in turn. Returns the durations in milliseconds by design."""
    took: dict[str, list[float]] = {design.name: [] for design in designs}
    for number in range(WARM_UP + requests):
        for design in designs:
            milliseconds = design.ask(model)
            if number >= WARM_UP:
                took[design.name].append(milliseconds)
    return took


def at_once(designs: list[Design], requests: int, pid: int) -> dict[str, Figures]:
    """Sends requests from sixteen clients to each design in turn. Returns requests per second, and the processor time
    of a request.
    """
    totals = {design.name: dict.fromkeys(("seconds", "engine", "functions"), 0.0) for design in designs}
    each_round = max(CLIENTS, requests // ROUNDS)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for number in range(ROUNDS + 1):
            for design in designs:
                # Wait until earlier requests cause no more work. The queue's function in particular runs later.
                time.sleep(SETTLING_SECONDS)
                engine, functions = processor_ms(pid)
                begun = time.perf_counter()
                list(pool.map(design.ask, [MODEL] * each_round))
                seconds = time.perf_counter() - begun
                time.sleep(SETTLING_SECONDS)
                engine_after, functions_after = processor_ms(pid)
                # The first round is not counted, because it starts the execution environments of the functions.
                if number > 0:
                    add(
                        totals[design.name],
                        seconds=seconds,
                        engine=engine_after - engine,
                        functions=functions_after - functions,
                    )
    sent = each_round * ROUNDS
    return {
        name: {
            "per_second": sent / total["seconds"],
            "engine_ms": total["engine"] / sent,
            "functions_ms": total["functions"] / sent,
        }
        for name, total in totals.items()
    }


def add(totals: dict[str, float], **figures: float) -> None:
    """Adds each number to its total."""
    for name, figure in figures.items():
        totals[name] += figure


def recorded(design: Design, model: str, file: Path) -> list[Any]:
    """Sends requests with traced executions, and returns the records of the engine."""
    before = file.read_text().count("\n") if file.exists() else 0
    for _ in range(RECORDED):
        design.ask(model, name=f"{TRACED}{uuid.uuid4()}")
    return [json.loads(line) for line in file.read_text().splitlines()[before:]]


def table(title: str, rows: list[tuple[str, float, float]]) -> None:
    """Prints a table of both designs with their ratio."""
    print(f"\n## {title}\n\n| figure | articles' design | ours | ours / theirs |\n|---|---:|---:|---:|")
    for name, articles, own in rows:
        print(f"| {name} | {articles:,.1f} | {own:,.1f} | {own / articles if articles else 0:.2f} |")


def print_ways(designs: list[Design], file: Path) -> None:
    """Prints the path of a request of each kind, and the time in each state."""
    records = {
        (design.name, label): recorded(design, model, file) for label, model in KINDS.items() for design in designs
    }
    for label in KINDS:
        articles, own = (way(records[design.name, label][0]) for design in designs)
        table(f"The way of a request, {label}", [(what, articles[what], own[what]) for what in articles])
    for (name, label), executions in records.items():
        print_states(f"{name}, {label}", executions)
    print("\nBranches of a Parallel state run at the same time. Functions: from the event's hand-over to the response.")


def main() -> None:
    """Deploys the articles' design, measures both designs, and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--engine-pid", type=int, required=True)
    parser.add_argument("--trace", type=Path, required=True, help="where the engine records executions")
    parser.add_argument("--requests", type=int, default=300)
    arguments = parser.parse_args()
    articles, own = theirs(arguments.endpoint), ours(arguments.endpoint, arguments.stack_name)
    designs = [articles, own]
    rows: list[tuple[str, float, float]] = []
    for label, model in KINDS.items():
        took = in_turns(designs, model, arguments.requests)
        for name, figure in (
            ("median", statistics.median),
            ("95th percentile", lambda values: percentile(values, 0.95)),
        ):
            rows.append((f"{label}, {name}, ms", figure(took[articles.name]), figure(took[own.name])))
    table(f"Overhead with one client, {arguments.requests} requests each in turns", rows)
    found = at_once(designs, arguments.requests, arguments.engine_pid)
    rows = [
        (name, found[articles.name][key], found[own.name][key])
        for name, key in (
            ("requests a second", "per_second"),
            ("engine, processor ms a request", "engine_ms"),
            ("functions, processor ms a request", "functions_ms"),
        )
    ]
    table(f"{CLIENTS} clients, {arguments.requests} requests each in {ROUNDS} rounds", rows)
    print_ways(designs, arguments.trace)
    print(f"\n{os.cpu_count()} processors; the engine is one Python process.", file=sys.stderr)


if __name__ == "__main__":
    main()
