"""A client of the gateway: boto3 without any change but its address and its key."""

import json
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sentry_client import text

MODEL, TOKENS = "nova-lite", 100


class Client:
    """A boto3 client of bedrock-runtime whose access key id is a key of the sentry, and the cost center of the key."""

    def __init__(self, url, center, key):
        self.center, self.key, self.url = center, key, url
        self.bedrock = boto3.client(
            "bedrock-runtime",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key="unused",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60, max_pool_connections=128),
        )

    def converse(self, words=None, model=MODEL, max_tokens=TOKENS, **more):
        """Calls Converse. `words` is the text of the prompt."""
        return self.bedrock.converse(
            modelId=model,
            messages=[{"role": "user", "content": [{"text": words or text(output_tokens=5)}]}],
            inferenceConfig={"maxTokens": max_tokens},
            **more,
        )

    def refused(self, *arguments, **options):
        """The error that boto3 raises for a call, as its code, its status and the code of the sentry."""
        with pytest.raises(ClientError) as raised:
            self.converse(*arguments, **options)
        answer = raised.value.response
        metadata = answer["ResponseMetadata"]
        assert type(raised.value).__name__ == answer["Error"]["Code"], "boto3 knows the exception"
        return answer["Error"]["Code"], metadata["HTTPStatusCode"], metadata["HTTPHeaders"].get("x-sentry-code")

    def post(self, path="/model/nova-lite/converse", body=None, **headers):
        """Sends a raw request. Returns the status and the body."""
        body = json.dumps(body or {"messages": [{"role": "user", "content": [{"text": text()}]}]}).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def opened(caller, words, most=TOKENS, model=MODEL, **more):
    """Begins a stream."""
    messages = [{"role": "user", "content": [{"text": words}]}]
    return caller.bedrock.converse_stream(
        modelId=model, messages=messages, inferenceConfig={"maxTokens": most}, **more
    )["stream"]
