"""Checks the state machines of `template.yaml` without deploying them.

Five checks, each line of the output one finding:

- the schema of the Amazon States Language, as cfn-lint has it (rule E3601), which cfn-lint itself applies only to definitions
  that are written in the template;
- every `Next`, `Default`, `Catch` and `StartAt` names a state of its own level, and every state can be reached;
- every JSONata expression can be parsed;
- `Retry` and `Catch` have the fields that the language gives them, and `States.ALL` stands alone and last;
- every placeholder has a substitution in the template and the other way round; every state has a Comment, and the name of a
  choice, and of no other state, ends in a question mark.

Exit code 1 if there are findings.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Iterator

from cfnlint.api import ManualArgs, lint
from jsonata import Jsonata, JException

import sam_template as templates

State = dict[str, Any]
RULE = "E3601"
HANDLER_FIELDS = {
    "Retry": {
        "Comment", "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy",
    },
    "Catch": {"Comment", "ErrorEquals", "Next", "Output", "Assign"},
}  # fmt: skip
# What a placeholder becomes for the checks: the partition, or anything that is a valid ARN.
PARTITION = "Partition"
SUBSTITUTE = "arn:aws:lambda:us-east-1:123456789012:function:placeholder"


def substitute(placeholder: re.Match[str]) -> str:
    """What stands in the place of a placeholder."""
    return "aws" if placeholder[1] == PARTITION else SUBSTITUTE


def with_literal_times(node: Any) -> Any:
    """The definition with a second where `TimeoutSeconds` is an expression, as JSONata allows it and the schema does not know."""
    if isinstance(node, dict):
        return {
            key: 1 if key == "TimeoutSeconds" and list(expressions(value)) else with_literal_times(value)
            for key, value in node.items()
        }
    return [with_literal_times(value) for value in node] if isinstance(node, list) else node


def schema_findings(definition: State) -> Iterator[str]:
    """What cfn-lint says about the definition, written into a template of its own."""
    definition = with_literal_times(definition)
    properties = {"RoleArn": "arn:aws:iam::123456789012:role/role", "Definition": definition}
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Machine": machine}}
    for match in lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"])):
        if match.rule.id.startswith("E"):
            yield f"{match.rule.id} {match.message}"


def levels(machine: State, path: str = "") -> Iterator[tuple[str, State]]:
    """The machine and every machine inside it (branches, item processors), with a name for messages."""
    yield path, machine
    for name, state in machine.get("States", {}).items():
        inner = [*state.get("Branches", []), *[state[key] for key in ("ItemProcessor", "Iterator") if key in state]]
        for number, branch in enumerate(inner):
            yield from levels(branch, f"{path}{name}[{number}] > ")


def targets(state: State) -> Iterator[str]:
    """The states that may follow."""
    for holder in [state, *state.get("Choices", []), *state.get("Catch", [])]:
        if "Next" in holder:
            yield holder["Next"]
    if "Default" in state:
        yield state["Default"]


def target_findings(path: str, machine: State) -> Iterator[str]:
    """Targets that do not exist, and states that nothing leads to."""
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
    """Comments and names."""
    for name, state in machine.get("States", {}).items():
        if not state.get("Comment"):
            yield f"{path}{name}: no Comment"
        if (state.get("Type") == "Choice") != name.endswith("?"):
            yield f"{path}{name}: the names of choices, and of nothing else, end in a question mark"


def handler_findings(path: str, machine: State) -> Iterator[str]:
    """Retriers and catchers, whose fields the schema leaves open."""
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
    """Expressions that are not JSONata."""
    for expression in expressions(machine):
        try:
            Jsonata(expression)
        except JException as error:
            yield f"not JSONata: {expression}: {error}"


def findings(text: str, substitutions: dict[str, Any]) -> Iterator[str]:
    """Everything that is wrong with one definition."""
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
    """Checks every state machine of the template named on the command line."""
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
