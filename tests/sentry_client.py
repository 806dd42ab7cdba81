"""A client of the cost sentry. It uses boto3 and the public contract. Of the implementation it knows only the ledger's items.

Fault injection (`reconfigured`, `Tap`) needs the names of the functions. It gets them from CloudFormation.
"""

import io
import json
import secrets
import socket
import string
import threading
import time
import urllib.request
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import boto3
from boto3.dynamodb.conditions import Key
from botocore.config import Config
from botocore.exceptions import ClientError

METRICS = ("TotalRequests", "RateLimitApproved", "RateLimitDenied", "InvocationFailed", "InputTokens", "OutputTokens")
PLENTY = 1_000_000_000_000
UNREACHABLE = "http://127.0.0.1:9"
PARALLEL_REQUESTS = 6
# The reasons of a denial by a function that took longer than it may.
TIMEOUTS = ("Sandbox.Timedout", "States.Timeout")
MOST_RETRIES = 3

# Every prompt text that this suite sends contains this word. test_logs.py searches all logs for it.
CANARY = "canary" + secrets.token_hex(8)


# The application of tests that do not need their own. Each additional value would add six metrics.
SOMEBODY = f"e2e-app-{secrets.token_hex(5)}"


def unique(prefix):
    """Returns a name that no other test uses."""
    return f"{prefix}-{secrets.token_hex(5)}"


def text(words="Say something short.", **directives):
    """Returns a prompt with the canary. `directives` control the Bedrock simulator (`output_tokens=5`, `fault="hang"`)."""
    told = " ".join(f"{name.replace('_', '-')}={value}" for name, value in directives.items())
    return f"{words} {CANARY} {secrets.token_hex(6)}" + (f" [[sim {told}]]" if told else "")


def document(model="nova-lite", content=None, *, messages=None, parameters=None, tags=None, **directives):
    """Returns a valid document. Each argument replaces a part of it."""
    prompt = {"messages": messages or [{"role": "user", "content": content or text(**directives)}]}
    if parameters is not None:
        prompt["parameters"] = parameters
    return {"model": model, "prompt": prompt, "tags": tags or {"applicationId": SOMEBODY}}


class Sentry:
    """Client of one deployed stack."""

    def __init__(self, endpoint, stack_name, bedrock_endpoint, region):
        self.local = endpoint is not None
        self.endpoint, self.stack_name, self.bedrock_endpoint = endpoint, stack_name, bedrock_endpoint
        self.answer_texts = []
        # Requests that were repeated because of a slow machine, and changes of functions that are in force.
        self.retries, self._changed_functions = 0, 0
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} if self.local else {}
        self.session = boto3.Session(region_name=region or ("us-east-1" if self.local else None), **keys)
        self.region = self.session.region_name
        self.cloudformation = self.client("cloudformation")
        self.states = self.client("stepfunctions")
        self.cloudwatch = self.client("cloudwatch")
        self.functions = self.client("lambda")
        # The local AWS answers 500 if a function writes a log while its groups are listed.
        self.logs = self.client("logs", attempts=5)
        self.queues = self.client("sqs")
        stack = self.cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}
        self.native = self.parameters.get("ModelInvocation") == "native"
        self.account = self.client("sts").get_caller_identity()["Account"]
        dynamodb = self.session.resource("dynamodb", endpoint_url=endpoint, config=self._config(attempts=1))
        self.limits = dynamodb.Table(self.outputs["LimitsTableName"])
        self.catalogue = dynamodb.Table(self.outputs["CatalogueTableName"])
        self.ledger = dynamodb.Table(self.outputs["LedgerTableName"])
        self.usage = dynamodb.Table(self.outputs["UsageTableName"])
        self._limit_keys = set()

    @staticmethod
    def _config(attempts):
        # With a host prefix, StartSyncExecution would go to the host `sync-127.0.0.1`.
        return Config(
            inject_host_prefix=False,
            read_timeout=320,
            max_pool_connections=128,
            retries={"total_max_attempts": attempts},
        )

    def client(self, service, endpoint=None, attempts=1):
        """Returns a client of an AWS service. It makes one attempt, because a retry would start another execution."""
        return self.session.client(service, endpoint_url=endpoint or self.endpoint, config=self._config(attempts))

    # Requests

    def execute(self, entry, *, machine="RateLimiterArn"):
        """Calls StartSyncExecution. `entry` is a document or its text. Returns status, output, error and cause.

        Retries the request as its error says if a function timed out that no test has changed. A machine that pauses
        for seconds does that, and such an answer says nothing about the sentry. The run ends with the number of retries.
        """
        for _ in range(MOST_RETRIES):
            ended = self._execute(entry, machine)
            error = (ended["output"] or {}).get("error") or {}
            if self._changed_functions or error.get("details", {}).get("reason") not in TIMEOUTS:
                return ended
            self.retries += 1
            time.sleep(error["retryAfterSeconds"])
        return self._execute(entry, machine)

    def _execute(self, entry, machine):
        raw = entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)
        ended = self.states.start_sync_execution(stateMachineArn=self.outputs[machine], input=raw)
        output = json.loads(ended["output"]) if ended["status"] == "SUCCEEDED" else None
        if isinstance(output, dict):
            message = (output.get("output") or {}).get("message") or {}
            content = message.get("content")
            texts = (
                [content] if isinstance(content, str) else [block["text"] for block in content or () if "text" in block]
            )
            self.answer_texts += filter(None, texts)
        return {"status": ended["status"], "output": output, "error": ended.get("error"), "cause": ended.get("cause")}

    def ask(self, entry):
        """Returns the answer document. The contract guarantees that there is one."""
        return self._answer_of(self.execute(entry))

    @staticmethod
    def _answer_of(ended):
        assert ended["status"] == "SUCCEEDED", (
            f"the execution ended {ended['status']}: {ended['error']}: {ended['cause']}"
        )
        return ended["output"]

    def execute_all(self, entries, parallel=PARALLEL_REQUESTS, *, machine="RateLimiterArn"):
        """Calls `execute` for each document of a dictionary, several at a time."""
        with ThreadPoolExecutor(parallel) as pool:
            ended = pool.map(lambda entry: self.execute(entry, machine=machine), entries.values())
            return dict(zip(entries, ended, strict=True))

    def decide_all(self, entries, parallel):
        """The answers to a dictionary of documents, all at once, each once the budget was known."""
        with ThreadPoolExecutor(parallel) as pool:
            answers = pool.map(lambda entry: self.decided(entry)[0], entries.values())
            return dict(zip(entries, answers, strict=True))

    def decided(self, entry, seen=lambda answer: None):
        """The answer once the budget was known, and the reason of each failure before it. A machine that is too slow for so many processes
        times out, and clients retry as the error says, for at most 90 seconds. `seen` is called with each answer."""
        deadline = time.monotonic() + 90
        reasons: list[str] = []
        while True:
            # Not `ask`, which would hide timeouts from `seen` and from the reasons.
            answer = self._answer_of(self._execute(entry, "RateLimiterArn"))
            seen(answer)
            error = answer.get("error", {})
            if error.get("code") not in ("LedgerUnavailable", "UsageUnavailable") or time.monotonic() > deadline:
                return answer, reasons
            reasons.append(error["details"]["reason"])
            time.sleep(error["retryAfterSeconds"])

    def profile_arn(self):
        """Returns a well-formed ARN of an application inference profile that no other test uses, and its bare id."""
        bare = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
        return f"arn:aws:bedrock:{self.region}:{self.account}:application-inference-profile/{bare}", bare

    @staticmethod
    def unpriced_model():
        """Returns the id of a Nova model that no other test uses. The catalogue does not contain it, so it has no price."""
        return f"amazon.nova-e2e-{secrets.token_hex(5)}-v1:0"

    def add_model(self, **entry):
        """Adds a Nova model that no other test uses to the catalogue table, as an administrator does. Returns its id."""
        model_id = self.unpriced_model()
        self.catalogue.put_item(Item={"entry": model_id, **entry})
        return model_id

    # Limits and usage

    def set_limit(self, key, *limit, **attributes):
        """Writes an item as an administrator does. `attributes` are fields other than `limit`. Numbers may be int or Decimal."""
        self._limit_keys.add(key)
        item = {"modelId": key, **attributes}
        if limit:
            (item["limit"],) = limit
        self.limits.put_item(Item=item)

    def delete_limit(self, key):
        self.limits.delete_item(Key={"modelId": key})

    def delete_own_limits(self):
        for key in self._limit_keys - {"default"}:
            self.delete_limit(key)

    @contextmanager
    def default_item(self, item, key="default"):
        """Replaces the item `default` (or another shared item) with `item` inside the context. None removes the item.

        No other test runs at the same time.
        """
        before = self.limits.get_item(Key={"modelId": key}, ConsistentRead=True).get("Item")
        try:
            if item is None:
                self.delete_limit(key)
            else:
                self.limits.put_item(Item={"modelId": key, **item})
            yield
        finally:
            if before is None:
                self.delete_limit(key)
            else:
                self.limits.put_item(Item=before)

    def ledger_items(self, scope):
        """Returns the items of a scope in the ledger, one for each window. A spread scope has more items under `<scope>##<n>`."""
        return self.ledger.query(KeyConditionExpression=Key("scope").eq(scope), ConsistentRead=True)["Items"]

    def ledger_settled(self, scope, attribute="settledOutput", shards=16):
        """Returns the amount that the ledger has settled for a scope: the sum over its own items and `shards` shards."""
        names = [scope, *(f"{scope}##{number}" for number in range(shards))]
        return sum(int(item.get(attribute, 0)) for name in names for item in self.ledger_items(name))

    def history(self, scope, requests):
        """Waits until the usage history has at least `requests` requests of `scope`. Returns the sums over all days."""
        deadline = time.monotonic() + 90
        while True:
            items = self.usage.query(KeyConditionExpression=Key("scope").eq(scope), ConsistentRead=True)["Items"]
            sums: Counter[str] = Counter()
            for item in items:
                sums.update(
                    {name: int(value) for name, value in item.items() if name not in {"scope", "day", "expiresAt"}}
                )
            if sums["requests"] >= requests:
                return dict(sums)
            assert time.monotonic() < deadline, f"the history has {dict(sums)} of {scope}"
            time.sleep(0.2)

    def put_usage(self, model_metric, **tokens):
        """Puts data points as Bedrock does, e.g. `InputTokenCount=1000`. Only the local AWS allows writes to this namespace."""
        now = datetime.now(UTC)
        when = max(now - timedelta(seconds=2), now.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
        self.cloudwatch.put_metric_data(
            Namespace="AWS/Bedrock",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "ModelId", "Value": model_metric}],
                    "Timestamp": when,
                    "Value": value,
                    "Unit": "Count",
                }
                for name, value in tokens.items()
            ],
        )

    # Metrics

    @staticmethod
    def dimensions(answer):
        """Returns the five dimensions that the metrics of an answer must have."""
        tags = answer["tags"]
        return {
            "Model": answer["model"]["requested"],
            "ModelId": answer["model"]["modelId"],
            "CostCenter": tags.get("costCenter", "unspecified"),
            "Application": tags.get("applicationId", "unspecified"),
            "Environment": tags.get("environment", "unspecified"),
        }

    def metrics(self, dimensions):
        """Returns `{name: (sum, number of points)}` of the six metrics with exactly these dimensions.

        A metric without points is absent.
        """
        described = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        now = datetime.now(UTC)
        queries = [
            {
                "Id": f"{statistic.lower()}{number}",
                "MetricStat": {
                    "Metric": {"Namespace": "GenAIRateLimiting", "MetricName": name, "Dimensions": described},
                    "Period": 300,
                    "Stat": statistic,
                },
            }
            for number, name in enumerate(METRICS)
            for statistic in ("Sum", "SampleCount")
        ]
        answer = self.cloudwatch.get_metric_data(
            MetricDataQueries=queries, StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=5)
        )
        found = {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}
        return {
            name: (sum(found[f"sum{number}"]), sum(found[f"samplecount{number}"]))
            for number, name in enumerate(METRICS)
            if found.get(f"samplecount{number}")
        }

    def wait_for_metrics(self, dimensions, seconds=None, points=1):
        """Polls until all six metrics have at least `points` points. Returns the last result, also after a timeout."""
        deadline = time.monotonic() + (seconds or (10 if self.local else 240))
        while True:
            found = self.metrics(dimensions)
            if sum(seen >= points for _, seen in found.values()) == len(METRICS) or time.monotonic() > deadline:
                return found
            time.sleep(0.3 if self.local else 5)

    def metric_applications(self, **dimensions):
        """Returns the values of the dimension Application in the sentry's namespace, of metrics with these dimensions."""
        described = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        pages = self.cloudwatch.get_paginator("list_metrics").paginate(
            Namespace="GenAIRateLimiting", Dimensions=described
        )
        return {
            dimension["Value"]
            for page in pages
            for metric in page["Metrics"]
            for dimension in metric["Dimensions"]
            if dimension["Name"] == "Application"
        }

    def forget_metric_values(self, month):
        """Deletes the lists of the dimension values that metrics keep in a month."""
        for name in ("Model", "ModelId", "CostCenter", "Application", "Environment", "Combination"):
            self.usage.delete_item(Key={"scope": f"metric-values#{name}", "day": month})

    def metric_total(self, name, **dimensions):
        """Returns the sum of another metric of the sentry with exactly these dimensions."""
        described = [{"Name": key, "Value": str(value)} for key, value in dimensions.items()]
        metric = {"Namespace": "GenAIRateLimiting", "MetricName": name, "Dimensions": described}
        now = datetime.now(UTC)
        query = [{"Id": "total", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Sum"}}]
        answer = self.cloudwatch.get_metric_data(
            MetricDataQueries=query, StartTime=now - timedelta(hours=3), EndTime=now + timedelta(minutes=5)
        )
        return sum(answer["MetricDataResults"][0]["Values"])

    def wait_for_total(self, at_least, name, **dimensions):
        """Polls until the sum is at least `at_least`. Returns the last sum, also after a timeout."""
        deadline = time.monotonic() + (15 if self.local else 240)
        while (total := self.metric_total(name, **dimensions)) < at_least and time.monotonic() < deadline:
            time.sleep(0.3 if self.local else 5)
        return total

    # The Bedrock simulator

    def calls(self, bare_id=None):
        """Returns the number of requests that reached the simulator: in total, or for one model or profile."""
        counted = self.simulator("calls")
        if bare_id is None:
            return counted["total"]
        return sum(
            count for name, count in counted["byModel"].items() if name == bare_id or name.endswith("/" + bare_id)
        )

    @contextmanager
    def late_metrics(self, seconds):
        """Inside the context, the usage of new calls reaches CloudWatch `seconds` seconds later."""
        before = self.simulator("defaults")
        try:
            self.simulator("defaults", {"metricsDelaySeconds": seconds})
            yield
        finally:
            self.simulator("defaults", before)

    def simulator(self, name, body=None):
        request = urllib.request.Request(
            f"{self.bedrock_endpoint}/_sim/{name}", json.dumps(body).encode() if body else None
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    # Fault injection

    def resources(self, kind):
        """Returns `{logical id: physical id}` of the stack's resources of a type."""
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.stack_name)
        listed = [each for page in pages for each in page["StackResourceSummaries"]]
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed if each["ResourceType"] == kind
        }

    def function_name(self, logical_id):
        return self.resources("AWS::Lambda::Function")[logical_id].rsplit(":", 1)[-1]

    @contextmanager
    def reconfigured(self, logical_id, *, timeout=None, **environment):
        """Runs a function with other environment variables or another timeout, and restores its configuration."""
        name = self.function_name(logical_id)
        before = self.functions.get_function_configuration(FunctionName=name)
        variables = before.get("Environment", {}).get("Variables", {})
        self._changed_functions += 1
        try:
            self._configure(name, {**variables, **environment}, timeout or before["Timeout"])
            yield
        finally:
            self._configure(name, variables, before["Timeout"])
            self._changed_functions -= 1

    @contextmanager
    def quick_redelivery(self):
        """Inside the context, failed messages are delivered again after 5 seconds instead of minutes."""
        before = {}
        for queue in self.resources("AWS::SQS::Queue").values():
            attributes = self.queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])[
                "Attributes"
            ]
            before[queue] = attributes["VisibilityTimeout"]
        try:
            for queue in before:
                self.queues.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "5"})
            yield
        finally:
            for queue, seconds in before.items():
                self.queues.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": seconds})

    def crashing(self, logical_id):
        """Replaces a function with a process that ends before it takes a request, and restores the real function."""
        return self.replaced(logical_id, b"#!/bin/sh\nexit 1\n")

    @contextmanager
    def replaced(self, logical_id, bootstrap):
        """Replaces the program of a function, and restores the real program."""
        name = self.function_name(logical_id)
        with urllib.request.urlopen(
            self.functions.get_function(FunctionName=name)["Code"]["Location"], timeout=30
        ) as location:
            code = location.read()
        self._changed_functions += 1
        try:
            self._replace(name, package(bootstrap))
            yield
        finally:
            self._replace(name, code)
            self._changed_functions -= 1

    def _replace(self, name, code):
        self.functions.update_function_code(FunctionName=name, ZipFile=code)
        self._await_update(name)

    def _configure(self, name, variables, timeout):
        self.functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables}, Timeout=timeout
        )
        self._await_update(name)

    def _await_update(self, name):
        deadline = time.monotonic() + 30
        while self.functions.get_function_configuration(FunctionName=name).get("LastUpdateStatus") == "InProgress":
            assert time.monotonic() < deadline, f"{name} does not finish its update"
            time.sleep(0.1)

    def log_events(self, groups):
        """Yields `(group, message)` of all events in the given log groups."""
        for group in groups:
            try:
                for page in self.logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                    for event in page["events"]:
                        yield group, event["message"]
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise


class InFlight:
    """A request that runs while the test continues. Leaving the context waits for the answer."""

    def __init__(self, sentry, sent, bare_id):
        self.sent, self.answer = sent, None
        self._sentry, self._bare_id = sentry, bare_id
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        self.answer = self._sentry.ask(self.sent)

    def __enter__(self):
        before = self._sentry.calls(self._bare_id)
        self._thread.start()
        deadline = time.monotonic() + 20
        while self._sentry.calls(self._bare_id) == before:
            assert time.monotonic() < deadline, "the request does not reach the model"
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self._thread.join(60)


def package(bootstrap):
    """Returns a deployment package with one program."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, bootstrap)
    return packed.getvalue()


class Tap:
    """A TCP port that counts connections. It closes each connection at once, or never answers (`silent`)."""

    def __init__(self, silent=False):
        self.silent, self.connections, self._open = silent, 0, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.silent:
                self._open.append(connection)
            else:
                connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in [self._listener, *self._open]:
            each.close()


def number(value):
    """Returns a number in the type that boto3 writes to the limits table."""
    return Decimal(str(value))
