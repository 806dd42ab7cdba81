"""Keys that are not valid, and keys that try to spend the budget of another team.

`--bad-keys 10000` makes the first test a measurement.
"""

import http.client
import json
import secrets
import statistics
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from fault_proxy import FaultProxy, Plan
from gateway_process import GatewayProcess, stored_key
from sentry_client import CANARY, text

pytestmark = pytest.mark.local

KINDS = ("unknown", "expired", "disabled", "malformed")
# So many stored keys of a kind take turns. The gateway keeps no key, so it cannot know one again.
STORED = 20
BODY = json.dumps({"messages": [{"role": "user", "content": [{"text": text(output_tokens=5)}]}]})
FORMS = [
    lambda key: key.upper(),
    lambda key: key[:-1],
    lambda key: f"{key}0",
    lambda key: f"{key[:-1]}g",
    lambda key: f"csk-{key[4:]}",
    lambda key: "csk_",
    lambda key: "x" * 5000,
    lambda key: f" {key}",
    lambda key: f"{key} {key}",
]


def random_key():
    return f"csk_{secrets.token_hex(32)}"


def bad_keys(sentry, count):
    """`count` keys that are not valid, with their kinds, which take turns."""
    expired = [stored_key(sentry, expiresAt="2026-01-01T00:00:00Z") for _ in range(STORED)]
    disabled = [stored_key(sentry, enabled=False) for _ in range(STORED)]
    for number in range(count // len(KINDS)):
        yield "unknown", random_key()
        yield "expired", expired[number % STORED]
        yield "disabled", disabled[number % STORED]
        yield "malformed", FORMS[number % len(FORMS)](random_key())


def answers_to(port, keys):
    """The answers to keys as a set of status, headers and body, and the milliseconds by kind."""
    answers, times = set(), defaultdict(list)
    for kind, key in keys:
        # A server that has not read the body of a refused request may close the connection.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.connect()
        begun = time.perf_counter()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/model/nova-lite/converse", BODY, headers)
        answer = connection.getresponse()
        body = answer.read()
        times[kind].append((time.perf_counter() - begun) * 1000)
        told = tuple((name, value) for name, value in answer.getheaders() if name.lower() != "date")
        answers.add((answer.status, told, body))
        connection.close()
    return answers, times


def test_keys_that_are_not_valid_have_one_answer_and_cause_one_read(sentry, url, request, say):
    option = request.config.getoption
    count, plan = option("--bad-keys"), Plan(seed=1, share=0)
    keys = list(bad_keys(sentry, count))
    log = Path(option("--log-dir")) / "gateway-keys.log"
    calls = sentry.calls()
    with (
        FaultProxy("gateway", sentry.endpoint, plan) as proxy,
        GatewayProcess(
            sentry, Path(option("--sentry-command")).parent / "fn-gateway", log, AWS_ENDPOINT_URL=proxy.url
        ) as gateway,
    ):
        answers_to(gateway.port, keys[:8])
        plan.seen.clear()
        answers, times = answers_to(gateway.port, keys)
        seen = dict(plan.seen)
    for kind in KINDS:
        median, high = statistics.median(times[kind]), statistics.quantiles(times[kind], n=20)[-1]
        say(f"{kind:<10}{len(times[kind]):>7} keys   median {median:6.2f} ms   95th percentile {high:6.2f} ms")
    assert len(answers) == 1 and {status for status, *_ in answers} == {401}
    assert seen == {("gateway", "GetItem"): count}
    assert sentry.calls() == calls


@pytest.fixture(scope="module")
def teams(sentry, client):
    """A client of each team, both with a limit, and the profile of the other team, which has a limit too."""
    ours, theirs = client(), client()
    for each in (ours, theirs):
        sentry.set_limit(f"costCenter#{each.center}", {"output": 100_000})
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": 100_000})
    return ours, theirs, arn, bare


def raw(caller, path, headers, body):
    """Sends a request whose headers are a list, so that a name can come twice. Returns the status."""
    address = urlsplit(caller.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection.putrequest("POST", path)
    content = json.dumps(body).encode()
    for name, value in [*headers, ("Content-Length", str(len(content)))]:
        connection.putheader(name, value)
    connection.endheaders(content)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def attempts(ours, theirs, arn):
    """Requests with our key that claim to be theirs: a label, the path, the headers, and the body."""
    bearer, path = ("Authorization", f"Bearer {ours.key}"), "/model/nova-lite/converse"
    body = {
        "messages": [{"role": "user", "content": [{"text": text(output_tokens=5)}]}],
        "inferenceConfig": {"maxTokens": 9},
    }
    claims = {"costCenter": theirs.center}
    told = json.dumps(claims)
    for name in ("x-sentry-tags", "X-Sentry-Tags", "X-SENTRY-TAGS"):
        yield name, path, [bearer, (name, told)], body
    for value in (f'{{"costCenter": "{ours.center}", "costCenter": "{theirs.center}"}}', '{"applicationId": "other"}'):
        yield f"tags {value}", path, [bearer, ("x-sentry-tags", value)], body
    own = ("x-sentry-tags", json.dumps({"costCenter": ours.center}))
    yield "tags twice", path, [bearer, own, ("x-sentry-tags", told)], body
    yield "tags twice, theirs first", path, [bearer, ("x-sentry-tags", told), own], body
    for name in ("x-sentry-cost-center", "OpenAI-Project", "X-Amzn-Bedrock-Cost-Center", "Cookie"):
        yield name, path, [bearer, (name, theirs.center)], body
    yield "metadata", path, [bearer], {**body, "requestMetadata": claims}
    yield "metadata, application", path, [bearer], {**body, "requestMetadata": {"applicationId": "other"}}
    for field in ("tags", "model", "modelId", "costCenter"):
        yield f"field {field}", path, [bearer], {**body, field: claims}
    for query in (f"?costCenter={theirs.center}", f"?modelId={quote(arn, safe='')}", "?tags=" + quote(told)):
        yield f"query {query[:12]}", path + query, [bearer], body
    slashed = quote(arn, safe=":/")
    for model in (
        arn,
        quote(arn, safe=""),
        slashed,
        quote(quote(arn, safe=""), safe=""),
        f"x/../{slashed}",
        arn.upper(),
    ):
        yield f"path {model[:24]}", f"/model/{model}/converse", [bearer], body
    other = ("Authorization", f"Bearer {random_key()}")
    yield "two keys, an unknown one second", path, [bearer, other], body
    yield "two keys, an unknown one first", path, [other, bearer], body


def test_a_key_spends_no_other_budget_whatever_its_request_says(sentry, teams, say):
    ours, theirs, arn, bare = teams
    statuses: dict[str, int] = {}
    for label, path, headers, body in attempts(ours, theirs, arn):
        statuses[label] = raw(ours, path, headers, body)
    say(f"{len(statuses)} attempts: {dict(Counter(statuses.values()))}")
    assert set(statuses.values()) <= {200, 400, 401, 403, 404}, statuses
    refused = {label for label, status in statuses.items() if status != 200}
    # A request that is served is one of ours, because its claim means nothing to the gateway.
    assert {"metadata", "x-sentry-tags", "X-SENTRY-TAGS", "tags twice", "two keys, an unknown one second"} <= refused, (
        statuses
    )
    assert not sentry.ledger_items(f"costCenter#{theirs.center}")
    assert not sentry.ledger_items(f"model#{bare}") and sentry.calls(bare) == 0
    served = sum(status == 200 for status in statuses.values())
    assert sentry.ledger_settled(f"costCenter#{ours.center}") == 5 * served


def test_requests_of_two_teams_at_once_are_never_exchanged(sentry, client):
    teams = [client() for _ in range(4)]
    for number, caller in enumerate(teams):
        sentry.set_limit(f"costCenter#{caller.center}", {"output": 100_000})
        assert caller.converse(text(output_tokens=number + 1))["usage"]["outputTokens"] == number + 1
    with ThreadPoolExecutor(8) as pool:
        sent = [(number, caller) for number, caller in enumerate(teams)] * 5
        list(pool.map(lambda each: each[1].converse(text(output_tokens=each[0] + 1)), sent))
    for number, caller in enumerate(teams):
        assert sentry.ledger_settled(f"costCenter#{caller.center}") == 6 * (number + 1)


def test_no_refusal_quotes_a_key_or_a_prompt(teams):
    ours, *_ = teams
    for headers in (
        {"Authorization": f"Bearer {ours.key}0"},
        {"Authorization": f"Bearer {ours.key}", "x-sentry-tags": "["},
    ):
        _, answer = ours.post(**headers)
        assert ours.key not in json.dumps(answer) and CANARY not in json.dumps(answer)
