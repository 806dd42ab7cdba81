"""Callers of the gateway without a key: tokens of an issuer, and IAM principals."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway_client import Client
from sentry_client import text, unique
from token_issuer import AUDIENCE, Issuer

pytestmark = pytest.mark.local

CLAIMS = "applicationId=azp,costCenter=custom:cost_center,userId=sub"


@pytest.fixture(scope="module")
def issuer():
    issuer = Issuer()
    issuer.new_key("1")
    yield issuer
    issuer.close()


@pytest.fixture(scope="module")
def gateway(request, sentry, url, issuer):
    """The URL of a second server of the gateway, with the settings of the deployed function and with the issuer."""
    name = sentry.function_name("GatewayFunction")
    variables = sentry.functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    tokens = {
        "SENTRY_JWT_ISSUER": issuer.url,
        "SENTRY_JWT_AUDIENCE": AUDIENCE,
        "SENTRY_JWT_CLAIMS": CLAIMS,
        "SENTRY_JWT_LOCAL_ISSUER": "on",
        "SENTRY_GATEWAY_LISTEN": address,
    }
    program = Path(request.config.getoption("--sentry-command")).parent / "fn-gateway"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": sentry.region}
    with (Path(request.config.getoption("--log-dir")) / "gateway-tokens.log").open("ab") as log:
        server = subprocess.Popen([program], env={**os.environ, **keys, **variables, **tokens}, stdout=log, stderr=log)
    try:
        await_health(f"http://{address}/healthz", server)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(10)


def await_health(health, server):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, "the gateway has ended; see gateway-tokens.log"
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(health)


@pytest.fixture
def ask(gateway):
    """Returns a function that sends a request with a token."""
    client = Client(gateway, None, "unused")

    def send(token, **headers):
        return client.post(Authorization=f"Bearer {token}", **headers)

    return send


def claims(center, **changes):
    return {"azp": "e2e-token", "custom:cost_center": center, "sub": "jo", **changes}


def test_a_token_spends_the_budget_of_its_claims_and_no_other(sentry, issuer, ask):
    center, other = unique("token"), unique("other")
    for name in (center, other):
        sentry.set_limit(f"costCenter#{name}", {"output": 1000})
    token = issuer.token(**claims(center))
    status, answer = ask(token)
    assert status == 200 and answer["usage"]["outputTokens"] > 0
    assert sentry.ledger_settled(f"costCenter#{center}") == answer["usage"]["outputTokens"]
    status, answer = ask(token, **{"x-sentry-tags": json.dumps({"costCenter": other})})
    assert status == 403 and "costCenter" in answer["message"] and "token" in answer["message"]
    assert not sentry.ledger_items(f"costCenter#{other}")
    sentry.set_limit(f"costCenter#{center}", {"output": 1})
    status, answer = ask(token)
    assert status == 400 and "BudgetExceeded" in answer["message"]


def test_tokens_that_are_not_valid_have_the_answer_of_a_missing_key(issuer, ask, gateway):
    now = int(time.time())
    valid = claims(unique("token"))
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wrong = {
        "expired": issuer.token(**valid, exp=now - 120),
        "not yet valid": issuer.token(**valid, nbf=now + 120),
        "of another audience": issuer.token(**valid, aud="other"),
        "of another issuer": issuer.token(**valid, iss="http://127.0.0.1:1"),
        "signed with another key": issuer.token(key=stranger, **valid),
        "of an unknown key": issuer.token(kid="9", key=stranger, **valid),
        "without an end": issuer.token(**valid, exp=None),
        "cut": issuer.token(**valid)[:-20],
        "no token": "a.b.c",
    }
    missing = Client(gateway, None, "unused").post()
    assert missing[0] == 401
    assert {name: ask(token) for name, token in wrong.items()} == dict.fromkeys(wrong, missing)


def test_a_valid_token_without_a_claim_is_told_which(issuer, ask):
    for claim in ("azp", "custom:cost_center", "sub"):
        status, answer = ask(issuer.token(**claims("support", **{claim: None})))
        assert status == 403 and f"claim {claim} " in answer["message"]


def test_an_issuer_that_is_down_is_not_asked_again_and_its_keys_are_still_used(sentry, issuer, ask):
    center = unique("token")
    sentry.set_limit(f"costCenter#{center}", {"output": 1000})
    token = issuer.token(**claims(center))
    assert ask(token)[0] == 200
    reads = issuer.reads
    issuer.down = True
    try:
        assert ask(token)[0] == 200
        assert ask(issuer.token(kid="8", key=issuer.keys["1"], **claims(center)))[0] == 401
    finally:
        issuer.down = False
    assert issuer.reads == reads


def test_a_key_is_accepted_beside_tokens(client, gateway):
    caller = client()
    assert Client(gateway, caller.center, caller.key).converse()["stopReason"] == "end_turn"


@pytest.fixture(scope="module")
def iam_function(sentry):
    """The deployed function for IAM principals."""
    if "GatewayIamUrl" not in sentry.outputs:
        pytest.skip("the stack needs GatewayIam=on")
    return sentry.outputs["GatewayIamFunctionArn"]


def event(arn, **headers):
    """An event as in the Lambda Developer Guide, "Invoking Lambda function URLs", for a URL with AWS_IAM."""
    caller = {
        "accessKey": "AKIAIOSFODNN7EXAMPLE",
        "accountId": "111122223333",
        "callerId": "AIDACKCEVSQ6C2EXAMPLE",
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": arn,
        "userId": "AIDACKCEVSQ6C2EXAMPLE",
    }
    path = "/model/nova-lite/converse"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **headers},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "url-id",
            "authentication": None,
            "authorizer": {"iam": caller} if arn else None,
            "domainName": "url-id.lambda-url.us-west-2.on.aws",
            "domainPrefix": "url-id",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "x"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "body": json.dumps({"messages": [{"role": "user", "content": [{"text": text(output_tokens=7)}]}]}),
        "isBase64Encoded": False,
    }


@pytest.fixture
def invoke(sentry, iam_function):
    """Returns a function that runs the function with an event. Returns the status and the body of its answer."""

    def run(*arguments, **headers):
        sent = json.dumps(event(*arguments, **headers))
        answer = sentry.functions.invoke(FunctionName=iam_function, Payload=sent)["Payload"].read()
        # A streamed answer begins with its head, and eight zeros end it.
        head, _, body = answer.partition(bytes(8))
        return json.loads(head)["statusCode"], json.loads(body)

    return run


def test_a_principal_has_the_tags_of_its_record_until_it_is_turned_off(sentry, command, invoke):
    center, name = unique("principal"), unique("helper")
    role = f"arn:aws:iam::111122223333:role/{name}"
    session = f"arn:aws:sts::111122223333:assumed-role/{name}/i-0123456789"
    sentry.set_limit(f"costCenter#{center}", {"output": 1000})
    assert invoke(session)[0] == 403
    create = ("keys", "create", "--application", "e2e-iam", "--cost-center", center, "--output", "json", "--principal")
    made = json.loads(command(*create, role.replace("role/", "role/teams/")))
    assert made["principal"] == role and "key" not in made
    status, answer = invoke(session)
    assert (status, answer["usage"]["outputTokens"]) == (200, 7)
    assert sentry.ledger_settled(f"costCenter#{center}") == 7
    assert invoke(session, **{"x-sentry-tags": json.dumps({"costCenter": "other"})})[0] == 403
    for stranger in (f"{role}-2", role.replace("role/", "user/"), role.replace("1111", "2222")):
        status, answer = invoke(stranger)
        assert status == 403 and "sentry keys create --principal" in answer["message"]
    assert made["id"] in command(*create, role, code=4)
    assert "--principal" in command(*create, "arn:aws:iam::111122223333:root", code=2)
    command("keys", "disable", "--yes", made["id"])
    assert invoke(session)[0] == 403


def test_only_the_event_says_who_the_principal_is(client, sentry, command, invoke):
    center, name = unique("principal"), unique("helper")
    role = f"arn:aws:iam::111122223333:role/{name}"
    command("keys", "create", "--application", "e2e-iam", "--cost-center", center, "--principal", role)
    assert invoke(None)[0] == 401
    claim = {"x-amzn-iam-user-arn": role, "authorizer": json.dumps({"iam": {"userArn": role}})}
    assert invoke(None, **claim)[0] == 401
    caller = client()
    assert invoke(None, authorization=f"Bearer {caller.key}")[0] == 401, "no keys at this URL"
    keys = sentry.function_name("GatewayFunction")
    answer = sentry.functions.invoke(FunctionName=keys, Payload=json.dumps(event(role)))["Payload"].read()
    assert json.loads(answer.partition(bytes(8))[0])["statusCode"] == 401, "no principals at the other URL"


def test_the_documented_hook_signs_for_lambda(sentry, iam_function):
    """The local AWS only looks if there is a signature, and does not say whose. So the function does not know the principal."""
    name = sentry.outputs["GatewayIamUrl"].split("//")[1].split(".")[0]
    url = f"{sentry.endpoint}/_aws/lambda-url/{name}"
    bedrock = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    sent = []

    def sign_for_lambda(request, **_):
        request.context["signing"]["signing_name"] = "lambda"

    bedrock.meta.events.register("before-sign.bedrock-runtime.*", sign_for_lambda)
    bedrock.meta.events.register("before-send.bedrock-runtime.*", lambda request, **_: sent.append(request))
    with pytest.raises(bedrock.exceptions.ClientError) as raised:
        bedrock.converse(modelId="nova-lite", messages=[{"role": "user", "content": [{"text": text()}]}])
    assert raised.value.response["Error"]["Code"] == "UnrecognizedClientException"
    (request, *_) = sent
    assert b"/us-east-1/lambda/aws4_request" in request.headers["Authorization"]
    check = AWSRequest("POST", request.url, data=request.body, headers={"Content-Type": "application/json"})
    check.context["timestamp"] = request.headers["X-Amz-Date"].decode()
    signer = SigV4Auth(Credentials("test", "test"), "lambda", "us-east-1")
    check.headers["X-Amz-Date"] = check.context["timestamp"]
    canonical = signer.canonical_request(check)
    expected = signer.signature(signer.string_to_sign(check, canonical), check)
    assert expected in request.headers["Authorization"].decode()
    unsigned = urllib.request.Request(f"{url}/model/nova-lite/converse", b"{}")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(unsigned, timeout=30)
    assert raised.value.code == 403
