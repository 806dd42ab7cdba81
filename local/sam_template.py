"""Reads `template.yaml` and makes it deployable on the local AWS.

The template in the repository does not change. A copy in memory is changed: resources that the engine does not support
are removed, together with the resources that depend on them. Each gets a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

Template = dict[str, Any]

SERVERLESS_FUNCTION = "AWS::Serverless::Function"
SERVERLESS_STATE_MACHINE = "AWS::Serverless::StateMachine"
# A placeholder of DefinitionSubstitutions. JSONata's own `${"key": …}` does not match.
PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
SUB_REFERENCE = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.[A-Za-z0-9_.]+)?\}")
# Without these resource types there is nothing to test. Their removal is an error, not a note.
ESSENTIAL = (SERVERLESS_FUNCTION, SERVERLESS_STATE_MACHINE)


class TemplateError(Exception):
    """The template cannot be deployed. The message names the place of the error."""


def load(path: Path) -> Template:
    """The template as plain data. Short tags (`!Ref`) are expanded to functions."""
    parsed = yaml_parse(path.read_text(encoding="utf-8"))
    if not isinstance(parsed, dict) or not isinstance(parsed.get("Resources"), dict):
        raise TemplateError(f"{path} has no Resources")
    return parsed


def of_type(template: Template, resource_type: str) -> dict[str, dict[str, Any]]:
    """The resources of one type, by logical id."""
    return {name: body for name, body in template["Resources"].items() if body.get("Type") == resource_type}


def check_substitutions(name: str, definition: str, substitutions: dict[str, Any]) -> None:
    """Checks that every placeholder of a definition has a substitution, and that every substitution has a placeholder."""
    used = set(PLACEHOLDER.findall(definition))
    missing, unused = used - set(substitutions), set(substitutions) - used
    if missing:
        raise TemplateError(f"{name}: no DefinitionSubstitutions for {', '.join(sorted(missing))}")
    if unused:
        raise TemplateError(f"{name}: DefinitionSubstitutions not used by the definition: {', '.join(sorted(unused))}")


def references(node: Any) -> set[str]:
    """The logical ids that `node` refers to by Ref, Fn::GetAtt or Fn::Sub."""
    if isinstance(node, list):
        return set().union(*map(references, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    found: set[str] = set()
    for key, value in node.items():
        found |= _function_references(key, value)
        found |= references(value)
    return found


def _function_references(key: str, value: Any) -> set[str]:
    if key == "Ref" and isinstance(value, str):
        return {value}
    if key == "Fn::GetAtt":
        return {value.split(".")[0]} if isinstance(value, str) else {str(value[0])}
    if key == "Fn::Sub":
        text = value if isinstance(value, str) else str(value[0])
        return set(SUB_REFERENCE.findall(text))
    return set()


class Conditions:
    """Evaluates the template's conditions under given parameters. All other parameters have their defaults."""

    def __init__(self, template: Template, parameters: dict[str, str]) -> None:
        defaults = {name: str(each.get("Default", "")) for name, each in template.get("Parameters", {}).items()}
        self._parameters = defaults | parameters
        self._conditions: dict[str, Any] = template.get("Conditions", {})

    def holds(self, name: str) -> bool:
        """True if the condition holds. A condition that cannot be evaluated counts as true."""
        return bool(self._value(self._conditions.get(name, True)))

    def _value(self, node: Any) -> Any:
        if not isinstance(node, dict) or len(node) != 1:
            return node
        ((kind, content),) = node.items()
        if kind in ("Ref", "Condition"):
            return self._parameters.get(content, node) if kind == "Ref" else self.holds(content)
        if kind == "Fn::Not":
            return not self._value(content[0])
        if kind in ("Fn::And", "Fn::Or"):
            return (all if kind == "Fn::And" else any)(self._value(each) for each in content)
        if kind == "Fn::Equals":
            left, right = map(self._value, content)
            return str(left) == str(right)
        return node


def unsupported_reason(body: dict[str, Any], is_supported: Callable[[str], bool]) -> str | None:
    """The reason why the engine does not support this resource, or None."""
    resource_type = str(body.get("Type"))
    if resource_type.startswith(("AWS::Serverless::", "Custom::")):
        return None
    if not is_supported(resource_type):
        return f"the engine has no {resource_type}"
    if resource_type == "AWS::CloudWatch::Alarm" and "Metrics" in body.get("Properties", {}):
        return "the engine has no alarms on metric math"
    if resource_type == "AWS::CloudFormation::Stack":
        return "the local AWS deploys no nested templates"
    return None


def drop_unsupported(
    template: Template, is_supported: Callable[[str], bool], parameters: dict[str, str] | None = None
) -> list[str]:
    """Removes resources that the engine does not support, and resources that refer to them. Returns a note for each
    that the stack would have under these parameters.

    # Raises
    TemplateError, if a function or a state machine would be removed.
    """
    resources: dict[str, Any] = template["Resources"]
    reasons = {name: reason for name, body in resources.items() if (reason := unsupported_reason(body, is_supported))}
    conditions = Conditions(template, parameters or {})
    notes: list[str] = []
    while reasons:
        name, reason = reasons.popitem()
        body = resources.pop(name)
        if body["Type"] in ESSENTIAL:
            raise TemplateError(f"{name} cannot be deployed on the local AWS: {reason}")
        if "Condition" not in body or conditions.holds(body["Condition"]):
            notes.append(f"{name} ({body['Type']}): {reason}")
        for other, other_body in resources.items():
            _forget_dependency(other_body, name)
            if other not in reasons and name in references(other_body):
                reasons[other] = f"it refers to {name}"
        notes += _drop_outputs(template, name)
    return notes + _strip_aliases(template)


def _forget_dependency(body: dict[str, Any], name: str) -> None:
    depends = body.get("DependsOn")
    if depends == name:
        del body["DependsOn"]
    elif isinstance(depends, list) and name in depends:
        depends.remove(name)


def _drop_outputs(template: Template, name: str) -> list[str]:
    outputs: dict[str, Any] = template.get("Outputs", {})
    gone = [output for output, body in outputs.items() if name in references(body)]
    for output in gone:
        del outputs[output]
    return [f"output {output}: it refers to {name}" for output in gone]


def _strip_aliases(template: Template) -> list[str]:
    notes = []
    for name, body in of_type(template, SERVERLESS_STATE_MACHINE).items():
        for key in ("AutoPublishAlias", "DeploymentPreference", "UseAliasAsEventTarget"):
            if body["Properties"].pop(key, None) is not None:
                notes.append(f"{name}: {key}, the engine has no versions of state machines")
    return notes
