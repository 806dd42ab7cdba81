"""Output of the demo: one block for each request, and a summary table. It is plain text if the output is not a
terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import report

PROMPT_CHARACTERS = 48
BAR_CHARACTERS = 24
INDENT = " " * 5
STYLES = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "red": "31", "blue": "34", "cyan": "36"}
OUTCOMES = {
    "Succeeded": ("green", "✔", "+"),
    "Denied": ("yellow", "■", "#"),
    "InvocationFailed": ("red", "✖", "x"),
    "Invalid": ("blue", "?", "?"),
}


class Terminal:
    """Writes the demo's story to a stream. It is colored only on a terminal, and only if NO_COLOR is not set."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 110))
        try:
            "█░─✔■✖◆…“”·→".encode(stream.encoding or "ascii")
            self._unicode = True
        except (UnicodeEncodeError, LookupError):
            self._unicode = False

    def title(self, name: str, where: str) -> None:
        self._line()
        self._line(f"  {self._style(name, 'bold')}  {self._style(where, 'dim')}")

    def chapter(self, name: str) -> None:
        self._line()
        rule = ("─" if self._unicode else "-") * max(2, self._width - len(name) - 7)
        self._line(f"  {self._style(name, 'bold')} {self._style(rule, 'dim')}")

    def admin(self, title: str, note: str, amounts: dict[str, Any]) -> None:
        """Prints an action of the admin, with one line for each key and its limits."""
        self._line()
        mark = "◆" if self._unicode else "*"
        self._line(f"  {self._style(mark, 'cyan')}  {self._style(title, 'bold')}")
        self._wrapped(note, "dim")
        key_width = max(len(key) for key in amounts)
        for key, figures in amounts.items():
            row = "  ".join(
                f"{unit} {f'${amount:,}' if unit == 'usd' else f'{amount:,}':>9}" for unit, amount in figures.items()
            )
            self._line(f"{INDENT}{_clean(key):<{key_width}}  {row}")

    def request(self, number: int, title: str, document: dict[str, Any]) -> None:
        """Prints a request before it is sent."""
        prompt = _clean(document["prompt"]["messages"][-1]["content"])
        if len(prompt) > PROMPT_CHARACTERS:
            prompt = prompt[: PROMPT_CHARACTERS - 1].rstrip() + "…"
        tags = document.get("tags", {})
        who = " · ".join(str(tags[name]) for name in ("applicationId", "costCenter", "environment") if name in tags)
        self._line()
        self._line(f" {number:>2}  {self._style(title, 'bold')}")
        self._field("asks", f"“{prompt}”")
        self._field("model", _clean(document.get("model", document.get("modelId", ""))))
        self._field("tags", _clean(who))

    def answer(self, entry: report.Entry) -> None:
        """Prints the result of a request."""
        color, mark, plain_mark = OUTCOMES.get(entry.outcome, ("red", "!", "!"))
        verdict = f"{mark if self._unicode else plain_mark} {entry.outcome} {entry.status}"
        code = f"  {entry.code}" if entry.code else ""
        took = self._style(f"  {entry.milliseconds:,} ms", "dim")
        self._field("outcome", self._style(verdict, color, "bold") + self._style(_clean(code), color) + took)
        if entry.message:
            self._field("says", _clean(entry.message))
        if entry.retry_after is not None:
            self._field("retry", f"after {entry.retry_after} s")
        if entry.usage:
            cost = f"${entry.usd}" if entry.usd is not None else ("unpriced" if entry.cost else "not stated")
            self._field("tokens", f"{entry.input_tokens:,} in + {entry.output_tokens:,} out · cost {cost}")
        if entry.degradation:
            self._field("degraded", entry.degradation)
        for budget in entry.budgets:
            self._budget(budget)
        if not entry.budgets:
            self._field("budget", self._style("not asked for, nothing counted", "dim"))
        if not entry.expected:
            self._field("demo", self._style("this is not the expected outcome", "red", "bold"))

    def burst(self, title: str, entries: list[report.Entry]) -> None:
        """Prints the results of concurrent requests: one line for each outcome, and the budgets in the last successful
        answer.
        """
        self._line()
        self._line(f" {entries[0].number:>2}  {self._style(f'to {entries[-1].number}  {title}', 'bold')}")
        counts: Counter[tuple[str, int, str]] = Counter()
        for entry in entries:
            counts[entry.outcome, entry.status, entry.code or ""] += 1
        for (outcome, status, code), count in sorted(counts.items(), reverse=True):
            color, mark, plain_mark = OUTCOMES.get(outcome, ("red", "!", "!"))
            verdict = f"{mark if self._unicode else plain_mark} {outcome} {status}  {code}".rstrip()
            self._field(f"{count} times", self._style(_clean(verdict), color, "bold"))
        answered = [entry for entry in entries if entry.outcome == "Succeeded"] or entries
        last = max(answered, key=lambda entry: entry.started + timedelta(milliseconds=entry.milliseconds))
        for budget in last.budgets:
            self._budget(budget)

    def summary(self, entries: list[report.Entry]) -> None:
        """Prints one line for each request, and the totals."""
        self.chapter("Summary")
        heads = ("", "request", "outcome", "code", "tokens", "cost")
        title_width = max(24, self._width - 62)
        rows = [_summary_row(entry, title_width) for entry in entries]
        total_tokens = sum(e.total_tokens for e in entries)
        known = [Decimal(e.usd) for e in entries if e.usd is not None]
        total = ("", f"{len(entries)} requests", "", "", f"{total_tokens:,}", _dollars(str(sum(known, Decimal(0)))))
        widths = [max(len(row[i]) for row in [heads, total, *rows]) for i in range(len(heads))]
        self._line(f"  {self._style(_columns(heads, widths), 'dim')}")
        for entry, row in zip(entries, rows, strict=True):
            color = OUTCOMES.get(entry.outcome, ("red",))[0]
            self._line(
                f"  {self._style(_columns(row, widths), color)}{'' if entry.expected else '  <- not as expected'}"
            )
        self._line(f"  {self._style(_columns(total, widths), 'bold')}")

    def end(self, failure: str | None, report_path: Path | None) -> None:
        self._line()
        if failure:
            self._line(self._style(f"demo failed: {_clean(failure)}", "red", "bold"))
        else:
            self._line(f"  {self._style('Every step turned out as expected.', 'green', 'bold')}")
        if report_path:
            self._line(f"  report: {report_path.as_uri()}")
        self._line()

    def _budget(self, budget: dict[str, Any]) -> None:
        where = f"{budget.get('scope')} · {budget.get('window')} · {budget.get('source')} item"
        self._field("budget", _clean(where))
        for name in ("input", "output", "usd"):
            if name in budget:
                self._line(self._bar(name, report.Meter.of(name, budget[name])))

    def _bar(self, name: str, meter: report.Meter) -> str:
        full, held, free = "█▒░" if self._unicode else "#=."
        used = min(BAR_CHARACTERS, round(meter.used_share * BAR_CHARACTERS))
        reserved = min(BAR_CHARACTERS - used, round(meter.reserved_share * BAR_CHARACTERS))
        color = {"spent": "red", "near": "yellow"}.get(meter.level, "green")
        bar = self._style(full * used + held * reserved, color) + self._style(
            free * (BAR_CHARACTERS - used - reserved), "dim"
        )
        held = f", {meter.text('reserved')} held" if meter.reserved > 0 else ""
        figures = f"{meter.text('used'):>9} of {meter.text('limit'):>9} used{held}, {meter.text('remaining'):>9} left"
        return f"{INDENT}         {name:<6} {bar} {figures}"

    def _field(self, name: str, text: str) -> None:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        head = f"{INDENT}{self._style(f'{name:<8}', 'dim')} "
        if len(plain) + len(INDENT) + 9 <= self._width or plain != text:
            self._line(head + text)
            return
        lines = textwrap.wrap(text, self._width - len(INDENT) - 9) or [""]
        self._line(head + lines[0])
        for line in lines[1:]:
            self._line(INDENT + " " * 9 + line)

    def _wrapped(self, text: str, style: str) -> None:
        for line in textwrap.wrap(text, self._width - len(INDENT)):
            self._line(INDENT + self._style(line, style))

    def _style(self, text: str, *styles: str) -> str:
        if not self._colour or not text:
            return text
        return f"\x1b[{';'.join(STYLES[style] for style in styles)}m{text}\x1b[0m"

    def _line(self, text: str = "") -> None:
        if not self._unicode:
            for fancy, plain in (("“", '"'), ("”", '"'), ("…", "~"), ("·", "|"), ("→", "->")):
                text = text.replace(fancy, plain)
            text = text.encode("ascii", "replace").decode("ascii")
        print(text, file=self._stream, flush=True)


def _summary_row(entry: report.Entry, title_width: int) -> tuple[str, ...]:
    tokens = f"{entry.total_tokens:,}" if entry.usage else ""
    verdict = f"{entry.outcome} {entry.status}"
    return (str(entry.number), _short(entry.title, title_width), verdict, entry.code or "", tokens, _dollars(entry.usd))


def _columns(cells: tuple[str, ...], widths: list[int]) -> str:
    aligned = [
        cell.rjust(width) if i in (0, 4, 5) else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()


def _clean(text: Any) -> str:
    """The text of an answer without control characters, because a terminal would execute them."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", str(text))


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def _dollars(usd: str | None) -> str:
    return "" if usd is None else f"${usd}"
