"""Starts the local AWS (MiniStack) in this process.

With `SENTRY_ENGINE_NO_WAITS=1`, two waits that the engine adds and AWS does not have are taken out, so that a measurement
shows the time of the workflow and its functions:

- `stepfunctions._run_execution` sleeps 150 ms before the first state of every execution. The constant is replaced in the
  function's code; nothing else in it changes.
- `Worker._drain_stderr_bounded` waits up to 50 ms for a log line after each invocation of a function that wrote none. Its
  default becomes 0: lines that are there already are still taken, later ones with the next invocation.

Neither changes what an execution does or answers. If the engine's code is no longer as described, the start fails instead
of measuring something else.
"""

from __future__ import annotations

import os
import sys
from types import FunctionType

START_SLEEP_SECONDS = 0.15
LOG_WAIT_DEFAULTS = (0.050, 0.005, 0.250)


def remove_start_sleep(function: FunctionType) -> None:
    """Replaces the one 0.15 among the constants of `function` with 0.0."""
    constants = function.__code__.co_consts
    if constants.count(START_SLEEP_SECONDS) != 1:
        raise RuntimeError(f"{function.__qualname__} no longer has the one sleep of {START_SLEEP_SECONDS} s")
    replaced = tuple(0.0 if value == START_SLEEP_SECONDS else value for value in constants)
    function.__code__ = function.__code__.replace(co_consts=replaced)


def remove_log_wait(function: FunctionType) -> None:
    """Sets the default of `first_line_wait` to 0 and leaves the other two as they are."""
    if function.__defaults__ != LOG_WAIT_DEFAULTS:
        raise RuntimeError(f"{function.__qualname__} no longer has the defaults {LOG_WAIT_DEFAULTS}")
    function.__defaults__ = (0.0, *LOG_WAIT_DEFAULTS[1:])


def remove_waits() -> None:
    """Takes out both waits that the module's first lines describe."""
    from ministack.core import lambda_runtime
    from ministack.services import stepfunctions

    remove_start_sleep(stepfunctions._run_execution)
    remove_log_wait(lambda_runtime.Worker._drain_stderr_bounded)


def main() -> None:
    """Runs the engine until it is told to stop."""
    if os.environ.get("SENTRY_ENGINE_NO_WAITS") == "1":
        remove_waits()
    from ministack.app import main as serve

    sys.argv = ["ministack"]
    serve()


if __name__ == "__main__":
    main()
