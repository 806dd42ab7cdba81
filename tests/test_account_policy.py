"""The policies against calls that bypass the sentry, evaluated as IAM does for many principals and actions. Needs no endpoint."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
# `crates/sentry-cli/src/prove` evaluates the same cases.
CASES = json.loads((ROOT / "tests" / "account_policy_cases.json").read_text(encoding="utf-8"))
ACCOUNT = "111122223333"
PARAMETERS = CASES["parameters"]
LIMITER = PARAMETERS["RateLimiterArn"]
MODEL = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
# Maximum number of characters without whitespace: of a service control policy in Organizations, and of a managed policy in IAM.
LARGEST = {"ServiceControlPolicy": 5120, "DenyPolicy": 6144, "BoundaryPolicy": 6144}

SENTRYS, OTHERS = CASES["sentrys"], CASES["others"]
# Every action that runs a model, by the service authorization reference, and the resource that the call names.
WAYS_ROUND = [tuple(case) for case in CASES["waysRound"]]
# Calls of clients, operators and other functions in the account that must stay possible.
LEFT_ALONE = [tuple(case) for case in CASES["leftAlone"]]


class Loader(yaml.SafeLoader):
    """Reads `!Ref A` as `{"Ref": "A"}` and any other `!Name` as `{"Fn::Name": …}`."""


def intrinsic(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    else:
        value = loader.construct_sequence(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", intrinsic)
TEMPLATE = yaml.load((ROOT / "templates" / "close-ways-round.yaml").read_text(encoding="utf-8"), Loader)
REMOVED = object()


def resolved(value, parameters):
    """Returns the value as CloudFormation would send it, with the functions replaced by the parameters that they refer to."""
    if isinstance(value, list):
        return [item for item in (resolved(item, parameters) for item in value) if item is not REMOVED]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref":
            return REMOVED if argument == "AWS::NoValue" else parameters[argument]
        if name == "Fn::Sub":
            return re.sub(r"\$\{(\w+)\}", lambda found: parameters[found[1]], argument)
        if name == "Fn::FindInMap":
            outer, middle, inner = argument
            return TEMPLATE["Mappings"][outer][middle][inner]
        if name == "Fn::If":
            condition, yes, no = argument
            return resolved(yes if holds(condition, parameters) else no, parameters)
    return {key: resolved(item, parameters) for key, item in value.items()}


def holds(condition, parameters):
    """`True` if this condition of the template is true."""
    organization = "".join(parameters["OrganizationTargetIds"]) != ""
    return {
        "HasOrganization": organization,
        "HasNoOrganization": not organization,
        "HasRouter": parameters["ModelRouterArn"] != "",
    }[condition]


def statements_of(name, parameters=PARAMETERS):
    properties = TEMPLATE["Resources"][name]["Properties"]
    return resolved(properties.get("Content") or properties["PolicyDocument"], parameters)["Statement"]


def listed(value):
    return value if isinstance(value, list) else [value]


def matches(pattern, text):
    """Matches IAM's wildcards: `*` stands for any characters, `?` for one character."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def arn_like(pattern, arn):
    """Compares like IAM's ArnLike: each of the six parts between colons separately."""
    parts, others = pattern.split(":", 5), arn.split(":", 5)
    return len(parts) == len(others) and all(map(matches, parts, others))


def applies(statement, principal, action, resource):
    if not any(matches(pattern.lower(), action.lower()) for pattern in listed(statement["Action"])):
        return False
    if not any(matches(pattern, resource) for pattern in listed(statement["Resource"])):
        return False
    for operator, keys in statement.get("Condition", {}).items():
        assert (operator, list(keys)) == ("ArnNotLike", ["aws:PrincipalArn"]), "this evaluator knows no other condition"
        if any(arn_like(pattern, principal) for pattern in listed(keys["aws:PrincipalArn"])):
            return False
    return True


def decision(statements, principal, action, resource):
    """Returns `Deny`, `Allow`, or None if no statement applies. A Deny takes precedence."""
    effects = {statement["Effect"] for statement in statements if applies(statement, principal, action, resource)}
    return "Deny" if "Deny" in effects else "Allow" if effects else None


POLICIES = sorted(TEMPLATE["Resources"])
# A service control policy and an attached policy leave all other actions to other policies. A boundary must allow them.
NOT_DENIED = {"ServiceControlPolicy": None, "DenyPolicy": None, "BoundaryPolicy": "Allow"}


def test_the_policies_are_those():
    assert set(POLICIES) == set(NOT_DENIED)


def test_the_written_policies_are_the_templates():
    assert CASES["policies"] == {
        name: {"Version": "2012-10-17", "Statement": statements_of(name)} for name in POLICIES
    }, "write the policies of the template, as they are on the right, into account_policy_cases.json"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("principal", OTHERS)
@pytest.mark.parametrize("action, resource", WAYS_ROUND)
def test_every_way_round_is_denied_to_all_others(policy, principal, action, resource):
    assert decision(statements_of(policy), principal, action, resource) == "Deny"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("principal", SENTRYS)
@pytest.mark.parametrize("action, resource", WAYS_ROUND)
def test_the_allowed_roles_are_denied_nothing_of_it(policy, principal, action, resource):
    assert decision(statements_of(policy), principal, action, resource) == NOT_DENIED[policy]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("principal", SENTRYS + OTHERS)
@pytest.mark.parametrize("action, resource", LEFT_ALONE)
def test_the_rest_of_the_account_is_left_alone(policy, principal, action, resource):
    assert decision(statements_of(policy), principal, action, resource) == NOT_DENIED[policy]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("principal", SENTRYS + OTHERS)
def test_nobody_starts_the_rate_limiter_asynchronously(policy, principal):
    assert decision(statements_of(policy), principal, "states:StartExecution", LIMITER) == "Deny"
    assert decision(statements_of(policy), principal, "states:StartExecution", f"{LIMITER}:live") == "Deny"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_stack_without_a_router_denies_the_same_without_naming_one(policy):
    statements = statements_of(policy, {**PARAMETERS, "ModelRouterArn": ""})
    assert [statement["Sid"] for statement in statements_of(policy) if statement not in statements] == [
        "DenyModelRouter"
    ]
    assert decision(statements, OTHERS[0], "bedrock:InvokeModel", MODEL) == "Deny"
    assert "" not in [resource for statement in statements for resource in listed(statement["Resource"])]


def test_all_policies_deny_the_same():
    denied = [[statement for statement in statements_of(name) if statement["Effect"] == "Deny"] for name in POLICIES]
    assert denied[0] == denied[1] == denied[2]


def test_only_the_boundary_allows():
    assert [name for name in POLICIES if any(statement["Effect"] == "Allow" for statement in statements_of(name))] == [
        "BoundaryPolicy"
    ]


def test_there_is_either_the_organizations_policy_or_the_accounts():
    for targets, names in ((["r-abcd"], {"ServiceControlPolicy"}), ([""], {"DenyPolicy", "BoundaryPolicy"})):
        parameters = {**PARAMETERS, "OrganizationTargetIds": targets}
        assert {
            name for name, resource in TEMPLATE["Resources"].items() if holds(resource["Condition"], parameters)
        } == names


@pytest.mark.parametrize("policy", POLICIES)
def test_policy_has_room_for_ten_roles(policy):
    parameters = {**PARAMETERS, "AllowedRoleArns": [f"arn:aws:iam::{ACCOUNT}:role/" + "r" * 64] * 10}
    assert len(json.dumps(statements_of(policy, parameters), separators=(",", ":"))) < LARGEST[policy]
