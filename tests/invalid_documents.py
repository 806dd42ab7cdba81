"""Documents that must be refused, each with its error code and the allowed values of `details.path`.

A case has several paths if the contract leaves the choice, for example if two fields exclude each other or an object is missing.
"""

import copy
import json
from typing import Any

APPLICATION = "e2e-invalid"
CANARY_PLACE = "a prompt"

VALID: dict[str, Any] = {
    "model": "nova-lite",
    "prompt": {
        "messages": [{"role": "user", "content": CANARY_PLACE}],
        "parameters": {"max_tokens": 20, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["x"]},
    },
    "tags": {"applicationId": APPLICATION, "costCenter": "support", "environment": "test"},
}
MISSING = object()
CASES: dict[str, tuple[str, set[str], set[str], str | None]] = {}


def changed(path, value):
    """Returns VALID with the field at `path` (keys and list positions) set or removed."""
    document = copy.deepcopy(VALID)
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    if value is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def written(path):
    """Returns a path as the contract writes it, such as `prompt.messages[0].role`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def case(name, document, *paths, code="InvalidRequest", parameter=None):
    assert name not in CASES, name
    raw = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    CASES[name] = (raw, {code} if isinstance(code, str) else code, set(paths), parameter)


def wrong_values(path, values, *, at=None, code="InvalidRequest"):
    for label, value in values.items():
        case(f"{written(path)} {label}", changed(path, value), *(at or [written(path)]), code=code)


NOT_STRINGS = {
    "is null": None,
    "is a number": 5,
    "is a boolean": True,
    "is a list": ["x"],
    "is an object": {"text": "x"},
}
NOT_OBJECTS: dict[str, Any] = {
    "is null": None,
    "is a number": 5,
    "is a boolean": False,
    "is a string": "x",
    "is a list": [],
}
# These values of an optional field mean that it is not given.
NOTHING: tuple[Any, ...] = (None, "", [], {})


def given(values):
    """Returns the wrong values, except those that mean that an optional field is not given."""
    return {
        label: value
        for label, value in values.items()
        if not any(value is each or (value == each and type(value) is type(each)) for each in NOTHING)
    }


def nested(levels):
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


# Variables of the loops over tables. A place is text, or the parts of a path.
part: Any
at: Any
value: Any

# The document itself
for label, raw in {
    "array": "[]",
    "array with a document": json.dumps([VALID]),
    "string": '"hello"',
    "number": "42",
    "boolean": "true",
    "null": "null",
}.items():
    case(f"the document is {label if label == 'null' else 'a ' + label}", raw, "$")
case("the document is empty", {}, "$", "model", "prompt", "tags", "tags.applicationId")
case("the document is nested 200 levels deep", json.dumps(nested(200)), "$")
case("the document has over 262,144 bytes", changed(("prompt", "messages", 0, "content"), "word " * 53_000), "$")
for label in ["Model", "stream", "temperature", "messages", "größe"]:
    case(f"unknown field {label}", changed((label,), "x"), label)
case("unknown field nested 200 levels deep", changed(("extra",), nested(200)), "extra", "$")

# model
case("model is missing", changed(("model",), MISSING), "model")
case("model and modelId at once", {**VALID, "modelId": "nova-lite"}, "model", "modelId", "$")
case("model and modelId at once, one null", {**VALID, "modelId": None}, "model", "modelId", "$")
wrong_values(("model",), {**NOT_STRINGS, "is empty": ""})
for value in (5, None, ["nova-lite"]):
    case(
        f"modelId is {value}",
        {"modelId": value, **{key: part for key, part in VALID.items() if key != "model"}},
        "modelId",
    )
wrong_values(
    ("model",),
    {"is nobody's": "not-a-model", "is a misspelt alias": "nova-light", "is an alias in capitals": "NOVA-LITE"},
    code="UnknownModel",
)
case(
    "modelId is nobody's",
    {"modelId": "not-a-model", **{key: part for key, part in VALID.items() if key != "model"}},
    "modelId",
    code="UnknownModel",
)
wrong_values(
    ("model",),
    {
        "has spaces": "nova lite",
        "is not ASCII": "modèle",
        "has a control character": "nova-lite\n",
        "is too long for a metric": "amazon.nova-" + "x" * 300,
        "is an ARN of another service": "arn:aws:s3:::bucket",
        "is an ARN without an id": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/",
        "is an ARN without an account": "arn:aws:bedrock:us-east-1::application-inference-profile/abc123def456",
        "is an ARN with a bad account": "arn:aws:bedrock:us-east-1:12345:application-inference-profile/abc123def456",
        "is an ARN of another resource": "arn:aws:bedrock:us-east-1:123456789012:guardrail/abc123def456",
        "is half an ARN": "arn:aws:bedrock",
    },
    code={"UnknownModel", "InvalidRequest"},
)

# prompt
case("prompt is missing", changed(("prompt",), MISSING), "prompt", "prompt.messages")
wrong_values(("prompt",), NOT_OBJECTS)
case("prompt is empty", changed(("prompt",), {}), "prompt.messages")
for field in ("System", "Messages", "message", "max_tokens", "toolConfig", "guardrailConfig"):
    case(f"unknown field in prompt: {field}", changed(("prompt", field), "x"), f"prompt.{field}")

# prompt.messages
MESSAGES = ("prompt", "messages")
wrong_values(
    MESSAGES,
    {
        "is missing": MISSING,
        "is null": None,
        "is a string": "hello",
        "is a number": 5,
        "is an object": {"role": "user", "content": "x"},
        "is empty": [],
        "has only system messages": [{"role": "system", "content": "x"}, {"role": "system", "content": "y"}],
    },
)
MESSAGE = (*MESSAGES, 0)
wrong_values(MESSAGE, {"is null": None, "is a string": "hello", "is a list": ["user", "hello"], "is a number": 5})
case("message is empty", changed(MESSAGE, {}), f"{written(MESSAGE)}.role", f"{written(MESSAGE)}.content")
wrong_values(
    (*MESSAGE, "role"),
    {
        **NOT_STRINGS,
        "is missing": MISSING,
        "is empty": "",
        "is unknown": "robot",
        "is in capitals": "User",
        "has a space": "user ",
        "is tool": "tool",
        "is not ASCII": "usér",
    },
)
NO_CONTENT = {label: value for label, value in NOT_STRINGS.items() if label != "is a list"}
wrong_values((*MESSAGE, "content"), {**NO_CONTENT, "is missing": MISSING, "is empty": "", "is an empty list": []})
for field in ("name", "Content", "cachePoint"):
    case(f"unknown field in a message: {field}", changed((*MESSAGE, field), "x"), f"{written(MESSAGE)}.{field}")
SAID = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
case(
    "content of the third message is empty",
    changed(MESSAGES, [*SAID, {"role": "user", "content": ""}]),
    "prompt.messages[2].content",
)
case(
    "a blank block of the assistant beside a text",
    changed(MESSAGES, [SAID[0], {"role": "assistant", "content": [{"text": "Well."}, {"text": " "}]}, SAID[0]]),
    "prompt.messages[1].content[1].text",
)
case(
    "content of the third message is blank",
    changed(MESSAGES, [*SAID, {"role": "user", "content": " \n"}]),
    "prompt.messages[2].content",
)
MANY = [{"role": "user", "content": "x"}] * 11 + [{"role": "moderator", "content": "x"}]
case("role of the twelfth message is unknown", changed(MESSAGES, MANY), "prompt.messages[11].role")

# prompt.messages[].content as a list of blocks
BLOCK = (*MESSAGE, "content", 0)
USE = {"toolUse": {"toolUseId": "t1", "name": "find", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": []}}
IMAGE = {"format": "png", "source": {"bytes": "YQ=="}}
DOCUMENT = {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}


def block_case(name, block, *path, role="user"):
    """Adds a case with a message of one block. The block is wrong at `path`."""
    case(name, changed(MESSAGE, {"role": role, "content": [block]}), written((*BLOCK, *path)))


for label, block in {
    "a string": "x",
    "null": None,
    "a list": [],
    "empty": {},
    "two": {"text": "x", "image": IMAGE},
    "nested 100 levels deep": nested(100),
}.items():
    block_case(f"the block is {label}", block)
for kind in ("video", "audio", "searchResult", "Text", "s3Location"):
    block_case(f"unknown block: {kind}", {kind: {}}, kind)
block_case("cache point without a type", {"cachePoint": {}}, "cachePoint", "type")
block_case("cache point of another type", {"cachePoint": {"type": "custom"}}, "cachePoint", "type")
block_case("cache point of another lifetime", {"cachePoint": {"type": "default", "ttl": "1d"}}, "cachePoint", "ttl")
block_case("the user thinks", {"reasoningContent": {"reasoningText": {"text": "Hm."}}}, "reasoningContent")
block_case(
    "thought without text",
    {"reasoningContent": {"reasoningText": {}}},
    "reasoningContent",
    "reasoningText",
    "text",
    role="assistant",
)
block_case(
    "hidden thought is no base64",
    {"reasoningContent": {"redactedContent": "?"}},
    "reasoningContent",
    "redactedContent",
    role="assistant",
)
block_case("guarded text without text", {"guardContent": {"text": {}}}, "guardContent", "text", "text")
block_case(
    "guarded text for another purpose",
    {"guardContent": {"text": {"text": "x", "qualifiers": ["other"]}}},
    "guardContent",
    "text",
    "qualifiers",
    0,
)
block_case(
    "guarded image of another format", {"guardContent": {"image": {**IMAGE, "format": "gif"}}}, "guardContent", "image"
)
block_case("block is an empty text", {"text": ""}, "text")
block_case("block is a text that is a number", {"text": 5}, "text")
block_case("the user asks for a tool", USE, "toolUse")
for kind, block in {"toolResult": RESULT, "image": {"image": IMAGE}, "document": {"document": DOCUMENT}}.items():
    block_case(f"the assistant has a block of the user: {kind}", block, kind, role="assistant")
    block_case(f"a system message has a block of another kind: {kind}", block, kind, role="system")
for label, part, at in [
    ("format", {"format": "bmp"}, ["format"]),
    ("format is in capitals", {"format": "PNG"}, ["format"]),
    ("unknown field", {"alt": "x"}, ["alt"]),
    ("bytes are no base64", {"source": {"bytes": "?"}}, ["source", "bytes"]),
    ("bytes lack padding", {"source": {"bytes": "YQ"}}, ["source", "bytes"]),
    ("bytes are empty", {"source": {"bytes": ""}}, ["source", "bytes"]),
    ("source is empty", {"source": {}}, ["source"]),
    ("source is in S3", {"source": {"s3Location": {"uri": "s3://bucket/key"}}}, ["source", "s3Location"]),
]:
    block_case(f"image: {label}", {"image": {**IMAGE, **part}}, "image", *at)
    block_case(f"document: {label}", {"document": {**DOCUMENT, **part}}, "document", *at)
block_case(
    "document: name is missing", {"document": {"format": "pdf", "source": {"bytes": "YQ=="}}}, "document", "name"
)
block_case("document: name has 201 characters", {"document": {**DOCUMENT, "name": "x" * 201}}, "document", "name")
block_case("document: citations", {"document": {**DOCUMENT, "citations": {"enabled": True}}}, "document", "citations")
for label, part, at in [
    ("id", {"toolUseId": "a b"}, ["toolUseId"]),
    ("name", {"name": "a.b"}, ["name"]),
    ("input", {"input": "x"}, ["input"]),
    ("unknown field", {"type": "x"}, ["type"]),
]:
    block_case(f"tool use: {label}", {"toolUse": {**USE["toolUse"], **part}}, "toolUse", *at, role="assistant")
for label, part, at in [
    ("status", {"status": "fine"}, ["status"]),
    ("content", {"content": "x"}, ["content"]),
    ("block", {"content": [{"toolUse": {}}]}, ["content", 0, "toolUse"]),
    ("json", {"content": [{"json": []}]}, ["content", 0, "json"]),
    ("image", {"content": [{"image": {**IMAGE, "format": 1}}]}, ["content", 0, "image", "format"]),
]:
    block_case(f"tool result: {label}", {"toolResult": {**RESULT["toolResult"], **part}}, "toolResult", *at)

# other fields of the prompt
SYSTEM = ("prompt", "system")
wrong_values(SYSTEM, {**given(NO_CONTENT), "is blank": "  "})
case("system has an image", changed(SYSTEM, [{"image": IMAGE}]), "prompt.system[0].image")
TOOLS = ("prompt", "tools")
SPEC = {"name": "find", "inputSchema": {"json": {"type": "object"}}}
wrong_values(
    TOOLS, {"are an object": {"toolSpec": SPEC}, "are a cache point alone": [{"cachePoint": {"type": "default"}}]}
)
for label, part, at in [
    ("name", {"name": "find it"}, "name"),
    ("description", {"description": 5}, "description"),
    ("schema", {"inputSchema": {"json": []}}, "inputSchema.json"),
    ("schema without a type", {"inputSchema": {"json": {"properties": {}}}}, "inputSchema.json.type"),
    ("schema of a list", {"inputSchema": {"json": {"type": "array"}}}, "inputSchema.json.type"),
    ("strict in words", {"strict": "yes"}, "strict"),
    ("unknown field", {"type": "x"}, "type"),
]:
    case(f"tool: {label}", changed(TOOLS, [{"toolSpec": {**SPEC, **part}}]), f"prompt.tools[0].toolSpec.{at}")
case("tool of another kind", changed(TOOLS, [{"systemTool": {"name": "x"}}]), "prompt.tools[0].systemTool")
case("tool choice without tools", changed(("prompt", "toolChoice"), {"auto": {}}), "prompt.toolChoice")
for label, choice, at in [
    ("unknown", {"none": {}}, ".none"),
    ("two", {"auto": {}, "any": {}}, ""),
    ("not a tool", {"tool": {"name": "lose"}}, ".tool.name"),
]:
    with_tools = changed(TOOLS, [{"toolSpec": SPEC}])
    with_tools["prompt"]["toolChoice"] = choice
    case(f"tool choice: {label}", with_tools, f"prompt.toolChoice{at}")
GUARDRAIL = ("prompt", "guardrail")
wrong_values(GUARDRAIL, given(NOT_OBJECTS))
for label, guardrail, at in [
    ("no version", {"identifier": "abc"}, "version"),
    ("no identifier", {"version": "1"}, "identifier"),
    ("bad identifier", {"identifier": "A b", "version": "1"}, "identifier"),
    ("bad version", {"identifier": "abc", "version": "0"}, "version"),
    ("unknown field", {"identifier": "abc", "version": "1", "trace": "enabled"}, "trace"),
]:
    case(f"guardrail: {label}", changed(GUARDRAIL, guardrail), f"prompt.guardrail.{at}")
wrong_values(("prompt", "serviceTier"), {**given(NOT_STRINGS), "is unknown": "cheap"})
REASONING = ("prompt", "reasoning")
wrong_values(REASONING, {**given(NOT_OBJECTS), "has two": {"effort": "low", "off": True}})
for label, reasoning, at in [
    ("unknown effort", {"effort": "huge"}, "effort"),
    ("effort is a number", {"effort": 5}, "effort"),
    ("budget below 1,024", {"budgetTokens": 1023}, "budgetTokens"),
    ("off is false", {"off": False}, "off"),
    ("unknown field", {"display": "full"}, "display"),
]:
    case(f"reasoning: {label}", changed(REASONING, reasoning), f"prompt.reasoning.{at}")
FORMAT = ("prompt", "outputFormat")
wrong_values(
    FORMAT,
    {**given(NOT_OBJECTS), "is of another kind": {"xml": {}}},
    at=["prompt.outputFormat", "prompt.outputFormat.xml"],
)
for label, schema, at in [
    ("no name", {"schema": {"type": "object"}}, "name"),
    ("no schema", {"name": "a"}, "schema"),
    ("schema of a text", {"name": "a", "schema": {"type": "string"}}, "schema.type"),
    ("description", {"name": "a", "schema": {"type": "object"}, "description": 5}, "description"),
]:
    case(f"output format: {label}", changed(FORMAT, {"jsonSchema": schema}), f"prompt.outputFormat.jsonSchema.{at}")
OWN_FIELDS = ("prompt", "additionalModelRequestFields")
wrong_values(OWN_FIELDS, given(NOT_OBJECTS))
wrong_values(("prompt", "parameters"), {"have a system": {"system": "x"}}, at=["prompt.parameters.system"])

# prompt.parameters
PARAMETERS = ("prompt", "parameters")
wrong_values(PARAMETERS, given(NOT_OBJECTS))
for field in ("temprature", "maxTokens", "Temperature", "stop", "seed"):
    case(f"unknown parameter: {field}", changed((*PARAMETERS, field), 1), f"prompt.parameters.{field}")
NOT_NUMBERS = {"is a string": "1", "is a boolean": True, "is a list": [1], "is an object": {"value": 1}}
wrong_values(
    (*PARAMETERS, "max_tokens"),
    {**NOT_NUMBERS, "is zero": 0, "is negative": -1, "is a fraction": 1.5, "is false": False},
)
wrong_values((*PARAMETERS, "top_k"), {**NOT_NUMBERS, "is negative": -1, "is a fraction": 1.5})
for field in ("temperature", "top_p"):
    wrong_values(
        (*PARAMETERS, field),
        {**NOT_NUMBERS, "is below its range": -0.01, "is above its range": 1.01, "is far above its range": 1e300},
    )
STOP = (*PARAMETERS, "stop_sequences")
wrong_values(STOP, {"is a string": "x", "is a number": 5, "is an object": {"0": "x"}})
case("stop sequence is empty", changed(STOP, [""]), f"{written(STOP)}[0]")
case("stop sequence is white space", changed(STOP, ["x", " \n"]), f"{written(STOP)}[1]")
case("stop sequence is a number", changed(STOP, ["x", 5]), f"{written(STOP)}[1]")
case("stop sequence is null", changed(STOP, [None]), f"{written(STOP)}[0]")
case("stop sequence is a list", changed(STOP, [["x"]]), f"{written(STOP)}[0]")

# tags
TAGS = ("tags",)
case("tags are missing", changed(TAGS, MISSING), "tags", "tags.applicationId")
wrong_values(TAGS, NOT_OBJECTS)
case("tags are empty", changed(TAGS, {}), "tags.applicationId")
case(
    "thirteen tags",
    changed(TAGS, {"applicationId": APPLICATION, **{f"tag{number}": "x" for number in range(12)}}),
    "tags",
)
BAD_VALUES = {
    **NOT_STRINGS,
    "is empty": "",
    "has 256 characters": "x" * 256,
    "has 256 characters that are not ASCII": "ö" * 256,
    "begins with a space": " support",
    "ends with a space": "support ",
    "is a space": " ",
    "ends with a wide space": "support\u3000",
    "starts with a colon": ":support",
    "has a NUL": "sup\u0000port",
    "has a line end": "sup\nport",
    "has a tab": "sup\tport",
    "has an escape": "sup\u001b[31mport",
    "has a DEL": "sup\u007fport",
    "has a C1 control character": "sup\u0085port",
}
wrong_values((*TAGS, "applicationId"), {**BAD_VALUES, "is missing": MISSING})
wrong_values((*TAGS, "costCenter"), given(BAD_VALUES))
wrong_values((*TAGS, "environment"), given(BAD_VALUES))
wrong_values(
    (*TAGS, "team"),
    {
        key: BAD_VALUES[key]
        for key in (
            "is a number",
            "is an object",
            "has 256 characters",
            "ends with a space",
            "starts with a colon",
            "has a NUL",
        )
    },
)
case("name of a tag is not ASCII", changed((*TAGS, "größe"), "x"), "tags")
wrong_values(
    (*TAGS, "requestId"),
    {
        **given(NOT_STRINGS),
        "has 65 characters": "x" * 65,
        "has a space": "my request",
        "has a dot": "my.request",
        "is not ASCII": "anfräge",
        "has a line end": "request\n",
        "has a colon": "a:b",
    },
)
wrong_values((*TAGS, "timestamp"), {"is set": "2025-01-31T14:05:26.854682Z", "is not even a time": 5})
wrong_values((*TAGS, "modelMetric"), {"is set": "amazon.nova-lite-v1:0", "is null": None})


# Conversations that Converse does not accept
def conversation(*turns, tools=False, **beside):
    """Returns a document whose messages have these contents. The user speaks first, then the speakers alternate."""
    document = changed(
        MESSAGES,
        [{"role": ("user", "assistant")[place % 2], "content": content} for place, content in enumerate(turns)],
    )
    document["prompt"].update({"tools": [{"toolSpec": SPEC}]} if tools else {}, **beside)
    return document


def of_use(**part):
    return [{"toolUse": {**USE["toolUse"], **part}}]


ONE, TWO = "prompt.messages[1].content[0]", "prompt.messages[2].content[0]"
case(
    "the assistant speaks first",
    changed(MESSAGES, [{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]),
    "prompt.messages[0].role",
)
case(
    "nobody but the assistant's silence", changed(MESSAGES, [{"role": "assistant", "content": " "}]), "prompt.messages"
)
case("tool use without a result", conversation("x", [USE], "y", tools=True), f"{ONE}.toolUse")
case("tool use at the end", conversation("x", [USE], tools=True), f"{ONE}.toolUse")
case(
    "tool result without a use",
    conversation([RESULT], tools=True),
    "prompt.messages[0].content[0].toolResult.toolUseId",
)
case(
    "tool result of another use",
    conversation("x", [USE], [RESULT, {"toolResult": {"toolUseId": "t2", "content": []}}], tools=True),
    "prompt.messages[2].content[1].toolResult.toolUseId",
)
case(
    "two tool uses with one id",
    conversation("x", [USE, USE], [RESULT], tools=True),
    "prompt.messages[1].content[1].toolUse.toolUseId",
)
case("tool history without tools", conversation("x", [USE], [RESULT]), ONE, parameter="tools")
case("two tools of one name", changed(TOOLS, [{"toolSpec": SPEC}, {"toolSpec": SPEC}]), "prompt.tools[1].toolSpec.name")
for label, value, at in [
    ("number of more than 64 bits", 2**70 + 1, ""),
    ("long number in a list", [0, 2**70 + 1], "[1]"),
]:
    case(
        f"tool use: {label}",
        conversation("x", of_use(input={"id": value}), [RESULT], tools=True),
        f"{ONE}.toolUse.input.id{at}",
    )
for label, name in {
    "a full stop": "report.pdf",
    "two spaces": "my  report",
    "a slash": "a/b",
    "a letter that is not ASCII": "größe",
}.items():
    block_case(f"document: name with {label}", {"document": {**DOCUMENT, "name": name}}, "document", "name")
FILES = [{"document": {**DOCUMENT, "format": "txt", "name": f"a{number}"}} for number in range(6)]
case("document without a text", conversation(FILES[:1]), "prompt.messages[0].content[0]")
case("six documents", conversation([{"text": "x"}, *FILES]), "prompt.messages[0].content[6]")
case("21 images", conversation([{"image": IMAGE}] * 21), "prompt.messages[0].content[20]")
POINT, LONG = {"cachePoint": {"type": "default"}}, {"cachePoint": {"type": "default", "ttl": "1h"}}
case("five cache points", conversation([{"text": "x"}, POINT] * 5), "prompt.messages[0].content[9].cachePoint")
case(
    "an hour after five minutes",
    conversation([{"text": "x"}, POINT, {"text": "y"}, LONG]),
    "prompt.messages[0].content[3].cachePoint.ttl",
)


# Fields and values that the model does not accept
def refused(name, model, parameter, path, **prompt):
    document = changed(("prompt",), {"messages": VALID["prompt"]["messages"], **prompt})
    case(f"{model}: {name}", {**document, "model": model}, path, parameter=parameter)


refused(
    "temperature with top_p",
    "claude-haiku-4-5",
    "top_p",
    "prompt.parameters.top_p",
    parameters={"temperature": 0.5, "top_p": 0.9},
)
for name in ("temperature", "top_p", "top_k"):
    refused(name, "claude-opus-4-7", name, f"prompt.parameters.{name}", parameters={name: 1})
refused(
    "stop sequences",
    "openai.gpt-oss-120b-1:0",
    "stop_sequences",
    "prompt.parameters.stop_sequences",
    parameters={"stop_sequences": ["x"]},
)
refused("more than it can write", "nova-lite", None, "prompt.parameters.max_tokens", parameters={"max_tokens": 10_001})
refused(
    "image",
    "nova-micro",
    "image",
    "prompt.messages[0].content[0]",
    messages=[{"role": "user", "content": [{"image": IMAGE}, {"text": "x"}]}],
)
refused(
    "document",
    "nova-micro",
    "document",
    "prompt.messages[0].content[1]",
    messages=[{"role": "user", "content": [{"text": "x"}, FILES[0]]}],
)
refused("answer that is begun", "claude-opus-4-7", "messages", "prompt.messages[1]", messages=SAID)
BEGUN = [SAID[0], {"role": "assistant", "content": "Well, "}]
refused(
    "white space at the end of an answer that is begun",
    "claude-haiku-4-5",
    "messages",
    "prompt.messages[1].content",
    messages=BEGUN,
)
refused(
    "a tool that it has to use",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "toolChoice",
    "prompt.toolChoice",
    tools=[{"toolSpec": SPEC}],
    toolChoice={"any": {}},
)
refused(
    "a tool that it has to use while it thinks",
    "claude-haiku-4-5",
    "toolChoice",
    "prompt.toolChoice",
    tools=[{"toolSpec": SPEC}],
    toolChoice={"any": {}},
    reasoning={"budgetTokens": 1024},
)
refused("reasoning", "nova-lite", "reasoning", "prompt.reasoning", reasoning={"effort": "low"})
refused(
    "an effort that it has not", "claude-opus-4-7", "reasoning", "prompt.reasoning.effort", reasoning={"effort": "max"}
)
refused(
    "a budget for thoughts",
    "claude-opus-4-7",
    "reasoning",
    "prompt.reasoning.budgetTokens",
    reasoning={"budgetTokens": 2048},
)
refused(
    "thoughts that take all of the answer",
    "claude-haiku-4-5",
    "reasoning",
    "prompt.reasoning.budgetTokens",
    reasoning={"budgetTokens": 2048},
    parameters={"max_tokens": 2048},
)
refused(
    "temperature while it thinks",
    "claude-haiku-4-5",
    "temperature",
    "prompt.parameters.temperature",
    reasoning={"budgetTokens": 1024},
    parameters={"temperature": 0.5},
)
refused(
    "cache point among the tools",
    "nova-lite",
    "cachePoint",
    "prompt.tools[1].cachePoint",
    tools=[{"toolSpec": SPEC}, POINT],
)
refused(
    "cache point",
    "mistral.mistral-large-3-675b-instruct",
    "cachePoint",
    "prompt.messages[0].content[1].cachePoint",
    messages=[{"role": "user", "content": [{"text": "x"}, POINT]}],
)
refused(
    "cache point of an hour",
    "nova-lite",
    "cachePoint",
    "prompt.messages[0].content[1].cachePoint.ttl",
    messages=[{"role": "user", "content": [{"text": "x"}, LONG, {"text": "y"}, POINT]}],
)
refused(
    "output format",
    "nova-lite",
    "outputFormat",
    "prompt.outputFormat",
    outputFormat={"jsonSchema": {"name": "a", "schema": {"type": "object"}}},
)
for name in ("max_tokens", "anthropic_beta", "toolConfig"):
    refused(
        f"field of its own: {name}",
        "nova-lite",
        "additionalModelRequestFields",
        f"prompt.additionalModelRequestFields.{name}",
        additionalModelRequestFields={name: 1},
    )
refused(
    "longer answer in a field of its own",
    "nova-lite",
    "additionalModelRequestFields",
    "prompt.additionalModelRequestFields",
    additionalModelRequestFields={"inferenceConfig": {"topK": 5, "max_new_tokens": 9000}},
)
