"""Real clients of Bedrock at the gateway, over HTTPS: unmodified but for address and key (`clients/`)."""

import json
import shutil
import subprocess
import time

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError

from sentry_client import text

pytestmark = pytest.mark.local

# The id of Bedrock, because LangChain tells the features of a model by its id. Its limit is the budget of each client.
MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
BUDGET, HELD = 1000, 900
QUOTA, THROTTLED, INVALID = "ServiceQuotaExceededException", "ThrottlingException", "ValidationException"


@pytest.fixture
def caller(sentry, client):
    """A client whose budget has a hold that stays: that of a stream which broke off."""
    made = client()
    sentry.set_limit(f"costCenter#{made.center}", {"output": BUDGET})
    messages = [{"role": "user", "content": [{"text": text(cut_after=1)}]}]
    broken = made.bedrock.converse_stream(modelId=MODEL, messages=messages, inferenceConfig={"maxTokens": HELD})
    with pytest.raises(EventStreamError):
        list(broken["stream"])
    return made


def case(call="ask", max_tokens=50, model=MODEL, **directives):
    words = text(**(directives or {"output_tokens": 5}))
    return {"call": call, "model": model, "text": words, "max_tokens": max_tokens}


def usual():
    """The cases that each client program gets."""
    streamed = {"output_tokens": 20, "chunk_words": 5, "chunk_delay_ms": 100}
    return {
        "answered": case(),
        "streamed": case("stream", **streamed),
        "denied": case(max_tokens=BUDGET + 1),
        "denied stream": case("stream", max_tokens=BUDGET + 1),
        "reserved": case(max_tokens=BUDGET - HELD + 1),
        "reserved stream": case("stream", max_tokens=BUDGET - HELD + 1),
        "unknown": case(model="no-such-model"),
    }


def check(results, throttled=THROTTLED, denied=QUOTA, invalid=INVALID):
    """Each refusal is the client's own class of error, with the code of the sentry, and a stream arrives bit by bit."""
    assert len(results["answered"]["said"].split()) == 5
    assert len(results["streamed"]["said"].split()) == 20
    assert results["streamed"]["seconds"] > 0.2, "the parts came together"
    expected = {
        "denied": (denied, "BudgetExceeded"),
        "denied stream": (denied, "BudgetExceeded"),
        "reserved": (throttled, "BudgetReserved"),
        "reserved stream": (throttled, "BudgetReserved"),
        "unknown": (invalid, "UnknownModel"),
    }
    for name, (error, code) in expected.items():
        assert results[name]["error"] == error, results[name]
        assert f"[sentry: {code}" in results[name]["message"], results[name]


def settled(sentry, caller):
    """The settled tokens of the caller's budget. The hold of the broken stream is not among them."""
    return sentry.ledger_settled(f"costCenter#{caller.center}")


def test_boto3(sentry, caller, programs):
    results = programs.run("boto3_client.py", caller.key, usual() | {"own": case("own_fields")})
    check(results)
    assert results["own"]["own"] == [5, 5], results["own"]
    assert settled(sentry, caller) == 35


def test_boto3_waits_by_itself_for_a_budget_that_another_request_holds(sentry, caller, programs):
    cases = {"patient": case("ask_while_held", max_tokens=60)}
    result = programs.run("boto3_client.py", caller.key, cases)["patient"]
    assert len(result["said"].split()) == 5 and result["retries"] >= 1
    assert settled(sentry, caller) == 10


def test_the_sdk_for_javascript(sentry, caller, programs):
    check(programs.run("javascript_client.cjs", caller.key, usual()))
    assert settled(sentry, caller) == 25


def test_langchain(sentry, caller, programs):
    cases = usual() | {"tool": case("tool", tool="find", output_tokens=5), "place": case("place", output_tokens=20)}
    results = programs.run("langchain_chat.py", caller.key, cases)
    check(results)
    assert isinstance(results["place"]["place"], dict), results["place"]
    assert results["tool"]["said"] == "find"


def test_langchain_by_invoke(sentry, caller, programs):
    cases = usual() | {"tool": case("tool", tool="find", output_tokens=5)}
    results = programs.run("langchain_invoke.py", caller.key, cases)
    check(results)
    assert (results["tool"]["said"], results["tool"]["tokens"]) == ("find", 5)


# The classes of errors of Anthropic's clients: for a budget that is used up, and for an unknown model.
ANTHROPIC = [
    pytest.param("anthropic_bedrock.py", "BadRequestError", "BadRequestError", id="bedrock"),
    pytest.param("anthropic_messages.py", "PaymentRequiredError", "NotFoundError", id="messages"),
]


@pytest.mark.parametrize("program, denied, unknown", ANTHROPIC)
def test_anthropics_clients(sentry, caller, programs, program, denied, unknown):
    cases = usual() | {"tool": case("tool", tool="find", reasoning=6, output_tokens=9)}
    # The client of Bedrock reads botocore's model of the service at the first event, for about 200 ms.
    cases["streamed"] = case("stream", output_tokens=20, chunk_words=5, chunk_delay_ms=300)
    results = programs.run(program, caller.key, cases)
    check(results, throttled="RateLimitError", denied=denied, invalid=unknown)
    tool = results["tool"]
    assert tool["said"] == "find" and tool["input"] and tool["stopped"] == ["tool_use", "end_turn"]
    assert tool["first"] == 9 and tool["input_tokens"] > 0
    assert settled(sentry, caller) == 25 + tool["first"] + tool["last"]


def test_an_agent_of_strands_uses_its_tool(sentry, caller, programs):
    cases = usual() | {"tool": case("tool", tool="find", output_tokens=5)}
    results = programs.run("strands_agent.py", caller.key, cases)
    check(results, throttled="ModelThrottledException")
    assert results["tool"]["tool"] and results["tool"]["said"]


def converse(programs, caller, **asked):
    """The AWS CLI. Version 1, the one on PyPI, has no `converse-stream`."""
    messages = json.dumps([{"role": "user", "content": [{"text": asked["text"]}]}])
    config = json.dumps({"maxTokens": asked["max_tokens"]})
    options = ["--model-id", asked["model"], "--messages", messages, "--inference-config", config]
    return programs.execute([programs.program("aws"), "bedrock-runtime", "converse", *options], caller.key)


def test_the_aws_cli(caller, programs):
    cases = usual()
    answer = json.loads(converse(programs, caller, **cases["answered"]).stdout)
    assert answer["usage"]["outputTokens"] == 5 and answer["stopReason"] == "end_turn"
    for name, error, code in [
        ("denied", QUOTA, "BudgetExceeded"),
        ("reserved", THROTTLED, "BudgetReserved"),
        ("unknown", INVALID, "UnknownModel"),
    ]:
        done = converse(programs, caller, **cases[name])
        assert done.returncode != 0
        assert f"({error})" in done.stderr and f"[sentry: {code}" in done.stderr


def test_the_aws_cli_invokes_a_model(sentry, caller, programs):
    cases = usual()

    def invoke(asked):
        messages = [{"role": "user", "content": asked["text"]}]
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": asked["max_tokens"], "messages": messages}
        # The answer goes to a file. Version 1 takes the body as it is.
        options = ["--model-id", asked["model"], "--body", json.dumps(body), "/dev/stdout"]
        return programs.execute([programs.program("aws"), "bedrock-runtime", "invoke-model", *options], caller.key)

    answer, _ = json.JSONDecoder().raw_decode(invoke(cases["answered"]).stdout)
    assert (answer["usage"]["output_tokens"], answer["stop_reason"]) == (5, "end_turn")
    assert settled(sentry, caller) == 5
    for name, error, code in [
        ("denied", QUOTA, "BudgetExceeded"),
        ("reserved", THROTTLED, "BudgetReserved"),
        ("unknown", INVALID, "UnknownModel"),
    ]:
        done = invoke(cases[name])
        assert done.returncode != 0
        assert f"({error})" in done.stderr and f"[sentry: {code}" in done.stderr


def curl(programs, caller, asked):
    """The output of `curl -N` on a stream, piece by piece with its time."""
    body = {
        "messages": [{"role": "user", "content": [{"text": asked["text"]}]}],
        "inferenceConfig": {"maxTokens": asked["max_tokens"]},
    }
    url = f"{programs.url}/model/{asked['model']}/converse-stream"
    options = [
        "-sSN",
        "-H",
        f"Authorization: Bearer {caller.key}",
        "-w",
        "%{stderr}%{http_code}",
        "-d",
        json.dumps(body),
    ]
    environment = programs.variables(caller.key)
    with subprocess.Popen(
        ["curl", *options, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, bufsize=0
    ) as process:
        assert process.stdout and process.stderr
        while piece := process.stdout.read(65536):
            yield piece, time.monotonic()
        yield process.stderr.read(), time.monotonic()


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
def test_curl(caller, programs):
    cases = usual()
    *pieces, (status, _) = curl(programs, caller, cases["streamed"])
    assert status == b"200"
    assert pieces[-1][1] - pieces[0][1] > 0.2, "the parts came together"
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(piece for piece, _ in pieces))
    names = [event.headers[":event-type"] for event in buffer]
    assert names == ["messageStart", *["contentBlockDelta"] * 4, "contentBlockStop", "messageStop", "metadata"]
    for name, expected, code in [
        ("denied", b"400", "BudgetExceeded"),
        ("reserved", b"429", "BudgetReserved"),
        ("unknown", b"400", "UnknownModel"),
    ]:
        (body, _), (status, _) = curl(programs, caller, cases[name])
        assert status == expected and f"[sentry: {code}" in json.loads(body)["message"]
