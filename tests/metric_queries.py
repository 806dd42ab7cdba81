"""The grammar of CloudWatch's queries as far as the template uses it, and the metrics that may be queried.

Sources, all read in November 2026: Amazon CloudWatch user guide, "Metrics Insights query components and syntax", "CloudWatch
search expression syntax" and "Using math expressions with CloudWatch metrics".
"""

import ast
import re
from dataclasses import dataclass, field
from typing import Any

REQUEST = frozenset({"Application", "CostCenter", "Environment", "Model", "ModelId"})
# The metrics of the sentry, each with the names of its dimensions.
PUBLISHED: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ["TotalRequests", "RateLimitApproved", "RateLimitDenied", "InvocationFailed", "InputTokens", "OutputTokens"],
        REQUEST,
    ),
    "CostUsd": REQUEST,
    "Denials": frozenset({"Code"}),
    "Degradations": frozenset({"Action"}),
    "BudgetAlerts": frozenset({"Scope", "Threshold"}),
    "BudgetUsedPercent": frozenset({"Scope"}),
    "BudgetForecastPercent": frozenset({"Scope"}),
    "UngovernedTokens": frozenset({"ModelId"}),
    "ModelLatency": frozenset({"ModelId"}),
    "StepLatency": frozenset({"Step"}),
    **dict.fromkeys(
        ["DecisionLatency", "UnsettledRequests", "LateSettlements", "ExceededHolds", "HeldTokens", "UsedTokens"],
        frozenset[str](),
    ),
}
# The metrics of AWS that the template queries, from the services' documentation.
OF_AWS: dict[tuple[str, str], frozenset[str]] = {
    **{("AWS/Lambda", name): frozenset({"FunctionName"}) for name in ("Errors", "Throttles", "Invocations")},
    **{
        ("AWS/States", name): frozenset({"StateMachineArn"})
        for name in ("ExecutionsFailed", "ExecutionsTimedOut", "ExecutionThrottled")
    },
    **{
        ("AWS/SQS", name): frozenset({"QueueName"})
        for name in ("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible")
    },
    **{
        ("AWS/Bedrock", name): frozenset({"ModelId"}) for name in ("Invocations", "InputTokenCount", "OutputTokenCount")
    },
}
NAMESPACE = "GenAIRateLimiting"
MATH_FUNCTIONS = {"SUM", "FILL", "MAX", "MIN", "AVG", "IF"}
STATISTIC = re.compile(r"Sum|Average|Minimum|Maximum|SampleCount|p\d{1,2}(\.\d+)?")

NAME = r'(?:"\w+"|\w+)'
# The words of the sentry's metrics and dimensions that Metrics Insights reserves, so that they need double quotes.
# Source: Amazon CloudWatch user guide, "Reserved keywords", read in November 2026.
RESERVED = {"scope", "action", "threshold"}
INSIGHTS = re.compile(
    r"SELECT (?P<function>AVG|COUNT|MAX|MIN|SUM)\((?P<metric>\w+)\)"
    rf' FROM SCHEMA\((?P<namespace>"[\w/]+"|\w+)(?P<dimensions>(?:, {NAME})*)\)'
    rf"(?: WHERE (?P<where>{NAME} !?= '[^']+'(?: AND {NAME} !?= '[^']+')*))?"
    rf"(?: GROUP BY (?P<group>{NAME}(?:, {NAME})*))?"
    r"(?: ORDER BY (?P<order>AVG|COUNT|MAX|MIN|SUM)\(\)(?: ASC| DESC)?)?"
    r"(?: LIMIT (?P<limit>\d+))?"
)
SEARCH = re.compile(
    r"SEARCH\('(?P<schema>\{(?P<namespace>[\w/]+)(?P<dimensions>(?:,\w+)*)\}) MetricName=\"(?P<metric>\w+)\"', '(?P<stat>[\w.]+)'\)"
)


@dataclass(frozen=True)
class Query:
    """A query: the metric, the dimensions of its schema, and the dimensions that it filters or groups by."""

    namespace: str
    metric: str
    dimensions: frozenset[str]
    used: frozenset[str] = field(default_factory=frozenset)
    grouped: bool = False
    limit: int = 500


def insights(text: str) -> Query:
    """A Metrics Insights query. Asserts that it follows the grammar."""
    found = INSIGHTS.fullmatch(text)
    assert found, f"not a Metrics Insights query of the known form: {text}"
    namespace = found["namespace"]
    # A name with characters other than letters, digits and _ needs double quotes.
    assert namespace.startswith('"') == bool(re.search(r"\W", namespace.strip('"'))), namespace
    assert found["order"] in (None, found["function"]), "ORDER BY has the function of SELECT"
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", text).lower()
    assert not RESERVED & set(re.findall(r"\w+", unquoted)), f"a reserved word needs double quotes: {text}"
    used = re.findall(r"(\w+)\"? !?= '", found["where"] or "") + re.findall(r"\w+", found["group"] or "")
    return Query(
        namespace.strip('"'),
        found["metric"],
        frozenset(re.findall(r"\w+", found["dimensions"])),
        frozenset(used),
        found["group"] is not None,
        int(found["limit"] or 500),
    )


def searches(expression: str) -> tuple[list[Query], str]:
    """The searches of an expression, and the expression with each replaced by a number."""
    found = []
    for match in SEARCH.finditer(expression):
        assert STATISTIC.fullmatch(match["stat"]), match["stat"]
        dimensions = frozenset(re.findall(r"\w+", match["dimensions"]))
        found.append(Query(match["namespace"], match["metric"], dimensions))
    return found, SEARCH.sub("1", expression)


def names_in_math(expression: str) -> set[str]:
    """The ids that an expression without searches refers to. Asserts that it is arithmetic with known functions."""
    tree = ast.parse(expression, mode="eval")
    called = {id(node.func): node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for function in called.values():
        assert isinstance(function, ast.Name) and function.id in MATH_FUNCTIONS, expression
    allowed = (
        ast.Expression,
        ast.BinOp,
        ast.UnaryOp,
        ast.Call,
        ast.Name,
        ast.Constant,
        ast.Load,
        ast.operator,
        ast.unaryop,
    )
    assert all(isinstance(node, allowed) for node in ast.walk(tree)), expression
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def check(query: Query) -> None:
    """Asserts that the metric is published with exactly these dimensions, and that the query uses only these."""
    known: Any = (
        PUBLISHED.get(query.metric) if query.namespace == NAMESPACE else OF_AWS.get((query.namespace, query.metric))
    )
    assert known is not None, f"nothing publishes {query.namespace} {query.metric}"
    assert query.dimensions == known, query
    assert query.used <= query.dimensions, query
    assert 0 < query.limit <= 500, query
