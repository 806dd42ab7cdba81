"""Mistakes in limits items of models and of other scopes. The denial names the mistake, and no mistake is ignored."""

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from sentry_client import document, number, unique

LIMIT = {"output": 100_000}


def with_limit(**attributes):
    return {"limit": LIMIT, **attributes}


# The fields of the item besides its key, and the fields of which the details must name one.
MALFORMED = {
    "dollars in a string": ({"limit": {"usd": "100"}}, "limit.usd"),
    "dollars are negative": ({"limit": {"usd": number("-0.01")}}, "limit.usd"),
    "dollars beyond any budget": ({"limit": {"usd": 9_007_199_255}}, "limit.usd"),
    "dollars are a boolean": ({"limit": {"usd": True}}, "limit.usd"),
    "dollars are a list": ({"limit": {"usd": [100]}}, "limit.usd"),
    "dollars are negative beside a good limit": ({"limit": {"output": 5, "usd": -1}}, "limit.usd"),
    "input is negative": ({"limit": {"input": -1}}, "limit.input"),
    "input is a string": ({"limit": {"input": "1000"}}, "limit.input"),
    "output is a fraction": ({"limit": {"output": number("10.5")}}, "limit.output"),
    "output beyond any count": ({"limit": {"output": 2**53 + 1}}, "limit.output"),
    "limit is empty": ({"limit": {}}, "limit"),
    "limit is missing": ({}, "limit"),
    "unknown unit": ({"limit": {"output": 5, "eur": 5}}, "limit.eur"),
    "unknown attribute": (with_limit(timezone="UTC"), "timezone"),
    "window is unknown": (with_limit(window="fortnight"), "window"),
    "window in capitals": (with_limit(window="Month"), "window"),
    "window is empty": (with_limit(window=""), "window"),
    "window is a number": (with_limit(window=30), "window"),
    "time zone is unknown": (with_limit(timeZone="Mars/Olympus"), "timeZone"),
    "time zone is an offset": (with_limit(timeZone="+01:00"), "timeZone"),
    "time zone is empty": (with_limit(timeZone=""), "timeZone"),
    "time zone is a number": (with_limit(timeZone=1), "timeZone"),
    "alert over 100": (with_limit(alertAt=[50, 101]), "alertAt[1]"),
    "alert at 0": (with_limit(alertAt=[0]), "alertAt[0]"),
    "alert is negative": (with_limit(alertAt=[50, 80, -1]), "alertAt[2]"),
    "alert twice": (with_limit(alertAt=[50, 50]), "alertAt", "alertAt[1]"),
    "alert is a fraction": (with_limit(alertAt=[number("50.5")]), "alertAt[0]"),
    "alert is a string": (with_limit(alertAt=["80"]), "alertAt[0]"),
    "alerts are empty": (with_limit(alertAt=[]), "alertAt"),
    "alerts are no list": (with_limit(alertAt=80), "alertAt"),
    "alerts are a string": (with_limit(alertAt="50,80"), "alertAt"),
    "no shards": (with_limit(shards=0), "shards"),
    "257 shards": (with_limit(shards=257), "shards"),
    "shards are a string": (with_limit(shards="4"), "shards"),
    "shards are a fraction": (with_limit(shards=number("2.5")), "shards"),
    "shards are negative": (with_limit(shards=-1), "shards"),
    "remedy is a string": (with_limit(whenExceeded="clamp"), "whenExceeded"),
    "remedies are empty": (with_limit(whenExceeded=[]), "whenExceeded"),
    "remedies are a map": (with_limit(whenExceeded={"clamp": True}), "whenExceeded"),
    "remedies are a boolean": (with_limit(whenExceeded=True), "whenExceeded"),
    "remedy is unknown": (with_limit(whenExceeded=["clamp", "deny"]), "whenExceeded[1]"),
    "remedy in capitals": (with_limit(whenExceeded=["Clamp"]), "whenExceeded[0]"),
    "remedy is a number": (with_limit(whenExceeded=[1]), "whenExceeded[0]"),
    "a window twice": (
        {
            "limits": [
                {"window": "day", "limit": LIMIT},
                {"window": "hour", "limit": LIMIT},
                {"window": "day", "limit": LIMIT},
            ]
        },
        "limits[2].window",
    ),
    "limit and limits": ({"limit": LIMIT, "limits": [{"window": "day", "limit": LIMIT}]}, "limit"),
    "unknown unit of a window": (
        {"limits": [{"window": "day", "limit": LIMIT}, {"window": "hour", "limit": {"foo": 1}}]},
        "limits[1].limit.foo",
    ),
    "five windows": (
        {"limits": [{"window": kind, "limit": LIMIT} for kind in ("minute", "hour", "day", "week", "month")]},
        "limits",
    ),
    "in flight in two windows": (
        {"limits": [{"window": kind, "limit": {"inFlight": 2}} for kind in ("minute", "hour")]},
        "limits[1].limit.inFlight",
    ),
    "a day for an instant": (with_limit(until="2099-12-01", window="day"), "until"),
    "an end without a beginning": (with_limit(until="2099-12-01T00:00:00Z"), "from"),
    "a raise of what is not limited": (
        with_limit(**{"raise": {"limit": {"input": 5}, "until": "2099-12-01T00:00:00Z"}}),
        "raise.limit.input",
    ),
    "a raise without an end": (with_limit(**{"raise": {"limit": LIMIT}}), "raise.until"),
    "requests of one request": (with_limit(perRequest={"requests": 1}), "perRequest.requests"),
    "enforcement is unknown": (with_limit(enforce="warn"), "enforce"),
    "stopped without a reason": (with_limit(stopped=""), "stopped"),
    "shared by one value": (with_limit(shared=True), "shared"),
    "remedy twice": (with_limit(whenExceeded=["clamp", "fallback", "clamp"]), "whenExceeded", "whenExceeded[2]"),
}
GOOD = {
    "every attribute": {
        "limit": {"input": 1_000_000, "output": 100_000, "usd": number("1E+2")},
        "window": "week",
        "timeZone": "Europe/Paris",
        "alertAt": [50, 80, 100],
        "shards": 4,
        "whenExceeded": ["clamp", "fallback"],
    },
    "one remedy": with_limit(whenExceeded=["fallback"]),
    "remedies in the other order": with_limit(whenExceeded=["fallback", "clamp"]),
    "dollars with 12 decimals": {"limit": {"usd": number("99.999999999999")}},
    "most dollars": {"limit": {"usd": 9_007_199_254}},
    "most tokens": {"limit": {"output": 2**53}},
    "alerts out of order": with_limit(alertAt=[100, 1]),
    "one shard": with_limit(shards=1),
    "256 shards": with_limit(shards=256),
    "notes at every level": {
        "limit": {**LIMIT, "note": "per team"},
        "note": "agreed with finance",
        "owner": "jo",
        "updatedBy": "ops",
        "updatedAt": 1795262400,
        "ttl": 1,
        "_ticket": [1],
        "aws:rep:updateregion": "us-east-1",
    },
    "nulls": {
        "limit": {**LIMIT, "usd": None},
        "window": None,
        "timeZone": None,
        "alertAt": None,
        "whenExceeded": None,
        "shards": None,
        "limits": None,
    },
    "sets": with_limit(alertAt={50, 80}, whenExceeded={"clamp", "fallback"}),
    "dollars of a binary fraction": {"limit": {"usd": number("275.00000000000006")}},
    "what one request may hold": with_limit(perRequest={"output": 50_000, "usd": None}),
    "whole number with decimals": with_limit(shards=number("2.0"), alertAt=[number("80.0")]),
    "UTC": with_limit(timeZone="UTC"),
}
KINDS = ["model", "costCenter"]


@pytest.fixture(scope="module")
def answers(sentry):
    """Sends a request for each item, once as the item of a model and once as the item of a cost center.

    Returns `{(name, kind): (document, key of the item, answer)}`.
    """
    sent, keys = {}, {}
    for name, item in {**{name: item for name, (item, *_) in MALFORMED.items()}, **GOOD}.items():
        for kind in KINDS:
            model_id = sentry.unpriced_model()
            center = unique("e2e-malformed")
            key = model_id if kind == "model" else f"costCenter#{center}"
            sentry.set_limit(key, **item)
            # A limit in dollars denies every request of a model without a price.
            model = model_id if kind == "model" else "nova-lite"
            sent[name, kind], keys[name, kind] = (
                document(model, tags={"applicationId": "e2e-malformed", "costCenter": center}),
                key,
            )
    ended = sentry.execute_all(sent)
    return {each: (sent[each], keys[each], ended[each]["output"]) for each in sent}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_item_is_named_and_denies(answers, name, kind):
    sent, key, answer = answers[name, kind]
    details = check_error(answer, "LimitMalformed", sent)
    assert details["item"] == key
    assert details["field"] in MALFORMED[name][1:], details


@pytest.mark.local
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GOOD)
def test_good_item_is_understood(answers, name, kind):
    sent, key, answer = answers[name, kind]
    limited = {unit for unit, limit in GOOD[name]["limit"].items() if unit != "note" and limit is not None}
    if kind == "model" and "usd" in limited:
        assert check_error(answer, "ModelNotPriced", sent)["model"]
        return
    check_succeeded(answer, sent)
    entry = entry_of(answer, key if kind == "costCenter" else f"model#{key}")
    assert entry["source"] == kind
    assert {"input", "output", "usd"} & entry.keys() == limited
    if name == "dollars of a binary fraction":
        assert entry["usd"]["limit"] == "275.00"
