"""The client of the demo: sends requests, compares the answers, and collects them for the report."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import report
from demo_stack import MAX_PARALLEL, Expect, Stack, Unexpected
from demo_terminal import Terminal


class Demo:
    """The state of a demo: the stack, the output, the current step, and the answers so far."""

    def __init__(self, stack: Stack, terminal: Terminal) -> None:
        self.stack = stack
        self.terminal = terminal
        self.entries: list[report.Entry] = []
        self.step = "the start"

    def request(self, title: str, body: dict[str, Any], expect: Expect) -> dict[str, Any]:
        """Sends one request, prints it, adds the answer to the report, and compares it with the expectation."""
        number = len(self.entries) + 1
        self.step = f"{number}. {title}"
        self.terminal.request(number, title, body)
        entry, answer, problems = self._entry(number, title, self.stack.ask(body), expect)
        self.terminal.answer(entry)
        if problems:
            raise Unexpected("; ".join(problems))
        return answer

    def requests_at_once(self, title: str, bodies: list[dict[str, Any]]) -> list[report.Entry]:
        """Sends many requests at the same time. The caller checks their answers."""
        self.step = title
        with ThreadPoolExecutor(MAX_PARALLEL) as pool:
            executions = list(pool.map(self.stack.ask, bodies))
        first = len(self.entries) + 1
        titles = (f"Burst, {place} of {len(bodies)}" for place in range(1, len(bodies) + 1))
        return [self._entry(first + place, each, executions[place], None)[0] for place, each in enumerate(titles)]

    def _entry(
        self, number: int, title: str, execution: dict[str, Any], expect: Expect | None
    ) -> tuple[report.Entry, dict[str, Any], list[str]]:
        """Adds the answer of an execution to the report, and compares it with the expectation."""
        if execution["status"] != "SUCCEEDED":
            what = f"{execution.get('error', 'no error name')}: {execution.get('cause', 'no cause')}"
            raise Unexpected(
                f"expected an answer document, but the execution ended {execution['status']} ({what[:300]})"
            )
        answer = json.loads(execution["output"])
        problems = expect.problems(answer) if expect else []
        entry = report.Entry.of(number, title, answer, execution["startDate"], execution["stopDate"], not problems)
        self.entries.append(entry)
        return entry, answer, problems
