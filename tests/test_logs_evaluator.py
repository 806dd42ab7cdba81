"""The stand-in for CloudWatch Logs Insights, against the rules and examples of AWS's pages. Needs no endpoint."""

import json
from decimal import Decimal

import pytest

from cloudwatch.logs_insights import MOST_FIELDS, Event, run
from cloudwatch.refused import Refused

START = 1_763_640_000_000  # 2025-11-20T12:00:00Z


def events(*records, step=1000, group="g"):
    """One event for each record, a second apart. A text is not JSON."""
    return [
        Event(START + place * step, record if isinstance(record, str) else json.dumps(record), group=group)
        for place, record in enumerate(records)
    ]


def rows(query, *records, **options):
    return run(query, events(*records, **options)).rows


def one(query, *records):
    """The values of the only column, the oldest event first."""
    return [next(iter(row.values()), None) for row in reversed(rows(query, *records))]


def test_nested_fields_and_lists_have_dots():
    """The example of "Fields in JSON logs"."""
    record = {
        "userIdentity": {"type": "IAMUser"},
        "requestParameters": {"instancesSet": {"items": [{"instanceId": "i-abcde123"}]}},
    }
    query = "fields userIdentity.type, requestParameters.instancesSet.items.0.instanceId as id"
    assert rows(query, record) == [{"userIdentity.type": "IAMUser", "id": "i-abcde123"}]


def test_system_fields():
    (row,) = rows("fields @timestamp, @message, @log", "plain", group="/a/b")
    assert row == {"@timestamp": "2025-11-20 12:00:00.000", "@message": "plain", "@log": "123456789012:/a/b"}


def test_without_fields_the_result_shows_time_and_message_of_the_newest_first():
    assert [row["@message"] for row in rows("filter @message like /o/", "one", "two", "six")] == ["two", "one"]


def test_a_record_has_200_fields():
    record = {f"f{number}": number for number in range(MOST_FIELDS + 1)}
    assert one("fields f199", record) == [199]
    with pytest.raises(Refused, match="first 200"):
        rows("fields f200", record)


@pytest.mark.parametrize(
    "condition, kept",
    [
        ("a = 1", [1]),
        ('a = "1"', [1]),
        ("a != 1", [2, 10]),
        ("a > 1 and a < 10", [2]),
        ("a >= 2 or a = 1", [1, 2, 10]),
        ("not (a = 2)", [1, 10]),
        ("a in [1, 10]", [1, 10]),
        ("a not in [1, 10]", [2]),
        ("a * 2 + 1 = 5", [2]),
        ("a ^ 3 = 8", [2]),
        ("a % 2 = 1", [1]),
        ("a - 1 = 9", [10]),
        ("a / 4 = 2.5", [10]),
        ("a like /^1/", [1, 10]),
        ("a =~ /^1/", [1, 10]),
        ("a not like /^1/", [2]),
        ('a like "0"', [10]),
        ("a = 1 or a = 2 and a = 10", [1]),
        ("(a = 1 or a = 2) and a != 2", [1]),
        ("ispresent(a) and not ispresent(b)", [1, 2, 10]),
    ],
)
def test_filters(condition, kept):
    assert one(f"fields a | filter {condition}", {"a": 1}, {"a": 2}, {"a": 10}) == kept


@pytest.mark.parametrize(
    "condition, kept",
    [
        ("f1 like /Exception/", ["anException"]),
        ("f1 =~ /Exception/", ["anException"]),
        ('f1 like "Exception"', ["anException"]),
        ("f1 like /(?i)Exception/", ["anException", "exception"]),
    ],
)
def test_the_page_s_regular_expressions(condition, kept):
    assert one(f"fields f1 | filter {condition}", {"f1": "anException"}, {"f1": "exception"}, {"f2": 1}) == kept


def test_null_is_absent():
    assert rows("fields a | filter ispresent(a)", {"a": None, "b": 1}, {"a": ""}) == [{"a": ""}]
    assert one("fields isempty(a) as e", {"a": None}, {"a": ""}, {"a": " "}) == [True, True, False]
    assert one("fields isblank(a) as e", {"a": None}, {"a": " "}, {"a": "x"}) == [True, True, False]
    assert one("fields coalesce(a, b) as first", {"b": 2}, {"a": 1, "b": 2}, {"c": 3}) == [2, 1, None]


@pytest.mark.parametrize(
    "expression, expected",
    [
        ('concat(a, "-", b)', "xyZfooxyZ-2"),
        ("strlen(a)", 9),
        ("toupper(a)", "XYZFOOXYZ"),
        ("tolower(a)", "xyzfooxyz"),
        ("substr(a, 3, 3)", "foo"),
        ("substr(a, 6)", "xyZ"),
        ('replace("foo", "o", "0")', "f00"),
        ('strcontains(a, "foo")', 1),
        ("abs(-b)", 2),
        ("ceil(b / 4)", 1),
        ("floor(b / 4)", 0),
        ("greatest(b, 5, 1)", 5),
        ("least(b, 5, 1)", 1),
        ("sqrt(b * 8)", 4),
        ("b / 0", None),
        ("datefloor(@timestamp, 1h)", "2025-11-20 12:00:00.000"),
        ("dateceil(@timestamp, 1h)", "2025-11-20 13:00:00.000"),
    ],
)
def test_functions(expression, expected):
    found = run(f"fields {expression} as x", [Event(START + 61_000, json.dumps({"a": "xyZfooxyZ", "b": 2}))])
    assert found.rows == ([{}] if expected is None else [{"x": expected}])


RECORDS = [
    {"code": "a", "n": 1, "price": "0.0000001"},
    {"code": "b", "n": 2, "price": "0.2"},
    {"code": "a", "n": 3, "price": "0.1"},
    {"n": 10},
]


def test_stats_by_a_field():
    query = """stats count(*) as all, count(price) as priced, sum(n) as total, avg(n), min(n) as least, max(n) as most,
        sum(price) as dollars by code | sort total desc"""
    assert rows(query, *RECORDS) == [
        {"all": 1, "priced": 0, "total": 10, "avg(n)": 10, "least": 10, "most": 10, "dollars": 0},
        {
            "code": "a",
            "all": 2,
            "priced": 2,
            "total": 4,
            "avg(n)": 2,
            "least": 1,
            "most": 3,
            "dollars": Decimal("0.1000001"),
        },
        {"code": "b", "all": 1, "priced": 1, "total": 2, "avg(n)": 2, "least": 2, "most": 2, "dollars": Decimal("0.2")},
    ]


def test_stats_of_nothing_is_one_row():
    assert rows("filter n > 99 | stats count(*) as all, sum(n) as total", *RECORDS) == [{"all": 0, "total": 0}]
    assert rows("filter n > 99 | stats count(*) as all by code", *RECORDS) == []


def test_percentiles_and_distinct_values():
    records = [{"n": number, "kind": number % 3} for number in range(1, 101)]
    query = "stats pct(n, 50) as p50, pct(n, 95) as p95, pct(n, 99) as p99, count_distinct(kind) as kinds, stddev(kind)"
    (row,) = rows(query, *records)
    assert (row["p50"], row["p95"], row["p99"], row["kinds"]) == (50, 95, 99, 3)
    assert float(row["stddev(kind)"]) == pytest.approx(0.8124, abs=1e-4)


def test_bins():
    found = rows("stats count(*) as all by bin(5m) | sort `bin(5m)`", *({"n": 1} for _ in range(12)), step=60_000)
    assert found == [
        {"bin(5m)": "2025-11-20 12:00:00.000", "all": 5},
        {"bin(5m)": "2025-11-20 12:05:00.000", "all": 5},
        {"bin(5m)": "2025-11-20 12:10:00.000", "all": 2},
    ]


def test_stats_of_stats():
    query = "stats sum(n) as total by code | stats max(total) as most, count(*) as groups"
    assert rows(query, *RECORDS) == [{"most": 10, "groups": 3}]


def test_earliest_and_latest():
    assert rows("stats earliest(n) as first, latest(n) as last", *RECORDS) == [{"first": 1, "last": 10}]


def test_sort_by_several_fields_and_limit():
    found = rows("fields code, n | filter ispresent(code) | sort code asc, n desc | limit 2", *RECORDS)
    assert [(row["code"], row["n"]) for row in found] == [("a", 3), ("a", 1)]
    assert [row["n"] for row in rows("fields n | sort n desc | limit 1", *RECORDS)] == [10]


def test_numbers_in_texts_are_sorted_as_numbers():
    assert one("fields p | sort p", {"p": "9"}, {"p": "10"}, {"p": "1"}) == ["10", "9", "1"]


def test_dedup_keeps_the_first():
    assert [row["n"] for row in rows("fields code, n | sort n asc | dedup code", *RECORDS)] == [1, 2, 10]


def test_display_replaces_fields():
    assert rows("fields n | filter n = 2 | display code, n * 2 as twice", *RECORDS) == [{"code": "b", "twice": 4}]


def test_the_page_s_examples_of_parse():
    message = "user=jo, method:GET, latency := 12"
    query = """parse @message "user=*, method:*, latency := *" as @user, @method, @latency
        | stats avg(@latency) by @method, @user"""
    assert rows(query, message) == [{"@method": "GET", "@user": "jo", "avg(@latency)": 12}]
    squid = "1318395387.234 some TCP_MISS/200 example.com:8080"
    expression = r"/(?<time>[0-9]{10}\.[0-9]{1,3}) .* (?<code>[A-Z_]+\/[0-9]{3}) (?<url>[a-zA-Z.]+:[0-9]{1,5})/"
    assert rows(f"parse @message {expression} | display time, code, url", squid) == [
        {"time": "1318395387.234", "code": "TCP_MISS/200", "url": "example.com:8080"}
    ]


def test_comments_and_upper_case():
    assert rows("# all of them\nSTATS COUNT(*) AS all # here\n", *RECORDS) == [{"all": 4}]


def test_source_selects_log_groups():
    both = events({"n": 1}, group="one") + events({"n": 2}, group="two")
    assert run("SOURCE 'two' | fields n", both).rows == [{"n": 2}]
    assert run("fields n", both).rows == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "fields",
        "fields a b",
        "pattern @message",
        "stats count(*) as n by a | unknown b",
        "stats total(n)",
        "stats sum(n) / count(*) as x",
        "filter a-b = 1 |",
        "filter n",
        "limit 0",
        "limit 10001",
        "stats count(*) by bin(1mo)",
        "stats pct(n)",
        "fields jsonParse(a)",
        "fields substr(a)",
        "parse @message 'a*b' as x, y",
        "filter code != 'a'",  # the last record has no code
        "filter not (code = 'a')",
        "filter done = 1",  # a JSON boolean
        "filter code > 'a'",
        "sort mixed",
    ],
)
def test_a_query_whose_answer_cannot_be_known_is_refused(query):
    with pytest.raises(Refused):
        rows(query, *RECORDS, {"done": True, "n": 0, "mixed": "x"}, {"mixed": 1, "n": 0})
