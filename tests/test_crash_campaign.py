"""Hundreds of kills and cut connections at every step of Reserve, Invoke Model, Settle and the late settlement by the queue.

No limit is exceeded, no usage is lost, no hold remains, and afterwards the rest of every budget can be used.

The functions run against proxies that inject faults, with holds that expire after seconds. Lanes run in parallel. Each lane has
budgets for twelve requests of known size, and several clients that send until a budget is full. The budgets are those of its
model and, for most lanes, of a cost center and an application.
"""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from contract import check_answer
from fault_proxy import VARIANTS, FaultProxy, Plan
from sentry_client import document, unique
from watched_budget import WatchedBudget

pytestmark = pytest.mark.local

# A sweep settles expired holds every minute, and the local AWS starts it up to ten seconds late. Each sweep makes a second pass
# after half a minute. So no hold remains for more than a minute after it has expired.
HOLD_SECONDS = 15
SWEEP_SECONDS = 60
TOKENS, CAPACITY = 50, 12
LANES, CLIENTS = 5, 3
SHARE = 0.2
MOST_SECONDS = 200
POLL_SECONDS = 0.3
FUNCTIONS = {
    "reserve": ("ReserveFunction", "AWS_ENDPOINT_URL_DYNAMODB"),
    "invoke": ("InvokeModelFunction", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
    "settle": ("SettleFunction", "AWS_ENDPOINT_URL_DYNAMODB"),
    "message": ("SettleFunction", "AWS_ENDPOINT_URL_SQS"),
    "late": ("EmitMetricsFunction", "AWS_ENDPOINT_URL_DYNAMODB"),
}


class Lane(WatchedBudget):
    """One model with its budgets, and all answers that its clients received."""

    def __init__(self, sentry, number):
        self.arn, self.bare = sentry.profile_arn()
        super().__init__(sentry, [f"model#{self.bare}"], CAPACITY * TOKENS)
        self.tags = {"applicationId": unique("e2e-crash"), "costCenter": unique("e2e-crash")}
        sentry.set_limit(self.bare, {"output": CAPACITY * TOKENS, "input": 1_000_000})
        for scope in [f"costCenter#{self.tags['costCenter']}", f"application#{self.tags['applicationId']}"][
            : number % 3
        ]:
            sentry.set_limit(scope, {"output": CAPACITY * TOKENS})
            self.scopes.append(scope)
        self.answers, self.full, self.running = [], False, True

    def ask(self, request_id=None):
        tags = {**self.tags, **({"requestId": request_id} if request_id else {})}
        sent = document(
            self.arn, tags=tags, parameters={"max_tokens": TOKENS}, input_tokens=10, output_tokens=TOKENS, latency_ms=50
        )
        ended = self._sentry.execute(sent)
        assert ended["status"] == "SUCCEEDED", ended
        answer = ended["output"]
        # The look-up of the model may also fail. The client then sends the request again.
        unresolved = answer.get("error", {}).get("details") == {"reason": "ModelLookup"}
        check_answer(
            answer,
            sent,
            unsettled=answer["outcome"] in {"Succeeded", "InvocationFailed"} and not answer["budget"],
            unresolved=unresolved,
        )
        self.answers.append(answer)
        return answer.get("error", {}).get("code", "Succeeded")

    def client(self, plan, wanted):
        """Sends requests until the budget is full or enough faults have happened. Retries a request if its budget is unknown."""
        reserved = 0
        while not self.full and plan.total() < wanted:
            name = unique("e2e-crash")
            code = self.ask(name)
            if code == "LedgerUnavailable":
                code = self.ask(name)
            if code == "BudgetReserved":
                reserved += 1
                time.sleep(1)
            if code == "BudgetExceeded" or reserved > 2:
                self.full = True

    def most_settled(self):
        """Returns the settled tokens of the scope that has the least left.

        The scopes can differ. A hold can expire in one scope before the request is settled in another. The first scope then
        charges the hold in full.
        """
        return max(map(self.settled, self.scopes))

    def reported(self):
        return sum(answer["usage"]["outputTokens"] for answer in self.answers if "usage" in answer)

    def produced(self):
        """Returns the tokens that the model has really written, even if no client received them."""
        return self._sentry.calls(self.bare) * TOKENS


class Campaign:
    """Runs lanes until enough faults have happened, then uses up the budget of each lane."""

    def __init__(self, sentry, wanted):
        self.plan, self._sentry, self._wanted = Plan(seed=7, share=SHARE), sentry, wanted
        self.lanes: list[Lane] = []
        self._over = threading.Event()
        upstreams = {variable: sentry.endpoint for _, variable in FUNCTIONS.values()} | {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": sentry.bedrock_endpoint
        }
        begun = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(sentry.late_metrics(900))
            stack.enter_context(sentry.quick_redelivery())
            for name, (function, variable) in FUNCTIONS.items():
                proxy = stack.enter_context(FaultProxy(name, upstreams[variable], self.plan))
                more = {"SENTRY_HOLD_SECONDS": str(HOLD_SECONDS)} if name == "reserve" else {}
                stack.enter_context(sentry.reconfigured(function, **{variable: proxy.url}, **more))
            pool = stack.enter_context(ThreadPoolExecutor(LANES + 1))
            watching = pool.submit(self._watch)
            stack.callback(self._over.set)
            self.plan.active = True
            list(pool.map(self._run_lanes, range(LANES)))
            self.plan.active = False
            self.fault_seconds = time.monotonic() - begun
            self.lasting = self._wait_for_holds()
            list(pool.map(self._fill, self.lanes))
            self._over.set()
            watching.result()
        self.seconds = time.monotonic() - begun

    def _run_lanes(self, first):
        """Runs one lane after another, each with several clients."""
        number, deadline = first, time.monotonic() + MOST_SECONDS
        while self.plan.total() < self._wanted and time.monotonic() < deadline:
            lane = Lane(self._sentry, number)
            self.lanes.append(lane)
            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = [pool.submit(lane.client, self.plan, self._wanted) for _ in range(CLIENTS)]
            for client in clients:
                client.result()
            lane.running = False
            number += 1

    def _watch(self):
        while not self._over.is_set():
            for lane in [lane for lane in self.lanes if lane.running]:
                lane.watch()
            self._over.wait(POLL_SECONDS)

    def _wait_for_holds(self):
        """Returns the number of holds that remain one minute after the last hold has expired."""
        deadline = time.monotonic() + HOLD_SECONDS + SWEEP_SECONDS
        while (lasting := sum(lane.watch() for lane in self.lanes)) and time.monotonic() < deadline:
            time.sleep(1)
        return lasting

    @staticmethod
    def _fill(lane):
        """Uses the rest of a lane's budget."""
        lane.running = True
        lane.before = lane.most_settled()
        lane.codes = [lane.ask() for _ in range((CAPACITY * TOKENS - lane.before) // TOKENS)]
        lane.last = lane.ask()
        lane.watch()
        lane.running = False

    def table(self):
        """Yields the faults that have happened, one line for each step, and the totals."""
        yield f"{'function':<9}{'operation':<20}{'calls':>7}  " + "".join(
            f"{kind + ' ' + point:>14}" for point, kind in VARIANTS
        )
        for (function, operation), calls in sorted(self.plan.seen.items()):
            counts = [self.count(function, operation, *variant) for variant in VARIANTS]
            yield f"{function:<9}{operation:<20}{calls:>7}  " + "".join(f"{count:>14}" for count in counts)
        outcomes = Counter(
            answer.get("error", {}).get("code", "Succeeded") for lane in self.lanes for answer in lane.answers
        )
        figures = {name: sum(getattr(lane, name)() for lane in self.lanes) for name in ("reported", "produced")}
        settled = sum(lane.settled(lane.scopes[0]) for lane in self.lanes)
        limit = len(self.lanes) * CAPACITY * TOKENS
        yield f"{self.plan.total()} faults in {self.fault_seconds:.0f} s, {self.seconds:.0f} s in all; {len(self.lanes)} lanes; answers: {dict(outcomes.most_common())}"
        yield f"output tokens: {limit} limit, {settled} settled, {figures['produced']} written by the model, {figures['reported']} reported to clients"
        yield f"oldest hold: {max(lane.latest for lane in self.lanes):.1f} s past its expiry; {self.lasting} left over"

    def count(self, function, operation, point, kind):
        return sum(
            count
            for fault, count in self.plan.happened.items()
            if (fault.function, fault.operation, fault.point, fault.kind) == (function, operation, point, kind)
        )


@pytest.fixture(scope="module")
def campaign(sentry, request):
    return Campaign(sentry, request.config.getoption("--faults"))


def test_faults_of_every_kind_at_every_step(campaign, say, request):
    for line in campaign.table():
        say(line)
    assert campaign.plan.total() >= request.config.getoption("--faults")
    # A settlement is left to the queue only if several attempts have failed in succession.
    assert {function for function, _ in campaign.plan.seen} >= set(FUNCTIONS) - {"late"}
    # A rare step, such as the step after a lost race, does not need to meet every fault.
    usual = {step for step, calls in campaign.plan.seen.items() if calls >= 100}
    missing = [(*step, *variant) for step in usual for variant in VARIANTS if not campaign.count(*step, *variant)]
    assert usual and not missing


def test_no_limit_was_passed_at_any_moment(campaign):
    assert not [breach for lane in campaign.lanes for breach in lane.breaches]


def test_the_model_never_wrote_more_than_a_limit(campaign):
    assert all(lane.produced() <= CAPACITY * TOKENS for lane in campaign.lanes), [
        lane.produced() for lane in campaign.lanes
    ]


def test_nothing_that_was_used_is_lost(campaign):
    """Every scope includes the usage that clients received, and the usage that no client received."""
    for lane in campaign.lanes:
        for scope in lane.scopes:
            assert lane.settled(scope) >= max(lane.reported(), lane.produced()), (
                scope,
                lane.settled(scope),
                lane.reported(),
                lane.produced(),
            )


def test_no_hold_outlives_its_expiry_by_more_than_a_minute(campaign):
    assert campaign.lasting == 0
    assert max(lane.latest for lane in campaign.lanes) <= SWEEP_SECONDS


def test_the_whole_rest_of_every_budget_can_be_used(campaign):
    for lane in campaign.lanes:
        assert set(lane.codes) <= {"Succeeded"} and lane.last == "BudgetExceeded", (lane.before, lane.codes, lane.last)
        assert lane.most_settled() == CAPACITY * TOKENS
