"""Compares recorded exchanges with Bedrock with AWS's service model, which is part of botocore.

A request must have every required member and no unknown member. Its values must be within the limits of the model, and botocore's
validator must accept it. botocore's parser must be able to read an answer, which also must have every required member and no
unknown member. An error must be an error of the operation, with its status. Reports name places and no values, because values may
be prompts.

    python tests/wire_shapes.py http://127.0.0.1:PORT        # a Bedrock simulator that was started with --record
"""

import base64
import binascii
import json
import re
import sys
import urllib.request
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore import parsers
from botocore.awsrequest import HeadersDict
from botocore.eventstream import EventStreamBuffer
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

# Operations by service; all of them where there is no list. Every operation of the tagging API has the same path, and the
# simulator has only one.
SERVICES: dict[str, list[str]] = {"bedrock-runtime": [], "bedrock": [], "resourcegroupstaggingapi": ["GetResources"]}
# The tags of a call to InvokeModel by a test. The sentry itself calls Converse only.
OF_A_TEST = {"applicationId": "e2e-direct"}
KINDS: dict[str, type | tuple[type, ...]] = {
    "structure": dict,
    "list": list,
    "map": dict,
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
}


class Wire:
    """The operations of Bedrock's APIs, by method and path."""

    def __init__(self):
        self.operations = []
        for service, names in SERVICES.items():
            model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
            for name in names or model.operation_names:
                operation = model.operation_model(name)
                uri = urlsplit(operation.http["requestUri"]).path
                pattern = re.compile(
                    "/".join(r"([^/]+)" if part.startswith("{") else re.escape(part) for part in uri.split("/"))
                )
                members = [part.strip("{}+") for part in uri.split("/") if part.startswith("{")]
                self.operations.append((operation.http["method"], pattern, members, operation))

    def operation(self, exchange):
        path = urlsplit(exchange["path"]).path
        for method, pattern, members, operation in self.operations:
            found = pattern.fullmatch(path)
            if method == exchange["method"] and found:
                return operation, dict(zip(members, map(unquote, found.groups()), strict=True))
        return None, {}

    def check(self, exchange):
        """Returns all defects of an exchange as `operation request|answer: place: defect`."""
        operation, uri = self.operation(exchange)
        if operation is None:
            return [f"{exchange['method']} is of no operation: {len(exchange['path'])} characters of path"]
        wrong = [f"{operation.name} request: {each}" for each in check_request(operation, uri, exchange)]
        if exchange["answer"] is not None and not exchange["damaged"]:
            wrong += [
                f"{operation.name} answer {exchange['status']}: {each}" for each in check_answer(operation, exchange)
            ]
        return wrong


def check_request(operation, uri, exchange):
    shape = operation.input_shape
    wrong: list[str] = []
    headers = dict(exchange["request"]["headers"])
    query = dict(parse_qsl(urlsplit(exchange["path"]).query))
    params = read_body(shape, exchange["request"]["body"].encode(), wrong, "body")
    for name, member in shape.members.items():
        location, wire_name = member.serialization.get("location"), member.serialization.get("name", name)
        found = {
            "uri": uri.get(wire_name),
            "header": headers.get(wire_name.lower()),
            "querystring": query.get(wire_name),
        }.get(location)
        if found is not None:
            params[name] = int(found) if member.type_name == "integer" else found
    check_value(params, shape, "$", wrong)
    report = ParamValidator().validate(params, shape)
    # The text of botocore's report quotes values, so it is not used.
    wrong += [f"{place or '$'}: botocore says {kind}" for kind, place, _ in report._errors]
    return wrong


def check_answer(operation, exchange):
    body, headers = exchange["answer"]["body"].encode(), dict(exchange["answer"]["headers"])
    wrong: list[str] = []
    if exchange["status"] >= 300:
        return check_error(operation, exchange["status"], headers, body)
    shape = operation.output_shape
    if shape is None:
        return wrong
    params = read_body(shape, body, wrong, "body")
    for name, member in shape.members.items():
        if member.serialization.get("location") == "header":
            found = headers.get(member.serialization.get("name", name).lower())
            if found is not None:
                params[name] = found
    check_value(params, shape, "$", wrong)
    if not wrong:
        parsed = parsers.create_parser(operation.service_model.metadata["protocol"]).parse(
            {"headers": HeadersDict(headers), "status_code": exchange["status"], "body": body}, shape
        )
        missing = set(shape.required_members) - parsed.keys()
        wrong += [f"$: botocore does not find {name}" for name in sorted(missing)]
    return wrong


def check_events(operation, body):
    """Returns all defects of the events in the body of a stream, and the names of the events."""
    stream = operation.get_event_stream_output()
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    wrong: list[str] = []
    names = []
    for event in buffer:
        headers = event.headers
        kind = headers[":message-type"]
        name = headers.get(f":{kind}-type", "")
        names.append(name)
        shape = stream.members.get(name)
        if shape is None or bool(shape.metadata.get("exception")) != (kind == "exception"):
            wrong.append(f"event {len(names)} is no {kind} of {stream.name}: {name}")
            continue
        if headers.get(":content-type") != "application/json":
            wrong.append(f"event {len(names)}: is no JSON")
        params = read_body(shape, event.payload, wrong, name)
        # Bedrock pads its events with this member, which the model does not have.
        params.pop("p", None)
        check_value(params, shape, name, wrong)
    return wrong, names


def check_error(operation, status, headers, body):
    kind = headers.get("x-amzn-errortype", "")
    shape = next((each for each in operation.error_shapes if each.name == kind), None)
    if shape is None:
        return [f"{kind or 'an error without a name'} is not an error of the operation"]
    wrong = []
    # The protocol AWS JSON has the status 400 for errors of the caller.
    expected = shape.metadata.get("error", {}).get("httpStatusCode", 400)
    if expected != status:
        wrong.append(f"{kind} has status {expected}")
    check_value(read_body(shape, body, wrong, "body"), shape, "$", wrong)
    return wrong


def read_body(shape, body, wrong, place):
    """Returns the members of a body by their names in the model."""
    payload = shape.serialization.get("payload")
    if not body:
        return {}
    if payload and shape.members[payload].type_name == "blob":
        return {payload: body}
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        wrong.append(f"{place}: is no JSON object")
        return {}
    if payload:
        return {payload: to_params(value, shape.members[payload])}
    return to_params(value, shape)


def to_params(value, shape):
    """Converts a JSON value for botocore's validator: members by their names in the model, blobs as bytes. Other values stay."""
    if shape.type_name == "structure" and isinstance(value, dict) and not shape.metadata.get("document"):
        names = {
            member.serialization.get("name", name): name
            for name, member in shape.members.items()
            if "location" not in member.serialization
        }
        known = {
            names[key]: to_params(each, shape.members[names[key]])
            for key, each in value.items()
            if key in names and each is not None
        }
        return known | {key: each for key, each in value.items() if key not in names}
    if shape.type_name == "list" and isinstance(value, list):
        return [to_params(each, shape.member) for each in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: to_params(each, shape.value) for key, each in value.items()}
    if shape.type_name == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            return value
    return value


def check_value(value, shape, place, wrong):
    """Checks required and unknown members, types, enums, patterns, and the limits of lengths and numbers."""
    if shape.metadata.get("document") or shape.type_name in ("blob", "timestamp"):
        return
    expected = KINDS.get(shape.type_name)
    if expected and (not isinstance(value, expected) or isinstance(value, bool) != (expected is bool)):
        wrong.append(f"{place}: is no {shape.type_name}")
        return
    check_limits(value, shape, place, wrong)
    if shape.type_name == "structure":
        wrong += [f"{place}: lacks {name}" for name in shape.required_members if name not in value]
        wrong += [f"{place}: has the unknown member {name}" for name in value if name not in shape.members]
        if shape.metadata.get("union") and len(value) != 1:
            wrong.append(f"{place}: must have exactly one member")
        for name, member in shape.members.items():
            if name in value:
                check_value(value[name], member, f"{place}.{name}", wrong)
    elif shape.type_name == "list":
        for number, each in enumerate(value):
            check_value(each, shape.member, f"{place}[{number}]", wrong)
    elif shape.type_name == "map":
        for number, (key, each) in enumerate(value.items()):
            check_value(key, shape.key, f"{place}.key{number}", wrong)
            check_value(each, shape.value, f"{place}.value{number}", wrong)


def check_limits(value, shape, place, wrong):
    if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        wrong.append(f"{place}: is none of the {len(shape.metadata['enum'])} values of {shape.name}")
    size = len(value) if isinstance(value, (str, list, dict)) else value
    if "min" in shape.metadata and size < shape.metadata["min"]:
        wrong.append(f"{place}: is below {shape.metadata['min']}")
    if "max" in shape.metadata and size > shape.metadata["max"]:
        wrong.append(f"{place}: is above {shape.metadata['max']}")
    if isinstance(value, str) and "pattern" in shape.metadata and not fits(shape.metadata["pattern"], value):
        wrong.append(f"{place}: does not match the pattern of {shape.name}")


def fits(pattern, value):
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:  # Some of AWS's patterns use Java syntax.
        return True


def exchanges(endpoint):
    """Returns the total number of exchanges that a simulator has recorded, and the exchanges that it still has."""
    with urllib.request.urlopen(f"{endpoint}/_sim/exchanges", timeout=60) as response:
        recorded = json.load(response)
    return recorded["total"], recorded["exchanges"]


def main():
    wire = Wire()
    total, kept = exchanges(sys.argv[1])
    wrong = [f"exchange {each['number']}: {complaint}" for each in kept for complaint in wire.check(each)]
    print("\n".join(wrong) or f"{len(kept)} of {total} exchanges agree with the service model")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
