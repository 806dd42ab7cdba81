"""The budget part of the contract: scopes, windows, figures that add up, and denials that agree with the figures.

`wrong` collects the defects of a document (`contract.Complaints`).
"""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

DIMENSIONS = ("application", "costCenter", "environment")
UNITS = ("input", "output", "usd", "requests", "inFlight")
COUNTS = ("input", "output", "requests", "inFlight")
# The offsets of all time zones from UTC are in this range.
OFFSETS = (timedelta(hours=-12), timedelta(hours=14))
BUDGET_USD = r"\d+\.\d{2,12}"
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z"
# Windows that are not part of a calendar: all time, the present moment, and a custom period. A custom period may have no end.
UNENDING = r"total|inFlight|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/\.\."
PERIOD = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"
# Characters that have a meaning in scope names are percent-encoded in the value of a tag.
SCOPE = r"(model|foundation)#[^+#]+|[a-zA-Z0-9_.:/=@-]+#[^+#]+(\+[a-zA-Z]+#[^+#]+){0,2}"


def check_budget(wrong, budget):
    if not wrong.of(isinstance(budget, list), "budget", f"is not a list but {budget!r}"):
        return
    for position, entry in enumerate(budget):
        path = f"budget[{position}]"
        if not wrong.keys(
            entry, path, ("scope", "window", "source"), (*UNITS, "resetsAt", "usageAgeSeconds", "enforce")
        ):
            continue
        wrong.text(entry["scope"], f"{path}.scope", SCOPE)
        _source(wrong, entry, path)
        _window(wrong, entry, path)
        _usage_age(wrong, entry, path)
        wrong.of(entry.keys() & set(UNITS), path, "limits nothing")
        wrong.of(entry.get("enforce", "observe") == "observe", f"{path}.enforce", f"is {entry.get('enforce')!r}")
        for kind in COUNTS:
            if kind in entry:
                _headroom(wrong, entry[kind], f"{path}.{kind}")
        if "usd" in entry:
            _dollars(wrong, entry["usd"], f"{path}.usd")
    scopes = [str(entry.get("scope")) for entry in budget]
    wrong.of(not scopes or scopes[0].startswith("model#"), "budget", f"does not begin with the model: {scopes}")
    by_kind = sorted(
        scopes, key=lambda scope: (not scope.startswith("model#"), not scope.startswith("foundation#"), scope)
    )
    wrong.of(scopes == by_kind, "budget", f"is not in the order of its scopes: {scopes}")
    places = [(entry.get("scope"), entry.get("window")) for entry in budget]
    wrong.of(len(places) == len(set(places)), "budget", f"has a window twice: {places}")


def _source(wrong, entry, path):
    """If a scope has its own item, the source is the kind of the scope. If a fallback item applies, the source is `default`."""
    kind = "+".join(part.split("#", 1)[0] for part in str(entry["scope"]).split("+"))
    names = kind.split("+")
    # A single name may also be a tag that the parameter `BudgetTags` declares.
    known = len(names) == 1 or (set(names) <= set(DIMENSIONS) and names == sorted(set(names)))
    wrong.of(known, f"{path}.scope", f"{entry['scope']!r} is of no known kind")
    wrong.of(entry["source"] in {"default", kind}, f"{path}.source", f"is {entry['source']!r} for {entry['scope']!r}")


def _usage_age(wrong, entry, path):
    """CloudWatch knows only models. A figure older than five minutes is never used for a decision."""
    age = entry.get("usageAgeSeconds")
    if entry["scope"].startswith(("model#", "foundation#")):
        wrong.of(type(age) is int and 0 <= age <= 300, f"{path}.usageAgeSeconds", f"is {age!r}")
    else:
        wrong.of(
            age is None, f"{path}.usageAgeSeconds", f"is {age!r} for {entry['scope']!r}, which CloudWatch does not know"
        )


def _window(wrong, entry, path):
    """`resetsAt` is the end of the named window in some time zone. A window that never ends has no `resetsAt`."""
    if re.fullmatch(UNENDING, str(entry["window"])):
        wrong.of("resetsAt" not in entry, f"{path}.resetsAt", f"is there though {entry['window']} never resets")
        return
    if period := re.fullmatch(PERIOD, str(entry["window"])):
        wrong.of(
            entry.get("resetsAt") == period[1], f"{path}.resetsAt", f"is {entry.get('resetsAt')!r} of {entry['window']}"
        )
        return
    if not wrong.of("resetsAt" in entry, path, "has no resetsAt"):
        return
    wrong.text(entry["resetsAt"], f"{path}.resetsAt", INSTANT)
    end = window_end(str(entry["window"]))
    if not wrong.of(end is not None, f"{path}.window", f"{entry['window']!r} names no window") or not re.fullmatch(
        INSTANT, str(entry["resetsAt"])
    ):
        return
    offset = end - datetime.strptime(entry["resetsAt"], "%Y-%m-%dT%H:%M:%SZ")
    fits = OFFSETS[0] <= offset <= OFFSETS[1] and offset % timedelta(minutes=15) == timedelta(0)
    wrong.of(fits, f"{path}.resetsAt", f"{entry['resetsAt']} does not end {entry['window']}")


def window_end(name):
    """Returns the local time at which the window called `name` ends, or None if no window has this name."""
    try:
        if re.fullmatch(r"\d{4}-W\d\d", name):
            return datetime.combine(
                date.fromisocalendar(int(name[:4]), int(name[6:]), 7) + timedelta(days=1), datetime.min.time()
            )
        if re.fullmatch(r"\d{4}-\d\d", name):
            year, month = int(name[:4]), int(name[5:])
            return datetime(year + month // 12, month % 12 + 1, 1) if 1 <= month <= 12 else None
        for pattern, form, length in (
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d", "%Y-%m-%dT%H:%M", timedelta(minutes=1)),
            (r"\d{4}-\d\d-\d\d", "%Y-%m-%d", timedelta(days=1)),
            (r"\d{4}-\d\d-\d\dT\d\d", "%Y-%m-%dT%H", timedelta(hours=1)),
        ):
            if re.fullmatch(pattern, name):
                return datetime.strptime(name, form) + length
    except ValueError:
        return None
    return None


def _headroom(wrong, room, path):
    names = ("limit", "used", "reserved", "remaining")
    if wrong.keys(room, path, names) and wrong.whole_numbers(room, path, names):
        remaining = max(0, room["limit"] - room["used"] - room["reserved"])
        wrong.of(room["remaining"] == remaining, f"{path}.remaining", f"must be {remaining}: {room}")


def _dollars(wrong, room, path):
    names = ("limit", "used", "reserved", "remaining")
    if not wrong.keys(room, path, names):
        return
    before = len(wrong)
    for name in names:
        wrong.text(room[name], f"{path}.{name}", BUDGET_USD)
    if len(wrong) == before:
        limit, used, reserved, remaining = (Decimal(room[name]) for name in names)
        wrong.of(remaining == max(Decimal(0), limit - used - reserved), f"{path}.remaining", f"does not add up: {room}")


def check_denial(wrong, error, budget):
    """Checks the details of a denial: the budget that the request does not fit, and the amounts.

    `BudgetReserved` means that the request would fit if all holds were released. Otherwise the code is `BudgetExceeded`.
    """
    details, path = error["details"], "error.details"
    if not wrong.of(
        {"scope", "window", "exceeded", "needed", "remaining"} <= details.keys(), path, f"says too little: {details}"
    ):
        return
    entry = next(
        (each for each in budget if (each.get("scope"), each.get("window")) == (details["scope"], details["window"])),
        None,
    )
    if entry is None:
        wrong.of(False, f"{path}.scope", f"{details} names none of the scopes in budget")
        return
    wrong.of(details.get("resetsAt") == entry.get("resetsAt"), f"{path}.resetsAt", f"{details} is not its scope's")
    unit = details["exceeded"]
    if not wrong.of(unit in UNITS and unit in entry, f"{path}.exceeded", f"{unit!r} is not limited by {entry}"):
        return
    room = entry[unit]
    kind = str if unit == "usd" else int
    if not wrong.of(
        all(type(details[name]) is kind for name in ("needed", "remaining")),
        path,
        f"has amounts that are not {kind.__name__}: {details}",
    ):
        return
    needed, remaining = Decimal(details["needed"]), Decimal(details["remaining"])
    free = Decimal(room["limit"]) - Decimal(room["used"])
    wrong.of(remaining == Decimal(room["remaining"]), f"{path}.remaining", f"{details} is not what {room} says")
    wrong.of(needed > remaining, path, f"denies what fits: {details}")
    if error["code"] == "BudgetExceeded":
        wrong.of(needed > free, path, f"would fit if holds were given back, so it is BudgetReserved: {details} {room}")
    else:
        wrong.of(
            needed <= free and Decimal(room["reserved"]) > 0,
            path,
            f"is not for holds alone to decide: {details} {room}",
        )


def check_includes(wrong, answer):
    """Checks the figures after settling: `used` includes the request itself."""
    usage, cost = answer.get("usage"), answer.get("cost")
    if not (isinstance(usage, dict) and isinstance(cost, dict) and isinstance(answer.get("budget"), list)):
        return
    kinds = {"input": ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"), "output": ("outputTokens",)}
    spent = {"requests": 1} | {unit: sum(usage.get(kind, 0) for kind in names) for unit, names in kinds.items()}
    if "usd" in cost:
        spent["usd"] = cost["usd"]
    for position, entry in enumerate(answer["budget"]):
        for unit in spent.keys() & entry.keys():
            used = entry[unit].get("used", 0)
            wrong.of(
                Decimal(used) >= Decimal(spent[unit]),
                f"budget[{position}].{unit}.used",
                f"{used} lacks the request's own {spent[unit]}",
            )


def entry_of(answer, scope, window=None):
    """Returns the `budget` entry of a scope. With several windows, it is the entry whose window name is as long as `window`."""
    found = [
        entry
        for entry in answer["budget"]
        if entry["scope"] == scope and (window is None or len(entry["window"]) == len(window))
    ]
    assert len(found) == 1, f"{scope} is not once in the budget: {answer['budget']}"
    return found[0]
