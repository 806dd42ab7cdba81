"""The demo's HTML report. It is one self-contained file, and every number comes from the answers.

The report never contains prompts or the model's answers. An entry keeps only the fields that it names, and `output` is
not one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from html import escape
from pathlib import Path
from string import Template
from typing import Any

TEMPLATE = Path(__file__).with_name("report.html")
# The outcomes in the order of the contract's table, each with its label, style class, and explanation.
OUTCOMES = {
    "Succeeded": ("Succeeded", "ok", "approved, and the model answered"),
    "Denied": ("Denied", "denied", "the budget said no; no model was called"),
    "InvocationFailed": ("Invocation failed", "failed", "approved, but the model did not answer"),
    "Invalid": ("Invalid", "invalid", "not an acceptable document; nothing counted or spent"),
}
# From this share of the limit, a meter has another color.
NEAR_SHARE = Decimal("0.8")


@dataclass(frozen=True)
class Meter:
    """One limit of a budget: used, held, and remaining, in tokens or in dollars."""

    name: str
    limit: Decimal
    used: Decimal
    reserved: Decimal
    remaining: Decimal

    @classmethod
    def of(cls, name: str, figures: dict[str, Any]) -> Meter:
        return cls(name, *(_decimal(figures.get(key)) for key in ("limit", "used", "reserved", "remaining")))

    @property
    def used_share(self) -> Decimal:
        """The used share of the limit, at most 1. A limit of 0 counts as spent."""
        return min(Decimal(1), self.used / self.limit) if self.limit > 0 else Decimal(1)

    @property
    def reserved_share(self) -> Decimal:
        """The held share of the limit, at most the rest of the bar."""
        return min(1 - self.used_share, self.reserved / self.limit) if self.limit > 0 else Decimal(0)

    @property
    def level(self) -> str:
        """The level that sets the meter's color: `spent`, `near` or `fine`."""
        if self.remaining <= 0:
            return "spent"
        return "near" if self.used_share + self.reserved_share >= NEAR_SHARE else "fine"

    def text(self, figure: str) -> str:
        """A readable number: `20,500`, or `$3.25` for dollars."""
        amount = getattr(self, figure)
        return f"${amount:,}" if self.name == "usd" else f"{int(amount):,}"

    @property
    def percent(self) -> str:
        """The used part of the limit in percent. It is above 100 if the limit is exceeded."""
        if self.limit <= 0:
            return "no allowance"
        percent = self.used / self.limit * 100
        if 0 < percent < 1:
            return "under 1 %"
        # Rounded down, because 99.9 % used is not yet 100 %.
        return f"{int(percent)} %" if percent < 99 or percent >= 101 else f"{int(percent * 10) / 10:g} %"


@dataclass(frozen=True)
class Entry:
    """One request of the demo: the fields of its answer, without the prompt and the model's text."""

    number: int
    title: str
    expected: bool
    started: datetime
    milliseconds: int
    outcome: str
    status: int
    tags: dict[str, Any]
    model: dict[str, Any]
    error: dict[str, Any]
    usage: dict[str, Any]
    cost: dict[str, Any]
    budgets: list[dict[str, Any]]
    degraded: dict[str, Any]

    @classmethod
    def of(
        cls, number: int, title: str, answer: dict[str, Any], started: datetime, stopped: datetime, expected: bool
    ) -> Entry:
        milliseconds = max(0, round((stopped - started).total_seconds() * 1000))
        parts = {name: answer.get(name) or {} for name in ("tags", "model", "error", "usage", "cost", "degraded")}
        return cls(
            number,
            title,
            expected,
            started.astimezone(UTC),
            milliseconds,
            str(answer.get("outcome")),
            int(answer.get("statusCode") or 0),
            budgets=answer.get("budget") or [],
            **parts,
        )

    @property
    def code(self) -> str | None:
        return self.error.get("code")

    @property
    def message(self) -> str | None:
        return self.error.get("message")

    @property
    def retry_after(self) -> int | None:
        return self.error.get("retryAfterSeconds")

    @property
    def input_tokens(self) -> int:
        """All tokens that the model read, including cached tokens."""
        return sum(
            int(self.usage.get(name, 0)) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
        )

    @property
    def output_tokens(self) -> int:
        return int(self.usage.get("outputTokens", 0))

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def usd(self) -> str | None:
        return self.cost.get("usd")

    @property
    def degradation(self) -> str:
        """A description of the changes that made the request fit."""
        fallback = self.degraded.get("action") == "fallback"
        lowered = self.degraded.get("maxTokens") if fallback else self.degraded
        parts = [f"{self.degraded['to']} answers in place of {self.degraded['from']}"] if fallback else []
        parts += [f"asked for {lowered['to']:,} tokens, not {lowered['from']:,}"] if lowered else []
        return "; ".join(parts)


@dataclass(frozen=True)
class Scope:
    """A budget in the last answer that contains it, and earlier limits that differ."""

    latest: dict[str, Any]
    seen_in: int
    earlier: dict[str, Any]

    @property
    def meters(self) -> list[Meter]:
        return [Meter.of(name, self.latest[name]) for name in ("input", "output", "usd") if name in self.latest]


def scopes(entries: list[Entry]) -> list[Scope]:
    """The budgets in the answers, in the order of their first appearance."""
    found: dict[tuple[Any, Any], Scope] = {}
    for entry in entries:
        for budget in entry.budgets:
            key = (budget.get("scope"), budget.get("window"))
            before = found.get(key)
            latest, earlier = (before.latest, dict(before.earlier)) if before else ({}, {})
            for name in ("input", "output", "usd"):
                old = (latest.get(name) or {}).get("limit")
                if old is not None and old != (budget.get(name) or {}).get("limit"):
                    earlier[name] = Meter.of(name, latest[name]).text("limit")
            found[key] = Scope(budget, entry.number, earlier)
    return list(found.values())


def render(entries: list[Entry], stack: str, generated: datetime, failure: str | None = None) -> str:
    """The whole report as one HTML document."""
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(
        stack=escape(stack),
        generated=escape(generated.strftime("%Y-%m-%d %H:%M:%S UTC")),
        generated_machine=escape(generated.isoformat(timespec="seconds")),
        notice=_notice(failure),
        tiles=_tiles(entries),
        outcome_bar=_outcome_bar(entries),
        outcome_rows=_outcome_rows(entries),
        scope_cards="".join(_scope_card(scope, index) for index, scope in enumerate(scopes(entries))),
        cost_center_rows=_cost_center_rows(entries),
        request_rows=_request_rows(entries),
    )


def _notice(failure: str | None) -> str:
    if failure is None:
        return ""
    return f'<p class="notice" role="alert"><strong>The demo stopped early.</strong> {escape(failure)}</p>'


def _tiles(entries: list[Entry]) -> str:
    answered = sum(entry.outcome == "Succeeded" for entry in entries)
    failed = sum(entry.outcome == "InvocationFailed" for entry in entries)
    refused = sum(entry.outcome in ("Denied", "Invalid") for entry in entries)
    figures = [
        ("Requests", f"{len(entries)}", "in this run"),
        ("Answered", f"{answered}", "by a model"),
        ("Refused", f"{refused}", "before a model was called"),
        ("Failed", f"{failed}", "approved, without an answer"),
        ("Tokens", f"{sum(entry.total_tokens for entry in entries):,}", "read and written"),
        ("Cost", _dollars(entries), _unpriced_note(entries) or "as the answers state it"),
    ]
    return "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd><dd class=hint>{hint}</dd></div>" for name, value, hint in figures
    )


def _outcome_bar(entries: list[Entry]) -> str:
    counts = [(name, sum(entry.outcome == name for entry in entries)) for name in OUTCOMES]
    words = ", ".join(f"{OUTCOMES[name][0]} {count}" for name, count in counts)
    parts = "".join(
        f'<span class="{OUTCOMES[name][1]}" style="flex-grow:{count}"><b>{count}</b></span>'
        for name, count in counts
        if count
    )
    return f'<div class="stack" role="img" aria-label="Requests by outcome: {words}">{parts}</div>'


def _outcome_rows(entries: list[Entry]) -> str:
    rows = []
    for name, (words, style, meaning) in OUTCOMES.items():
        mine = [entry for entry in entries if entry.outcome == name]
        codes: dict[str, int] = {}
        for entry in mine:
            code = f"{entry.status} {entry.code}" if entry.code else f"{entry.status}"
            codes[code] = codes.get(code, 0) + 1
        listed = "".join(
            f"<li><code>{escape(code)}</code>{f' × {count}' if count > 1 else ''}</li>" for code, count in codes.items()
        )
        rows.append(
            f'<tr role="row"><th role="rowheader" scope="row"><span class="badge {style}">{words}</span><small>{meaning}</small></th>'
            f'<td role="cell" class="number" data-label="Requests">{len(mine)}</td>'
            f'<td role="cell" data-label="Status and code"><ul class="plain">{listed or "<li>none</li>"}</ul></td></tr>'
        )
    return "".join(rows)


def _scope_card(scope: Scope, index: int) -> str:
    budget = scope.latest
    kind, _, key = str(budget.get("scope")).partition("#")
    source = "the default item" if budget.get("source") == "default" else "its own item"
    meters = "".join(_meter(meter, scope.earlier.get(meter.name)) for meter in scope.meters)
    resets = str(budget.get("resetsAt") or "").replace("T", " ").replace("Z", " UTC").replace(" 00:00:00 UTC", "")
    return (
        f'<article class="card" aria-labelledby="scope-{index}"><h3 id="scope-{index}"><small>{escape(kind)}</small>{escape(key)}</h3>'
        f"{meters}<p class=facts>Window <b>{escape(str(budget.get('window')))}</b>, resets <b>{escape(resets)}</b>. "
        f"Limit from <b>{escape(source)}</b>. As of request {scope.seen_in}.</p></article>"
    )


def _meter(meter: Meter, earlier_limit: str | None) -> str:
    unit = "dollars" if meter.name == "usd" else f"{meter.name} tokens"
    used, limit, left = meter.text("used"), meter.text("limit"), meter.text("remaining")
    held = f", {meter.text('reserved')} reserved" if meter.reserved > 0 else ""
    label = f"{unit}: {used} used of {limit}{held}, {left} remaining"
    reserved = f"<div><dt>Reserved</dt><dd>{meter.text('reserved')}</dd></div>" if meter.reserved > 0 else ""
    raised = f'<span class="was">limit was {escape(earlier_limit)}</span>' if earlier_limit else ""
    return (
        f'<div class="meter {meter.level}"><div class="meter-head"><span>{escape(unit.capitalize())}</span>'
        f"<span>{escape(meter.percent)}{' used' if meter.limit > 0 else ''}</span></div>{_track(meter, label)}"
        f"<dl><div><dt>Used</dt><dd>{used}</dd></div>{reserved}"
        f"<div><dt>Remaining</dt><dd>{left}</dd></div><div><dt>Limit</dt><dd>{limit}{raised}</dd></div></dl></div>"
    )


def _track(meter: Meter, label: str) -> str:
    return (
        f'<div class="track" role="img" aria-label="{escape(label)}"><i class="used" style="width:{_percent(meter.used_share)}"></i>'
        f'<i class="held" style="width:{_percent(meter.reserved_share)}"></i></div>'
    )


def _cost_center_rows(entries: list[Entry]) -> str:
    groups: dict[str | None, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.tags.get("costCenter"), []).append(entry)
    most = max((sum(entry.total_tokens for entry in group) for group in groups.values()), default=0)
    named = sorted(
        groups.items(), key=lambda item: (item[0] is None, -sum(e.total_tokens for e in item[1]), str(item[0]))
    )
    unnamed = "<em>no cost center in the answer</em>"
    rows = [_cost_center_row(unnamed if name is None else escape(str(name)), group, most) for name, group in named]
    return "".join(rows) + _cost_center_row("All", entries, 0)


def _cost_center_row(name: str, entries: list[Entry], most: int) -> str:
    tokens = sum(entry.total_tokens for entry in entries)
    share = (
        f'<i class="share" aria-hidden="true"><i style="width:{_percent(Decimal(tokens) / most)}"></i></i>'
        if most
        else ""
    )
    note = _unpriced_note(entries)
    cells = [
        ("Requests", f"{len(entries)}"),
        ("Answered", f"{sum(entry.outcome == 'Succeeded' for entry in entries)}"),
        ("Input tokens", f"{sum(entry.input_tokens for entry in entries):,}"),
        ("Output tokens", f"{sum(entry.output_tokens for entry in entries):,}"),
        ("Tokens", f"{tokens:,}{share}"),
        ("Cost", f"<span>{_dollars(entries)}{f'<small>{note}</small>' if note else ''}</span>"),
    ]
    columns = "".join(f'<td role="cell" class="number" data-label="{label}">{value}</td>' for label, value in cells)
    return f'<tr role="row"{"" if most else " class=total"}><th role="rowheader" scope="row">{name}</th>{columns}</tr>'


def _request_rows(entries: list[Entry]) -> str:
    if not entries:
        return ""
    begin = min(entry.started for entry in entries)
    seconds = [(entry.started - begin).total_seconds() for entry in entries]
    whole = max(max(s + e.milliseconds / 1000 for s, e in zip(seconds, entries, strict=True)), 0.001)
    return "".join(
        _request_row(entry, offset / whole, entry.milliseconds / 1000 / whole)
        for entry, offset in zip(entries, seconds, strict=True)
    )


def _request_row(entry: Entry, offset: float, share: float) -> str:
    words, style, _ = OUTCOMES.get(entry.outcome, (entry.outcome, "failed", ""))
    tags = "".join(
        f"<li><span>{label}</span> {escape(str(entry.tags[name]))}</li>"
        for name, label in (("applicationId", "app"), ("costCenter", "center"), ("environment", "env"))
        if name in entry.tags
    )
    path = (entry.error.get("details") or {}).get("path")
    error = f"<code>{escape(entry.code)}</code>" if entry.code else ""
    error += f"<small>{escape(str(entry.message))}</small>" if entry.message else ""
    error += f"<small>at <code>{escape(str(path))}</code></small>" if path else ""
    error += f"<small>retry after {escape(str(entry.retry_after))} s</small>" if entry.retry_after is not None else ""
    error += f"<small>{escape(words)}</small>" if (words := entry.degradation) else ""
    error += "" if entry.expected else "<small class=unexpected>not the expected outcome</small>"
    model = entry.model.get("modelId") or entry.model.get("requested") or ""
    tokens = (
        f"<span class=part>{entry.input_tokens:,} in</span> <span class=part>{entry.output_tokens:,} out</span>"
        if entry.usage
        else _NONE
    )
    budget = "".join(_small_budget(budget) for budget in entry.budgets)
    time_bar = f'<span class="lane" aria-hidden="true"><i class="{style}" style="left:{offset * 100:.2f}%;width:{share * 100:.2f}%"></i></span>'
    return (
        f'<tr role="row"><td role="cell" class="number index" data-label="Number">{entry.number}</td>'
        f'<th role="rowheader" scope="row">{escape(entry.title)}<small><code>{escape(str(model))}</code></small></th>'
        f'<td role="cell" data-label="Time"><time datetime="{entry.started.isoformat()}">{entry.started:%H:%M:%S}</time>'
        f"<small>{entry.milliseconds:,} ms</small>{time_bar}</td>"
        f'<td role="cell" data-label="Tags"><ul class="plain tags">{tags or f"<li>{_NONE}</li>"}</ul></td>'
        f'<td role="cell" data-label="Outcome"><span class="badge {style}">{escape(words)} {entry.status}</span>{error}</td>'
        f'<td role="cell" class="number" data-label="Tokens">{tokens}</td>'
        f'<td role="cell" class="number" data-label="Cost">{_entry_cost(entry)}</td>'
        f'<td role="cell" data-label="Budget">{budget or _NONE}</td></tr>'
    )


def _small_budget(budget: dict[str, Any]) -> str:
    lines = []
    for name in ("input", "output", "usd"):
        if name in budget:
            meter = Meter.of(name, budget[name])
            label = f"{name}: {meter.text('used')} used of {meter.text('limit')}, {meter.text('remaining')} remaining"
            lines.append(
                f'<div class="meter small {meter.level}"><span>{name}</span>{_track(meter, label)}'
                f"<span>{escape(meter.text('remaining'))} left</span></div>"
            )
    return "".join(lines)


def _entry_cost(entry: Entry) -> str:
    if entry.usd is not None:
        return f"${escape(str(entry.usd))}"
    return "unpriced" if entry.cost else _NONE


def _dollars(entries: list[Entry]) -> str:
    """The sum of the priced costs, with the precision of the answers."""
    total = sum((_decimal(entry.usd) for entry in entries if entry.usd is not None), Decimal(0))
    return f"${total:,}"


def _unpriced_note(entries: list[Entry]) -> str:
    unpriced = sum(bool(entry.cost) and entry.usd is None for entry in entries)
    return f"and {unpriced} unpriced" if unpriced else ""


def _percent(share: Decimal) -> str:
    return f"{float(share) * 100:.2f}%"


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value if value is not None else 0))
    except InvalidOperation:
        return Decimal(0)


_NONE = '<span class="none" title="none">–</span>'
