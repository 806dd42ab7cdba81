"""A look at the ledger's items of some scopes while requests run: no limit is passed, and the figures of an item add up."""

import time


class WatchedBudget:
    """Scopes that have the same limit of output tokens."""

    def __init__(self, sentry, scopes, limit):
        self._sentry, self.scopes, self.limit = sentry, scopes, limit
        self.breaches, self.latest = [], 0.0

    def watch(self):
        """Compares the ledger with the limits. Returns the number of holds."""
        now, holds = time.time(), 0
        for scope in self.scopes:
            for item in self._sentry.ledger_items(scope):
                settled, held = int(item.get("settledOutput", 0)), int(item.get("heldOutput", 0))
                # A hold in base 36: input tokens, output tokens, picodollars, the time at which it was taken, and its duration.
                taken = [
                    [int(number, 36) for number in value.split(" ")]
                    for name, value in item.items()
                    if name.startswith("h#")
                ]
                holds += len(taken)
                if settled + held > self.limit:
                    self.breaches.append(f"{scope}: {settled} settled + {held} held")
                if (
                    held != sum(output for _, output, *_ in taken)
                    or int(item.get("committedOutput", 0)) != settled + held
                ):
                    self.breaches.append(f"{scope} does not add up: {item}")
                self.latest = max([self.latest, *(now - (begun + lasts) / 1000 for *_, begun, lasts in taken)])
        return holds

    def settled(self, scope):
        """Returns the settled output tokens of a scope."""
        return sum(int(item.get("settledOutput", 0)) for item in self._sentry.ledger_items(scope))
