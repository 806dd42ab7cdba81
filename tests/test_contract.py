"""The checker itself: it accepts the contract's own example and notices what deviates. Needs no endpoint."""

import copy

import pytest

from contract import check_answer

METRIC = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
SUCCEEDED = {
    "outcome": "Succeeded",
    "statusCode": 200,
    "tags": {"requestId": "ded98994-eb76-48d9-9dbc-f269541b5e49", "timestamp": "2025-01-31T14:05:26.854682Z", "applicationId": "helper", "modelMetric": METRIC},
    "model": {"requested": "claude-3-5-haiku", "modelId": METRIC, "modelMetric": METRIC},
    "output": {"message": {"role": "assistant", "content": "Hello"}, "stopReason": "end_turn"},
    "usage": {"inputTokens": 21, "outputTokens": 143, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 164},
    "cost": {"usd": "0.000588800", "priced": True},
    "budget": [{"scope": f"model#{METRIC}", "window": "2025-12", "resetsAt": "2026-01-01T00:00:00Z", "source": "model",
                "input": {"limit": 1000000, "used": 20500, "reserved": 0, "remaining": 979500},
                "output": {"limit": 3000000, "used": 99143, "reserved": 0, "remaining": 2900857}}],
}
DENIED = {
    **{key: value for key, value in SUCCEEDED.items() if key in {"tags", "model"}},
    "outcome": "Denied",
    "statusCode": 429,
    "error": {"code": "BudgetExceeded", "message": "The limit is spent; ask an admin.", "retryable": False,
              "details": {"scope": f"model#{METRIC}", "resetsAt": "2026-01-01T00:00:00Z"}},
    "budget": [{"scope": f"model#{METRIC}", "window": "2025-12", "resetsAt": "2026-01-01T00:00:00Z", "source": "default",
                "input": {"limit": 100, "used": 500, "reserved": 0, "remaining": 0}}],
}


@pytest.mark.parametrize("answer", [SUCCEEDED, DENIED], ids=["succeeded", "denied"])
def test_good_answer(answer):
    check_answer(answer)


REMOVED = object()
BROKEN = {
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
    "stop reason of a family": (SUCCEEDED, ("output", "stopReason"), "stop"),
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
    "no details": (DENIED, ("error", "details"), REMOVED),
    "output on a denial": (DENIED, ("output",), SUCCEEDED["output"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_deviation_is_noticed(name):
    answer, path, value = BROKEN[name]
    broken = copy.deepcopy(answer)
    at = broken
    for step in path[:-1]:
        at = at[step]
    if value is REMOVED:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    with pytest.raises(AssertionError, match="breaks the contract"):
        check_answer(broken)
