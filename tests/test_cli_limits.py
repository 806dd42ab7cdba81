"""The command `sentry` changes limits: one at a time, from a file, and safely if two administrators do it at once."""

import csv
import io
import json
import os
import pty
import select
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest

from contract import check_error, check_succeeded
from denying_aws import denying
from sentry_client import document, unique

pytestmark = pytest.mark.local


@pytest.fixture
def center(sentry):
    """Returns the key of a new cost center, whose item is removed after the test."""
    key = f"costCenter#{unique('cli').lower()}"
    yield key
    sentry.delete_limit(key)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def stored(sentry, key):
    return sentry.limits.get_item(Key={"modelId": key}, ConsistentRead=True).get("Item")


def as_json(command, *arguments, **options):
    return json.loads(command("--output", "json", *arguments, **options))


def as_csv(command, *arguments, **options):
    return list(csv.DictReader(io.StringIO(command("--output", "csv", *arguments, **options))))


def fits(shown):
    # The end of an answer on the terminal begins a new line.
    return all(len(line) <= 80 for line in shown.replace("[y/N] ", "[y/N]\n").splitlines())


def test_a_limit_is_set_shown_and_removed_and_each_change_is_recorded(command, sentry, center):
    command("--yes", "limits", "set", center, "--limit", "usd=500.10", "--alert-at", "80,100", "--owner", "jo")
    item = stored(sentry, center)
    assert item["limit"] == {"usd": Decimal("500.10")} and item["alertAt"] == [80, 100]
    assert item["updatedBy"].startswith("arn:aws:") and item["updatedAt"].endswith("Z")
    told = as_json(command, "--yes", "limits", "set", center, "--limit", "usd=600")
    (change,) = told
    assert Decimal(change.pop("before")) == Decimal("500.1"), "DynamoDB keeps no trailing zero"
    assert change == {"action": "change", "key": center, "field": "month.limit.usd", "after": "600"}
    assert json.loads(command("--output", "json", "limits", "get", center))["limit"] == {"usd": 600}
    assert f"modelId: {center}" in command("limits", "get", center)
    assert {"field": "month.limit.usd", "value": "600"} in as_csv(command, "limits", "get", center)
    (row,) = [row for row in as_json(command, "limits", "list") if row["key"] == center]
    assert (row["limits"], row["scope"], row["owner"]) == ("month usd 600", center, "jo")
    assert center in command("limits", "list") and fits(command.on_a_terminal("limits", "list"))
    assert any(row["key"] == center for row in as_csv(command, "limits", "list"))
    shown = command.on_a_terminal("limits", "rm", center, typed="n\n", code=1)
    assert "[y/N]" in shown and fits(shown) and stored(sentry, center)
    sentry.limits.update_item(
        Key={"modelId": center}, UpdateExpression="SET note = :note", ExpressionAttributeValues={":note": "by hand"}
    )
    latest, second, first = as_json(command, "limits", "history", center)
    assert (latest["what"], latest["changes"]) == ("edited without this command", "note: by hand added")
    assert (second["what"], first["what"], first["before"]) == ("set", "set", None)
    assert second["before"]["limit"]["usd"] == 500.1 and second["after"]["limit"]["usd"] == 600
    command.on_a_terminal("limits", "rm", center, typed="y\n")
    assert stored(sentry, center) is None
    assert [row["what"] for row in as_csv(command, "limits", "history", center)] == ["rm", "set", "set"]
    assert fits(command.on_a_terminal("limits", "history", center))


def test_every_change_is_told_in_every_form(command, sentry, center):
    changes = [
        (["limits", "set", center, "--limit", "usd=5"], [("add", "month.limit.usd", "", "5")]),
        (["raise", center, "--limit", "usd=8", "--until", "2999-01-01"], [
            ("change", "month.raise.limit.usd", "", "8"),
            ("change", "month.raise.until", "", "2999-01-01T00:00:00Z"),
        ]),
        (["stop", center, "--reason", "audit"], [("change", "stopped", "", "audit")]),
        (["resume", center], [("change", "stopped", "audit", "")]),
        (["limits", "set", center, "--json", '{"limit": {"usd": 5}}'], [
            ("change", "month.raise.limit.usd", "8", ""),
            ("change", "month.raise.until", "2999-01-01T00:00:00Z", ""),
        ]),
        (["limits", "rm", center], [("remove", "month.limit.usd", "5", "")]),
    ]  # fmt: skip
    for form in ("json", "csv", "table"):
        for arguments, expected in changes:
            told = command("--yes", "--output", form, *arguments)
            if form == "table":
                assert all(part in told for row in expected for part in row), told
                continue
            rows = json.loads(told) if form == "json" else csv.DictReader(io.StringIO(told))
            fields = ("action", "field", "before", "after")
            assert [tuple(row[field] for field in fields) for row in rows] == expected, arguments
    assert stored(sentry, center) is None
    assert "--output json" in command("--output", "csv", "limits", "export", code=2)


def test_of_two_admins_one_wins_and_the_other_sees_the_difference(command, sentry, center):
    command("--yes", "limits", "set", center, "--limit", "usd=5")
    with asked(command, "limits", "set", center, "--limit", "usd=7") as (answer, result):
        command("--yes", "limits", "set", center, "--limit", "usd=6", "--note", "mine")
        answer()
    code, shown = result
    assert code == 4 and "month.limit.usd: 5 -> 6" in " ".join(shown.split()), shown
    assert stored(sentry, center)["limit"] == {"usd": 6}
    sentry.delete_limit(center)
    with asked(command, "limits", "set", center, "--limit", "usd=7") as (answer, result):
        command("--yes", "limits", "set", center, "--limit", "usd=8")
        answer()
    assert result[0] == 4 and stored(sentry, center)["limit"] == {"usd": 8}, "both found no item"
    # An edit in the console leaves no trace of who made it.
    with asked(command, "limits", "rm", center) as (answer, result):
        sentry.limits.update_item(
            Key={"modelId": center}, UpdateExpression="SET #s = :s", ExpressionAttributeNames={"#s": "stopped"},
            ExpressionAttributeValues={":s": "audit"},
        )  # fmt: skip
        answer()
    assert result[0] == 4 and stored(sentry, center)["stopped"] == "audit"
    with asked(command, "limits", "set", center, "--limit", "usd=9") as (answer, result):
        sentry.delete_limit(center)
        answer()
    assert result[0] == 4 and stored(sentry, center) is None
    whats = [row["what"] for row in as_json(command, "limits", "history", center)]
    assert whats == ["edited without this command", "set", "set", "set"], "the refused changes are not recorded"


def test_of_many_admins_each_change_is_recorded_or_refused(command, sentry, center):
    def set_limit(number):
        line = command._line(("--yes", "limits", "set", center, "--limit", f"usd={number}"), None)
        done = subprocess.run(line, env=command._environment({}), capture_output=True, check=False, timeout=60)
        return done.returncode

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(set_limit, range(1, 7)))
    assert set(codes) <= {0, 4} and 0 in codes
    history = as_json(command, "limits", "history", center)
    assert len(history) == codes.count(0), "the present item is that of the last record"
    for newer, older in pairwise(history):
        assert newer["before"] == older["after"]
    assert stored(sentry, center)["limit"]["usd"] == history[0]["after"]["limit"]["usd"]


def test_a_second_import_changes_nothing_and_prune_removes_the_rest(command, sentry, center, folder):
    limits, other = folder / "limits.yaml", f"{center}-b"
    command("limits", "export", str(limits))
    before = limits.read_text()
    plan = as_json(command, "limits", "import", "--prune", "--plan", str(limits))
    assert plan == [], "an export changes nothing"
    more = f"  - modelId: {center}\n    limits:\n      - {{window: day, limit: {{usd: 0.10}}}}\n"
    more += f"  - {{modelId: {other}, limit: {{usd: 1}}}}\n"
    limits.write_text(before.removesuffix(" []\n").rstrip("\n") + "\n" + more)
    plan = as_json(command, "limits", "import", "--plan", str(limits))
    assert {row["action"] for row in plan} == {"add"} and stored(sentry, center) is None
    assert "--yes" in command("limits", "import", str(limits), code=2)
    assert {row["key"] for row in as_csv(command, "--yes", "limits", "import", str(limits))} == {center, other}
    written = stored(sentry, center)
    assert as_json(command, "--yes", "limits", "import", str(limits)) == []
    assert stored(sentry, center) == written, "not even who wrote it and when"
    exported = folder / "again.json"
    exported.write_text(command("--output", "json", "limits", "export"))
    assert as_json(command, "--yes", "limits", "import", "--prune", str(exported)) == []
    limits.write_text(before)
    command("--yes", "stop", other, "--reason", "audit")
    removed = {row["key"] for row in as_json(command, "--yes", "limits", "import", "--prune", str(limits))}
    assert removed == {center} and stored(sentry, other)["stopped"] == "audit", "what is stopped stays"
    command("--yes", "limits", "rm", other)


def test_an_import_that_meets_another_change_says_what_was_written(command, sentry, center, folder):
    limits, other = folder / "limits.json", f"{center}-b"
    items = [{"modelId": key, "limit": {"usd": 5}} for key in (center, other)]
    limits.write_text(json.dumps({"limits": items}))
    with asked(command, "limits", "import", str(limits)) as (answer, result):
        command("--yes", "limits", "set", other, "--limit", "usd=9")
        answer()
    shown = " ".join(result[1].split())
    assert result[0] == 4 and f"Written: {center}. Not written: {other}" in shown, shown
    assert (stored(sentry, center)["limit"], stored(sentry, other)["limit"]) == ({"usd": 5}, {"usd": 9})
    changed = as_json(command, "--yes", "limits", "import", str(limits))
    assert [(row["key"], row["before"], row["after"]) for row in changed] == [(other, "9", "5")]
    sentry.delete_limit(other)


def test_a_mistake_is_refused_with_its_place_and_nothing_is_written(command, sentry, center, folder):
    limits = folder / "limits.yaml"
    limits.write_text(f"limits:\n  - modelId: {center}\n    limit:\n      usd: 5\n    notes: misspelled\n")
    message = command("--yes", "limits", "import", str(limits), code=1)
    assert f"{limits}, line 5" in message and "notes" in message
    for arguments, code, part in [
        (["limits", "set", center, "--limit", "euro=5"], 2, "no unit"),
        (["limits", "set", center, "--limits", "usd=5"], 2, "--limits"),
        (["limits", "set", center, "--limit", "usd=-5"], 1, "must be a number of dollars"),
        (["limits", "set", center, "--json", '{"limit": {"usd": "5"}}'], 1, "limit.usd"),
        (["limits", "set", center.replace("Center", "Centre"), "--limit", "usd=5"], 1, "write costCenter"),
        (["limits", "set", "no-such-model", "--limit", "usd=5"], 1, "names no model"),
        (["limits", "get", center], 1, "there is no item"),
        (["limits", "rm", center], 1, "there is no item"),
        (["limits", "history", center], 1, "there is no item"),
        (["resume", center], 1, "is not stopped"),
        (["raise", center, "--limit", "usd=8", "--until", "2h"], 1, "no item"),
        (["raise", center, "--limit", "usd=8", "--until", "yesterday"], 2, "no moment"),
        (["stop", center], 2, "--reason"),
        (["limits", "import", "no-such-file"], 1, "no-such-file cannot be read"),
    ]:
        message = command("--yes", *arguments, code=code)
        assert part in message, f"{arguments}: {message}"
    assert stored(sentry, center) is None
    with denying(command, lambda operation: operation.startswith("DynamoDB")) as denied:
        for arguments in (["limits", "list"], ["--yes", "limits", "set", center, "--limit", "usd=5"]):
            message = denied(*arguments, code=1)
            assert "AccessDenied" in message and "Ask for the permission" in message
    assert "cannot be reached" in replace(command, endpoint="http://127.0.0.1:9")("limits", "list", code=3)


def test_a_stop_and_a_raise_apply_to_the_next_request(command, sentry, center):
    tags = {"applicationId": "cli", "costCenter": center.split("#")[1]}

    def ask():
        most = {"max_tokens": 50}
        return sentry.ask(document("nova-lite", tags=tags, input_tokens=10, output_tokens=20, parameters=most))

    command("--yes", "stop", center.upper().replace("COSTCENTER", "costCenter"), "--reason", "audit")
    assert check_error(ask(), "Stopped")["reason"] == "audit"
    told = as_csv(command, "--yes", "resume", center)
    assert [row["action"] for row in told] == ["remove"] and stored(sentry, center) is None
    check_succeeded(ask())
    command("--yes", "limits", "set", center, "--limit", "output=30")
    command("--yes", "limits", "set", center, "--limit", "output=30000", "--window", "total")
    check_error(ask(), "BudgetExceeded")
    message = command("--yes", "raise", center, "--limit", "output=40000", "--until", "2h", code=2)
    assert "choose one with --window" in message
    command("--yes", "raise", center, "--limit", "output=500", "--until", "tomorrow", "--window", "month")
    check_succeeded(ask())
    (row,) = [row for row in as_json(command, "limits", "list") if row["key"] == center]
    assert "raised to output 500 until" in row["limits"]
    shown = command.on_a_terminal("stop", center, "--reason", "audit", typed="y\n")
    assert "stopped" in shown and fits(shown)
    command("--yes", "resume", center)
    assert [row["what"] for row in as_json(command, "limits", "history", center)][:3] == ["resume", "stop", "raise"]


UNREACHABLE = {
    "costCentre#support": "write costCenter",
    "team#blue": "no kind of scope",
    "model#nova-lite": "write nova-lite",
    "costCenter#support+application#helper": "write application#helper+costCenter#support",
    "costCenter#a+costCenter#b": "there twice",
    "costCenter#support+user#jo": "cannot be joined",
    "application#help+desk": "%2B",
    "application#Help%2bDesk": "in lower case",
    "costCenter#": "must not be empty",
    "user# jo": "begin or end with a space",
    f"user#{'x' * 256}": "at most 255 characters",
    "no-such-model": "no alias of the catalogue",
    "eu.amazon.nova-lite-v1:0": "not offered in us-east-1",
    "foundation#us.amazon.nova-lite-v1:0": "write foundation#amazon.nova-lite-v1:0",
    "costCenter#over": "have ended",
}
REACHED = [
    "default", "nova-lite", "us.amazon.nova-pro-v1:0", "foundation#amazon.nova-lite-v1:0", "foundation#default",
    "costCenter#Marketing", "costCenter#default", "application#help%2bdesk", "application#helper+environment#prod",
    "user#Jo@example.com", *(f"environment#e{number}" for number in range(15)),
]  # fmt: skip


def test_lint_names_exactly_the_items_that_no_request_reaches(command, sentry, folder, unlisted):
    limits = folder / "limits.yaml"
    items = [{"modelId": key, "limit": {"usd": 5}} for key in [*REACHED, *UNREACHABLE]]
    assert len(items) == 40
    items[-1] |= {"window": "day", "until": "2026-01-01T00:00:00Z"}
    limits.write_text(json.dumps({"limits": items}))
    found = lint(command, "--output", "json", "limits", "lint", str(limits), code=1)
    found = {row["key"]: row["problem"] for row in json.loads(found)}
    assert found.keys() == UNREACHABLE.keys()
    for key, part in UNREACHABLE.items():
        assert part in found[key], f"{key}: {found[key]}"
    rows = csv.DictReader(io.StringIO(lint(command, "--output", "csv", "limits", "lint", str(limits), code=1)))
    assert {row["key"]: row["problem"] for row in rows} == found
    assert fits(command.on_a_terminal("limits", "lint", str(limits), code=1))
    # What only the catalogue table knows is reached.
    limits.write_text(json.dumps({"limits": [{"modelId": unlisted, "limit": {"usd": 5}}]}))
    assert lint(command, "--output", "json", "limits", "lint", str(limits), code=0).strip() == "[]"


def test_items_that_were_written_by_hand_are_marked(command, sentry, center):
    misspelled = center.replace("Center", "Centre")
    sentry.set_limit(misspelled, {"usd": 5})
    sentry.set_limit(center, {"usd": "5"})
    try:
        found = json.loads(lint(command, "--output", "json", "limits", "lint", code=1))
        problems = {row["key"]: row["problem"] for row in found}
        assert "write costCenter" in problems[misspelled] and "malformed" in problems[center]
        (row,) = [row for row in as_json(command, "limits", "list") if row["key"] == center]
        assert row["state"].startswith("malformed: limit.usd must be a number of dollars")
        message = command("--yes", "limits", "set", center, "--owner", "jo", code=1)
        assert "would be invalid: limit.usd" in message
        command("--yes", "limits", "set", center, "--limit", "usd=5")
        assert stored(sentry, center)["limit"] == {"usd": 5}
    finally:
        sentry.delete_limit(misspelled)


def test_every_page_of_the_tables_is_read(command, sentry):
    # A page of DynamoDB ends at 1 MB.
    keys = [f"environment#{unique('page')}" for _ in range(8)]
    for key in keys:
        sentry.set_limit(key, {"usd": 5}, note="x" * 150_000)
    try:
        listed = {row["key"] for row in as_json(command, "limits", "list")}
        assert listed.issuperset(keys) and "LastEvaluatedKey" in sentry.limits.scan()
        for number in range(4):
            command("--yes", "limits", "set", keys[0], "--limit", f"usd={number + 6}")
        # Each change has the item before and after it.
        assert len(as_json(command, "limits", "history", keys[0])) == 4
    finally:
        for key in keys:
            sentry.delete_limit(key)


@pytest.fixture
def unlisted(sentry):
    """An alias that only the catalogue table has."""
    alias = unique("cli-alias")
    sentry.catalogue.put_item(Item={"entry": f"alias#{alias}", "modelId": "us.amazon.nova-lite-v1:0"})
    yield alias
    sentry.catalogue.delete_item(Key={"entry": f"alias#{alias}"})


def lint(command, *arguments, code):
    """Standard output, also if the exit code is not 0."""
    line = [command.program, "--stack-name", command.stack_name, "--endpoint-url", command.endpoint, *arguments]
    done = subprocess.run(line, env=command._environment({}), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stdout


@contextmanager
def asked(command, *arguments):
    """Runs the command on a terminal until it asks.

    Yields a function that answers yes, and the list that then has the exit code and all that is shown.
    """
    master, slave = pty.openpty()
    line = command._line(arguments, None)
    process = subprocess.Popen(
        line, env=command._environment({}), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown, result, end = bytearray(), [], time.monotonic() + 60

    def until(found):
        while time.monotonic() < end and not found():
            if select.select([master], [], [], 0.1)[0]:
                try:
                    part = os.read(master, 65_536)
                except OSError:
                    return
                shown.extend(part)

    def answer():
        os.write(master, b"y\n")
        until(lambda: False)
        result.extend([process.wait(60), shown.decode()])

    try:
        until(lambda: b"[y/N]" in shown)
        assert b"[y/N]" in shown, shown
        yield answer, result
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait()
