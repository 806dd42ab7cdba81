"""Sends the requests of a simulated month through a deployed stack, and moves the clock from hour to hour.

Each cost center has one client, which sends its requests one after the other. So the order in which requests meet their
budgets does not depend on the machine. The clock is moved only while no request runs and the metrics queue is empty,
because a message that is being processed would become visible again.

The functions with a schedule run at most once an hour of the month by themselves, because the clock skips the minutes in
between. The program calls them at the end of each day, and after calls that bypass the sentry the one that finds these. The sweep
makes its second pass half a minute of the machine's time later, so the program does not wait for it.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config

import month_plan
from cost_stack import functions_of
from deploy import outputs
from month_limits import USUAL_LIMITS, limits_of
from month_plan import Plan, Request
from month_prices import Prices
from movable_clock import MovableClock

ANSWER_TIMEOUT_SECONDS = 310
DRAIN_SECONDS, POLL_SECONDS = 60.0, 0.03
SWEEP, WATCH = "SweepHoldsFunction", "WatchUsageFunction"
# Usage that bypasses the sentry counts only if two runs find it.
WATCHES = 3
WATCHED_AFTER = timedelta(minutes=5)
# The functions with a cache of the catalogue table, which lasts a minute of the machine's time.
WITH_CATALOGUE = ("ValidateAndTagFunction",)
EVENING = timedelta(hours=23, minutes=55)
DEAD_LETTERS = "DeadLetter"
Row = dict[str, Any]


class MonthFailed(Exception):
    """The month could not be simulated. The message is for the user at the terminal."""


@dataclass(frozen=True)
class Options:
    """Where the stack is."""

    endpoint: str
    stack_name: str
    bedrock_endpoint: str
    limits: str = USUAL_LIMITS


class Month:
    """A deployed stack on a local AWS with a clock that can be moved."""

    def __init__(self, options: Options, plan: Plan, prices: Prices, clock: MovableClock) -> None:
        self.options, self.plan, self.prices, self.clock = options, plan, prices, clock
        self.outputs = outputs(self.client("cloudformation"), options.stack_name)
        self.functions = functions_of(self.client("cloudformation"), options.stack_name)
        self._states, self._lambda = self.client("stepfunctions"), self.client("lambda")
        self._queues = self.client("sqs")
        self._queue_urls = self._find_queues()
        self._bedrock = self.client("bedrock", options.bedrock_endpoint)
        self._runtime = self.client("bedrock-runtime", options.bedrock_endpoint)
        self.profiles: dict[str, Row] = {}
        self.limits: list[Row] = []
        self.answers: list[Row] = []
        self._price_is_known = False

    def client(self, service: str, endpoint: str | None = None) -> Any:
        """A client that makes one attempt, because a request that is sent twice may be charged twice."""
        config = Config(
            inject_host_prefix=False,
            read_timeout=ANSWER_TIMEOUT_SECONDS,
            retries={"total_max_attempts": 1},
            proxies={},
            max_pool_connections=32,
        )
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        url = endpoint or self.options.endpoint
        return boto3.client(service, endpoint_url=url, region_name="us-east-1", config=config, **keys)

    def _find_queues(self) -> list[str]:
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        listed = [
            each
            for page in pages.paginate(StackName=self.options.stack_name)
            for each in page["StackResourceSummaries"]
            if each["ResourceType"] == "AWS::SQS::Queue" and DEAD_LETTERS not in each["LogicalResourceId"]
        ]
        return [each["PhysicalResourceId"] for each in listed]

    # The administrator

    def set_up(self) -> None:
        """Creates the profiles, the aliases of the catalogue table, and the limits."""
        self._move_to(self.plan.start)
        tables = self.client("dynamodb")
        for profile in month_plan.PROFILES:
            arn = self._bedrock.create_inference_profile(
                inferenceProfileName=profile.name,
                modelSource={"copyFrom": f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/{profile.source}"},
                tags=[{"key": key, "value": value} for key, value in profile.tags.items()],
            )["inferenceProfileArn"]
            self.profiles[profile.name] = {
                "name": profile.name,
                "arn": arn,
                "id": arn.rpartition("/")[2],
                "source": profile.source,
                "tags": profile.tags,
            }
            alias = {"entry": {"S": f"alias#{profile.name}"}, "modelId": {"S": arn}}
            tables.put_item(TableName=self.outputs["CatalogueTableName"], Item=alias)
        self.limits = limits_of(self.plan, self.prices, self.options.limits)
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=self.options.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        for item in self.limits:
            resource.Table(self.outputs["LimitsTableName"]).put_item(Item=item)

    def _enter_price(self) -> None:
        """Enters the price that changed, and starts the functions anew that have the old one in their memory."""
        change = self.plan.change
        price = {"M": {name: {"S": rate} for name, rate in change.price.items()}}
        item = {"entry": {"S": change.model}, "price": price, "priceSource": {"S": "the price list of the month"}}
        self.client("dynamodb").put_item(TableName=self.outputs["CatalogueTableName"], Item=item)
        for logical in WITH_CATALOGUE:
            name = self.functions[logical]
            described = self._lambda.get_function_configuration(FunctionName=name)
            variables = {**described["Environment"]["Variables"], "SENTRY_PRICE_ENTERED": "1"}
            self._lambda.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
            while self._lambda.get_function_configuration(FunctionName=name).get("LastUpdateStatus") == "InProgress":
                time.sleep(POLL_SECONDS)
        self._price_is_known = True

    # The clock

    def _move_to(self, at: datetime) -> None:
        self.clock.move_to(at)
        body = json.dumps({"now": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
        with urllib.request.urlopen(f"{self.options.bedrock_endpoint}/_sim/clock", body, timeout=10):
            pass

    def _drain(self) -> None:
        """Waits until the messages of all requests are processed."""
        deadline = time.monotonic() + DRAIN_SECONDS
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        while any(self._messages(url, names) for url in self._queue_urls):
            if time.monotonic() > deadline:
                raise MonthFailed(f"the metrics queue is not empty after {DRAIN_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _messages(self, url: str, names: list[str]) -> int:
        attributes = self._queues.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def _run_scheduled(self, at: datetime) -> None:
        """Moves the clock to `at`, and calls the functions with a schedule, as they are called every minute."""
        self._drain()
        self._move_to(at)
        self._lambda.invoke(FunctionName=self.functions[SWEEP], InvocationType="Event", Payload=b"{}")
        self._watch(at)

    def _watch(self, at: datetime) -> None:
        """Calls the function that finds ungoverned usage at `at` and in the next two minutes, if the stack has it."""
        for minute in range(WATCHES if WATCH in self.functions else 0):
            self._drain()
            self._move_to(at + timedelta(minutes=minute))
            self._call(self.functions[WATCH])

    def _call(self, name: str) -> None:
        answer = self._lambda.invoke(FunctionName=name, Payload=b"{}")
        if answer.get("FunctionError"):
            raise MonthFailed(f"{name} failed: {answer['Payload'].read()[:300]!r}")

    # The clients

    def run(self) -> None:
        """Sends all requests. Prints one line a day."""
        day, begun, first = self.plan.start.date(), time.monotonic(), 0
        for at, requests in self.plan.slots():
            if at.date() != day:
                self._end_day(day, begun, self.answers[first:])
                day, begun, first = at.date(), time.monotonic(), len(self.answers)
            self._run_slot(at, requests)
        self._end_day(day, begun, self.answers[first:])
        self._run_scheduled(self.plan.end + timedelta(minutes=30))
        self._drain()

    def _run_slot(self, at: datetime, requests: list[Request]) -> None:
        self._drain()
        self._move_to(at)
        if at >= self.plan.change.known_at and not self._price_is_known:
            self._enter_price()
        by_client: dict[str, list[Request]] = {}
        for request in requests:
            by_client.setdefault(request.application.cost_center, []).append(request)
        with ThreadPoolExecutor(len(by_client)) as pool:
            for rows in pool.map(self._send_all, by_client.values()):
                self.answers += rows
        if any(request.direct for request in requests):
            self._watch(at + WATCHED_AFTER)

    def _end_day(self, day: date, begun: float, answers: list[Row]) -> None:
        self._run_scheduled(datetime.combine(day, datetime.min.time(), self.plan.start.tzinfo) + EVENING)
        seen = Counter(answer["outcome"] for answer in answers)
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(seen.items()))
        print(f"  {day:%a %d}  {len(answers):>4} calls: {outcomes} ({time.monotonic() - begun:.1f} s)", file=sys.stderr)

    def _send_all(self, requests: Iterable[Request]) -> list[Row]:
        return [self._go_round(request) if request.direct else self._ask(request) for request in requests]

    def _ask(self, request: Request) -> Row:
        """Sends a request through the workflow."""
        document = json.dumps(month_plan.document(request))
        ended = self._states.start_sync_execution(stateMachineArn=self.outputs["RateLimiterArn"], input=document)
        if ended["status"] != "SUCCEEDED":
            raise MonthFailed(
                f"request {request.number} ended {ended['status']}: {ended.get('error')}, {ended.get('cause')}"
            )
        answer = json.loads(ended["output"])
        return row(request) | {
            "executionArn": ended["executionArn"],
            "began": ended["startDate"].isoformat(),
            "ended": ended["stopDate"].isoformat(),
            "requestId": request.request_id,
            "requested": request.application.model,
            "modelId": (answer.get("model") or {}).get("modelId"),
            "timestamp": (answer.get("tags") or {}).get("timestamp"),
            "outcome": answer["outcome"],
            "statusCode": answer["statusCode"],
            "code": (answer.get("error") or {}).get("code"),
            "usage": answer.get("usage"),
            "cost": answer.get("cost"),
            "wouldDeny": [each["code"] for each in answer.get("wouldDeny") or []],
        }

    def _go_round(self, request: Request) -> Row:
        """Calls the model without the sentry."""
        called = request.direct or ""
        model_id = self.profiles[called]["arn"] if called in self.profiles else called
        answer = self._runtime.converse(
            modelId=model_id,
            messages=[{"role": "user", "content": [{"text": month_plan.text(request)}]}],
            inferenceConfig={"maxTokens": request.max_tokens},
        )
        return row(request) | {"outcome": "Direct", "modelId": model_id, "usage": answer["usage"]}


def row(request: Request) -> Row:
    """The facts of a request that are known before it is sent."""
    application = request.application
    return {
        "number": request.number,
        "at": request.at.isoformat(),
        "application": application.name,
        "costCenter": application.cost_center,
        "environment": application.environment,
        "kind": request.kind,
        "fault": request.fault,
    }
