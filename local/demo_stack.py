"""The deployed stack from the view of the demo's client and admin, and the expectations of a step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
from botocore.config import Config

# StartSyncExecution answers within five minutes, which is the limit of an Express workflow.
ANSWER_TIMEOUT_SECONDS = 310
# Maximum number of requests that the demo sends at the same time.
MAX_PARALLEL = 12


class Unexpected(Exception):
    """A step had another outcome than expected."""


@dataclass(frozen=True)
class Expect:
    """The expected answer of a step. A field that is None is not checked."""

    outcome: str
    status: int
    code: str | None = None
    source: str | None = None
    path: str | None = None
    metric: str | None = None
    used_at_least: dict[str, int] | None = None
    scopes: list[str] | None = None
    short_of: tuple[str, str] | None = None
    degraded_to: int | str | None = None
    stop_reason: str | None = None

    def problems(self, answer: dict[str, Any]) -> list[str]:
        """Describes every difference between the answer and the expectation."""
        error = answer.get("error") or {}
        details = error.get("details") or {}
        short_of = (details.get("scope"), details.get("exceeded")) if self.short_of else None
        scopes = [budget.get("scope") for budget in answer.get("budget") or []]
        found = [
            ("the budgets", self.scopes, scopes),
            ("a shortage of", self.short_of, short_of),
            ("degraded.to", self.degraded_to, (answer.get("degraded") or {}).get("to")),
            ("output.stopReason", self.stop_reason, (answer.get("output") or {}).get("stopReason")),
            ("outcome", self.outcome, answer.get("outcome")),
            ("statusCode", self.status, answer.get("statusCode")),
            ("error.code", self.code, error.get("code")),
            ("error.details.path", self.path, details.get("path")),
            ("tags.modelMetric", self.metric, (answer.get("tags") or {}).get("modelMetric")),
        ]
        problems = [
            f"expected {name} {want}, got {got}" for name, want, got in found if want is not None and want != got
        ]
        if self.outcome == "Succeeded" and error:
            problems.append(f"expected no error, got {error.get('code')}")
        if self.outcome != "Invalid" and not answer.get("budget"):
            problems.append("expected the budget in the answer, found none")
        return problems + self._budget_problems((answer.get("budget") or [{}])[0])

    def _budget_problems(self, budget: dict[str, Any]) -> list[str]:
        problems = []
        if self.source is not None and budget.get("source") != self.source:
            problems.append(f"expected the limit to come from the {self.source} item, got {budget.get('source')}")
        for direction, least in (self.used_at_least or {}).items():
            used = (budget.get(direction) or {}).get("used")
            if used is None or used < least:
                problems.append(f"expected at least {least:,} {direction} tokens used in the budget, got {used}")
        return problems


class Stack:
    """The deployed stack from the view of its clients and its admin."""

    def __init__(self, endpoint: str, stack_name: str, bedrock_endpoint: str) -> None:
        # The demo must reach only the local AWS. So it ignores the machine's AWS profiles and proxies.
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

    def _client(self, service: str, endpoint: str | None = None, read_timeout: int = 60) -> Any:
        # The client does not retry workflow calls, because a request that is sent twice may be charged twice.
        retries = {"total_max_attempts": 1 if service == "stepfunctions" else 3, "mode": "standard"}
        config = Config(
            inject_host_prefix=False,
            connect_timeout=10,
            read_timeout=read_timeout,
            retries=retries,
            proxies={},
            max_pool_connections=MAX_PARALLEL,
        )
        return self._session.client(service, endpoint_url=endpoint or self._endpoint, config=config)

    def ask(self, document: dict[str, Any]) -> dict[str, Any]:
        """Sends a document to the rate limiter. Returns the whole answer of StartSyncExecution."""
        execution: dict[str, Any] = self._workflows.start_sync_execution(
            stateMachineArn=self.rate_limiter, input=json.dumps(document)
        )
        return execution

    def set_limit(
        self,
        key: str,
        limit: Mapping[str, int | Decimal],
        window: str = "month",
        when_exceeded: list[str] | None = None,
    ) -> None:
        """Writes one item of the limits table, as an admin would."""
        amounts = {name: {"N": str(amount)} for name, amount in limit.items()}
        item = {"modelId": {"S": key}, "limit": {"M": amounts}, "window": {"S": window}}
        if when_exceeded:
            item["whenExceeded"] = {"L": [{"S": action} for action in when_exceeded]}
        self._tables.put_item(TableName=self.limits_table, Item=item)

    def remove_limit(self, key: str) -> None:
        """Deletes one item of the limits table, if it exists."""
        self._tables.delete_item(TableName=self.limits_table, Key={"modelId": {"S": key}})

    def month_usage(self, model_metric: str) -> dict[str, int]:
        """The month-to-date tokens of a model that Bedrock has published in CloudWatch."""
        now = datetime.now(UTC)
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

    def raise_usage_to(self, model_metric: str, target: dict[str, int]) -> None:
        """Publishes metrics up to the target values, as earlier calls of the month would have done."""
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
    def _usage_metric(name: str, model_metric: str) -> dict[str, Any]:
        dimensions = [{"Name": "ModelId", "Value": model_metric}]
        return {"Namespace": "AWS/Bedrock", "MetricName": name, "Dimensions": dimensions}

    def profile_arn(self, name: str, model_id: str) -> str:
        """The ARN of the application inference profile with this name. The first run creates the profile."""
        for page in self._bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION"):
            for profile in page.get("inferenceProfileSummaries", []):
                if profile.get("inferenceProfileName") == name:
                    return str(profile["inferenceProfileArn"])
        created = self._bedrock.create_inference_profile(
            inferenceProfileName=name,
            modelSource={"copyFrom": f"arn:aws:bedrock:{self.region}::foundation-model/{model_id}"},
            tags=[{"key": "costCenter", "value": "research"}],
        )
        return str(created["inferenceProfileArn"])


def document(
    model: str,
    prompt: str,
    application: str,
    cost_center: str,
    environment: str = "production",
    system: str | None = None,
    max_tokens: int | None = 400,
) -> dict[str, Any]:
    """A request document of the contract. Without `max_tokens`, the sentry chooses a value."""
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    parameters: dict[str, Any] = {"temperature": 0.7}
    if max_tokens is not None:
        parameters["max_tokens"] = max_tokens
    return {
        "model": model,
        "prompt": {"messages": messages, "parameters": parameters},
        "tags": {"applicationId": application, "costCenter": cost_center, "environment": environment},
    }
