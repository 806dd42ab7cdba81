"""Fair queues of SQS for the local AWS, which itself returns the messages of a standard queue in the order of sending.

Source of the rules: Amazon SQS Developer Guide, "How Amazon SQS fair queues work", read in November 2026. A tenant is a
`MessageGroupId`; a message without one is a tenant of its own. A tenant is noisy if it has more than a tenth of the messages in
flight, and at least 30 of them, or if it recently had more than a tenth of the consumers' time. Messages of tenants that are not
noisy come first. Among noisy tenants, the one with the fewest messages in flight comes first. A tenant without a backlog is not
noisy.

AWS calls these thresholds approximate, and does not say how long "recently" is. Here, a second of a consumer's time counts half
after 30 seconds. AWS also calls a tenant quiet that has sent nothing for five minutes; this is left out.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

NOISY_SHARE = 0.1
NOISY_IN_FLIGHT = 30
HALF_LIFE_SECONDS = 30.0
Message = dict[str, Any]


class Times:
    """The recent consumer time of each tenant of a queue, in seconds."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._at = time.monotonic()

    def pass_to_now(self, in_flight: Counter[str]) -> None:
        """Adds the time since the last call for each message in flight."""
        now = time.monotonic()
        passed, self._at = now - self._at, now
        remaining = 0.5 ** (passed / HALF_LIFE_SECONDS)
        self._spent = {tenant: seconds * remaining for tenant, seconds in self._spent.items() if seconds > 0.001}
        for tenant, number in in_flight.items():
            self._spent[tenant] = self._spent.get(tenant, 0.0) + number * passed

    def share(self, tenant: str) -> float:
        """The tenant's part of all consumers' time."""
        return self._spent.get(tenant, 0.0) / (sum(self._spent.values()) or 1)


def in_fair_order(visible: list[Message], in_flight: Counter[str], times: Times) -> list[Message]:
    """The messages that can be received, those of tenants that are not noisy first."""
    whole = in_flight.total()

    def place(message: Message) -> int:
        tenant = message["group_id"]
        if not tenant:
            return 0
        own = in_flight[tenant]
        is_noisy = (own >= NOISY_IN_FLIGHT and own > whole * NOISY_SHARE) or times.share(tenant) > NOISY_SHARE
        return 1 + own if is_noisy else 0

    tenants = {message["group_id"]: message for message in visible}
    places = {tenant: place(message) for tenant, message in tenants.items()}
    return sorted(visible, key=lambda message: places[message["group_id"]])


class FairOrder:
    """Orders the visible messages of every standard queue."""

    def __init__(self) -> None:
        # The list of a queue's messages is replaced at times, but not the queue itself.
        self._times: dict[int, Times] = {}

    def __call__(self, queue: Any, visible: list[Message], now: float) -> list[Message]:
        """The messages of `queue` that are visible at `now`, in the order in which they are received."""
        if not any(message["group_id"] for message in visible):
            return visible
        taken = (message for message in queue["messages"] if message["visible_at"] > now and message["receive_count"])
        in_flight = Counter(message["group_id"] or message["id"] for message in taken)
        times = self._times.setdefault(id(queue), Times())
        times.pass_to_now(in_flight)
        return in_fair_order(visible, in_flight, times)
