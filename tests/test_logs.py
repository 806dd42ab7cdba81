"""No log contains the text of a prompt or of an answer. Runs last, and searches for all texts of the run."""

from pathlib import Path

import pytest

from audit_record import problems, records
from contract import check_error, check_succeeded
from sentry_client import CANARY, UNREACHABLE, document, text

SHOWN = 60
PIECE = 40


@pytest.fixture(scope="module")
def texts(sentry):
    """Returns the texts that no log may contain: the canary, and pieces of every answer.

    It first produces every kind of outcome, so it does not depend on the tests of other files.
    """
    check_succeeded(sentry.ask(document("nova-lite")))
    check_succeeded(sentry.ask(document("claude-haiku-4-5")))
    check_error(sentry.ask({**document(), "unknown": CANARY}), "InvalidRequest")
    check_error(sentry.ask(document(messages=[{"role": "robot", "content": text()}])), "InvalidRequest")
    check_error(sentry.ask(document("not-a-model")), "UnknownModel")
    if sentry.bedrock_endpoint:
        for fault in ("validation", "malformed", "missing-usage", "hang", "close", "throttling"):
            for model in ("nova-lite", "claude-haiku-4-5"):
                assert sentry.ask(document(model, fault=fault))["outcome"] == "InvocationFailed"
        check_error(sentry.ask(document(output_bytes=400_000)), "OutputTooLarge")
        with sentry.reconfigured("FetchUsageFunction", AWS_ENDPOINT_URL_CLOUDWATCH=UNREACHABLE):
            check_error(sentry.ask(document()), "UsageUnavailable")
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"input": 0})
    check_error(sentry.ask(document(arn)), "BudgetExceeded")
    pieces = {CANARY}
    for answer in sentry.answer_texts:
        line = max(answer.splitlines(), key=len)
        pieces |= {line[:PIECE], line[len(line) // 2 :][:PIECE]}
    return {piece for piece in pieces if len(piece) >= 12}


def leaks(line, texts):
    return next((piece for piece in texts if piece in line), None)


def test_something_was_said(sentry, texts):
    assert CANARY in texts
    assert len(sentry.answer_texts) >= 2


def test_no_text_in_cloudwatch_logs(sentry, texts):
    if sentry.local:
        groups = [
            group["logGroupName"]
            for page in sentry.logs.get_paginator("describe_log_groups").paginate()
            for group in page["logGroups"]
        ]
    else:
        groups = list(sentry.resources("AWS::Logs::LogGroup").values())
    events, found = 0, []
    for group, message in sentry.log_events(groups):
        events += 1
        if (piece := leaks(message, texts)) is not None:
            found.append(f"{group}: …{message[max(0, message.index(piece) - SHOWN) :][: 2 * SHOWN]}…")
    assert groups and events, "there are no logs to search"
    assert not found, "\n".join(found[:10])


def is_log(path):
    """`True` if a file contains text. The directory may also contain built functions."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(8192)
    return bool(start) and b"\0" not in start


@pytest.mark.local
def test_no_text_in_the_log_files(request, sentry, texts):
    directory = request.config.getoption("--log-dir")
    if directory is None:
        pytest.skip("no --log-dir")
    report = request.config.getoption("xmlpath")
    files = [
        path
        for path in Path(directory).rglob("*")
        if is_log(path) and (report is None or path.resolve() != Path(report).resolve())
    ]
    found = []
    for path in files:
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if (piece := leaks(line, texts)) is not None:
                found.append(f"{path}:{number}: …{line[max(0, line.index(piece) - SHOWN) :][: 2 * SHOWN]}…")
    assert files, f"there are no logs in {directory}"
    assert not found, "\n".join(found[:10])


def test_every_audit_record_of_the_run_has_the_documented_form(sentry, texts):
    group = sentry.resources("AWS::Logs::LogGroup")["EmitMetricsLogGroup"]
    written = records(sentry.log_events([group]))
    assert {record["outcome"] for record in written} >= {"Succeeded", "Denied"}
    found = [(record["tags"].get("requestId"), problem) for record in written for problem in problems(record)]
    assert not found, found[:10]
