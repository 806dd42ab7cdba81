"""Damages valid HTTP requests to the gateway: tokens of their JSON, bytes, headers, paths, encodings, sizes, and framing."""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

from sentry_client import CANARY

WAIT_SECONDS = 15
# A call of the model uses one token.
WORDS = f"Say something short. {CANARY} [[sim output-tokens=1]]"
TOOL = {"toolSpec": {"name": "find", "description": "d", "inputSchema": {"json": {"type": "object", "properties": {}}}}}


def converse():
    """A body of Converse with most of its fields."""
    return {
        "messages": [
            {
                "role": "user",
                "content": [{"text": "Hello."}, {"image": {"format": "png", "source": {"bytes": "YQ=="}}}],
            },
            {"role": "assistant", "content": [{"text": "Yes?"}]},
            {"role": "user", "content": [{"text": WORDS}]},
        ],
        "system": [{"text": "Be short."}, {"cachePoint": {"type": "default"}}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]},
        "toolConfig": {"tools": [TOOL], "toolChoice": {"auto": {}}},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "additionalModelRequestFields": {"top_k": 5},
        "requestMetadata": {"environment": "test"},
        "serviceTier": {"type": "default"},
    }


def short():
    """The smallest body of Converse."""
    return {"messages": [{"role": "user", "content": [{"text": WORDS}]}], "inferenceConfig": {"maxTokens": 5}}


def messages():
    """A body of Anthropic's Messages, which `invoke` takes without `model` too."""
    tool = {"name": "find", "description": "d", "input_schema": {"type": "object", "properties": {}}}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "YQ=="}}
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello."}, picture]},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": WORDS},
        ],
        "tools": [tool],
        "tool_choice": {"type": "auto"},
        "stop_sequences": ["END"],
        "metadata": {"user_id": "jo"},
    }


def invoked():
    """A small body of `invoke` for Anthropic Claude."""
    words = [{"role": "user", "content": WORDS}]
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": words}


def chat():
    """A body of OpenAI's Chat Completions."""
    function = {"name": "find", "description": "d", "parameters": {"type": "object", "properties": {}}}
    return {
        "model": "claude-haiku-4-5",
        "max_completion_tokens": 5,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": WORDS}]},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "auto",
        "temperature": 0.5,
        "stop": ["END"],
        "user": "jo",
        "metadata": {"environment": "test"},
    }


def chat_in_events():
    """The same, for an answer in events."""
    return {**chat(), "stream": True, "stream_options": {"include_usage": True}}


@dataclass(frozen=True)
class Shape:
    """A valid request: its method, its path, in which `{}` stands for a model, and the maker of its body."""

    method: str
    path: str
    body: Callable[[], dict[str, Any]] | None


# A new path is one line.
SHAPES = [
    Shape("POST", "/model/{}/converse", converse),
    Shape("POST", "/model/{}/converse", short),
    Shape("POST", "/model/{}/converse-stream", short),
    Shape("POST", "/model/{}/converse-stream", converse),
    Shape("POST", "/model/{}/invoke", invoked),
    Shape("POST", "/model/{}/invoke-with-response-stream", invoked),
    Shape("POST", "/v1/messages", messages),
    Shape("POST", "/v1/chat/completions", chat),
    Shape("POST", "/openai/v1/chat/completions", chat_in_events),
    Shape("GET", "/v1/models", None),
    Shape("GET", "/v1/models/{}", None),
    Shape("GET", "/v1/answers/{}", None),
    Shape("GET", "/v1/budget?model={}", None),
    Shape("GET", "/healthz", None),
]
MODELS = ["nova-lite", "claude-haiku-4-5", "amazon.nova-lite-v1:0"]
# Values that take the place of another one in a document, as text.
PIECES = [
    "null",
    "true",
    "false",
    "-1",
    "0",
    "1e999",
    "1.5",
    "18446744073709551616",
    "-0",
    '""',
    "[]",
    "{}",
    "[[[[]]]]",
    '"\\u0000"',
    '"\\ud800"',
    '"🦀"',
    '"user"',
    "[null]",
    '{"text":"x"}',
    '"default"',
    '{"toolUse":{"toolUseId":"t","name":"n","input":1}}',
    '"2026-11-28T00:00:00Z"',
    "NaN",
    "01",
    "'x'",
]
BYTES = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    b"}",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"[" * 200,
    b"\r\n\r\n",
]
PARTS = [
    "%2F",
    "%00",
    "%FF",
    "%",
    "..",
    "//",
    "?",
    "#",
    ";",
    " ",
    "%20",
    "a" * 3000,
    "\u00fc",
    "%C3%BC",
    "\\",
    "arn:aws:bedrock:",
    "*",
]
METHODS = ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "FOO", "post"]
HEADERS = [
    ("x-sentry-tags", "{}"),
    ("x-sentry-tags", "[]"),
    ("x-sentry-tags", "x" * 9000),
    ("x-sentry-tags", '{"a": null}'),
    ("x-sentry-tags", '{"requestId": "!"}'),
    ("x-sentry-tags", '{"timestamp": "x"}'),
    ("x-sentry-tags", '{"a": ""}'),
    ("x-sentry-tags", '{"environment": "\u00fc"}'),
    ("x-sentry-tags", json.dumps({f"t{n}": "v" for n in range(40)})),
    ("x-sentry-tags", '{"costCenter": "of another"}'),
    ("content-type", "text/plain"),
    ("content-encoding", "gzip"),
    ("accept", "\u0001"),
    ("expect", "100-continue"),
    ("expect", "something"),
    ("upgrade", "websocket"),
    ("connection", "upgrade"),
    ("transfer-encoding", "gzip"),
    ("content-length", "1"),
    ("content-length", "-1"),
    ("host", ""),
    ("x-amz-content-sha256", "0"),
    ("a b", "c"),
    ("long", "x" * 70_000),
    ("cookie", "a=b; " * 500),
]


@dataclass
class Damaged:
    """The bytes of a request. `complete` is False if the server has to wait for more, so it may give no answer."""

    wire: bytes
    method: str
    complete: bool = True
    kinds: list[str] = field(default_factory=list)


def nodes(value, path=()):
    """The paths of all values in a document."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from nodes(each, (*path, key))


def damaged_document(random, body):
    """The text of `body` with changed, deleted, renamed or repeated parts."""
    text = json.dumps(body)
    for _ in range(random.randint(1, 2)):
        document = json.loads(text)
        *way, last = random.choice([path for path in nodes(document) if path])
        parent = document
        for key in way:
            parent = parent[key]
        mark = f"mark{random.randrange(10**9)}"
        kind = random.randrange(5)
        if kind == 0:
            del parent[last]
        elif kind == 1 and isinstance(parent, dict):
            parent[random.choice(["x", "temprature", last + "s", "__proto__"])] = parent.pop(last)
        elif kind == 2 and isinstance(parent, dict):
            return json.dumps(document).replace(f'"{last}":', f'"{last}": 1, "{last}":', 1)
        elif kind == 3:
            parent[last] = [parent[last]] * random.choice([1, 2, 300])
        else:
            parent[last] = mark
            return json.dumps(document).replace(f'"{mark}"', random.choice(PIECES))
        text = json.dumps(document)
    return text


def damaged_bytes(random, body):
    """`body` with flipped bits, inserted pieces, or cut short."""
    body = bytearray(body)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(body) + 1)
        match random.randrange(3):
            case 0 if place < len(body):
                body[place] ^= 1 << random.randrange(8)
            case 1:
                body[place:place] = random.choice(BYTES)
            case _:
                del body[place : place + random.randrange(20)]
    return bytes(body)


def damaged(random: Random, key: str) -> Damaged:
    """A request of one of the shapes with at least one damage."""
    shape = random.choice(SHAPES)
    method, path, body = shape.method, shape.path.format(quote(random.choice(MODELS), safe="")), shape.body
    content = json.dumps(body()).encode() if body else b""
    headers = [("host", "gateway"), ("authorization", f"Bearer {key}"), ("content-type", "application/json")]
    # Only Anthropic's path reads this header.
    headers += [("anthropic-version", "2023-06-01"), ("connection", "close")]
    kinds = random.sample(["document", "bytes", "path", "header", "key", "method", "size"], random.choice([1, 1, 1, 2]))
    if "document" in kinds and body:
        content = damaged_document(random, body()).encode()
    if "bytes" in kinds:
        content = damaged_bytes(random, content)
    if "path" in kinds:
        place = random.randrange(1, len(path) + 1)
        path = path[:place] + random.choice(PARTS) + path[place + random.randrange(3) :]
    if "header" in kinds:
        headers.insert(random.randrange(len(headers) + 1), random.choice(HEADERS))
    if "key" in kinds:
        del headers[1]
        headers += random.choice(
            [
                [],
                [("authorization", f"bearer {key}")],
                [("authorization", key)],
                [("authorization", "Bearer " + key[:-1])],
            ]
        )
    if "method" in kinds:
        method = random.choice(METHODS)
    if "size" in kinds:
        content = content[:-1] + b" " * random.choice([300_000, 1_000_000]) + content[-1:]
    return framed(random, method, path, headers, content, kinds)


def framed(random, method, path, headers, content, kinds):
    """The bytes of the request, in one of several framings. Some are broken off."""
    kind = random.choice(["length"] * 8 + ["chunked"] * 2 + ["bad chunk", "cut", "cut chunk", "too long"])
    complete = True
    if "chunk" in kind:
        headers = [*headers, ("transfer-encoding", "chunked")]
        size = max(1, len(content) // 3)
        chunks = [content[start : start + size] for start in range(0, len(content), size)]
        content = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        if kind == "bad chunk":
            content = b"zz\r\n" + content
        elif kind == "cut chunk":
            content, complete = content[: random.randrange(len(content))], False
    else:
        length = len(content) + (100 if kind == "too long" else 0)
        headers = [*headers, ("content-length", str(length))]
        if kind == "cut" and content:
            content = content[: random.randrange(len(content))]
        complete = kind == "length"
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
    return Damaged(head.encode() + b"\r\n" + content, method, complete, [*kinds, kind])


def send(address, request: Damaged):
    """Sends a request. Returns the status of the answer, or 0 if the server closes the connection without one.

    The sending side of a request that is not complete is closed, so that the server does not wait for the rest.
    """
    received = b""
    with socket.create_connection(address, timeout=WAIT_SECONDS) as connection:
        try:
            connection.sendall(request.wire)
            if not request.complete:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        except OSError as error:
            # The server may close before it has read the whole request. It must not wait for more of a complete one.
            if isinstance(error, TimeoutError):
                return -1
    while received.startswith(b"HTTP/1.1 100"):
        received = received.partition(b"\r\n\r\n")[2]
    return int(received[9:12]) if received.startswith(b"HTTP/1.1 ") else 0
