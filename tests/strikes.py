"""Faults at a known step: a plan with one kind of fault, and a function that runs behind a proxy with this plan."""

from contextlib import contextmanager

from fault_proxy import Fault, FaultProxy

RESERVE = ("ReserveFunction", "AWS_ENDPOINT_URL_DYNAMODB")
SETTLE = ("SettleFunction", "AWS_ENDPOINT_URL_DYNAMODB")
INVOKE = ("InvokeModelFunction", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
WRITES = {"UpdateItem", "TransactWriteItems"}
# Reserve also reads while it registers the request. If reads were hit, one attempt would meet two faults.
READS = {"GetItem", "BatchGetItem", "Query"}


class Strikes:
    """A plan with one kind of fault, which happens `times` times.

    The first fault meets the first call of the given operations. After that, a fault meets every call, except reads that are not
    given.
    """

    def __init__(self, operations, point, kind, times):
        self._operations, self._point, self._kind, self._left = operations, point, kind, times
        self.happened = 0

    def draw(self, function, operation):
        if (
            self._left == 0
            or (self.happened == 0 and operation not in self._operations)
            or operation in READS - self._operations
        ):
            return None
        self._left -= 1
        return Fault(function, operation, self._point, self._kind)

    def report(self, _fault, happened):
        self.happened += happened


@contextmanager
def struck(sentry, function, operations, point, kind, times):
    """Runs a function behind a proxy that injects faults. Checks that all of them happened."""
    name, variable = function
    strikes = Strikes(operations, point, kind, times)
    upstream = sentry.endpoint if variable.endswith("DYNAMODB") else sentry.bedrock_endpoint
    with FaultProxy(name, upstream, strikes) as proxy, sentry.reconfigured(name, **{variable: proxy.url}):
        yield strikes
    assert strikes.happened == times
