"""The OpenAI SDK."""

import time
from concurrent.futures import ThreadPoolExecutor

import cases
import openai

sent: list[object] = []
http = openai.DefaultHttpxClient(event_hooks={"request": [sent.append]})
# As many retries as the SDK makes by default.
patient = openai.OpenAI(http_client=http)
client = patient.with_options(max_retries=0)


def request(model, text, max_tokens, **more):
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_completion_tokens": max_tokens,
        **more,
    }


def ask(**case):
    return client.chat.completions.create(**request(**case)).choices[0].message.content


def stream(**case):
    usage = {"include_usage": True}
    for chunk in client.chat.completions.create(stream=True, stream_options=usage, **request(**case)):
        yield chunk.choices[0].delta.content or "" if chunk.choices else ""


def counted(wrong_key=False, **case):
    """The error of a request, with all retries, and the number of requests that the SDK sent."""
    sent.clear()
    caller = patient.with_options(api_key=f"csk_{'0' * 64}") if wrong_key else patient
    try:
        caller.chat.completions.create(**request(**case))
    except openai.APIStatusError as error:
        told = {"code": error.code, "param": error.param, "kind": error.type, "status": error.status_code}
        return {"error": type(error).__name__, "message": str(error), "requests": len(sent), **told}
    raise AssertionError("the request was served")


def counted_stream(**case):
    """The pieces of a stream before its error, and the usage in its last chunk."""
    said, usage, error = "", None, None
    options = {"include_usage": True}
    try:
        for chunk in client.chat.completions.create(stream=True, stream_options=options, **request(**case)):
            said += chunk.choices[0].delta.content or "" if chunk.choices else ""
            usage = chunk.usage.model_dump() if chunk.usage else usage
    except openai.APIError as raised:
        error = f"{type(raised).__name__}: {raised}"
    return {"said": said, "usage": usage, "error": error}


def ask_while_held(**case):
    """Asks while another request of this program has the budget."""
    slow = {**case, "text": f"{case['text']} [[sim latency-ms=700]]"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, **slow)
        time.sleep(0.3)
        before = len(sent)
        answer = patient.chat.completions.create(**request(**case))
        first.result()
    return {"said": answer.choices[0].message.content, "requests": len(sent) - before}


def tool(in_events=False, **case):
    """Lets the model ask for a tool, and sends its result back."""
    function = {"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}}
    more = {"tools": [{"type": "function", "function": function}]}
    first = request(**case, **more)
    if in_events:
        with client.chat.completions.stream(**first) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(**first).choices[0].message
    (call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"found": 1}'}
    asked = [{"role": "user", "content": "Say something."}]
    messages = [*asked, message.to_dict(), result]
    last = client.chat.completions.create(model=case["model"], messages=messages, max_completion_tokens=50, **more)
    return {"tool": call.function.name, "arguments": call.function.arguments, "said": last.choices[0].message.content}


def models(wanted, **_):
    """The ids of the models, and the owner of one of them."""
    return {"ids": [model.id for model in client.models.list()], "owner": client.models.retrieve(wanted).owned_by}


more = {"counted": counted, "counted_stream": counted_stream, "ask_while_held": ask_while_held, "tool": tool}
cases.run(ask, stream, models=models, **more)
