"""The command `sentry` creates profiles and aliases, lists all of them, and changes the catalogue table."""

import csv
import http.client
import http.server
import io
import json
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from contract import check_succeeded
from denying_aws import denying
from sentry_client import document, unique

pytestmark = pytest.mark.local

LITE = "us.amazon.nova-lite-v1:0"
MANY = 250


@pytest.fixture(scope="module")
def bedrock(sentry):
    return sentry.client("bedrock", sentry.bedrock_endpoint)


@pytest.fixture
def clean(sentry, bedrock):
    """Removes the profiles and aliases that a test leaves."""

    def state():
        profiles = {each["inferenceProfileArn"] for each in all_profiles(bedrock)}
        return profiles, {item["entry"] for item in sentry.catalogue.scan()["Items"]}

    before = state()
    yield state
    profiles, entries = state()
    for arn in profiles - before[0]:
        bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    for entry in entries - before[1]:
        sentry.catalogue.delete_item(Key={"entry": entry})


def all_profiles(bedrock):
    pages = bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="APPLICATION")
    return [profile for page in pages for profile in page["inferenceProfileSummaries"]]


def as_json(command, *arguments):
    return json.loads(command("--output", "json", *arguments))


def test_cost_centers_are_models(sentry, command, clean):
    for center in ("sales", "services", "support"):
        alias = unique(center)
        made = as_json(
            command, "--yes", "profiles", "create", "--cost-center", center, "--model", "nova-lite", "--name", alias,
            "--alias", alias, "--environment", "test",
        )  # fmt: skip
        bare = made["arn"].rsplit("/", 1)[1]
        answer = check_succeeded(sentry.ask(sent := document(alias)), sent)
        assert (answer["model"]["modelId"], answer["model"]["modelMetric"]) == (made["arn"], bare)
        assert sentry.calls(bare) == 1
        shown = as_json(command, "profiles", "show", alias)
        assert (shown["model"], shown["aliases"]) == (LITE, alias)
        assert shown["tags"] == f"costCenter={center} environment=test"
        assert [as_json(command, "profiles", "show", key) for key in (bare, made["arn"], shown["name"])] == [shown] * 3
        refused = command("--yes", "profiles", "delete", alias, code=1)
        assert "--with-alias" in refused
        command("--yes", "profiles", "delete", bare, "--with-alias")
        assert "there is no profile" in command("profiles", "show", alias, code=1)


def test_the_name_of_a_cost_center_in_the_articles_can_mean_a_profile(sentry, command, clean):
    create = ("profiles", "create", "--cost-center", "sales", "--model", "nova-lite", "--alias", "sales")
    made = as_json(command, "--yes", *create)
    assert as_json(command, "models", "show", "sales")["id"] == made["arn"]
    command("--yes", "profiles", "delete", "sales", "--with-alias")
    assert as_json(command, "models", "show", "sales")["id"] == LITE


def test_a_refused_creation_leaves_nothing(command, clean):
    alias = unique("taken")
    create = ("profiles", "create", "--cost-center", "sales", "--model", "nova-lite")
    command("--yes", *create, "--name", alias, "--alias", alias)
    before = clean()
    assert "already" in command("--yes", *create, "--name", unique("other"), "--alias", alias, code=1)
    assert "already" in command("--yes", *create, "--name", alias, code=1)
    taken = command("--yes", *create, "--name", unique("other"), "--alias", "nova-lite", code=1)
    assert "name of the catalogue" in taken
    assert "no model that can be called" in command("--yes", *create[:-1], "no-such-model", code=1)
    assert "application inference profile" in command("--yes", *create[:-1], alias, code=1)
    assert "two separators" in command("--yes", *create, "--name", "a--b", code=2)
    assert "refuses" in command("--yes", *create, "--tag", "team=R&D", code=2)
    assert "KEY=VALUE" in command("--yes", *create, "--tag", "team", code=2)
    assert "Add --yes" in command(*create, "--name", unique("other"), code=2)
    assert "nothing was changed" in command.on_a_terminal(*create, "--name", unique("other"), typed="n\n", code=1)
    nowhere = replace(command, endpoint="http://127.0.0.1:9")
    assert "cannot be reached" in nowhere(*create, code=3)
    assert clean() == before


def test_tags_are_changed_and_a_profile_with_a_limit_stays(sentry, command, clean):
    name = unique("tagged")
    made = as_json(command, "--yes", "profiles", "create", "--cost-center", "sales", "--model", LITE, "--name", name)
    command("--yes", "profiles", "tag", name, "environment=test", "team=blue")
    assert "no tag" in command("--yes", "profiles", "untag", name, "color", code=1)
    command("--yes", "profiles", "untag", name, "team")
    assert as_json(command, "profiles", "show", name)["tags"] == "costCenter=sales environment=test"
    key = made["arn"].rsplit("/", 1)[1]
    sentry.set_limit(key, {"output": 300})
    try:
        assert key in command("--yes", "profiles", "delete", name, code=1)
        assert key in as_json(command, "profiles", "show", name)["limits"]
    finally:
        sentry.limits.delete_item(Key={"modelId": key})
    assert made["arn"] in command("--yes", "profiles", "delete", name)


def test_every_profile_is_listed_with_its_tags(command, bedrock, clean):
    center = unique("many")
    source = f"arn:aws:bedrock:us-east-1:{'0' * 12}:inference-profile/{LITE}"
    for number in range(MANY):
        tags = [{"key": "costCenter", "value": center}] if number else []
        bedrock.create_inference_profile(
            inferenceProfileName=f"{center}-{number}", modelSource={"copyFrom": source}, tags=tags
        )
    listed = as_json(command, "profiles", "list", "--cost-center", center)
    assert len(listed) == MANY - 1
    assert {row["model"] for row in listed} == {LITE}
    untagged = list(csv.DictReader(io.StringIO(command("--output", "csv", "profiles", "list", "--untagged"))))
    assert f"{center}-0" in {row["name"] for row in untagged}
    shown = command.on_a_terminal("profiles", "list", "--cost-center", center)
    table = [line for line in shown.splitlines() if not line.startswith("note:")]
    assert max(map(len, table)) <= 80 and f"{center}-1 " in shown


def test_entries_of_the_catalogue_table(command, clean):
    alias = unique("fast")
    assert "names no model" in command("--yes", "models", "add", "--alias", alias, "--target", "us.no.such", code=1)
    taken = command("--yes", "models", "add", "--alias", "nova-lite", "--target", LITE, code=1)
    assert "name of the catalogue" in taken
    command("--yes", "models", "add", "--alias", alias, "--target", LITE)
    assert "Nothing was changed" not in command("--yes", "models", "add", "--alias", alias, "--target", LITE)
    assert alias in as_json(command, "models", "show", alias)["aliases"].split()
    names = {row["name"]: row for row in as_json(command, "models", "list")}
    assert names[f"alias#{alias}"]["id"] == LITE and names["nova-lite"]["input"]
    misspelled = json.dumps({"entry": LITE, "contextWindo": 1})
    assert "contextWindo" in command("--yes", "models", "add", "--json", misspelled, code=2)
    shown = command.on_a_terminal("models", "list")
    assert max(map(len, shown.splitlines())) <= 80
    rows = list(csv.DictReader(io.StringIO(command("--output", "csv", "models", "list"))))
    assert {row["name"] for row in rows} == set(names)
    command("--yes", "models", "rm", alias)
    assert "no entry" in command("--yes", "models", "rm", alias, code=1)


def test_a_bad_entry_is_an_error_of_the_check(sentry, command, clean):
    command("models", "check")
    broken, gone = unique("broken"), unique("gone")
    sentry.catalogue.put_item(Item={"entry": f"alias#{broken}", "target": LITE})
    sentry.catalogue.put_item(Item={"entry": f"alias#{gone}", "modelId": "us.no.such"})
    assert "2 entries" in command("models", "check", code=1)
    (row,) = [row for row in as_json(command, "models", "list") if row["name"] == f"alias#{broken}"]
    assert row["note"].startswith("INVALID")


@contextmanager
def without_permission(bedrock_endpoint, *calls):
    """A Bedrock that refuses calls which begin with one of `calls`, such as `GET /inference-profiles`, and forwards the others. Gives
    its URL and the calls that it saw.
    """
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def forward(self):
            seen.append(f"{self.command} {self.path}")
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if seen[-1].startswith(calls):
                status, body, headers = 403, b'{"message": "no"}', {"x-amzn-errortype": "AccessDeniedException"}
            else:
                connection = http.client.HTTPConnection(bedrock_endpoint.removeprefix("http://"))
                connection.request(self.command, self.path, sent, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                status, body, headers = answer.status, answer.read(), {}
                connection.close()
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = forward

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()


def test_a_missing_permission_is_named(sentry, command, clean):
    before = clean()
    create = ("--yes", "profiles", "create", "--cost-center", "sales", "--model", "nova-lite")
    with without_permission(sentry.bedrock_endpoint, "GET /inference-profiles", "POST /inference-profiles") as (url, _):
        for arguments in (("profiles", "list"), ("profiles", "show", "sales"), create):
            text = command(*arguments, code=1, AWS_ENDPOINT_URL_BEDROCK=url)
            assert "AccessDeniedException" in text and "Ask for the permission" in text
    assert clean() == before


# The steps of a creation after it was asked for. The last one is the alias, which is an item of DynamoDB.
STEPS = ["POST /inference-profiles", "GET /inference-profiles/arn", "POST /listTagsForResource", "PutItem"]


@pytest.mark.parametrize("step", STEPS)
def test_a_creation_that_fails_at_a_step_leaves_nothing(sentry, command, clean, step):
    before, name = clean(), unique("undone")
    create = ("--yes", "profiles", "create", "--cost-center", "sales", "--model", "nova-lite", "--name", name)
    with (
        without_permission(sentry.bedrock_endpoint, step) as (url, seen),
        denying(command, lambda operation: operation == f"DynamoDB_20120810.{step}") as denied,
    ):
        text = denied(*create, "--alias", name, code=1, AWS_ENDPOINT_URL_BEDROCK=url)
    assert "AccessDenied" in text and ("nothing was changed" in text or "no alias was written" in text)
    assert "POST /inference-profiles" in seen
    was_created = step != STEPS[0]
    assert any(call.startswith("DELETE /inference-profiles/") for call in seen) == was_created
    assert clean() == before


@pytest.mark.parametrize("group", ["profiles", "models"])
def test_the_help_is_enough(command, group):
    assert "Usage" in command(group, "--help")
    assert "unexpected argument" in command(group, "list", "--no-such-flag", code=2)
