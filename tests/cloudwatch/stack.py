"""Resolves the intrinsic functions of a template, as CloudFormation does when it creates a stack.

Source: AWS CloudFormation Template Reference, "Intrinsic functions". What a resource returns for Ref and Fn::GetAtt is made up, but
always the same for the same resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .refused import Refused

SUB_PART = re.compile(r"\$\{(!?)([^}]+)\}")
# The resource types whose Ref is the name that a property can set.
NAMES = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Serverless::Function": "FunctionName",
}
REGION, ACCOUNT = "us-east-1", "123456789012"


class _NoValue:
    """Marks AWS::NoValue, which removes a property or an element of a list."""


NO_VALUE = _NoValue()


class Stack:
    """A stack of a template. `parameters` replace the defaults."""

    def __init__(
        self, template: dict[str, Any], parameters: Mapping[str, Any] | None = None, name: str = "sentry"
    ) -> None:
        self.template, self.name = template, name
        declared = template.get("Parameters", {})
        if unknown := set(parameters or {}) - set(declared):
            raise Refused(f"the template has no parameters {sorted(unknown)}")
        self.parameters: dict[str, Any] = {key: body.get("Default") for key, body in declared.items()}
        self.parameters.update(parameters or {})
        self.pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": NO_VALUE,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::StackName": name,
            "AWS::URLSuffix": "amazonaws.com",
        }

    def resources(self, *kinds: str) -> dict[str, dict[str, Any]]:
        """The resolved properties of the resources of these types that the stack has, by logical id."""
        return {
            logical: self.resolve(body.get("Properties", {}))
            for logical, body in self.template["Resources"].items()
            if body["Type"] in kinds and self.has(logical)
        }

    def has(self, logical: str) -> bool:
        """True if the condition of a resource holds."""
        body = self.template["Resources"].get(logical)
        if body is None:
            return False
        return "Condition" not in body or self.condition(body["Condition"])

    def condition(self, name: str) -> bool:
        return bool(self.resolve(self.template["Conditions"][name]))

    def ref(self, logical: str) -> Any:
        """Returns the value of Ref."""
        if logical in self.pseudo:
            return self.pseudo[logical]
        if logical in self.parameters:
            return self.parameters[logical]
        if not self.has(logical):
            raise Refused(f"the stack has no {logical}")
        body = self.template["Resources"][logical]
        own = body.get("Properties", {}).get(NAMES.get(body["Type"], ""))
        if own is not None:
            return self.resolve(own)
        if "Topic" in body["Type"] or "StateMachine" in body["Type"]:
            return self._arn(logical)
        return f"{self.name}-{logical}"

    def attribute(self, logical: str, attribute: str) -> str:
        """Returns the value of Fn::GetAtt."""
        if not self.has(logical):
            raise Refused(f"the stack has no {logical}")
        return self._arn(logical) if attribute.endswith("Arn") else f"{self.name}-{logical}"

    def _arn(self, logical: str) -> str:
        service = self.template["Resources"][logical]["Type"].split("::")[1].lower()
        kind = "alarm:" if "Alarm" in self.template["Resources"][logical]["Type"] else ""
        return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{kind}{self.name}-{logical}"

    def resolve(self, node: Any) -> Any:
        """A part of the template without intrinsic functions."""
        if isinstance(node, list):
            return [value for value in map(self.resolve, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((key, value),) = node.items()
            if key == "Ref":
                return self.ref(value)
            if key == "Condition" and isinstance(value, str):
                return self.condition(value)
            if key.startswith("Fn::"):
                return self._function(key, value)
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NO_VALUE}

    def _function(self, key: str, value: Any) -> Any:
        if key == "Fn::GetAtt":
            logical, attribute = value.split(".", 1) if isinstance(value, str) else value
            return self.attribute(logical, attribute)
        if key == "Fn::Sub":
            return self._sub(value)
        if key == "Fn::If":
            return self.resolve(value[1] if self.condition(value[0]) else value[2])
        arguments = self.resolve(value)
        if key == "Fn::Equals":
            return str(arguments[0]) == str(arguments[1])
        if key == "Fn::Not":
            return not arguments[0]
        if key == "Fn::And":
            return all(arguments)
        if key == "Fn::Or":
            return any(arguments)
        if key == "Fn::Join":
            return str(arguments[0]).join(str(part) for part in arguments[1])
        if key == "Fn::Split":
            return str(arguments[1]).split(arguments[0])
        if key == "Fn::Select":
            return arguments[1][int(arguments[0])]
        raise Refused(f"{key} is not known")

    def _sub(self, value: Any) -> str:
        text, variables = (value, {}) if isinstance(value, str) else value

        def part(match: re.Match[str]) -> str:
            if match[1]:
                return f"${{{match[2]}}}"
            if match[2] in variables:
                return str(self.resolve(variables[match[2]]))
            logical, dot, attribute = match[2].partition(".")
            return str(self.attribute(logical, attribute) if dot else self.ref(match[2]))

        return SUB_PART.sub(part, text)
