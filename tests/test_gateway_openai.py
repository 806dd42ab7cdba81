"""OpenAI's API at the gateway, kept answers, and the page of budgets."""

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from urllib.parse import urlsplit

import pytest

from gateway_client import MODEL
from sentry_client import text, unique

pytestmark = pytest.mark.local

# Two requests for HELD tokens do not fit into it at once.
BUDGET, HELD = 200, 110


@pytest.fixture
def caller(sentry, client):
    """A client with a budget of its own."""
    made = client()
    sentry.set_limit(f"costCenter#{made.center}", {"output": BUDGET})
    return made


def settled(sentry, caller):
    return sentry.ledger_settled(f"costCenter#{caller.center}")


def case(call="ask", max_tokens=50, model=MODEL, more=None, **directives):
    words = text(**(directives or {"output_tokens": 5}))
    return {"call": call, "model": model, "text": words, "max_tokens": max_tokens, **(more or {})}


def body(words, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": words}], "max_tokens": 50, **more}


def fetch(caller, path, asked=None, key=None, **headers):
    """Sends a request. Returns the status, the headers and the body."""
    data = json.dumps(asked).encode() if asked is not None else None
    headers = {"Authorization": f"Bearer {key or caller.key}", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(caller.url + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def eventually(found, expected, seconds=10):
    deadline = time.monotonic() + seconds
    while (value := found()) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert value == expected


def opened(caller, asked, path="/v1/chat/completions"):
    """Begins a request for events. Returns the connection and the response."""
    address = urlsplit(caller.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    headers = {"Authorization": f"Bearer {caller.key}"}
    connection.request("POST", path, json.dumps({**asked, "stream": True}), headers)
    return connection, connection.getresponse()


def test_the_openai_sdk(caller, programs):
    cases = {
        "patient": case("ask_while_held", max_tokens=HELD),
        "answered": case(),
        "streamed": case("stream", output_tokens=20, chunk_words=5, chunk_delay_ms=100),
        "used": case("counted_stream", output_tokens=7),
        "tool": case("tool", tool="find", output_tokens=5, model="claude-haiku-4-5"),
        "streamed tool": case("tool", tool="find", output_tokens=5, model="claude-haiku-4-5", more={"in_events": True}),
        "denied": case("counted", max_tokens=BUDGET + 1),
        "unknown": case("counted", model="no-such-model"),
        "invalid": case("counted", more={"temperature": 1.5}),
        "unsupported": case("counted", more={"seed": 7}),
        "wrong key": case("counted", more={"wrong_key": True}),
        "denied stream": case("stream", max_tokens=BUDGET + 1),
        "models": {"call": "models", "wanted": MODEL},
        "broken": case("counted_stream", output_tokens=9, chunk_words=3, cut_after=3),
    }
    variables = {"OPENAI_BASE_URL": f"{programs.url}/v1", "OPENAI_API_KEY": caller.key}
    results = programs.run("openai_client.py", caller.key, cases, **variables)
    assert len(results["patient"]["said"].split()) == 5
    assert results["patient"]["requests"] >= 2, "the SDK waits by itself for a budget that another request holds"
    assert len(results["answered"]["said"].split()) == 5
    assert len(results["streamed"]["said"].split()) == 20
    assert results["streamed"]["seconds"] > 0.2, "the parts came together"
    usage = results["used"]["usage"]
    assert (usage["completion_tokens"], usage["total_tokens"]) == (7, usage["prompt_tokens"] + 7)
    for name in ("tool", "streamed tool"):
        assert "error" not in results[name], results[name]
        assert results[name]["tool"] == "find" and json.loads(results[name]["arguments"]) is not None
        assert results[name]["said"]
    expected = {
        "denied": ("RateLimitError", "insufficient_quota", None, 429),
        "unknown": ("NotFoundError", "model_not_found", "model", 404),
        "invalid": ("BadRequestError", None, "temperature", 400),
        "unsupported": ("BadRequestError", None, "seed", 400),
        "wrong key": ("AuthenticationError", "invalid_api_key", None, 401),
    }
    for name, told in expected.items():
        found = results[name]
        assert (found["error"], found["code"], found["param"], found["status"]) == told, found
        assert found["requests"] == 1, "the SDK repeated a request that a repetition cannot help"
    assert results["denied stream"]["error"] == "RateLimitError"
    assert results["broken"]["said"] and results["broken"]["error"].startswith("APIError: ")
    assert MODEL in results["models"]["ids"] and results["models"]["owner"] == "amazon"


def test_chunks_reach_the_client_one_by_one(sentry, caller):
    words = text(output_tokens=40, chunk_words=4, chunk_delay_ms=100)
    connection, answer = opened(caller, body(words, stream_options={"include_usage": True}))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    times, chunks = [], []
    while line := answer.readline():
        if line.startswith(b"data: "):
            times.append(time.monotonic())
            chunks.append(line[6:].decode().strip())
    connection.close()
    assert times[-1] - times[0] > 0.7, "the chunks came together"
    assert chunks[-1] == "[DONE]"
    chunks = [json.loads(chunk) for chunk in chunks[:-1]]
    assert (
        len({chunk["id"] for chunk in chunks}) == 1
        and chunks[0]["id"] == f"chatcmpl-{answer.headers['x-sentry-request-id']}"
    )
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
    assert len(said.split()) == 40 and chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 40)
    assert settled(sentry, caller) == 40


def test_a_request_has_the_same_answer_at_both_paths_and_the_usage_of_converse(sentry, caller):
    words = text(output_tokens=9, cache_read=3)
    one, other = (
        json.loads(fetch(caller, f"{path}/chat/completions", body(words))[2]) for path in ("/v1", "/openai/v1")
    )
    native = caller.converse(words)
    assert one["choices"] == other["choices"]
    assert one["choices"][0]["message"]["content"] == native["output"]["message"]["content"][0]["text"]
    tokens = native["usage"]
    expected = tokens["inputTokens"] + tokens["cacheReadInputTokens"], tokens["outputTokens"]
    assert (one["usage"]["prompt_tokens"], one["usage"]["completion_tokens"]) == expected
    assert one["usage"]["prompt_tokens_details"]["cached_tokens"] == 3
    assert settled(sentry, caller) == 27


def test_the_tags_of_a_request_come_from_the_key_and_then_from_its_fields(sentry, caller):
    user = unique("user")
    sentry.set_limit(f"user#{user}", {"output": BUDGET})
    assert fetch(caller, "/v1/chat/completions", body(text(output_tokens=6), user=user))[0] == 200
    assert sentry.ledger_settled(f"user#{user}") == 6
    status, _, told = fetch(caller, "/v1/chat/completions", body(text(), metadata={"costCenter": "another"}))
    assert (status, json.loads(told)["error"]["code"]) == (403, "access_denied")


def test_a_repeated_request_is_paid_once_and_is_its_first_answer(sentry, caller, client):
    request_id = unique("order")
    asked = body(text(output_tokens=6), metadata={"requestId": request_id})
    status, headers, first = fetch(caller, "/v1/chat/completions", asked)
    assert (status, headers["x-sentry-replayed"]) == (200, None)
    status, headers, again = fetch(caller, "/v1/chat/completions", asked)
    first, again = json.loads(first), json.loads(again)
    assert (status, headers["x-sentry-replayed"]) == (200, "true")
    assert all(again[field] == first[field] for field in ("choices", "usage", "model"))
    said = first["choices"][0]["message"]["content"]
    status, headers, kept = fetch(caller, f"/v1/answers/{request_id}")
    kept = json.loads(kept)
    assert (status, headers["cache-control"], kept["state"]) == (200, "no-store", "done")
    assert (kept["answer"]["output"]["message"]["content"], kept["answer"]["usage"]["outputTokens"]) == (said, 6)
    # The other key has the same application, and another cost center.
    other = client()
    for sender, sent in [(caller, {**asked, "max_tokens": 49}), (other, asked)]:
        status, headers, told = fetch(sender, "/v1/chat/completions", sent)
        assert (status, json.loads(told)["error"]["code"]) == (409, "duplicate_request")
        assert (headers["x-should-retry"], headers["x-sentry-answer"]) == ("false", f"/v1/answers/{request_id}")
    assert settled(sentry, caller) == 6
    answers = [fetch(other, f"/v1/answers/{name}") for name in (request_id, "no-such-order", "not%20an%20id")]
    assert {status for status, _, _ in answers} == {404}
    assert len({told for _, _, told in answers}) == 1
    assert fetch(caller, f"/v1/answers/{request_id}", key="x")[0] == 401


@pytest.mark.parametrize("path", ["/v1/chat/completions", f"/model/{MODEL}/converse-stream"])
def test_the_answer_of_a_client_that_left_is_kept_and_comes_again(sentry, caller, path):
    request_id = unique("left")
    words = text(output_tokens=40, chunk_words=4, chunk_delay_ms=50)
    asked = body(words, metadata={"requestId": request_id})
    if "converse" in path:
        messages = [{"role": "user", "content": [{"text": words}]}]
        asked = {"messages": messages, "requestMetadata": {"requestId": request_id}}
        asked["inferenceConfig"] = {"maxTokens": 50}
    connection, answer = leaving(caller, asked, path)
    assert answer.status == 200 and answer.read(50)
    connection.close()
    assert fetch(caller, f"/v1/answers/{request_id}")[0] == 404
    eventually(lambda: fetch(caller, f"/v1/answers/{request_id}")[0], 200)
    kept = json.loads(fetch(caller, f"/v1/answers/{request_id}")[2])["answer"]
    said = kept["output"]["message"]["content"]
    said = said if isinstance(said, str) else said[0]["text"]
    assert len(said.split()) == 40 and kept["usage"]["outputTokens"] == 40
    connection, answer = leaving(caller, asked, path)
    assert (answer.status, answer.getheader("x-sentry-replayed")) == (200, "true")
    events = answer.read().decode(errors="replace")
    connection.close()
    assert json.dumps(said)[1:-1] in events and ("[DONE]" in events or "metadata" in events)
    assert settled(sentry, caller) == 40


def leaving(caller, asked, path):
    if "converse" not in path:
        return opened(caller, asked, path)
    address = urlsplit(caller.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    connection.request("POST", path, json.dumps(asked), {"Authorization": f"Bearer {caller.key}"})
    return connection, connection.getresponse()


def test_a_key_lists_the_models_that_it_may_use(sentry, client, caller):
    alias = unique("alias")
    arn, _ = sentry.profile_arn()
    profile = unique("profile")
    for name, target in ((alias, "amazon.nova-lite-v1:0"), (profile, arn)):
        sentry.catalogue.put_item(Item={"entry": f"alias#{name}", "modelId": target})
    try:
        listed = [model["id"] for model in json.loads(fetch(caller, "/v1/models")[2])["data"]]
        assert {"claude-haiku-4-5", MODEL, alias} <= set(listed) and profile not in listed
        own = client("--models", f"{profile},us.amazon.nova-micro-v1:0")
        listed = [model["id"] for model in json.loads(fetch(own, "/v1/models")[2])["data"]]
        assert {profile, "us.amazon.nova-micro-v1:0"} <= set(listed) and MODEL not in listed
    finally:
        for name in (alias, profile):
            sentry.catalogue.delete_item(Key={"entry": f"alias#{name}"})
    found = json.loads(fetch(caller, "/openai/v1/models/us.amazon.nova-lite-v1%3A0")[2])
    assert (found["object"], found["owned_by"]) == ("model", "amazon")
    for wanted in (own, caller):
        name = MODEL if wanted is own else "no-such-model"
        status, _, told = fetch(wanted, f"/v1/models/{name}")
        assert (status, json.loads(told)["error"]["code"]) == (404, "model_not_found")


def test_a_caller_sees_the_budgets_of_its_tags_without_a_model(sentry, caller):
    assert fetch(caller, "/v1/chat/completions", body(text(output_tokens=6)))[0] == 200
    status, _, shown = fetch(caller, "/v1/budget")
    entries = {each["scope"]: each for each in json.loads(shown)["budget"]}
    assert status == 200 and not any(scope.startswith(("model#", "foundation#")) for scope in entries)
    assert entries[f"costCenter#{caller.center}"]["output"] == {
        "limit": BUDGET,
        "used": 6,
        "reserved": 0,
        "remaining": BUDGET - 6,
    }
    sentry.set_limit(f"costCenter#{caller.center}", {"output": BUDGET}, stopped="maintenance")
    assert json.loads(fetch(caller, "/v1/budget")[2])["error"]["code"] == "Stopped"


def page(url, form=None, **headers):
    """The answer to a browser: the status, the headers and the text."""
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/budget", data, headers), timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def test_a_browser_sees_the_budgets_of_the_key_that_is_entered(sentry, caller, url):
    status, headers, shown = page(url)
    assert (status, headers["cache-control"]) == (200, "no-store") and 'type="password"' in shown
    assert "default-src 'none'" in headers["content-security-policy"] and "<script" not in shown
    assert fetch(caller, "/v1/chat/completions", body(text(output_tokens=6)))[0] == 200
    status, headers, shown = page(url, {"key": caller.key, "model": ""})
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert f"Cost center {caller.center}" in shown and f">{BUDGET - 6}</td>" in shown
    assert caller.key not in shown
    of_model = page(url, {"key": caller.key, "model": MODEL})[2]
    assert "A request for one token would be admitted now." in of_model and "Model us.amazon.nova-lite" in of_model
    for wrong in ("csk_x", f"csk_{'0' * 64}", ""):
        status, _, refused = page(url, {"key": wrong})
        assert status == 401 and "The key is missing or not valid." in refused
    assert page(url, {"nothing": "here"})[0] == 400
    assert page(url, None, Authorization=f"Bearer {caller.key}")[2].count("<section") == shown.count("<section")
