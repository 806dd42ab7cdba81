"""Measures the deployed stack beside the articles' design (folder `articles`), on one local AWS and in one run.

Both get the same requests in turns: approved and denied with one client, approved with sixteen. The model takes no time, so
what is measured is overhead: of the workflow, its functions, the local AWS and the client. Processor time is taken from
/proc: the engine is one Python process, the functions are its children.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import boto3
from botocore.config import Config

from deploy import client, outputs

HERE = Path(__file__).resolve().parent / "articles"
MODEL = "amazon.nova-lite-v1:0"
DENIED_MODEL = "us.amazon.nova-lite-v1:0"
CLIENTS = 16
WARM_UP = 20
# The way of a request that is approved by a function's call, and of one that is denied.
GATHER = ["Validate And Tag", "Valid?", "Gather", "Month Range", "Fetch Usage", "Lookup Limit", "Counted?", "Not Counted", "Reserve", "Within Budget?"]
OURS = {"approved": [*GATHER, "Invoke Natively?", "Invoke Model", "Settle"], "denied": [*GATHER, "Emit Metrics"]}
COMPARE = ["Normalize Input", "Validate And Tag", "Get Month Range", "Gather", "Get Usage", "Get Limit", "Limit Found?", "Set Figures", "Within Input Limit?"]
ROUTE = ["Within Output Limit?", "Approved", "Route Model", "Model Family?", "Invoke Amazon", "Format Answer", "Model Succeeded?", "Emit Success", "Answer"]
THEIRS = {"approved": [*COMPARE, *ROUTE], "denied": [*COMPARE, "Denied", "Too Many Requests"]}
HANDLERS = {"ValidateAndTag": "validate_and_tag", "MonthRange": "month_range", "GetUsage": "get_usage", "InvokeModel": "invoke_model"}
ROLE = "arn:aws:iam::000000000000:role/articles"
PLENTY = 1_000_000_000
Figures = dict[str, Any]


def request(model: str) -> dict[str, Any]:
    """A document that both designs accept."""
    messages = [{"role": "user", "content": "Explain the benefits of using S3 using only 100 words."}]
    return {"model": model, "prompt": {"messages": messages, "parameters": {"max_tokens": 200}}, "tags": {"applicationId": "bench"}}


class Design:
    """A deployed rate limiter."""

    def __init__(self, name: str, states: Any, arn: str, accepts: Callable[[Any], bool]) -> None:
        self.name, self.states, self.arn, self.accepts = name, states, arn, accepts

    def ask(self, model: str) -> float:
        """Sends a request; the milliseconds until its answer."""
        begun = time.perf_counter()
        ended = self.states.start_sync_execution(stateMachineArn=self.arn, input=json.dumps(request(model)))
        took = (time.perf_counter() - begun) * 1000
        if ended["status"] != "SUCCEEDED" or self.accepts(json.loads(ended["output"])) != (model == MODEL):
            raise SystemExit(f"{self.name}: {model} ended {ended['status']}: {ended.get('cause') or ended.get('output')}")
        return took


def ours(endpoint: str, stack_name: str) -> Design:
    """The stack, with a limit for each of the two models."""
    found = outputs(client("cloudformation", endpoint), stack_name)
    for model, most in ((MODEL, PLENTY), (DENIED_MODEL, 0)):
        put_limit(endpoint, found["LimitsTableName"], model, most)
    return Design("ours", workflows(endpoint), found["RateLimiterArn"], lambda answer: answer["outcome"] == "Succeeded")


def workflows(endpoint: str) -> Any:
    """A client of Step Functions for all the threads."""
    config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, max_pool_connections=CLIENTS * 2)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("stepfunctions", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)


def put_limit(endpoint: str, table: str, model: str, most: int) -> None:
    """Writes an item in the articles' own form, which both designs read."""
    limit = {"M": {unit: {"N": str(most)} for unit in ("input", "output")}}
    client("dynamodb", endpoint).put_item(TableName=table, Item={"modelId": {"S": model}, "limit": limit})


def theirs(endpoint: str) -> Design:
    """Deploys the articles' design."""
    table = "articles-limits"
    key = {"AttributeDefinitions": [{"AttributeName": "modelId", "AttributeType": "S"}], "KeySchema": [{"AttributeName": "modelId", "KeyType": "HASH"}]}
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
    """Creates a Python function from `handlers.py`; its ARN."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(HERE / "handlers.py", "handlers.py")
    made = client("lambda", endpoint).create_function(
        FunctionName=f"articles-{name}", Runtime="python3.12", Role=ROLE, Handler=f"handlers.{HANDLERS[name]}", Code={"ZipFile": archive.getvalue()}, MemorySize=256)
    return made["FunctionArn"]


def processor_ms(pid: int) -> tuple[float, float]:
    """Processor time of the engine, and of its children that run, in milliseconds."""
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
    """One client, which asks each design in turn."""
    took: dict[str, list[float]] = {design.name: [] for design in designs}
    for number in range(WARM_UP + requests):
        for design in designs:
            milliseconds = design.ask(model)
            if number >= WARM_UP:
                took[design.name].append(milliseconds)
    return took


def at_once(design: Design, requests: int, pid: int) -> Figures:
    """Sixteen clients; requests a second, and the processor time of each request."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(design.ask, [MODEL] * CLIENTS * 2))
        engine, functions = processor_ms(pid)
        begun = time.perf_counter()
        list(pool.map(design.ask, [MODEL] * requests))
        seconds = time.perf_counter() - begun
        # What the queue still works on belongs to the requests.
        time.sleep(3)
        engine_after, functions_after = processor_ms(pid)
    return {"per_second": requests / seconds, "engine_ms": (engine_after - engine) / requests, "functions_ms": (functions_after - functions) / requests}


def expressions(value: Any) -> int:
    """The JSONata expressions in a part of a state."""
    if isinstance(value, dict):
        return sum(expressions(each) for each in value.values())
    if isinstance(value, list):
        return sum(expressions(each) for each in value)
    return isinstance(value, str) and value.startswith("{%")


def every_state(definition: dict[str, Any]) -> dict[str, Any]:
    """The states of a definition and of its branches, by name."""
    states = dict(definition["States"])
    for state in definition["States"].values():
        for branch in state.get("Branches", []):
            states |= every_state(branch)
    return states


def along(path: list[str], definitions: list[Path]) -> tuple[int, int, int]:
    """States on the way of a request, calls of functions in them, and expressions in their arguments, outputs, variables and choices."""
    states: dict[str, Any] = {}
    for definition in definitions:
        states |= every_state(json.loads(definition.read_text()))
    entered = [states[name] for name in path]
    fields = ("Arguments", "Output", "Assign", "Choices", "TimeoutSeconds")
    calls = sum(is_function(state) for state in entered)
    return len(entered), calls, sum(expressions(state.get(field)) for state in entered for field in fields)


def is_function(state: dict[str, Any]) -> bool:
    """Whether the state calls a function, as an integration or by its ARN."""
    resource = state.get("Resource", "")
    return resource.endswith(":lambda:invoke") or resource.endswith("FunctionArn}")


def percentile(values: list[float], part: float) -> float:
    """The value that `part` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def table(title: str, rows: list[tuple[str, float, float]]) -> None:
    """Prints a table of both designs with their ratio."""
    print(f"\n## {title}\n\n| figure | articles' design | ours | ours / theirs |\n|---|---:|---:|---:|")
    for name, articles, own in rows:
        print(f"| {name} | {articles:,.1f} | {own:,.1f} | {own / articles if articles else 0:.2f} |")


def main() -> None:
    """Deploys the articles' design, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--engine-pid", type=int, required=True)
    parser.add_argument("--state-machines", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=300)
    arguments = parser.parse_args()
    designs = [theirs(arguments.endpoint), ours(arguments.endpoint, arguments.stack_name)]
    own = [arguments.state_machines / f"{name}.asl.json" for name in ("rate-limiter",)]
    articles = [HERE / "rate-limiter.asl.json", HERE / "model-router.asl.json"]
    ways = [(label, along(THEIRS[label], articles), along(OURS[label], own)) for label in OURS]
    rows = [(f"{label}, {what}", way[place], mine[place]) for label, way, mine in ways
            for place, what in enumerate(("states", "calls of functions", "expressions"))]
    table("The way of a request", rows)
    rows = []
    for label, model in (("approved", MODEL), ("denied", DENIED_MODEL)):
        took = in_turns(designs, model, arguments.requests)
        for name, figure in (("median", statistics.median), ("95th percentile", lambda values: percentile(values, 0.95))):
            rows.append((f"{label}, {name}, ms", *(figure(took[design.name]) for design in designs)))
    table(f"Overhead with one client, {arguments.requests} requests each in turns", rows)
    found = [at_once(design, arguments.requests, arguments.engine_pid) for design in designs]
    rows = [(name, *(each[key] for each in found)) for name, key in (
        ("requests a second", "per_second"), ("engine, processor ms a request", "engine_ms"), ("functions, processor ms a request", "functions_ms"))]
    table(f"{CLIENTS} clients, {arguments.requests} requests each design", rows)
    print(f"\n{os.cpu_count()} processors; the engine is one Python process.", file=sys.stderr)


if __name__ == "__main__":
    main()
