"""The resolver of intrinsic functions that the tests of alarms, dashboards and queries use. Needs no endpoint."""

import pytest

from cloudwatch.refused import Refused
from cloudwatch.stack import Stack

TEMPLATE = {
    "Parameters": {"Topic": {"Default": ""}, "Level": {"Default": "basic"}, "Count": {"Default": 3}},
    "Conditions": {
        "HasTopic": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Topic"}, ""]}]},
        "IsFull": {"Fn::Equals": [{"Ref": "Level"}, "full"]},
        "Both": {"Fn::And": [{"Condition": "HasTopic"}, {"Condition": "IsFull"}]},
        "Either": {"Fn::Or": [{"Condition": "HasTopic"}, {"Condition": "IsFull"}]},
    },
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Group": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": {"Fn::Sub": "/aws/${AWS::StackName}/x"}},
        },
        "Quiet": {"Type": "AWS::CloudWatch::Alarm", "Condition": "IsFull", "Properties": {"AlarmName": "quiet"}},
        "Loud": {"Type": "AWS::CloudWatch::Alarm", "Properties": {}},
    },
}


def resolved(node, **parameters):
    return Stack(TEMPLATE, parameters, name="s").resolve(node)


@pytest.mark.parametrize(
    "node, expected",
    [
        ({"Ref": "Count"}, 3),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "Queue"}, "s-Queue"),
        ({"Ref": "Group"}, "/aws/s/x"),
        ({"Ref": "Loud"}, "s-Loud"),
        ({"Fn::GetAtt": ["Queue", "QueueName"]}, "s-Queue"),
        ({"Fn::GetAtt": "Loud.Arn"}, "arn:aws:cloudwatch:us-east-1:123456789012:alarm:s-Loud"),
        ({"Fn::Sub": "${Queue.QueueName} ${Count} ${!Literal}"}, "s-Queue 3 ${Literal}"),
        ({"Fn::Sub": ["${own}-${Level}", {"own": {"Fn::If": ["IsFull", "a", "b"]}}]}, "b-basic"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Count"}]]}, "a-3"),
        ({"Fn::Select": [1, {"Fn::Split": [",", "a,b"]}]}, "b"),
        ({"A": {"Ref": "AWS::NoValue"}, "B": [{"Ref": "AWS::NoValue"}, 1]}, {"B": [1]}),
        ([{"Fn::If": ["HasTopic", {"Ref": "Topic"}, {"Ref": "AWS::NoValue"}]}], []),
    ],
)
def test_functions(node, expected):
    assert resolved(node) == expected


@pytest.mark.parametrize(
    "topic, level, conditions",
    [
        ("", "basic", (False, False, False, False)),
        ("t", "basic", (True, False, False, True)),
        ("", "full", (False, True, False, True)),
        ("t", "full", (True, True, True, True)),
    ],
)
def test_conditions(topic, level, conditions):
    stack = Stack(TEMPLATE, {"Topic": topic, "Level": level})
    assert tuple(stack.condition(name) for name in ("HasTopic", "IsFull", "Both", "Either")) == conditions


def test_a_stack_has_only_the_resources_whose_condition_holds():
    assert list(Stack(TEMPLATE).resources("AWS::CloudWatch::Alarm")) == ["Loud"]
    assert list(Stack(TEMPLATE, {"Level": "full"}).resources("AWS::CloudWatch::Alarm")) == ["Quiet", "Loud"]


@pytest.mark.parametrize("node", [{"Ref": "Quiet"}, {"Fn::GetAtt": ["Nothing", "Arn"]}, {"Fn::ImportValue": "x"}])
def test_a_name_that_a_stack_does_not_have_is_refused(node):
    with pytest.raises(Refused):
        resolved(node)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(Refused):
        Stack(TEMPLATE, {"Other": 1})
