#!/usr/bin/env python3
"""The demo of the cost sentry, which tells a story with real requests.

The demo is a client that knows only the public contract. It finds the stack by its outputs, edits the limits table as
an admin would, sends documents through StartSyncExecution, and reads the answers. Every step has an expected outcome.
The program stops with exit code 1 at the first step with another outcome. It always writes an HTML report of the
answers.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

import demo_budgets
import demo_models
import report
from demo_client import Demo
from demo_stack import Expect, Stack, Unexpected, document
from demo_terminal import Terminal

# Time limit for Bedrock's metrics to reach CloudWatch. The demo's simulator needs about a second.
METRICS_PATIENCE_SECONDS = 90

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
LLAMA = "us.meta.llama4-scout-17b-instruct-v1:0"
NOVA_LITE = "us.amazon.nova-lite-v1:0"
NOVA_MICRO = "us.amazon.nova-micro-v1:0"
PROFILE_NAME = "research-assistant"


def tell(demo: Demo) -> None:
    """Runs the whole story in its order."""
    profile_arn = admin_prepares(demo)
    first = approved(demo, profile_arn)
    denied(demo)
    failing(demo)
    invalid(demo)
    demo_models.families(demo)
    demo_budgets.several_budgets(demo)
    demo_budgets.same_request_twice(demo)
    demo_budgets.burst(demo)
    demo_models.degrading(demo)
    counted(demo, first)


def admin_prepares(demo: Demo) -> str:
    demo.step = "The admin sets the limits"
    profile_arn = demo.stack.profile_arn(PROFILE_NAME, NOVA_LITE.removeprefix("us."))
    limits = {
        HAIKU: {"input": 1_000_000, "output": 250_000},
        NOVA_LITE: {"input": 2_000_000, "output": 500_000},
        NOVA_MICRO: {"input": 500_000, "output": 200_000},
        profile_arn.rsplit("/", 1)[-1]: {"input": 300_000, "output": 100_000},
        "default": {"input": 100_000, "output": 50_000},
    }
    for key, limit in limits.items():
        demo.stack.set_limit(key, limit)
    for model in (SONNET, LLAMA):
        demo.stack.remove_limit(model)
    note = f"tokens a month, in the table {demo.stack.limits_table}; the fourth is a team's own inference profile"
    demo.terminal.admin(demo.step, note, limits)

    demo.step = "Tokens already used this month"
    used = {
        HAIKU: {"input": 412_600, "output": 88_300},
        NOVA_LITE: {"input": 1_320_000, "output": 411_000},
        NOVA_MICRO: {"input": 512_400, "output": 96_000},
        SONNET: {"input": 64_000, "output": 51_200},
    }
    for model, usage in used.items():
        demo.stack.raise_usage_to(model, usage)
    demo.terminal.admin(
        demo.step, "in CloudWatch, as Bedrock publishes them", {m: demo.stack.month_usage(m) for m in used}
    )
    return profile_arn


def approved(demo: Demo, profile_arn: str) -> dict[str, Any]:
    demo.terminal.chapter("Approved")
    first = demo.request(
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
    demo.request(
        "Amazon Nova Lite, another family",
        document("nova-lite", "Name three uses of a queue.", "paper-search", "research"),
        Expect("Succeeded", 200, source="model", metric=NOVA_LITE),
    )
    demo.request(
        "Llama 4 Scout, which has no item: the default decides",
        document("llama-4-scout", "Write a haiku about budgets.", "newsletter", "marketing", environment="staging"),
        Expect("Succeeded", 200, source="default", metric=LLAMA),
    )
    demo.request(
        "A team's own inference profile, by its ARN",
        document(profile_arn, "Summarise the CAP theorem.", "paper-search", "research"),
        Expect("Succeeded", 200, source="model", metric=profile_arn.rsplit("/", 1)[-1]),
    )
    return first


def denied(demo: Demo) -> None:
    demo.terminal.chapter("Denied, and a limit raised live")
    banner = document("nova-micro", "Draft a banner for the sale.", "shop-banners", "marketing")
    exceeded = Expect("Denied", 429, code="BudgetExceeded", source="model", metric=NOVA_MICRO)
    demo.request("Nova Micro has used up its own limit", banner, exceeded)

    demo.step = "The admin raises Nova Micro's limit"
    raised = {"input": 1_500_000, "output": 600_000}
    demo.stack.set_limit(NOVA_MICRO, raised)
    demo.terminal.admin(demo.step, "one edited item, no deployment", {NOVA_MICRO: raised})

    approved = Expect("Succeeded", 200, source="model", metric=NOVA_MICRO)
    demo.request("The same request, after the raise", banner, approved)
    demo.request(
        "Claude Sonnet 4.5 has used up the default limit",
        document("claude-sonnet-4-5", "Review this contract.", "helpdesk", "support"),
        Expect("Denied", 429, code="BudgetExceeded", source="default", metric=SONNET),
    )


def failing(demo: Demo) -> None:
    demo.terminal.chapter("Approved, but the model fails")
    demo.request(
        "Bedrock throttles, also after the retries",
        document("nova-lite", "Hello! [[sim fault=throttling]]", "paper-search", "research"),
        Expect("InvocationFailed", 429, code="ModelThrottled", source="model"),
    )
    demo.request(
        "The model ends with an error",
        document("claude-haiku-4-5", "Hello! [[sim fault=model-error]]", "helpdesk", "support", environment="staging"),
        Expect("InvocationFailed", 502, code="ModelError", source="model"),
    )


def invalid(demo: Demo) -> None:
    demo.terminal.chapter("Invalid: nothing is counted, nothing is spent")
    misspelt = document("nova-lite", "Tell me a joke.", "helpdesk", "support")
    misspelt["prompt"]["parameters"]["temprature"] = 0.2
    path = "prompt.parameters.temprature"
    demo.request("A misspelt parameter", misspelt, Expect("Invalid", 400, code="InvalidRequest", path=path))
    demo.request(
        "A model nobody knows",
        document("claude-99", "Who are you?", "helpdesk", "support"),
        Expect("Invalid", 400, code="UnknownModel"),
    )
    robot = document("nova-lite", "Beep?", "helpdesk", "support")
    robot["prompt"]["messages"][0]["role"] = "robot"
    path = "prompt.messages[0].role"
    demo.request("A role that does not exist", robot, Expect("Invalid", 400, code="InvalidRequest", path=path))


def counted(demo: Demo, first: dict[str, Any]) -> None:
    demo.terminal.chapter("The budget remembers")
    demo.step = "The first answer's tokens reach CloudWatch"
    budget, usage = first["budget"][0], first["usage"]
    read = sum(usage.get(name, 0) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"))
    least = {"input": budget["input"]["used"] + read, "output": budget["output"]["used"] + usage["outputTokens"]}
    deadline = time.monotonic() + METRICS_PATIENCE_SECONDS
    usage_now = demo.stack.month_usage(HAIKU)
    while any(usage_now[direction] < least[direction] for direction in least):
        if time.monotonic() > deadline:
            raise Unexpected(f"not within {METRICS_PATIENCE_SECONDS} seconds: {usage_now}, expected at least {least}")
        time.sleep(0.5)
        usage_now = demo.stack.month_usage(HAIKU)
    demo.terminal.admin(demo.step, "month to date, as Bedrock published them", {HAIKU: usage_now})
    demo.request(
        "Claude Haiku 4.5 again, with the first answer counted",
        document("claude-haiku-4-5", "And of S3 Glacier?", "helpdesk", "support"),
        Expect("Succeeded", 200, source="model", metric=HAIKU, used_at_least=least),
    )


def step_of(demo: Demo | None) -> str:
    """The step that the demo has reached."""
    return demo.step if demo else "finding the stack"


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
    demo: Demo | None = None
    failure = None
    try:
        demo = Demo(Stack(arguments.endpoint, arguments.stack_name, arguments.bedrock_endpoint), terminal)
        tell(demo)
    except Unexpected as problem:
        failure = f"step “{step_of(demo)}” did not turn out as expected: {problem}"
    except (BotoCoreError, ClientError) as problem:
        failure = f"step “{step_of(demo)}” could not be carried out: {problem}"
    except KeyError as missing:
        failure = f"step “{step_of(demo)}”: {missing} is missing in the answer or in the stack's outputs"
    except KeyboardInterrupt:
        failure = f"interrupted at step “{step_of(demo)}”"

    entries = demo.entries if demo else []
    if entries:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        page = report.render(entries, arguments.stack_name, datetime.now(UTC), failure)
        arguments.report.write_text(page, encoding="utf-8")
        terminal.summary(entries)
    terminal.end(failure, arguments.report.resolve() if entries else None)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
