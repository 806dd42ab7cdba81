"""Limits in dollars are exact to the last decimal. They apply only to models that have a price."""

from decimal import Decimal

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from sentry_client import document, number, text, unique

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PICODOLLAR = Decimal("0.000000000001")


@pytest.fixture
def center(sentry):
    """Returns the scope and the tags of a cost center that no other test uses."""
    value = unique("e2e-dollars")
    return f"costCenter#{value}", {"applicationId": "e2e-dollars", "costCenter": value}


def unpriced():
    """Returns the id of a model that no other test uses and that has no known price."""
    return f"writer.{unique('e2e')}-v1:0"


def dollars(answer, scope):
    return {name: Decimal(value) for name, value in entry_of(answer, scope)["usd"].items()}


@pytest.mark.local
@pytest.mark.parametrize(
    "cached, usd, shown", [("cache_write", "0.170335", "99.829665"), ("cache_read", "0.018535", "99.981465")]
)
def test_published_prices_are_met_exactly(sentry, center, cached, usd, shown):
    scope, tags = center
    sentry.set_limit(scope, {"usd": 100})
    sent = document(HAIKU, tags=tags, input_tokens=350, output_tokens=900, **{cached: 120_000})
    answer = check_succeeded(sentry.ask(sent), sent)
    assert Decimal(answer["cost"]["usd"]) == Decimal(usd)
    assert dollars(answer, scope) == {"limit": 100, "used": Decimal(usd), "reserved": 0, "remaining": Decimal(shown)}
    assert entry_of(answer, scope)["usd"]["limit"] == "100.00"
    again = check_succeeded(sentry.ask(sent), sent)
    assert dollars(again, scope)["used"] == 2 * Decimal(usd)


@pytest.mark.local
def test_dollars_of_the_model_itself(sentry):
    """No other test uses this window with this model, so CloudWatch and the ledger have only these requests in it."""
    model = "amazon.nova-pro-v1:0"
    try:
        sentry.set_limit(model, {"usd": 1}, window="hour")
        sent = document(model, parameters={"max_tokens": 1000}, input_tokens=1000, output_tokens=500)
        for times in (1, 2):
            answer = check_succeeded(sentry.ask(sent), sent)
            assert dollars(answer, f"model#{model}")["used"] == times * Decimal("0.0024")
    finally:
        sentry.delete_limit(model)


@pytest.mark.local
def test_models_of_different_prices_share_one_budget(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"usd": number("0.5"), "output": 100_000})
    spent = Decimal(0)
    for model in ("nova-lite", "nova-micro", "nova-pro", HAIKU):
        answer = check_succeeded(
            sentry.ask(document(model, tags=tags, parameters={"max_tokens": 100}, input_tokens=10, output_tokens=33))
        )
        spent += Decimal(answer["cost"]["usd"])
        assert dollars(answer, scope)["used"] == spent
    assert entry_of(answer, scope)["output"]["used"] == 4 * 33


@pytest.mark.local
def test_bound_in_dollars_is_exact(sentry, center):
    """The amount that a denial gives as needed is enough. One picodollar less is not enough."""
    scope, tags = center
    sentry.set_limit(scope, {"usd": 0})
    sent = document(
        HAIKU, text("How much?", input_tokens=20, output_tokens=10), tags=tags, parameters={"max_tokens": 100}
    )
    answer = sentry.ask(sent)
    details = check_error(answer, "BudgetExceeded", sent)
    assert (details["exceeded"], details["scope"], details["remaining"]) == ("usd", scope, "0.00")
    needed = Decimal(details["needed"])
    # At least the maximum of output tokens at $5.50 per million.
    assert needed >= 100 * Decimal("0.0000055")
    sentry.set_limit(scope, {"usd": needed - PICODOLLAR})
    assert check_error(sentry.ask(sent), "BudgetExceeded", sent)["remaining"] == f"{needed - PICODOLLAR:f}"
    sentry.set_limit(scope, {"usd": needed})
    answer = check_succeeded(sentry.ask(sent), sent)
    assert dollars(answer, scope)["used"] == Decimal(answer["cost"]["usd"])


@pytest.mark.local
def test_default_maximum_is_lowered_to_what_the_dollars_allow(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"usd": number("0.01")})
    sent = document(HAIKU, tags=tags)
    answer = check_succeeded(sentry.ask(sent), sent)
    to = answer["degraded"]["to"]
    assert 16 <= to < 2048 and to * Decimal("0.0000055") <= Decimal("0.01")
    assert answer["usage"]["outputTokens"] <= to


@pytest.mark.local
@pytest.mark.parametrize("limit", [{"usd": 100}, {"usd": 100, "output": 5000}, {"usd": 0}], ids=str)
def test_model_without_a_price_cannot_pass_a_limit_in_dollars(sentry, center, limit):
    scope, tags = center
    model = unpriced()
    for key in (scope, model):
        sentry.set_limit(key, limit)
        sent = document(model, tags=tags)
        answer = sentry.ask(sent)
        details = check_error(answer, "ModelNotPriced", sent)
        assert (details["item"], details["field"]) == (key, "limit.usd")
        assert details["model"] in answer["model"].values()
        sentry.delete_limit(key)
    assert sentry.calls(model) == 0


@pytest.mark.local
@pytest.mark.parametrize("key", ["default", "costCenter#default"])
def test_fallback_in_dollars_is_named_too(sentry, center, key):
    _, tags = center
    sent = document(unpriced(), tags=tags)
    with sentry.default_item({"limit": {"usd": 100}}, key=key):
        details = check_error(sentry.ask(sent), "ModelNotPriced", sent)
    assert (details["item"], details["field"]) == (key, "limit.usd")


@pytest.mark.local
def test_model_without_a_price_is_served_where_no_dollars_are_limited(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"output": 5000})
    sent = document(unpriced(), tags=tags)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["cost"] == {"priced": False}
    assert "usd" not in entry_of(answer, scope)
    # With a limit in dollars, the cost center admits only models that have a price.
    sentry.set_limit(scope, {"usd": 1})
    check_error(sentry.ask(sent), "ModelNotPriced", sent)
    check_succeeded(sentry.ask(document("nova-lite", tags=tags)))


@pytest.mark.parametrize(
    "written, shown",
    [
        ("100", "100.00"),
        ("0.5", "0.50"),
        ("3.25", "3.25"),
        ("0.000000000001", "0.000000000001"),
        ("9007199254", "9007199254.00"),
        ("0", "0.00"),
    ],
)
def test_limit_is_shown_as_it_was_written(sentry, center, written, shown):
    scope, tags = center
    sentry.set_limit(scope, {"usd": number(written)})
    assert entry_of(sentry.ask(document("nova-lite", tags=tags)), scope)["usd"]["limit"] == shown


@pytest.mark.local
def test_dollars_are_net_of_the_accounts_discount(sentry, center):
    scope, tags = center
    sentry.set_limit(scope, {"usd": 100})
    sent = document("amazon.nova-pro-v1:0", tags=tags, input_tokens=1000, output_tokens=500)
    listed = Decimal(check_succeeded(sentry.ask(sent), sent)["cost"]["usd"])
    with sentry.reconfigured("ValidateAndTagFunction", SENTRY_DISCOUNT_PERCENT="12.5"):
        answer = check_succeeded(sentry.ask(sent), sent)
    net = listed * Decimal("0.875")
    assert (answer["cost"]["discountPercent"], Decimal(answer["cost"]["usd"])) == ("12.5", net)
    assert dollars(answer, scope)["used"] == listed + net
