"""`sentry prove` against the stack, and what every command says if it cannot work."""

import json

import pytest

pytestmark = pytest.mark.local


def test_a_budget_for_five_admits_five_of_forty(command, sentry):
    before = {item["modelId"] for item in sentry.limits.scan()["Items"]}
    rows = json.loads(command("--output", "json", "--yes", "prove", "--requests", "40", "--budget", "5"))
    counts = {row["what"]: row["requests"] for row in rows}
    ledger = {name: counts.pop(f"ledger: {name}") for name in ("limit", "settled", "held")}
    assert ledger == {"limit": 5, "settled": 5, "held": 0}
    assert counts["Succeeded"] == 5 and sum(counts.values()) == 40
    assert all(outcome == "Succeeded" or outcome.startswith("Denied Budget") for outcome in counts)
    assert {item["modelId"] for item in sentry.limits.scan()["Items"]} == before


def test_it_says_what_it_does_before_it_does_it(command):
    shown = command.on_a_terminal("prove", "--requests", "3", "--budget", "1", typed="n\n", code=1)
    assert "It costs at most $" in shown and "nothing was changed" in shown
    shown = command.on_a_terminal("--yes", "prove", "--requests", "3", "--budget", "0")
    assert "0 of 3 requests were admitted" in shown
    assert "no-such-stack" in command("--yes", "prove", code=1, stack="no-such-stack")
    assert "--requests" in command("prove", "--requests", "0", code=2)
    assert "AWS cannot be reached" in command.at("http://127.0.0.1:9")("--yes", "prove", code=3)
