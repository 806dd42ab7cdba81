"""LangChain's ChatBedrock, which calls `invoke`."""

import cases
from langchain_aws import ChatBedrock


def chat(model, max_tokens):
    return ChatBedrock(model=model, provider="anthropic", max_tokens=max_tokens, beta_use_converse_api=False)


def ask(model, text, max_tokens):
    return chat(model, max_tokens).invoke(text).text


def stream(model, text, max_tokens):
    for chunk in chat(model, max_tokens).stream(text):
        yield chunk.text


def tool(model, text, max_tokens):
    """Binds a tool, and says which one the model asks for, and with how many tokens."""
    find = {"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}}
    answer = chat(model, max_tokens).bind_tools([find]).invoke(text)
    return {"said": answer.tool_calls[0]["name"], "tokens": answer.usage_metadata["output_tokens"]}


cases.run(ask, stream, tool=tool)
