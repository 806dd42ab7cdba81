"""Anthropic's client of Bedrock (`invoke`)."""

import os

import anthropic_cases
from anthropic import AnthropicBedrock

# The key comes from AWS_BEARER_TOKEN_BEDROCK.
anthropic_cases.run(AnthropicBedrock(base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"], max_retries=0))
