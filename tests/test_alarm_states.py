"""Each alarm of the template goes to ALARM for its cause and back to OK, and reports one crossing once. Needs no endpoint.

`CAUSES` says what sets off each alarm. An alarm without an entry fails `test_each_alarm_has_a_cause`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cloudwatch import alarms
from cloudwatch.stack import Stack
from cloudwatch.store import Metric, Store
from test_template import TEMPLATE

START = 1_763_640_000  # a full hour
# The trouble begins after an hour, lasts half an hour, and is over for five hours.
TROUBLE = range(60, 90)
END = TROUBLE.stop + 300
TYPES = (alarms.METRIC_ALARM, alarms.COMPOSITE_ALARM)

WANTED: dict[str, dict[str, object]] = {
    "basic": {"AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms"},
    "full": {
        "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
        "Observability": "full",
        "ProfileInvocationsPerHour": 100,
        "ProfileTokensPerHour": 100_000,
    },
}
STACKS = {
    name: Stack(TEMPLATE, {key: value for key, value in parameters.items() if key in TEMPLATE["Parameters"]})
    for name, parameters in WANTED.items()
}

Named = Callable[[Stack], Metric]
SENTRY = "GenAIRateLimiting"


def metric(namespace, name, **dimensions) -> Named:
    return lambda stack: Metric.of(namespace, name, dimensions)


def of_function(name, logical) -> Named:
    return lambda stack: Metric.of("AWS/Lambda", name, {"FunctionName": stack.ref(logical)})


def of_workflow(name) -> Named:
    return lambda stack: Metric.of("AWS/States", name, {"StateMachineArn": stack.ref("RateLimiter")})


def of_queue(name, logical) -> Named:
    return lambda stack: Metric.of("AWS/SQS", name, {"QueueName": stack.attribute(logical, "QueueName")})


def of_requests(name, model="us.amazon.nova-lite-v1:0") -> Named:
    """A metric with the five dimensions."""
    return metric(
        SENTRY, name, Model="nova-lite", ModelId=model, CostCenter="support", Application="helper", Environment="prod"
    )


@dataclass(frozen=True)
class Cause:
    """The values of a metric in the trouble and otherwise, every so many minutes. None is no data.

    `bad` is one value, or the values one after the other from the beginning of the trouble on, the last of which stays.
    `also` names alarms with another threshold that the same rise crosses.
    """

    metric: Named
    bad: float | tuple[float, ...] | None
    good: float | None = None
    every: int = 1
    also: tuple[str, ...] = ()

    def value(self, minute: int) -> float | None:
        if minute not in TROUBLE:
            return self.good
        if not isinstance(self.bad, tuple):
            return self.bad
        return self.bad[min((minute - TROUBLE.start) // self.every, len(self.bad) - 1)]


LATE = Cause(metric(SENTRY, "LateSettlements"), 1)
LEDGER = Cause(metric(SENTRY, "Denials", Code="LedgerUnavailable"), 3)
CAUSES = {
    "MetricsDeadLetterAlarm": Cause(of_queue("ApproximateNumberOfMessagesVisible", "MetricsDeadLetterQueue"), 2, 0),
    "RequestDeadLetterAlarm": Cause(of_queue("ApproximateNumberOfMessagesVisible", "RequestDeadLetterQueue"), 2, 0),
    "SweepSilentAlarm": Cause(of_function("Invocations", "SweepHoldsFunction"), None, 1),
    "ProfileListAlarm": Cause(metric(SENTRY, "ProfileListAge"), None, 0),
    "SweepHoldsAlarm": Cause(of_function("Errors", "SweepHoldsFunction"), 1, 0),
    "WatchUsageAlarm": Cause(of_function("Errors", "WatchUsageFunction"), 1, 0),
    "GatewayErrorsAlarm": Cause(of_function("Errors", "GatewayFunction"), 1, 0),
    "GatewayIamErrorsAlarm": Cause(of_function("Errors", "GatewayIamFunction"), 1, 0),
    "RateLimiterFailedAlarm": Cause(of_workflow("ExecutionsFailed"), 1, 0),
    "RateLimiterTimedOutAlarm": Cause(of_workflow("ExecutionsTimedOut"), 1, 0),
    "RateLimiterThrottledAlarm": Cause(of_workflow("ExecutionThrottled"), 1, 0),
    "SettleThrottlesAlarm": Cause(of_function("Throttles", "SettleFunction"), 1, 0),
    "ReserveThrottlesAlarm": Cause(of_function("Throttles", "ReserveFunction"), 1, 0),
    "InvokeModelThrottlesAlarm": Cause(of_function("Throttles", "InvokeModelFunction"), 1, 0),
    "UnsettledRequestsAlarm": Cause(metric(SENTRY, "UnsettledRequests"), 1),
    "LateSettlementsAlarm": LATE,
    "ExceededHoldsAlarm": Cause(metric(SENTRY, "ExceededHolds"), 1, 0),
    "LedgerUnavailableAlarm": LEDGER,
    "UsageUnavailableAlarm": Cause(metric(SENTRY, "Denials", Code="UsageUnavailable"), 1),
    # A scope publishes its figures only with a request, here every ten minutes. The window ends with the trouble.
    "BudgetNearlyUsedAlarm": Cause(
        metric(SENTRY, "BudgetUsedPercent", Scope="costCenter#support"), (79, 80, 99), 12, every=10
    ),
    # The sentry denies what does not fit, so the settled usage of a budget that is used up stays a little below its limit.
    "BudgetUsedUpAlarm": Cause(
        metric(SENTRY, "BudgetUsedPercent", Scope="costCenter#support"),
        (85, 99.5),
        12,
        every=10,
        also=("BudgetNearlyUsedAlarm",),
    ),
    "BudgetForecastAlarm": Cause(metric(SENTRY, "BudgetForecastPercent", Scope="costCenter#support"), 140, 60, every=5),
    "ModelFailuresAlarm": Cause(of_requests("InvocationFailed"), 1, 0),
    "UngovernedUsageAlarm": Cause(metric(SENTRY, "UngovernedTokens", ModelId="us.amazon.nova-lite-v1:0"), 500),
    "ProfileInvocationsAlarm": Cause(metric("AWS/Bedrock", "Invocations", ModelId="abc123"), 10, 1),
    "ProfileInputTokensAlarm": Cause(metric("AWS/Bedrock", "InputTokenCount", ModelId="abc123"), 9_000, 100),
    "ProfileOutputTokensAlarm": Cause(metric("AWS/Bedrock", "OutputTokenCount", ModelId="abc123"), 9_000, 100),
    "RequestsDisturbedAlarm": LEDGER,
    "SettlementsDisturbedAlarm": LATE,
}
# Metrics that a healthy stack always has, and neighbors of the troubled ones that stay quiet.
HEALTHY = (
    CAUSES["SweepSilentAlarm"],
    Cause(metric(SENTRY, "BudgetUsedPercent", Scope="model#us.amazon.nova-lite-v1:0"), 40, 40, every=7),
    Cause(metric(SENTRY, "BudgetForecastPercent", Scope="model#us.amazon.nova-lite-v1:0"), 90, 90, every=7),
    Cause(metric(SENTRY, "Denials", Code="BudgetExceeded"), 50, 50),
    Cause(of_requests("InvocationFailed", "us.amazon.nova-pro-v1:0"), 0, 0),
    Cause(metric("AWS/Bedrock", "Invocations", ModelId="other"), 1, 1),
)


def described(stack):
    """The alarms of a stack by logical id."""
    return {
        **{
            name: alarms.metric_alarm(stack.ref(name), body)
            for name, body in stack.resources(alarms.METRIC_ALARM).items()
        },
        **{
            name: alarms.composite_alarm(stack.ref(name), body)
            for name, body in stack.resources(alarms.COMPOSITE_ALARM).items()
        },
    }


def lived_through(stack, cause=None):
    """All changes of state, by logical id, and the alarms that notify, each as often as it does."""
    store = Store(START)
    for each in HEALTHY if cause is None else [*(each for each in HEALTHY if each is not cause), cause]:
        named = each.metric(stack)
        for minute in range(-60, END):
            value = each.good if cause is not each else each.value(minute)
            if value is not None and minute % each.every == 0:
                store.put(named, START + 60 * minute, value)
    found = described(stack)
    logical = {alarm.name: name for name, alarm in found.items()}
    changes = alarms.run(found.values(), store, START, START + 60 * END)
    states: dict[str, list[tuple[int, str]]] = {name: [] for name in found}
    for change in changes:
        if change.contributor is None:
            states[logical[change.alarm]].append(((change.time - START) // 60, change.after))
    return states, Counter(logical[each.alarm] for each in alarms.notifications(changes, found.values()))


ALARMS = [(kind, name) for kind, stack in STACKS.items() for name in stack.resources(*TYPES)]


def test_each_alarm_has_a_cause():
    assert {name for _, name in ALARMS} <= CAUSES.keys()


@pytest.mark.parametrize("kind", STACKS)
def test_a_healthy_stack_is_quiet(kind):
    states, notified = lived_through(STACKS[kind])
    assert {name: changes for name, changes in states.items() if changes != [(0, alarms.OK)]} == {}
    assert not notified


@pytest.mark.parametrize("kind, name", ALARMS)
def test_the_trouble_sets_off_the_alarm_once_and_its_end_ends_it(kind, name):
    states, notified = lived_through(STACKS[kind], CAUSES[name])
    (start, first), (rise, second), (fall, third) = states[name]
    assert (start, first, second, third) == (0, alarms.OK, alarms.ALARM, alarms.OK)
    assert rise in TROUBLE
    assert fall >= TROUBLE.stop
    # One crossing of one threshold wakes somebody exactly once, over all alarms of the stack.
    assert notified.total() == 1 + len(CAUSES[name].also)
    assert set(CAUSES[name].also) <= notified.keys()


@pytest.mark.parametrize("kind, name", ALARMS)
def test_the_alarm_or_a_composite_alarm_above_it_notifies(kind, name):
    found = described(STACKS[kind])
    above = [
        each for each in found.values() if isinstance(each, alarms.CompositeAlarm) and found[name].name in each.members
    ]
    assert found[name].actions or any(each.actions for each in above)
