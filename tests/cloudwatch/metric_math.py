"""Metric math.

Source: Amazon CloudWatch User Guide, "Using math expressions with CloudWatch metrics" (using-metric-math.html).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

from .refused import Refused
from .store import Grid, Series

# A scalar, a time series, or an array of time series.
Value = float | Series | list[Series]


# ---- Syntax


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Name:
    """The id of a metric or an expression, or a word such as DESC."""

    value: str


@dataclass(frozen=True)
class Array:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Negative:
    operand: Node


@dataclass(frozen=True)
class Binary:
    sign: str
    left: Node
    right: Node


Node = Number | Text | Name | Array | Call | Negative | Binary

TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)
        |(?P<word>[A-Za-z][A-Za-z0-9_]*)
        |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
        |(?P<sign>==|!=|<=|>=|&&|\|\||[-+*/^<>()\[\],]))""",
    re.VERBOSE,
)
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
}
LOGIC: dict[str, Callable[[float, float], bool]] = {
    "AND": lambda left, right: left != 0 and right != 0,
    "OR": lambda left, right: left != 0 or right != 0,
}
# From the loosest to the tightest.
LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"OR", "||"}),
    frozenset({"AND", "&&"}),
    frozenset(COMPARISONS),
    frozenset({"+", "-"}),
    frozenset({"*", "/"}),
)
SPELLINGS = {"&&": "AND", "||": "OR"}


class Parser:
    """Reads one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        position, stripped = 0, text.rstrip()
        while position < len(stripped):
            match = TOKEN.match(stripped, position)
            if match is None:
                raise Refused(f"{text!r}: {stripped[position:]!r} cannot be read")
            self.tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            position = match.end()

    def expression(self) -> Node:
        node = self._level(0)
        if self.tokens:
            raise Refused(f"{self.text!r}: {self.tokens[0][1]!r} is not expected")
        return node

    def _at(self, signs: Iterable[str]) -> bool:
        return bool(self.tokens) and self.tokens[0][0] in {"sign", "word"} and self.tokens[0][1] in signs

    def _take(self, sign: str) -> None:
        if not self._at({sign}):
            raise Refused(f"{self.text!r}: {sign} is missing")
        self.tokens.pop(0)

    def _level(self, level: int) -> Node:
        if level == len(LEVELS):
            return self._unary()
        node = self._level(level + 1)
        while self._at(LEVELS[level]):
            sign = self.tokens.pop(0)[1]
            node = Binary(SPELLINGS.get(sign, sign), node, self._level(level + 1))
        return node

    def _unary(self) -> Node:
        if self._at({"-"}):
            self.tokens.pop(0)
            return Negative(self._unary())
        node = self._primary()
        if self._at({"^"}):
            self.tokens.pop(0)
            return Binary("^", node, self._unary())
        return node

    def _primary(self) -> Node:
        if not self.tokens:
            raise Refused(f"{self.text!r}: something is missing at the end")
        kind, token = self.tokens.pop(0)
        if kind == "number":
            return Number(float(token))
        if kind == "text":
            return Text(re.sub(r"\\(.)", r"\1", token[1:-1]) if token[0] == '"' else token[1:-1])
        if kind == "word":
            return Call(token, self._items(")")) if self._opens() else Name(token)
        if token == "(":
            node = self._level(0)
            self._take(")")
            return node
        if token == "[":
            return Array(self._items("]"))
        raise Refused(f"{self.text!r}: {token!r} is not expected")

    def _opens(self) -> bool:
        if self._at({"("}):
            self.tokens.pop(0)
            return True
        return False

    def _items(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._at({end}):
            items.append(self._level(0))
            if not self._at({end}):
                self._take(",")
        self._take(end)
        return tuple(items)


@cache
def parse(text: str) -> Node:
    """Parses an expression.

    # Raises
    Refused, if it cannot be read or names a function that does not exist here.
    """
    node = Parser(text).expression()
    for function in functions_in(node):
        if function not in FUNCTIONS and function != "SEARCH":
            raise Refused(f"{text!r}: the function {function} is not known")
    return node


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Array):
        return node.items
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, Negative):
        return (node.operand,)
    if isinstance(node, Binary):
        return (node.left, node.right)
    return ()


def functions_in(node: Node) -> list[str]:
    """The functions that an expression calls, each as often as it calls it."""
    found = [node.function] if isinstance(node, Call) else []
    return found + [name for child in _children(node) for name in functions_in(child)]


def ids_in(node: Node) -> set[str]:
    """The ids of metrics and expressions that an expression names."""
    found = {node.value} if isinstance(node, Name) and node.value[0].islower() else set()
    return found.union(*(ids_in(child) for child in _children(node)))


# ---- Evaluation


@dataclass(frozen=True)
class Context:
    """The names that an expression can use.

    `resolve` returns the value of an id, `metrics` are the metrics of the request by id, without expressions, `search` runs a
    SEARCH with statistic and period, and `grid` has the periods of the request.
    """

    resolve: Callable[[str], Value]
    metrics: Callable[[], list[tuple[str, Series]]]
    search: Callable[[str, str, int | None], list[Series]]
    grid: Grid


def evaluate(text: str, context: Context) -> Series | list[Series]:
    """Evaluates an expression.

    # Raises
    Refused, also if the result is a scalar: "the final result of any math expression must be a single time series or an array".
    """
    result = _value(parse(text), context)
    if isinstance(result, float):
        raise Refused(f"{text!r} is a scalar, not a time series")
    return result


def _value(node: Node, context: Context) -> Value:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        if not node.value[0].islower():
            raise Refused(f"{node.value} is not an id, because it does not begin with a lower-case letter")
        return context.resolve(node.value)
    if isinstance(node, Array):
        return _flat(_value(item, context) for item in node.items)
    if isinstance(node, Negative):
        return _each(_value(node.operand, context), lambda value: -value)
    if isinstance(node, Binary):
        return _binary(node.sign, _value(node.left, context), _value(node.right, context))
    if isinstance(node, Call):
        return _call(node, context)
    raise Refused(f"the text {node.value!r} is not expected")


def _flat(values: Iterable[Value]) -> list[Series]:
    found: list[Series] = []
    for value in values:
        if isinstance(value, float):
            raise Refused("an array has time series, not scalars")
        found += value if isinstance(value, list) else [value]
    return found


def _changed(series: Series, values: dict[int, float]) -> Series:
    return replace(series, values=dict(sorted(values.items())))


def _each(value: Value, change: Callable[[float], float]) -> Value:
    if isinstance(value, float):
        return change(value)
    if isinstance(value, list):
        return [_changed(each, {time: change(number) for time, number in each.values.items()}) for each in value]
    return _changed(value, {time: change(number) for time, number in value.values.items()})


def _binary(sign: str, left: Value, right: Value) -> Value:
    if isinstance(left, list) and isinstance(right, list):
        raise Refused(f"AWS's table has no {sign} for two arrays")
    if isinstance(left, list):
        return [_pair(sign, each, right) for each in left if not isinstance(right, list)]
    if isinstance(right, list):
        return [replace(_pair(sign, left, each), label=each.label) for each in right]
    if isinstance(left, float) and isinstance(right, float):
        result = _apply(sign, left, right)
        if result is None:
            raise Refused(f"{left} {sign} {right} divides by zero")
        return result
    return _pair(sign, left, right)


def _pair(sign: str, left: float | Series, right: float | Series) -> Series:
    """Combines value by value. A missing value of one of two series is 0; a division by zero drops the data point."""
    if isinstance(left, Series) and isinstance(right, Series):
        if left.grid.period != right.grid.period:
            raise Refused(f"the periods {left.grid.period} and {right.grid.period} differ")
        times = left.values.keys() | right.values.keys()
        found = {time: _apply(sign, left.values.get(time, 0.0), right.values.get(time, 0.0)) for time in times}
    elif isinstance(left, Series) and isinstance(right, float):
        found = {time: _apply(sign, value, right) for time, value in left.values.items()}
    elif isinstance(right, Series) and isinstance(left, float):
        found = {time: _apply(sign, left, value) for time, value in right.values.items()}
    else:
        raise Refused("two scalars are not a time series")
    like = left if isinstance(left, Series) else right
    assert isinstance(like, Series)
    return _changed(like, {time: value for time, value in found.items() if value is not None})


def _apply(sign: str, left: float, right: float) -> float | None:
    if sign in COMPARISONS:
        return float(COMPARISONS[sign](left, right))
    if sign in LOGIC:
        return float(LOGIC[sign](left, right))
    try:
        return float(ARITHMETIC[sign](left, right))
    except ZeroDivisionError:
        return None


# ---- Functions


Function = Callable[["Call", Context], Value]


def _arguments(call: Call, context: Context, least: int, most: int) -> list[Value]:
    if not least <= len(call.arguments) <= most:
        raise Refused(f"{call.function} has {least} to {most} arguments, not {len(call.arguments)}")
    return [_value(argument, context) for argument in call.arguments]


def _call(call: Call, context: Context) -> Value:
    if call.function == "SEARCH":
        return _search(call, context)
    if call.function not in FUNCTIONS:
        raise Refused(f"the function {call.function} is not known")
    return FUNCTIONS[call.function](call, context)


def _search(call: Call, context: Context) -> list[Series]:
    arguments = call.arguments
    texts = [argument.value for argument in arguments[:2] if isinstance(argument, Text)]
    if len(texts) != 2 or len(arguments) > 3:
        raise Refused("SEARCH has an expression, a statistic and possibly a period")
    if len(arguments) == 2:
        return context.search(texts[0], texts[1], None)
    period = arguments[2]
    if not isinstance(period, Number):
        raise Refused("the period of SEARCH is a number of seconds")
    return context.search(texts[0], texts[1], int(period.value))


def _summary(name: str, values: list[float]) -> float:
    if name == "DATAPOINT_COUNT":
        return float(len(values))
    if not values:
        raise Refused(f"{name} of a time series without data")
    if name == "STDDEV":
        mean = sum(values) / len(values)
        return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return {"AVG": sum(values) / len(values), "MAX": max(values), "MIN": min(values), "SUM": sum(values)}[name]


def _aggregate(call: Call, context: Context) -> Value:
    """AVG, DATAPOINT_COUNT, MAX, MIN, STDDEV, SUM: a scalar of one time series, a time series of an array.

    Of an array, AVG and STDDEV treat a missing value as 0, if another series has a value at that time.
    """
    (value,) = _arguments(call, context, 1, 1)
    if isinstance(value, float):
        raise Refused(f"{call.function} of a scalar")
    if isinstance(value, Series):
        return _summary(call.function, list(value.values.values()))
    values: dict[int, float] = {}
    for time in sorted(set().union(*(each.values for each in value))):
        present = [each.values[time] for each in value if time in each.values]
        if call.function in {"AVG", "STDDEV"}:
            present += [0.0] * (len(value) - len(present))
        values[time] = _summary(call.function, present)
    return Series(values, _grid_of(value, context), label=call.function)


def _grid_of(series: list[Series], context: Context) -> Grid:
    periods = {each.grid.period for each in series}
    if len(periods) > 1:
        raise Refused(f"the periods {sorted(periods)} differ")
    return series[0].grid if series else context.grid


def _pointwise(change: Callable[[float], float]) -> Function:
    def function(call: Call, context: Context) -> Value:
        (value,) = _arguments(call, context, 1, 1)
        if isinstance(value, float):
            raise Refused(f"{call.function} of a scalar")
        return _each(value, change)

    return function


def _along(change: Callable[[Series], dict[int, float]]) -> Function:
    """A function that looks at consecutive data points of each time series."""

    def function(call: Call, context: Context) -> Value:
        (value,) = _arguments(call, context, 1, 1)
        if isinstance(value, float):
            raise Refused(f"{call.function} of a scalar")
        if isinstance(value, list):
            return [_changed(each, change(each)) for each in value]
        return _changed(value, change(value))

    return function


def _steps(series: Series) -> list[tuple[int, int]]:
    """Each time of a data point after the first, with the time of the preceding data point."""
    times = sorted(series.values)
    return [(time, times[position]) for position, time in enumerate(times[1:])]


def _rate(series: Series) -> dict[int, float]:
    values = series.values
    return {time: (values[time] - values[before]) / (time - before) for time, before in _steps(series)}


def _diff(series: Series) -> dict[int, float]:
    return {time: series.values[time] - series.values[before] for time, before in _steps(series)}


def _diff_time(series: Series) -> dict[int, float]:
    return {time: float(time - before) for time, before in _steps(series)}


def _running_sum(series: Series) -> dict[int, float]:
    total, found = 0.0, {}
    for time in sorted(series.values):
        total += series.values[time]
        found[time] = total
    return found


def _fill(call: Call, context: Context) -> Value:
    if len(call.arguments) != 2:
        raise Refused("FILL has two arguments")
    value = _value(call.arguments[0], context)
    if isinstance(value, float):
        raise Refused("FILL of a scalar")
    filler = call.arguments[1]
    word = filler.value if isinstance(filler, Name) and filler.value.isupper() else None
    if word not in {None, "REPEAT", "LINEAR"}:
        raise Refused(f"FILL knows REPEAT and LINEAR, not {word}")
    with_value = None if word else _value(filler, context)
    if isinstance(with_value, list):
        raise Refused("FILL cannot fill with an array")
    if isinstance(value, list):
        return [_filled(each, word, with_value) for each in value]
    return _filled(value, word, with_value)


def _filled(series: Series, word: str | None, filler: float | Series | None) -> Series:
    values = dict(series.values)
    for time in series.grid:
        if time in series.values:
            continue
        found: float | None
        if word == "REPEAT":
            found = values.get(time - series.grid.period)
        elif word == "LINEAR":
            found = _between(series, time)
        elif isinstance(filler, Series):
            found = filler.values.get(time)
        else:
            found = filler
        if found is not None:
            values[time] = found
    return _changed(series, values)


def _between(series: Series, time: int) -> float | None:
    before = [each for each in series.values if each < time]
    after = [each for each in series.values if each > time]
    if not before or not after:
        return None
    first, last = max(before), min(after)
    share = (time - first) / (last - first)
    return series.values[first] + (series.values[last] - series.values[first]) * share


def _if(call: Call, context: Context) -> Value:
    """IF. If the condition is a time series, the result has its times only."""
    if not 2 <= len(call.arguments) <= 3:
        raise Refused("IF has two or three arguments")
    condition, *branches = (_value(argument, context) for argument in call.arguments)
    if isinstance(condition, list) or any(isinstance(branch, list) for branch in branches):
        raise Refused("IF takes no arrays")
    when_true = branches[0]
    when_false = branches[1] if len(branches) == 2 else None
    assert not isinstance(when_true, list) and not isinstance(when_false, list)
    if isinstance(condition, float):
        chosen = when_true if condition != 0 else when_false
        return Series({}, context.grid, label="IF") if chosen is None else chosen
    values: dict[int, float] = {}
    for time, truth in condition.values.items():
        # "has the value of 0, if the condition is TRUE and the corresponding data point does not exist"
        found = _at(when_true, time, 0.0) if truth != 0 else _at(when_false, time, None)
        if found is not None:
            values[time] = found
    return _changed(condition, values)


def _at(value: float | Series | None, time: int, missing: float | None) -> float | None:
    return value.values.get(time, missing) if isinstance(value, Series) else value


def _metrics(call: Call, context: Context) -> Value:
    """METRICS() is every metric of the request, METRICS("x") each whose id contains x."""
    if not call.arguments:
        return [series for _, series in context.metrics()]
    part = call.arguments[0]
    if len(call.arguments) > 1 or not isinstance(part, Text):
        raise Refused("METRICS has no argument or a text")
    return [series for name, series in context.metrics() if part.value in name]


def _metric_count(call: Call, context: Context) -> Value:
    (value,) = _arguments(call, context, 1, 1)
    if not isinstance(value, list):
        raise Refused("METRIC_COUNT counts an array")
    return float(len(value))


def _period(call: Call, context: Context) -> Value:
    argument = call.arguments[0] if len(call.arguments) == 1 else None
    if not isinstance(argument, Name) or argument.value not in {name for name, _ in context.metrics()}:
        raise Refused("PERIOD takes the id of a metric, not of an expression")
    value = context.resolve(argument.value)
    assert isinstance(value, Series)
    return float(value.grid.period)


def _time_series(call: Call, context: Context) -> Value:
    (value,) = _arguments(call, context, 1, 1)
    if not isinstance(value, float):
        raise Refused("TIME_SERIES takes a scalar")
    return Series(dict.fromkeys(context.grid, value), context.grid, label="TIME_SERIES")


def _order(call: Call, context: Context) -> Value:
    """SORT(array, AVG | MIN | MAX | SUM, ASC | DESC, limit)."""
    words = [argument.value if isinstance(argument, Name) else "" for argument in call.arguments[1:3]]
    if (
        not 3 <= len(call.arguments) <= 4
        or words[0] not in {"AVG", "MIN", "MAX", "SUM"}
        or words[1] not in {"ASC", "DESC"}
    ):
        raise Refused("SORT has an array, AVG, MIN, MAX or SUM, ASC or DESC, and possibly a number")
    value = _value(call.arguments[0], context)
    if not isinstance(value, list):
        raise Refused("SORT sorts an array")
    with_data = [each for each in value if each.values]
    key = words[0]
    ordered = sorted(with_data, key=lambda each: _summary(key, list(each.values.values())), reverse=words[1] == "DESC")
    if len(call.arguments) == 3:
        return ordered
    limit = _value(call.arguments[3], context)
    if not isinstance(limit, float):
        raise Refused("the limit of SORT is a number")
    return ordered[: int(limit)]


def _slice(call: Call, context: Context) -> Value:
    value, *bounds = _arguments(call, context, 2, 3)
    if not isinstance(value, list) or not all(isinstance(bound, float) for bound in bounds):
        raise Refused("SLICE has an array and one or two numbers")
    numbers = [int(bound) for bound in bounds if isinstance(bound, float)]
    return value[numbers[0] : numbers[1]] if len(numbers) == 2 else value[numbers[0] :]


def _end(call: Call, context: Context) -> Value:
    (value,) = _arguments(call, context, 1, 1)
    if not isinstance(value, list) or not value:
        raise Refused(f"{call.function} takes an array that is not empty")
    return value[0] if call.function == "FIRST" else value[-1]


def _remove_empty(call: Call, context: Context) -> Value:
    (value,) = _arguments(call, context, 1, 1)
    if not isinstance(value, list):
        raise Refused("REMOVE_EMPTY takes an array")
    return [each for each in value if each.values]


def _calendar(part: Callable[[datetime], int]) -> Function:
    def function(call: Call, context: Context) -> Value:
        (value,) = _arguments(call, context, 1, 1)
        if not isinstance(value, Series):
            raise Refused(f"{call.function} takes one time series")
        return _changed(value, {time: float(part(datetime.fromtimestamp(time, UTC))) for time in value.grid})

    return function


FUNCTIONS: dict[str, Function] = {
    **dict.fromkeys(("AVG", "DATAPOINT_COUNT", "MAX", "MIN", "STDDEV", "SUM"), _aggregate),
    "ABS": _pointwise(abs),
    "CEIL": _pointwise(lambda value: float(math.ceil(value))),
    "FLOOR": _pointwise(lambda value: float(math.floor(value))),
    "LOG": _pointwise(math.log),
    "LOG10": _pointwise(math.log10),
    "RATE": _along(_rate),
    "DIFF": _along(_diff),
    "DIFF_TIME": _along(_diff_time),
    "RUNNING_SUM": _along(_running_sum),
    "FILL": _fill,
    "FIRST": _end,
    "LAST": _end,
    "IF": _if,
    "METRICS": _metrics,
    "METRIC_COUNT": _metric_count,
    "PERIOD": _period,
    "REMOVE_EMPTY": _remove_empty,
    "SLICE": _slice,
    "SORT": _order,
    "TIME_SERIES": _time_series,
    "MINUTE": _calendar(lambda time: time.minute),
    "HOUR": _calendar(lambda time: time.hour),
    "DAY": _calendar(lambda time: time.isoweekday()),
    "DATE": _calendar(lambda time: time.day),
    "MONTH": _calendar(lambda time: time.month),
    "YEAR": _calendar(lambda time: time.year),
    "EPOCH": _calendar(lambda time: int(time.timestamp())),
}
