"""Every subcommand of `sentry` in every form: on a terminal of 80 columns, piped, as JSON and as CSV. Wrong flags, no AWS, and no
permission, with their exit codes.
"""

import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from denying_aws import denying
from sentry_client import unique

pytestmark = pytest.mark.local

COLUMNS = 80
TERMINAL, PIPED, JSON, CSV = "terminal", "piped", "json", "csv"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


class Form:
    """Runs a subcommand in one form, and checks that its output has this form."""

    def __init__(self, command, form):
        self._command, self._form = command, form

    def __call__(self, *arguments, code=0):
        """Runs the subcommand. `code` is an exit code, or None for 0 or 1."""
        if self._form == TERMINAL:
            shown = self._command.on_a_terminal("--yes", *arguments, code=code)
            self._check_width(shown, arguments)
            return None
        flags = ["--yes"] if self._form == PIPED else ["--yes", "--output", self._form]
        text = self._command.output(*flags, *arguments, code=code)
        assert not ESCAPE.search(text), f"{arguments}: color on a pipe"
        return getattr(self, f"_{self._form}")(text, arguments)

    @staticmethod
    def _check_width(shown, arguments):
        # A line that is drawn anew begins with a carriage return.
        lines = [ESCAPE.sub("", part) for line in shown.split("\n") for part in line.split("\r")]
        # A terminal wraps sentences, and a word such as an ARN cannot be shorter. Columns are at least two spaces apart.
        tables = [line for line in lines if re.search(r"\S {2,}\S", line) and len(line.split()[-1]) < COLUMNS / 2]
        widest = max(tables, key=len, default="")
        assert len(widest) <= COLUMNS, f"{arguments}: {len(widest)} columns: {widest}"

    @staticmethod
    def _piped(text, _arguments):
        return text

    @staticmethod
    def _json(text, arguments):
        try:
            return json.loads(text)
        except ValueError as error:
            raise AssertionError(f"{arguments}: {text[:200]}") from error

    @staticmethod
    def _csv(text, arguments):
        header, *rows = csv.reader(io.StringIO(text))
        assert len(header) > 1 and all(re.fullmatch(r"\w+", name) for name in header), f"{arguments}: {header}"
        assert all(len(row) == len(header) for row in rows), f"{arguments}: {rows}"
        return rows


@pytest.mark.parametrize("form", [TERMINAL, PIPED, JSON, CSV])
def test_every_subcommand_has_this_form(sentry, command, tmp_path, form):
    run, center, name = Form(command, form), unique("forms"), unique("forms")
    scope = f"costCenter#{center}"
    asked = ("ask", "--model", "nova-lite", "--application", "e2e-forms", "--cost-center", center, "--max-tokens", "20")

    run("limits", "set", scope, "--limit", "output=1000", "--note", "a test")
    run("limits", "get", scope)
    run("limits", "list")
    run("raise", scope, "--limit", "output=2000", "--until", "2h")
    run("stop", scope, "--reason", "maintenance")
    run(*asked, "Hello", code=1)
    run("resume", scope)
    run(*asked, "Hello")
    run(*asked, "--dry-run", "Hello")
    run("budget", scope)
    run("usage", "--scope", scope)
    run("usage", "--by", "costCenter")
    run("limits", "history", scope)
    run("limits", "lint", code=None)
    exported = tmp_path / "limits.yaml"
    exported.write_text(command("limits", "export"), encoding="utf-8")
    run("limits", "import", str(exported))
    run("limits", "rm", scope)

    run("profiles", "create", "--cost-center", center, "--model", "nova-lite", "--name", name, "--alias", name)
    run("profiles", "list")
    run("profiles", "show", name)
    run("profiles", "tag", name, "team=blue")
    run("profiles", "untag", name, "team")
    run("profiles", "delete", name, "--with-alias")

    run("models", "list")
    run("models", "show", "nova-lite")
    run("models", "add", "--alias", name, "--target", "us.amazon.nova-lite-v1:0")
    run("models", "rm", f"alias#{name}")
    run("models", "check", code=None)

    request = unique("forms")
    command(*asked, "--request-id", request, "Hello")
    sentry.history(scope, 3)
    run("trace", request)
    run("limits", "backtest", str(exported), "--month", f"{datetime.now(UTC):%Y-%m}")
    run("status", code=None)
    run("prove", "--requests", "4", "--budget", "2")
    # The table is a page of HTML.
    run("report", *([] if form in (JSON, CSV) else ["--out", str(tmp_path / "report.html")]))


# Each subcommand with arguments that it accepts.
READING = [
    ("ask", "Hello"),
    ("ask", "--dry-run", "Hello"),
    ("limits", "list"),
    ("limits", "get", "default"),
    ("limits", "export"),
    ("limits", "history", "default"),
    ("limits", "lint"),
    ("budget",),
    ("usage",),
    ("report",),
    ("profiles", "list"),
    ("profiles", "show", "no-such-profile"),
    ("models", "list"),
    ("models", "show", "nova-lite"),
    ("models", "check"),
    ("status",),
    ("trace", "no-such-request"),
]
WRITING = [
    ("limits", "set", "costCenter#e2e-forms", "--limit", "usd=5"),
    ("limits", "rm", "default"),
    ("stop", "costCenter#e2e-forms", "--reason", "a test"),
    ("resume", "costCenter#e2e-forms"),
    ("raise", "costCenter#e2e-forms", "--limit", "usd=5", "--until", "2h"),
    ("profiles", "create", "--cost-center", "e2e-forms", "--model", "nova-lite"),
    ("profiles", "tag", "no-such-profile", "team=blue"),
    ("profiles", "untag", "no-such-profile", "team"),
    ("profiles", "delete", "no-such-profile"),
    ("models", "add", "--alias", "e2e-forms", "--target", "us.amazon.nova-lite-v1:0"),
    ("models", "rm", "alias#e2e-forms"),
    ("prove", "--requests", "4", "--budget", "2"),
]


def for_each_subcommand(check):
    """Calls `check` with each of them, several at a time, because most of the time they wait."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check, READING + WRITING))


def test_without_aws_each_says_so_with_its_exit_code(command):
    nowhere = command.at("http://127.0.0.1:9")

    def check(arguments):
        said = nowhere.run("--yes", *arguments, code=3)
        assert said.startswith("error: ") and "cannot be reached" in said and "--endpoint-url" in said, said

    for_each_subcommand(check)


def test_without_permission_each_says_so_with_its_exit_code(command):
    with denying(command, lambda operation: operation.endswith("DescribeStacks")) as denied:

        def check(arguments):
            said = denied.run("--yes", *arguments, code=1)
            assert "AccessDenied" in said and "Ask for the permission" in said, said

        for_each_subcommand(check)


def test_a_wrong_flag_is_named_with_its_exit_code(command):
    def check(arguments):
        said = command(*arguments, "--no-such-flag", code=2)
        assert "--no-such-flag" in said and "--help" in said, said

    for_each_subcommand(check)


def test_help_fits_the_terminal_and_explains_every_flag(command):
    def check(arguments):
        words = [word for word in arguments[:2] if re.fullmatch("[a-z]+", word)]
        lines = [ESCAPE.sub("", line).rstrip() for line in command.on_a_terminal(*words, "--help").split("\n")]
        assert max(map(len, lines)) <= COLUMNS, max(lines, key=len)
        flags = [number for number, line in enumerate(lines) if re.match(r" {2,6}(-\w, )?--[a-z]", line)]
        assert len(flags) > 3, words
        for number in flags:
            assert re.search(r"\S  +\S", lines[number].strip()) or lines[number + 1].strip(), lines[number]

    for_each_subcommand(check)
