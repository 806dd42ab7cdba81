#!/usr/bin/env python3
"""An afternoon of an administrator: real commands of `sentry`, one after the other, on a local AWS.

Every command has an expected exit code and a text that its output must have. The program stops with exit code 1 at the
first command that does something else.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime

PATIENCE_SECONDS = 180
BOLD, DIM, END = "\x1b[1m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True)
class Step:
    """A command, and what it must do."""

    why: str
    command: str
    shows: tuple[str, ...] = ()
    code: int = 0
    # Arguments that the story does not show, because only an unattended run needs them.
    silent: tuple[str, ...] = ()


# A request of the sales team's application.
CRM = "--model sales --application crm --cost-center sales"

STORY = (
    Step(
        "Three cost centers get a name of their own: each is an inference profile that puts its spend on the bill.",
        "profiles create --cost-center sales --model claude-haiku-4-5 --alias sales",
        shows=("sales",),
        silent=("--yes",),
    ),
    Step(
        "",
        "profiles create --cost-center services --model nova-pro --alias services",
        shows=("services",),
        silent=("--yes",),
    ),
    Step(
        "",
        "profiles create --cost-center support --model nova-lite --alias support",
        shows=("support",),
        silent=("--yes",),
    ),
    Step(
        "Sales may spend 20 cents a month, and hears about it at 80 percent.",
        "limits set costCenter#sales --limit usd=0.20 --window month --alert-at 80,100 --note 'agreed with finance'",
        shows=("costCenter#sales",),
        silent=("--yes",),
    ),
    Step(
        "A misspelled limit would limit nobody. It is refused.",
        "limits set costCentre#sales --limit usd=20",
        code=1,
        shows=("costCentre",),
        silent=("--yes",),
    ),
    Step(
        "Does the next request fit? Nothing is sent, and nothing is written.",
        f"ask --dry-run {CRM} --max-tokens 400 'Summarize the call.'",
        shows=("would be admitted",),
    ),
    Step("It does. So it is sent.", f"ask {CRM} --max-tokens 400 'Summarize the call.'", shows=("Succeeded 200",)),
    Step("What is left of the budget?", "budget costCenter#sales", shows=("costCenter#sales",)),
    Step(
        "A loop in the CRM: stop it now, ask questions later.",
        "stop application#crm --reason 'runs in a loop, see ticket 4711'",
        silent=("--yes",),
    ),
    Step("", f"ask {CRM} 'Once more.'", code=1, shows=("Stopped", "4711")),
    Step("", "resume application#crm", silent=("--yes",)),
    Step(
        "The end of the quarter: twice the money, for two days.",
        "raise costCenter#sales --limit usd=0.40 --until 2d",
        silent=("--yes",),
    ),
    Step("Can every item be reached by a request?", "limits lint"),
    Step("The limits go into Git, and a pipeline applies them.", "limits export", shows=("costCenter#sales",)),
    Step("Who changed what?", "limits history costCenter#sales", shows=("raise", "agreed with finance")),
    Step("Twenty requests at once on a budget for five.", "prove --requests 20 --budget 5", silent=("--yes",)),
    Step("And who spent it?", "usage --by costCenter", shows=("sales",)),
    Step("What would these limits have done with the requests so far?", "limits export limits.yaml"),
    Step(
        "",
        f"limits backtest limits.yaml --month {datetime.now(UTC):%Y-%m}",
        shows=("requests",),
    ),
    Step("Is the stack sound?", "status", shows=("decisions", "limits", "cost tag")),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentry-command", required=True, metavar="PATH", help="the program `sentry`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return tell(arguments.sentry_command, folder)


def tell(program: str, folder: str) -> int:
    """Runs the commands in `folder`. Returns the exit code."""
    for number, step in enumerate(STORY, start=1):
        if step.why:
            print(f"\n{styled(f'# {step.why}', DIM)}")
        print(styled(f"$ sentry {step.command}", BOLD), flush=True)
        done = subprocess.run(
            [program, *shlex.split(step.command), *step.silent],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        print(done.stdout, end="", flush=True)
        if problem := fault(step, done.returncode, done.stdout):
            print(f"the story failed at command {number} of {len(STORY)}: {problem}", file=sys.stderr)
            return 1
    return 0


def fault(step: Step, code: int, shown: str) -> str | None:
    """The deviation of the command from the step. None if there is none."""
    if code != step.code:
        return f"exit code {code} instead of {step.code}"
    missing = [text for text in step.shows if text not in shown]
    return f"its output does not have {missing[0]!r}" if missing else None


def styled(text: str, style: str) -> str:
    return f"{style}{text}{END}" if sys.stdout.isatty() else text


if __name__ == "__main__":
    sys.exit(main())
