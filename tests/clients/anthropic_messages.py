"""Anthropic's client of its own API (`/v1/messages`)."""

import os

import anthropic_cases
from anthropic import Anthropic

url, key = os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"], os.environ["AWS_BEARER_TOKEN_BEDROCK"]
anthropic_cases.run(Anthropic(base_url=url, api_key=key, max_retries=0))
