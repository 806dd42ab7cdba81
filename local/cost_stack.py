"""A deployed stack of the local AWS. A proxy between each function and the services counts the calls."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import cost_prices as prices
from counting_proxy import Call, CountingProxy
from deploy import client, outputs

SERVICES = ("DYNAMODB", "CLOUDWATCH", "SQS")
SETTLED_SECONDS = 30
Item = dict[str, dict[str, Any]]
# A table and the values of an item's key, in alphabetical order of the key names.
Key = tuple[str, ...]


class NotCounted(Exception):
    """The stack did not behave as the count requires. The message is for the user at the terminal."""


class Stack:
    """A deployed stack that counts the calls of its functions."""

    def __init__(self, endpoint: str, name: str, limits: list[Item]) -> None:
        self.names = outputs(client("cloudformation", endpoint), name)
        self._functions, self._logs = client("lambda", endpoint), client("logs", endpoint)
        self._tables, self._states = client("dynamodb", endpoint), client("stepfunctions", endpoint)
        self._physical = functions_of(client("cloudformation", endpoint), name)
        self._proxies = {function: CountingProxy(function, endpoint) for function in self._physical}
        for item in limits:
            self._tables.put_item(TableName=self.names["LimitsTableName"], Item=item)
        self.start_anew(self._physical)

    def stop(self) -> None:
        """Stops the proxies of all functions."""
        for proxy in self._proxies.values():
            proxy.stop()

    def start_anew(self, functions: Iterable[str]) -> None:
        """Restarts the functions with empty memory. Their new environments call the services through the proxies."""
        for function in functions:
            name, url = self._physical[function], self._proxies[function].url
            before = self._functions.get_function_configuration(FunctionName=name)
            variables = before.get("Environment", {}).get("Variables", {})
            variables |= {f"AWS_ENDPOINT_URL_{service}": url for service in SERVICES}
            self._functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
            while self._functions.get_function_configuration(FunctionName=name).get("LastUpdateStatus") == "InProgress":
                time.sleep(0.1)

    def ask(self, request: dict[str, Any], outcome: str) -> dict[str, Any]:
        """Sends a request, and checks its outcome."""
        ended: dict[str, Any] = self._states.start_sync_execution(
            stateMachineArn=self.names["RateLimiterArn"], input=json.dumps(request)
        )
        found = json.loads(ended["output"])["outcome"] if ended["status"] == "SUCCEEDED" else ended["status"]
        if found != outcome:
            raise NotCounted(
                f"a request ended with {found}, not {outcome}: {ended.get('output') or ended.get('cause')}"
            )
        return ended

    def calls(self) -> list[Call]:
        """Every call since the start or since `forget`."""
        return [call for proxy in self._proxies.values() for call in list(proxy.calls)]

    def forget(self) -> None:
        """Deletes the recorded calls, to start a new count."""
        for proxy in self._proxies.values():
            proxy.calls.clear()

    def wait_for(self, operation: str, at_least: int) -> None:
        """Waits until an operation was called at least `at_least` times."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while sum(call.operation == operation for call in self.calls()) < at_least:
            if time.monotonic() > deadline:
                raise NotCounted(f"{operation} was not called {at_least} times")
            time.sleep(0.1)

    def items(self) -> dict[Key, int]:
        """The size of every item in the sentry's tables, by table and key values."""
        sizes = {}
        for table in self.tables():
            keys = [
                each["AttributeName"] for each in self._tables.describe_table(TableName=table)["Table"]["KeySchema"]
            ]
            for page in self._tables.get_paginator("scan").paginate(TableName=table):
                for item in page["Items"]:
                    sizes[key_of(table, {key: item[key] for key in keys})] = prices.item_bytes(item)
        return sizes

    def tables(self) -> list[str]:
        """The tables of the sentry. Tables that are not stack outputs are found in the recorded calls."""
        used = {table for call in self.calls() for table in tables_of(call.request)}
        return sorted(used | {self.names["LedgerTableName"]})

    def forget_usage(self) -> None:
        """Deletes the usage figures that the functions share."""
        table = self.names["LedgerTableName"]
        for key in self.items():
            if key[0] == table and key[1].startswith("usage#"):
                self._tables.delete_item(TableName=table, Key={"scope": {"S": key[1]}, "window": {"S": key[2]}})

    def log_lines(self) -> dict[str, list[str]]:
        """All log lines of each function."""
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
        """The input of each state that an execution entered, as JSON."""
        history = self._states.get_paginator("get_execution_history").paginate(executionArn=execution)
        events = [event for page in history for event in page["events"]]
        return [
            event["stateEnteredEventDetails"].get("input", "")
            for event in events
            if event["type"].endswith("StateEntered")
        ]

    def definition_bytes(self) -> int:
        """The size of the rate limiter's definition, in bytes."""
        described = self._states.describe_state_machine(stateMachineArn=self.names["RateLimiterArn"])
        return len(described["definition"].encode())


def functions_of(cloudformation: Any, stack: str) -> dict[str, str]:
    """The stack's functions as `{logical id: name}`."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    listed = [each for page in pages for each in page["StackResourceSummaries"]]
    found = [each for each in listed if each["ResourceType"] == "AWS::Lambda::Function"]
    return {each["LogicalResourceId"]: each["PhysicalResourceId"].rsplit(":", 1)[-1] for each in found}


def tables_of(request: dict[str, Any]) -> set[str]:
    """The tables that a DynamoDB call names."""
    parts = [part for item in request.get("TransactItems", []) for part in item.values()]
    return {each["TableName"] for each in [request, *parts] if "TableName" in each} | set(
        request.get("RequestItems", {})
    )


def key_of(table: str, key: Item) -> Key:
    """The table and key values of an item. The order of the key's parts in the call does not matter."""
    return (table, *(key[name]["S"] for name in sorted(key)))
