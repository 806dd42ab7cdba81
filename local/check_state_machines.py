"""Checks the state machines of `template.yaml` without deploying them.

There are five checks. Each line of the output is one finding:

- The definition matches the schema of the Amazon States Language in cfn-lint (rule E3601). cfn-lint itself applies this
  rule only to definitions inside the template.
- Every `Next`, `Default`, `Catch` and `StartAt` names a state of the same level, and every state can be reached.
- Every JSONata expression can be parsed.
- `Retry` and `Catch` have only fields of the language, and `States.ALL` is alone and last.
- Every placeholder has a substitution in the template, and every substitution has a placeholder. Every state has a
  Comment. The name of a Choice state ends in a question mark, and no other name does.

The exit code is 1 if there are findings.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cfnlint.api import ManualArgs, lint
from jsonata import JException, Jsonata

import sam_template as templates

State = dict[str, Any]
RULE = "E3601"
HANDLER_FIELDS = {
    "Retry": {
        "Comment",
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
    },
    "Catch": {"Comment", "ErrorEquals", "Next", "Output", "Assign"},
}
# Replacements of placeholders for the checks: the partition, or any valid ARN.
PARTITION = "Partition"
SUBSTITUTE = "arn:aws:lambda:us-east-1:123456789012:function:placeholder"


def substitute(placeholder: re.Match[str]) -> str:
    """The replacement of a placeholder."""
    return "aws" if placeholder[1] == PARTITION else SUBSTITUTE


def with_literal_times(node: Any) -> Any:
    """The definition with 1 second instead of each expression in `TimeoutSeconds`. JSONata allows an expression there,
    but the schema does not.
    """
    if isinstance(node, dict):
        return {
            key: 1 if key == "TimeoutSeconds" and list(expressions(value)) else with_literal_times(value)
            for key, value in node.items()
        }
    return [with_literal_times(value) for value in node] if isinstance(node, list) else node


def schema_findings(definition: State) -> Iterator[str]:
    """The findings of cfn-lint for the definition, which is checked inside a minimal template."""
    definition = with_literal_times(definition)
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/role", "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": machine}}
    for match in lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"])):
        if match.rule.id.startswith("E"):
            yield f"{match.rule.id} {match.message}"


def levels(machine: State, path: str = "") -> Iterator[tuple[str, State]]:
    """The machine and every machine inside it (branches, item processors), each with a path for messages."""
    yield path, machine
    for name, state in machine.get("States", {}).items():
        inner = [*state.get("Branches", []), *[state[key] for key in ("ItemProcessor", "Iterator") if key in state]]
        for number, branch in enumerate(inner):
            yield from levels(branch, f"{path}{name}[{number}] > ")


def targets(state: State) -> Iterator[str]:
    """The possible next states of a state."""
    for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        if "Next" in holder:
            yield holder["Next"]
    if "Default" in state:
        yield state["Default"]


def target_findings(path: str, machine: State) -> Iterator[str]:
    """Finds targets that do not exist, and states that cannot be reached."""
    states: dict[str, State] = machine.get("States", {})
    reached: set[str] = set()
    waiting = [machine.get("StartAt", "")]
    while waiting:
        name = waiting.pop()
        if name not in states:
            yield f"{path}there is no state {name!r}"
        elif name not in reached:
            reached.add(name)
            waiting += targets(states[name])
    for name in sorted(states.keys() - reached):
        yield f"{path}{name}: nothing leads here"


def style_findings(path: str, machine: State) -> Iterator[str]:
    """Checks the comments and the names of states."""
    for name, state in machine.get("States", {}).items():
        if not state.get("Comment"):
            yield f"{path}{name}: no Comment"
        if (state.get("Type") == "Choice") != name.endswith("?"):
            yield f"{path}{name}: the names of choices, and of nothing else, end in a question mark"


def handler_findings(path: str, machine: State) -> Iterator[str]:
    """Checks the fields of retriers and catchers, which the schema does not restrict."""
    for name, state in machine.get("States", {}).items():
        for kind, known in HANDLER_FIELDS.items():
            handlers = state.get(kind, [])
            for number, handler in enumerate(handlers):
                for field in sorted(handler.keys() - known):
                    yield f"{path}{name}: {kind}[{number}] has the unknown field {field}"
                errors = handler.get("ErrorEquals", [])
                if not errors:
                    yield f"{path}{name}: {kind}[{number}] has no ErrorEquals"
                if "States.ALL" in errors and (len(errors) > 1 or number + 1 < len(handlers)):
                    yield f"{path}{name}: {kind}[{number}]: States.ALL must stand alone and last"


def expressions(node: Any) -> Iterator[str]:
    """Every JSONata expression in the definition."""
    if isinstance(node, str) and node.startswith("{%") and node.endswith("%}"):
        yield node[2:-2].strip()
    elif isinstance(node, dict):
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def expression_findings(machine: State) -> Iterator[str]:
    """Finds expressions that are not valid JSONata."""
    for expression in expressions(machine):
        try:
            Jsonata(expression)
        except JException as error:
            yield f"not JSONata: {expression}: {error}"


def findings(text: str, substitutions: dict[str, Any]) -> Iterator[str]:
    """All findings for one definition."""
    try:
        templates.check_substitutions("placeholders", text, substitutions)
        machine = json.loads(templates.PLACEHOLDER.sub(substitute, text))
    except (templates.TemplateError, json.JSONDecodeError) as error:
        yield str(error)
        return
    yield from schema_findings(machine)
    yield from expression_findings(machine)
    for path, level in levels(machine):
        yield from target_findings(path, level)
        yield from handler_findings(path, level)
        yield from style_findings(path, level)


def main() -> int:
    """Checks every state machine of the template that the command line names."""
    path = Path(sys.argv[1])
    machines = templates.of_type(templates.load(path), templates.SERVERLESS_STATE_MACHINE)
    found = [] if machines else [f"{path}: no state machines"]
    for name, body in machines.items():
        properties = body["Properties"]
        file = path.parent / properties["DefinitionUri"]
        lines = findings(file.read_text(encoding="utf-8"), properties.get("DefinitionSubstitutions", {}))
        found += [f"{name} ({file.name}): {line}" for line in lines]
    print("\n".join(found) or f"{len(machines)} state machines, nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
