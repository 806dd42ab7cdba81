"""The cases of Anthropic's clients."""

from typing import Any

import cases

TOOL: dict[str, Any] = {"name": "find", "description": "Finds.", "input_schema": {"type": "object", "properties": {}}}


def run(client: Any) -> None:
    def request(model: str, text: str, max_tokens: int, **more: Any) -> dict[str, Any]:
        return {"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}], **more}

    def ask(**case):
        return client.messages.create(**request(**case)).content[0].text

    def stream(**case):
        with client.messages.stream(**request(**case)) as events:
            yield from events.text_stream

    def tool(**case):
        """Lets the model ask for a tool in a stream, and sends the result back."""
        asked = request(**case, tools=[TOOL])
        with client.messages.stream(**asked) as events:
            first = events.get_final_message()
        use = first.content[-1]
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "a needle"}
        more = [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        last = client.messages.create(**{**asked, "messages": [*asked["messages"], *more]})
        usage = {
            "first": first.usage.output_tokens,
            "input_tokens": first.usage.input_tokens,
            "last": last.usage.output_tokens,
        }
        return {"said": use.name, "input": use.input, "stopped": [first.stop_reason, last.stop_reason], **usage}

    cases.run(ask, stream, tool=tool)
