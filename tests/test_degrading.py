"""`whenExceeded`: a request that does not fit gets a shorter answer or the answer of a cheaper model. No limit is exceeded.

Requests have known sizes. The simulated model writes as many tokens as the prompt asks for, up to its `max_tokens`. A request
holds its `max_tokens` of `output`. Each case adds its own two models to the catalogue table: an expensive model, and a cheap
model that is its fallback.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from sentry_client import InFlight, Sentry, document, number, unique
from strikes import RESERVE, WRITES, struck

pytestmark = pytest.mark.local

CLAMP, FALLBACK = ["clamp"], ["fallback"]
BOTH, FALLBACK_FIRST = ["clamp", "fallback"], ["fallback", "clamp"]
# Dollars per million tokens. The cheap model costs a tenth.
PRICE = {"input": "100", "output": "400"}
CHEAP = {"input": "10", "output": "40"}
LITE = "us.amazon.nova-lite-v1:0"


@pytest.fixture(scope="module", autouse=True)
def late(sentry):
    """CloudWatch receives all usage long after these tests, so every figure comes from the ledger."""
    with sentry.late_metrics(900):
        yield


class Served(NamedTuple):
    """The model that answered, the tokens that it wrote, and the field `degraded`."""

    model: str
    tokens: int
    degraded: dict[str, Any] | None


def served_by(answer):
    return Served(answer["model"]["modelId"], answer["usage"]["outputTokens"], answer.get("degraded"))


@dataclass
class Pair:
    """A model, its fallback, and a cost center. They have limits only if a test sets them."""

    sentry: Sentry
    dear: str
    cheap: str
    center: str

    @property
    def scopes(self):
        return f"model#{self.dear}", f"model#{self.cheap}", f"costCenter#{self.center}"

    def limit(self, key, words=None, **limit):
        self.sentry.set_limit(key, limit, **({"whenExceeded": words} if words else {}))

    def sized(self, max_tokens=2000, request_id=None, **directives):
        tags = {
            "applicationId": "e2e-degrading",
            "costCenter": self.center,
            **({"requestId": request_id} if request_id else {}),
        }
        parameters = None if max_tokens is None else {"max_tokens": max_tokens}
        return document(
            self.dear,
            tags=tags,
            parameters=parameters,
            **{"wanted_tokens": max_tokens or 2000, "input_tokens": 21, **directives},
        )

    def answered(self, sent):
        """Returns the answer to a document, after the check of its model."""
        answer = check_succeeded(self.sentry.ask(sent), sent)
        assert answer["tags"]["modelMetric"] == answer["model"]["modelId"]
        return answer

    def served(self, sent):
        """Returns the `Served` of the answer to a document."""
        return served_by(self.answered(sent))

    def refused(self, sent, code="BudgetExceeded"):
        answer = self.sentry.ask(sent)
        details = check_error(answer, code, sent)
        assert "degraded" not in answer and answer["model"]["modelId"] == self.dear
        return details

    def settled(self, scope):
        """Returns the output tokens that the ledger has settled, and those that it holds."""
        items = self.sentry.ledger_items(scope)
        return tuple(sum(int(item.get(name, 0)) for item in items) for name in ("settledOutput", "heldOutput"))


@pytest.fixture
def pair(sentry):
    return new_pair(sentry)


def new_pair(sentry, cheap_writes=5000, fallback=True):
    cheap = sentry.add_model(outputLimit=cheap_writes, price=CHEAP, priceSource="a test")
    more = {"fallback": cheap} if fallback else {}
    dear = sentry.add_model(outputLimit=10_000, price=PRICE, priceSource="a test", **more)
    return Pair(sentry, dear, cheap, unique("e2e-degrading"))


def lowered(start, to):
    return {"action": "clamp", "from": start, "to": to}


def replaced(pair, **more):
    return {"action": "fallback", "from": pair.dear, "to": pair.cheap, **more}


# A shorter answer


def test_answer_is_lowered_to_the_room_for_300_tokens_and_says_so(pair):
    pair.limit(pair.dear, CLAMP, output=1000)
    assert pair.served(pair.sized(700)) == (pair.dear, 700, None)
    answer = pair.answered(pair.sized(2000))
    assert served_by(answer) == (pair.dear, 300, lowered(2000, 300))
    assert answer["output"]["stopReason"] == "max_tokens"
    assert entry_of(answer, pair.scopes[0])["output"] == {"limit": 1000, "used": 1000, "reserved": 0, "remaining": 0}
    details = pair.refused(pair.sized(2000))
    assert (details["needed"], details["remaining"]) == (16, 0)


def test_a_request_that_fits_is_not_lowered(pair):
    pair.limit(pair.dear, BOTH, output=2000)
    assert pair.served(pair.sized(2000)) == (pair.dear, 2000, None)


def test_deny_is_the_default(pair):
    pair.limit(pair.dear, output=300)
    details = pair.refused(pair.sized(2000))
    assert (details["needed"], details["remaining"]) == (2000, 300)


def test_no_fewer_than_sixteen_tokens_are_asked_for(sentry, pair):
    pair.limit(pair.dear, CLAMP, output=16)
    assert pair.served(pair.sized(2000)) == (pair.dear, 16, lowered(2000, 16))
    other = new_pair(sentry)
    other.limit(other.dear, CLAMP, output=15)
    assert other.refused(other.sized(2000))["needed"] == 16
    # A request for fewer tokens than the floor is never lowered. It is served in full or denied.
    assert other.served(other.sized(15)) == (other.dear, 15, None)
    assert sentry.calls(other.dear) == 1


def test_every_limit_that_is_exceeded_must_allow_it(pair):
    pair.limit(pair.dear, CLAMP, output=1000)
    pair.limit(pair.scopes[2], output=1500)
    details = pair.refused(pair.sized(2000))
    assert (details["scope"], details["needed"]) == (pair.scopes[0], 2000)
    # The request fits the limit of the cost center, so that limit does not need to allow it.
    assert pair.served(pair.sized(1200)) == (pair.dear, 1000, lowered(1200, 1000))
    other = new_pair(pair.sentry)
    other.limit(other.dear, CLAMP, output=1000)
    other.limit(other.scopes[2], BOTH, output=400)
    assert other.served(other.sized(2000)) == (other.dear, 400, lowered(2000, 400))
    assert {other.settled(scope) for scope in (other.scopes[0], other.scopes[2])} == {(400, 0)}


def test_dollars_pay_for_as_many_tokens_as_are_left(pair):
    pair.limit(pair.dear, CLAMP, usd=number("0.25"))
    answer = pair.answered(pair.sized(2000))
    model, tokens, degraded = served_by(answer)
    assert model == pair.dear and degraded == lowered(2000, tokens) and 500 < tokens < 625
    spent = entry_of(answer, pair.scopes[0])["usd"]
    assert Decimal(spent["used"]) == Decimal(answer["cost"]["usd"]) <= Decimal("0.25")


@pytest.mark.parametrize("words", [BOTH, FALLBACK_FIRST], ids="-".join)
def test_nobodys_answer_is_cut_for_what_others_hold(pair, words):
    """If only holds are in the way, the client must wait. The request does not get the fallback either."""
    pair.limit(pair.dear, words, output=1000)
    pair.limit(pair.cheap, output=100)
    with InFlight(pair.sentry, pair.sized(700, wanted_tokens=50, latency_ms=2500), pair.dear):
        details = pair.refused(pair.sized(900), "BudgetReserved")
        assert (details["needed"], details["remaining"]) == (900, 300)
        details = pair.refused(pair.sized(2000), "BudgetReserved")
        assert (details["needed"], details["remaining"]) == (1000, 300)
        assert pair.served(pair.sized(300, wanted_tokens=1)).degraded is None
    assert pair.served(pair.sized(2000)) == (pair.dear, 949, lowered(2000, 949))


def test_failed_invocation_tells_what_was_done(pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, CLAMP, output=500)
    sent = pair.sized(2000, fault="access-denied")
    answer = pair.sentry.ask(sent)
    check_error(answer, "ModelAccessDenied", sent)
    assert answer["degraded"] == replaced(pair, maxTokens={"from": 2000, "to": 500})
    assert pair.settled(pair.scopes[1]) == (0, 0)


# A cheaper model


def test_cheaper_model_answers_and_the_figures_of_both_limits_are_right(sentry, pair):
    pair.limit(pair.dear, FALLBACK, input=100_000, output=300)
    pair.limit(pair.cheap, input=100_000, output=5000, usd=100)
    pair.limit(pair.scopes[2], output=50_000)
    answer = pair.answered(pair.sized(2000, wanted_tokens=150))
    assert served_by(answer) == (pair.cheap, 150, replaced(pair))
    assert answer["model"] == {"requested": pair.dear, "modelId": pair.cheap, "modelMetric": pair.cheap}
    assert [entry["scope"] for entry in answer["budget"]] == list(pair.scopes[1:])
    assert Decimal(answer["cost"]["usd"]) == (21 * Decimal(CHEAP["input"]) + 150 * Decimal(CHEAP["output"])) / 1_000_000
    own = entry_of(answer, pair.scopes[1])
    assert (own["input"]["used"], own["output"]["used"], own["output"]["reserved"]) == (21, 150, 0)
    assert Decimal(own["usd"]["used"]) == Decimal(answer["cost"]["usd"])
    assert entry_of(answer, pair.scopes[2])["output"]["used"] == 150
    assert [pair.settled(scope) for scope in pair.scopes] == [(0, 0), (150, 0), (150, 0)]
    assert (sentry.calls(pair.dear), sentry.calls(pair.cheap)) == (0, 1)
    # Nothing of the first model's budget was used.
    assert pair.served(pair.sized(300)) == (pair.dear, 300, None)
    assert [pair.settled(scope) for scope in pair.scopes] == [(300, 0), (150, 0), (450, 0)]


def test_bundled_fallback_answers_for_an_alias(sentry):
    """The fallback of Nova Pro is Nova Lite. Its limit is found under its own alias."""
    center = unique("e2e-degrading")
    sent = document(
        "nova-pro",
        tags={"applicationId": "e2e-degrading", "costCenter": center},
        parameters={"max_tokens": 1000},
        wanted_tokens=40,
    )
    sentry.set_limit("nova-pro", {"output": 1}, whenExceeded=FALLBACK)
    sentry.set_limit("nova-lite", {"output": 10_000_000})
    try:
        answer = check_succeeded(sentry.ask(sent), sent)
    finally:
        sentry.delete_limit("nova-pro")
        sentry.delete_limit("nova-lite")
    assert answer["model"] == {"requested": "nova-pro", "modelId": LITE, "modelMetric": LITE}
    assert answer["degraded"] == {"action": "fallback", "from": "us.amazon.nova-pro-v1:0", "to": LITE}
    entry = answer["budget"][0]
    assert (entry["source"], entry["output"]["limit"]) == ("model", 10_000_000)


def test_first_word_is_tried_first(sentry):
    for words, expected in ((BOTH, "dear"), (FALLBACK_FIRST, "cheap")):
        pair = new_pair(sentry)
        pair.limit(pair.dear, words, output=300)
        pair.limit(pair.cheap, output=5000)
        tokens, degraded = (300, lowered(2000, 300)) if expected == "dear" else (2000, replaced(pair))
        assert pair.served(pair.sized(2000)) == (getattr(pair, expected), tokens, degraded)


def test_second_word_is_tried_where_the_first_does_not_help(sentry):
    pair = new_pair(sentry)
    pair.limit(pair.dear, BOTH, output=15)
    pair.limit(pair.cheap, output=5000)
    assert pair.served(pair.sized(2000)) == (pair.cheap, 2000, replaced(pair))
    pair = new_pair(sentry)
    pair.limit(pair.dear, FALLBACK_FIRST, output=300)
    pair.limit(pair.cheap, output=1999)
    assert pair.served(pair.sized(2000)) == (pair.dear, 300, lowered(2000, 300))
    assert [pair.settled(scope) for scope in pair.scopes[:2]] == [(300, 0), (0, 0)]


def test_default_of_a_client_that_insists_on_nothing_is_lowered_before_another_model_answers(pair):
    pair.limit(pair.dear, FALLBACK_FIRST, output=300)
    pair.limit(pair.cheap, output=1000)
    assert pair.served(pair.sized(None)) == (pair.dear, 300, lowered(2048, 300))
    assert pair.served(pair.sized(None)) == (
        pair.cheap,
        1000,
        replaced(pair, maxTokens={"from": 2048, "to": 1000}),
    )


def test_fallbacks_own_words_and_abilities_apply_to_it(sentry):
    pair = new_pair(sentry)
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, CLAMP, output=500)
    assert pair.served(pair.sized(2000)) == (pair.cheap, 500, replaced(pair, maxTokens={"from": 2000, "to": 500}))
    pair = new_pair(sentry, cheap_writes=800)
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=1000)
    assert pair.served(pair.sized(2000)) == (pair.cheap, 800, replaced(pair, maxTokens={"from": 2000, "to": 800}))


def test_cheaper_model_fits_dollars_that_both_share(pair):
    pair.limit(pair.dear, output=100_000)
    pair.limit(pair.cheap, output=100_000)
    pair.limit(pair.scopes[2], FALLBACK, usd=number("0.50"))
    answer = pair.answered(pair.sized(2000))
    assert served_by(answer) == (pair.cheap, 2000, replaced(pair))
    assert Decimal(entry_of(answer, pair.scopes[2])["usd"]["used"]) == Decimal(answer["cost"]["usd"])
    assert [pair.settled(scope) for scope in pair.scopes[:2]] == [(0, 0), (2000, 0)]


def test_windows_of_both_models_may_differ(sentry, pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    sentry.set_limit(pair.cheap, {"output": 5000}, window="hour", timeZone="Asia/Kathmandu")
    entry = entry_of(pair.answered(pair.sized(2000)), pair.scopes[1])
    assert "T" in entry["window"] and entry["output"]["used"] == 2000


def test_sharded_scopes_are_settled_for_the_model_that_answered(sentry, pair):
    for key, limit, words in ((pair.dear, 300, FALLBACK), (pair.cheap, 100_000, None), (pair.scopes[2], 100_000, None)):
        sentry.set_limit(key, {"output": limit}, shards=3, **({"whenExceeded": words} if words else {}))
    for times in (1, 2, 3):
        answer = pair.answered(pair.sized(2000))
        assert served_by(answer).model == pair.cheap
        # Usage of other shards since the last renewal of their leases counts as reserved.
        assert all(2000 <= entry["output"]["used"] <= 2000 * times for entry in answer["budget"])
        assert [sentry.ledger_settled(scope) for scope in pair.scopes[1:]] == [2000 * times] * 2


# Cases in which the request is denied


def test_every_limit_that_refuses_must_allow_the_fallback(pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.scopes[2], CLAMP, usd=number("0.50"))
    pair.limit(pair.cheap, output=5000)
    assert pair.refused(pair.sized(2000))["scope"] == pair.scopes[0]
    assert pair.served(pair.sized(1000, wanted_tokens=10)).model == pair.cheap


def original(pair, **figures):
    """Checks that the first model's limit denies the request, and that nothing was called or held."""
    details = pair.refused(pair.sized(2000))
    assert details["scope"] == pair.scopes[0]
    assert (details["needed"], details["remaining"]) == (2000, 300)
    assert (pair.sentry.calls(pair.dear), pair.sentry.calls(pair.cheap)) == (0, 0)
    assert [pair.settled(scope) for scope in pair.scopes] == [(0, 0)] * 3


def test_fallback_without_a_limit_is_not_asked(sentry, pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    with sentry.default_item(None):
        original(pair)


def test_fallback_whose_limit_is_malformed_is_not_asked(sentry, pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    sentry.set_limit(pair.cheap, {"output": "many"})
    original(pair)


def test_fallback_whose_limits_refuse_leaves_the_original_denial(pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=1999)
    original(pair)


def test_scope_that_both_share_refuses_both(pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=5000)
    pair.limit(pair.scopes[2], FALLBACK, output=1999)
    original(pair)


def test_usage_that_bypassed_the_sentry_counts_for_the_fallback(sentry, pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=5000)
    sentry.put_usage(pair.cheap, OutputTokenCount=3001)
    time.sleep(1)
    original(pair)
    assert pair.served(pair.sized(1999)).model == pair.cheap


def test_model_without_a_fallback_is_denied_as_usual(sentry):
    pair = new_pair(sentry, fallback=False)
    pair.limit(pair.dear, FALLBACK, output=300)
    original(pair)


def test_fallback_that_does_not_exist_is_none(sentry):
    dear = sentry.add_model(outputLimit=10_000, price=PRICE, priceSource="a test", fallback="acme.nothing-v1:0")
    pair = Pair(sentry, dear, "acme.nothing-v1:0", unique("e2e-degrading"))
    pair.limit(pair.dear, FALLBACK, output=300)
    original(pair)
    assert pair.served(pair.sized(300)) == (pair.dear, 300, None)


def test_edit_of_the_words_decides_the_next_request(pair):
    pair.limit(pair.dear, output=300)
    pair.limit(pair.cheap, output=50_000)
    pair.refused(pair.sized(2000))
    pair.limit(pair.dear, FALLBACK, output=300)
    assert pair.served(pair.sized(2000)).model == pair.cheap
    pair.limit(pair.dear, CLAMP, output=300)
    assert pair.served(pair.sized(2000)) == (pair.dear, 300, lowered(2000, 300))
    pair.limit(pair.dear, output=300)
    pair.refused(pair.sized(2000))


# Many requests at once, and repeated requests


def test_request_id_of_a_fallbacks_answer_is_taken(pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=5000)
    sent = pair.sized(2000, request_id=unique("e2e-degrading"))
    assert pair.served(sent).model == pair.cheap
    check_error(pair.sentry.ask(sent), "DuplicateRequest")
    assert pair.settled(pair.scopes[1]) == (2000, 0)


def test_thirty_at_once_pass_no_limit_and_leave_nothing_unused(pair, say):
    """The limits have room for ten and a half answers of the expensive model, and for ten of the cheap model.

    Clients wait as long as the denial says.
    """
    pair.limit(pair.dear, BOTH, output=1050)
    pair.limit(pair.cheap, output=1000)

    def client(_):
        sent, deadline = pair.sized(100, wanted_tokens=100, latency_ms=300), time.monotonic() + 90
        while True:
            answer = pair.sentry.ask(sent)
            if not answer.get("error", {}).get("retryable") or time.monotonic() > deadline:
                return answer
            time.sleep(answer["error"]["retryAfterSeconds"])

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(client, range(30)))
    ended = Counter(
        (answer["outcome"], answer["model"]["modelId"] == pair.cheap, answer.get("usage", {}).get("outputTokens"))
        for answer in answers
    )
    say(f"30 clients: {dict(ended)}")
    assert ended == {
        ("Succeeded", False, 100): 10,
        ("Succeeded", False, 50): 1,
        ("Succeeded", True, 100): 10,
        ("Denied", False, None): 9,
    }
    assert {answer["error"]["code"] for answer in answers if answer["outcome"] == "Denied"} == {"BudgetExceeded"}
    assert [pair.settled(scope) for scope in pair.scopes[:2]] == [(1050, 0), (1000, 0)]
    assert (pair.sentry.calls(pair.dear), pair.sentry.calls(pair.cheap)) == (11, 10)


@pytest.mark.parametrize("shared", [False, True], ids=["one scope", "two scopes"])
@pytest.mark.parametrize("point", ["before", "after"])
def test_fallbacks_hold_is_found_by_the_repeated_reserve(pair, shared, point):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=5000)
    if shared:
        pair.limit(pair.scopes[2], output=5000)
    # Reserve does not try to write more than the first model's limit, so its first write is for the fallback.
    with struck(pair.sentry, RESERVE, WRITES, point, "kill", times=1):
        assert pair.served(pair.sized(2000)) == (pair.cheap, 2000, replaced(pair))
    assert [pair.settled(scope) for scope in pair.scopes] == [(0, 0), (2000, 0), (2000 * shared, 0)]


@pytest.mark.parametrize("point", ["before", "after"])
def test_reserve_that_never_answers_gives_the_fallbacks_hold_back(pair, point):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=5000)
    pair.limit(pair.scopes[2], output=5000)
    sent = pair.sized(2000)
    with struck(pair.sentry, RESERVE, WRITES, point, "kill", times=3):
        check_error(pair.sentry.ask(sent), "LedgerUnavailable", sent)
    assert [pair.settled(scope) for scope in pair.scopes] == [(0, 0)] * 3
    assert pair.served(sent).model == pair.cheap


# Metrics


def test_fallback_is_counted_under_the_model_that_was_called(sentry, pair):
    pair.limit(pair.dear, FALLBACK, output=300)
    pair.limit(pair.cheap, output=5000)
    before = sentry.metric_total("Degradations", Action="fallback")
    answer = pair.answered(pair.sized(2000, wanted_tokens=40))
    dimensions = sentry.dimensions(answer)
    assert (dimensions["Model"], dimensions["ModelId"]) == (pair.dear, pair.cheap)
    assert sentry.wait_for_metrics(dimensions)["OutputTokens"] == (40, 1)
    assert sentry.wait_for_total(before + 1, "Degradations", Action="fallback") >= before + 1
