"""A request goes through the application inference profile of its model and tags (`ProfilePolicy`). The stack of this test
has `preferred`.
"""

import json
import math
import time
from contextlib import suppress

import pytest

from contract import check_error, check_succeeded
from sentry_client import document, unique

pytestmark = pytest.mark.local

LITE = "us.amazon.nova-lite-v1:0"
# How long an execution environment uses its list, the resources on a page of GetResources, and requests at once.
TIME_TO_LIVE_SECONDS, OF_A_PAGE, AT_ONCE = 15, 100, 8


@pytest.fixture(scope="module", autouse=True)
def stack_finds_profiles(sentry):
    if sentry.parameters.get("ProfilePolicy", "off") == "off":
        pytest.skip("the stack has ProfilePolicy=off")


@pytest.fixture(scope="module")
def bedrock(sentry):
    return sentry.client("bedrock", sentry.bedrock_endpoint)


@pytest.fixture(scope="module", autouse=True)
def only_these_runs(sentry):
    """Stops the schedule of the listing, so that a test knows when it runs."""
    events, name = sentry.client("events"), sentry.function_name("IndexProfilesFunction")
    arn = sentry.functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    (rule,) = events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]
    events.disable_rule(Name=rule)
    yield
    events.enable_rule(Name=rule)


@pytest.fixture
def profiles(sentry, bedrock):
    """Creates profiles of Nova Lite with tags, and deletes them at the end of the test."""
    source = f"arn:aws:bedrock:{sentry.region}:000000000000:inference-profile/"
    made = []

    def create(model=LITE, **tags):
        pairs = [{"key": key, "value": value} for key, value in tags.items()]
        created = bedrock.create_inference_profile(
            inferenceProfileName=unique("policy"), modelSource={"copyFrom": source + model}, tags=pairs
        )
        made.append(created["inferenceProfileArn"])
        return made[-1]

    yield create
    for arn in made:
        with suppress(bedrock.exceptions.ResourceNotFoundException):
            bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)


def listings(sentry, **change):
    return sentry.simulator("listings", change or None)


def index(sentry):
    """Lists the profiles now. Returns the answer, and the error if the function failed."""
    result = sentry.functions.invoke(FunctionName=sentry.function_name("IndexProfilesFunction"), Payload=b"{}")
    return json.loads(result["Payload"].read()), result.get("FunctionError")


def renew(sentry):
    """Lists the profiles, and waits until every environment has the new list."""
    report, error = index(sentry)
    assert error is None, report
    time.sleep(TIME_TO_LIVE_SECONDS)
    return report


def bare(arn):
    return arn.rsplit("/", 1)[1]


def test_requests_by_model_and_by_the_name_of_a_cost_center_go_through_the_profile(sentry, command, profiles):
    center = unique("policy")
    arn = profiles(costCenter=center, applicationId="e2e-policy")
    sales = json.loads(
        command(
            "--output", "json", "--yes", "profiles", "create", "--cost-center", f"{center}-sales", "--model", "nova-lite",
            "--name", unique("sales"), "--alias", f"{center}-sales",
        )
    )  # fmt: skip
    renew(sentry)
    sent = document("nova-lite", tags={"applicationId": "e2e-policy", "costCenter": center.upper()}, output_tokens=7)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert (answer["model"]["modelId"], answer["model"]["modelMetric"]) == (arn, bare(arn))
    assert answer["model"]["requested"] == "nova-lite"
    assert sentry.calls(bare(arn)) == 1
    assert {"scope": f"model#{bare(arn)}"}.items() <= answer["budget"][0].items()
    # The request has no tag costCenter. It gets that of the profile which its model means.
    sent = document(f"{center}-sales", tags={"applicationId": "e2e-policy"}, output_tokens=7)
    answer = check_succeeded(sentry.ask(sent))
    assert (answer["model"]["modelId"], sentry.calls(bare(sales["arn"]))) == (sales["arn"], 1)
    assert answer["tags"]["costCenter"] == f"{center}-sales"
    for scope in (f"costCenter#{center}", f"costCenter#{center}-sales", f"model#{bare(arn)}"):
        assert sentry.history(scope, 1)["output"] == 7, scope
    rows = json.loads(command("--output", "json", "usage", "--by", "costCenter"))
    assert {f"{center}-sales", center} <= {row["group"] for row in rows}
    report = json.loads(command("--output", "json", "report", "--by", "costCenter"))
    assert {f"{center}-sales", center} <= {group["name"] for group in report["groups"]}
    command("--yes", "profiles", "delete", sales["arn"], "--with-alias")


def test_the_decision_that_the_command_foresees_is_made(sentry, command, profiles, tmp_path):
    center = unique("policy")
    arn = profiles(costCenter=center)
    renew(sentry)
    file = tmp_path / "request.json"
    sent = document("nova-lite", tags={"applicationId": "e2e-policy", "costCenter": center})
    file.write_text(json.dumps(sent), encoding="utf-8")
    foreseen = json.loads(command("--output", "json", "ask", "--document", str(file), "--dry-run"))
    assert arn in json.dumps(foreseen)
    assert check_succeeded(sentry.ask(sent), sent)["model"]["modelId"] == arn


def test_contradictions_and_ties_are_refused_by_name(sentry, profiles):
    center = unique("policy")
    first, second = profiles(costCenter=center), profiles(costCenter=center)
    renew(sentry)
    sent = document("nova-lite", tags={"applicationId": "e2e-policy", "costCenter": center})
    answer = sentry.ask(sent)
    details = check_error(answer, "UnknownModel")
    assert details["profiles"] == sorted([first, second])
    assert all(arn in answer["error"]["message"] for arn in (first, second))
    sent = document(first, tags={"applicationId": "e2e-policy", "costCenter": "another"})
    details = check_error(sentry.ask(sent), "InvalidRequest")
    assert (details["path"], details["expected"]) == ("tags.costCenter", center)


def test_throttled_listing_keeps_the_list_and_a_deleted_profile_is_gone_after_it(sentry, bedrock, profiles):
    center = unique("policy")
    arn = profiles(costCenter=center)
    renew(sentry)
    sent = document("nova-lite", tags={"applicationId": "e2e-policy", "costCenter": center})

    def model():
        return check_succeeded(sentry.ask(sent), sent)["model"]["modelId"]

    assert model() == arn
    listings(sentry, throttled=True)
    try:
        time.sleep(TIME_TO_LIVE_SECONDS)
        payload, error = index(sentry)
        assert error is not None
        assert payload["errorType"] == "LedgerUnavailable"
        assert model() == arn
        # Every other run has published an age of less than a second.
        assert sentry.wait_for_total(TIME_TO_LIVE_SECONDS, "ProfileListAge") >= TIME_TO_LIVE_SECONDS
    finally:
        listings(sentry, throttled=False)
    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    renew(sentry)
    assert model() == LITE


def test_the_first_requests_of_a_new_stack_make_one_list(sentry, bedrock, profiles):
    center = unique("policy")
    arn = profiles(costCenter=center)
    ledger = sentry.session.resource("dynamodb", endpoint_url=sentry.endpoint).Table(sentry.outputs["LedgerTableName"])
    ledger.delete_item(Key={"scope": "profiles", "window": "latest"})
    # New environments do not have the list in memory.
    with sentry.reconfigured("ValidateAndTagFunction"):
        before = listings(sentry)["getResources"]
        sent = document("nova-lite", tags={"applicationId": "e2e-policy", "costCenter": center})
        for answer in sentry.decide_all(dict.fromkeys(range(AT_ONCE), sent), parallel=AT_ONCE).values():
            assert check_succeeded(answer, sent)["model"]["modelId"] == arn
        listed = bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
        every = sum(len(page["inferenceProfileSummaries"]) for page in listed)
        assert listings(sentry)["getResources"] - before == math.ceil(every / OF_A_PAGE)
