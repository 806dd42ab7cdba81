"""Reads the cost settings in template.yaml: memory, log format, batching, and tracing, with the defaults of its
parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sam_template as templates

BATCH_SIZE, BATCH_SECONDS = "BatchSize", "MaximumBatchingWindowInSeconds"


@dataclass(frozen=True)
class Deployed:
    """The settings of the template under given parameters: memory in MB by logical id, and the batching of the metrics
    queue.
    """

    memory_mb: dict[str, int]
    system_log: dict[str, bool]
    batch_size: int
    batch_seconds: int
    usage_cache_seconds: int
    traced: bool


class Values:
    """Evaluates the template's parameters and conditions under given values."""

    def __init__(self, template: templates.Template, parameters: dict[str, str]) -> None:
        defaults = {name: str(each.get("Default", "")) for name, each in template.get("Parameters", {}).items()}
        self._parameters = defaults | parameters
        self._conditions: dict[str, Any] = template.get("Conditions", {})

    def of(self, node: Any) -> Any:
        """Evaluates `node` if it is a reference to a parameter, `Fn::If`, or `Fn::Equals`. Returns any other node
        unchanged.
        """
        if not isinstance(node, dict) or len(node) != 1:
            return node
        ((kind, content),) = node.items()
        if kind == "Ref":
            return self._parameters.get(content, node)
        if kind == "Fn::If":
            name, yes, no = content
            return self.of(yes if self.of(self._conditions[name]) else no)
        if kind == "Fn::Equals":
            left, right = map(self.of, content)
            return str(left) == str(right)
        return node


def deployed(template: templates.Template, parameters: dict[str, str]) -> Deployed:
    """The settings that determine the cost under `parameters`. All other parameters have their defaults."""
    values = Values(template, parameters)
    common = template["Globals"]["Function"]
    functions = templates.of_type(template, templates.SERVERLESS_FUNCTION)

    def setting(body: dict[str, Any], name: str) -> Any:
        return values.of(body["Properties"].get(name, common.get(name)))

    def logs_platform_events(body: dict[str, Any]) -> bool:
        logging = common.get("LoggingConfig", {}) | body["Properties"].get("LoggingConfig", {})
        return bool(values.of(logging.get("SystemLogLevel", "INFO")) != "WARN")

    (queue,) = [
        event["Properties"]
        for body in functions.values()
        for event in body["Properties"].get("Events", {}).values()
        if event["Type"] == "SQS"
    ]
    machine = template["Resources"]["RateLimiter"]["Properties"]
    return Deployed(
        memory_mb={name: int(setting(body, "MemorySize")) for name, body in functions.items()},
        system_log={name: logs_platform_events(body) for name, body in functions.items()},
        batch_size=int(values.of(queue[BATCH_SIZE])),
        batch_seconds=int(values.of(queue[BATCH_SECONDS])),
        usage_cache_seconds=int(values.of({"Ref": "UsageCacheSeconds"})),
        traced=bool(values.of(machine["Tracing"]["Enabled"])),
    )
