"""SEARCH expressions.

Sources: Amazon CloudWatch User Guide, "CloudWatch search expression syntax" (search-expression-syntax.html) and
"Using search expressions in graphs" (using-search-expressions.html).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .refused import Refused
from .store import DAY, Metric, Store

# "Search expression limits", and: a search finds metrics that have data of the last two weeks.
LONGEST = 1024
MOST_SERIES = 500
WINDOW = 14 * DAY

SCHEMA = re.compile(r"\s*\{(?P<names>[^}]*)\}\s*,?")
NAME = re.compile(r"""\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^,"\s]+))\s*(?:,|$)""")
TERM = re.compile(
    r"""\s*(?:(?P<bracket>[()])
        |(?P<property>"(?:[^"\\]|\\.)*"|[A-Za-z0-9_.:@/-]+)=(?P<wanted>"(?:[^"\\]|\\.)*"|[^\s()"]+)
        |(?P<exact>"(?:[^"\\]|\\.)*")
        |(?P<word>[^\s()"]+))""",
    re.VERBOSE,
)
PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

Condition = Callable[[Metric], bool]


@dataclass(frozen=True)
class Search:
    """A parsed search. Without a schema, `namespace` is None."""

    namespace: str | None
    dimensions: frozenset[str]
    condition: Condition

    def matches(self, metric: Metric) -> bool:
        if self.namespace is not None and metric.namespace != self.namespace:
            return False
        if self.namespace is not None and metric.dimension_names != self.dimensions:
            return False
        return self.condition(metric)


def tokens(text: str) -> list[str]:
    """The tokens that CloudWatch makes of a name: its pieces, and all of it without other signs. In lower case."""
    pieces = PIECE.findall(text)
    return [piece.lower() for piece in dict.fromkeys(["".join(pieces), *pieces])]


def parse(text: str) -> Search:
    """Parses what stands between the single quotes of SEARCH.

    # Raises
    Refused, if AWS would not accept it. Terms of several tokens without double quotes are refused too, because the page
    contradicts itself about their case.
    """
    if len(text) > LONGEST:
        raise Refused(f"a search expression has at most {LONGEST} characters, not {len(text)}")
    schema = SCHEMA.match(text)
    names = _names(schema["names"]) if schema else []
    rest = text[schema.end() :] if schema else text
    terms = _Terms(text, rest)
    if schema is None and not terms.left:
        raise Refused("a search needs a schema or a term")
    condition = terms.all() if terms.left else (lambda _: True)
    return Search(names[0] if names else None, frozenset(names[1:]), condition)


def _names(text: str) -> list[str]:
    names, position = [], 0
    while position < len(text):
        match = NAME.match(text, position)
        if match is None:
            raise Refused(f"the schema {{{text}}} cannot be read")
        name = match["bare"] if match["quoted"] is None else _unescaped(match["quoted"])
        if match["quoted"] is None and not re.fullmatch(r"[A-Za-z0-9_/]+", name):
            raise Refused(f"{name} in a schema needs double quotes")
        names.append(name)
        position = match.end()
    if not names:
        raise Refused("a schema needs a namespace")
    return names


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


class _Terms:
    """Reads terms with AND (also if nothing is between two terms), OR, NOT and brackets."""

    def __init__(self, whole: str, text: str) -> None:
        self.whole = whole
        self.left: list[re.Match[str]] = []
        position, stripped = 0, text.rstrip()
        while position < len(stripped):
            match = TERM.match(stripped, position)
            if match is None:
                raise Refused(f"{whole!r}: {stripped[position:]!r} cannot be read")
            self.left.append(match)
            position = match.end()

    def all(self) -> Condition:
        condition = self._either()
        if self.left:
            raise Refused(f"{self.whole!r}: {self.left[0][0].strip()!r} is not expected")
        return condition

    def _is(self, word: str) -> bool:
        return bool(self.left) and word in (self.left[0]["word"], self.left[0]["bracket"])

    def _either(self) -> Condition:
        parts = [self._both()]
        while self._is("OR"):
            self.left.pop(0)
            parts.append(self._both())
        return lambda metric: any(part(metric) for part in parts)

    def _both(self) -> Condition:
        parts = [self._not()]
        while self.left and not self._is("OR") and not self._is(")"):
            if self._is("AND"):
                self.left.pop(0)
            parts.append(self._not())
        return lambda metric: all(part(metric) for part in parts)

    def _not(self) -> Condition:
        if self._is("NOT"):
            self.left.pop(0)
            inner = self._not()
            return lambda metric: not inner(metric)
        return self._one()

    def _one(self) -> Condition:
        if not self.left:
            raise Refused(f"{self.whole!r}: a term is expected at the end")
        match = self.left.pop(0)
        if match["bracket"] == "(":
            inner = self._either()
            if not self._is(")"):
                raise Refused(f"{self.whole!r}: ) is missing")
            self.left.pop(0)
            return inner
        if match["property"] is not None:
            name = match["property"]
            name = _unescaped(name[1:-1]) if name.startswith('"') else name
            return _in_property(name, _wanted(match["wanted"]))
        if match["bracket"] is not None or match["word"] in {"AND", "OR"}:
            raise Refused(f"{self.whole!r}: {match[0].strip()!r} is not expected")
        return _anywhere(_wanted(match["exact"] or match["word"]))


def _wanted(term: str) -> Callable[[str], bool]:
    """Compares one name or value with a term: exactly in double quotes, else token by token."""
    if term.startswith('"'):
        exact = _unescaped(term[1:-1])
        return lambda text: text == exact
    pieces = PIECE.findall(term)
    if len(pieces) != 1:
        raise Refused(f"the search term {term} has several tokens and needs double quotes")
    return lambda text: pieces[0].lower() in tokens(text)


def _in_property(name: str, wanted: Callable[[str], bool]) -> Condition:
    def holds(metric: Metric) -> bool:
        value = {"MetricName": metric.name, "Namespace": metric.namespace}.get(name, metric.value_of(name))
        return value is not None and wanted(value)

    return holds


def _anywhere(wanted: Callable[[str], bool]) -> Condition:
    def holds(metric: Metric) -> bool:
        names = [metric.namespace, metric.name, *(text for pair in metric.dimensions for text in pair)]
        return any(wanted(name) for name in names)

    return holds


def find(text: str, store: Store) -> list[Metric]:
    """The metrics that a search finds, in alphabetical order.

    # Raises
    Refused, if there are more than a graph shows, because nobody knows which of them it would show.
    """
    search = parse(text)
    found = store.metrics(since=store.now - WINDOW, matching=search.matches)
    if len(found) > MOST_SERIES:
        raise Refused(f"{text!r} finds {len(found)} metrics; a graph shows {MOST_SERIES}")
    return found
