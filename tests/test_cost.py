"""The arithmetic of `cargo xtask cost`: the published sums, and the rounding rules of AWS. Needs no endpoint."""

from decimal import Decimal
from typing import Any

import pytest

import cost_prices as prices
import cost_watching as watching
import sam_template
from cost import WATCHED
from cost_counts import units
from cost_rows import Counts, Load, bill
from cost_template import Deployed, Values
from counting_proxy import Call
from metric_queries import PUBLISHED, REQUEST
from test_alarms import SERIES
from test_template import RESOURCES, ROOT

TEMPLATE_FILE = sam_template.load(ROOT / "template.yaml")

DAY = Load(requests=100_000, model_ms=35_000)
TEMPLATE = Deployed(
    memory_mb={
        "ReserveFunction": 256,
        "InvokeModelFunction": 128,
        "EmitMetricsFunction": 128,
        "SweepHoldsFunction": 256,
    },
    system_log={
        "ReserveFunction": False,
        "InvokeModelFunction": False,
        "EmitMetricsFunction": False,
        "SweepHoldsFunction": False,
    },
    batch_size=100,
    batch_seconds=30,
    usage_cache_seconds=60,
    traced=True,
)


def counts(**changed):
    """The counts of a request that calls one function besides the function that calls the model."""
    calls = {"ReserveFunction": [10], "InvokeModelFunction": [4]}
    given: dict[str, Any] = {
        "calls_ms": calls,
        "emit_ms": 20,
        "own_ms": 40,
        "definition_bytes": 20_000,
        "payload_bytes": 2_000,
        "payloads": 10,
        "write_units": Decimal(10),
        "read_units": Decimal(19),
        "message_bytes": 900,
        "metrics_put": 12,
        "log_bytes": 500,
    }
    return Counts(**given | changed)


def rows(made):
    return {row.item: row.dollars for row in made.rows}


def test_the_published_standard_workflow_comes_to_the_cent():
    assert prices.cents(prices.published_standard()) == Decimal("37.40")


def test_the_published_express_workflow_comes_to_the_cent():
    assert prices.cents(prices.published_express()) == Decimal("3.75")


@pytest.mark.parametrize(
    ("milliseconds", "billed"), [(1, 100), (100, 100), (101, 200), (35_000, 35_000), (35_001, 35_100)]
)
def test_an_express_execution_is_billed_in_steps_of_100_ms(milliseconds, billed):
    assert prices.express_gb_seconds(milliseconds, 64) == Decimal(billed) / 1000 / 16


@pytest.mark.parametrize(("payload", "billed"), [(0, 64), (100_000, 64), (14 * 2**20, 64), (14 * 2**20 + 1, 128)])
def test_express_memory_is_billed_in_steps_of_64_mb(payload, billed):
    assert prices.express_memory_mb(0, payload, 1) == billed


@pytest.mark.parametrize(("size", "units"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (4900, 5)])
def test_a_write_costs_a_unit_for_each_kilobyte_and_twice_that_in_a_transaction(size, units):
    assert prices.write_units(size) == units
    assert prices.write_units(size, transaction=True) == 2 * units


@pytest.mark.parametrize(("size", "units"), [(0, "1"), (4096, "1"), (4097, "2")])
def test_a_read_costs_a_unit_for_each_four_kilobytes_and_half_if_it_may_be_old(size, units):
    assert prices.read_units(size, consistent=True) == Decimal(units)
    assert prices.read_units(size, consistent=False) == Decimal(units) / 2
    assert prices.read_units(size, consistent=True, transaction=True) == Decimal(units) * 2


def test_half_a_cent_is_rounded_up():
    assert prices.cents(Decimal("3.745")) == Decimal("3.75")
    assert prices.cents(Decimal("3.7449")) == Decimal("3.74")


def test_an_item_is_as_large_as_its_names_and_values():
    assert prices.item_bytes({"scope": {"S": "model"}, "held": {"N": "12345"}}) == 5 + 5 + 4 + 4
    assert prices.item_bytes({"m": {"M": {"a": {"S": "é"}}}}) == 1 + 3 + 1 + 2 + 1


def test_traces_are_all_kept_up_to_one_a_second_and_one_in_twenty_above():
    assert prices.traced_share(Decimal("0.5")) == 1
    assert prices.traced_share(Decimal(2)) == Decimal("0.525")


def test_a_day_of_100000_requests_of_35_seconds_has_41_in_flight():
    assert DAY.in_flight == 41


def test_only_the_function_that_waits_pays_for_the_wait():
    by_function, natively = (
        bill(counts(), TEMPLATE, DAY),
        bill(counts(calls_ms={"ReserveFunction": [10]}), TEMPLATE, DAY),
    )
    # 35 s x 128 MB = 4.375 GB-seconds.
    assert rows(by_function)["Lambda wait"] == 100_000 * Decimal("4.375") * Decimal("0.0000133334")
    assert "Lambda wait" not in rows(natively)


def test_an_approved_request_is_billed_for_the_wait_and_a_denied_one_is_not():
    # 35,040 ms are billed as 35.1 s, 40 ms as 0.1 s, both at 64 MB.
    rate = Decimal("0.00001667")
    assert rows(bill(counts(), TEMPLATE, DAY))["Express duration"] == 100_000 * Decimal("35.1") / 16 * rate
    assert rows(bill(counts(model=False), TEMPLATE, DAY))["Express duration"] == 100_000 * Decimal("0.1") / 16 * rate


def test_figures_are_asked_for_once_in_the_time_that_they_are_used_again():
    made = bill(counts(minute_metrics=6), TEMPLATE, DAY)
    assert rows(made)["GetMetricData"] == 1440 * 6 * Decimal("0.00001")


def test_every_amount_is_a_decimal_and_the_sum_is_that_of_the_rows():
    made = bill(counts(), TEMPLATE, DAY)
    assert all(isinstance(row.dollars, Decimal) for row in made.rows)
    assert made.total == sum(rows(made).values())


def test_parameters_and_conditions_of_the_template_are_resolved():
    template = {
        "Parameters": {"Way": {"Default": "lambda"}},
        "Conditions": {"Native": {"Fn::Equals": [{"Ref": "Way"}, "native"]}},
    }
    choice = {"Fn::If": ["Native", False, True]}
    assert Values(template, {}).of(choice) is True
    assert Values(template, {"Way": "native"}).of(choice) is False


def call(operation, **request):
    return Call("ReserveFunction", operation, request, 100)


def test_a_transaction_counts_each_of_its_items_twice():
    check = {"TableName": "ledger", "Key": {"scope": {"S": "a"}}}
    sizes: dict[tuple[str, ...], int] = {("ledger", "a"): 3000, ("ledger", "b"): 500}
    made = call(
        "TransactWriteItems",
        TransactItems=[{"ConditionCheck": check}, {"Update": check | {"Key": {"scope": {"S": "b"}}}}],
    )
    assert units([made], sizes) == (2 * 3 + 2 * 1, 0)


def test_a_batch_reads_each_of_its_keys_whether_it_is_there_or_not():
    keys = [{"modelId": {"S": name}} for name in ("default", "absent", "large")]
    made = call("BatchGetItem", RequestItems={"limits": {"Keys": keys, "ConsistentRead": True}})
    assert units([made], {("limits", "default"): 100, ("limits", "large"): 5000}) == (0, 1 + 1 + 2)


def test_a_new_item_has_the_size_that_is_sent_and_an_old_one_the_size_that_it_has():
    sent = call("PutItem", TableName="requests", Item={"requestId": {"S": "x" * 1500}})
    changed = call("UpdateItem", TableName="ledger", Key={"scope": {"S": "a"}})
    assert units([sent, changed], {("ledger", "a"): 4900}) == (2 + 5, 0)


def test_the_parts_of_a_key_may_come_in_any_order():
    key = {"window": {"S": "2026-11"}, "scope": {"S": "a"}}
    assert units([call("UpdateItem", TableName="ledger", Key=key)], {("ledger", "a", "2026-11"): 4900}) == (5, 0)


def test_the_metrics_that_are_paid_are_those_that_are_published():
    """The numbers of metrics per combination, scope and model follow from the dimensions of the metrics."""
    sizes = {REQUEST: watching.OF_A_COMBINATION, frozenset({"Scope"}): watching.OF_A_SCOPE}
    sizes[frozenset({"ModelId"})] = watching.OF_A_MODEL
    for dimensions, expected in sizes.items():
        assert sum(each == dimensions for each in PUBLISHED.values()) == expected
    steps, degradations, codes = 5, 2, 5
    assert sum(not each for each in PUBLISHED.values()) + steps + degradations + codes == watching.OF_THE_STACK


def test_the_alarms_on_queries_are_paid_by_the_metrics_that_they_read():
    """Doubling one of the numbers adds the metrics of the alarms that read it."""
    full = [name for name in SERIES if RESOURCES[name]["Condition"] == "FullObservability"]
    read = [PUBLISHED[SERIES[name][0]] for name in full]
    expected = read.count(frozenset({"Scope"})) * 27 + read.count(REQUEST) * 24 + read.count(frozenset({"ModelId"})) * 8
    (row,) = [each for each in watching.month(TEMPLATE_FILE, WATCHED) if "alarms on queries" in each.item]
    assert row.dollars == expected * prices.PRICES["metric of a query alarm"]


def test_the_operations_guide_has_the_table_of_watching():
    text = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    assert "\n".join(watching.table(watching.month(TEMPLATE_FILE, WATCHED))) in text
