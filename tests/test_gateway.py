"""The gateway: unmodified boto3 clients, within the same budgets as the workflow, with the identity of their key."""

import json
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from gateway_client import MODEL, TOKENS, Client, opened
from queue_client import RequestQueue
from sentry_client import CANARY, document, text, unique

pytestmark = pytest.mark.local

CAPACITY, CLIENTS = 10, 100


def limited(sentry, client, tokens):
    """Limits the output tokens of the client's cost center."""
    sentry.set_limit(f"costCenter#{client.center}", {"output": tokens})
    return f"costCenter#{client.center}"


def test_an_approved_request_is_answered_as_bedrock_answers_and_settled(sentry, client):
    caller = client()
    scope = limited(sentry, caller, 1000)
    answer = caller.converse(text(output_tokens=7), system=[{"text": "Be short."}])
    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["output"]["message"]["content"][0]["text"]
    assert (answer["usage"]["outputTokens"], answer["stopReason"]) == (7, "end_turn")
    assert answer["metrics"]["latencyMs"] >= 0
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert float(headers["x-sentry-cost-usd"]) > 0 and headers["x-sentry-request-id"]
    assert sentry.ledger_settled(scope) == 7


def test_a_tool_is_asked_for_and_its_result_sent_back(client):
    caller = client()
    tool = {"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
    question = {"role": "user", "content": [{"text": text(tool="find")}]}
    answer = caller.bedrock.converse(modelId="claude-haiku-4-5", messages=[question], toolConfig={"tools": [tool]})
    assert answer["stopReason"] == "tool_use"
    asked = next(block["toolUse"] for block in answer["output"]["message"]["content"] if "toolUse" in block)
    result = {"toolResult": {"toolUseId": asked["toolUseId"], "content": [{"json": {"found": 1}}]}}
    messages = [question, answer["output"]["message"], {"role": "user", "content": [result]}]
    again = caller.bedrock.converse(modelId="claude-haiku-4-5", messages=messages, toolConfig={"tools": [tool]})
    assert again["output"]["message"]["content"]


def test_each_refusal_is_an_exception_of_bedrock(sentry, client):
    caller = client()
    limited(sentry, caller, TOKENS)
    quota = "ServiceQuotaExceededException"
    assert caller.refused(max_tokens=TOKENS + 1) == (quota, 400, "BudgetExceeded")
    assert caller.refused(model="no-such-model") == ("ValidationException", 400, "UnknownModel")
    throttled = caller.refused(text(fault="throttling"))
    assert throttled == ("ThrottlingException", 429, "ModelThrottled")
    assert caller.refused(text(fault="validation")) == ("ValidationException", 400, "ModelRejectedRequest")
    sentry.set_limit(f"costCenter#{caller.center}", {"output": TOKENS}, stopped="maintenance")
    assert caller.refused() == ("AccessDeniedException", 403, "Stopped")
    with sentry.default_item(None):
        sentry.delete_limit(f"costCenter#{caller.center}")
        assert caller.refused() == ("AccessDeniedException", 403, "LimitNotConfigured")


def test_a_request_that_meets_a_hold_is_throttled_and_an_invalid_one_names_its_field(sentry, client):
    caller = client()
    limited(sentry, caller, TOKENS)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(caller.converse, text(output_tokens=5, latency_ms=1500))
        time.sleep(0.7)
        assert caller.refused() == ("ThrottlingException", 429, "BudgetReserved")
        assert slow.result()["usage"]["outputTokens"] == 5
    bearer = {"Authorization": f"Bearer {caller.key}"}
    status, answer = caller.post(body={"messages": [{"role": "robot", "content": [{"text": CANARY}]}]}, **bearer)
    assert status == 400 and "prompt.messages[0].role" in answer["message"] and CANARY not in answer["message"]
    status, answer = caller.post(body={"messages": [], "promptVariables": {}}, **bearer)
    assert status == 400 and "promptVariables" in answer["message"]


def test_a_large_request_without_a_valid_key_gets_its_answer(client):
    """A server that answers before it has read the request would break the connection of a client that still writes."""
    messages = [{"role": "user", "content": [{"text": "a" * 3_000_000}]}]
    status, answer = client().post(body={"messages": messages}, Authorization="Bearer csk_wrong")
    assert status == 401 and "key" in answer["message"]


def test_a_key_spends_no_other_budget_by_header_body_or_path(sentry, client):
    ours, theirs = client(), client()
    ours_scope, their_scope = limited(sentry, ours, 1000), limited(sentry, theirs, 1000)
    bearer = {"Authorization": f"Bearer {ours.key}"}
    claims = [json.dumps({"costCenter": theirs.center}), json.dumps({"applicationId": "other"})]
    for claim in claims:
        assert ours.post(**bearer, **{"x-sentry-tags": claim})[0] == 403
    for metadata in ({"costCenter": theirs.center}, {"applicationId": "other"}):
        assert ours.refused(requestMetadata=metadata)[:2] == ("AccessDeniedException", 403)
    arn, bare = sentry.profile_arn()
    assert ours.refused(model=arn)[:2] == ("AccessDeniedException", 403)
    assert sentry.calls(bare) == 0
    open_tags = {"x-sentry-tags": json.dumps({"environment": "test", "costCenter": ours.center})}
    assert ours.post(**bearer, **open_tags)[0] == 200
    assert sentry.ledger_settled(ours_scope) > 0 and not sentry.ledger_items(their_scope)
    named = client("--models", f"{arn},nova-lite", center=ours.center)
    assert named.converse(model=arn)["usage"]["outputTokens"] == 5
    assert named.refused(model="claude-haiku-4-5")[:2] == ("AccessDeniedException", 403)


def test_every_kind_of_key_that_is_not_valid_has_the_same_answer(client, command):
    caller = client()
    good = {"Authorization": f"Bearer {caller.key}"}
    assert caller.post(**good)[0] == 200
    (row,) = [
        each for each in json.loads(command("keys", "list", "--output", "json")) if each["costCenter"] == caller.center
    ]
    assert row["state"] == "valid" and caller.key not in json.dumps(row)
    command("keys", "disable", "--yes", row["id"])
    answers = [
        caller.post(**headers)
        for headers in (
            good,
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": f"Bearer csk_{'0' * 64}"},
            {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20261128/us-east-1/bedrock/aws4_request"},
        )
    ]
    assert {status for status, _ in answers} == {401}
    assert len({json.dumps(answer) for _, answer in answers}) == 1
    command("keys", "rm", "--yes", row["id"])
    assert caller.post(**good) == answers[0]
    assert "no key" in command("keys", "rm", "--yes", row["id"], code=1)


def test_an_expired_key_is_refused(client, sentry):
    caller = client("--expires", "1h")
    assert caller.converse()["stopReason"]
    table = sentry.session.resource("dynamodb", endpoint_url=sentry.endpoint).Table(sentry.outputs["KeysTableName"])
    (item,) = [each for each in table.scan()["Items"] if each["costCenter"] == caller.center]
    assert caller.key not in json.dumps(item, default=str)
    table.put_item(Item={**item, "expiresAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")})
    with pytest.raises(ClientError) as raised:
        caller.converse()
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401


def test_keys_are_shown_in_every_form_and_a_wrong_option_is_refused(client, command):
    caller = client("--models", "nova-lite,claude-haiku-4-5", "--user", "jo", "--environment", "test")
    shown = command.on_a_terminal("keys", "list")
    assert all(len(line) <= 80 for line in shown.splitlines()), shown
    header, *rows = command("keys", "list", "--output", "csv").splitlines()
    assert header.split(",")[:3] == ["id", "application", "costCenter"] and any(caller.center in row for row in rows)
    assert caller.center in command("keys", "list")
    create = ("keys", "create", "--application", "a", "--cost-center")
    assert "--cost-center" in command(*create, " b", code=2)
    command(*create, "b", "--expires", "soon", code=2)
    assert "digits" in command("keys", "rm", "--yes", "12", code=2)
    assert "no key" in command("keys", "disable", "--yes", "0123456", code=1)


def test_a_caller_sees_its_own_budgets(sentry, client, url):
    caller = client()
    scope = limited(sentry, caller, 1000)
    caller.converse(text(output_tokens=7))
    request = urllib.request.Request(
        f"{url}/v1/budget?model={MODEL}", headers={"Authorization": f"Bearer {caller.key}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        shown = json.load(answer)
    (entry,) = [each for each in shown["budget"] if each["scope"] == scope]
    assert (entry["output"]["used"], entry["output"]["limit"], shown["smallestRequestFits"]) == (7, 1000, True)


def test_a_hundred_requests_at_once_through_all_entries_on_a_budget_for_ten(sentry, client, say):
    """Each request uses what it holds. Clients that are told to wait try again until the budget is spent."""
    caller = client()
    scope = limited(sentry, caller, CAPACITY * TOKENS)
    words = {"output_tokens": TOKENS, "latency_ms": 300}
    tags = {"applicationId": "e2e-gateway", "costCenter": caller.center}
    queue = RequestQueue(sentry)

    def through_gateway(call):
        deadline = time.monotonic() + 90
        while True:
            try:
                return call()
            except ClientError as error:
                code = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-sentry-code")
                if code not in ("LedgerUnavailable", "UsageUnavailable") or time.monotonic() > deadline:
                    return code
                time.sleep(1)

    def whole():
        return through_gateway(lambda: caller.converse(text(**words))["stopReason"])

    def streamed():
        events = through_gateway(lambda: list(opened(caller, text(**words))))
        return events if isinstance(events, str) else events[-2]["messageStop"]["stopReason"]

    def through_workflow():
        answer, _ = sentry.decided(document(MODEL, tags=tags, parameters={"max_tokens": TOKENS}, **words))
        return answer.get("error", {}).get("code", "end_turn")

    def through_queue():
        named = {**tags, "requestId": unique("queued")}
        queue.send(document(MODEL, tags=named, parameters={"max_tokens": TOKENS}, **words))
        return named["requestId"]

    def queued(request_id):
        answer = queue.answer(tags["applicationId"], request_id)
        return answer.get("error", {}).get("code", "end_turn")

    begun = time.monotonic()
    entries = [whole, streamed, through_workflow, through_queue]
    with sentry.quick_redelivery():
        with ThreadPoolExecutor(CLIENTS) as pool:
            ended = list(pool.map(lambda number: entries[number % len(entries)](), range(CLIENTS)))
        ended[3::4] = map(queued, ended[3::4])
    codes = Counter(ended)
    say(f"{CLIENTS} at once through all entries: {dict(codes)} in {time.monotonic() - begun:.1f} s")
    admitted = [ended[number :: len(entries)].count("end_turn") for number in range(len(entries))]
    settled = sentry.ledger_settled(scope)
    say(
        f"tokens used / limit {settled}/{CAPACITY * TOKENS}; admitted whole, in events, by workflow, by queue: {admitted}"
    )
    assert codes["end_turn"] == CAPACITY and settled == CAPACITY * TOKENS
    assert set(codes) <= {"end_turn", "BudgetExceeded", "BudgetReserved"}


def equal_requests():
    """Requests with every kind of end, as the maximum of tokens and the directives of the simulator."""
    return [
        (20, {"output_tokens": 20}),
        (30, {"output_tokens": 4}),
        (900, {}),
        (20, {"fault": "throttling"}),
        (20, {"fault": "validation"}),
        (20, {"fault": "missing-usage"}),
        (20, {"output_tokens": 9, "cache_read": 3}),
        (5, {}),
        (400, {"wanted_tokens": 60}),
        (200, {}),
    ]


def test_the_same_requests_through_both_entries_have_the_same_decisions_ledger_and_history(sentry, client):
    caller, center = client(), unique("workflow")
    scope = limited(sentry, caller, 250)
    sentry.set_limit(f"costCenter#{center}", {"output": 250})
    codes, usages = [], []
    for most, directives in equal_requests():
        words = text(**directives)
        tags = {"applicationId": "e2e-gateway", "costCenter": center}
        messages = [{"role": "user", "content": [{"text": words}]}]
        answer = sentry.ask(document(MODEL, messages=messages, tags=tags, parameters={"max_tokens": most}))
        code = answer.get("error", {}).get("code")
        try:
            found = caller.converse(words, max_tokens=most)
            other = None
            assert found["output"]["message"]["content"] == answer["output"]["message"]["content"]
            usages.append((answer["usage"], found["usage"]))
        except ClientError as error:
            other = error.response["ResponseMetadata"]["HTTPHeaders"]["x-sentry-code"]
        codes.append((code, other))
    assert [one for one, _ in codes] == [other for _, other in codes]
    assert {None, "BudgetExceeded", "ModelThrottled", "ModelRejectedRequest", "ModelError"} <= {one for one, _ in codes}
    assert all(one == other for one, other in usages)
    (one,), (other,) = sentry.ledger_items(f"costCenter#{center}"), sentry.ledger_items(scope)
    amounts = [
        {key: value for key, value in item.items() if key.startswith(("settled", "committed"))} for item in (one, other)
    ]
    assert amounts[0] == amounts[1] and amounts[0]
    histories = [sentry.history(name, len(codes)) for name in (f"costCenter#{center}", scope)]
    assert histories[0] == histories[1]


def test_the_deployed_function_answers_at_its_url(sentry, client):
    """The local AWS passes on only whole answers, so the streams of the other tests come from the server."""
    caller = client()
    scope = limited(sentry, caller, 1000)
    name = urlsplit(sentry.outputs["GatewayUrl"]).hostname.split(".")[0]
    function = Client(f"{sentry.endpoint}/_aws/lambda-url/{name}", caller.center, caller.key)
    assert function.converse(text(output_tokens=7))["usage"]["outputTokens"] == 7
    assert function.refused(max_tokens=1001) == ("ServiceQuotaExceededException", 400, "BudgetExceeded")
    assert sentry.ledger_settled(scope) == 7


def test_no_log_has_the_text_of_a_prompt_or_a_key(request, client):
    caller = client()
    answer = caller.converse(text(output_tokens=40))
    caller.refused(text(fault="validation"))
    said = answer["output"]["message"]["content"][0]["text"]
    logs = list(Path(request.config.getoption("--log-dir")).glob("*.log"))
    assert any(log.name == "gateway.log" for log in logs)
    for log in logs:
        written = log.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in (CANARY, said[:40], caller.key) if secret in written], log
