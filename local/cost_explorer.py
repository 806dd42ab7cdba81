"""A stand-in for AWS Cost Explorer: serves the bill of a simulated month (`bill.jsonl`) over HTTP.

    python local/cost_explorer.py --bill .sentry/4566/month/bill.jsonl --now 2026-12-01T00:30:00Z --port 4580
    AWS_ENDPOINT_URL_COST_EXPLORER=http://127.0.0.1:4580 aws ce get-cost-and-usage …

It has `GetCostAndUsage` and `ListCostAllocationTags`, in the protocol JSON 1.1. Requests are checked with botocore and its
service model. Product attributes are newer than the botocore of the local AWS, so their shapes are added as in botocore
1.44.8. Everything that the stand-in does not know is refused.

The rules, from the API reference of Cost Explorer and botocore's service model (read in November 2026):

- The start of a period is included and its end is not. The start is not after today.
- There are at most two groups. Costs without a value are in the group `costCenter$`, and a group with a value is
  `costCenter$support`. With groups, `Total` is empty.
- Only active cost allocation tags group or filter costs. A tag works for the costs since its activation.
- Product attributes exist since September 1, 2026. Earlier periods are a `DataUnavailableException`.
- An answer can have several pages. A page token belongs to one request (`RequestChangedException`).
- The bill is late: a day appears 24 hours after its end. Source: AWS Cost Management User Guide, "Analyzing your costs
  with AWS Cost Explorer": data are refreshed at least once every 24 hours.

Amounts have ten decimals, as in the examples of the API reference.
"""

from __future__ import annotations

import argparse
import calendar
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.session
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

Row = dict[str, Any]
TARGET = "AWSInsightsIndexService"
LATE = timedelta(hours=24)
ATTRIBUTES_SINCE = date(2026, 9, 1)
MOST_GROUPS = 2
PERIODS_A_PAGE = 31
DECIMALS = Decimal("0.0000000001")
COSTS = ("UnblendedCost", "BlendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost")
QUANTITY = "UsageQuantity"
# The dimensions that the bill's lines have, by the name of the line's field.
DIMENSIONS = {
    "SERVICE": "service",
    "USAGE_TYPE": "usageType",
    "REGION": "region",
    "LINKED_ACCOUNT": "linkedAccount",
    "BILLING_ENTITY": "billingEntity",
}
ATTRIBUTES = ("provider", "model", "inferenceType", "feature")
# Shapes that botocore has since 1.43.112. Source: service model of botocore 1.44.8, cost explorer 2017-10-25.
ADDED_SHAPES: Row = {
    "ProductAttributeName": {"type": "string", "max": 1024, "min": 0},
    "ProductAttributeValueList": {"type": "list", "member": {"shape": "Value"}},
    "ProductAttributeValues": {
        "type": "structure",
        "required": ["Key"],
        "members": {
            "Key": {"shape": "ProductAttributeName"},
            "Values": {"shape": "ProductAttributeValueList"},
            "MatchOptions": {"shape": "MatchOptions"},
        },
    },
}


class Refused(Exception):
    """A request that Cost Explorer refuses, with the name of its error."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def invalid(message: str) -> Refused:
    """A request that is not valid."""
    return Refused("ValidationException", message)


def service_model() -> ServiceModel:
    """The service model of the installed botocore, with the shapes of product attributes."""
    loader = botocore.session.get_session().get_component("data_loader")
    model = deepcopy(loader.load_service_model("ce", "service-2"))
    shapes = model["shapes"]
    shapes |= {name: shape for name, shape in ADDED_SHAPES.items() if name not in shapes}
    shapes["Expression"]["members"].setdefault("ProductAttributes", {"shape": "ProductAttributeValues"})
    kinds = shapes["GroupDefinitionType"]["enum"]
    if "PRODUCT_ATTRIBUTE" not in kinds:
        kinds.append("PRODUCT_ATTRIBUTE")
    return ServiceModel(model, "ce")


class Bill:
    """The lines of a bill, as far as it has them at a moment."""

    def __init__(self, lines: list[Row], tags: dict[str, date]) -> None:
        self.lines, self.tags = lines, tags

    def until(self, now: datetime) -> list[Row]:
        """The lines of the days that the bill has at `now`."""
        return [line for line in self.lines if end_of(line["day"]) + LATE <= now]

    def tag(self, line: Row, key: str) -> str | None:
        """The value of a tag of a line. None if the line has no tag, or if the tag was not active yet."""
        since = self.tags.get(key)
        if since is None or line["day"] < since.isoformat():
            return None
        value: str | None = line["tags"].get(key)
        return value

    def last_used(self, key: str) -> str | None:
        """The last day on which a line has the tag."""
        return max((line["day"] for line in self.lines if key in line["tags"]), default=None)


def end_of(day: str) -> datetime:
    """The end of a day."""
    return datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1)


class CostExplorer:
    """Answers requests about one bill."""

    def __init__(self, bill: Bill, now: datetime | None = None, periods_a_page: int = PERIODS_A_PAGE) -> None:
        self._bill, self._now, self._periods_a_page = bill, now, periods_a_page
        self._model = service_model()
        self.requests = 0

    def now(self) -> datetime:
        """The current time."""
        return self._now or datetime.now(UTC)

    def answer(self, operation: str, request: Row) -> Row:
        """The answer to a request.

        # Raises
        Refused, if Cost Explorer would refuse the request, or if the stand-in does not have the operation.
        """
        known = {"GetCostAndUsage": self._cost_and_usage, "ListCostAllocationTags": self._allocation_tags}
        if operation not in known:
            raise Refused("UnknownOperationException", f"the stand-in for Cost Explorer has no {operation}")
        shape = self._model.operation_model(operation).input_shape
        report = ParamValidator().validate(request, shape)
        if report.has_errors():
            raise invalid(report.generate_report())
        check_enums(request, shape, "request")
        self.requests += 1
        return known[operation](request)

    def _allocation_tags(self, request: Row) -> Row:
        wanted, status, kind = request.get("TagKeys"), request.get("Status"), request.get("Type")
        found = []
        for key, since in sorted(self._bill.tags.items()):
            if (wanted and key not in wanted) or status == "Inactive" or kind == "AWSGenerated":
                continue
            tag = {"TagKey": key, "Type": "UserDefined", "Status": "Active", "LastUpdatedDate": f"{since}T00:00:00Z"}
            used = self._bill.last_used(key)
            found.append(tag | ({"LastUsedDate": f"{used}T00:00:00Z"} if used else {}))
        return {"CostAllocationTags": found}

    def _cost_and_usage(self, request: Row) -> Row:
        self._check(request)
        groups = request.get("GroupBy", [])
        lines = [line for line in self._bill.until(self.now()) if self._fits(line, request.get("Filter"))]
        if uses_attributes(request) is not None:
            lines = [line for line in lines if line.get("provider")]
        periods = list(periods_of(request["TimePeriod"], request["Granularity"]))
        first, after = self._page(request, len(periods))
        results = [self._result(period, lines, groups, request["Metrics"]) for period in periods[first:after]]
        answer: Row = {"ResultsByTime": results, "DimensionValueAttributes": []}
        if groups:
            answer["GroupDefinitions"] = groups
        if after < len(periods):
            answer["NextPageToken"] = f"{fingerprint(request)}-{after}"
        return answer

    def _check(self, request: Row) -> None:
        start, end = (day_of(request["TimePeriod"][name]) for name in ("Start", "End"))
        if start >= end:
            raise invalid("Start date (and hour) should be before end date (and hour)")
        if start > self.now().date():
            raise invalid("start date must not be after today")
        if request["Granularity"] == "HOURLY":
            raise Refused("DataUnavailableException", "hourly data are not turned on")
        unknown = [name for name in request["Metrics"] if name not in (*COSTS, QUANTITY)]
        if unknown or not request["Metrics"]:
            raise invalid(f"the stand-in does not have these metrics: {unknown}")
        if len(request.get("GroupBy", [])) > MOST_GROUPS:
            raise invalid("at most two groups are supported")
        for group in request.get("GroupBy", []):
            self._check_group(group)
        if uses_attributes(request) is not None and start < ATTRIBUTES_SINCE:
            raise Refused("DataUnavailableException", f"product attributes have data since {ATTRIBUTES_SINCE}")

    @staticmethod
    def _check_group(group: Row) -> None:
        kind, key = group.get("Type"), group.get("Key")
        if not kind or not key:
            raise invalid("a group has a type and a key")
        if kind == "DIMENSION" and key not in DIMENSIONS:
            raise invalid(f"the stand-in does not have the dimension {key}")
        if kind == "COST_CATEGORY":
            raise invalid("the stand-in has no cost categories")

    def _page(self, request: Row, periods: int) -> tuple[int, int]:
        """The first period of the page, and the one after its last."""
        token, first = request.get("NextPageToken"), 0
        if token:
            print_, _, number = token.rpartition("-")
            if not number.isdigit() or int(number) >= periods:
                raise Refused("InvalidNextTokenException", "the page token is not valid")
            if print_ != fingerprint(request):
                raise Refused("RequestChangedException", "the page token belongs to another request")
            first = int(number)
        return first, min(periods, first + self._periods_a_page)

    def _result(self, period: tuple[date, date], lines: list[Row], groups: list[Row], metrics: list[str]) -> Row:
        start, end = (day.isoformat() for day in period)
        within = [line for line in lines if start <= line["day"] < end]
        # The bill of a month is final some days after its end.
        result: Row = {"TimePeriod": {"Start": start, "End": end}, "Total": {}, "Groups": [], "Estimated": True}
        if not groups:
            return result | {"Total": amounts(within, metrics)}
        by_keys: dict[tuple[str, ...], list[Row]] = {}
        for line in within:
            by_keys.setdefault(tuple(self._key(line, group) for group in groups), []).append(line)
        result["Groups"] = [
            {"Keys": list(keys), "Metrics": amounts(of_keys, metrics)} for keys, of_keys in sorted(by_keys.items())
        ]
        return result

    def _key(self, line: Row, group: Row) -> str:
        """The name of a line's group."""
        if group["Type"] == "DIMENSION":
            return str(line[DIMENSIONS[group["Key"]]])
        return f"{group['Key']}${self._value(line, group['Type'], group['Key']) or ''}"

    def _value(self, line: Row, kind: str, key: str) -> str | None:
        if kind in ("TAG", "Tags"):
            return self._bill.tag(line, key)
        value: str | None = line.get(key) if key in ATTRIBUTES else None
        return value

    def _fits(self, line: Row, expression: Row | None) -> bool:
        """True if a line matches a filter, which has one field."""
        if expression is None:
            return True
        if len(expression) != 1:
            raise invalid("an expression has exactly one field")
        ((kind, inner),) = expression.items()
        if kind in ("And", "Or"):
            fits = [self._fits(line, each) for each in inner]
            return all(fits) if kind == "And" else any(fits)
        if kind == "Not":
            return not self._fits(line, inner)
        if kind == "Dimensions":
            if inner.get("Key") not in DIMENSIONS:
                raise invalid(f"the stand-in does not have the dimension {inner.get('Key')}")
            return line[DIMENSIONS[inner["Key"]]] in inner.get("Values", [])
        if kind == "CostCategories":
            raise invalid("the stand-in has no cost categories")
        value = self._value(line, kind, inner.get("Key", ""))
        absent = "ABSENT" in inner.get("MatchOptions", []) or not inner.get("Values")
        return value is None if absent else value in inner["Values"]


def uses_attributes(request: Row) -> bool | None:
    """True if the request filters or groups by product attributes, otherwise None."""
    grouped = any(group.get("Type") == "PRODUCT_ATTRIBUTE" for group in request.get("GroupBy", []))
    return True if grouped or '"ProductAttributes"' in json.dumps(request.get("Filter")) else None


def check_enums(value: Any, shape: Any, path: str) -> None:
    """Refuses values that an enumeration of the service model does not have. botocore does not check them."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            check_enums(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            check_enums(inner, shape.member, path)
    elif shape.type_name == "string" and getattr(shape, "enum", None) and value not in shape.enum:
        raise invalid(f"{path}: {value!r} is none of {', '.join(shape.enum)}")


def day_of(text: str) -> date:
    """A day of a request."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise invalid(f"{text!r} is no date such as 2026-11-01") from None


def periods_of(wanted: Row, granularity: str) -> Iterator[tuple[date, date]]:
    """The days or months of a period. The first and the last month can be parts of months."""
    at, end = day_of(wanted["Start"]), day_of(wanted["End"])
    while at < end:
        days = 1 if granularity == "DAILY" else calendar.monthrange(at.year, at.month)[1] - at.day + 1
        after = min(at + timedelta(days=days), end)
        yield at, after
        at = after


def amounts(lines: list[Row], metrics: list[str]) -> Row:
    """The sums of the metrics. Without discounts and refunds, all kinds of cost are the same."""
    usd = sum((Decimal(line["usd"]) for line in lines), Decimal(0))
    tokens = sum((Decimal(line["thousandsOfTokens"]) for line in lines), Decimal(0))
    cost, quantity = {"Amount": decimal(usd), "Unit": "USD"}, {"Amount": decimal(tokens), "Unit": "N/A"}
    return {metric: quantity if metric == QUANTITY else cost for metric in metrics}


def decimal(amount: Decimal) -> str:
    """An amount with at most ten decimals."""
    text = format(amount.quantize(DECIMALS), "f")
    return text.rstrip("0").rstrip(".") or "0"


def fingerprint(request: Row) -> str:
    """A hash of a request without its page token."""
    rest = {name: value for name, value in request.items() if name != "NextPageToken"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def handler(explorer: CostExplorer) -> type[BaseHTTPRequestHandler]:
    """The HTTP side."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            target, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                if target != TARGET:
                    raise Refused("UnknownOperationException", f"the target is not {TARGET}")
                self._send(200, explorer.answer(operation, json.loads(body)))
            except Refused as refused:
                self._send(400, {"__type": refused.name, "message": str(refused)})
            except ValueError as error:
                self._send(400, {"__type": "SerializationException", "message": str(error)})

        def _send(self, status: int, document: Row) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    return Handler


def start(explorer: CostExplorer, port: int = 0) -> ThreadingHTTPServer:
    """Serves on 127.0.0.1, in the background. The caller shuts the server down."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(explorer))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def read_bill(path: Path, tags: dict[str, date]) -> Bill:
    """Reads the lines of a bill."""
    return Bill([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], tags)


def main() -> int:
    """Serves until the program is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bill", type=Path, required=True, help="bill.jsonl of a simulated month")
    parser.add_argument("--now", type=datetime.fromisoformat, help="the time [default: the clock]")
    parser.add_argument(
        "--tag", action="append", metavar="KEY=DAY", help="an active tag [default: costCenter since 2026-01-01]"
    )
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    since = dict(tag.split("=") for tag in options.tag or ["costCenter=2026-01-01", "application=2026-01-01"])
    tags = {key: date.fromisoformat(day) for key, day in since.items()}
    server = start(CostExplorer(read_bill(options.bill, tags), options.now), options.port)
    print(f"cost-explorer listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
