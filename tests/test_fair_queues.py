"""The fair queues of the local AWS (local/fair_queues.py). Needs no endpoint. The rules are those of the Amazon SQS Developer Guide,
"How Amazon SQS fair queues work".
"""

import time
from collections import Counter

import pytest

from fair_queues import FairOrder, Times, in_fair_order


def message(group, number=0, visible_at=0.0, received=0):
    return {"id": f"{group}-{number}", "group_id": group, "visible_at": visible_at, "receive_count": received}


def order(visible, in_flight, times=None):
    return [each["group_id"] for each in in_fair_order(visible, Counter(in_flight), times or Times())]


def test_a_tenant_with_many_messages_in_flight_comes_after_the_others():
    visible = [message("a"), message("b"), message("a", 1), message("c")]
    assert order(visible, {"a": 30, "b": 5}) == ["b", "c", "a", "a"]


@pytest.mark.parametrize("in_flight", [{"a": 29, "b": 5}, {"a": 30, "b": 270}, {}])
def test_a_tenant_with_few_messages_or_a_small_share_is_not_noisy(in_flight):
    visible = [message("a"), message("d")]
    assert order(visible, in_flight) == ["a", "d"]


def test_a_tenant_with_much_of_the_consumers_time_is_noisy_with_few_messages(monkeypatch):
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    times = Times()
    now += 10
    times.pass_to_now(Counter({"a": 9, "b": 1}))
    # A tenth is not more than a tenth.
    assert order([message("a"), message("b")], {"a": 9, "b": 1}, times) == ["b", "a"]
    now += 600
    times.pass_to_now(Counter())
    now += 10
    times.pass_to_now(Counter({"b": 1}))
    assert order([message("b"), message("a")], {"b": 1}, times) == ["a", "b"]


def test_of_noisy_tenants_the_one_with_the_fewest_messages_in_flight_comes_first():
    visible = [message("a"), message("b")]
    assert order(visible, {"a": 60, "b": 40}) == ["b", "a"]


def test_a_message_without_a_group_is_a_tenant_of_its_own():
    """It comes before a noisy tenant, and the queue of a client that gives no groups stays in its order."""
    assert order([message("a"), message(None)], {"a": 30}) == [None, "a"]
    alone = [message(None, number) for number in range(3)]
    assert FairOrder()({"messages": alone}, alone, now=1.0) == alone


def test_only_messages_that_were_received_are_in_flight():
    delayed = [message("a", number, visible_at=9.0) for number in range(30)]
    taken = [message("a", number, visible_at=9.0, received=1) for number in range(30)]
    visible = [message("a", 99), message("b")]
    for others, expected in ((delayed, ["a", "b"]), (taken, ["b", "a"])):
        found = FairOrder()({"messages": [*others, *visible]}, visible, now=1.0)
        assert [each["group_id"] for each in found] == expected


@pytest.mark.parametrize(("received", "expected"), [(1, ["large", "small"]), (0, ["small", "large"])])
def test_messages_that_wait_hidden_let_a_large_tenant_seem_quiet(monkeypatch, received, expected):
    """The reason for which the request queue sends a message that waits again with a delay."""
    now, order = 1_000.0, FairOrder()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    visible = [message("large", 99), message("small")]
    waiting = [message("waits", number, visible_at=9.0, received=received) for number in range(1_600)]
    running = [message("large", number, visible_at=9.0, received=1) for number in range(10)]
    for in_flight in ([], waiting, running, running):
        found = order({"messages": [*in_flight, *visible]}, visible, now=1.0)
        now += 10
    assert [each["group_id"] for each in found] == expected
