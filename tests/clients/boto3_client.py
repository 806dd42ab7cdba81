"""Boto3."""

import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import cases
from botocore.config import Config

bedrock = boto3.client("bedrock-runtime")


def request(model, text, max_tokens, **more):
    messages = [{"role": "user", "content": [{"text": text}]}]
    return {"modelId": model, "messages": messages, "inferenceConfig": {"maxTokens": max_tokens}, **more}


def ask(**case):
    answer = bedrock.converse(**request(**case))
    return answer["output"]["message"]["content"][0]["text"]


def stream(**case):
    for event in bedrock.converse_stream(**request(**case))["stream"]:
        yield event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")


def ask_while_held(**case):
    """Asks while another request of this program has the budget, with as many attempts as boto3 makes by default."""
    slow = {**case, "text": f"{case['text']} [[sim latency-ms=700]]"}
    patient = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 5}))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, **slow)
        time.sleep(0.3)
        answer = patient.converse(**request(**case))
        first.result()
    return {
        "said": answer["output"]["message"]["content"][0]["text"],
        "retries": answer["ResponseMetadata"]["RetryAttempts"],
    }


def own_fields(**case):
    """The fields of the model's own answer, in a whole answer and in a stream."""
    asked = request(**case, additionalModelResponseFieldPaths=["/usage"])
    stops = [event["messageStop"] for event in bedrock.converse_stream(**asked)["stream"] if "messageStop" in event]
    answers = [bedrock.converse(**asked), *stops]
    return {"own": [answer["additionalModelResponseFields"]["usage"]["output_tokens"] for answer in answers]}


cases.run(ask, stream, ask_while_held=ask_while_held, own_fields=own_fields)
