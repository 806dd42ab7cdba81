"""The processes of a function on the local AWS, to kill one as a crash would."""

from __future__ import annotations

import random
import signal
from contextlib import suppress

import psutil

NAME_VARIABLE = "AWS_LAMBDA_FUNCTION_NAME"


def processes_of(function: str, engine: int) -> list[psutil.Process]:
    """The processes of `function` that the engine with this process id has started."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(engine).children(recursive=True):
            with suppress(psutil.Error):
                if process.environ().get(NAME_VARIABLE) == function:
                    found.append(process)
    return found


def kill_one(function: str, engine: int, chance: random.Random) -> bool:
    """Kills a process of `function`. Returns `False` if there is none."""
    running = processes_of(function, engine)
    if not running:
        return False
    with suppress(psutil.NoSuchProcess):
        chance.choice(running).send_signal(signal.SIGKILL)
        return True
    return False
