"""The four functions of the articles' design. They run as Lambda functions of the local AWS."""

import datetime
import os
import uuid
from typing import Any

import boto3

MODELS = {"claude-haiku-4-5": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "nova-lite": "amazon.nova-lite-v1:0"}
METRICS = {"input": "InputTokenCount", "output": "OutputTokenCount"}

Event = dict[str, Any]

# Each execution environment creates its clients once, as the AWS Lambda documentation recommends.
cloudwatch = boto3.client("cloudwatch")
bedrock = boto3.client("bedrock-runtime", endpoint_url=os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"))


def validate_and_tag(event: Event, _context: object) -> Event:
    model, prompt, tags = event["model"], event["prompt"], event.get("tags", {})
    if not prompt.get("messages"):
        raise ValueError("prompt.messages is required")
    now = datetime.datetime.now(datetime.UTC).isoformat()
    tags = {**tags, "requestId": str(uuid.uuid4()), "timestamp": now}
    return {"modelId": MODELS.get(model, model), "prompt": prompt, "tags": tags}


def month_range(_event: Event, _context: object) -> Event:
    now = datetime.datetime.now(datetime.UTC)
    return {"start": now.replace(day=1, hour=0, minute=0, second=0, microsecond=0).isoformat(), "end": now.isoformat()}


def get_usage(event: Event, _context: object) -> Event:
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/Bedrock",
                    "MetricName": metric,
                    "Dimensions": [{"Name": "ModelId", "Value": event["modelId"]}],
                },
                "Period": 86400,
                "Stat": "Sum",
            },
        }
        for name, metric in METRICS.items()
    ]
    start, end = (datetime.datetime.fromisoformat(event["range"][edge]) for edge in ("start", "end"))
    answer = cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=start, EndTime=end)
    return {result["Id"]: sum(result["Values"]) for result in answer["MetricDataResults"]}


def invoke_model(event: Event, _context: object) -> Event:
    prompt = event["prompt"]
    messages = [{"role": each["role"], "content": [{"text": each["content"]}]} for each in prompt["messages"]]
    limits = {"maxTokens": prompt.get("parameters", {}).get("max_tokens", 2048)}
    answer = bedrock.converse(modelId=event["modelId"], messages=messages, inferenceConfig=limits)
    texts = [block["text"] for block in answer["output"]["message"]["content"] if "text" in block]
    return {"output": "".join(texts), "usage": answer["usage"], "stopReason": answer["stopReason"]}
