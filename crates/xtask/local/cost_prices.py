"""What AWS asks for, and how it rounds: prices, units and the two sums that were published. All money is `Decimal`, in dollars.

Prices of us-east-1, on demand, without free tiers: extracts of the price list of 2026-08-31; those of SQS and X-Ray were not in them and
are the ones of their pricing pages.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

MILLION = Decimal(1_000_000)
BYTES_OF_KB = 1024
BYTES_OF_GB = Decimal(1024**3)
MB_OF_GB = Decimal(1024)

# Dollars for one of what the key says.
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
    # X-Ray, https://aws.amazon.com/xray/pricing/
    "trace": Decimal("5.00") / MILLION,
}

# Step Functions: the free transitions of a month, the step of an execution's duration and of its memory, and what its memory is
# made of beside definition and payloads (the pricing page's formula).
FREE_TRANSITIONS = 4_000
EXPRESS_STEP_MS = 100
EXPRESS_STEP_MB = 64
EXPRESS_OWN_MB = 50
# DynamoDB: what one unit covers.
WRITE_UNIT_BYTES = 1 * BYTES_OF_KB
READ_UNIT_BYTES = 4 * BYTES_OF_KB
# SQS: what one request covers.
QUEUE_UNIT_BYTES = 64 * BYTES_OF_KB
# CloudWatch Logs adds so much to every event.
LOG_EVENT_BYTES = 26
# X-Ray's default rule: the traces of each second that are always kept, and the share of the others.
TRACES_A_SECOND = Decimal(1)
TRACES_ABOVE = Decimal("0.05")

# What AWS's articles on the cost sentry publish for 100,000 requests: a Standard workflow at $37.40, an Express workflow at $3.75.
# These inputs give the sums to the cent: 15 transitions a request less the free ones of a month, and 35 seconds at 64 MB. They were
# found by calculation and are not quoted from the articles.
PUBLISHED_REQUESTS = 100_000
PUBLISHED_TRANSITIONS = 15
PUBLISHED_MS = 35_000


def steps(amount: int, step: int) -> int:
    """How many steps cover `amount`; at least one."""
    return max(1, -(-amount // step))


def cents(dollars: Decimal) -> Decimal:
    """Rounded to the cent, half a cent up."""
    return dollars.quantize(Decimal("0.01"), ROUND_HALF_UP)


def express_memory_mb(definition_bytes: int, payload_bytes: int, payloads: int) -> int:
    """The memory that an Express execution is billed for, in MB: its own, the definition, and each payload, in steps of 64."""
    used = EXPRESS_OWN_MB * BYTES_OF_KB**2 + definition_bytes + payload_bytes * payloads
    return steps(used, EXPRESS_STEP_MB * BYTES_OF_KB**2) * EXPRESS_STEP_MB


def express_gb_seconds(milliseconds: int, memory_mb: int) -> Decimal:
    """What one Express execution is billed for: its duration in steps of 100 ms, times its memory."""
    return gb_seconds(steps(milliseconds, EXPRESS_STEP_MS) * EXPRESS_STEP_MS, memory_mb)


def gb_seconds(milliseconds: int | Decimal, memory_mb: int) -> Decimal:
    """Memory times time; Lambda rounds its duration to the millisecond, which `milliseconds` is already."""
    return Decimal(milliseconds) / 1000 * memory_mb / MB_OF_GB


def write_units(item_bytes: int, transaction: bool = False) -> Decimal:
    """What writing an item of this size costs; twice as much in a transaction."""
    return Decimal(steps(item_bytes, WRITE_UNIT_BYTES) * (2 if transaction else 1))


def read_units(item_bytes: int, consistent: bool, transaction: bool = False) -> Decimal:
    """What reading an item of this size costs, 0 bytes for one that is not there: half if it may be a little old."""
    units = Decimal(steps(item_bytes, READ_UNIT_BYTES))
    if transaction:
        return units * 2
    return units if consistent else units / 2


def traced_share(requests_a_second: Decimal) -> Decimal:
    """The share of requests that X-Ray's default rule traces, at an even load."""
    if requests_a_second <= TRACES_A_SECOND:
        return Decimal(1)
    return (TRACES_A_SECOND + (requests_a_second - TRACES_A_SECOND) * TRACES_ABOVE) / requests_a_second


def attribute_bytes(value: dict[str, Any]) -> int:
    """The size of a DynamoDB attribute value, by the rules of its documentation; numbers are rounded up."""
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        digits = content.lstrip("-").replace(".", "").strip("0")
        return steps(len(digits), 2) + 1 + content.startswith("-")
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
    """The size of a DynamoDB item: names and values."""
    return sum(len(name.encode()) + attribute_bytes(value) for name, value in item.items())


def published_standard() -> Decimal:
    """The articles' Standard workflow, dollars for 100,000 requests."""
    billed = PUBLISHED_REQUESTS * PUBLISHED_TRANSITIONS - FREE_TRANSITIONS
    return billed * PRICES["standard transition"]


def published_express() -> Decimal:
    """The articles' Express workflow, dollars for 100,000 requests."""
    each = PRICES["express request"] + express_gb_seconds(PUBLISHED_MS, EXPRESS_STEP_MB) * PRICES["express GB-second"]
    return PUBLISHED_REQUESTS * each
