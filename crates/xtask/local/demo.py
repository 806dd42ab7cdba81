#!/usr/bin/env python3
"""The cost sentry's demo: a story told with real requests.

A client that knows only the public contract: it finds the stack by its outputs, edits the limits table as an admin would,
sends documents through StartSyncExecution and reads the answers. Every step states the outcome it expects; the program ends
with exit code 1 at the first step that turns out differently. It always leaves an HTML report of the answers it got.
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional

sys.dont_write_bytecode = True  # the modules beside this file are read from a source tree

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

import report  # noqa: E402
from demo_terminal import Terminal  # noqa: E402

# How long the demo waits for Bedrock's metrics to reach CloudWatch. The simulator of the demo needs about a second.
METRICS_PATIENCE_SECONDS = 90
# StartSyncExecution answers within five minutes, the limit of an Express workflow.
ANSWER_TIMEOUT_SECONDS = 310

HAIKU = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
SONNET = "us.anthropic.claude-3-5-sonnet-20241022-v2:0"
NOVA_LITE = "amazon.nova-lite-v1:0"
NOVA_MICRO = "amazon.nova-micro-v1:0"
PROFILE_NAME = "research-assistant"


class Unexpected(Exception):
    """A step whose outcome was not the expected one."""


@dataclass(frozen=True)
class Expect:
    """What a step has to come to; a field that is None is not looked at."""

    outcome: str
    status: int
    code: Optional[str] = None
    source: Optional[str] = None
    path: Optional[str] = None
    metric: Optional[str] = None
    used_at_least: Optional[dict] = None

    def problems(self, answer: dict) -> list[str]:
        """Every difference between the answer and the expectation, in words."""
        error = answer.get("error") or {}
        found = [
            ("outcome", self.outcome, answer.get("outcome")),
            ("statusCode", self.status, answer.get("statusCode")),
            ("error.code", self.code, error.get("code")),
            ("error.details.path", self.path, (error.get("details") or {}).get("path")),
            ("tags.modelMetric", self.metric, (answer.get("tags") or {}).get("modelMetric")),
        ]
        problems = [f"expected {name} {want}, got {got}" for name, want, got in found if want is not None and want != got]
        if self.outcome == "Succeeded" and error:
            problems.append(f"expected no error, got {error.get('code')}")
        if self.outcome != "Invalid" and not answer.get("budget"):
            problems.append("expected the budget in the answer, found none")
        return problems + self._budget_problems((answer.get("budget") or [{}])[0])

    def _budget_problems(self, budget: dict) -> list[str]:
        problems = []
        if self.source is not None and budget.get("source") != self.source:
            problems.append(f"expected the limit to come from the {self.source} item, got {budget.get('source')}")
        for direction, least in (self.used_at_least or {}).items():
            used = (budget.get(direction) or {}).get("used")
            if used is None or used < least:
                problems.append(f"expected at least {least:,} {direction} tokens used in the budget, got {used}")
        return problems


class Stack:
    """The deployed stack as its clients and its admin see it."""

    def __init__(self, endpoint: str, stack_name: str, bedrock_endpoint: str) -> None:
        # Only the local AWS is spoken to: a profile or a proxy of the machine must not come into it.
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            os.environ.pop(name, None)
        self.region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self._session = boto3.Session(
            aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID") or "test",
            aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY") or "test",
            region_name=self.region,
        )
        self._endpoint = endpoint
        self._workflows = self._client("stepfunctions", read_timeout=ANSWER_TIMEOUT_SECONDS)
        self._tables = self._client("dynamodb")
        self._metrics = self._client("cloudwatch")
        self._bedrock = self._client("bedrock", endpoint=bedrock_endpoint)
        stacks = self._client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
        self.rate_limiter = outputs["RateLimiterArn"]
        self.limits_table = outputs["LimitsTableName"]

    def _client(self, service: str, endpoint: Optional[str] = None, read_timeout: int = 60) -> Any:
        # No retries for the workflows' sake: sending a request twice may pay for it twice.
        retries = {"total_max_attempts": 1 if service == "stepfunctions" else 3, "mode": "standard"}
        config = Config(inject_host_prefix=False, connect_timeout=10, read_timeout=read_timeout, retries=retries, proxies={})
        return self._session.client(service, endpoint_url=endpoint or self._endpoint, config=config)

    def ask(self, document: dict) -> dict:
        """Sends a document to the rate limiter; the whole answer of StartSyncExecution."""
        return self._workflows.start_sync_execution(stateMachineArn=self.rate_limiter, input=json.dumps(document))

    def set_limit(self, key: str, limit: dict) -> None:
        """Writes one item of the limits table, as an admin would."""
        amounts = {name: {"N": str(amount)} for name, amount in limit.items()}
        self._tables.put_item(TableName=self.limits_table, Item={"modelId": {"S": key}, "limit": {"M": amounts}})

    def remove_limit(self, key: str) -> None:
        """Removes one item of the limits table, if it is there."""
        self._tables.delete_item(TableName=self.limits_table, Key={"modelId": {"S": key}})

    def month_usage(self, model_metric: str) -> dict:
        """Month-to-date tokens of a model as Bedrock has published them in CloudWatch."""
        now = datetime.now(timezone.utc)
        metrics = {"input": "InputTokenCount", "output": "OutputTokenCount"}
        queries = [
            {
                "Id": direction,
                "MetricStat": {"Metric": self._usage_metric(name, model_metric), "Period": 86_400, "Stat": "Sum"},
            }
            for direction, name in metrics.items()
        ]
        start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        pages = self._metrics.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=start, EndTime=now + timedelta(minutes=1)
        )
        usage = {"input": 0, "output": 0}
        for page in pages:
            for result in page["MetricDataResults"]:
                usage[result["Id"]] += int(sum(result["Values"]))
        return usage

    def raise_usage_to(self, model_metric: str, target: dict) -> None:
        """Puts what is missing to the target figures into CloudWatch, as earlier calls of the month would have."""
        current = self.month_usage(model_metric)
        data = [
            {**self._usage_metric(name, model_metric), "Value": target[direction] - current[direction], "Unit": "Count"}
            for direction, name in (("input", "InputTokenCount"), ("output", "OutputTokenCount"))
            if target[direction] > current[direction]
        ]
        for datum in data:
            datum.pop("Namespace")
        if data:
            self._metrics.put_metric_data(Namespace="AWS/Bedrock", MetricData=data)

    @staticmethod
    def _usage_metric(name: str, model_metric: str) -> dict:
        dimensions = [{"Name": "ModelId", "Value": model_metric}]
        return {"Namespace": "AWS/Bedrock", "MetricName": name, "Dimensions": dimensions}

    def profile_arn(self, name: str, model_id: str) -> str:
        """The application inference profile of that name, created on the first run."""
        for page in self._bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION"):
            for profile in page.get("inferenceProfileSummaries", []):
                if profile.get("inferenceProfileName") == name:
                    return profile["inferenceProfileArn"]
        created = self._bedrock.create_inference_profile(
            inferenceProfileName=name,
            modelSource={"copyFrom": f"arn:aws:bedrock:{self.region}::foundation-model/{model_id}"},
            tags=[{"key": "costCenter", "value": "research"}],
        )
        return created["inferenceProfileArn"]


class Demo:
    """The story: what the admin does, what is asked, and what has to come of it."""

    def __init__(self, stack: Stack, terminal: Terminal) -> None:
        self.stack = stack
        self.terminal = terminal
        self.entries: list[report.Entry] = []
        self.step = "the start"

    def tell(self) -> None:
        """The whole story, in its order."""
        profile_arn = self.admin_prepares()
        first = self.approved(profile_arn)
        self.denied()
        self.failing()
        self.invalid()
        self.counted(first)

    def admin_prepares(self) -> str:
        self.step = "The admin sets the limits"
        profile_arn = self.stack.profile_arn(PROFILE_NAME, NOVA_LITE)
        limits = {
            HAIKU: {"input": 1_000_000, "output": 250_000},
            NOVA_LITE: {"input": 2_000_000, "output": 500_000},
            NOVA_MICRO: {"input": 500_000, "output": 200_000},
            profile_arn.rsplit("/", 1)[-1]: {"input": 300_000, "output": 100_000},
            "default": {"input": 100_000, "output": 50_000},
        }
        for key, limit in limits.items():
            self.stack.set_limit(key, limit)
        for model in (SONNET, "anthropic.claude-v2:0"):
            self.stack.remove_limit(model)
        note = f"tokens a month, in the table {self.stack.limits_table}; the fourth is a team's own inference profile"
        self.terminal.admin(self.step, note, limits)

        self.step = "Tokens already used this month"
        used = {
            HAIKU: {"input": 412_600, "output": 88_300},
            NOVA_LITE: {"input": 1_320_000, "output": 411_000},
            NOVA_MICRO: {"input": 512_400, "output": 96_000},
            SONNET: {"input": 64_000, "output": 51_200},
        }
        for model, usage in used.items():
            self.stack.raise_usage_to(model, usage)
        self.terminal.admin(self.step, "in CloudWatch, as Bedrock publishes them", {m: self.stack.month_usage(m) for m in used})
        return profile_arn

    def approved(self, profile_arn: str) -> dict:
        self.terminal.chapter("Approved")
        first = self.request(
            "Claude 3.5 Haiku, by its alias",
            document("claude-3-5-haiku", "Explain the benefits of S3 in 100 words.", "helpdesk", "support", system="You are an AWS expert."),
            Expect("Succeeded", 200, source="model", metric=HAIKU),
        )
        self.request(
            "Amazon Nova Lite, another family",
            document("nova-lite", "Name three uses of a queue.", "paper-search", "research"),
            Expect("Succeeded", 200, source="model", metric=NOVA_LITE),
        )
        self.request(
            "Claude 2, which has no item: the default decides",
            document("claude-2", "Write a haiku about budgets.", "newsletter", "marketing", environment="staging"),
            Expect("Succeeded", 200, source="default", metric="anthropic.claude-v2:0"),
        )
        self.request(
            "A team's own inference profile, by its ARN",
            document(profile_arn, "Summarise the CAP theorem.", "paper-search", "research"),
            Expect("Succeeded", 200, source="model", metric=profile_arn.rsplit("/", 1)[-1]),
        )
        return first

    def denied(self) -> None:
        self.terminal.chapter("Denied, and a limit raised live")
        banner = document("nova-micro", "Draft a banner for the sale.", "shop-banners", "marketing")
        exceeded = Expect("Denied", 429, code="BudgetExceeded", source="model", metric=NOVA_MICRO)
        self.request("Nova Micro has used up its own limit", banner, exceeded)

        self.step = "The admin raises Nova Micro's limit"
        raised = {"input": 1_500_000, "output": 600_000}
        self.stack.set_limit(NOVA_MICRO, raised)
        self.terminal.admin(self.step, "one edited item, no deployment", {NOVA_MICRO: raised})

        approved = Expect("Succeeded", 200, source="model", metric=NOVA_MICRO)
        self.request("The same request, after the raise", banner, approved)
        self.request(
            "Claude 3.5 Sonnet has used up the default limit",
            document("claude-3-5-sonnet-v2", "Review this contract.", "helpdesk", "support"),
            Expect("Denied", 429, code="BudgetExceeded", source="default", metric=SONNET),
        )

    def failing(self) -> None:
        self.terminal.chapter("Approved, but the model fails")
        self.request(
            "Bedrock throttles, also after the retries",
            document("nova-lite", "Hello! [[sim fault=throttling]]", "paper-search", "research"),
            Expect("InvocationFailed", 429, code="ModelThrottled", source="model"),
        )
        self.request(
            "The model ends with an error",
            document("claude-3-5-haiku", "Hello! [[sim fault=model-error]]", "helpdesk", "support", environment="staging"),
            Expect("InvocationFailed", 502, code="ModelError", source="model"),
        )

    def invalid(self) -> None:
        self.terminal.chapter("Invalid: nothing is counted, nothing is spent")
        misspelt = document("nova-lite", "Tell me a joke.", "helpdesk", "support")
        misspelt["prompt"]["parameters"]["temprature"] = 0.2
        path = "prompt.parameters.temprature"
        self.request("A misspelt parameter", misspelt, Expect("Invalid", 400, code="InvalidRequest", path=path))
        self.request(
            "A model nobody knows",
            document("claude-99", "Who are you?", "helpdesk", "support"),
            Expect("Invalid", 400, code="UnknownModel"),
        )
        robot = document("nova-lite", "Beep?", "helpdesk", "support")
        robot["prompt"]["messages"][0]["role"] = "robot"
        path = "prompt.messages[0].role"
        self.request("A role that does not exist", robot, Expect("Invalid", 400, code="InvalidRequest", path=path))

    def counted(self, first: dict) -> None:
        self.terminal.chapter("The budget remembers")
        self.step = "The first answer's tokens reach CloudWatch"
        budget, usage = first["budget"][0], first["usage"]
        read = sum(usage.get(name, 0) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"))
        least = {"input": budget["input"]["used"] + read, "output": budget["output"]["used"] + usage["outputTokens"]}
        deadline = time.monotonic() + METRICS_PATIENCE_SECONDS
        usage_now = self.stack.month_usage(HAIKU)
        while any(usage_now[direction] < least[direction] for direction in least):
            if time.monotonic() > deadline:
                raise Unexpected(f"not within {METRICS_PATIENCE_SECONDS} seconds: {usage_now}, expected at least {least}")
            time.sleep(0.5)
            usage_now = self.stack.month_usage(HAIKU)
        self.terminal.admin(self.step, "month to date, as Bedrock published them", {HAIKU: usage_now})
        self.request(
            "Claude 3.5 Haiku again, with the first answer counted",
            document("claude-3-5-haiku", "And of S3 Glacier?", "helpdesk", "support"),
            Expect("Succeeded", 200, source="model", metric=HAIKU, used_at_least=least),
        )

    def request(self, title: str, body: dict, expect: Expect) -> dict:
        """One request: sent, shown, kept for the report, compared with what it has to come to."""
        number = len(self.entries) + 1
        self.step = f"{number}. {title}"
        self.terminal.request(number, title, body)
        execution = self.stack.ask(body)
        if execution["status"] != "SUCCEEDED":
            what = f"{execution.get('error', 'no error name')}: {execution.get('cause', 'no cause')}"
            raise Unexpected(f"expected an answer document, but the execution ended {execution['status']} ({what[:300]})")
        answer = json.loads(execution["output"])
        problems = expect.problems(answer)
        entry = report.Entry.of(number, title, answer, execution["startDate"], execution["stopDate"], not problems)
        self.entries.append(entry)
        self.terminal.answer(entry)
        if problems:
            raise Unexpected("; ".join(problems))
        return answer


def document(
    model: str, prompt: str, application: str, cost_center: str, environment: str = "production", system: Optional[str] = None
) -> dict:
    """A request document of the contract."""
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {
        "model": model,
        "prompt": {"messages": messages, "parameters": {"max_tokens": 400, "temperature": 0.7}},
        "tags": {"applicationId": application, "costCenter": cost_center, "environment": environment},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Tells the cost sentry's story with real requests to a local stack.")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the local AWS")
    parser.add_argument("--stack-name", required=True, metavar="NAME")
    parser.add_argument("--bedrock-endpoint", required=True, metavar="URL", help="the simulated Bedrock, control plane included")
    parser.add_argument("--report", required=True, metavar="PATH", type=Path, help="where the HTML report goes")
    arguments = parser.parse_args()

    terminal = Terminal(sys.stdout)
    terminal.title("Cost sentry", f"stack {arguments.stack_name} at {arguments.endpoint}")
    demo, failure = None, None
    try:
        demo = Demo(Stack(arguments.endpoint, arguments.stack_name, arguments.bedrock_endpoint), terminal)
        demo.tell()
    except Unexpected as problem:
        failure = f"step “{demo.step}” did not turn out as expected: {problem}"
    except (BotoCoreError, ClientError) as problem:
        failure = f"step “{demo.step if demo else 'finding the stack'}” could not be carried out: {problem}"
    except KeyError as missing:
        where = demo.step if demo else "finding the stack"
        failure = f"step “{where}”: {missing} is missing in the answer or in the stack's outputs"
    except KeyboardInterrupt:
        failure = f"interrupted at step “{demo.step if demo else 'finding the stack'}”"

    entries = demo.entries if demo else []
    if entries:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        page = report.render(entries, arguments.stack_name, datetime.now(timezone.utc), failure)
        arguments.report.write_text(page, encoding="utf-8")
        terminal.summary(entries)
    terminal.end(failure, arguments.report.resolve() if entries else None)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
