"""The alarms of the template, and the protection of the metrics queue and the tables. Needs no endpoint."""

import pytest

from test_template import RESOURCES, TABLES, TEMPLATE, of_type, pointed_at, with_globals

ALARMS = of_type("AWS::CloudWatch::Alarm")
QUEUES = of_type("AWS::SQS::Queue")
# The required alarms: namespace, metric, and the resource or value that the dimension names.
WATCHED = [
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "MetricsDeadLetterQueue"),
    ("AWS/Lambda", "Errors", "SweepHoldsFunction"),
    ("AWS/Lambda", "Invocations", "SweepHoldsFunction"),
    ("AWS/States", "ExecutionsFailed", "RateLimiter"),
    ("AWS/States", "ExecutionsTimedOut", "RateLimiter"),
    ("AWS/States", "ExecutionThrottled", "RateLimiter"),
    ("AWS/Lambda", "Throttles", "SettleFunction"),
    ("AWS/Lambda", "Throttles", "ReserveFunction"),
    ("AWS/Lambda", "Throttles", "InvokeModelFunction"),
    ("GenAIRateLimiting", "UnsettledRequests", None),
    ("GenAIRateLimiting", "LateSettlements", None),
    ("GenAIRateLimiting", "ExceededHolds", None),
    ("GenAIRateLimiting", "Denials", "LedgerUnavailable"),
    ("GenAIRateLimiting", "Denials", "UsageUnavailable"),
]


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


# These alarms go off if an expected event does not happen.
HEARTBEATS = {"SweepSilentAlarm"}


@pytest.mark.parametrize("name", HEARTBEATS)
def test_silence_rings(name):
    alarm = ALARMS[name]
    assert (alarm["Threshold"], alarm["ComparisonOperator"], alarm["EvaluationPeriods"]) == (1, "LessThanThreshold", 1)
    assert alarm["TreatMissingData"] == "breaching"


@pytest.mark.parametrize("name", ALARMS.keys() - HEARTBEATS)
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


def test_the_dead_letter_queue_takes_messages_of_its_queue_only():
    allowed = QUEUES["MetricsDeadLetterQueue"]["RedriveAllowPolicy"]
    name = QUEUES["MetricsQueue"]["QueueName"]["Fn::Sub"]
    assert allowed == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [{"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:" + name}],
    }


@pytest.mark.parametrize("name", TABLES)
def test_what_outlives_the_stack_is_protected_against_deletion(name):
    retained = RESOURCES[name]["DeletionPolicy"] != "Delete"
    assert TABLES[name].get("DeletionProtectionEnabled", False) is retained
