"""Queries of CloudWatch Logs Insights.

Sources: Amazon CloudWatch Logs User Guide, "CloudWatch Logs Insights language query syntax" (CWL_QuerySyntax.html) with its pages
about each command, "Boolean, comparison, numeric, datetime, and other functions" (CWL_QuerySyntax-operations-functions.html),
"Fields that contain special characters" (CWL_QuerySyntax-Guidelines.html), and "Supported logs and discovered fields"
(CWL_AnalyzeLogData-discoverable-fields.html).

Where these pages leave open what a missing field means (`!=`, `not`), or how values of different types are sorted, a query is
refused. Numbers are exact (`Decimal`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .refused import Refused

# A field of a record: absent is None. A JSON boolean stays one, because the pages do not say how it compares.
Value = str | Decimal | bool | None
Row = dict[str, Value]

# "CloudWatch Logs Insights can extract a maximum of 200 log event fields from a JSON log."
MOST_FIELDS = 200
# The page of `limit`: without it, a query returns up to 10,000 log events.
DEFAULT_LIMIT = 10_000
# The page of `stats`: the units of bin(), in seconds. Months, quarters and years have no fixed length and are refused.
UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1),
    **dict.fromkeys(("m", "min", "minute"), 60),
    **dict.fromkeys(("h", "hr", "hour"), 3600),
    **dict.fromkeys(("d", "day"), 86_400),
    **dict.fromkeys(("w", "week"), 7 * 86_400),
}


@dataclass(frozen=True)
class Event:
    """A log event. `time` is in milliseconds since 1970."""

    time: int
    message: str
    group: str = "/aws/lambda/sentry/emit-metrics"
    account: str = "123456789012"
    stream: str = "stream"


class Record:
    """The fields of one log event: the system fields and those that Logs Insights discovers in a JSON message."""

    def __init__(self, event: Event) -> None:
        self.time = event.time
        self.fields: Row = {
            "@timestamp": timestamp(event.time),
            "@message": event.message,
            "@log": f"{event.account}:{event.group}",
            "@logStream": event.stream,
        }
        self.beyond: set[str] = set()
        try:
            parsed = json.loads(event.message, parse_float=Decimal, parse_int=Decimal)
        except ValueError:
            return
        if isinstance(parsed, dict):
            self._discover(parsed)

    def _discover(self, parsed: dict[str, Any]) -> None:
        flattened = _flattened("", parsed)
        for place, (name, value) in enumerate(flattened):
            shown = f"@{name}" if name.startswith("@") else name
            if place < MOST_FIELDS:
                self.fields[shown] = value
            else:
                self.beyond.add(shown)

    def get(self, name: str) -> Value:
        if name in self.beyond:
            raise Refused(
                f"{name} is not among the first {MOST_FIELDS} fields of a record, so Logs Insights does not find it"
            )
        return self.fields.get(name)


def _flattened(prefix: str, value: Any) -> list[tuple[str, Value]]:
    """Nested names with dots; an element of a list has its position as a name. null is as good as absent."""
    if isinstance(value, dict):
        return [pair for key, each in value.items() for pair in _flattened(f"{prefix}{key}.", each)]
    if isinstance(value, list):
        return [pair for place, each in enumerate(value) for pair in _flattened(f"{prefix}{place}.", each)]
    return [] if value is None else [(prefix.removesuffix("."), value)]


def timestamp(milliseconds: float) -> str:
    """A time as Logs Insights shows it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


def _milliseconds(shown: Value) -> int:
    try:
        moment = datetime.strptime(str(shown), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    except ValueError:
        raise Refused(f"{shown!r} is not a timestamp") from None
    return round(moment.timestamp() * 1000)


# ---- Syntax

TOKEN = re.compile(
    r"""\s*(?:(?P<regex>/(?:[^/\\\n]|\\.)+/)
        |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
        |(?P<field>@?`[^`]+`)
        |(?P<period>\d+(?:ms|[a-z]+)\b)
        |(?P<number>\d+(?:\.\d+)?)
        |(?P<word>[A-Za-z_@][A-Za-z0-9_@.]*)
        |(?P<sign><=|>=|!=|=~|[=<>+\-*/%^()\[\],|]))""",
    re.VERBOSE,
)
COMMENT = re.compile(r"#[^\n]*")
COMMANDS = {"fields", "display", "filter", "stats", "sort", "limit", "dedup", "parse", "source"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


def _tokens(query: str) -> list[Token]:
    found: list[Token] = []
    position, stripped = 0, query.rstrip()
    while position < len(stripped):
        comment = re.compile(r"\s*#[^\n]*").match(stripped, position)
        if comment:
            position = comment.end()
            continue
        match = TOKEN.match(stripped, position)
        if match and match.lastgroup == "regex" and not _may_be_regex(found):
            match = re.compile(r"\s*(?P<sign>/)").match(stripped, position)
        if match is None:
            raise Refused(f"{query!r}: {stripped[position:]!r} cannot be read")
        kind = str(match.lastgroup)
        found.append(Token(kind, match[kind], match.start(kind), match.end()))
        position = match.end()
    return found


def _may_be_regex(before: list[Token]) -> bool:
    """A slash begins a regular expression after `like`, `=~` and the field of `parse`; else it divides."""
    if not before:
        return False
    last = before[-1].text.lower()
    parsed = len(before) > 1 and before[-2].text.lower() == "parse"
    return last in {"like", "=~", "parse"} or parsed


Expression = Callable[[Record], Value]


@dataclass(frozen=True)
class Column:
    """An expression with the name of its column. `field` is the name of a field that is not computed."""

    name: str
    evaluate: Expression
    field: str | None = None


@dataclass(frozen=True)
class Aggregate:
    """A column of `stats`: it computes one value of all records of a group."""

    name: str
    evaluate: Callable[[list[Record]], Value]


@dataclass
class Result:
    """The rows of a query. A row has no entry for a field that is absent."""

    rows: list[Row] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))


class Parser:
    """Reads the commands of a query from left to right."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.left = _tokens(query)
        self.last_end = 0

    # Tokens

    def at(self, *texts: str) -> bool:
        return bool(self.left) and self.left[0].kind in {"word", "sign"} and self.left[0].text.lower() in texts

    def next(self) -> Token:
        if not self.left:
            raise Refused(f"{self.query!r} is not complete")
        token = self.left.pop(0)
        self.last_end = token.end
        return token

    def accept(self, *texts: str) -> bool:
        if self.at(*texts):
            self.next()
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            found = self.left[0].text if self.left else "the end"
            raise Refused(f"{self.query!r}: {text} is expected, not {found}")

    def name(self) -> str:
        token = self.next()
        if token.kind == "field":
            return token.text.replace("`", "")
        if token.kind != "word":
            raise Refused(f"{self.query!r}: {token.text!r} is not the name of a field")
        return token.text

    # Expressions, from the loosest operator to the tightest

    def expression(self) -> Expression:
        parts = [self._both()]
        while self.accept("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else _any_of(parts)

    def _both(self) -> Expression:
        parts = [self._not()]
        while self.accept("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def _not(self) -> Expression:
        return _negated(self._not()) if self.accept("not") else self._comparison()

    def _comparison(self) -> Expression:
        left = self._sum()
        if self.at("=", "!=", "<", "<=", ">", ">="):
            return _compared(self.next().text, left, self._sum())
        if self.accept("not"):
            return _negated(self._membership(left))
        return self._membership(left) if self.at("in", "like", "=~") else left

    def _membership(self, left: Expression) -> Expression:
        if self.accept("in"):
            return _one_of(left, self._list())
        if self.accept("like", "=~"):
            token = self.next()
            if token.kind == "regex":
                return _matching(left, _pattern(token.text))
            if token.kind == "text":
                return _containing(left, _unquoted(token.text))
        raise Refused(f"{self.query!r}: in, or like with a text or a regular expression, is expected")

    def _list(self) -> list[Expression]:
        self.expect("[")
        items = [self._sum()]
        while self.accept(","):
            items.append(self._sum())
        self.expect("]")
        return items

    def _sum(self) -> Expression:
        left = self._product()
        while self.at("+", "-"):
            left = _computed(self.next().text, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._power()
        while self.at("*", "/", "%"):
            left = _computed(self.next().text, left, self._power())
        return left

    def _power(self) -> Expression:
        left = self._unary()
        return _computed(self.next().text, left, self._power()) if self.at("^") else left

    def _unary(self) -> Expression:
        if self.accept("-"):
            inner = self._unary()
            return _computed("-", lambda record: Decimal(0), inner)
        return self._primary()

    def _primary(self) -> Expression:
        if self.accept("("):
            inner = self.expression()
            self.expect(")")
            return inner
        token = self.left[0] if self.left else None
        if token and token.kind == "number":
            number = Decimal(self.next().text)
            return lambda record: number
        if token and token.kind == "text":
            text = _unquoted(self.next().text)
            return lambda record: text
        name = self.name()
        if token and token.kind == "word" and self.at("("):
            return self._call(name.lower())
        return lambda record: record.get(name)

    def _call(self, function: str) -> Expression:
        self.expect("(")
        if function == "bin":
            return self._bin()
        if function in {"ispresent", "isempty", "isblank"}:
            name = self.name()
            self.expect(")")
            return _presence(function, name)
        arguments: list[Expression] = []
        periods: list[int] = []
        while not self.at(")"):
            if self.left and self.left[0].kind == "period":
                periods.append(_period(self.next().text))
            else:
                arguments.append(self._sum())
            if not self.at(")"):
                self.expect(",")
        self.expect(")")
        return _function(function, arguments, periods)

    def _bin(self) -> Expression:
        token = self.next()
        if token.kind != "period":
            raise Refused(f"{self.query!r}: bin has a period such as 5m")
        milliseconds = _period(token.text)
        self.expect(")")
        return lambda record: timestamp(_milliseconds(record.get("@timestamp")) // milliseconds * milliseconds)

    # Commands

    def column(self) -> Column:
        start = self.left[0].start if self.left else 0
        first = self.left[0] if self.left else None
        expression = self.expression()
        text = self.query[start : self.last_end].strip()
        is_field = first is not None and first.kind in {"word", "field"} and text == first.text
        name = text.replace("`", "") if is_field else text
        alias = self.name() if self.accept("as") else None
        return Column(alias or name, expression, field=name if is_field and alias is None else None)

    def columns(self) -> list[Column]:
        found = [self.column()]
        while self.accept(","):
            found.append(self.column())
        return found

    def aggregate(self) -> Aggregate:
        start = self.left[0].start if self.left else 0
        function = self.name().lower()
        self.expect("(")
        compute = self._aggregation(function)
        text = self.query[start : self.last_end].strip()
        if self.left and not self.at(",", "by", "as", "|"):
            raise Refused(f"{self.query!r}: arithmetic with aggregates is not known")
        return Aggregate(self.name() if self.accept("as") else text, compute)

    def _aggregation(self, function: str) -> Callable[[list[Record]], Value]:
        if function == "count" and (self.accept("*") or self.at(")")):
            self.expect(")")
            return lambda records: Decimal(len(records))
        expression = self._sum()
        percent = None
        if self.accept(","):
            token = self.next()
            if function not in {"pct", "percentile"} or token.kind != "number":
                raise Refused(f"{self.query!r}: only pct has a second argument, a number")
            percent = Decimal(token.text)
        self.expect(")")
        return _aggregation(function, expression, percent)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _pattern(text: str) -> re.Pattern[str]:
    """A regular expression between slashes. Named groups have Java's syntax."""
    return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", text[1:-1]))


def _period(text: str) -> int:
    """A period such as 5m, in milliseconds."""
    match = re.fullmatch(r"(\d+)([a-z]+)", text)
    unit = match[2] if match else ""
    if match and unit in {"ms", "msec", "millisecond"}:
        return int(match[1])
    seconds = UNITS.get(unit) or UNITS.get(unit.removesuffix("s"))
    if match is None or seconds is None:
        raise Refused(f"the period {text} is not known")
    return int(match[1]) * seconds * 1000


# ---- Evaluation


def _number(value: Value) -> Decimal | None:
    """A number, also if it is written as a text. Everything else is None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _truth(value: Value) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise Refused(f"{value!r} is not a condition")


def _any_of(parts: list[Expression]) -> Expression:
    def evaluate(record: Record) -> Value:
        unknown = False
        for part in parts:
            truth = _truth(part(record))
            if truth:
                return True
            unknown = unknown or truth is None
        return None if unknown else False

    return evaluate


def _all_of(parts: list[Expression]) -> Expression:
    def evaluate(record: Record) -> Value:
        unknown = False
        for part in parts:
            truth = _truth(part(record))
            if truth is False:
                return False
            unknown = unknown or truth is None
        return None if unknown else True

    return evaluate


def _negated(inner: Expression) -> Expression:
    def evaluate(record: Record) -> Value:
        truth = _truth(inner(record))
        if truth is None:
            raise Refused("`not` of a condition on a field that a record does not have; use ispresent")
        return not truth

    return evaluate


def _both_known(left: Value, right: Value) -> tuple[str | Decimal, str | Decimal] | None:
    if left is None or right is None:
        return None
    if isinstance(left, bool) or isinstance(right, bool):
        raise Refused("the pages do not say how a JSON boolean compares; use ispresent")
    numbers = _number(left), _number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0], numbers[1]
    return str(left), str(right)


def _compared(sign: str, left: Expression, right: Expression) -> Expression:
    def evaluate(record: Record) -> Value:
        pair = _both_known(left(record), right(record))
        if pair is None and sign == "!=":
            raise Refused("!= with a field that a record does not have; use ispresent")
        if pair is None:
            return None
        first, second = pair
        if sign in {"=", "!="}:
            return (first == second) == (sign == "=")
        if not isinstance(first, Decimal) or not isinstance(second, Decimal):
            raise Refused(f"{first!r} {sign} {second!r} does not compare numbers")
        return {"<": first < second, "<=": first <= second, ">": first > second, ">=": first >= second}[sign]

    return evaluate


def _one_of(left: Expression, items: list[Expression]) -> Expression:
    return _any_of([_compared("=", left, item) for item in items])


def _matching(left: Expression, pattern: re.Pattern[str]) -> Expression:
    def evaluate(record: Record) -> Value:
        value = left(record)
        return None if value is None else pattern.search(str(value)) is not None

    return evaluate


def _containing(left: Expression, part: str) -> Expression:
    def evaluate(record: Record) -> Value:
        value = left(record)
        return None if value is None else part in str(value)

    return evaluate


def _presence(function: str, name: str) -> Expression:
    def evaluate(record: Record) -> Value:
        value = record.get(name)
        if function == "ispresent":
            return value is not None
        text = "" if value is None else str(value)
        return (text.strip() if function == "isblank" else text) == ""

    return evaluate


def _computed(sign: str, left: Expression, right: Expression) -> Expression:
    def evaluate(record: Record) -> Value:
        first, second = _number(left(record)), _number(right(record))
        if first is None or second is None:
            return None
        if sign in {"/", "%"} and second == 0:
            return None
        operations: dict[str, Callable[[], Decimal]] = {
            "+": lambda: first + second,
            "-": lambda: first - second,
            "*": lambda: first * second,
            "/": lambda: first / second,
            "%": lambda: first % second,
            "^": lambda: first**second,
        }
        return operations[sign]()

    return evaluate


NUMERIC: dict[str, Callable[[list[Decimal]], Decimal]] = {
    "abs": lambda numbers: abs(numbers[0]),
    "ceil": lambda numbers: Decimal(math.ceil(numbers[0])),
    "floor": lambda numbers: Decimal(math.floor(numbers[0])),
    "greatest": max,
    "least": min,
    "log": lambda numbers: numbers[0].ln(),
    "sqrt": lambda numbers: numbers[0].sqrt(),
}
TEXTUAL: dict[str, Callable[[list[str]], Value]] = {
    "concat": "".join,
    "strlen": lambda texts: Decimal(len(texts[0])),
    "toupper": lambda texts: texts[0].upper(),
    "tolower": lambda texts: texts[0].lower(),
    "trim": lambda texts: texts[0].strip(),
    "ltrim": lambda texts: texts[0].lstrip(),
    "rtrim": lambda texts: texts[0].rstrip(),
    "strcontains": lambda texts: Decimal(texts[1] in texts[0]),
    "replace": lambda texts: texts[0].replace(texts[1], texts[2]),
    "substr": lambda texts: texts[0][int(texts[1]) :][: int(texts[2]) if len(texts) > 2 else None],
}
# The number of arguments, least and most.
ARITY = {
    **dict.fromkeys(
        ("abs", "ceil", "floor", "log", "sqrt", "strlen", "toupper", "tolower", "trim", "ltrim", "rtrim"), (1, 1)
    ),
    **dict.fromkeys(("greatest", "least", "concat", "coalesce"), (1, 99)),
    "strcontains": (2, 2),
    "replace": (3, 3),
    "substr": (2, 3),
}


def _function(function: str, arguments: list[Expression], periods: list[int]) -> Expression:
    if function in {"datefloor", "dateceil"} and len(arguments) == len(periods) == 1:
        return _rounded(function, arguments[0], periods[0])
    if function not in ARITY or periods:
        raise Refused(f"the function {function} with these arguments is not known")
    least, most = ARITY[function]
    if not least <= len(arguments) <= most:
        raise Refused(f"{function} has {least} to {most} arguments, not {len(arguments)}")

    def evaluate(record: Record) -> Value:
        values = [argument(record) for argument in arguments]
        if function == "coalesce":
            return next((value for value in values if value is not None), None)
        if function in NUMERIC:
            numbers = [number for number in map(_number, values) if number is not None]
            return NUMERIC[function](numbers) if len(numbers) == len(values) else None
        texts = [str(value) for value in values if value is not None]
        return TEXTUAL[function](texts) if len(texts) == len(values) else None

    return evaluate


def _rounded(function: str, argument: Expression, period: int) -> Expression:
    def evaluate(record: Record) -> Value:
        milliseconds = _milliseconds(argument(record))
        down = milliseconds // period * period
        up = function == "dateceil" and down != milliseconds
        return timestamp(down + period if up else down)

    return evaluate


def _aggregation(function: str, expression: Expression, percent: Decimal | None) -> Callable[[list[Record]], Value]:
    def values(records: list[Record]) -> list[Value]:
        return [value for value in map(expression, records) if value is not None]

    def numbers(records: list[Record]) -> list[Decimal]:
        return [number for number in map(_number, values(records)) if number is not None]

    if function == "count":
        return lambda records: Decimal(len(values(records)))
    if function == "count_distinct":
        return lambda records: Decimal(len({str(value) for value in values(records)}))
    if function in {"min", "max"}:
        return lambda records: _extreme(function, values(records))
    if function in {"earliest", "latest"}:
        return lambda records: _first(expression, records, latest=function == "latest")
    if function in {"pct", "percentile"} and percent is not None:
        return lambda records: _percentile(numbers(records), percent)
    if function in {"sum", "avg", "stddev"}:
        return lambda records: _summary(function, numbers(records))
    raise Refused(f"the aggregate {function} is not known")


def _summary(function: str, numbers: list[Decimal]) -> Value:
    if function == "sum":
        return sum(numbers, Decimal(0))
    if not numbers:
        return None
    mean = sum(numbers, Decimal(0)) / len(numbers)
    if function == "avg":
        return mean
    return (sum(((number - mean) ** 2 for number in numbers), Decimal(0)) / len(numbers)).sqrt()


def _percentile(numbers: list[Decimal], percent: Decimal) -> Value:
    """The nearest rank. Logs Insights approximates."""
    if not numbers:
        return None
    rank = max(math.ceil(percent * len(numbers) / 100), 1)
    return sorted(numbers)[rank - 1]


def _extreme(function: str, values: list[Value]) -> Value:
    numbers = [number for number in map(_number, values) if number is not None]
    choose: Callable[..., Any] = min if function == "min" else max
    if len(numbers) == len(values):
        return choose(numbers) if numbers else None
    if numbers:
        raise Refused(f"{function} of numbers and texts")
    return str(choose(str(value) for value in values))


def _first(expression: Expression, records: list[Record], latest: bool) -> Value:
    present = [record for record in records if expression(record) is not None]
    ordered = sorted(present, key=lambda record: record.time, reverse=latest)
    return expression(ordered[0]) if ordered else None


# ---- Commands


class Pipeline:
    """The records between two commands, and the columns that the result shows."""

    def __init__(self, events: Iterable[Event]) -> None:
        # Without `sort`, the newest event comes first.
        self.records = sorted(map(Record, events), key=lambda record: record.time, reverse=True)
        self.shown: list[Column] = []
        self.displayed: list[Column] = []
        self.limit = DEFAULT_LIMIT
        # After `stats`, a record has only the columns of `stats`.
        self.columns: list[str] | None = None

    def result(self) -> Result:
        if self.displayed:
            chosen = self.displayed
        elif self.columns is not None:
            chosen = [_plain(name) for name in self.columns]
        else:
            chosen = self.shown or [_plain("@timestamp"), _plain("@message")]
        rows: list[Row] = []
        for record in self.records[: self.limit]:
            values = {column.name: column.evaluate(record) for column in chosen}
            rows.append({name: value for name, value in values.items() if value is not None})
        return Result(rows)

    def keep(self, columns: list[Column]) -> None:
        """Gives each record the computed columns, so that later commands can use their names."""
        for column in columns:
            if column.field is None:
                for record in self.records:
                    record.fields[column.name] = column.evaluate(record)
                    record.beyond.discard(column.name)


def _plain(name: str) -> Column:
    return Column(name, lambda record: record.get(name), field=name)


def run(query: str, events: Iterable[Event]) -> Result:
    """Runs a query on log events. `SOURCE` selects their log groups by name.

    # Raises
    Refused, if the query cannot be read, or if AWS's pages do not say what it means for one of the records.
    """
    parser = Parser(query)
    pipeline = Pipeline(_from_source(parser, list(events)))
    while True:
        command = parser.name().lower()
        if command not in COMMANDS or command == "source":
            raise Refused(f"{query!r}: the command {command} is not known")
        RUNNERS[command](parser, pipeline)
        if not parser.left:
            return pipeline.result()
        parser.expect("|")


def _from_source(parser: Parser, events: list[Event]) -> list[Event]:
    """`SOURCE '…'` of a dashboard's query, with one or several log groups ("Log Widget Object" of the dashboard body)."""
    if not parser.at("source"):
        return events
    groups: list[str] = []
    while parser.accept("source"):
        token = parser.next()
        if token.kind != "text":
            raise Refused(f"{parser.query!r}: SOURCE has the name of a log group")
        groups.append(_unquoted(token.text))
        parser.expect("|")
    return [event for event in events if event.group in groups]


def _run_fields(parser: Parser, pipeline: Pipeline) -> None:
    columns = parser.columns()
    pipeline.keep(columns)
    pipeline.shown += [column if column.field else _plain(column.name) for column in columns]


def _run_display(parser: Parser, pipeline: Pipeline) -> None:
    columns = parser.columns()
    pipeline.keep(columns)
    pipeline.displayed = [_plain(column.name) for column in columns]


def _run_filter(parser: Parser, pipeline: Pipeline) -> None:
    condition = parser.expression()
    pipeline.records = [record for record in pipeline.records if _truth(condition(record))]


def _run_stats(parser: Parser, pipeline: Pipeline) -> None:
    aggregates = [parser.aggregate()]
    while parser.accept(","):
        aggregates.append(parser.aggregate())
    by = parser.columns() if parser.accept("by") else []
    groups: dict[tuple[Value, ...], list[Record]] = {} if by else {(): []}
    for record in pipeline.records:
        groups.setdefault(tuple(column.evaluate(record) for column in by), []).append(record)
    records = []
    for key, members in groups.items():
        record = Record(Event(0, ""))
        record.fields = {column.name: key[place] for place, column in enumerate(by)}
        record.fields.update({aggregate.name: aggregate.evaluate(members) for aggregate in aggregates})
        records.append(record)
    pipeline.records = records
    pipeline.columns = [column.name for column in by] + [aggregate.name for aggregate in aggregates]
    pipeline.displayed = []


def _run_sort(parser: Parser, pipeline: Pipeline) -> None:
    keys: list[tuple[Expression, bool]] = []
    while True:
        expression = parser.expression()
        descending = parser.accept("desc")
        if not descending:
            parser.accept("asc")
        keys.append((expression, descending))
        if not parser.accept(","):
            break
    for expression, descending in reversed(keys):
        pipeline.records.sort(key=_sort_key(expression, pipeline.records), reverse=descending)


def _sort_key(expression: Expression, records: list[Record]) -> Callable[[Record], Any]:
    """Sorts numbers as numbers and texts as texts. An absent value comes before all others."""
    values = [value for value in map(expression, records) if value is not None]
    numeric = [_number(value) is not None for value in values]
    if any(numeric) and not all(numeric):
        raise Refused("sort compares numbers with texts")
    if all(numeric):
        return lambda record: (_number(expression(record)) is not None, _number(expression(record)) or Decimal(0))
    return lambda record: (expression(record) is not None, str(expression(record)))


def _run_limit(parser: Parser, pipeline: Pipeline) -> None:
    token = parser.next()
    if token.kind != "number" or not 1 <= int(token.text) <= DEFAULT_LIMIT:
        raise Refused(f"{parser.query!r}: limit is a number from 1 to {DEFAULT_LIMIT}")
    pipeline.limit = int(token.text)
    pipeline.records = pipeline.records[: pipeline.limit]


def _run_dedup(parser: Parser, pipeline: Pipeline) -> None:
    """Keeps the first record of each combination of values. Records without one of the fields stay."""
    columns = parser.columns()
    seen: set[tuple[str, ...]] = set()
    kept = []
    for record in pipeline.records:
        values = [column.evaluate(record) for column in columns]
        key = tuple(str(value) for value in values)
        if None in values or key not in seen:
            kept.append(record)
        seen.add(key)
    pipeline.records = kept


def _run_parse(parser: Parser, pipeline: Pipeline) -> None:
    """Extracts fields with a regular expression that has named groups, or with a text in which * stands for each field."""
    source = parser.name()
    token = parser.next()
    names: list[str] = []
    if token.kind == "regex":
        pattern = _pattern(token.text)
        names = list(pattern.groupindex)
    elif token.kind == "text":
        parts = [re.escape(part) for part in _unquoted(token.text).split("*")]
        pattern = re.compile("(.*?)".join(parts) + ("$" if parts[-1] == "" else ""), re.DOTALL)
        parser.expect("as")
        names.append(parser.name())
        while parser.accept(","):
            names.append(parser.name())
    else:
        raise Refused(f"{parser.query!r}: parse needs a text or a regular expression")
    if not names or pattern.groups != len(names):
        raise Refused(f"{parser.query!r}: parse has {pattern.groups} places and {len(names)} names")
    for record in pipeline.records:
        value = record.get(source)
        match = pattern.search(str(value)) if value is not None else None
        for place, name in enumerate(names, start=1):
            record.fields[name] = match[place] if match else None


RUNNERS: dict[str, Callable[[Parser, Pipeline], None]] = {
    "fields": _run_fields,
    "display": _run_display,
    "filter": _run_filter,
    "stats": _run_stats,
    "sort": _run_sort,
    "limit": _run_limit,
    "dedup": _run_dedup,
    "parse": _run_parse,
}


def events_of(client: Any, group: str, start: int, end: int) -> list[Event]:
    """Copies the log events of a log group. Times are in milliseconds since 1970."""
    pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start, endTime=end)
    return [
        Event(event["timestamp"], event["message"], group=group, stream=event.get("logStreamName", ""))
        for page in pages
        for event in page["events"]
    ]
