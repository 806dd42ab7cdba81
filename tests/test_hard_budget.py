"""A limit is a limit: a hundred clients at once on a budget for ten, with CloudWatch a minute late, and nobody starved."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from budget_contract import entry_of
from contract import check_answer, check_error, check_succeeded
from sentry_client import document, text

pytestmark = pytest.mark.local

CLIENTS, CAPACITY, TOKENS = 100, 10, 100
LATE_SECONDS = 60
# What dead executions held is given back by then; HoldSeconds is much longer.
HELD_SECONDS = 10
# So many shards may have been in use; a budget for ten never has more.
SHARDS = 16
MODEL_MILLISECONDS = 300


@pytest.fixture(scope="module", autouse=True)
def late(sentry):
    with sentry.late_metrics(LATE_SECONDS):
        yield


@pytest.fixture(scope="module", autouse=True)
def warm(sentry, late):
    """As many clients on a generous budget, so that the measured ones do not wait for processes to start."""
    arn, _ = sentry.profile_arn()
    sentry.execute_all({number: document(arn, output_tokens=1) for number in range(CLIENTS)}, parallel=CLIENTS)


def check(answer, sent):
    """Checks an answer of a machine that is too slow for so many processes: it may have no entry of the budget, and no model."""
    late = answer["statusCode"] == 503
    unsettled = answer["outcome"] == "Succeeded" and not answer["budget"]
    unresolved = late and answer.get("model", {}).keys() == {"requested"}
    check_answer(answer, sent, unsettled=unsettled, unvalidated=late and "model" not in answer, unresolved=unresolved)


class Storm:
    """All clients at once on a budget for ten of them. Each request uses exactly the amount of `output` that it holds."""

    def __init__(self, sentry, title, settles=True, **attributes):
        arn, bare = sentry.profile_arn()
        limit = CAPACITY * TOKENS
        sentry.set_limit(bare, {"output": limit}, **attributes)
        sent = {
            number: document(
                arn, parameters={"max_tokens": TOKENS}, output_tokens=TOKENS, latency_ms=MODEL_MILLISECONDS
            )
            for number in range(CLIENTS)
        }
        begun = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            asked = list(
                pool.map(
                    lambda each: sentry.decided(each, lambda answer: settles and check(answer, each)), sent.values()
                )
            )
        self.ended = time.monotonic()
        self.answers, self.unavailable = (
            [answer for answer, _ in asked],
            Counter(reason for _, reasons in asked for reason in reasons),
        )
        self.seconds = self.ended - begun
        self.outcomes = Counter(answer["outcome"] for answer in self.answers)
        self.codes = Counter(answer["error"]["code"] for answer in self.answers if "error" in answer)
        self.used = sum(answer["usage"]["outputTokens"] for answer in self.answers if "usage" in answer)
        self.ratio = self.used / limit
        self.calls, self.scope, self.model = sentry.calls(bare), f"model#{bare}", arn
        self.line = (
            f"{title:<36}{self.outcomes['Succeeded']:>4} succeeded {self.outcomes['Denied']:>4} denied   tokens used / limit {self.used:>5}/{limit} = {self.ratio:.3f}"
            f"   {dict(self.codes)} in {self.seconds:.1f} s"
            f"   told to try again: {dict(self.unavailable) or 'none'}"
        )

    def check_nothing_is_held(self, sentry):
        """Waits until no item of the scope has a hold, at most `HELD_SECONDS` after the last answer. Returns the seconds."""
        while held := [
            name for items in self._items(sentry) for item in items for name in item if name.startswith("h#")
        ]:
            assert time.monotonic() < self.ended + HELD_SECONDS, f"{len(held)} holds are left"
            time.sleep(0.5)
        return time.monotonic() - self.ended

    def _items(self, sentry):
        yield sentry.ledger_items(self.scope)
        for number in range(SHARDS):
            yield sentry.ledger_items(f"{self.scope}##{number}")

    def check_exact(self, sentry):
        assert (self.outcomes["Succeeded"], self.outcomes["Denied"]) == (CAPACITY, CLIENTS - CAPACITY), (
            self.outcomes,
            self.codes,
        )
        assert self.codes.keys() <= {"BudgetExceeded", "BudgetReserved"}
        assert self.ratio <= 1 and self.calls == CAPACITY
        # If `Settle` could not settle a request, the function of the metrics queue does it.
        self.check_nothing_is_held(sentry)
        sent = document(self.model, parameters={"max_tokens": 1})
        answer = sentry.ask(sent)
        check_error(answer, "BudgetExceeded", sent)
        room = {"limit": CAPACITY * TOKENS, "used": CAPACITY * TOKENS, "reserved": 0, "remaining": 0}
        assert entry_of(answer, self.scope)["output"] == room


@pytest.fixture
def repetitions(request):
    return request.config.getoption("--repetitions")


@pytest.mark.parametrize(
    "title, attributes",
    [("with the ledger", {}), ("with the ledger, four shards", {"shards": 4})],
    ids=["one item", "four shards"],
)
def test_budget_for_ten_admits_ten_of_a_hundred(sentry, say, repetitions, title, attributes):
    for _ in range(repetitions):
        storm = Storm(sentry, title, **attributes)
        say(storm.line)
        storm.check_exact(sentry)


def test_without_the_ledger_the_same_budget_is_overrun(sentry, say, request):
    """Shows the overrun that the ledger prevents. For the same clients, only CloudWatch's figures decide."""
    option = request.config.getoption("--without-ledger")
    assert option, (
        "pass --without-ledger PATH, the example `without_ledger` of fn-reserve (cargo build --example without_ledger)"
    )
    program = Path(option)
    assert program.is_file(), f"--without-ledger: {program} is not there (cargo build --example without_ledger)"
    guarded = Storm(sentry, "with the ledger")
    with sentry.replaced("ReserveFunction", program.read_bytes()):
        sentry.execute_all({number: document(output_tokens=1) for number in range(CLIENTS)}, parallel=CLIENTS)
        bare = Storm(sentry, "without it, by CloudWatch alone", settles=False)
    say(guarded.line)
    say(bare.line)
    guarded.check_exact(sentry)
    assert bare.ratio > 1 and bare.calls > CAPACITY, "the comparison shows no difference: is CloudWatch late?"


def test_nobody_is_starved(sentry, say):
    """Ten clients at once without max_tokens, on a budget for exactly their ten answers. Each waits as told and is served."""
    contents = [text(f"Client {number}.", latency_ms=MODEL_MILLISECONDS) for number in range(CAPACITY)]
    generous, _ = sentry.profile_arn()
    sizes = [check_succeeded(sentry.ask(document(generous, content)))["usage"]["outputTokens"] for content in contents]
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": sum(sizes)})
    begun = time.monotonic()

    def client(number):
        """Sends until served. Returns the answer, the codes of all denials, the waits, and the seconds until the answer."""
        sent = document(arn, contents[number])
        codes: list[str] = []
        waits: list[int] = []
        while True:
            answer = check_answer(sentry.ask(sent), sent)
            if answer["outcome"] != "Denied" or time.monotonic() - begun > 120:
                return answer, codes, waits, time.monotonic() - begun
            codes.append(answer["error"]["code"])
            waits.append(answer["error"].get("retryAfterSeconds", 0))
            time.sleep(waits[-1])

    with ThreadPoolExecutor(CAPACITY) as pool:
        served = list(pool.map(client, range(CAPACITY)))
    rounds = [len(codes) + 1 for _, codes, _, _ in served]
    say(
        f"ten clients without max_tokens, a budget of {sum(sizes)} tokens for ten answers of {min(sizes)} to {max(sizes)}: "
        f"{sum(answer['outcome'] == 'Succeeded' for answer, *_ in served)} served, "
        f"{sum(answer.get('output', {}).get('stopReason') == 'end_turn' for answer, *_ in served)} in full"
    )
    say(
        f"  rounds {sorted(rounds)}, waits told {sorted(Counter(wait for _, _, waits, _ in served for wait in waits).items())} (s: times), "
        f"seconds until served {sorted(round(seconds, 1) for *_, seconds in served)}"
    )
    for answer, codes, _, _ in served:
        check_succeeded(answer)
        assert set(codes) <= {"BudgetReserved"}, codes
    assert sum(answer["usage"]["outputTokens"] for answer, *_ in served) <= sum(sizes)
