"""The template of a team's entry, deployed beside the stack: the team has its own tags, whatever it states."""

import json

import pytest
import yaml

from sentry_client import document, text, unique
from test_template import ROOT, Loader

PATH = ROOT / "templates" / "team-entry.yaml"
TEMPLATE = yaml.load(PATH.read_text(encoding="utf-8"), Loader)
RESOURCES = TEMPLATE["Resources"]
LIMITER = {"Ref": "RateLimiterArn"}


def test_only_the_role_of_the_entry_starts_the_rate_limiter():
    (policy,) = RESOURCES["EntryRole"]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "states:StartSyncExecution")
    assert statement["Resource"] == LIMITER
    callers = RESOURCES["CallerPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    allowed = [(each["Action"], each["Resource"]) for each in callers if each["Effect"] == "Allow"]
    assert allowed == [("states:StartSyncExecution", {"Ref": "Entry"})]
    denied = [(each["Action"], each["Resource"]) for each in callers if each["Effect"] == "Deny"]
    assert denied == [
        (["states:StartSyncExecution", "states:StartExecution"], LIMITER),
        ("states:StartExecution", {"Ref": "Entry"}),
    ]


@pytest.fixture(scope="module")
def team(sentry):
    """The cost center and the entry of a team."""
    stack, center = unique("team-entry"), unique("team")
    parameters = {
        "RateLimiterArn": sentry.outputs["RateLimiterArn"],
        "ApplicationId": "e2e-team",
        "CostCenter": center,
        "UserId": "team-user",
    }
    sentry.cloudformation.create_stack(
        StackName=stack,
        TemplateBody=PATH.read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    sentry.cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
    (deployed,) = sentry.cloudformation.describe_stacks(StackName=stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in deployed["Outputs"]}
    sentry.set_limit(f"costCenter#{center}", {"output": 1000})
    yield center, outputs["EntryArn"]
    sentry.cloudformation.delete_stack(StackName=stack)


@pytest.fixture
def ask(sentry, team):
    """Returns a function that sends a document, or a raw text, through the entry."""

    def send(entry):
        sent = entry if isinstance(entry, str) else json.dumps(entry)
        return sentry.states.start_sync_execution(stateMachineArn=team[1], input=sent)

    return send


def answer_of(ended):
    assert ended["status"] == "SUCCEEDED", (ended["status"], ended.get("error"), ended.get("cause"))
    return json.loads(ended["output"])


def test_a_caller_that_states_the_tags_of_another_team_has_its_own(sentry, ask, team):
    center, other = team[0], unique("other")
    sentry.set_limit(f"costCenter#{other}", {"output": 1000})
    stated = {"applicationId": "other", "costCenter": other, "userId": "other", "environment": "test"}
    answer = answer_of(ask(document(tags=stated, output_tokens=5)))
    assert answer["output"]
    tags = answer["tags"]
    assert (tags["applicationId"], tags["costCenter"], tags["userId"]) == ("e2e-team", center, "team-user")
    assert tags["environment"] == "test"
    assert sentry.ledger_settled(f"costCenter#{center}") >= 5
    assert not sentry.ledger_items(f"costCenter#{other}")


def test_tags_that_are_missing_or_no_object_are_those_of_the_team(ask, team):
    entry = document(output_tokens=5)
    cases: tuple[object, ...] = ("missing", None, "costCenter", ["costCenter"], 7, {})
    for stated in cases:
        changed = {**entry, "tags": stated}
        if stated == "missing":
            del changed["tags"]
        tags = answer_of(ask(changed))["tags"]
        assert (tags["applicationId"], tags["costCenter"]) == ("e2e-team", team[0]), stated
    twice = json.dumps(entry)[:-1] + ', "tags": {"applicationId": "other", "costCenter": "other"}}'
    assert answer_of(ask(twice))["tags"]["costCenter"] == team[0]


def test_refusals_denials_and_failures_are_the_documents_of_the_rate_limiter(sentry, ask, team):
    own = {"applicationId": "e2e-team", "costCenter": team[0], "userId": "team-user"}
    entries = [
        document(model="no-such-model", tags=own),
        document(parameters={"max_tokens": 5000}, tags=own),
        {**document(tags=own), "unknown": 1},
        document(tags=own, fault="validation"),
    ]
    for entry in entries:
        through, direct = answer_of(ask(entry)), sentry.execute(entry)["output"]
        assert through.keys() == direct.keys()
        assert through["error"]["code"] == direct["error"]["code"]
        assert through["tags"]["costCenter"] == team[0]
    for raw in ("[]", '"text"', "7", "[{}]"):
        assert answer_of(ask(raw))["error"]["code"] == sentry.execute(json.loads(raw))["output"]["error"]["code"]


def test_a_request_id_is_paid_for_once_through_the_entry(ask):
    entry = document(tags={"requestId": unique("request")}, output_tokens=5)
    first = answer_of(ask(entry))
    # The stack of this test keeps answers.
    assert answer_of(ask(entry)) == {**first, "replayed": True}
    assert answer_of(ask(document(output_tokens=5)))["tags"]["requestId"]


def test_a_document_that_would_not_come_back_is_refused_before_it_is_paid(sentry, ask):
    # A quote needs two characters more as a text in a text.
    fits = text(output_tokens=5) + '"' * 25_000
    assert answer_of(ask(document(content=[{"text": fits}])))["output"]
    before = sentry.calls()
    ended = ask(document(content=[{"text": text(output_tokens=5) + '"' * 50_000}]))
    assert (ended["status"], ended["error"]) == ("FAILED", "DocumentTooLarge")
    assert sentry.calls() == before
