"""The recomputation of a simulated month, its bill, and the stand-in for Cost Explorer. No local AWS is needed.

The small month of these tests has figures that are worked out by hand, from the price list: Sonnet 4.6 costs 3.30 and 16.50
dollars per million tokens, Mistral Large 3 costs 0.50 and 1.50, and from 15 November on 0.40 and 1.20.
"""

import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import month_plan
from cost_explorer import Bill, CostExplorer, Refused, service_model, start
from month_bill import bill
from month_check import problems, report_problems
from month_compare import compare, unexplained
from month_data import Data, call
from month_prices import NoPrice, Prices
from month_report import bill_problems
from performance_bench import EVENTS, EVENTS_OF_EXECUTION, events_and_states, plan, state_types

CATALOGUE = Path(__file__).resolve().parent.parent / "crates/sentry-models/catalogue"
ARN = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc123abc123"
SONNET, MISTRAL = "us.anthropic.claude-sonnet-4-6", "mistral.mistral-large-3-675b-instruct"
PROFILE = {"name": "eng", "arn": ARN, "id": "abc123abc123", "source": SONNET, "tags": {"costCenter": "engineering"}}
CHANGE = month_plan.PriceChange(
    MISTRAL, datetime(2026, 11, 15, tzinfo=UTC), datetime(2026, 11, 17, tzinfo=UTC), {"input": "0.40", "output": "1.20"}
)
PRICES = Prices.of(CATALOGUE, CHANGE)
NOW = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)


def tokens(input_=0, output=0, read=0, write=0):
    return {"input": input_, "output": output, "cacheRead": read, "cacheWrite": write, "cacheWrite1h": 0}


def model_call(number, at, model_id, spent, cost_center=None, told=True, status=200):
    usage = {"inputTokens": spent["input"], "outputTokens": spent["output"]} if told else None
    tags = {"applicationId": "app", "costCenter": cost_center, "environment": "production"} if cost_center else None
    return {
        "number": number,
        "at": at,
        "modelId": model_id,
        "status": status,
        "told": usage,
        "spent": spent,
        "direct": tags is None,
        "metadata": tags,
    }


def audit_line(request_id, at, model_id, outcome, code, cost_center, spent, held_usd="0.5"):
    tags = {"applicationId": "app", "costCenter": cost_center, "environment": "production", "requestId": request_id}
    held = {"held_input_tokens": 700, "held_output_tokens": 300, "held_usd": held_usd}
    return {
        "message": "request",
        "timestamp": at,
        "outcome": outcome,
        "code": code,
        "model_id": model_id,
        "input_tokens": spent["input"] + spent["cacheRead"] + spent["cacheWrite"],
        "output_tokens": spent["output"],
        "tags": tags,
        **(held if outcome != "Denied" else {}),
    }


def answer(request_id, at, model_id, outcome, code, spent, usd=None):
    told = {
        "requestId": request_id,
        "timestamp": at,
        "modelId": model_id,
        "outcome": outcome,
        "code": code,
        "usage": None,
        "cost": None,
    }
    if outcome == "Succeeded":
        told["usage"] = {
            "inputTokens": spent["input"],
            "outputTokens": spent["output"],
            "cacheReadInputTokens": spent["cacheRead"],
            "cacheWriteInputTokens": spent["cacheWrite"],
        }
        told["cost"] = {"usd": usd}
    return told


def history_item(scope, day, **figures):
    return {"scope": scope, "day": day, "expiresAt": 1, **figures}


def small_month():
    """Four requests and a call that bypasses the sentry. Engineering has a profile; marketing calls Mistral without one."""
    cached = tokens(1_000, 100, read=2_000, write=1_500)
    # 1,000 x 3.30 + 100 x 16.50 + 2,000 x 0.33 + 1,500 x 4.125 = 11,797.5 millionths.
    sonnet, lost = "0.0117975", tokens(400, 40)
    early = tokens(1_000_000, 1_000_000)
    first, second, third, last = (f"2026-11-{day}T10:00:00.5Z" for day in ("02", "16", "30", "03"))
    plain = {
        "requests": 1,
        "approved": 1,
        "settled": 1,
        "heldInput": 700,
        "heldOutput": 300,
        "heldPicodollars": 5 * 10**11,
    }
    of_cached = plain | {
        "input": 1_000,
        "output": 100,
        "cacheRead": 2_000,
        "cacheWrite": 1_500,
        "picodollars": 11_797_500_000,
    }
    # The administrator has not entered the new price yet: 0.50 + 1.50 dollars. The bill has 0.40 + 1.20.
    of_early = plain | {"input": 1_000_000, "output": 1_000_000, "picodollars": 2 * 10**12}
    failed = {"requests": 1, "approved": 1, "failed": 1, "failed#ModelError": 1, "unknown": 1}
    failed |= {"unknownInput": 700, "unknownOutput": 300, "unknownPicodollars": 5 * 10**11}
    denied = {"requests": 1, "denied": 1, "denied#BudgetExceeded": 1}
    history = []
    for day, model, foundation, cost_center, figures in (
        ("2026-11-02", "abc123abc123", "anthropic.claude-sonnet-4-6", "engineering", of_cached),
        ("2026-11-16", MISTRAL, MISTRAL, "marketing", of_early),
        ("2026-11-30", "abc123abc123", "anthropic.claude-sonnet-4-6", "engineering", failed),
        ("2026-11-03", MISTRAL, MISTRAL, "marketing", denied),
    ):
        scopes = [f"model#{model}", f"foundation#{foundation}", "application#app", f"costCenter#{cost_center}"]
        scopes += [
            "environment#production",
            f"application#app+model#{model}",
            f"costCenter#{cost_center}+model#{model}",
        ]
        history += [history_item(scope, day, **figures) for scope in scopes]
    nothing = tokens()
    simulator = [
        model_call(1, first, ARN, cached, "engineering"),
        model_call(2, second, MISTRAL, early, "marketing"),
        model_call(3, third, ARN, lost, "engineering", told=False),
        model_call(4, "2026-11-05T10:00:00Z", ARN, tokens(1_000)),
    ]
    rows = {
        "history": [*history, history_item("ungoverned#abc123abc123", "2026-11-05", input=1_000)],
        "audit": [
            audit_line("r1", first, ARN, "Succeeded", None, "engineering", cached),
            audit_line("r2", second, MISTRAL, "Succeeded", None, "marketing", early),
            audit_line("r3", third, ARN, "InvocationFailed", "ModelError", "engineering", nothing),
            audit_line("r4", last, MISTRAL, "Denied", "BudgetExceeded", "marketing", nothing),
        ],
        "answers": [
            answer("r1", first, ARN, "Succeeded", None, cached, sonnet),
            answer("r2", second, MISTRAL, "Succeeded", None, early, "2"),
            answer("r3", third, ARN, "InvocationFailed", "ModelError", nothing),
            answer("r4", last, MISTRAL, "Denied", "BudgetExceeded", nothing),
            answer("r5", last, MISTRAL, "Invalid", "InvalidRequest", nothing),
        ],
        "simulator": simulator,
        "metrics": [
            {"namespace": "GenAIRateLimiting", "name": name, "points": [[1, value, 1]]}
            for name, value in (
                ("TotalRequests", 4),
                ("RateLimitApproved", 3),
                ("RateLimitDenied", 1),
                ("InvocationFailed", 1),
                ("InputTokens", 1_004_500),
                ("OutputTokens", 1_000_100),
            )
        ],
        "bill": bill(simulator, [PROFILE], PRICES),
    }
    facts = {
        "start": "2026-11-01T00:00:00+00:00",
        "end": "2026-12-01T00:00:00+00:00",
        "now": NOW.isoformat(),
        "profiles": [PROFILE],
    }
    return Data(facts, rows)


def test_figures_that_agree_are_no_problem():
    data = small_month()
    assert problems(data, PRICES) == []
    # A message that was delivered twice has two lines and counts twice in the metrics. It is one request in the history.
    data.rows["audit"].append(dict(data.rows["audit"][3]))
    for metric in data.rows["metrics"]:
        metric["points"].append([1, int(metric["name"] in ("TotalRequests", "RateLimitDenied")), 1])
    assert problems(data, PRICES) == []


def test_the_savings_of_the_cache_are_computed_if_the_history_has_them():
    # 3,500 x 3.30 less 2,000 x 0.33 and 1,500 x 4.125 = 4,702.5 millionths.
    data = small_month()
    for item in data.rows["history"]:
        item |= {"savedPicodollars": 4_702_500_000} if item.get("cacheRead") else {}
    assert problems(data, PRICES) == []
    data.rows["history"][0]["savedPicodollars"] -= 1
    assert len(problems(data, PRICES)) == 1


@pytest.mark.parametrize(
    "name", ["requests", "input", "output", "cacheRead", "cacheWrite", "picodollars", "heldOutput"]
)
def test_a_wrong_figure_of_the_history_is_found(name):
    data = small_month()
    item = next(item for item in data.rows["history"] if item["scope"] == "costCenter#engineering")
    item[name] += 1
    found = problems(data, PRICES)
    assert found
    assert all("costCenter#engineering on 2026-11-02" in problem for problem in found)


def test_a_request_that_a_record_lacks_is_found():
    for record in ("audit", "simulator", "answers"):
        data = small_month()
        del data.rows[record][0]
        assert problems(data, PRICES), record
    data = small_month()
    data.rows["history"] = [item for item in data.rows["history"] if item["scope"] != "costCenter#marketing"]
    assert any("costCenter#marketing" in problem for problem in problems(data, PRICES))


def test_a_wrong_cost_and_a_metric_that_counts_twice_are_found():
    data = small_month()
    data.rows["answers"][0]["cost"]["usd"] = "0.0117976"
    data.rows["metrics"][0]["points"].append([2, 1, 1])
    assert [problem.partition(":")[0] for problem in problems(data, PRICES)] == [
        "the cost of r1 is 0.0117976 in the answer, and 0.0117975 by the price list",
        "the metric TotalRequests",
    ]


def test_newer_audit_lines_give_the_cached_tokens_and_the_cost():
    data = small_month()
    for line in data.rows["audit"]:
        line |= {"cache_read_tokens": 0, "cache_write_tokens": 0, "execution_id": line["tags"]["requestId"]}
    data.rows["audit"][0] |= {"cache_read_tokens": 2_000, "cache_write_tokens": 1_500, "cost_usd": "0.0117975"}
    data.rows["audit"][1]["cost_usd"] = "2.00"
    assert problems(data, PRICES) == []
    known = ("known", "known", "unknown", "nothing")
    data.rows["audit"] = [{**line, "usage": usage} for line, usage in zip(data.rows["audit"], known, strict=True)]
    assert problems(data, PRICES) == []
    assert problems(
        Data(data.facts, {**data.rows, "audit": [{**line, "usage": "nothing"} for line in data.rows["audit"]]}), PRICES
    )
    data.rows["audit"][0]["cost_usd"] = "0.0117974"
    assert any("audit line" in problem for problem in problems(data, PRICES))


def test_tokens_that_bypassed_the_sentry_are_those_of_the_direct_calls():
    data = small_month()
    item = data.rows["history"][-1]
    assert item["scope"] == "ungoverned#abc123abc123"
    for wrong in ({"input": 1_001}, {"input": 999}, {"output": 1}, {"day": "2026-11-06"}):
        data.rows["history"][-1] = {**item, **wrong}
        assert problems(data, PRICES)[0].startswith("ungoverned")
    # On the 30th, a hold of 700 tokens is unknown usage, which can hide as many.
    data.rows["history"][-1] = item
    data.rows["simulator"].append(model_call(5, "2026-11-30T11:00:00Z", ARN, tokens(1_000)))
    for figure, is_right in ((300, True), (1_000, True), (299, False), (1_001, False)):
        late = history_item("ungoverned#abc123abc123", "2026-11-30", input=figure)
        found = problems(Data(data.facts, {**data.rows, "history": [*data.rows["history"], late]}), PRICES)
        assert (found == []) == is_right, found


def test_a_report_is_compared_by_group():
    page: dict[str, Any] = {
        "groups": [
            {
                "scope": "costCenter#engineering",
                "figures": {
                    "spend": {"usd": "0.5117975"},
                    "requests": 2,
                    "approved": 2,
                    "denied": 0,
                    "failed": 1,
                    "settled": 1,
                    "unknown": 1,
                    "inputTokens": 1_000,
                    "outputTokens": 100,
                    "cacheReadTokens": 2_000,
                    "cacheWriteTokens": 1_500,
                    "deniedByCode": {},
                    "failedByCode": {"ModelError": 1},
                },
            }
        ]
    }
    data = small_month()
    assert report_problems(page, data, PRICES) == ["the report lacks costCenter#marketing"]
    figures: dict[str, Any] = page["groups"][0]["figures"]
    figures |= {"denied": 1, "failedByCode": {}}
    assert [problem.partition(" of ")[0] for problem in report_problems(page, data, PRICES)][:2] == [
        "denied",
        "failed#ModelError",
    ]


def test_every_difference_of_the_bill_has_its_reason():
    data = small_month()
    found = compare(data, PRICES, NOW)
    engineering, marketing, nobody = (found[name] for name in ("engineering", "marketing", ""))
    assert engineering.leading == Decimal("0.5117975")
    assert marketing.leading == 2
    # Known usage and the call that bypasses the sentry. The last day of the month is not in the bill yet.
    assert engineering.trailing == Decimal("0.0117975") + Decimal("0.0033")
    assert nobody.trailing == Decimal("1.6")
    lost = Decimal("0.00198")
    assert dict(engineering.reasons) == {
        "late": -lost,
        "unknown": lost - Decimal("0.5"),
        "ungoverned": Decimal("0.0033"),
        "price": 0,
        "rounding": 0,
    }
    assert marketing.reasons["price"] == Decimal("-0.4")
    assert (marketing.reasons["untagged"], nobody.reasons["untagged"]) == (Decimal("-1.6"), Decimal("1.6"))
    assert unexplained(data, PRICES) == []
    data.rows["bill"][0]["usd"] = "9"
    assert any("without a reason" in problem for problem in unexplained(data, PRICES))


def test_a_reports_comparison_with_the_bill_is_compared_by_cost_center():
    reasons = [{"reason": "untagged", "usd": "1.6"}, {"reason": "priceChanged", "usd": "0.4"}]
    marketing = {"group": "marketing", "ledger": {"usd": "2"}, "bill": "0", "difference": "2", "reasons": reasons}
    page = {
        "generated": NOW.isoformat(),
        "grouping": "costCenter",
        "comparison": {"tagKey": "costCenter", "rows": [marketing]},
    }
    data = small_month()
    lacking = ["the comparison lacks nobody", "the comparison lacks engineering"]
    assert bill_problems(page, data, PRICES) == lacking
    reasons[1]["reason"] = "unexplained"
    assert bill_problems(page, data, PRICES) == ["marketing: 0.4 unexplained", *lacking]
    marketing["bill"] = "1"
    assert len(bill_problems(page, data, PRICES)) == 5


def test_prices_are_those_of_the_catalogue_and_of_their_day():
    at = datetime(2026, 11, 16, tzinfo=UTC)
    million = {"input": 1_000_000}
    assert PRICES.cost(MISTRAL, at, million) == Decimal("0.50")
    assert PRICES.cost(MISTRAL, at, million, on_the_bill=True) == Decimal("0.40")
    assert PRICES.cost(MISTRAL, at + timedelta(days=1), million) == Decimal("0.40")
    assert PRICES.cost("us.amazon.nova-pro-v1:0", at, {"cacheWrite": 1_000_000}) == Decimal("0.80")
    with pytest.raises(NoPrice):
        PRICES.cost(MISTRAL, at, {"cacheRead": 1})
    with pytest.raises(NoPrice):
        PRICES.cost("us.acme.model-1", at, million)


def test_the_same_seed_gives_the_same_plan_and_the_plan_has_everything():
    planned = month_plan.make("2026-11", 5_400, 13)
    assert planned.requests == month_plan.make("2026-11", 5_400, 13).requests
    assert planned.requests != month_plan.make("2026-11", 5_400, 14).requests
    sent = [request for request in planned.requests if not request.direct]
    assert len(sent) >= 5_000
    assert len({request.application.name for request in sent}) == 12
    assert len({request.application.cost_center for request in sent}) == 4
    kinds = {request.kind for request in planned.requests}
    assert kinds == {"usual", "overspending", "refused", "repeated", "direct"}
    assert {request.fault for request in sent} >= set(month_plan.FAULTS)
    by_day = [sum(request.at.date() == day for request in sent) for day in (date(2026, 11, 11), date(2026, 11, 14))]
    assert by_day[0] > 2 * by_day[1], "a Wednesday has more requests than a Saturday"


def test_a_recorded_call_is_kept_without_its_texts():
    exchange = {
        "number": 7,
        "at": "2026-11-02T10:00:00Z",
        "path": "/model/us.amazon.nova-lite-v1%3A0/converse",
        "request": {"headers": [], "body": '{"messages": "secret", "requestMetadata": {"costCenter": "support"}}'},
        "status": 200,
        "answer": {"headers": [], "body": '{"output": "secret", "usage": {"inputTokens": 3}}'},
        "damaged": False,
        "spent": {"input": 3},
    }
    kept = call(exchange)
    assert kept["modelId"] == "us.amazon.nova-lite-v1:0"
    assert (kept["told"], kept["direct"]) == ({"inputTokens": 3}, False)
    assert "secret" not in str(kept)
    broken = call({**exchange, "request": {"headers": [], "body": "{}"}, "answer": {"headers": [], "body": '{"outp'}})
    assert (broken["told"], broken["direct"]) == (None, True)


# The clock

LOCAL = Path(__file__).resolve().parent.parent / "local"
MOVE = """
from datetime import datetime, timedelta
from movable_clock import MovableClock
clock = MovableClock.of_environment()
for time in ("2031-05-06T07:08:09+00:00", "2031-05-06T06:00:00+00:00", "2031-06-01T00:00:00+00:00"):
    clock.move_to(datetime.fromisoformat(time))
    print(clock.now().isoformat(timespec="minutes"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the library uses LD_PRELOAD and a Linux system call")
def test_the_clock_moves_forward_and_never_back(tmp_path):
    library, file = tmp_path / "movable_clock.so", tmp_path / "clock"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, LOCAL / "movable_clock.c"], check=True)
    file.write_bytes(bytes(8))
    moved = {**os.environ, "LD_PRELOAD": str(library), "SENTRY_CLOCK_FILE": str(file), "PYTHONPATH": str(LOCAL)}
    ended = subprocess.run([sys.executable, "-B", "-c", MOVE], env=moved, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["2031-05-06T07:08+00:00", "2031-05-06T07:08+00:00", "2031-06-01T00:00+00:00"]
    # Without the library, the machine's own time cannot be moved.
    del moved["LD_PRELOAD"]
    ended = subprocess.run([sys.executable, "-B", "-c", MOVE], env=moved, capture_output=True, text=True, check=False)
    assert "ClockError" in ended.stderr


# Cost Explorer

NOVEMBER = {"Start": "2026-11-01", "End": "2026-12-01"}
BY_TAG = [{"Type": "TAG", "Key": "costCenter"}]
TAGS = {"costCenter": date(2026, 1, 1)}


def usage(**changes):
    request = {"TimePeriod": NOVEMBER, "Granularity": "MONTHLY", "Metrics": ["UnblendedCost"]}
    return {**request, **changes}


def explorer(now=NOW, tags=None, periods=31):
    return CostExplorer(Bill(small_month()["bill"], TAGS if tags is None else tags), now, periods)


def groups(found):
    return {
        tuple(group["Keys"]): group["Metrics"]["UnblendedCost"]["Amount"]
        for group in found["ResultsByTime"][0]["Groups"]
    }


@pytest.fixture(name="client")
def fixture_client():
    server = start(explorer(periods=7))
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield boto3.client("ce", endpoint_url=url, region_name="us-east-1", **keys)
    server.shutdown()
    server.server_close()


def check_shape(value, shape, path="answer"):
    """Fails if a value has members, types, enumeration values or patterns that the service model does not have."""
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), path
        assert set(shape.required_members) <= set(value), path
        for name, inner in value.items():
            check_shape(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            check_shape(inner, shape.member, path)
    elif shape.type_name == "map":
        for inner in value.values():
            check_shape(inner, shape.value, path)
    elif shape.type_name == "boolean":
        assert isinstance(value, bool), path
    else:
        assert isinstance(value, str), path
        assert not shape.enum or value in shape.enum, path
        pattern = shape.metadata.get("pattern")
        assert not pattern or re.search(pattern, value), path


def test_answers_have_the_shapes_of_the_service_model():
    model = service_model()
    requests = [
        usage(),
        usage(GroupBy=BY_TAG, Granularity="DAILY", Metrics=["UnblendedCost", "UsageQuantity"]),
        usage(GroupBy=[{"Type": "PRODUCT_ATTRIBUTE", "Key": "model"}, {"Type": "DIMENSION", "Key": "SERVICE"}]),
    ]
    for request in requests:
        answered = explorer(periods=9).answer("GetCostAndUsage", request)
        check_shape(answered, model.operation_model("GetCostAndUsage").output_shape)
    answered = explorer().answer("ListCostAllocationTags", {})
    check_shape(answered, model.operation_model("ListCostAllocationTags").output_shape)
    assert answered["CostAllocationTags"][0]["LastUsedDate"] == "2026-11-30T00:00:00Z"


def test_costs_by_tag_reach_a_client_page_by_page(client):
    costs: dict[str, Decimal] = {}
    token: dict[str, str] = {}
    pages = 0
    while True:
        found = client.get_cost_and_usage(**usage(Granularity="DAILY", GroupBy=BY_TAG), **token)
        pages += 1
        for result in found["ResultsByTime"]:
            assert result["Total"] == {}
            for group in result["Groups"]:
                amount = Decimal(group["Metrics"]["UnblendedCost"]["Amount"])
                costs[group["Keys"][0]] = costs.get(group["Keys"][0], Decimal(0)) + amount
        if "NextPageToken" not in found:
            break
        token = {"NextPageToken": found["NextPageToken"]}
    assert costs == {"costCenter$engineering": Decimal("0.0150975"), "costCenter$": Decimal("1.6")}
    assert pages == 5
    with pytest.raises(ClientError) as changed:
        client.get_cost_and_usage(**usage(Granularity="DAILY"), **token)
    assert changed.value.response["Error"]["Code"] == "RequestChangedException"


def test_the_bill_gets_a_day_twenty_four_hours_after_its_end():
    last = {"Start": "2026-11-30", "End": "2026-12-01"}
    day = datetime(2026, 12, 2, tzinfo=UTC)
    for now, amount in ((day - timedelta(seconds=1), "0"), (day, "0.00198")):
        found = explorer(now).answer("GetCostAndUsage", usage(TimePeriod=last))
        assert found["ResultsByTime"][0]["Total"]["UnblendedCost"] == {"Amount": amount, "Unit": "USD"}


def test_claude_is_a_product_of_its_own_and_product_attributes_find_it():
    service = {"Dimensions": {"Key": "SERVICE", "Values": ["Amazon Bedrock"]}}
    found = explorer().answer(
        "GetCostAndUsage", usage(Filter=service, GroupBy=[{"Type": "DIMENSION", "Key": "SERVICE"}])
    )
    assert groups(found) == {("Amazon Bedrock",): "1.6"}
    by_model = [{"Type": "PRODUCT_ATTRIBUTE", "Key": "model"}]
    found = explorer().answer("GetCostAndUsage", usage(GroupBy=by_model))
    assert groups(found) == {("model$Claude Sonnet 4.6",): "0.0150975", ("model$Mistral Large 3",): "1.6"}
    anthropic = {"ProductAttributes": {"Key": "provider", "Values": ["Anthropic"]}}
    output = {"ProductAttributes": {"Key": "inferenceType", "Values": ["Output tokens"]}}
    found = explorer().answer("GetCostAndUsage", usage(Filter={"And": [anthropic, output]}, GroupBy=by_model))
    assert groups(found) == {("model$Claude Sonnet 4.6",): "0.00165"}
    found = explorer().answer("GetCostAndUsage", usage(Filter={"Not": anthropic}, GroupBy=BY_TAG))
    assert groups(found) == {("costCenter$",): "1.6"}


def test_a_tag_works_for_the_costs_since_its_activation():
    found = explorer(tags={}).answer("GetCostAndUsage", usage(GroupBy=BY_TAG))
    assert groups(found) == {("costCenter$",): "1.6150975"}
    found = explorer(tags={"costCenter": date(2026, 11, 4)}).answer("GetCostAndUsage", usage(GroupBy=BY_TAG))
    assert groups(found) == {("costCenter$",): "1.6117975", ("costCenter$engineering",): "0.0033"}
    absent = {"Tags": {"Key": "costCenter", "MatchOptions": ["ABSENT"]}}
    found = explorer().answer("GetCostAndUsage", usage(Filter=absent))
    assert found["ResultsByTime"][0]["Total"]["UnblendedCost"]["Amount"] == "1.6"


@pytest.mark.parametrize(
    "name, changes",
    [
        ("ValidationException", {"TimePeriod": {"Start": "2026-11-02", "End": "2026-11-02"}}),
        ("ValidationException", {"TimePeriod": {"Start": "2026-12-02", "End": "2026-12-05"}}),
        ("ValidationException", {"Granularity": "WEEKLY"}),
        ("ValidationException", {"Metrics": ["Cost"]}),
        ("ValidationException", {"GroupBy": BY_TAG * 3}),
        ("ValidationException", {"GroupBy": [{"Type": "DIMENSION", "Key": "AZ"}]}),
        ("ValidationException", {"Filter": {"Dimensions": {"Key": "COLOR", "Values": ["red"]}}}),
        ("ValidationException", {"Colour": "red"}),
        ("InvalidNextTokenException", {"NextPageToken": "nonsense"}),
        ("DataUnavailableException", {"Granularity": "HOURLY"}),
        (
            "DataUnavailableException",
            {
                "TimePeriod": {"Start": "2026-08-31", "End": "2026-10-01"},
                "GroupBy": [{"Type": "PRODUCT_ATTRIBUTE", "Key": "model"}],
            },
        ),
    ],
)
def test_requests_that_cost_explorer_refuses(name, changes):
    with pytest.raises(Refused) as refused:
        explorer().answer("GetCostAndUsage", usage(**changes))
    assert refused.value.name == name


def test_an_operation_that_the_stand_in_does_not_have_is_refused(client):
    with pytest.raises(ClientError) as refused:
        client.get_cost_forecast(TimePeriod=NOVEMBER, Metric="UNBLENDED_COST", Granularity="MONTHLY")
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"


# The performance analysis of the articles


def test_the_requests_are_those_of_the_published_analysis():
    planned = sorted(plan())
    assert len(planned) == 501
    assert planned[0] == (20, 6_760)
    assert planned[-1] == (500, 32_240)
    assert planned != plan()


def test_the_events_of_an_execution_follow_from_the_types_of_its_states():
    definition = {
        "States": {
            "A": {"Type": "Task"},
            "B": {"Type": "Parallel", "Branches": [{"States": {"C": {"Type": "Pass"}}}]},
            "D": {"Type": "Succeed"},
        }
    }
    types = state_types(definition)
    spans: list[dict[str, Any]] = [{"kind": "state", "name": name, "inside": []} for name in "ABD"]
    within = {"kind": "state", "name": "C", "inside": []}
    spans[1]["inside"] = [{"kind": "branch", "name": "C", "inside": [within]}]
    found = events_and_states({"inside": spans}, types)
    # ExecutionStarted and ExecutionSucceeded; five of the task; four of the parallel state; two each of C and D.
    assert found == (2 + 5 + 4 + 2 + 2, 4)
    assert EVENTS_OF_EXECUTION + sum(EVENTS[types[name]] for name in "ABCD") == found[0]
