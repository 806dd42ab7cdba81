"""The alarms of the template, and the protection of the metrics queue and the tables. Needs no endpoint."""

import re
from typing import Any

import pytest

from metric_queries import check, insights
from test_template import RESOURCES, ROOT, TABLES, TEMPLATE, of_type, pointed_at, with_globals

ALL = of_type("AWS::CloudWatch::Alarm")
# Alarms on one metric, and alarms on a query that returns a series for each scope or model.
ALARMS = {name: alarm for name, alarm in ALL.items() if "MetricName" in alarm}
QUERIED = {name: alarm for name, alarm in ALL.items() if "Metrics" in alarm}
COMPOSITES = of_type("AWS::CloudWatch::CompositeAlarm")
EVERY = {**ALL, **COMPOSITES}
QUEUES = of_type("AWS::SQS::Queue")
NOTHING = {"Ref": "AWS::NoValue"}
# An alarm notifies the chosen topic and, with AlertEmail, the topic of the stack.
TOPICS = [
    {"Fn::If": ["HasAlarmTopic", {"Ref": "AlarmTopicArn"}, NOTHING]},
    {"Fn::If": ["HasAlertEmail", {"Ref": "AlarmTopic"}, NOTHING]},
]
# The required alarms: namespace, metric, and the resource or value that the dimension names.
WATCHED = [
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "MetricsDeadLetterQueue"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "RequestDeadLetterQueue"),
    ("AWS/Lambda", "Errors", "SweepHoldsFunction"),
    ("AWS/Lambda", "Errors", "WatchUsageFunction"),
    ("AWS/Lambda", "Errors", "GatewayFunction"),
    ("AWS/Lambda", "Errors", "GatewayIamFunction"),
    ("AWS/Lambda", "Invocations", "SweepHoldsFunction"),
    ("AWS/States", "ExecutionsFailed", "RateLimiter"),
    ("AWS/States", "ExecutionsTimedOut", "RateLimiter"),
    ("AWS/States", "ExecutionThrottled", "RateLimiter"),
    ("AWS/Lambda", "Throttles", "SettleFunction"),
    ("AWS/Lambda", "Throttles", "ReserveFunction"),
    ("AWS/Lambda", "Throttles", "InvokeModelFunction"),
    ("GenAIRateLimiting", "ProfileListAge", None),
    ("GenAIRateLimiting", "UnsettledRequests", None),
    ("GenAIRateLimiting", "LateSettlements", None),
    ("GenAIRateLimiting", "ExceededHolds", None),
    ("GenAIRateLimiting", "Denials", "LedgerUnavailable"),
    ("GenAIRateLimiting", "Denials", "UsageUnavailable"),
]
PER_HOUR, PER_FIVE_MINUTES = 3600, 300
# Alarms on queries: metric, threshold, seconds of a period, values that decide, of how many, missing data, and condition.
SERIES: dict[str, tuple[str, Any, int, int, int, str, str]] = {
    "BudgetNearlyUsedAlarm": ("BudgetUsedPercent", 80, PER_FIVE_MINUTES, 1, 1, "ignore", "FullObservability"),
    "BudgetUsedUpAlarm": ("BudgetUsedPercent", 99, PER_FIVE_MINUTES, 1, 1, "ignore", "FullObservability"),
    "BudgetForecastAlarm": ("BudgetForecastPercent", 100, PER_FIVE_MINUTES, 3, 6, "ignore", "FullObservability"),
    "ModelFailuresAlarm": ("InvocationFailed", 0.2, PER_FIVE_MINUTES, 2, 3, "notBreaching", "FullObservability"),
    "UngovernedUsageAlarm": ("UngovernedTokens", 0, PER_FIVE_MINUTES, 1, 1, "notBreaching", "FullObservability"),
    "ProfileInvocationsAlarm": (
        "Invocations",
        {"Ref": "ProfileInvocationsPerHour"},
        PER_HOUR,
        1,
        1,
        "notBreaching",
        "WatchesProfileInvocations",
    ),
    **{
        f"Profile{kind}TokensAlarm": (
            f"{kind}TokenCount",
            {"Ref": "ProfileTokensPerHour"},
            PER_HOUR,
            1,
            1,
            "notBreaching",
            "WatchesProfileTokens",
        )
        for kind in ("Input", "Output")
    },
}


def dimension_of(alarm):
    values = [dimension["Value"] for dimension in alarm.get("Dimensions", [])]
    assert len(values) <= 1
    return (pointed_at(values[0]) or values[0]) if values else None


@pytest.mark.parametrize("namespace, metric, dimension", WATCHED)
def test_one_alarm_watches_it(namespace, metric, dimension):
    found = [
        alarm
        for alarm in ALARMS.values()
        if (alarm["Namespace"], alarm["MetricName"], dimension_of(alarm)) == (namespace, metric, dimension)
    ]
    assert len(found) == 1


def test_nothing_else_is_watched():
    assert len(ALARMS) == len(WATCHED)
    assert QUERIED.keys() == SERIES.keys()


@pytest.mark.parametrize("name", QUERIED)
def test_alarm_on_a_query_has_its_threshold_and_its_time(name):
    alarm = QUERIED[name]
    (query,) = alarm["Metrics"]
    found = insights(query["Expression"])
    check(found)
    assert SERIES[name] == (
        found.metric,
        alarm["Threshold"],
        query["Period"],
        alarm["DatapointsToAlarm"],
        alarm["EvaluationPeriods"],
        alarm["TreatMissingData"],
        RESOURCES[name]["Condition"],
    )
    assert query["ReturnData"] is True
    expected = "GreaterThanOrEqualToThreshold" if name == "BudgetNearlyUsedAlarm" else "GreaterThanThreshold"
    assert alarm["ComparisonOperator"] == expected


@pytest.mark.parametrize("name", QUERIED)
def test_alarm_on_a_query_watches_each_series_within_the_last_three_hours(name):
    """AWS's rules for such alarms: the query has GROUP BY and ORDER BY, and reads at most the last three hours."""
    (query,) = QUERIED[name]["Metrics"]
    assert insights(query["Expression"]).grouped and " ORDER BY " in query["Expression"]
    assert query["Period"] * QUERIED[name]["EvaluationPeriods"] <= 3 * 3600


@pytest.mark.parametrize("name", EVERY)
def test_alarm_has_a_paragraph_in_the_runbook_and_links_it(name):
    description = EVERY[name]["AlarmDescription"]["Fn::Sub"]
    assert description.endswith(f" Runbook: ${{RunbookUrl}}#{name.lower()}")
    # The longest description that CloudWatch accepts, and a link of up to 200 characters.
    assert len(description) <= 1024 - 200
    assert name in headings()


def headings():
    """The headings of the section about alarms."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    section = re.search(r"^### Alarms$(.*?)^### ", text, re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"^#### (\w+)$", section[1], re.MULTILINE)


def test_the_runbook_has_no_other_paragraphs():
    assert sorted(headings()) == sorted(EVERY)


def members(composite):
    return re.findall(r'ALARM\("\$\{(\w+)\}"\)', composite["AlarmRule"]["Fn::Sub"])


@pytest.mark.parametrize("name", COMPOSITES)
def test_composite_alarm_is_on_if_one_member_is(name):
    rule = COMPOSITES[name]["AlarmRule"]["Fn::Sub"]
    assert rule == " OR ".join(f'ALARM("${{{member}}}")' for member in members(COMPOSITES[name]))
    assert len(rule) <= 10_240
    # Every stack has the members.
    assert not [member for member in members(COMPOSITES[name]) if "Condition" in RESOURCES[member]]
    assert RESOURCES[name]["Condition"] == "FullObservability"


@pytest.mark.parametrize("name", EVERY)
def test_an_alarm_notifies_unless_a_composite_alarm_does(name):
    within = [each for each in COMPOSITES if name in members(COMPOSITES[each])]
    assert len(within) <= 1
    expected: Any = {"Fn::If": ["FullObservability", NOTHING, TOPICS]} if within else TOPICS
    assert EVERY[name]["AlarmActions"] == expected


@pytest.mark.parametrize("name", [name for name in EVERY if "Condition" in RESOURCES[name]])
def test_alarm_with_a_condition_has_a_name_of_its_own(name):
    """The dashboard refers to it by name, because a stack may not have it."""
    words = re.findall("[A-Z][a-z]+", name.removesuffix("Alarm"))
    assert EVERY[name]["AlarmName"] == {
        "Fn::Sub": "-".join(["${AWS::StackName}", *words]).lower().replace("${aws::stackname}", "${AWS::StackName}")
    }


def test_services_may_publish_to_the_topic_of_alarms_and_use_its_key():
    services = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"]
    (publish,) = of_type("AWS::SNS::TopicPolicy")["AlarmTopicPolicy"]["PolicyDocument"]["Statement"]
    assert (publish["Principal"], publish["Action"]) == ({"Service": services}, "sns:Publish")
    assert publish["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    encrypt = of_type("AWS::KMS::Key")["AlarmKey"]["KeyPolicy"]["Statement"][1]
    assert encrypt["Principal"] == {"Service": services}
    assert encrypt["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert of_type("AWS::SNS::Topic")["AlarmTopic"]["KmsMasterKeyId"] == {"Ref": "AlarmKey"}


def test_the_address_gets_alarms_and_budget_alerts():
    found = of_type("AWS::SNS::Subscription")
    assert {each["TopicArn"]["Ref"] for each in found.values()} == {"AlarmTopic", "BudgetAlertTopic"}
    for name, each in found.items():
        assert (each["Protocol"], each["Endpoint"]) == ("email", {"Ref": "AlertEmail"})
        assert RESOURCES[name]["Condition"] == "HasAlertEmail"


# These alarms go off if an expected event does not happen.
HEARTBEATS = {
    "ProfileListAlarm": (600, "GreaterThanThreshold", 1),
    "SweepSilentAlarm": (1, "LessThanThreshold", 1),
}


@pytest.mark.parametrize("name", HEARTBEATS)
def test_silence_rings(name):
    alarm = ALARMS[name]
    assert (alarm["Threshold"], alarm["ComparisonOperator"], alarm["EvaluationPeriods"]) == HEARTBEATS[name]
    assert alarm["TreatMissingData"] == "breaching"


@pytest.mark.parametrize("name", ALARMS.keys() - HEARTBEATS.keys())
def test_one_occurrence_rings_and_silence_does_not(name):
    alarm = ALARMS[name]
    assert (alarm["Threshold"], alarm["ComparisonOperator"], alarm["EvaluationPeriods"]) == (
        0,
        "GreaterThanThreshold",
        1,
    )
    assert alarm["TreatMissingData"] == "notBreaching"


def test_a_message_is_hidden_for_six_timeouts_and_the_longest_window():
    """AWS's rule for a queue that a function reads: six times the timeout of the function plus the batching window."""
    window = TEMPLATE["Parameters"]["MetricsWindowSeconds"]["MaxValue"]
    assert QUEUES["MetricsQueue"]["VisibilityTimeout"] == 6 * with_globals("EmitMetricsFunction")["Timeout"] + window
    assert QUEUES["RequestQueue"]["VisibilityTimeout"] == 6 * with_globals("ServeQueueFunction")["Timeout"]


@pytest.mark.parametrize(
    "queue, dead_letters",
    [("MetricsQueue", "MetricsDeadLetterQueue"), ("RequestQueue", "RequestDeadLetterQueue")],
)
def test_the_dead_letter_queue_takes_messages_of_its_queue_only(queue, dead_letters):
    allowed = QUEUES[dead_letters]["RedriveAllowPolicy"]
    name = QUEUES[queue]["QueueName"]["Fn::Sub"]
    assert allowed == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [{"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:" + name}],
    }


@pytest.mark.parametrize("name", TABLES)
def test_a_resource_that_outlives_the_stack_is_protected_against_deletion(name):
    retained = RESOURCES[name]["DeletionPolicy"] != "Delete"
    assert TABLES[name].get("DeletionProtectionEnabled", False) is retained
