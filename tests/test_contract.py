"""Tests the checker: it accepts the example of the contract and reports deviations. Needs no endpoint."""

import copy
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from budget_contract import window_end
from contract import CODES, check_answer

ROOT = Path(__file__).resolve().parent.parent
METRIC = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SUCCEEDED: dict[str, Any] = {
    "outcome": "Succeeded",
    "statusCode": 200,
    "tags": {
        "requestId": "ded98994-eb76-48d9-9dbc-f269541b5e49",
        "timestamp": "2025-01-31T14:05:26.854682Z",
        "applicationId": "helper",
        "modelMetric": METRIC,
    },
    "model": {"requested": "claude-haiku-4-5", "modelId": METRIC, "modelMetric": METRIC},
    "output": {"message": {"role": "assistant", "content": "Hello"}, "stopReason": "end_turn"},
    "usage": {
        "inputTokens": 21,
        "outputTokens": 143,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
        "totalTokens": 164,
    },
    "cost": {"usd": "0.000588800", "priced": True},
    "budget": [
        {
            "scope": f"model#{METRIC}",
            "window": "2025-12",
            "resetsAt": "2026-01-01T00:00:00Z",
            "source": "model",
            "usageAgeSeconds": 12,
            "input": {"limit": 1000000, "used": 20500, "reserved": 0, "remaining": 979500},
            "output": {"limit": 3000000, "used": 99143, "reserved": 0, "remaining": 2900857},
        }
    ],
}
DENIED: dict[str, Any] = {
    **{key: value for key, value in SUCCEEDED.items() if key in {"tags", "model"}},
    "outcome": "Denied",
    "statusCode": 429,
    "error": {
        "code": "BudgetExceeded",
        "message": "The limit is spent; ask an admin.",
        "retryable": False,
        "details": {
            "scope": f"model#{METRIC}",
            "window": "2025-12",
            "resetsAt": "2026-01-01T00:00:00Z",
            "exceeded": "input",
            "needed": 30,
            "remaining": 0,
        },
    },
    "budget": [
        {
            "scope": f"model#{METRIC}",
            "window": "2025-12",
            "resetsAt": "2026-01-01T00:00:00Z",
            "source": "default",
            "usageAgeSeconds": 0,
            "input": {"limit": 100, "used": 500, "reserved": 0, "remaining": 0},
        }
    ],
}
RESERVED: dict[str, Any] = {
    **DENIED,
    "error": {
        "code": "BudgetReserved",
        "message": "Requests in flight hold the rest; try again.",
        "retryable": True,
        "retryAfterSeconds": 2,
        "details": {
            "scope": "costCenter#support",
            "window": "2026-W53",
            "resetsAt": "2027-01-04T05:00:00Z",
            "exceeded": "usd",
            "needed": "0.75",
            "remaining": "0.50",
        },
    },
    "budget": [
        DENIED["budget"][0],
        {
            "scope": "application#a+environment#p%2Bq",
            "window": "2025-12-31T17",
            "resetsAt": "2025-12-31T12:15:00Z",
            "source": "application+environment",
            "output": {"limit": 100, "used": 5, "reserved": 5, "remaining": 90},
        },
        {
            "scope": "costCenter#support",
            "window": "2026-W53",
            "resetsAt": "2027-01-04T05:00:00Z",
            "source": "costCenter",
            "usd": {"limit": "1.00", "used": "0.25", "reserved": "0.25", "remaining": "0.50"},
        },
    ],
}
CACHED: dict[str, Any] = {
    **SUCCEEDED,
    "usage": {
        **SUCCEEDED["usage"],
        "inputTokens": 13,
        "cacheWriteInputTokens": 8,
        "cacheDetails": [{"ttl": "5m", "inputTokens": 8}],
    },
    "cost": {"usd": "0.000591000", "savedUsd": "-0.000002200", "priced": True},
}
CLAMPED: dict[str, Any] = {**SUCCEEDED, "degraded": {"action": "clamp", "from": 2048, "to": 143}}
ANOTHER: dict[str, Any] = {
    **SUCCEEDED,
    "degraded": {
        "action": "fallback",
        "from": "amazon.nova-premier-v1:0",
        "to": SUCCEEDED["model"]["modelId"],
        "maxTokens": {"from": 2048, "to": 143},
    },
}


NOTICED: dict[str, Any] = {
    **SUCCEEDED,
    "notices": [{"code": "ModelReplaced", "message": "It means another model now."}],
}


@pytest.mark.parametrize(
    "answer",
    [SUCCEEDED, CACHED, DENIED, RESERVED, CLAMPED, ANOTHER, NOTICED],
    ids=["succeeded", "cached", "denied", "reserved", "clamped", "fallback", "with a notice"],
)
def test_good_answer(answer):
    check_answer(answer)


BLOCKS = [{"text": "Hm."}, {"toolUse": {"toolUseId": "t1", "name": "find", "input": {}}}]
RICH: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
    {"messages": [{"role": "user", "content": "Hi"}], "tools": [{}]},
]
PLAIN = {"messages": [{"role": "user", "content": "Hi"}]}


def said(content, prompt):
    """Returns an answer with `content` and the current time, and the document that it answers."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    answer = {
        **SUCCEEDED,
        "tags": {**SUCCEEDED["tags"], "timestamp": now},
        "output": {"message": {"role": "assistant", "content": content}, "stopReason": "tool_use"},
    }
    return answer, {
        "model": "claude-haiku-4-5",
        "prompt": prompt,
        "tags": {"applicationId": "helper", "requestId": answer["tags"]["requestId"]},
    }


def test_blocks_answer_rich_prompts_and_text_answers_others():
    for content, prompt in [(BLOCKS, RICH[0]), ([], RICH[1]), ("Hm.", PLAIN), ("", PLAIN)]:
        check_answer(*said(content, prompt))
    bad = [
        ("Hm.", RICH[0]),
        (BLOCKS, PLAIN),
        ([{"text": ""}], RICH[0]),
        ([{"text": "a", "toolUse": {}}], RICH[1]),
        ([{"toolUse": {"name": "find"}}], RICH[1]),
        ([{"image": {}}], RICH[1]),
    ]
    for content, prompt in bad:
        with pytest.raises(AssertionError, match=r"output\.message\.content"):
            check_answer(*said(content, prompt))


def test_answer_whose_hold_was_not_settled():
    check_answer({**SUCCEEDED, "budget": []}, unsettled=True)
    with pytest.raises(AssertionError, match="nothing was settled"):
        check_answer(SUCCEEDED, unsettled=True)


@pytest.mark.parametrize(
    "name, end",
    [
        ("2026-12", "2027-01-01T00:00:00"),
        ("2028-02-28", "2028-02-29T00:00:00"),
        ("2026-W53", "2027-01-04T00:00:00"),
        ("2026-12-31T23", "2027-01-01T00:00:00"),
        ("2026-13", None),
        ("2026-02-30", None),
        ("2027-W53", None),
        ("2026-11-21T24", None),
        ("2026", None),
        ("November", None),
    ],
)
def test_window_names(name, end):
    found = window_end(name)
    assert (found and found.isoformat()) == end


REMOVED = object()
BROKEN: dict[str, tuple[dict[str, Any], tuple[str | int, ...], Any]] = {
    "unknown field": (SUCCEEDED, ("extra",), 1),
    "status as a string": (SUCCEEDED, ("statusCode",), "200"),
    "no usage": (SUCCEEDED, ("usage",), REMOVED),
    "an error on success": (SUCCEEDED, ("error",), DENIED["error"]),
    "counts as strings": (SUCCEEDED, ("usage", "inputTokens"), "21"),
    "counts as fractions": (SUCCEEDED, ("usage", "inputTokens"), 21.0),
    "total does not add up": (SUCCEEDED, ("usage", "totalTokens"), 165),
    "cost as a number": (SUCCEEDED, ("cost", "usd"), 0.0005888),
    "cost with an exponent": (SUCCEEDED, ("cost", "usd"), "5.888E-4"),
    "priced without a price": (SUCCEEDED, ("cost", "usd"), REMOVED),
    "a saving without cached tokens": (SUCCEEDED, ("cost", "savedUsd"), "0.000000000"),
    "cached tokens without a saving": (CACHED, ("cost", "savedUsd"), REMOVED),
    "a saving as a number": (CACHED, ("cost", "savedUsd"), -0.0000022),
    "a saving without a price": (CACHED, ("cost",), {"priced": False, "savedUsd": "-0.000002200"}),
    "stop reason that is no word": (SUCCEEDED, ("output", "stopReason"), "end turn"),
    "timestamp without microseconds": (SUCCEEDED, ("tags", "timestamp"), "2025-01-31T14:05:26Z"),
    "timestamp with an offset": (SUCCEEDED, ("tags", "timestamp"), "2025-01-31T14:05:26.854682+00:00"),
    "no metric in the tags": (SUCCEEDED, ("tags", "modelMetric"), REMOVED),
    "family is internal": (SUCCEEDED, ("model", "family"), "anthropic"),
    "remaining is wrong": (SUCCEEDED, ("budget", 0, "input", "remaining"), 979501),
    "remaining is negative": (DENIED, ("budget", 0, "input", "remaining"), -400),
    "reset in another month": (SUCCEEDED, ("budget", 0, "resetsAt"), "2025-12-01T00:00:00Z"),
    "budget limits nothing": (DENIED, ("budget", 0, "input"), REMOVED),
    "wrong status for the code": (DENIED, ("statusCode",), 403),
    "unknown code": (DENIED, ("error", "code"), "Exceeded"),
    "wrong retryability": (DENIED, ("error", "retryable"), True),
    "a wait without use": (DENIED, ("error", "retryAfterSeconds"), 30),
    "scope that is not in the budget": (DENIED, ("error", "details", "scope"), "model#other"),
    "window that is not its scope's": (DENIED, ("error", "details", "window"), "2025-11"),
    "denial that names no unit": (DENIED, ("error", "details", "exceeded"), REMOVED),
    "denial for a unit without a limit": (DENIED, ("error", "details", "exceeded"), "output"),
    "denial of what fits": (DENIED, ("error", "details", "needed"), 0),
    "denial by another figure than is reported": (DENIED, ("error", "details", "remaining"), 1),
    "denial in another notation": (DENIED, ("error", "details", "needed"), "30"),
    "spent though holds are in the way": (
        DENIED,
        ("budget", 0),
        {**DENIED["budget"][0], "input": {"limit": 100, "used": 50, "reserved": 50, "remaining": 0}},
    ),
    "reserved though all of it is spent": (RESERVED, ("error", "details", "needed"), "0.76"),
    "reserved without a wait": (RESERVED, ("error", "retryAfterSeconds"), REMOVED),
    "dollars as a number": (RESERVED, ("budget", 2, "usd", "used"), 0.25),
    "dollars do not add up": (RESERVED, ("budget", 2, "usd", "remaining"), "0.49"),
    "week without its end": (RESERVED, ("budget", 2, "resetsAt"), "2027-01-05T05:00:00Z"),
    "hour that ends at no quarter": (RESERVED, ("budget", 1, "resetsAt"), "2025-12-31T12:20:00Z"),
    "window of no kind": (RESERVED, ("budget", 1, "window"), "2025"),
    "source of another scope": (RESERVED, ("budget", 1, "source"), "environment"),
    "scope of no kind": (RESERVED, ("budget", 1, "scope"), "team#a"),
    "dimensions out of order": (RESERVED, ("budget", 1, "scope"), "environment#p+application#a"),
    "scope with a bare sign": (RESERVED, ("budget", 1, "scope"), "application#a+b"),
    "scopes out of order": (
        RESERVED,
        ("budget",),
        [RESERVED["budget"][0], RESERVED["budget"][2], RESERVED["budget"][1]],
    ),
    "model is not first": (RESERVED, ("budget",), RESERVED["budget"][1:]),
    "the request itself is not in what is used": (
        SUCCEEDED,
        ("budget", 0, "output"),
        {"limit": 3000000, "used": 142, "reserved": 0, "remaining": 2999858},
    ),
    "degraded to more": (CLAMPED, ("degraded", "to"), 2048),
    "degraded without figures": (CLAMPED, ("degraded", "to"), REMOVED),
    "degraded in an unknown way": (CLAMPED, ("degraded", "action"), "shorten"),
    "fallback to another model than the one that is named": (ANOTHER, ("degraded", "to"), "amazon.nova-micro-v1:0"),
    "fallback to the same model": (ANOTHER, ("degraded", "from"), SUCCEEDED["model"]["modelId"]),
    "fallback with more tokens": (ANOTHER, ("degraded", "maxTokens", "to"), 2049),
    "no notices": (SUCCEEDED, ("notices",), []),
    "notice of no kind": (NOTICED, ("notices", 0, "code"), "ModelGone"),
    "notice without words": (NOTICED, ("notices", 0, "message"), ""),
    "no details": (DENIED, ("error", "details"), REMOVED),
    "output on a denial": (DENIED, ("output",), SUCCEEDED["output"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_deviation_is_noticed(name):
    answer, path, value = BROKEN[name]
    broken = copy.deepcopy(answer)
    at: Any = broken
    for step in path[:-1]:
        at = at[step]
    if value is REMOVED:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    with pytest.raises(AssertionError, match="breaks the contract"):
        check_answer(broken)


def test_codes_are_those_of_the_functions():
    name = "sentry_contract__error__tests__the_table_of_codes_is_the_public_one.snap"
    snapshot = (ROOT / "crates/sentry-contract/src/snapshots" / name).read_text(encoding="utf-8")
    rows = [line.split() for line in snapshot.split("---")[2].strip().splitlines()]
    assert {row[0]: (row[1], int(row[2]), row[3] == "true") for row in rows} == CODES


def test_codes_are_those_of_the_document():
    text = (ROOT / "docs/CONTRACT.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z][^|]*) \| (\w+) \| (\d{3}) \| (yes|no) \|", text, re.MULTILINE)
    found = {
        code: (outcome, int(status), retry == "yes")
        for codes, outcome, status, retry in rows
        for code in re.findall(r"`([A-Z]\w+)`", codes)
    }
    assert found == CODES
