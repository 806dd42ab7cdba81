"""Every kind of audit record has the documented form, and has the figures of the answer."""

import json
import re
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from audit_record import ROOT, SCHEMA, VALIDATOR, problems, records
from contract import check_error, check_succeeded
from sentry_client import document, unique

SNAPSHOTS = sorted((ROOT / "crates/fn-emit-metrics/src/snapshots").glob("fn_emit_metrics__audit__tests__*.snap"))


def snapshot(path):
    return json.loads(path.read_text(encoding="utf-8").split("---\n", 2)[2])


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert len(SNAPSHOTS) >= 5


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem.rsplit("__", 1)[1])
def test_a_record_of_the_function_has_the_documented_form(path):
    assert not problems(snapshot(path))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"cost_usd": 0.0000792},
        {"input_tokens": -1},
        {"priced": False},
        {"prompt": "text"},
        {"steps_ms": {}},
        {"usage": "nothing"},
        {"degraded": "fallback"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_schema_refuses_what_is_wrong(change):
    (answered,) = [snapshot(path) for path in SNAPSHOTS if path.stem.endswith("__answered")]
    assert VALIDATOR.is_valid(answered)
    assert problems({**answered, **change})


def test_the_document_names_every_field():
    text = (ROOT / "docs/AUDIT.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    steps = SCHEMA["properties"]["steps_ms"]["properties"]
    assert not (SCHEMA["properties"].keys() | steps.keys()) - named


def record_of(sentry, answer):
    """Waits for the audit record of an answer."""
    group = sentry.resources("AWS::Logs::LogGroup")["EmitMetricsLogGroup"]
    identity = answer["tags"]["requestId"]

    deadline = time.monotonic() + 30
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        time.sleep(1)
        # The local AWS sometimes stores the last lines of an invocation only with the next one.
        sentry.functions.invoke(FunctionName=sentry.function_name("EmitMetricsFunction"), Payload='{"Records": []}')
        written = records(sentry.log_events([group]))
        found = [each for each in written if each["tags"].get("requestId") == identity]
    (record,) = found
    assert not problems(record)
    return record


@pytest.mark.local
def test_the_record_has_the_figures_of_the_answer(sentry):
    center = unique("e2e-audit")
    sentry.set_limit(f"costCenter#{center}", {"output": 1_000})
    tags = {"applicationId": center, "costCenter": center}
    sent = document("nova-lite", tags=tags, input_tokens=21, output_tokens=143, parameters={"max_tokens": 200})
    answer = check_succeeded(sentry.ask(sent), sent)
    record = record_of(sentry, answer)
    assert (record["usage"], record["priced"], record["price_source"]) == ("known", True, "catalogue")
    assert record["cost_usd"] == answer["cost"]["usd"]
    assert (record["input_tokens"], record["output_tokens"]) == (21, 143)
    assert record["budget"] == answer["budget"] and f"costCenter#{center}" in {
        entry["scope"] for entry in record["budget"]
    }
    steps = record["steps_ms"]
    assert set(steps) == {"validate", "gather", "reserve", "model", "settle", "decision", "total"}
    assert steps["decision"] == steps["validate"] + steps["gather"] + steps["reserve"]
    assert steps["decision"] + steps["model"] + steps["settle"] == pytest.approx(steps["total"], abs=1)
    assert sentry.metric_total("CostUsd", **sentry.dimensions(answer)) == pytest.approx(float(answer["cost"]["usd"]))
    assert sentry.metric_total("BudgetUsedPercent", Scope=f"costCenter#{center}") == pytest.approx(14.3)
    assert sentry.metric_total("ModelLatency", ModelId=answer["model"]["modelId"]) >= steps["model"]
    for step in ("validate", "gather", "reserve", "model", "settle"):
        assert sentry.metric_total("StepLatency", Step=step) >= steps[step]
    assert sentry.metric_total("DecisionLatency") >= steps["decision"]

    denied = sentry.ask(document("nova-lite", tags=tags, parameters={"max_tokens": 2_000}))
    check_error(denied, "BudgetExceeded")
    record = record_of(sentry, denied)
    assert (record["usage"], record["budget"]) == ("nothing", denied["budget"])
    assert set(record["steps_ms"]) == {"validate", "gather", "reserve", "decision", "total"}


@pytest.mark.local
def test_more_applications_than_the_ceiling_are_other_in_the_metrics(sentry):
    """The list of kept values is in DynamoDB. The messages go directly to the function, without the workflow."""
    center, model = unique("e2e-ceiling"), unique("ceiling")
    # No other test has values in this month. The local AWS accepts metrics of the future.
    month = "2031-05"
    bodies = [
        {
            "executionId": f"{center}-{number}",
            "outcome": "Denied",
            "code": "BudgetExceeded",
            "tags": {"applicationId": f"{center}-{number}", "costCenter": center, "timestamp": f"{month}-01T05:00:00Z"},
            "model": {"requested": model, "modelId": model, "modelMetric": model},
        }
        for number in range(12)
    ]
    name = sentry.function_name("EmitMetricsFunction")
    sentry.forget_metric_values(month)
    with sentry.reconfigured("EmitMetricsFunction", SENTRY_METRIC_VALUES="5"):
        for half in (bodies[:6], bodies[6:]):
            messages = [{"messageId": body["executionId"], "body": json.dumps(body)} for body in half]
            answer = sentry.functions.invoke(FunctionName=name, Payload=json.dumps({"Records": messages}))
            assert json.load(answer["Payload"]) == {"batchItemFailures": []}
    shown = sorted(value for value in sentry.metric_applications(CostCenter=center))
    assert shown == [f"{center}-{number}" for number in range(5)] + ["other"]
    for number in range(12):
        assert sentry.history(f"application#{center}-{number}", requests=1)["requests"] == 1
