"""Numbers in tools are passed on digit by digit: to the model, in its answer, and to the model again in the next turn."""

import json

import pytest

from contract import check_succeeded
from sentry_client import text
from test_families import token
from wire_shapes import exchanges

pytestmark = pytest.mark.local

NUMBERS = {
    "zod": "9007199254740991",
    "double": "0.30000000000000004",
    "id": "1234567890123456789",
    "largest": "18446744073709551615",
    "least": "-9223372036854775808",
    "seventeen": "31.245270191439438",
    "small": "2.2250738585072014e-308",
}
OBJECT = "{" + ", ".join(f'"{name}": {digits}' for name, digits in NUMBERS.items()) + "}"
# Each number is a limit of its property, and the value that the simulated model passes to the tool.
SCHEMA = (
    '{"type": "object", "properties": {'
    + ", ".join(f'"{name}": {{"maximum": {digits}, "default": {digits}}}' for name, digits in NUMBERS.items())
    + "}}"
)
TOOL = f'{{"toolSpec": {{"name": "find", "inputSchema": {{"json": {SCHEMA}}}}}}}'
SEPARATORS = ",}] \n"


def digits_in(raw):
    """Counts the occurrences of each number in a JSON text, with exactly these digits."""
    return {name: sum(raw.count(f"{digits}{end}") for end in SEPARATORS) for name, digits in NUMBERS.items()}


def body_at_bedrock(sentry, sent):
    """Returns the text of the only body that reached Bedrock for a request."""
    (key,) = token(sent)
    _, kept = exchanges(sentry.bedrock_endpoint)
    found = [
        each["request"]["body"]
        for each in kept
        if key in each["request"]["body"] and each["path"].endswith("/converse")
    ]
    assert len(found) == 1
    return found[0]


def asked(sentry, messages):
    """Sends a document whose numbers are written by hand. Returns its text and the text of the answer."""
    model = "amazon.nova-lite-v1:0"
    sent = f'{{"model": "{model}", "prompt": {{"messages": {messages}, "tools": [{TOOL}]}}, "tags": {{"applicationId": "e2e-numbers"}}}}'
    ended = sentry.states.start_sync_execution(stateMachineArn=sentry.outputs["RateLimiterArn"], input=sent)
    check_succeeded(json.loads(ended["output"]))
    return sent, ended["output"]


def test_numbers_arrive_digit_by_digit_in_both_turns(sentry):
    question = json.dumps(text(tool="find"))
    sent, answer = asked(sentry, f'[{{"role": "user", "content": {question}}}]')
    assert digits_in(body_at_bedrock(sentry, sent)) == dict.fromkeys(NUMBERS, 2), "in the schema"
    assert digits_in(answer) == dict.fromkeys(NUMBERS, 1), "in the tool's input"
    content = json.loads(answer)["output"]["message"]["content"]
    (use,) = [block["toolUse"] for block in content if "toolUse" in block]
    # Python reads and writes these numbers unchanged, so the answer is sent back as any client would send it.
    result = f'{{"toolResult": {{"toolUseId": "{use["toolUseId"]}", "content": [{{"json": {OBJECT}}}]}}}}'
    last = json.dumps({"text": text()})
    sent, _ = asked(
        sentry,
        f'[{{"role": "user", "content": {question}}}, {{"role": "assistant", "content": {json.dumps(content)}}}, {{"role": "user", "content": [{result}, {last}]}}]',
    )
    assert digits_in(body_at_bedrock(sentry, sent)) == dict.fromkeys(NUMBERS, 4), (
        "in the schema, the input and the result"
    )
