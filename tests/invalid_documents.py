"""Documents that are not acceptable, each with the error code and the paths of which `details.path` must be one.

More than one path stands where the contract leaves the choice: two fields that exclude each other, a whole object that is missing.
"""

import copy
import json

APPLICATION = "e2e-invalid"
CANARY_PLACE = "a prompt"

VALID = {
    "model": "nova-lite",
    "prompt": {
        "messages": [{"role": "user", "content": CANARY_PLACE}],
        "parameters": {"max_tokens": 20, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["x"]},
    },
    "tags": {"applicationId": APPLICATION, "costCenter": "support", "environment": "test"},
}
MISSING = object()
CASES = {}


def changed(path, value):
    """VALID with the field at `path` (keys and list positions) set, or taken out."""
    document = copy.deepcopy(VALID)
    at = document
    for step in path[:-1]:
        at = at[step]
    if value is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return document


def written(path):
    """`prompt.messages[0].role`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def case(name, document, *paths, code="InvalidRequest"):
    assert name not in CASES, name
    CASES[name] = (document if isinstance(document, str) else json.dumps(document, ensure_ascii=False), {code} if isinstance(code, str) else code, set(paths))


def wrong_values(path, values, *, at=None, code="InvalidRequest"):
    for label, value in values.items():
        case(f"{written(path)} {label}", changed(path, value), *(at or [written(path)]), code=code)


NOT_STRINGS = {"is null": None, "is a number": 5, "is a boolean": True, "is a list": ["x"], "is an object": {"text": "x"}}
NOT_OBJECTS = {"is null": None, "is a number": 5, "is a boolean": False, "is a string": "x", "is a list": []}


def nested(levels):
    value = "deep"
    for _ in range(levels):
        value = [value]
    return value


# The document itself
for label, raw in {"array": "[]", "array with a document": json.dumps([VALID]), "string": '"hello"', "number": "42", "boolean": "true", "null": "null"}.items():
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
    case(f"modelId is {value}", {"modelId": value, **{key: part for key, part in VALID.items() if key != "model"}}, "modelId")
wrong_values(("model",), {"is nobody's": "not-a-model", "is a misspelt alias": "nova-light", "is an alias in capitals": "NOVA-LITE"}, code="UnknownModel")
case("modelId is nobody's", {"modelId": "not-a-model", **{key: part for key, part in VALID.items() if key != "model"}}, "modelId", code="UnknownModel")
wrong_values(("model",), {
    "has spaces": "nova lite", "is not ASCII": "modèle", "has a control character": "nova-lite\n", "is too long for a metric": "amazon.nova-" + "x" * 300,
    "is an ARN of another service": "arn:aws:s3:::bucket", "is an ARN without an id": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/",
    "is an ARN without an account": "arn:aws:bedrock:us-east-1::application-inference-profile/abc123def456",
    "is an ARN with a bad account": "arn:aws:bedrock:us-east-1:12345:application-inference-profile/abc123def456",
    "is an ARN of another resource": "arn:aws:bedrock:us-east-1:123456789012:guardrail/abc123def456", "is half an ARN": "arn:aws:bedrock",
}, code={"UnknownModel", "InvalidRequest"})

# prompt
case("prompt is missing", changed(("prompt",), MISSING), "prompt", "prompt.messages")
wrong_values(("prompt",), NOT_OBJECTS)
case("prompt is empty", changed(("prompt",), {}), "prompt.messages")
for field in ("System", "Messages", "message", "max_tokens", "toolConfig", "guardrailConfig"):
    case(f"unknown field in prompt: {field}", changed(("prompt", field), "x"), f"prompt.{field}")

# prompt.messages
MESSAGES = ("prompt", "messages")
wrong_values(MESSAGES, {
    "is missing": MISSING, "is null": None, "is a string": "hello", "is a number": 5, "is an object": {"role": "user", "content": "x"}, "is empty": [],
    "has only system messages": [{"role": "system", "content": "x"}, {"role": "system", "content": "y"}],
})
MESSAGE = (*MESSAGES, 0)
wrong_values(MESSAGE, {"is null": None, "is a string": "hello", "is a list": ["user", "hello"], "is a number": 5})
case("message is empty", changed(MESSAGE, {}), f"{written(MESSAGE)}.role", f"{written(MESSAGE)}.content")
wrong_values((*MESSAGE, "role"), {
    **NOT_STRINGS, "is missing": MISSING, "is empty": "", "is unknown": "robot", "is in capitals": "User", "has a space": "user ", "is tool": "tool", "is not ASCII": "usér",
})
NO_CONTENT = {label: value for label, value in NOT_STRINGS.items() if label != "is a list"}
wrong_values((*MESSAGE, "content"), {**NO_CONTENT, "is missing": MISSING, "is empty": "", "is an empty list": []})
for field in ("name", "Content", "cachePoint"):
    case(f"unknown field in a message: {field}", changed((*MESSAGE, field), "x"), f"{written(MESSAGE)}.{field}")
SECOND = [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]
case("content of the second message is empty", changed(MESSAGES, SECOND), "prompt.messages[1].content")
MANY = [{"role": "user", "content": "x"}] * 11 + [{"role": "moderator", "content": "x"}]
case("role of the twelfth message is unknown", changed(MESSAGES, MANY), "prompt.messages[11].role")

# prompt.messages[].content as a list of blocks
BLOCK = (*MESSAGE, "content", 0)
USE = {"toolUse": {"toolUseId": "t1", "name": "find", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "t1", "content": []}}
IMAGE = {"format": "png", "source": {"bytes": "YQ=="}}
DOCUMENT = {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}


def block_case(name, block, *path, role="user"):
    """A message of one block, wrong at `path` inside it."""
    case(name, changed(MESSAGE, {"role": role, "content": [block]}), written((*BLOCK, *path)))


for label, block in {"a string": "x", "null": None, "a list": [], "empty": {}, "two": {"text": "x", "image": IMAGE}, "nested 100 levels deep": nested(100)}.items():
    block_case(f"the block is {label}", block)
for kind in ("video", "audio", "cachePoint", "guardContent", "reasoningContent", "Text", "s3Location"):
    block_case(f"unknown block: {kind}", {kind: {}}, kind)
block_case("block is an empty text", {"text": ""}, "text")
block_case("block is a text that is a number", {"text": 5}, "text")
block_case("the user asks for a tool", USE, "toolUse")
for kind, block in {"toolResult": RESULT, "image": {"image": IMAGE}, "document": {"document": DOCUMENT}}.items():
    block_case(f"the assistant has a block of the user: {kind}", block, kind, role="assistant")
    block_case(f"a system message has a block of another kind: {kind}", block, kind, role="system")
for label, part, at in [
    ("format", {"format": "bmp"}, ["format"]), ("format is in capitals", {"format": "PNG"}, ["format"]), ("unknown field", {"alt": "x"}, ["alt"]),
    ("bytes are no base64", {"source": {"bytes": "?"}}, ["source", "bytes"]), ("bytes lack padding", {"source": {"bytes": "YQ"}}, ["source", "bytes"]),
    ("bytes are empty", {"source": {"bytes": ""}}, ["source", "bytes"]), ("source is empty", {"source": {}}, ["source"]),
    ("source is in S3", {"source": {"s3Location": {"uri": "s3://bucket/key"}}}, ["source", "s3Location"]),
]:
    block_case(f"image: {label}", {"image": {**IMAGE, **part}}, "image", *at)
    block_case(f"document: {label}", {"document": {**DOCUMENT, **part}}, "document", *at)
block_case("document: name is missing", {"document": {"format": "pdf", "source": {"bytes": "YQ=="}}}, "document", "name")
block_case("document: name has 201 characters", {"document": {**DOCUMENT, "name": "x" * 201}}, "document", "name")
block_case("document: citations", {"document": {**DOCUMENT, "citations": {"enabled": True}}}, "document", "citations")
for label, part, at in [("id", {"toolUseId": "a b"}, ["toolUseId"]), ("name", {"name": "a.b"}, ["name"]), ("input", {"input": "x"}, ["input"]),
                        ("number of more than 64 bits", {"input": {"id": 2**70 + 1}}, ["input", "id"]), ("long number in a list", {"input": {"id": [0, 2**70 + 1]}}, ["input", "id", 1]), ("unknown field", {"type": "x"}, ["type"])]:
    block_case(f"tool use: {label}", {"toolUse": {**USE["toolUse"], **part}}, "toolUse", *at, role="assistant")
for label, part, at in [("status", {"status": "fine"}, ["status"]), ("content", {"content": "x"}, ["content"]), ("block", {"content": [{"toolUse": {}}]}, ["content", 0, "toolUse"]),
                        ("json", {"content": [{"json": []}]}, ["content", 0, "json"]), ("image", {"content": [{"image": {**IMAGE, "format": 1}}]}, ["content", 0, "image", "format"])]:
    block_case(f"tool result: {label}", {"toolResult": {**RESULT["toolResult"], **part}}, "toolResult", *at)

# beside the messages
SYSTEM = ("prompt", "system")
wrong_values(SYSTEM, {**NO_CONTENT, "is empty": "", "is an empty list": []})
case("system has an image", changed(SYSTEM, [{"image": IMAGE}]), "prompt.system[0].image")
TOOLS = ("prompt", "tools")
SPEC = {"name": "find", "inputSchema": {"json": {"type": "object"}}}
wrong_values(TOOLS, {"are null": None, "are an object": {"toolSpec": SPEC}, "are empty": []})
for label, part, at in [("name", {"name": "find it"}, "name"), ("description", {"description": ""}, "description"), ("schema", {"inputSchema": {"json": []}}, "inputSchema.json"),
                        ("unknown field", {"strict": True}, "strict")]:
    case(f"tool: {label}", changed(TOOLS, [{"toolSpec": {**SPEC, **part}}]), f"prompt.tools[0].toolSpec.{at}")
case("tool of another kind", changed(TOOLS, [{"systemTool": {"name": "x"}}]), "prompt.tools[0].systemTool")
case("tool choice without tools", changed(("prompt", "toolChoice"), {"auto": {}}), "prompt.toolChoice")
for label, choice, at in [("unknown", {"none": {}}, ".none"), ("two", {"auto": {}, "any": {}}, ""), ("not a tool", {"tool": {"name": "lose"}}, ".tool.name")]:
    with_tools = changed(TOOLS, [{"toolSpec": SPEC}])
    with_tools["prompt"]["toolChoice"] = choice
    case(f"tool choice: {label}", with_tools, f"prompt.toolChoice{at}")
GUARDRAIL = ("prompt", "guardrail")
wrong_values(GUARDRAIL, NOT_OBJECTS)
for label, guardrail, at in [("no version", {"identifier": "abc"}, "version"), ("no identifier", {"version": "1"}, "identifier"), ("bad identifier", {"identifier": "A b", "version": "1"}, "identifier"),
                             ("bad version", {"identifier": "abc", "version": "0"}, "version"), ("unknown field", {"identifier": "abc", "version": "1", "trace": "enabled"}, "trace")]:
    case(f"guardrail: {label}", changed(GUARDRAIL, guardrail), f"prompt.guardrail.{at}")
wrong_values(("prompt", "serviceTier"), {**NOT_STRINGS, "is empty": "", "is unknown": "cheap"})
wrong_values(("prompt", "parameters"), {"have a system": {"system": "x"}}, at=["prompt.parameters.system"])

# prompt.parameters
PARAMETERS = ("prompt", "parameters")
wrong_values(PARAMETERS, NOT_OBJECTS)
for field in ("temprature", "maxTokens", "Temperature", "stop", "seed"):
    case(f"unknown parameter: {field}", changed((*PARAMETERS, field), 1), f"prompt.parameters.{field}")
NOT_NUMBERS = {"is null": None, "is a string": "1", "is a boolean": True, "is a list": [1], "is an object": {}}
wrong_values((*PARAMETERS, "max_tokens"), {**NOT_NUMBERS, "is zero": 0, "is negative": -1, "is a fraction": 1.5, "is false": False})
wrong_values((*PARAMETERS, "top_k"), {**NOT_NUMBERS, "is negative": -1, "is a fraction": 1.5})
for field in ("temperature", "top_p"):
    wrong_values((*PARAMETERS, field), {**NOT_NUMBERS, "is below its range": -0.01, "is above its range": 1.01, "is far above its range": 1e300})
STOP = (*PARAMETERS, "stop_sequences")
wrong_values(STOP, {"is null": None, "is a string": "x", "is a number": 5, "is an object": {"0": "x"}})
case("stop sequence is a number", changed(STOP, ["x", 5]), f"{written(STOP)}[1]")
case("stop sequence is null", changed(STOP, [None]), f"{written(STOP)}[0]")
case("stop sequence is a list", changed(STOP, [["x"]]), f"{written(STOP)}[0]")

# tags
TAGS = ("tags",)
case("tags are missing", changed(TAGS, MISSING), "tags", "tags.applicationId")
wrong_values(TAGS, NOT_OBJECTS)
case("tags are empty", changed(TAGS, {}), "tags.applicationId")
case("thirteen tags", changed(TAGS, {"applicationId": APPLICATION, **{f"tag{number}": "x" for number in range(12)}}), "tags")
BAD_VALUES = {
    **NOT_STRINGS, "is empty": "", "has 256 characters": "x" * 256, "is not ASCII": "größe", "is an emoji": "\U0001f980", "is in another script": "支援",
    "starts with a colon": ":support", "has a NUL": "sup\u0000port", "has a line end": "sup\nport", "has a tab": "sup\tport", "has an escape": "sup\u001b[31mport",
    "has a DEL": "sup\u007fport", "has a C1 control character": "sup\u0085port",
}
wrong_values((*TAGS, "applicationId"), {**BAD_VALUES, "is missing": MISSING})
wrong_values((*TAGS, "costCenter"), BAD_VALUES)
wrong_values((*TAGS, "environment"), BAD_VALUES)
wrong_values((*TAGS, "team"), {key: BAD_VALUES[key] for key in ("is null", "is a number", "is an object", "is empty", "has 256 characters", "is not ASCII", "starts with a colon", "has a NUL")})
wrong_values((*TAGS, "requestId"), {
    **NOT_STRINGS, "is empty": "", "has 65 characters": "x" * 65, "has a space": "my request", "has a dot": "my.request", "is not ASCII": "anfräge", "has a line end": "request\n",
    "has a colon": "a:b",
})
wrong_values((*TAGS, "timestamp"), {"is set": "2025-01-31T14:05:26.854682Z", "is not even a time": 5})
wrong_values((*TAGS, "modelMetric"), {"is set": "amazon.nova-lite-v1:0", "is null": None})
