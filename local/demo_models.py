"""The demo's chapters about models: every family in one format, tools, and a cheaper answer instead of a denial."""

from __future__ import annotations

from demo_client import Demo
from demo_stack import Expect, document

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
WEATHER = {
    "toolSpec": {
        "name": "weather",
        "description": "The weather of a city now",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    }
}
STUDENTS = {"output": 300}
SPENT = {"output": 50_000}


def families(demo: Demo) -> None:
    """All models use one format. A request that a model does not support is refused before it is sent, and the refusal
    names the feature.
    """
    demo.terminal.chapter("Every family in one format")
    for title, model in (
        ("Meta Llama 3.3", "llama-3-3-70b"),
        ("OpenAI gpt-oss", "gpt-oss-120b"),
        ("Mistral Large 3", "mistral-large-3"),
    ):
        demo.request(
            f"{title}: the same document",
            document(model, "Name three uses of a queue.", "paper-search", "research"),
            Expect("Succeeded", 200),
        )
    weather = document("claude-haiku-4-5", "Is it raining in Paris? [[sim tool=weather]]", "travel", "research")
    weather["prompt"]["tools"] = [WEATHER]
    demo.request("Claude asks for a tool", weather, Expect("Succeeded", 200, stop_reason="tool_use"))
    choosy = document("qwen3-32b", "Pick a number.", "paper-search", "research")
    choosy["prompt"]["parameters"]["top_k"] = 5
    demo.request(
        "Qwen has no top_k: refused by name, nothing held", choosy, Expect("Invalid", 400, code="InvalidRequest")
    )
    retired = document("claude-3-7-sonnet", "Are you there?", "helpdesk", "support")
    demo.request("A retired model says what to use instead", retired, Expect("Invalid", 400, code="UnknownModel"))


def degrading(demo: Demo) -> None:
    """A limit can allow a shorter answer, or an answer of a cheaper model, instead of a denial."""
    demo.terminal.chapter("Degraded instead of denied")
    demo.step = "The admin lets two limits degrade"
    demo.stack.set_limit("costCenter#students", STUDENTS, window="day", when_exceeded=["clamp"])
    demo.stack.set_limit(SONNET, SPENT, when_exceeded=["fallback"])
    note = "shorter answers for a cost center, a cheaper model when Claude Sonnet 4.5's budget is spent"
    demo.terminal.admin(demo.step, note, {"costCenter#students": STUDENTS, SONNET: SPENT})
    demo.request(
        "2,000 tokens asked for, 300 left",
        document(
            "claude-haiku-4-5", "Write an essay. [[sim wanted-tokens=2000]]", "homework", "students", max_tokens=2_000
        ),
        Expect("Succeeded", 200, degraded_to=STUDENTS["output"], stop_reason="max_tokens"),
    )
    demo.request(
        "Claude Sonnet 4.5's budget is spent: Haiku answers",
        document("claude-sonnet-4-5", "Review this contract.", "helpdesk", "support"),
        Expect("Succeeded", 200, metric=HAIKU, degraded_to=HAIKU),
    )
