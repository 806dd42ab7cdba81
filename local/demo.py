#!/usr/bin/env python3
"""The demo of the cost sentry, which tells a story with real requests.

The demo is a client that knows only the public contract. It finds the stack by its outputs, edits the limits table as
an admin would, sends documents through StartSyncExecution, and reads the answers. Every step has an expected outcome.
The program stops with exit code 1 at the first step with another outcome. It always writes an HTML report of the
answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

sys.dont_write_bytecode = True  # The source folder must stay clean, because the other modules are loaded from it.

from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

import demo_budgets  # noqa: E402
import demo_models  # noqa: E402
import report  # noqa: E402
from demo_stack import MAX_PARALLEL, Expect, Stack, Unexpected, document  # noqa: E402
from demo_terminal import Terminal  # noqa: E402

# Time limit for Bedrock's metrics to reach CloudWatch. The demo's simulator needs about a second.
METRICS_PATIENCE_SECONDS = 90

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
LLAMA = "us.meta.llama4-scout-17b-instruct-v1:0"
NOVA_LITE = "us.amazon.nova-lite-v1:0"
NOVA_MICRO = "us.amazon.nova-micro-v1:0"
PROFILE_NAME = "research-assistant"


class Demo:
    """The story: the changes of the admin, the requests, and the expected answers."""

    def __init__(self, stack: Stack, terminal: Terminal) -> None:
        self.stack = stack
        self.terminal = terminal
        self.entries: list[report.Entry] = []
        self.step = "the start"

    def tell(self) -> None:
        """Runs the whole story in its order."""
        profile_arn = self.admin_prepares()
        first = self.approved(profile_arn)
        self.denied()
        self.failing()
        self.invalid()
        demo_models.families(self)
        demo_budgets.several_budgets(self)
        demo_budgets.same_request_twice(self)
        demo_budgets.burst(self)
        demo_models.degrading(self)
        self.counted(first)

    def admin_prepares(self) -> str:
        self.step = "The admin sets the limits"
        profile_arn = self.stack.profile_arn(PROFILE_NAME, NOVA_LITE.removeprefix("us."))
        limits = {
            HAIKU: {"input": 1_000_000, "output": 250_000},
            NOVA_LITE: {"input": 2_000_000, "output": 500_000},
            NOVA_MICRO: {"input": 500_000, "output": 200_000},
            profile_arn.rsplit("/", 1)[-1]: {"input": 300_000, "output": 100_000},
            "default": {"input": 100_000, "output": 50_000},
        }
        for key, limit in limits.items():
            self.stack.set_limit(key, limit)
        for model in (SONNET, LLAMA):
            self.stack.remove_limit(model)
        note = f"tokens a month, in the table {self.stack.limits_table}; the fourth is a team's own inference profile"
        self.terminal.admin(self.step, note, limits)

        self.step = "Tokens already used this month"
        used = {
            HAIKU: {"input": 412_600, "output": 88_300},
            NOVA_LITE: {"input": 1_320_000, "output": 411_000},
            NOVA_MICRO: {"input": 512_400, "output": 96_000},
            SONNET: {"input": 64_000, "output": 51_200},
        }
        for model, usage in used.items():
            self.stack.raise_usage_to(model, usage)
        self.terminal.admin(
            self.step, "in CloudWatch, as Bedrock publishes them", {m: self.stack.month_usage(m) for m in used}
        )
        return profile_arn

    def approved(self, profile_arn: str) -> dict:
        self.terminal.chapter("Approved")
        first = self.request(
            "Claude Haiku 4.5, by its alias",
            document(
                "claude-haiku-4-5",
                "Explain the benefits of S3 in 100 words.",
                "helpdesk",
                "support",
                system="You are an AWS expert.",
            ),
            Expect("Succeeded", 200, source="model", metric=HAIKU),
        )
        self.request(
            "Amazon Nova Lite, another family",
            document("nova-lite", "Name three uses of a queue.", "paper-search", "research"),
            Expect("Succeeded", 200, source="model", metric=NOVA_LITE),
        )
        self.request(
            "Llama 4 Scout, which has no item: the default decides",
            document("llama-4-scout", "Write a haiku about budgets.", "newsletter", "marketing", environment="staging"),
            Expect("Succeeded", 200, source="default", metric=LLAMA),
        )
        self.request(
            "A team's own inference profile, by its ARN",
            document(profile_arn, "Summarise the CAP theorem.", "paper-search", "research"),
            Expect("Succeeded", 200, source="model", metric=profile_arn.rsplit("/", 1)[-1]),
        )
        return first

    def denied(self) -> None:
        self.terminal.chapter("Denied, and a limit raised live")
        banner = document("nova-micro", "Draft a banner for the sale.", "shop-banners", "marketing")
        exceeded = Expect("Denied", 429, code="BudgetExceeded", source="model", metric=NOVA_MICRO)
        self.request("Nova Micro has used up its own limit", banner, exceeded)

        self.step = "The admin raises Nova Micro's limit"
        raised = {"input": 1_500_000, "output": 600_000}
        self.stack.set_limit(NOVA_MICRO, raised)
        self.terminal.admin(self.step, "one edited item, no deployment", {NOVA_MICRO: raised})

        approved = Expect("Succeeded", 200, source="model", metric=NOVA_MICRO)
        self.request("The same request, after the raise", banner, approved)
        self.request(
            "Claude Sonnet 4.5 has used up the default limit",
            document("claude-sonnet-4-5", "Review this contract.", "helpdesk", "support"),
            Expect("Denied", 429, code="BudgetExceeded", source="default", metric=SONNET),
        )

    def failing(self) -> None:
        self.terminal.chapter("Approved, but the model fails")
        self.request(
            "Bedrock throttles, also after the retries",
            document("nova-lite", "Hello! [[sim fault=throttling]]", "paper-search", "research"),
            Expect("InvocationFailed", 429, code="ModelThrottled", source="model"),
        )
        self.request(
            "The model ends with an error",
            document(
                "claude-haiku-4-5", "Hello! [[sim fault=model-error]]", "helpdesk", "support", environment="staging"
            ),
            Expect("InvocationFailed", 502, code="ModelError", source="model"),
        )

    def invalid(self) -> None:
        self.terminal.chapter("Invalid: nothing is counted, nothing is spent")
        misspelt = document("nova-lite", "Tell me a joke.", "helpdesk", "support")
        misspelt["prompt"]["parameters"]["temprature"] = 0.2
        path = "prompt.parameters.temprature"
        self.request("A misspelt parameter", misspelt, Expect("Invalid", 400, code="InvalidRequest", path=path))
        self.request(
            "A model nobody knows",
            document("claude-99", "Who are you?", "helpdesk", "support"),
            Expect("Invalid", 400, code="UnknownModel"),
        )
        robot = document("nova-lite", "Beep?", "helpdesk", "support")
        robot["prompt"]["messages"][0]["role"] = "robot"
        path = "prompt.messages[0].role"
        self.request("A role that does not exist", robot, Expect("Invalid", 400, code="InvalidRequest", path=path))

    def counted(self, first: dict) -> None:
        self.terminal.chapter("The budget remembers")
        self.step = "The first answer's tokens reach CloudWatch"
        budget, usage = first["budget"][0], first["usage"]
        read = sum(usage.get(name, 0) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"))
        least = {"input": budget["input"]["used"] + read, "output": budget["output"]["used"] + usage["outputTokens"]}
        deadline = time.monotonic() + METRICS_PATIENCE_SECONDS
        usage_now = self.stack.month_usage(HAIKU)
        while any(usage_now[direction] < least[direction] for direction in least):
            if time.monotonic() > deadline:
                raise Unexpected(
                    f"not within {METRICS_PATIENCE_SECONDS} seconds: {usage_now}, expected at least {least}"
                )
            time.sleep(0.5)
            usage_now = self.stack.month_usage(HAIKU)
        self.terminal.admin(self.step, "month to date, as Bedrock published them", {HAIKU: usage_now})
        self.request(
            "Claude Haiku 4.5 again, with the first answer counted",
            document("claude-haiku-4-5", "And of S3 Glacier?", "helpdesk", "support"),
            Expect("Succeeded", 200, source="model", metric=HAIKU, used_at_least=least),
        )

    def request(self, title: str, body: dict, expect: Expect) -> dict:
        """Sends one request, prints it, adds the answer to the report, and compares it with the expectation."""
        number = len(self.entries) + 1
        self.step = f"{number}. {title}"
        self.terminal.request(number, title, body)
        entry, answer, problems = self._entry(number, title, self.stack.ask(body), expect)
        self.terminal.answer(entry)
        if problems:
            raise Unexpected("; ".join(problems))
        return answer

    def requests_at_once(self, title: str, bodies: list[dict]) -> list[report.Entry]:
        """Sends many requests at the same time. The caller checks their answers."""
        self.step = title
        with ThreadPoolExecutor(MAX_PARALLEL) as pool:
            executions = list(pool.map(self.stack.ask, bodies))
        first = len(self.entries) + 1
        titles = (f"Burst, {place} of {len(bodies)}" for place in range(1, len(bodies) + 1))
        return [self._entry(first + place, each, executions[place], None)[0] for place, each in enumerate(titles)]

    def _entry(
        self, number: int, title: str, execution: dict, expect: Expect | None
    ) -> tuple[report.Entry, dict, list[str]]:
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


def main() -> int:
    parser = argparse.ArgumentParser(description="Tells the cost sentry's story with real requests to a local stack.")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the local AWS")
    parser.add_argument("--stack-name", required=True, metavar="NAME")
    parser.add_argument(
        "--bedrock-endpoint", required=True, metavar="URL", help="the simulated Bedrock, control plane included"
    )
    parser.add_argument("--report", required=True, metavar="PATH", type=Path, help="where the HTML report goes")
    arguments = parser.parse_args()

    terminal = Terminal(sys.stdout)
    terminal.title("Cost sentry", f"stack {arguments.stack_name} at {arguments.endpoint}")
    demo, failure = None, None
    try:
        demo = Demo(Stack(arguments.endpoint, arguments.stack_name, arguments.bedrock_endpoint), terminal)
        demo.tell()
    except Unexpected as problem:
        failure = f"step “{demo.step}” did not turn out as expected: {problem}"
    except (BotoCoreError, ClientError) as problem:
        failure = f"step “{demo.step if demo else 'finding the stack'}” could not be carried out: {problem}"
    except KeyError as missing:
        where = demo.step if demo else "finding the stack"
        failure = f"step “{where}”: {missing} is missing in the answer or in the stack's outputs"
    except KeyboardInterrupt:
        failure = f"interrupted at step “{demo.step if demo else 'finding the stack'}”"

    entries = demo.entries if demo else []
    if entries:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        page = report.render(entries, arguments.stack_name, datetime.now(timezone.utc), failure)
        arguments.report.write_text(page, encoding="utf-8")
        terminal.summary(entries)
    terminal.end(failure, arguments.report.resolve() if entries else None)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
