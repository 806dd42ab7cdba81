"""Adds the service integration `aws-sdk:bedrockruntime:converse` to the local AWS, which lacks it.

As on AWS, parameters and results use the names of the AWS SDK for Java 2.x (`InferenceConfig.MaxTokens`). An error is
`BedrockRuntime.<name of the exception>`, or `BedrockRuntime.SdkClientException` if the SDK got no answer that it can
read. A result over 262,144 bytes is `States.DataLimitExceeded`. AWS's service model shows which names are members of a
structure, and which names belong to the caller's own data.

The SDK inside Step Functions may retry a call by itself. Its error message contains the number of attempts. Here, it
retries only if the request contains `[[sdk attempts=N]]`: up to N calls while Bedrock throttles them.
"""

from __future__ import annotations

import http.client
import inspect
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import botocore.session

RESOURCE = "arn:aws:states:::aws-sdk:bedrockruntime:converse"
ENDPOINT = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
MOST_BYTES = 262_144
TIMED_TASK = ["resource", "input_data", "timeout"]
# Name of an error that the SDK itself raises.
CLIENT = "SdkClientException"
SDK_ATTEMPTS = re.compile(r"\[\[sdk attempts=(\d+)\]\]")


def sdk_name(name: str) -> str:
    """The name of a member in Step Functions."""
    return name[:1].upper() + name[1:]


def is_structure(shape: Any) -> bool:
    """True if the shape has named members. A document has none, because it is the caller's JSON."""
    return shape.type_name == "structure" and not getattr(shape, "is_document_type", False)


def to_wire(value: Any, shape: Any) -> Any:
    """Converts parameters to the format of the service.

    # Raises
    ValueError, if a name is not a member, or if a value is binary, which is not simulated.
    """
    if value is None or isinstance(value, bool):
        return value
    if is_structure(shape):
        members = {sdk_name(name): (name, member) for name, member in shape.members.items()}
        unknown = value.keys() - members.keys()
        if unknown:
            raise ValueError(f"{shape.name} has no {', '.join(sorted(unknown))}")
        return {members[key][0]: to_wire(item, members[key][1]) for key, item in value.items()}
    if shape.type_name == "list":
        return [to_wire(item, shape.member) for item in value]
    if shape.type_name == "map":
        return {key: to_wire(item, shape.value) for key, item in value.items()}
    if shape.type_name == "blob":
        raise ValueError(f"{shape.name} is binary, which is not simulated")
    return value


def from_wire(value: Any, shape: Any) -> Any:
    """Converts a result to the format of Step Functions. Unknown members are removed, as in the SDK."""
    if is_structure(shape) and isinstance(value, dict):
        return {
            sdk_name(name): from_wire(item, shape.members[name])
            for name, item in value.items()
            if name in shape.members and item is not None
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [from_wire(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: from_wire(item, shape.value) for key, item in value.items()}
    return value


class Failed(Exception):
    """A failed attempt of the SDK, with the name and message of the exception."""

    def __init__(self, name: str, message: str, throttled: bool = False) -> None:
        super().__init__(message)
        self.name, self.throttled = name, throttled


class Converse:
    """The integration, in the form that the engine calls: `(resource, parameters)` returns a result."""

    def __init__(self, failure: type[Exception], endpoint: str) -> None:
        model = botocore.session.get_session().get_service_model("bedrock-runtime")
        operation = model.operation_model("Converse")
        self.failure, self.endpoint = failure, endpoint
        self.input, self.output = operation.input_shape, operation.output_shape
        self.exceptions = {shape.name for shape in model.error_shapes}
        # Requests to this machine must not use the proxies in the environment.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __call__(self, _resource: str, parameters: Any) -> Any:
        self.check_size(parameters)
        try:
            body = to_wire(parameters, self.input)
        except ValueError as error:
            raise self.failure("States.Runtime", str(error)) from error
        model = urllib.parse.quote(body.pop("modelId"), safe="")
        result = from_wire(self.send(f"{self.endpoint}/model/{model}/converse", body), self.output)
        self.check_size(result)
        return result

    def send(self, url: str, body: Any) -> Any:
        """Calls the service, and retries as often as the request allows."""
        data = json.dumps(body).encode()
        most = max(map(int, SDK_ATTEMPTS.findall(data.decode())), default=1)
        attempt = 1
        while True:
            try:
                return self.attempt(url, data)
            except Failed as error:
                if not error.throttled or attempt >= most:
                    told = f"{error} (SDK Attempt Count: {attempt})"
                    raise self.failure(f"BedrockRuntime.{error.name}", told) from error
            attempt += 1

    def attempt(self, url: str, data: bytes) -> Any:
        """Calls the service once. There is no time limit, because the state has one."""
        request = urllib.request.Request(url, data, {"content-type": "application/json"})
        try:
            with self.opener.open(request) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise self.answered(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise Failed(CLIENT, f"Unable to execute HTTP request: {type(error).__name__}") from error
        try:
            return json.loads(text)
        except ValueError as error:
            told = "Unable to unmarshall response (not JSON). Response Code: 200, Response Text: OK"
            raise Failed(CLIENT, told) from error

    def answered(self, error: urllib.error.HTTPError) -> Failed:
        """Converts an error answer of the service to an exception."""
        kind = (error.headers.get("x-amzn-errortype") or "").split(":")[0]
        name = kind if kind in self.exceptions else "BedrockRuntimeException"
        try:
            message = json.loads(error.read()).get("message")
        except (ValueError, AttributeError, OSError):
            message = None
        told = (
            f"Service: BedrockRuntime, Status Code: {error.code}, Request ID: {error.headers.get('x-amzn-requestid')}"
        )
        return Failed(name, f"{message} ({told})", throttled=error.code == 429)

    def check_size(self, payload: Any) -> None:
        """Checks Step Functions' payload limit, which the engine does not check."""
        if len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()) > MOST_BYTES:
            raise self.failure("States.DataLimitExceeded", f"a payload of {RESOURCE} is over {MOST_BYTES} bytes")


def add_converse(stepfunctions: Any) -> None:
    """Registers the integration in the engine.

    # Raises
    RuntimeError, if the engine has its own integration, or if it does not keep its integrations in this table anymore.
    """
    table = stepfunctions._SERVICE_DISPATCH
    if not isinstance(table, dict) or any(RESOURCE.startswith(known) for known in table):
        raise RuntimeError("the engine no longer keeps its integrations in one table without Bedrock's")
    if "bedrockruntime" in stepfunctions._AWS_SDK_SERVICE_MAP:
        raise RuntimeError("the engine has an integration of bedrockruntime by now")
    table[RESOURCE] = Converse(stepfunctions._ExecutionError, os.environ.get(ENDPOINT, ""))


def evaluate_timeouts(stepfunctions: Any) -> None:
    """Evaluates `TimeoutSeconds` of a task if it is a JSONata expression. The engine itself supports only numbers.

    # Raises
    RuntimeError, if the engine does not run a task with a time limit in this function anymore.
    """
    run, evaluate = stepfunctions._invoke_resource_with_timeout, stepfunctions._apply_jsonata_template
    if list(inspect.signature(run).parameters) != TIMED_TASK:
        raise RuntimeError(f"{run.__qualname__} no longer takes {', '.join(TIMED_TASK)}")

    def run_in_time(resource: str, input_data: Any, timeout: Any) -> Any:
        return run(resource, input_data, evaluate(timeout, None) if isinstance(timeout, str) else timeout)

    stepfunctions._invoke_resource_with_timeout = run_in_time
