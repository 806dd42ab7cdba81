"""Windows of limits and their ends: minute, hour, day, week or month in a time zone, a period, or all time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from budget_contract import entry_of
from contract import check_error, check_succeeded
from sentry_client import document, unique

WINDOWS = ["hour", "day", "week", "month"]
# Offsets with half and quarter hours, both sides of the date line, daylight saving time in the north and in the south.
ZONES = [
    None,
    "UTC",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Europe/Paris",
    "America/New_York",
    "Pacific/Auckland",
    "Pacific/Honolulu",
    "Etc/GMT+12",
]


def written(instant):
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def expected(kind, zone, instant):
    """Returns the name and the end of the window that contains an instant."""
    local = instant.astimezone(ZoneInfo(zone or "UTC"))
    if kind == "hour":
        begun = local.replace(minute=0, second=0, microsecond=0, tzinfo=None)
        return begun.strftime("%Y-%m-%dT%H"), written(begun + timedelta(hours=1) - local.utcoffset())
    today = local.date()
    name, following = {
        "day": (today.isoformat(), today + timedelta(days=1)),
        "week": (today.strftime("%G-W%V"), today + timedelta(days=7 - today.weekday())),
        "month": (today.strftime("%Y-%m"), (today.replace(day=1) + timedelta(days=32)).replace(day=1)),
    }[kind]
    end = datetime(following.year, following.month, following.day, tzinfo=local.tzinfo)
    return name, written(end.astimezone(UTC))


def arrival(answer):
    return datetime.strptime(answer["tags"]["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z")


def window_of(sentry, sent, scope, kind, zone):
    """Returns the window in the answer, and the window in which the request arrived."""
    answer = check_succeeded(sentry.ask(sent), sent)
    entry = entry_of(answer, scope)
    return (entry["window"], entry["resetsAt"]), expected(kind, zone, arrival(answer))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("kind", WINDOWS)
def test_window_and_its_end(sentry, kind, zone):
    center = unique("e2e-window")
    scope = f"costCenter#{center}"
    sentry.set_limit(scope, {"output": 100_000}, window=kind, **({"timeZone": zone} if zone else {}))
    sent = document(tags={"applicationId": "e2e-window", "costCenter": center})
    found, wanted = window_of(sentry, sent, scope, kind, zone)
    if found != wanted:
        # A window can end while the request runs. This does not happen twice in a row.
        found, wanted = window_of(sentry, sent, scope, kind, zone)
    assert found == wanted


def test_window_of_the_model(sentry):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"output": 0}, window="week", timeZone="Asia/Tokyo")
    sent = document(arn)
    answer = sentry.ask(sent)
    details = check_error(answer, "BudgetExceeded", sent)
    assert (details["window"], details["resetsAt"]) == expected("week", "Asia/Tokyo", arrival(answer))


def test_each_scope_has_its_own_window(sentry):
    tags = {tag: unique("e2e-window") for tag in ("applicationId", "costCenter", "environment")}
    kinds = {
        f"application#{tags['applicationId']}": "hour",
        f"costCenter#{tags['costCenter']}": "day",
        f"environment#{tags['environment']}": "week",
    }
    for scope, kind in kinds.items():
        sentry.set_limit(scope, {"output": 100_000}, window=kind)
    answer = check_succeeded(sentry.ask(document(tags=tags)))
    lengths = [len(entry["window"]) for entry in answer["budget"]]
    assert lengths == [len("2026-11"), len("2026-11-21T13"), len("2026-11-21"), len("2026-W47")]


@pytest.mark.local
def test_another_window_is_another_budget_that_knows_what_was_spent_in_it(sentry):
    """A new window of a day or longer begins with its usage in the usage history."""
    center = unique("e2e-window")
    scope = f"costCenter#{center}"
    sent = document(
        tags={"applicationId": "e2e-window", "costCenter": center}, parameters={"max_tokens": 100}, output_tokens=100
    )
    for times, kind in enumerate(WINDOWS, 1):
        sentry.set_limit(scope, {"output": 100 * times}, window=kind)
        assert entry_of(check_succeeded(sentry.ask(sent), sent), scope)["output"]["used"] == 100 * times
        check_error(sentry.ask(sent), "BudgetExceeded", sent)
        sentry.history(scope, requests=2 * times)


@pytest.mark.local
def test_cloudwatch_counts_for_the_window_of_the_model_only(sentry):
    """Traffic that bypasses the sentry counts in the window in which it happens."""
    arn, bare = sentry.profile_arn()
    sentry.put_usage(bare, OutputTokenCount=700)
    sent = document(arn, parameters={"max_tokens": 400})
    for kind in WINDOWS:
        sentry.set_limit(bare, {"output": 1000}, window=kind)
        details = check_error(sentry.ask(sent), "BudgetExceeded", sent)
        assert (details["needed"], details["remaining"]) == (400, 300)


@pytest.mark.local
def test_several_windows_apply_at_once_and_each_denies_with_its_own_reset(sentry):
    """The limits are $500 per month, $50 per day and 100,000 tokens per minute.

    A window denies each request that could use more than the window has left.
    """
    center = unique("e2e-window")
    scope = f"costCenter#{center}"
    windows = {"month": {"usd": 500}, "day": {"usd": 50}, "minute": {"input": 100_000}}

    def set_limits(**tight):
        sentry.set_limit(
            scope, limits=[{"window": kind, "limit": tight.get(kind, limit)} for kind, limit in windows.items()]
        )

    set_limits()
    sent = document(tags={"applicationId": "e2e-window", "costCenter": center})
    answer = check_succeeded(sentry.ask(sent), sent)
    entries = [entry for entry in answer["budget"] if entry["scope"] == scope]
    assert [len(entry["window"]) for entry in entries] == [len("2026-11"), len("2026-11-21"), len("2026-11-21T13:05")]
    assert [entry[unit]["limit"] for entry, unit in zip(entries, ("usd", "usd", "input"), strict=True)] == [
        "500.00",
        "50.00",
        100_000,
    ]
    for kind, limit in windows.items():
        set_limits(**{kind: dict.fromkeys(limit, 0)})
        answer = sentry.ask(sent)
        details = check_error(answer, "BudgetExceeded", sent)
        denying = {"month": 0, "day": 1, "minute": 2}[kind]
        entry = [entry for entry in answer["budget"] if entry["scope"] == scope][denying]
        assert (details["window"], details["resetsAt"]) == (entry["window"], entry["resetsAt"])


def test_period_of_its_own(sentry):
    center = unique("e2e-window")
    scope = f"costCenter#{center}"
    past, begun, later = ("2020-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2099-01-01T00:00:00Z")
    sentry.set_limit(
        scope,
        limits=[
            {"from": past, "until": begun, "limit": {"output": 0}},
            {"from": begun, "until": later, "limit": {"output": 100_000}},
        ],
    )
    sent = document(tags={"applicationId": "e2e-window", "costCenter": center})
    entry = entry_of(check_succeeded(sentry.ask(sent), sent), scope)
    assert (entry["window"], entry["resetsAt"]) == (f"{begun}/{later}", later)
    sentry.set_limit(scope, {"output": 0}, **{"from": past, "until": begun})
    assert [entry["scope"] for entry in check_succeeded(sentry.ask(sent), sent)["budget"]][1:] == []
