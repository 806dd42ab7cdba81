"""Strands Agents: an agent with a tool. Its model is always streamed."""

import asyncio

import cases
from strands import Agent, ModelRetryStrategy, tool
from strands.models import BedrockModel

found: list[bool] = []


@tool
def find() -> str:
    """Finds something."""
    found.append(True)
    return "a needle"


def agent(model, max_tokens):
    # An agent repeats a throttled request five times, from four seconds to two minutes later.
    once = ModelRetryStrategy(max_attempts=1)
    bedrock = BedrockModel(model_id=model, max_tokens=max_tokens)
    return Agent(model=bedrock, tools=[find], callback_handler=None, retry_strategy=once)


def ask(model, text, max_tokens):
    return str(agent(model, max_tokens)(text)).strip()


def use_tool(**case):
    found.clear()
    said = ask(**case)
    return {"said": said, "tool": bool(found)}


def stream(model, text, max_tokens):
    events = agent(model, max_tokens).stream_async(text)

    async def following():
        return await anext(events, None)

    with asyncio.Runner() as loop:
        while event := loop.run(following()):
            yield event.get("data", "")


cases.run(ask, stream, tool=use_tool)
