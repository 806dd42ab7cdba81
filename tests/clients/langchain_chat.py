"""LangChain's ChatBedrockConverse."""

import cases
from langchain_aws import ChatBedrockConverse


def chat(model, max_tokens):
    return ChatBedrockConverse(model=model, max_tokens=max_tokens)


def ask(model, text, max_tokens):
    return chat(model, max_tokens).invoke(text).text


def stream(model, text, max_tokens):
    for chunk in chat(model, max_tokens).stream(text):
        yield chunk.text


def tool(model, text, max_tokens):
    """Binds a tool, and says which one the model asks for."""
    find = {"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}}
    return chat(model, max_tokens).bind_tools([find]).invoke(text).tool_calls[0]["name"]


def place(model, text, max_tokens):
    """Asks for an object that matches a schema. LangChain also sends the description of the schema."""
    schema = {"title": "place", "description": "A place.", "type": "object", "properties": {"name": {"type": "string"}}}
    return chat(model, max_tokens).with_structured_output(schema, method="json_schema").invoke(text)


cases.run(ask, stream, tool=tool, place=lambda **case: {"place": place(**case)})
