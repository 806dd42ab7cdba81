"""The usage history has the figures of each answer, for every scope of the request."""

from decimal import Decimal

import pytest

from contract import check_error, check_succeeded
from sentry_client import document, unique

MODEL = "us.amazon.nova-lite-v1:0"


def picodollars(answer):
    return int(Decimal(answer["cost"]["usd"]) * 10**12)


@pytest.mark.local
def test_an_approved_a_denied_and_a_failed_request_count_once_for_every_scope(sentry):
    application, center = unique("e2e-history"), unique("e2e-history")
    tags = {"applicationId": application, "costCenter": center, "userId": application}
    sent = document("nova-lite", tags=tags, input_tokens=21, output_tokens=143, parameters={"max_tokens": 200})
    answer = check_succeeded(sentry.ask(sent), sent)
    failed = document("nova-lite", tags=tags, fault="model-error")
    check_error(sentry.ask(failed), "ModelError", failed)
    sentry.set_limit(f"costCenter#{center}", {"output": 0})
    denied = document("nova-lite", tags=tags)
    check_error(sentry.ask(denied), "BudgetExceeded", denied)
    own = f"application#{application}", f"costCenter#{center}", f"user#{application}"
    for scope in (*own, f"application#{application}+model#{MODEL}", f"costCenter#{center}+model#{MODEL}"):
        sums = sentry.history(scope, requests=3)
        assert {
            name: sums.get(name)
            for name in ("requests", "approved", "settled", "input", "output", "picodollars", "unpriced")
        } == {
            "requests": 3,
            "approved": 2,
            "settled": 1,
            "input": 21,
            "output": 143,
            "picodollars": picodollars(answer),
            "unpriced": None,
        }
        assert (sums["denied"], sums["denied#BudgetExceeded"], sums["failed"], sums["failed#ModelError"]) == (
            1,
            1,
            1,
            1,
        )
        assert sums["heldInput"] >= 21 and sums["heldOutput"] == 200
    assert sentry.history(f"model#{MODEL}", requests=3)["approved"] >= 2


@pytest.mark.local
def test_a_failure_counts_its_hold_only_where_nobody_knows_what_it_used(sentry):
    application = unique("e2e-history")
    throttled = document(
        "nova-lite", tags={"applicationId": application}, fault="throttling", parameters={"max_tokens": 77}
    )
    check_error(sentry.ask(throttled), "ModelThrottled", throttled)
    assert sentry.history(f"application#{application}", requests=1) == {
        "requests": 1,
        "approved": 1,
        "failed": 1,
        "failed#ModelThrottled": 1,
    }
    hanging = document("nova-lite", tags={"applicationId": application}, fault="hang", parameters={"max_tokens": 77})
    check_error(sentry.ask(hanging), "ModelTimeout", hanging)
    sums = sentry.history(f"application#{application}", requests=2)
    assert (sums["unknown"], sums["unknownOutput"], sums.get("settled")) == (1, 77, None)
