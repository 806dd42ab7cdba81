"""Queries of CloudWatch Metrics Insights.

Sources: Amazon CloudWatch User Guide, "Metrics Insights query components and syntax"
(cloudwatch-metrics-insights-querylanguage.html), "Reserved keywords" (cloudwatch-metrics-insights-reserved-keywords.html),
"Metrics Insights quotas" (cloudwatch-metrics-insights-limits.html).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .refused import Refused
from .store import DAY, Grid, Metric, Observations, Series, Store, statistic

# "Metrics Insights quotas": data of the last two weeks, 10,000 metrics and 500 time series a query, periods from a minute.
WINDOW = 14 * DAY
MOST_METRICS = 10_000
MOST_SERIES = 500
LEAST_PERIOD = 60
# In the conditions of an alarm, the same page allows the last three hours.
ALARM_WINDOW = 3 * 3600

FUNCTIONS = {"AVG": "Average", "COUNT": "SampleCount", "MAX": "Maximum", "MIN": "Minimum", "SUM": "Sum"}
RESERVED = frozenset((Path(__file__).parent / "reserved_keywords.txt").read_text(encoding="utf-8").split())
TOKEN = re.compile(
    r"""\s*(?:(?P<name>"(?:[^"\\]|\\.)*")|(?P<value>'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z0-9_]+)|(?P<sign>!=|[=(),]))"""
)
# A metric without the dimension by which a query groups, is in this group.
NO_VALUE = "Other"


@dataclass(frozen=True)
class Query:
    """A parsed query. `schema` is None without SCHEMA; `where` has dimension, operator (`=`, `!=`) and value."""

    function: str
    metric: str
    namespace: str
    schema: frozenset[str] | None
    where: tuple[tuple[str, str, str], ...]
    group_by: tuple[str, ...]
    order_by: str | None
    descending: bool
    limit: int | None

    def matches(self, metric: Metric) -> bool:
        if (metric.namespace, metric.name) != (self.namespace, self.metric):
            return False
        if self.schema is not None and metric.dimension_names != self.schema:
            return False
        return all(_holds(metric, *condition) for condition in self.where)


def _holds(metric: Metric, dimension: str, operator: str, value: str) -> bool:
    actual = metric.value_of(dimension)
    if operator == "=":
        return actual == value
    if actual is None:
        raise Refused(f"{metric} has no dimension {dimension}, and AWS's pages do not say what != then means")
    return actual != value


class Parser:
    """Reads one query from left to right. Keywords are not case sensitive; names are."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        position, stripped = 0, text.rstrip()
        while position < len(stripped):
            match = TOKEN.match(stripped, position)
            if match is None:
                raise Refused(f"{text!r}: {stripped[position:]!r} cannot be read")
            self.tokens.append((str(match.lastgroup), str(match[str(match.lastgroup)])))
            position = match.end()

    def query(self) -> Query:
        self._keyword("SELECT")
        function = self._function()
        self._sign("(")
        metric = self._name()
        self._sign(")")
        self._keyword("FROM")
        namespace, schema = self._source()
        where = self._where()
        group_by = self._group_by()
        order_by, descending = self._order_by()
        limit = self._limit()
        if self.tokens:
            raise Refused(f"{self.text!r}: {self.tokens[0][1]!r} is not expected")
        return Query(function, metric, namespace, schema, where, group_by, order_by, descending, limit)

    def _peek(self, word: str) -> bool:
        return bool(self.tokens) and self.tokens[0][0] == "word" and self.tokens[0][1].upper() == word

    def _next(self, kind: str, expected: str) -> str:
        if not self.tokens or self.tokens[0][0] != kind:
            found = self.tokens[0][1] if self.tokens else "the end"
            raise Refused(f"{self.text!r}: {expected} is expected, not {found!r}")
        return self.tokens.pop(0)[1]

    def _keyword(self, word: str) -> None:
        if not self._peek(word):
            raise Refused(f"{self.text!r}: {word} is expected")
        self.tokens.pop(0)

    def _accept(self, word: str) -> bool:
        if self._peek(word):
            self.tokens.pop(0)
            return True
        return False

    def _sign(self, sign: str) -> None:
        if self._next("sign", sign) != sign:
            raise Refused(f"{self.text!r}: {sign} is expected")

    def _comma(self) -> bool:
        if self.tokens and self.tokens[0] == ("sign", ","):
            self.tokens.pop(0)
            return True
        return False

    def _function(self) -> str:
        function = self._next("word", "a function").upper()
        if function not in FUNCTIONS:
            raise Refused(f"{self.text!r}: the functions are {', '.join(FUNCTIONS)}, not {function}")
        return function

    def _name(self) -> str:
        """A name: in double quotes, or made of letters, digits and underscores and not reserved."""
        if self.tokens and self.tokens[0][0] == "name":
            return re.sub(r"\\(.)", r"\1", self.tokens.pop(0)[1][1:-1])
        name = self._next("word", "a name")
        if name.upper() in RESERVED:
            raise Refused(f"{self.text!r}: {name} is a reserved keyword and needs double quotes")
        return name

    def _source(self) -> tuple[str, frozenset[str] | None]:
        if not self._accept("SCHEMA"):
            return self._name(), None
        self._sign("(")
        namespace = self._name()
        keys = []
        while self._comma():
            keys.append(self._name())
        self._sign(")")
        return namespace, frozenset(keys)

    def _where(self) -> tuple[tuple[str, str, str], ...]:
        if not self._accept("WHERE"):
            return ()
        conditions = [self._condition()]
        while self._accept("AND"):
            conditions.append(self._condition())
        return tuple(conditions)

    def _condition(self) -> tuple[str, str, str]:
        dimension = self._name()
        operator = self._next("sign", "= or !=")
        if operator not in {"=", "!="}:
            raise Refused(f"{self.text!r}: the operators are = and !=, not {operator}")
        value = self._next("value", "a value in single quotes")
        return dimension, operator, re.sub(r"\\(.)", r"\1", value[1:-1])

    def _group_by(self) -> tuple[str, ...]:
        if not self._accept("GROUP"):
            return ()
        self._keyword("BY")
        names = [self._name()]
        while self._comma():
            names.append(self._name())
        return tuple(names)

    def _order_by(self) -> tuple[str | None, bool]:
        if not self._accept("ORDER"):
            return None, False
        self._keyword("BY")
        function = self._function()
        self._sign("(")
        self._sign(")")
        if self._accept("DESC"):
            return function, True
        self._accept("ASC")
        return function, False

    def _limit(self) -> int | None:
        if not self._accept("LIMIT"):
            return None
        number = self._next("word", "a number")
        if not number.isdigit() or not 1 <= int(number) <= MOST_SERIES:
            raise Refused(f"{self.text!r}: LIMIT is a number from 1 to {MOST_SERIES}")
        return int(number)


@cache
def parse(text: str) -> Query:
    """Parses a query.

    # Raises
    Refused, if AWS would not accept the query.
    """
    return Parser(text).query()


def is_query(expression: str) -> bool:
    """True for an expression that is a Metrics Insights query and not metric math."""
    return re.match(r"\s*SELECT\b", expression, re.IGNORECASE) is not None


def evaluate(text: str, store: Store, grid: Grid) -> Series | list[Series]:
    """Runs a query. Returns one series without GROUP BY, else a list in the order of the query.

    A part of the range that is older than two weeks has no data.
    """
    query = parse(text)
    if grid.period < LEAST_PERIOD:
        raise Refused("Metrics Insights has no periods below a minute")
    metrics = store.metrics(since=store.now - WINDOW, matching=query.matches)
    if len(metrics) > MOST_METRICS:
        raise Refused(f"{text!r} matches {len(metrics)} metrics; AWS processes {MOST_METRICS} of them")
    groups: dict[tuple[str, ...], dict[int, list[Observations]]] = {}
    for metric in metrics:
        key = tuple(metric.value_of(name) or NO_VALUE for name in query.group_by)
        merged = groups.setdefault(key, {})
        for time, found in store.buckets(metric, grid).items():
            if time >= store.now - WINDOW:
                merged.setdefault(time, []).extend(found)
    series = [_series(query, key, groups[key], grid) for key in sorted(groups) if groups[key]]
    if not query.group_by:
        return series[0] if series else _series(query, (), {}, grid)
    return _ordered(text, query, series)


def _series(query: Query, key: tuple[str, ...], buckets: dict[int, list[Observations]], grid: Grid) -> Series:
    stat = FUNCTIONS[query.function]
    values = {time: statistic(stat, found) for time, found in sorted(buckets.items())}
    group = {name: key[position] for position, name in enumerate(query.group_by)} if key else {}
    return Series(values, grid, label=" ".join(key) or f"{query.function}({query.metric})", group=group)


def _ordered(text: str, query: Query, series: list[Series]) -> list[Series]:
    if query.order_by is not None:
        function = query.order_by
        series = sorted(series, key=lambda each: _scalar(function, each), reverse=query.descending)
    elif len(series) > MOST_SERIES:
        raise Refused(f"{text!r} returns {len(series)} series; without ORDER BY, nobody knows which {MOST_SERIES}")
    return series[: query.limit or MOST_SERIES]


def _scalar(function: str, series: Series) -> float:
    values = list(series.values.values())
    if function == "AVG":
        return sum(values) / len(values)
    return {"COUNT": len(values), "MAX": max(values), "MIN": min(values), "SUM": sum(values)}[function]
