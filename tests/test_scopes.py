"""Limits by tags, besides those of the model and its foundation model.

The scopes are cost center, application, environment, each pair of these, all three, and the user.
"""

from datetime import UTC, datetime
from itertools import combinations

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from sentry_client import PLENTY, document, unique

TAGS = {"application": "applicationId", "costCenter": "costCenter", "environment": "environment"}
KINDS = ["+".join(names) for size in (1, 2, 3) for names in combinations(TAGS, size)]
ENCODED = {"%": "%25", "+": "%2B", "#": "%23"}
MODEL = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.fixture
def tags():
    """Returns tag values that no other test uses."""
    return {tag: unique(f"e2e-{tag}") for tag in TAGS.values()}


def scope_of(kind, tags=None):
    """Returns the scope of a kind for these tags. Without tags, returns the key of the fallback item."""

    def value(dimension):
        given = tags.get(TAGS[dimension], "unspecified") if tags is not None else "default"
        return "".join(ENCODED.get(character, character) for character in given).lower()

    return "+".join(f"{dimension}#{value(dimension)}" for dimension in kind.split("+"))


def from_now():
    """Returns the start of a window that no other run of the tests has used."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def sized(tags, max_tokens=100, model="nova-lite", **directives):
    return document(model, parameters={"max_tokens": max_tokens}, tags=tags, **directives)


def approved(sentry, sent):
    return check_succeeded(sentry.ask(sent), sent)


def exceeded(sentry, sent, scope):
    answer = sentry.ask(sent)
    assert check_error(answer, "BudgetExceeded", sent)["scope"] == scope
    return answer


def scopes(answer):
    return [entry["scope"] for entry in answer["budget"]][1:]


def test_without_items_the_model_alone_is_limited(sentry, tags):
    assert scopes(approved(sentry, sized(tags))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_item_of_a_scope_limits_it(sentry, tags, kind):
    scope = scope_of(kind, tags)
    sentry.set_limit(scope, {"output": 50})
    denied = exceeded(sentry, sized(tags), scope)
    assert (scopes(denied), entry_of(denied, scope)["source"]) == ([scope], kind)
    assert entry_of(denied, scope)["output"] == {"limit": 50, "used": 0, "reserved": 0, "remaining": 50}
    sentry.set_limit(scope, {"output": 5000})
    answer = approved(sentry, sized(tags))
    entry = entry_of(answer, scope)
    assert (entry["source"], entry["output"]["limit"], entry["output"]["reserved"]) == (kind, 5000, 0)
    assert entry["output"]["used"] == answer["usage"]["outputTokens"]
    sentry.delete_limit(scope)
    assert scopes(approved(sentry, sized(tags))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_fallback_item_is_applied_to_each_value_apart(sentry, tags, kind):
    scope = scope_of(kind, tags)
    others = {tag: unique(f"e2e-{tag}") for tag in tags}
    with sentry.default_item({"limit": {"output": 5000}}, key=scope_of(kind)):
        first, second = (approved(sentry, sized(each)) for each in (tags, others))
        for answer, each in ((first, tags), (second, others)):
            entry = entry_of(answer, scope_of(kind, each))
            assert (entry["source"], entry["output"]["used"]) == ("default", answer["usage"]["outputTokens"])
        sentry.set_limit(scope, {"output": 1})
        own = exceeded(sentry, sized(tags), scope)
        assert entry_of(own, scope)["source"] == kind
        approved(sentry, sized(others))


def test_figures_are_shared_by_all_models(sentry, tags):
    scope = scope_of("costCenter", tags)
    sentry.set_limit(scope, {"output": 100_000})
    spent = 0
    for model in ("nova-lite", "nova-micro", "claude-haiku-4-5"):
        answer = approved(sentry, sized(tags, model=model))
        spent += answer["usage"]["outputTokens"]
        assert entry_of(answer, scope)["output"]["used"] == spent


@pytest.mark.local
@pytest.mark.parametrize("tight", ["model", *KINDS])
def test_tight_scope_decides_wherever_it_is_and_nothing_is_held_elsewhere(sentry, tags, tight):
    arn, bare = sentry.profile_arn()
    names = {"model": f"model#{bare}", **{kind: scope_of(kind, tags) for kind in KINDS}}

    def limit(kind, output):
        sentry.set_limit(bare if kind == "model" else names[kind], {"output": output})

    for kind in names:
        limit(kind, 50 if kind == tight else 1000)
    denied = exceeded(sentry, sized(tags, model=arn), names[tight])
    assert {
        entry["scope"]: (entry["output"]["used"], entry["output"]["reserved"]) for entry in denied["budget"]
    } == dict.fromkeys(names.values(), (0, 0))
    assert sentry.calls(bare) == 0
    limit(tight, 1000)
    # The request needs all of each limit, so it fits only if the denied request left no hold in any scope.
    answer = approved(sentry, sized(tags, 1000, model=arn, output_tokens=1000))
    assert {entry["scope"]: entry["output"]["used"] for entry in answer["budget"]} == dict.fromkeys(
        names.values(), 1000
    )


@pytest.mark.local
@pytest.mark.parametrize("tight", ["model", "costCenter", "application+environment"])
def test_parallel_requests_share_the_tight_scope_exactly(sentry, tags, tight):
    arn, bare = sentry.profile_arn()
    names = {"model": bare, **{kind: scope_of(kind, tags) for kind in ("costCenter", "application+environment")}}
    for kind, key in names.items():
        sentry.set_limit(key, {"output": 500 if kind == tight else 100_000})
    sent = {number: sized(tags, model=arn, output_tokens=100) for number in range(24)}
    answers = sentry.decide_all(sent, parallel=24).values()
    outcomes = [answer["outcome"] for answer in answers]
    assert (outcomes.count("Succeeded"), outcomes.count("Denied")) == (5, 19), [
        answer.get("error") for answer in answers
    ]
    scope = f"model#{bare}" if tight == "model" else names[tight]
    final = exceeded(sentry, sized(tags, 1, model=arn), scope)
    assert {(entry["output"]["used"], entry["output"]["reserved"]) for entry in final["budget"]} == {(500, 0)}


@pytest.mark.parametrize(
    "kind, missing",
    [
        ("costCenter", ["costCenter"]),
        ("environment", ["environment"]),
        ("application+environment", ["environment"]),
        ("costCenter+environment", ["costCenter", "environment"]),
    ],
)
def test_missing_tag_is_unspecified(sentry, tags, kind, missing):
    """A request cannot bypass a budget by omitting a tag. A request with the value `unspecified` shares this budget."""
    left = {tag: value for tag, value in tags.items() if tag not in missing}
    scope = scope_of(kind, left)
    assert "#unspecified" in scope
    with sentry.default_item({"limit": {"output": 1}}, key=scope):
        exceeded(sentry, sized(left), scope)
        exceeded(sentry, sized({**left, **dict.fromkeys(missing, "unspecified")}), scope)
        approved(sentry, sized(tags))


def test_value_cannot_imitate_another_scope(sentry, tags):
    pair = scope_of("application+environment", tags)
    sentry.set_limit(pair, {"output": 0})
    imitation = {
        **tags,
        "applicationId": f"{tags['applicationId']}+environment#{tags['environment']}",
        "environment": "elsewhere",
    }
    assert scopes(approved(sentry, sized(imitation))) == []
    exceeded(sentry, sized(tags), pair)
    sentry.delete_limit(pair)


@pytest.mark.parametrize("sign", ["+", "#", "%", "%2B", "+environment#", "a+b#c%d"])
def test_signs_in_a_value_are_encoded_in_its_scope(sentry, tags, sign):
    sent = {**tags, "costCenter": f"{tags['costCenter']}{sign}x"}
    scope = scope_of("costCenter", sent)
    sentry.set_limit(scope, {"output": 5000})
    answer = approved(sentry, sized(sent))
    assert scopes(answer) == [scope]
    # The name without encoding belongs to no scope.
    sentry.set_limit(f"costCenter#{sent['costCenter']}", {"output": 0})
    assert scopes(approved(sentry, sized(sent))) == [scope]


def test_edit_of_a_scope_decides_the_next_request(sentry, tags):
    scope = scope_of("environment", tags)
    for output, fits in ((0, False), (PLENTY, True), (1, False), (PLENTY, True)):
        sentry.set_limit(scope, {"output": output})
        if fits:
            assert entry_of(approved(sentry, sized(tags)), scope)["output"]["limit"] == output
        else:
            assert entry_of(exceeded(sentry, sized(tags), scope), scope)["output"]["limit"] == output


def test_scopes_come_in_order_after_the_model(sentry, tags):
    for kind in KINDS:
        sentry.set_limit(scope_of(kind, tags), {"output": 100_000})
    answer = approved(sentry, sized(tags))
    assert scopes(answer) == sorted(scope_of(kind, tags) for kind in KINDS)
    assert answer["budget"][0]["source"] in {"model", "default"}


def test_malformed_item_of_a_scope_denies(sentry, tags):
    scope = scope_of("costCenter+environment", tags)
    sentry.set_limit(scope, {"output": "many"})
    sent = sized(tags)
    details = check_error(sentry.ask(sent), "LimitMalformed", sent)
    assert (details["item"], details["field"]) == (scope, "limit.output")
    sentry.set_limit(scope, {"output": 5000})
    approved(sentry, sized(tags))


def test_malformed_fallback_of_a_scope_denies(sentry, tags):
    sent = sized(tags)
    with sentry.default_item({"limit": {"output": -1}}, key="application#default"):
        details = check_error(sentry.ask(sent), "LimitMalformed", sent)
    assert (details["item"], details["field"]) == ("application#default", "limit.output")


def test_scope_does_not_stand_in_for_the_model(sentry, tags):
    """A limit of a cost center is not a limit of the model."""
    sentry.set_limit(scope_of("costCenter", tags), {"output": PLENTY})
    sent = sized(tags, model=sentry.profile_arn()[0])
    with sentry.default_item(None):
        check_error(sentry.ask(sent), "LimitNotConfigured", sent)


def test_case_of_a_value_does_not_count(sentry, tags):
    """`Marketing` and `marketing` share one budget. The key of its item may have either spelling."""
    value = tags["costCenter"].lower()
    scope = f"costCenter#{value}"
    for key in (f"costCenter#{value.upper()}", scope):
        sentry.set_limit(key, {"output": 5000})
        answer = approved(sentry, sized({**tags, "costCenter": value.upper()}))
        assert (entry_of(answer, scope)["source"], answer["tags"]["costCenter"]) == ("costCenter", value.upper())
        sentry.delete_limit(f"costCenter#{value.upper()}")
    used = entry_of(answer, scope)["output"]["used"]
    last = approved(sentry, sized({**tags, "costCenter": value}))
    assert entry_of(last, scope)["output"]["used"] == used + last["usage"]["outputTokens"]


@pytest.mark.local
def test_made_up_values_share_a_default_that_is_shared(sentry, tags):
    own = scope_of("costCenter", tags)
    with sentry.default_item({"limit": {"output": 250}, "from": from_now(), "shared": True}, key="costCenter#default"):
        made_up = [sized({**tags, "costCenter": unique("e2e-made-up")}, output_tokens=100) for _ in range(3)]
        for times, sent in enumerate(made_up[:2], 1):
            answer = approved(sentry, sent)
            assert scopes(answer) == ["costCenter#default"]
            assert entry_of(answer, "costCenter#default")["output"]["used"] == 100 * times
        exceeded(sentry, made_up[2], "costCenter#default")
        # A value with its own item does not share the default.
        sentry.set_limit(own, {"output": 100})
        assert scopes(approved(sentry, sized(tags, output_tokens=100))) == [own]


@pytest.mark.local
def test_foundation_model_is_one_budget_for_all_its_ids_and_profiles(sentry):
    scope = f"foundation#{MODEL}"
    profile = sentry.client("bedrock", sentry.bedrock_endpoint).create_inference_profile(
        inferenceProfileName=unique("e2e"),
        modelSource={"copyFrom": f"arn:aws:bedrock:{sentry.region}:{sentry.account}:inference-profile/us.{MODEL}"},
    )["inferenceProfileArn"]
    sentry.set_limit(scope, {"output": 350}, **{"from": from_now()})
    try:
        used = 0
        for model in (f"us.{MODEL}", f"global.{MODEL}", profile):
            answer = approved(sentry, sized(None, model=model, output_tokens=100))
            entry = entry_of(answer, scope)
            assert (entry["source"], entry["window"][-3:], "resetsAt" in entry) == ("foundation", "/..", False)
            assert entry["output"]["used"] >= used + 100, answer["budget"]
            used = entry["output"]["used"]
        answer = sentry.ask(sized(None, model=f"us.{MODEL}"))
        details = check_error(answer, "BudgetExceeded")
        assert (details["scope"], "resetsAt" in details) == (scope, False)
    finally:
        sentry.delete_limit(scope)


def test_user_has_a_budget_where_there_is_one(sentry, tags):
    user = unique("e2e-user")
    scope = f"user#{user}"
    sentry.set_limit(scope, {"output": 5000, "requests": 2}, window="day")
    sent = sized({**tags, "userId": user})
    for times in (1, 2):
        assert entry_of(approved(sentry, sent), scope)["requests"]["used"] == times
    exceeded(sentry, sent, scope)
    approved(sentry, sized(tags))


@pytest.mark.local
def test_declared_tag_has_a_budget(sentry, tags):
    run = unique("e2e-run")
    scope = f"run#{run}"
    sentry.set_limit(scope, {"output": 0})
    sent = sized({**tags, "run": run})
    with sentry.reconfigured("LookupLimitFunction", SENTRY_BUDGET_TAGS="project,run"):
        answer = exceeded(sentry, sent, scope)
        assert entry_of(answer, scope)["source"] == "run"
    with sentry.reconfigured("LookupLimitFunction", SENTRY_BUDGET_TAGS=""):
        assert scopes(approved(sentry, sent)) == []
