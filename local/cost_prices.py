"""Prices of AWS, its rules for rounding and units, and the two published sums. All money is `Decimal`, in dollars.

The prices are those of us-east-1, on demand, without free tiers. They come from the price list of 2026-08-31. It lacks
SQS and X-Ray, so their prices come from their pricing pages.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

MILLION = Decimal(1_000_000)
BYTES_OF_KB = 1024
BYTES_OF_GB = Decimal(1024**3)
MB_OF_GB = Decimal(1024)

# Price in dollars for one unit of each key.
PRICES = {
    # Step Functions, https://aws.amazon.com/step-functions/pricing/
    "standard transition": Decimal("0.025") / 1000,
    "express request": Decimal("1.00") / MILLION,
    "express GB-second": Decimal("0.00001667"),
    # Lambda on arm64, https://aws.amazon.com/lambda/pricing/
    "lambda request": Decimal("0.20") / MILLION,
    "lambda GB-second": Decimal("0.0000133334"),
    # DynamoDB on demand, https://aws.amazon.com/dynamodb/pricing/on-demand/
    "read unit": Decimal("0.125") / MILLION,
    "write unit": Decimal("0.625") / MILLION,
    # SQS standard queues, https://aws.amazon.com/sqs/pricing/
    "queue request": Decimal("0.40") / MILLION,
    # CloudWatch, https://aws.amazon.com/cloudwatch/pricing/
    "metric requested": Decimal("0.01") / 1000,
    "PutMetricData call": Decimal("0.01") / 1000,
    "log GB": Decimal("0.50"),
    # What a month costs without a request. These prices are those of the pricing pages of CloudWatch and KMS, as published in
    # secondary sources in 2026. They were not compared with the price list.
    "custom metric": Decimal("0.30"),
    "alarm": Decimal("0.10"),
    # A query is charged for each metric that it reads.
    "metric of a query alarm": Decimal("0.10"),
    "composite alarm": Decimal("0.50"),
    "dashboard": Decimal("3.00"),
    "log GB queried": Decimal("0.005"),
    "encryption key": Decimal("1.00"),
    # X-Ray, https://aws.amazon.com/xray/pricing/
    "trace": Decimal("5.00") / MILLION,
}

# Step Functions: the free transitions of a month, and the rounding steps of an execution's duration and memory. The
# memory consists of a fixed part, the definition, and the payloads. Source: the formula on the pricing page.
FREE_TRANSITIONS = 4_000
EXPRESS_STEP_MS = 100
EXPRESS_STEP_MB = 64
EXPRESS_OWN_MB = 50
# DynamoDB: the bytes that one unit covers.
WRITE_UNIT_BYTES = 1 * BYTES_OF_KB
READ_UNIT_BYTES = 4 * BYTES_OF_KB
# SQS: the bytes that one request covers.
QUEUE_UNIT_BYTES = 64 * BYTES_OF_KB
# Bytes that CloudWatch Logs adds to every event.
LOG_EVENT_BYTES = 26
# X-Ray's default rule traces a fixed number of requests in each second, and a share of the others.
TRACES_A_SECOND = Decimal(1)
TRACES_ABOVE = Decimal("0.05")

# AWS's articles about the cost sentry publish two sums for 100,000 requests: $37.40 for a Standard workflow, and
# $3.75 for an Express workflow. These inputs result in exactly these sums: 15 transitions for each request minus the
# free ones of a month, and 35 seconds at 64 MB. They were found by calculation and are not quoted from the articles.
PUBLISHED_REQUESTS = 100_000
PUBLISHED_TRANSITIONS = 15
PUBLISHED_MS = 35_000


def steps(amount: int, step: int) -> int:
    """The number of steps that cover `amount`, at least one."""
    return max(1, -(-amount // step))


def cents(dollars: Decimal) -> Decimal:
    """The amount rounded to the cent. Half a cent is rounded up."""
    return dollars.quantize(Decimal("0.01"), ROUND_HALF_UP)


def express_memory_mb(definition_bytes: int, payload_bytes: int, payloads: int) -> int:
    """The billed memory of an Express execution, in MB: its fixed part, the definition, and each payload, in steps of
    64 MB.
    """
    used = EXPRESS_OWN_MB * BYTES_OF_KB**2 + definition_bytes + payload_bytes * payloads
    return steps(used, EXPRESS_STEP_MB * BYTES_OF_KB**2) * EXPRESS_STEP_MB


def express_gb_seconds(milliseconds: int, memory_mb: int) -> Decimal:
    """The billed GB-seconds of one Express execution: its duration in steps of 100 ms, times its memory."""
    return gb_seconds(steps(milliseconds, EXPRESS_STEP_MS) * EXPRESS_STEP_MS, memory_mb)


def gb_seconds(milliseconds: int | Decimal, memory_mb: int) -> Decimal:
    """Memory times duration. Lambda rounds a duration up to the millisecond, so `milliseconds` is already rounded."""
    return Decimal(milliseconds) / 1000 * memory_mb / MB_OF_GB


def write_units(item_bytes: int, transaction: bool = False) -> Decimal:
    """The units of writing an item of this size. A transaction needs twice as many."""
    return Decimal(steps(item_bytes, WRITE_UNIT_BYTES) * (2 if transaction else 1))


def read_units(item_bytes: int, consistent: bool, transaction: bool = False) -> Decimal:
    """The units of reading an item of this size (0 bytes if the item does not exist). An eventually consistent read
    needs half.
    """
    units = Decimal(steps(item_bytes, READ_UNIT_BYTES))
    if transaction:
        return units * 2
    return units if consistent else units / 2


def traced_share(requests_a_second: Decimal) -> Decimal:
    """The share of requests that X-Ray's default rule traces under an even load."""
    if requests_a_second <= TRACES_A_SECOND:
        return Decimal(1)
    return (TRACES_A_SECOND + (requests_a_second - TRACES_A_SECOND) * TRACES_ABOVE) / requests_a_second


def attribute_bytes(value: dict[str, Any]) -> int:
    """The size of a DynamoDB attribute value, by the rules of its documentation. Numbers are rounded up."""
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        digits = content.lstrip("-").replace(".", "").strip("0")
        return steps(len(digits), 2) + 1 + int(content.startswith("-"))
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "M":
        return 3 + sum(len(name.encode()) + attribute_bytes(each) + 1 for name, each in content.items())
    if kind == "L":
        return 3 + sum(attribute_bytes(each) + 1 for each in content)
    if kind in ("SS", "NS"):
        return sum(attribute_bytes({kind[0]: each}) for each in content)
    raise ValueError(f"an attribute of type {kind} has no known size")


def item_bytes(item: dict[str, dict[str, Any]]) -> int:
    """The size of a DynamoDB item, which includes names and values."""
    return sum(len(name.encode()) + attribute_bytes(value) for name, value in item.items())


def published_standard() -> Decimal:
    """The cost of the articles' Standard workflow, in dollars for 100,000 requests."""
    billed = PUBLISHED_REQUESTS * PUBLISHED_TRANSITIONS - FREE_TRANSITIONS
    return billed * PRICES["standard transition"]


def published_express() -> Decimal:
    """The cost of the articles' Express workflow, in dollars for 100,000 requests."""
    each = PRICES["express request"] + express_gb_seconds(PUBLISHED_MS, EXPRESS_STEP_MB) * PRICES["express GB-second"]
    return PUBLISHED_REQUESTS * each
