"""The templates of the bill: budget, budget action, anomalies and export. Needs no endpoint."""

import re

import pytest
import yaml

import test_account_policy
from test_account_policy import OTHERS, SENTRYS, WAYS_ROUND
from test_template import RESOURCES, ROOT, TEMPLATE, Loader


def template(name):
    return yaml.load((ROOT / "templates" / name).read_text(encoding="utf-8"), Loader)


BILLING = template("billing.yaml")
EXPORT = template("cost-export.yaml")
ROUND = template("close-ways-round.yaml")
# Columns that are needed to compare the bill with the history: the day, the model and its tokens, the tags, the profile, the caller.
COLUMNS = {
    "line_item_usage_start_date",
    "line_item_usage_type",
    "line_item_usage_amount",
    "line_item_unblended_cost",
    "line_item_currency_code",
    "line_item_resource_id",
    "line_item_iam_principal",
    "line_item_line_item_type",
    "product_product_family",
    "product",
    "resource_tags",
}


def resource(name, of=BILLING):
    return of["Resources"][name]["Properties"]


@pytest.mark.parametrize("stack, of", [("BillingStack", BILLING), ("CostExportStack", EXPORT)])
def test_the_stack_of_the_sentry_gives_the_template_its_parameters(stack, of):
    properties = RESOURCES[stack]["Properties"]
    assert (ROOT / properties["TemplateURL"]).is_file()
    required = {name for name, each in of["Parameters"].items() if "Default" not in each}
    assert required <= properties["Parameters"].keys() <= of["Parameters"].keys()
    assert "Condition" in RESOURCES[stack]


@pytest.mark.parametrize(
    "name", ["CostAllocationTag", "MonthlyBudgetUsd", "BudgetActionApproval", "AnomalyThresholdUsd"]
)
def test_both_templates_have_the_same_parameter(name):
    def settings(of):
        return {key: value for key, value in of["Parameters"][name].items() if key != "Description"}

    assert settings(BILLING) == settings(TEMPLATE)


def test_nothing_of_the_bill_is_in_the_main_template():
    """CloudFormation refuses a template with a type that the Region does not have."""
    kinds = {each["Type"] for each in RESOURCES.values()}
    assert not [kind for kind in kinds if re.match("AWS::(Budgets|CE|BCMDataExports)::", kind)]


def test_the_budget_is_over_the_tag_and_not_over_a_service():
    budget = resource("MonthlyBudget")["Budget"]
    condition, chosen, every = budget["FilterExpression"]["Fn::If"]
    key = {"Ref": "CostAllocationTag"}
    assert condition == "HasValues"
    assert chosen == {"Tags": {"Key": key, "Values": {"Ref": "CostAllocationValues"}, "MatchOptions": ["EQUALS"]}}
    assert every == {"Not": {"Tags": {"Key": key, "MatchOptions": ["ABSENT"]}}}
    # AWS excludes CostTypes and CostFilters together with Metrics and FilterExpression.
    assert not {"CostTypes", "CostFilters"} & budget.keys() and budget["Metrics"] == ["UnblendedCost"]


def test_the_budget_notifies_of_actual_and_forecast_spend():
    found = resource("MonthlyBudget")["NotificationsWithSubscribers"]
    assert [(each["Notification"]["NotificationType"], each["Notification"]["Threshold"]) for each in found] == [
        ("ACTUAL", 80),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]
    assert all(each["Subscribers"] == [{"SubscriptionType": "SNS", "Address": {"Ref": "TopicArn"}}] for each in found)


def test_the_budget_action_denies_what_closes_the_ways_round():
    denied = BILLING["Mappings"]["Denied"]["Actions"]["Bedrock"]
    assert denied == ROUND["Mappings"]["Denied"]["Actions"]["Bedrock"]


def denies(principal, action):
    """`True` if the policy of the budget action denies the call. All statements of the policy are evaluated."""
    document = resource("DenyModelsPolicy")["PolicyDocument"]
    (statement,) = test_account_policy.resolved(document, {"AllowedRoleArns": SENTRYS})["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", "*")
    assert statement["Condition"].keys() == {"ArnNotLike"}
    acts = any(re.fullmatch(re.escape(each).replace(r"\*", ".*"), action) for each in statement["Action"])
    return acts and principal not in statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]


@pytest.mark.parametrize("action", sorted({each for each, _ in WAYS_ROUND if each.startswith("bedrock")}))
def test_the_budget_action_denies_models_to_everyone_but_the_sentry(action):
    assert all(denies(principal, action) for principal in OTHERS)
    assert not any(denies(principal, action) for principal in SENTRYS)


def test_the_sentry_keeps_its_access():
    """Attached to a role of the sentry by mistake, the policy would deny nothing."""
    _, (*always, router, gateway) = RESOURCES["BillingStack"]["Properties"]["Parameters"]["AllowedRoleArns"]["Fn::Join"]
    assert always == [{"Fn::GetAtt": [name, "Arn"]} for name in ("InvokeModelRole", "RateLimiterRole")]
    assert router == {"Fn::If": ["HasRouter", {"Fn::GetAtt": ["ModelRouterRole", "Arn"]}, {"Ref": "AWS::NoValue"}]}
    assert gateway == {"Fn::If": ["HasGateway", {"Fn::GetAtt": ["GatewayRole", "Arn"]}, {"Ref": "AWS::NoValue"}]}


def test_the_role_of_the_budget_action_can_attach_only_the_denial():
    role = resource("BudgetActionRole")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "budgets.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["iam:AttachRolePolicy", "iam:DetachRolePolicy"]
    assert statement["Resource"] == {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"}
    assert statement["Condition"] == {"ArnEquals": {"iam:PolicyARN": {"Ref": "DenyModelsPolicy"}}}
    assert resource("BudgetAction")["ApprovalModel"] == {"Ref": "BudgetActionApproval"}
    assert BILLING["Parameters"]["BudgetActionApproval"]["Default"] == "MANUAL"


def test_anomalies_are_looked_for_in_each_value_of_the_tag():
    monitor, subscription = resource("AnomalyMonitor"), resource("AnomalySubscription")
    assert (monitor["MonitorType"], monitor["MonitorDimension"]) == ("DIMENSIONAL", "TAG")
    assert monitor["MonitorSpecification"] == {"Fn::Sub": '{"Tags":{"Key":"${CostAllocationTag}"}}'}
    assert subscription["MonitorArnList"] == [{"Ref": "AnomalyMonitor"}]
    # AWS: a subscription by SNS is immediate, and a daily or weekly one is by e-mail.
    assert subscription["Frequency"] == "IMMEDIATE" and subscription["Subscribers"][0]["Type"] == "SNS"


def query():
    return resource("BillExport", EXPORT)["Export"]["DataQuery"]


def test_the_export_has_the_columns_that_matter():
    """AWS refuses `SELECT *` for this table."""
    columns = re.fullmatch(r"SELECT ([\w, ]+) FROM COST_AND_USAGE_REPORT", query()["QueryStatement"])
    assert columns
    listed = columns[1].split(", ")
    assert set(listed) >= COLUMNS and len(set(listed)) == len(listed)
    settings = query()["TableConfigurations"]["COST_AND_USAGE_REPORT"]
    assert settings == {
        "TIME_GRANULARITY": "DAILY",
        # Without these two, the columns of the profile and of the caller are not allowed.
        "INCLUDE_RESOURCES": "TRUE",
        "INCLUDE_IAM_PRINCIPAL_DATA": "TRUE",
    }


def test_the_bucket_of_the_export_is_private_and_only_the_export_writes_it():
    assert set(resource("BillBucket", EXPORT)["PublicAccessBlockConfiguration"].values()) == {True}
    deliver, deny = resource("BillBucketPolicy", EXPORT)["PolicyDocument"]["Statement"]
    assert deliver["Action"] == ["s3:PutObject", "s3:GetBucketPolicy"]
    assert deliver["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert "aws:SourceArn" in deliver["Condition"]["ArnLike"]
    assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")


@pytest.mark.parametrize("of", [BILLING, EXPORT], ids=["billing", "export"])
def test_every_parameter_says_what_it_is(of):
    assert all(each["Description"] for each in of["Parameters"].values())


@pytest.mark.parametrize("name, each", BILLING["Resources"].items())
def test_every_part_of_the_bill_is_off_by_default(name, each):
    """Each is under a condition that needs a parameter whose default turns it off."""
    assert each["Condition"] in {"HasBudget", "HasAction", "HasMonitor"}
    assert {BILLING["Parameters"][key]["Default"] for key in ("MonthlyBudgetUsd", "AnomalyThresholdUsd")} == {0}
    assert BILLING["Parameters"]["BudgetActionRoles"]["Default"] == ""
