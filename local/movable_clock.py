"""Moves the clock of a local AWS that `cargo xtask month` started (`movable_clock.c`). This program reads the same clock."""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

FILE_VARIABLE = "SENTRY_CLOCK_FILE"
OFFSET = struct.Struct("=q")
# How long a wait of this length may take.
WAIT_SECONDS, LONGEST_SECONDS = 0.05, 2.0


class ClockError(Exception):
    """The clock cannot be moved here. The message is for the user at the terminal."""


class MovableClock:
    """The wall clock of all programs that map the same file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._offset = mmap.mmap(self._file.fileno(), OFFSET.size)
        self._check()

    @classmethod
    def of_environment(cls) -> MovableClock:
        """The clock that this program reads.

        # Raises
        ClockError, if it reads the clock of the machine.
        """
        path = os.environ.get(FILE_VARIABLE)
        if not path:
            raise ClockError(f"{FILE_VARIABLE} is not set; start this program with `cargo xtask month`")
        return cls(Path(path))

    def now(self) -> datetime:
        """The current time."""
        return datetime.now(UTC)

    def move_to(self, time_: datetime) -> None:
        """Moves the clock forward. A time in the past leaves it as it is, because a clock never goes back."""
        ahead = int(time_.timestamp() * 1_000_000_000) - time.time_ns()
        if ahead > 0:
            OFFSET.pack_into(self._offset, 0, OFFSET.unpack_from(self._offset, 0)[0] + ahead)

    def _check(self) -> None:
        """Checks that a move is seen, and that waits do not depend on the clock.

        Some builds of Python wait with the wall clock. Such a wait would end at once, or never.
        """
        before, begun = time.time(), time.monotonic()
        OFFSET.pack_into(self._offset, 0, OFFSET.unpack_from(self._offset, 0)[0] + 60_000_000_000)
        moved = time.time() - before
        waiter = threading.Thread(target=threading.Event().wait, args=(WAIT_SECONDS,), daemon=True)
        waiter.start()
        waiter.join(LONGEST_SECONDS)
        waited = time.monotonic() - begun
        if not 59 < moved < 120:
            raise ClockError("this Python does not read the clock that can be moved")
        if waiter.is_alive() or waited < WAIT_SECONDS / 2:
            raise ClockError("this Python waits with the wall clock, which cannot be moved for it")
