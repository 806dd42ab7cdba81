"""The template and the state machines as files: names of the contract, least privilege, and an end for every path."""

import json
import re
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonata import Jsonata

from contract import CODES

ROOT = Path(__file__).resolve().parent.parent


class Loader(yaml.SafeLoader):
    """Reads `!GetAtt A.Arn` as `{"Fn::GetAtt": ["A", "Arn"]}`, `!Ref A` as `{"Ref": "A"}`, and so on."""


def intrinsic(loader, suffix, node):
    kind = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: loader.construct_sequence,
        yaml.MappingNode: loader.construct_mapping,
    }[type(node)]
    value = kind(node) if isinstance(node, yaml.ScalarNode) else kind(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", intrinsic)

TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(encoding="utf-8"), Loader)
RESOURCES = TEMPLATE["Resources"]
MACHINES = {
    path.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "statemachines").glob("*.asl.json"))
}

# Actions without resource-level permissions, by the service authorization reference.
WITHOUT_RESOURCE = {
    "bedrock:ListInferenceProfiles",
    "tag:GetResources",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
    "cloudwatch:PutMetricData",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}
# A function may write its own log and traces, and read its own queue. Apart from that, it may do only the task in its name.
EVERY_FUNCTION_MAY = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
A_FUNCTION_MAY = {
    "ValidateAndTagFunction": {
        "dynamodb:GetItem",
        "bedrock:GetInferenceProfile",
        # Only with ProfilePolicy.
        "dynamodb:UpdateItem",
        "bedrock:ListInferenceProfiles",
        "tag:GetResources",
        # Only with ProfileMapParameter.
        "ssm:GetParametersByPath",
    },
    "MonthRangeFunction": set(),
    "LookupLimitFunction": {"dynamodb:BatchGetItem"},
    "FetchUsageFunction": {"cloudwatch:GetMetricData", "dynamodb:GetItem", "dynamodb:UpdateItem"},
    "CountTokensFunction": {"bedrock:CountTokens"},
    "ReserveFunction": {
        "dynamodb:UpdateItem",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:PutItem",
        "dynamodb:DeleteItem",
        "dynamodb:Query",
    },
    "InvokeModelFunction": {"bedrock:InvokeModel", "bedrock:ApplyGuardrail"},
    "PrepareCallFunction": set(),
    "ReadAnswerFunction": set(),
    "SettleFunction": {
        "dynamodb:UpdateItem",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:PutItem",
        "dynamodb:DeleteItem",
        "sqs:SendMessage",
    },
    # All steps of a request in one process.
    "GatewayFunction": {
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:UpdateItem",
        "dynamodb:PutItem",
        "dynamodb:DeleteItem",
        "dynamodb:Query",
        # The list of models has the aliases of the catalogue table.
        "dynamodb:Scan",
        "sqs:SendMessage",
        "cloudwatch:GetMetricData",
        "bedrock:GetInferenceProfile",
        "bedrock:CountTokens",
        "bedrock:InvokeModel",
        "bedrock:InvokeModelWithResponseStream",
        "bedrock:ApplyGuardrail",
        # Only with ProfilePolicy.
        "bedrock:ListInferenceProfiles",
        "tag:GetResources",
        # Only with ProfileMapParameter.
        "ssm:GetParametersByPath",
    },
    "EmitMetricsFunction": {
        "cloudwatch:PutMetricData",
        "dynamodb:UpdateItem",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "sns:Publish",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
    },
    "SweepHoldsFunction": {
        "dynamodb:Query",
        "dynamodb:GetItem",
        "dynamodb:BatchGetItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "sqs:SendMessage",
    },
    "IndexProfilesFunction": {
        "dynamodb:GetItem",
        "dynamodb:UpdateItem",
        "bedrock:ListInferenceProfiles",
        "tag:GetResources",
        "ssm:GetParametersByPath",
        "cloudwatch:PutMetricData",
    },
    "ServeQueueFunction": {
        "states:StartSyncExecution",
        "dynamodb:GetItem",
        "dynamodb:UpdateItem",
        "events:PutEvents",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
        "sqs:SendMessage",
        # Only with ReplyQueueArns.
        "sqs:GetQueueUrl",
    },
    "WatchUsageFunction": {
        "cloudwatch:ListMetrics",
        "cloudwatch:GetMetricData",
        "cloudwatch:PutMetricData",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
    },
}
A_FUNCTION_MAY["GatewayIamFunction"] = A_FUNCTION_MAY["GatewayFunction"]
# No state runs these functions. The queues, the schedules and the function URL start them.
WITHOUT_STATE = {
    "EmitMetricsFunction",
    "GatewayFunction",
    "GatewayIamFunction",
    "IndexProfilesFunction",
    "ServeQueueFunction",
    "SweepHoldsFunction",
    "WatchUsageFunction",
}
# These states may be retried after every error, because their functions are idempotent.
IDEMPOTENT = {"Reserve", "Settle", "Cancel Reservation"}
# The functions of these states call nothing. So they may run several times, and may run on after their state has timed out.
PURE = {"Month Range", "Prepare Call", "Read Answer"}
# A Choice state repeats this task, because a Retry cannot read the cause of an error.
CALL, REPEAT = "Call Bedrock", "Repeat Call?"
# All ways to call a model: by the function, by Step Functions, or by the function because Step Functions cannot send the request.
CALL_WAYS = {
    "lambda": ["Invoke Model"],
    "native": ["Prepare Call", "Call Bedrock"],
    "natively left to the function": ["Prepare Call", "Invoke Model"],
}
# The tasks of the model router for each of these ways.
ROUTER_WAYS = {
    way: [*tasks, "Read Answer"] if tasks[-1] == "Call Bedrock" else tasks for way, tasks in CALL_WAYS.items()
}
MODEL_TIMEOUT = "{% $number('${ModelTimeoutSeconds}') %}"
OUT_OF_TIME = {"States.Timeout", "Sandbox.Timedout"}
CONTRACT_PARAMETERS = {
    "Architecture": "arm64",
    "ModelTimeoutSeconds": 240,
    "StreamSeconds": 840,
    "HoldSeconds": 360,
    "UsageCacheSeconds": 60,
    "ModelInvocation": "lambda",
    "InvokeConcurrency": 0,
    "HistoryDays": 400,
    "Gateway": "off",
    "JwtIssuer": "",
    "GatewayIam": "off",
    "Observability": "basic",
    "AlertEmail": "",
    "MonthlyBudgetUsd": 0,
    "AnomalyThresholdUsd": 0,
    "AsyncConcurrency": 0,
    "ReplyQueueArns": "",
    "KeepAnswersHours": 0,
}


def of_type(*kinds):
    return {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] in kinds}


FUNCTIONS = of_type("AWS::Serverless::Function")
STATE_MACHINES = of_type("AWS::Serverless::StateMachine")
ROLES = of_type("AWS::IAM::Role")
TABLES = of_type("AWS::DynamoDB::Table")
LOG_GROUPS = of_type("AWS::Logs::LogGroup")
GLOBALS = TEMPLATE.get("Globals", {}).get("Function", {})


def with_globals(name):
    """Returns a function's properties merged with the globals. SAM merges objects key by key."""
    own = FUNCTIONS[name]
    merged = {**GLOBALS, **own}
    for key in GLOBALS.keys() & own.keys():
        if isinstance(GLOBALS[key], dict) and isinstance(own[key], dict):
            merged[key] = {**GLOBALS[key], **own[key]}
    return merged


def listed(value):
    return value if isinstance(value, list) else [value]


def pointed_at(value):
    """Returns the logical id in `!Ref X` or `!GetAtt X.Arn`, or None for other values."""
    if isinstance(value, dict):
        if "Ref" in value:
            return value["Ref"]
        if "Fn::GetAtt" in value:
            return value["Fn::GetAtt"][0]
    return None


def policies_of(role):
    """Yields a role's policies, conditional policies included."""
    for policy in role.get("Policies", []):
        yield from (
            [each for each in policy["Fn::If"][1:] if each != {"Ref": "AWS::NoValue"}]
            if "Fn::If" in policy
            else [policy]
        )


def statements():
    for name, role in ROLES.items():
        for policy in policies_of(role):
            for number, statement in enumerate(listed(policy["PolicyDocument"]["Statement"])):
                yield pytest.param(
                    name,
                    statement,
                    id=f"{name}-{policy['PolicyName']}-{number}"
                    if isinstance(policy["PolicyName"], str)
                    else f"{name}-{number}",
                )
    for name, policy in of_type("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy").items():
        for number, statement in enumerate(listed(policy["PolicyDocument"]["Statement"])):
            yield pytest.param(name, statement, id=f"{name}-{number}")


STATEMENTS = list(statements())


def actions_of(role):
    return {
        action
        for parameter in STATEMENTS
        if parameter.values[0] == role
        for action in listed(parameter.values[1]["Action"])
    }


# The contract's names


@pytest.mark.parametrize(
    "output",
    [
        "RateLimiterArn",
        "ModelRouterArn",
        "LimitsTableName",
        "CatalogueTableName",
        "LedgerTableName",
        "UsageTableName",
        "BudgetAlertTopicArn",
        "DashboardName",
        "RequestQueueUrl",
        "RequestDeadLetterQueueUrl",
        "AnswersTableName",
    ],
)
def test_output_of_the_contract(output):
    assert pointed_at(TEMPLATE["Outputs"][output]["Value"]) in RESOURCES
    assert TEMPLATE["Outputs"][output]["Description"]


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_parameter_has_a_default_and_says_what_it_is(name):
    assert "Default" in TEMPLATE["Parameters"][name]
    assert TEMPLATE["Parameters"][name].get("Description")


@pytest.mark.parametrize("name, default", CONTRACT_PARAMETERS.items())
def test_parameter_of_the_contract(name, default):
    assert TEMPLATE["Parameters"][name]["Default"] in (default, str(default))


def test_who_finds_limits_and_who_counts_know_the_same_tags():
    for name in ("LookupLimitFunction", "EmitMetricsFunction"):
        assert with_globals(name)["Environment"]["Variables"]["SENTRY_BUDGET_TAGS"] == {"Ref": "BudgetTags"}


def test_stack_declares_as_many_budget_tags_as_the_function_accepts():
    source = (ROOT / "crates/sentry-domain/src/limit.rs").read_text(encoding="utf-8")
    (most,) = re.findall(r"MOST_BUDGET_TAGS: usize = (\d+);", source)
    parameter = TEMPLATE["Parameters"]["BudgetTags"]
    names = [f"tag{number}" for number in range(int(most) + 1)]
    assert re.search(parameter["AllowedPattern"], ",".join(names[:-1]))
    assert not re.search(parameter["AllowedPattern"], ",".join(names))
    assert f"Up to {most} " in parameter["Description"]


def test_architecture_can_be_chosen():
    assert set(TEMPLATE["Parameters"]["Architecture"]["AllowedValues"]) == {"arm64", "x86_64"}


def test_who_calls_the_model_can_be_chosen():
    assert set(TEMPLATE["Parameters"]["ModelInvocation"]["AllowedValues"]) == {"lambda", "native"}
    assert TEMPLATE["Conditions"]["InvokesNatively"] == {"Fn::Equals": [{"Ref": "ModelInvocation"}, "native"]}


def test_usage_cache_is_at_most_a_minute():
    parameter = TEMPLATE["Parameters"]["UsageCacheSeconds"]
    assert (int(parameter["MinValue"]), int(parameter["MaxValue"])) == (0, 60)


def test_time_of_the_model_nests_from_function_to_workflow():
    """Each caller has more time than the step that it waits for, so the innermost step reports the timeout."""
    times = [
        int(TEMPLATE["Parameters"]["ModelTimeoutSeconds"]["MaxValue"]),
        TEMPLATE["Resources"]["InvokeModelFunction"]["Properties"]["Timeout"],
        task("Invoke Model")["TimeoutSeconds"],
        MACHINES["model-router.asl.json"]["TimeoutSeconds"],
    ]
    assert times == sorted(set(times))


def seconds_of(state):
    """Returns the maximum seconds of a state. For the native model call, it is the maximum of the stack parameter."""
    seconds = state["TimeoutSeconds"]
    return int(TEMPLATE["Parameters"]["ModelTimeoutSeconds"]["MaxValue"]) if seconds == MODEL_TIMEOUT else seconds


def retries(state):
    """Returns the rules of a state's Retry. The only task without a Retry is followed by a Choice state."""
    return state.get("Retry", [])


def time_of(name):
    """Returns the maximum seconds of a task: its timeout for each attempt, and the pauses between the attempts.

    Errors other than timeouts come at once, and their pauses are at most three seconds in total.
    """
    state = task(name)
    out_of_time = [rule for rule in retries(state) if OUT_OF_TIME & set(rule["ErrorEquals"])]
    repeated = sum(rule["MaxAttempts"] for rule in out_of_time)
    pauses = sum(
        rule["IntervalSeconds"] * rule["BackoffRate"] ** attempt
        for rule in out_of_time
        for attempt in range(rule["MaxAttempts"])
    )
    if name == CALL:
        pauses += repetitions() * pause_of_the_call()["Seconds"]
    return seconds_of(state) * (1 + repeated) + pauses


@pytest.mark.parametrize("way", CALL_WAYS)
def test_slowest_way_through_the_rate_limiter_fits_its_time(way):
    """The answer may have been paid for. So it is returned before the workflow times out, even if Settle fails."""
    tasks = [
        "Validate And Tag",
        "Month Range",
        "Fetch Usage",
        "Reserve",
        *CALL_WAYS[way],
        "Settle",
        "Queue Settlement",
        "Read Answer",
    ]
    assert sum(time_of(name) for name in tasks) < MACHINES["rate-limiter.asl.json"]["TimeoutSeconds"]
    for beside in ("Lookup Limit", "Count Tokens"):
        assert time_of(beside) <= time_of("Month Range") + time_of("Fetch Usage"), "they run side by side"


@pytest.mark.parametrize("way", ROUTER_WAYS)
def test_slowest_way_through_the_model_router_fits_its_time(way):
    """The sum includes all retries, so the router always ends with its own error before it times out."""
    assert sum(map(time_of, ROUTER_WAYS[way])) < MACHINES["model-router.asl.json"]["TimeoutSeconds"]


def test_ways_through_the_model_router_are_those():
    """Compares the possible sequences of tasks. A way that ends early is the beginning of a longer way."""
    states = MACHINES["model-router.asl.json"]["States"]

    def ways(name, passed=()):
        """Returns the ways from a state. A repetition of a state is left out, because the time of the state includes it."""
        state = states[name]
        found = {way for each in set(followers(state)) - {*passed, name} for way in ways(each, (*passed, name))} or {()}
        return {(name, *way) for way in found} if state["Type"] == "Task" else found

    found = ways(MACHINES["model-router.asl.json"]["StartAt"])
    whole = {way for way in found if not any(other != way == other[: len(way)] for other in found)}
    assert whole == {tuple(way) for way in ROUTER_WAYS.values()}


def test_the_model_has_its_time_whoever_calls_it():
    assert task("Call Bedrock")["TimeoutSeconds"] == MODEL_TIMEOUT
    assert substitutions_of("model-router.asl.json")["ModelTimeoutSeconds"] == {"Ref": "ModelTimeoutSeconds"}
    for name in ("InvokeModelFunction", "ReadAnswerFunction", "SettleFunction"):
        assert with_globals(name)["Environment"]["Variables"]["SENTRY_MODEL_TIMEOUT_SECONDS"] == {
            "Ref": "ModelTimeoutSeconds"
        }


def test_no_hold_expires_while_its_request_runs():
    assert int(TEMPLATE["Parameters"]["HoldSeconds"]["MinValue"]) > MACHINES["rate-limiter.asl.json"]["TimeoutSeconds"]


@pytest.mark.parametrize("name", sorted(set(A_FUNCTION_MAY) - WITHOUT_STATE))
def test_function_gives_up_before_its_state(name):
    """A function that runs longer than its state could take a hold after the request was canceled.

    A function that calls nothing could not.
    """
    assert not (step_of(name) in PURE and A_FUNCTION_MAY[name])
    assert with_globals(name)["Timeout"] < task(step_of(name))["TimeoutSeconds"]


def test_expired_holds_are_looked_for_every_minute():
    (event,) = FUNCTIONS["SweepHoldsFunction"]["Events"].values()
    assert event["Type"] == "Schedule"
    assert event["Properties"]["Schedule"] == "rate(1 minute)"
    assert event["Properties"].get("Enabled", True) is True
    assert with_globals("SweepHoldsFunction")["Timeout"] < 60


def test_usage_that_bypasses_the_sentry_is_looked_for_regularly():
    (event,) = FUNCTIONS["WatchUsageFunction"]["Events"].values()
    assert event["Type"] == "Schedule"
    assert event["Properties"]["Schedule"] == {"Fn::Sub": "rate(${WatchUsageEvery})"}
    assert TEMPLATE["Parameters"]["WatchUsageEvery"]["Default"] == "1 minute"
    assert with_globals("WatchUsageFunction")["Timeout"] < 60


def test_log_retention_can_be_chosen():
    assert "LogRetentionDays" in TEMPLATE["Parameters"]


def test_a_stack_without_a_gateway_has_nothing_of_it():
    of_gateway = {name for name, body in RESOURCES.items() if body.get("Condition") == "HasGateway"}
    names = {"GatewayFunction", "GatewayRole", "GatewayLogGroup", "GatewayErrorsAlarm", "KeysTable"}
    assert of_gateway == names and TEMPLATE["Conditions"]["HasGateway"] == {"Fn::Equals": [{"Ref": "Gateway"}, "on"]}
    for output in ("GatewayUrl", "KeysTableName"):
        assert TEMPLATE["Outputs"][output]["Condition"] == "HasGateway"
    assert set(TEMPLATE["Parameters"]["Gateway"]["AllowedValues"]) == {"on", "off"}


def test_only_gateway_iam_adds_the_endpoint_for_principals():
    of_iam = {name for name, body in RESOURCES.items() if body.get("Condition") == "HasGatewayIam"}
    assert of_iam == {"GatewayIamFunction", "GatewayIamErrorsAlarm"}
    assert TEMPLATE["Conditions"]["HasGatewayIam"] == {
        "Fn::And": [{"Condition": "HasGateway"}, {"Fn::Equals": [{"Ref": "GatewayIam"}, "on"]}]
    }
    for output in ("GatewayIamUrl", "GatewayIamFunctionArn"):
        assert TEMPLATE["Outputs"][output]["Condition"] == "HasGatewayIam"


def test_gateway_streams_checks_keys_itself_and_ends_before_its_holds_expire():
    function = with_globals("GatewayFunction")
    assert function["FunctionUrlConfig"] == {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"}
    bounds = {name: TEMPLATE["Parameters"][name] for name in ("ModelTimeoutSeconds", "StreamSeconds", "HoldSeconds")}
    model, stream, hold = bounds.values()
    # The time that the last step has, beside the longest call.
    assert max(model["MaxValue"], stream["MaxValue"]) + 60 <= function["Timeout"] <= 900
    shortest_hold = hold["MinValue"] + stream["MaxValue"] - model["MaxValue"]
    assert function["Timeout"] < shortest_hold and model["MaxValue"] + 60 < hold["MinValue"]


def test_principals_have_the_same_gateway_behind_a_url_that_verifies_signatures():
    keys, iam = with_globals("GatewayFunction"), with_globals("GatewayIamFunction")
    assert iam["FunctionUrlConfig"] == {"AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM"}
    variables = iam["Environment"]["Variables"]
    assert variables.pop("SENTRY_GATEWAY_IAM") == "on"
    of_keys = keys["Environment"]["Variables"]
    tokens = {name for name in of_keys if name.startswith("SENTRY_JWT_")}
    assert tokens == {"SENTRY_JWT_ISSUER", "SENTRY_JWT_AUDIENCE", "SENTRY_JWT_CLAIMS"}
    assert variables == {name: value for name, value in of_keys.items() if name not in tokens}
    assert "SENTRY_GATEWAY_IAM" not in of_keys
    assert all(iam[part] == keys[part] for part in ("Role", "Timeout", "LoggingConfig"))


@pytest.mark.parametrize(
    "issuer, accepted",
    [
        ("", True),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab", True),
        ("https://login.example.com:8443/realms/x/", True),
        ("http://127.0.0.1:8080", False),
        ("http://login.example.com", False),
        ("https://login.example.com?x", False),
        ("https://jo@login.example.com", False),
    ],
)
def test_an_issuer_of_tokens_has_https(issuer, accepted):
    assert bool(re.search(TEMPLATE["Parameters"]["JwtIssuer"]["AllowedPattern"], issuer)) == accepted


def test_gateway_has_the_settings_of_the_functions_whose_steps_it_does():
    own = with_globals("GatewayFunction")["Environment"]["Variables"]
    steps = ["ValidateAndTag", "FetchUsage", "LookupLimit", "Reserve", "InvokeModel", "Settle"]
    for step in steps:
        for name, value in with_globals(f"{step}Function")["Environment"]["Variables"].items():
            assert own[name] == value, f"{name} of {step}"


def test_every_parameter_is_used():
    def mentioned(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "Ref" and isinstance(value, str):
                    yield value
                if key == "Fn::Sub":
                    yield from re.findall(r"\$\{(\w+)\}", value if isinstance(value, str) else value[0])
                yield from mentioned(value)
        elif isinstance(node, list):
            for value in node:
                yield from mentioned(value)

    used = set(mentioned({key: part for key, part in TEMPLATE.items() if key not in {"Parameters", "Metadata"}}))
    assert TEMPLATE["Parameters"].keys() <= used


def test_stack_name_of_the_contract():
    assert re.search(
        r'^\s*stack_name\s*=\s*"cost-sentry"\s*$', (ROOT / "samconfig.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))


# Least privilege


def test_each_function_and_workflow_has_a_role_of_its_own():
    roles = {name: pointed_at(properties.get("Role")) for name, properties in {**FUNCTIONS, **STATE_MACHINES}.items()}
    assert all(role in ROLES for role in roles.values()), roles
    # It is the same program behind another URL.
    assert roles.pop("GatewayIamFunction") == "GatewayRole"
    assert len(set(roles.values())) == len(roles), roles


@pytest.mark.parametrize("name", {**FUNCTIONS, **STATE_MACHINES})
def test_no_policy_is_added_beside_the_role(name):
    assert not {"Policies", "ManagedPolicyArns"} & {**FUNCTIONS, **STATE_MACHINES}[name].keys()


@pytest.mark.parametrize("name", ROLES)
def test_no_managed_policy_but_the_one_that_calls_models_natively(name):
    native = {"Fn::If": ["InvokesNatively", [{"Ref": "CallBedrockPolicy"}], {"Ref": "AWS::NoValue"}]}
    assert ROLES[name].get("ManagedPolicyArns") == (native if name in {"RateLimiterRole", "ModelRouterRole"} else None)


@pytest.mark.parametrize("name", ROLES)
def test_role_is_for_one_service(name):
    trust = listed(ROLES[name]["AssumeRolePolicyDocument"]["Statement"])
    assert len(trust) == 1
    (service,) = listed(trust[0]["Principal"]["Service"])
    assert service in {"lambda.amazonaws.com", "states.amazonaws.com"}
    assert listed(trust[0]["Action"]) == ["sts:AssumeRole"]


def test_there_are_statements():
    assert len(STATEMENTS) >= len(ROLES)


@pytest.mark.parametrize("role, statement", STATEMENTS)
def test_statement_allows_named_actions_only(role, statement):
    assert statement["Effect"] == "Allow"
    assert not {"NotAction", "NotResource", "NotPrincipal"} & statement.keys()
    assert not [action for action in listed(statement["Action"]) if "*" in action]


@pytest.mark.parametrize("role, statement", STATEMENTS)
def test_any_resource_only_where_iam_knows_none(role, statement):
    if "*" in listed(statement["Resource"]):
        assert set(listed(statement["Action"])) <= WITHOUT_RESOURCE


@pytest.mark.parametrize("role, statement", STATEMENTS)
def test_metrics_are_written_to_one_namespace_only(role, statement):
    if "cloudwatch:PutMetricData" in listed(statement["Action"]):
        assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "GenAIRateLimiting"}}


@pytest.mark.parametrize("role, statement", STATEMENTS)
def test_bedrock_resources_are_models_profiles_and_guardrails(role, statement):
    if any(action.startswith("bedrock:") for action in set(listed(statement["Action"])) - WITHOUT_RESOURCE):
        kinds = (
            "guardrail|guardrail-profile"
            if listed(statement["Action"]) == ["bedrock:ApplyGuardrail"]
            else "foundation-model|inference-profile|application-inference-profile"
        )
        for resource in listed(statement["Resource"]):
            arn = resource["Fn::Sub"] if isinstance(resource, dict) else resource
            assert re.search(f":bedrock:.*:({kinds})/", arn), arn


def test_step_functions_may_call_models_only_where_it_does():
    """With native calls, Step Functions may call the same models as the function that waits for them."""

    def statement_of(document):
        (found,) = [each for each in document["Statement"] if each["Action"] == "bedrock:InvokeModel"]
        return found

    native = RESOURCES["CallBedrockPolicy"]
    assert native["Condition"] == "InvokesNatively"
    assert statement_of(native["Properties"]["PolicyDocument"]) == statement_of(
        ROLES["InvokeModelRole"]["Policies"][0]["PolicyDocument"]
    )
    assert actions_of("CallBedrockPolicy") == {"bedrock:InvokeModel", "bedrock:ApplyGuardrail"}
    assert [role for role in ROLES if "bedrock:InvokeModel" in actions_of(role)] == [
        "InvokeModelRole",
        "GatewayRole",
    ]


def test_guardrails_are_the_accounts_own_and_may_work_in_other_regions():
    """All callers of models may apply guardrails: the function, and with native calls the workflows."""
    found = {
        name: [
            resource
            for role, statement in (each.values for each in STATEMENTS)
            if role == name
            for resource in listed(statement["Resource"])
            if "bedrock:ApplyGuardrail" in listed(statement["Action"])
        ]
        for name in [*ROLES, "CallBedrockPolicy"]
    }
    account = "${AWS::AccountId}"
    expected = [
        {"Fn::Sub": f"arn:${{AWS::Partition}}:bedrock:${{AWS::Region}}:{account}:guardrail/*"},
        {"Fn::Sub": f"arn:${{AWS::Partition}}:bedrock:*:{account}:guardrail-profile/*"},
    ]
    assert {name: resources for name, resources in found.items() if resources} == {
        "InvokeModelRole": expected,
        "GatewayRole": expected,
        "CallBedrockPolicy": expected,
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_may_do_what_its_name_says(name):
    expected = A_FUNCTION_MAY[name]
    allowed = actions_of(pointed_at(FUNCTIONS[name]["Role"])) - EVERY_FUNCTION_MAY
    assert allowed <= expected
    assert {each for each in expected if not each.startswith("sqs:")} <= allowed


# Crates of the SDK that have another name than the service in a policy.
SERVICES = {"resourcegroupstagging": "tag", "sfn": "states", "eventbridge": "events"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dependencies_are_the_services_of_the_policy(name):
    manifest = tomllib.loads((ROOT / "crates" / binary_of(name) / "Cargo.toml").read_text(encoding="utf-8"))
    used = {
        SERVICES.get(crate := key.removeprefix("aws-sdk-").removesuffix("runtime"), crate)
        for key in manifest["dependencies"]
        if key.startswith("aws-sdk-")
    }
    # The event source mapping reads the queue, so the function of Emit Metrics needs no SQS client.
    assert used == {
        action.split(":")[0]
        for action in A_FUNCTION_MAY[name]
        # Parameter Store is called without its SDK crate.
        if (name != "EmitMetricsFunction" or not action.startswith("sqs:")) and not action.startswith("ssm:")
    }


# Functions


def binary_of(name):
    """Returns the crate of a function, such as `fn-fetch-usage` for `FetchUsageFunction`."""
    # One program serves both URLs.
    name = "GatewayFunction" if name == "GatewayIamFunction" else name
    return "fn" + re.sub(r"([A-Z])", lambda letter: f"-{letter[1].lower()}", name.removesuffix("Function"))


def test_the_functions_are_those_of_the_design():
    assert A_FUNCTION_MAY.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_built_from_its_crate(name):
    binary = binary_of(name)
    metadata = RESOURCES[name]["Metadata"]
    assert metadata["BuildMethod"] == "rust-cargolambda"
    assert metadata["BuildProperties"]["Binary"] == binary
    function = with_globals(name)
    assert function["CodeUri"] in ("./", ".")
    assert function["Runtime"] == "provided.al2023"
    assert function["Architectures"] == [{"Ref": "Architecture"}]
    assert function["Handler"] == "bootstrap"
    crate = ROOT / "crates" / binary
    assert (crate / "src" / "main.rs").is_file() and (crate / "README.md").is_file()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_traced(name):
    """The workflow decides. Native calls are not traced, because a trace would contain Bedrock's messages."""
    assert with_globals(name).get("Tracing") == "PassThrough"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_a_log_group_with_retention(name):
    logging = with_globals(name)["LoggingConfig"]
    assert pointed_at(logging["LogGroup"]) in LOG_GROUPS
    assert logging["LogFormat"] == "JSON"


def test_no_two_share_a_log_group():
    # Both functions of the gateway are the same program.
    functions = FUNCTIONS.keys() - {"GatewayIamFunction"}
    groups = [pointed_at(with_globals(name)["LoggingConfig"]["LogGroup"]) for name in functions]
    groups += [
        pointed_at(destination["CloudWatchLogsLogGroup"]["LogGroupArn"])
        for machine in STATE_MACHINES.values()
        for destination in machine["Logging"]["Destinations"]
    ]
    assert len(set(groups)) == len(groups)


@pytest.mark.parametrize("name", LOG_GROUPS)
def test_logs_are_kept_for_the_chosen_time(name):
    assert LOG_GROUPS[name]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


# Tables, queues


@pytest.mark.parametrize("name", TABLES)
def test_table_is_safe(name):
    table = TABLES[name]
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["SSESpecification"]["SSEEnabled"] is True
    assert table["BillingMode"] == "PAY_PER_REQUEST"


# Request ids are of no use after two days, and answers expire.
DELETED_WITH_THE_STACK = {"RequestsTable", "AnswersTable"}


@pytest.mark.parametrize("name", TABLES)
def test_table_outlives_the_stack_if_nothing_else_has_its_data(name):
    """A new table of a stack that cannot be created is deleted again."""
    kept = name not in DELETED_WITH_THE_STACK
    assert RESOURCES[name]["DeletionPolicy"] == ("RetainExceptOnCreate" if kept else "Delete")
    assert RESOURCES[name]["UpdateReplacePolicy"] == ("Retain" if kept else "Delete")


def test_answers_are_keyed_by_application_and_request_and_expire():
    table = TABLES[pointed_at(TEMPLATE["Outputs"]["AnswersTableName"]["Value"])]
    assert table["KeySchema"] == [
        {"AttributeName": "applicationId", "KeyType": "HASH"},
        {"AttributeName": "requestId", "KeyType": "RANGE"},
    ]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}


def test_request_queue_exists_only_with_its_parameter():
    owned = {name for name, each in RESOURCES.items() if each.get("Condition") == "HasRequestQueue"}
    assert owned == {
        "ServeQueueFunction",
        "ServeQueueRole",
        "ServeQueueLogGroup",
        "RequestQueue",
        "RequestDeadLetterQueue",
        "RequestDeadLetterAlarm",
    }
    assert RESOURCES["AnswersTable"]["Condition"] == "KeepsAnswers"
    (event,) = FUNCTIONS["ServeQueueFunction"]["Events"].values()
    assert event["Properties"]["ScalingConfig"]["MaximumConcurrency"] == {"Ref": "AsyncConcurrency"}
    assert event["Properties"]["BatchSize"] == 1
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_function_of_the_queue_has_time_for_an_execution():
    most = MACHINES["rate-limiter.asl.json"]["TimeoutSeconds"]
    assert with_globals("ServeQueueFunction")["Timeout"] > most


def test_limits_table_has_the_key_of_the_contract():
    table = TABLES[pointed_at(TEMPLATE["Outputs"]["LimitsTableName"]["Value"])]
    assert table["KeySchema"] == [{"AttributeName": "modelId", "KeyType": "HASH"}]
    assert {"AttributeName": "modelId", "AttributeType": "S"} in table["AttributeDefinitions"]


def test_ledger_is_keyed_by_scope_and_window():
    name = pointed_at(TEMPLATE["Outputs"]["LedgerTableName"]["Value"])
    assert TABLES[name]["KeySchema"] == [
        {"AttributeName": "scope", "KeyType": "HASH"},
        {"AttributeName": "window", "KeyType": "RANGE"},
    ]


def test_usage_history_is_keyed_by_scope_and_day_and_outlives_the_stack():
    name = pointed_at(TEMPLATE["Outputs"]["UsageTableName"]["Value"])
    assert TABLES[name]["KeySchema"] == [
        {"AttributeName": "scope", "KeyType": "HASH"},
        {"AttributeName": "day", "KeyType": "RANGE"},
    ]
    assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
    assert TABLES[name]["DeletionProtectionEnabled"] is True


def test_usage_history_is_written_by_the_queues_function_and_read_by_reserve():
    found = {
        role: set(listed(statement["Action"]))
        for role, statement in (each.values for each in STATEMENTS)
        if pointed_at(statement["Resource"]) == "UsageTable"
    }
    assert found == {
        "EmitMetricsRole": {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:GetItem"},
        "ReserveRole": {"dynamodb:Query"},
        "GatewayRole": {"dynamodb:Query"},
        "SweepHoldsRole": {"dynamodb:Query", "dynamodb:UpdateItem", "dynamodb:DeleteItem"},
        "WatchUsageRole": {"dynamodb:Query", "dynamodb:UpdateItem"},
    }


def test_history_of_the_limits_is_keyed_by_item_and_moment_and_no_function_can_change_it():
    table = TABLES["LimitChangesTable"]
    assert table["KeySchema"] == [
        {"AttributeName": "modelId", "KeyType": "HASH"},
        {"AttributeName": "changedAt", "KeyType": "RANGE"},
    ]
    assert RESOURCES["LimitChangesTable"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert not [each for each in STATEMENTS if pointed_at(each.values[1]["Resource"]) == "LimitChangesTable"]


@pytest.mark.parametrize("name", ["LedgerTable", "RequestsTable", "UsageTable", "LimitChangesTable"])
def test_items_of_the_past_are_deleted(name):
    assert TABLES[name]["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}


@pytest.mark.parametrize(
    "name, variables",
    [
        (
            "ReserveFunction",
            {
                "SENTRY_LEDGER_TABLE": "LedgerTable",
                "SENTRY_REQUESTS_TABLE": "RequestsTable",
                "SENTRY_USAGE_TABLE": "UsageTable",
                "SENTRY_HOLD_SECONDS": "HoldSeconds",
            },
        ),
        ("SettleFunction", {"SENTRY_LEDGER_TABLE": "LedgerTable", "SENTRY_REQUESTS_TABLE": "RequestsTable"}),
        (
            "SweepHoldsFunction",
            {
                "SENTRY_LEDGER_TABLE": "LedgerTable",
                "SENTRY_METRICS_QUEUE_URL": "MetricsQueue",
                "SENTRY_USAGE_TABLE": "UsageTable",
                "SENTRY_LIMITS_TABLE": "LimitsTable",
            },
        ),
        (
            "EmitMetricsFunction",
            {
                "SENTRY_LEDGER_TABLE": "LedgerTable",
                "SENTRY_ALERT_TOPIC_ARN": "BudgetAlertTopic",
                "SENTRY_USAGE_TABLE": "UsageTable",
                "SENTRY_HISTORY_DAYS": "HistoryDays",
            },
        ),
    ],
)
def test_function_knows_the_ledger(name, variables):
    found = with_globals(name)["Environment"]["Variables"]
    assert {key: pointed_at(found.get(key)) for key in variables} == variables


@pytest.mark.parametrize("name", of_type("AWS::SNS::Topic"))
def test_topic_is_encrypted(name):
    assert of_type("AWS::SNS::Topic")[name]["KmsMasterKeyId"]


@pytest.mark.parametrize("name", of_type("AWS::SQS::Queue"))
def test_queue_is_encrypted(name):
    queue = of_type("AWS::SQS::Queue")[name]
    assert queue.get("SqsManagedSseEnabled") is True or "KmsMasterKeyId" in queue


def test_metrics_that_cannot_be_read_are_kept():
    queues = of_type("AWS::SQS::Queue")
    redriven = [queue for queue in queues.values() if "RedrivePolicy" in queue]
    assert redriven
    for queue in redriven:
        assert pointed_at(queue["RedrivePolicy"]["deadLetterTargetArn"]) in queues


def test_resources_are_tagged():
    def tags_of(properties):
        tags = properties.get("Tags", {})
        return tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}

    for name, properties in {
        **FUNCTIONS,
        **STATE_MACHINES,
        **TABLES,
        **of_type("AWS::SQS::Queue", "AWS::SNS::Topic"),
    }.items():
        tags = {**tags_of(GLOBALS if name in FUNCTIONS else {}), **tags_of(properties)}
        assert "Project" in tags, name


# State machines


def states_of(machine):
    """Yields `(name, state, siblings)` of all states, including states inside Parallel and Map."""
    for name, state in machine["States"].items():
        yield name, state, machine["States"]
        for branch in [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]:
            yield from states_of(branch)


STATES = [
    pytest.param(file, name, state, siblings, id=f"{file.removesuffix('.asl.json')}: {name}")
    for file, machine in MACHINES.items()
    for name, state, siblings in states_of(machine)
]
TASKS = [each for each in STATES if each.values[2]["Type"] == "Task"]


def followers(state):
    yield from filter(None, [state.get("Next"), state.get("Default")])
    for part in [*state.get("Choices", []), *state.get("Catch", [])]:
        yield part["Next"]


def substitutions_of(file):
    (machine,) = [each for each in STATE_MACHINES.values() if str(each["DefinitionUri"]).endswith(file)]
    return machine.get("DefinitionSubstitutions", {})


def test_both_machines_are_there():
    assert set(MACHINES) == {"rate-limiter.asl.json", "model-router.asl.json"}
    assert len(STATE_MACHINES) == len(MACHINES)


@pytest.mark.parametrize("name", STATE_MACHINES)
def test_machine_is_express_traced_and_logs_no_data(name):
    machine = STATE_MACHINES[name]
    assert machine["Type"] == "EXPRESS"
    assert machine["Logging"]["IncludeExecutionData"] is False
    # With native calls, events of level ERROR and traces contain Bedrock's messages, which may quote a prompt.
    assert machine["Tracing"]["Enabled"] == {"Fn::If": ["InvokesNatively", False, True]}
    assert machine["Logging"]["Level"] == {"Fn::If": ["InvokesNatively", "FATAL", "ERROR"]}
    for destination in machine["Logging"]["Destinations"]:
        assert pointed_at(destination["CloudWatchLogsLogGroup"]["LogGroupArn"]) in LOG_GROUPS


@pytest.mark.parametrize("file", MACHINES)
def test_machine_says_what_it_is(file):
    assert MACHINES[file]["Comment"]
    assert MACHINES[file]["QueryLanguage"] == "JSONata"


@pytest.mark.parametrize("file", MACHINES)
def test_placeholders_are_filled(file):
    used = set(re.findall(r"\$\{(\w+)\}", (ROOT / "statemachines" / file).read_text(encoding="utf-8")))
    assert used == set(substitutions_of(file))


@pytest.mark.parametrize("file, name, state, siblings", STATES)
def test_state_has_a_comment(file, name, state, siblings):
    assert len(state.get("Comment", "")) >= 10


@pytest.mark.parametrize("file, name, state, siblings", STATES)
def test_state_name_reads_as_a_step(file, name, state, siblings):
    assert len(name) <= 80
    assert re.fullmatch(r"[A-Z][A-Za-z]*( [A-Z][A-Za-z]*)*\??", name)
    assert name.endswith("?") == (state["Type"] == "Choice")


@pytest.mark.parametrize("file, name, state, siblings", STATES)
def test_state_leads_on_or_ends(file, name, state, siblings):
    assert set(followers(state)) <= siblings.keys()
    ends = state.get("End") is True or state["Type"] in {"Succeed", "Fail"}
    assert ends != bool(state.get("Next") or state["Type"] == "Choice")
    if state["Type"] == "Choice":
        assert "Default" in state


def machines_and_branches(machine):
    yield machine
    for state in machine["States"].values():
        for branch in state.get("Branches", []):
            yield from machines_and_branches(branch)


@pytest.mark.parametrize("file", MACHINES)
def test_every_state_is_reached(file):
    for machine in machines_and_branches(MACHINES[file]):
        reached, waiting = set(), [machine["StartAt"]]
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting.extend(followers(machine["States"][name]))
        assert reached == machine["States"].keys()


@pytest.mark.parametrize("file, name, state, siblings", TASKS)
def test_task_has_retry_and_catch(file, name, state, siblings):
    assert bool(state.get("Retry")) != (name == CALL) and state.get("Catch")


@pytest.mark.parametrize("file, name, state, siblings", TASKS)
def test_task_catches_everything(file, name, state, siblings):
    assert "States.ALL" in [error for catcher in state["Catch"] for error in catcher["ErrorEquals"]]


@pytest.mark.parametrize("file, name, state, siblings", TASKS)
def test_wildcard_stands_alone_and_last(file, name, state, siblings):
    for rules in (retries(state), state["Catch"]):
        for position, rule in enumerate(rules):
            if "States.ALL" in rule["ErrorEquals"]:
                assert rule["ErrorEquals"] == ["States.ALL"] and position == len(rules) - 1


@pytest.mark.parametrize("file, name, state, siblings", TASKS)
def test_retry_is_for_what_is_safe_to_repeat(file, name, state, siblings):
    for rule in retries(state):
        if rule["MaxAttempts"] == 0:
            continue
        if name not in IDEMPOTENT | PURE:
            assert not ({"States.ALL", "States.Runtime"} | OUT_OF_TIME) & set(rule["ErrorEquals"])
        assert rule.get("JitterStrategy") == "FULL"
        assert rule["MaxAttempts"] <= 5


@pytest.mark.parametrize("name", sorted(IDEMPOTENT))
def test_an_idempotent_state_is_repeated_after_every_error(name):
    repeated = {error for rule in task(name)["Retry"] if rule["MaxAttempts"] > 0 for error in rule["ErrorEquals"]}
    assert repeated >= {"States.ALL"} | OUT_OF_TIME


@pytest.mark.parametrize("file, name, state, siblings", TASKS)
def test_a_function_that_was_not_started_is_asked_again(file, name, state, siblings):
    """This is safe for every function, because a throttled function has done nothing."""
    if state["Resource"].endswith("FunctionArn}"):
        repeated = {error for rule in state["Retry"] if rule["MaxAttempts"] > 0 for error in rule["ErrorEquals"]}
        assert repeated & {"Lambda.TooManyRequestsException", "States.ALL"}


def test_reading_what_was_paid_for_is_repeated_when_time_ran_out():
    (rule,) = states_in("model-router.asl.json")["Read Answer"]["Retry"]
    assert rule["MaxAttempts"] > 0 and set(rule["ErrorEquals"]) >= OUT_OF_TIME


@pytest.mark.parametrize("file, name, state, siblings", TASKS)
def test_task_has_less_time_than_its_machine(file, name, state, siblings):
    assert seconds_of(state) < MACHINES[file]["TimeoutSeconds"] <= 300


@pytest.mark.parametrize("file, name, state, siblings", TASKS)
def test_every_task_has_time_for_a_cold_start(file, name, state, siblings):
    assert seconds_of(state) >= 5


@pytest.mark.parametrize("name", ["Invoke Model", CALL])
def test_oversized_answer_is_caught_by_name(name):
    """States.ALL does not catch this error. For all other payloads, a function checks the size before."""
    assert "States.DataLimitExceeded" in [error for catcher in task(name)["Catch"] for error in catcher["ErrorEquals"]]


def states_in(file):
    return {each.values[1]: each.values[2] for each in STATES if each.values[0] == file}


def task(name):
    """Returns the rate limiter's state with this name."""
    return states_in("rate-limiter.asl.json")[name]


def test_both_workflows_call_models_in_the_same_states():
    """Only the states that follow may differ."""

    def without_ways(state):
        return {
            key: [without_ways(each) for each in value] if key in {"Choices", "Catch"} else value
            for key, value in state.items()
            if key not in {"Next", "Default"}
        }

    limiter, router = (states_in(f"{name}.asl.json") for name in ("rate-limiter", "model-router"))
    common = {name for name in limiter.keys() & router.keys() if name not in {"Read Answer", "Answer"}}
    assert common >= {"Invoke Natively?", "Prepare Call", "Prepared?", CALL, REPEAT, "Pause", "Invoke Model"}
    for name in common:
        assert without_ways(limiter[name]) == without_ways(router[name])


def test_state_machines_are_written_from_their_sources():
    script = ROOT / "local/state_machines.py"
    checked = subprocess.run(
        [sys.executable, str(script), str(ROOT / "statemachines"), "--check"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


def test_model_is_not_invoked_twice():
    assert [rule["ErrorEquals"] for rule in task("Invoke Model")["Retry"]] == [["Lambda.TooManyRequestsException"]]
    assert not [
        name
        for name, state in states_in("rate-limiter.asl.json").items()
        if "startSyncExecution" in state.get("Resource", "")
    ]


# The call that Step Functions makes, and its repetitions

REPEATED = [
    f"BedrockRuntime.{name}"
    for name in ("ThrottlingException", "ModelNotReadyException", "ServiceUnavailableException")
]
NOT_REPEATED = [
    "BedrockRuntime.ServiceQuotaExceededException",
    "BedrockRuntime.InternalServerException",
    "BedrockRuntime.ModelTimeoutException",
    "BedrockRuntime.ModelErrorException",
    "BedrockRuntime.AccessDeniedException",
    "BedrockRuntime.ValidationException",
    "BedrockRuntime.ResourceNotFoundException",
    "BedrockRuntime.SdkClientException",
    "BedrockRuntime.BedrockRuntimeException",
    "BedrockRuntime.ThrottlingExceptionOfAnother",
    "Another.ThrottlingException",
    "ThrottlingException",
    "States.Timeout",
    "States.TaskFailed",
    "",
]
TOLD = "Slow down. (Service: BedrockRuntime, Status Code: 429, Request ID: 0a1b-2c)"
ONE_ATTEMPT = {
    "none": None,
    "empty": "",
    "no count": TOLD,
    "count 1": f"{TOLD} (SDK Attempt Count: 1)",
    "only the count": "(SDK Attempt Count: 1)",
    "a quoted count before": f"You said (SDK Attempt Count: 2). {TOLD} (SDK Attempt Count: 1)",
    "text after it": f"{TOLD} (SDK Attempt Count: 1) more",
}
NOT_ONE_ATTEMPT = {
    **{
        f"count {count}": f"{TOLD} (SDK Attempt Count: {count})"
        for count in (0, 2, 3, 10, 11, 21, "", "many", "1.5", "-1", " 1", "1 of 2", "\N{ARABIC-INDIC DIGIT ONE}")
    },
    "no number": f"{TOLD} (SDK Attempt Count)",
    "unfinished": f"{TOLD} (SDK Attempt Count: 1",
    "other form": f"{TOLD} (SDK Attempt Count=1)",
    "a quoted 1 before": f"You said (SDK Attempt Count: 1). {TOLD} (SDK Attempt Count: 2)",
    "only the count": "(SDK Attempt Count: 2)",
}


def jsonata(template, **bindings):
    """Evaluates `{% … %}`, or an object with such values."""
    if isinstance(template, dict):
        return {key: jsonata(value, **bindings) for key, value in template.items()}
    return Jsonata(template.removeprefix("{%").removesuffix("%}").strip()).evaluate(None, bindings)


def caught_by_call(error, cause):
    """Returns the input of `Repeat Call?` after an error. AWS may return an error without a cause."""
    (catcher,) = [each for each in task(CALL)["Catch"] if each["ErrorEquals"] == ["States.ALL"]]
    assert catcher["Next"] == REPEAT
    told = {"Error": error} | ({} if cause is None else {"Cause": cause})
    caught = jsonata(
        catcher["Output"], states={"errorOutput": told}, prepared={"converse": {}, "terms": {"rich": False}}
    )
    assert caught == {"terms": {"rich": False}, "error": error, "cause": cause or ""}
    return caught


def repeat_rule():
    """Returns the rule that leads to the repetition. It is the last one, after the rule that ends the attempts."""
    end, rule = MACHINES["model-router.asl.json"]["States"][REPEAT]["Choices"]
    assert end["Next"] == MACHINES["model-router.asl.json"]["States"][REPEAT]["Default"] and "Assign" not in end
    return rule


def is_repeated(error, cause, repeated):
    """`True` if the call is repeated. AWS requires that each condition evaluates to a boolean."""
    bindings = {"states": {"input": caught_by_call(error, cause)}, "repeated": repeated}
    bindings["temporary"] = task("Prepare Call")["Assign"]["temporary"]
    for rule in MACHINES["model-router.asl.json"]["States"][REPEAT]["Choices"]:
        found = jsonata(rule["Condition"], **bindings)
        assert isinstance(found, bool)
        if found:
            return rule == repeat_rule()
    return False


def repetitions():
    """Returns the maximum number of repetitions of the call. Evaluates the condition to find it."""
    return sum(is_repeated(REPEATED[0], "", repeated) for repeated in range(100))


def pause_of_the_call():
    return MACHINES["model-router.asl.json"]["States"][repeat_rule()["Next"]]


@pytest.mark.parametrize("repeated", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("cause", ONE_ATTEMPT.values(), ids=ONE_ATTEMPT)
@pytest.mark.parametrize("error", REPEATED)
def test_a_native_call_is_repeated_twice_after_one_attempt_that_certainly_cost_nothing(error, cause, repeated):
    assert is_repeated(error, cause, repeated) == (repeated < 2)


@pytest.mark.parametrize("repeated", [0, 1, 2])
@pytest.mark.parametrize("cause", NOT_ONE_ATTEMPT.values(), ids=NOT_ONE_ATTEMPT)
@pytest.mark.parametrize("error", REPEATED)
def test_a_native_call_is_not_repeated_where_an_earlier_attempt_may_have_been_paid(error, cause, repeated):
    assert not is_repeated(error, cause, repeated)


@pytest.mark.parametrize("cause", ONE_ATTEMPT.values(), ids=ONE_ATTEMPT)
@pytest.mark.parametrize("error", NOT_REPEATED)
def test_a_native_call_is_not_repeated_after_another_error(error, cause):
    """A test in sentry-models compares the list of errors with the errors after which the function retries."""
    assert not is_repeated(error, cause, 0)


def test_the_repetition_of_a_native_call_sends_the_same_and_is_counted():
    rule, pause, prepared = repeat_rule(), pause_of_the_call(), task("Prepare Call")
    assert [jsonata(rule["Assign"], repeated=repeated) for repeated in (0, 1)] == [{"repeated": 1}, {"repeated": 2}]
    assert (pause["Type"], pause["Seconds"], pause["Next"]) == ("Wait", 1, CALL)
    call = {"converse": {"ModelId": "m"}, "terms": {}}
    assert jsonata(prepared["Assign"]["prepared"], states={"result": call}) == call and "Output" not in prepared
    assert prepared["Assign"]["repeated"] == 0
    assert jsonata(task(CALL)["Arguments"], prepared=call) == call["converse"]


def test_a_native_call_that_fails_in_the_end_is_read_by_the_function_that_knows_the_errors():
    """The error is passed on as it was caught, because the Choice state changes nothing."""
    choice = MACHINES["model-router.asl.json"]["States"][REPEAT]
    assert choice["Default"] == "Read Answer"
    assert not [part for part in [choice, *choice["Choices"], pause_of_the_call()] if "Output" in part]


def test_nothing_leads_to_the_native_call_but_through_what_sets_its_variables():
    states = MACHINES["model-router.asl.json"]["States"]
    assert {
        name for name, state in states.items() for part in [state, *state.get("Choices", [])] if "Assign" in part
    } == {"Invoke Natively?", "Prepare Call", REPEAT}
    reached: set[str] = set()
    waiting = [MACHINES["model-router.asl.json"]["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name not in reached | {"Prepare Call"}:
            reached.add(name)
            waiting.extend(followers(states[name]))
    assert not reached & {CALL, REPEAT}


def strings_of(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for each in value for text in strings_of(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("file", MACHINES)
def test_an_error_without_a_cause_is_caught_too(file):
    """An error may have no cause. An expression without a value would fail the state that catches the error."""
    cause = "$states.errorOutput.Cause"
    for text in strings_of(MACHINES[file]):
        assert cause not in text.replace(f"$exists({cause}) ? {cause} : ''", ""), text


def leading_to(name):
    """Yields the rate limiter's states that lead to `name`, each with the part of the state that does."""
    for state_name, state in MACHINES["rate-limiter.asl.json"]["States"].items():
        for part in [state, *state.get("Choices", []), *state.get("Catch", [])]:
            if name in (part.get("Next"), part.get("Default")):
                yield state_name, part


def test_only_an_approval_with_a_reservation_leads_to_the_model():
    ((before, choice),) = leading_to("Invoke Natively?")
    assert before == "Within Budget?"
    assert "$states.input.approved = true and $exists($states.input.admitted.reservation" in choice["Condition"]


def test_every_way_from_the_model_settles():
    """Settle settles. If it fails, the function of the metrics queue does."""
    states = MACHINES["rate-limiter.asl.json"]["States"]
    waiting = ["Invoke Natively?"]
    passed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in passed | {"Settle"}:
            assert states[name]["Type"] != "Succeed" and not states[name].get("End"), "reached without settling"
            passed.add(name)
            waiting.extend(followers(states[name]))
    assert {catcher["Next"] for catcher in states["Settle"]["Catch"]} == {"Queue Settlement"}


ADMITTED: dict[str, Any] = {
    "reservation": {
        "requestId": "r1#x",
        "executionId": "e",
        "maxTokens": 9,
        "hold": {"input": 1, "output": 9, "usd": "0"},
        "scopes": [],
    },
    "model": {"requested": "nova", "modelId": "m", "modelMetric": "m", "family": "nova"},
    "tags": {"applicationId": "a"},
    "notes": {"degraded": {"action": "clamp", "from": 9, "to": 5}},
}
USED = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 3}
# The names of Step Functions. A test in sentry-contract reads such a usage.
USED_NATIVELY = {"InputTokens": 1, "OutputTokens": 2, "TotalTokens": 3}


@pytest.mark.parametrize(
    "ended, told",
    [
        ({"sealed": {"answer": "…", "usage": USED}}, {"outcome": "Succeeded", "usage": USED}),
        (
            {"failure": {"error": {"code": "ModelThrottled"}, "nothingSpent": True}},
            {"outcome": "InvocationFailed", "code": "ModelThrottled", "nothingSpent": True},
        ),
        (
            {"failure": {"error": {"code": "OutputTooLarge"}, "usage": USED}},
            {"outcome": "InvocationFailed", "code": "OutputTooLarge", "usage": USED},
        ),
        (
            {"result": {"Usage": USED_NATIVELY, "ServiceTier": {"Type": "flex"}}},
            {"outcome": "Succeeded", "usage": {**USED_NATIVELY, "serviceTier": "flex"}},
        ),
        ({"error": "States.Timeout", "cause": ""}, {"outcome": "InvocationFailed"}),
    ],
    ids=["answered", "nothing spent", "failed with a usage", "natively answered", "natively failed"],
)
def test_settlement_that_failed_is_queued_with_what_is_known(ended, told):
    """The message has the form that the queue's function reads. Unknown values are absent."""
    (catcher,) = task("Settle")["Catch"]
    times = {"started": "2026-11-21T05:00:00.000Z", "decided": "2026-11-21T05:00:01.000Z"}
    entered = {"State": {"EnteredTime": "2026-11-21T05:00:02.000Z"}}
    known = jsonata(catcher["Assign"], states={"input": ended, "context": entered}, admitted=ADMITTED, times=times)
    message = task("Queue Settlement")["Arguments"]["MessageBody"]
    body = jsonata(message, admitted=ADMITTED, **known)
    found = body.pop("times")
    assert datetime.fromisoformat(found.pop("queued")) > datetime.fromisoformat("2026-11-21T05:00:02.000Z")
    assert found == {**times, "ended": "2026-11-21T05:00:02.000Z"}
    settlement = body.pop("settlement")
    assert settlement == {
        "reservation": ADMITTED["reservation"],
        "model": ADMITTED["model"],
        "nothingSpent": told.pop("nothingSpent", False),
    }
    assert body == {
        "tags": {"applicationId": "a"},
        "model": ADMITTED["model"],
        "hold": ADMITTED["reservation"]["hold"],
        "degraded": ADMITTED["notes"]["degraded"],
        **told,
    }


def test_a_reservation_that_failed_is_cancelled_before_the_answer():
    assert {catcher["Next"] for catcher in task("Reserve")["Catch"]} == {"Cancel Reservation"}
    cancel = task("Cancel Reservation")
    assert cancel["Resource"] == "${SettleFunctionArn}"
    found = {"model": [{"scope": "model#m"}], "tags": [{"scope": "user#u"}], "fallback": [{"scope": "model#f"}]}
    for limits, expected in (
        ({"limits": found}, found),
        ({"unavailable": "x"}, {"model": []}),
        ({"denial": {}}, {"model": []}),
    ):
        assert jsonata(cancel["Arguments"]["limits"], states={"input": {"limits": limits}}) == expected


def test_a_cancellation_that_failed_is_left_to_the_queue():
    """The function of the metrics queue receives the same input as the cancellation. The answer does not change."""
    cancel, queue = task("Cancel Reservation"), task("Queue Cancellation")
    assert [catcher["Next"] for catcher in cancel["Catch"]] == ["Queue Cancellation"]
    assert queue["Arguments"]["MessageBody"] == {"cancellation": cancel["Arguments"]}
    assert queue["Arguments"]["QueueUrl"] == "${MetricsQueueUrl}"
    for state in (cancel, queue):
        assert state["Next"] == "Budget Unavailable" and {each.get("Output") for each in (state, *state["Catch"])} == {
            "{% $states.input %}"
        }


def step_of(name):
    """Returns the state that runs a function, such as `Fetch Usage` for `FetchUsageFunction`."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", name.removesuffix("Function"))


@pytest.mark.parametrize("name", sorted(set(A_FUNCTION_MAY) - WITHOUT_STATE))
def test_function_state_and_crate_have_one_name(name):
    step = step_of(name)
    (used,) = re.findall(r"\$\{(\w+)\}", task(step)["Resource"])
    value = substitutions_of("rate-limiter.asl.json")[used]
    assert name in json.dumps(value)


def test_the_limiter_never_fails_by_itself():
    assert not [name for name, state, _ in states_of(MACHINES["rate-limiter.asl.json"]) if state["Type"] == "Fail"]


def test_the_router_fails_by_stable_names():
    failing = [state for _, state, _ in states_of(MACHINES["model-router.asl.json"]) if state["Type"] == "Fail"]
    assert failing
    for state in failing:
        assert state["Error"] in CODES or state["Error"].startswith("{%")
        assert state["Cause"]
