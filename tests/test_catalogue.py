"""Names that are refused before anything is spent, ARNs, other Regions, inference profiles, and models added to the catalogue table."""

import io
import shlex
import urllib.request
import zipfile
from collections import Counter
from contextlib import contextmanager

import pytest

from catalogue_files import Catalogue, read
from contract import check_error, check_succeeded
from sentry_client import SOMEBODY, UNREACHABLE, document, number, unique

COUNTS = {"input_tokens": 350, "output_tokens": 900}
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
UNLISTED = "writer.of-no-entry-v1:0"


@pytest.fixture(scope="module")
def catalogue(sentry):
    """Puts items into the catalogue table, and removes them afterwards."""
    written = []

    def put(entry, **fields):
        written.append(entry)
        sentry.catalogue.put_item(Item={"entry": entry, **fields})

    yield put
    for entry in written:
        sentry.catalogue.delete_item(Key={"entry": entry})


class Profiles:
    """The application inference profiles of a test. A call with the ARN of a source returns the ARN of a new profile."""

    def __init__(self, bedrock):
        self._bedrock = bedrock
        self.made = []

    def __call__(self, source):
        created = self._bedrock.create_inference_profile(
            inferenceProfileName=unique("e2e"), modelSource={"copyFrom": source}
        )
        self.made.append(created["inferenceProfileArn"])
        return self.made[-1]

    def delete(self, arn):
        self.made.remove(arn)
        self._bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)


@pytest.fixture
def profile(sentry):
    """Creates application inference profiles of a model or of a cross-Region profile through the Bedrock control plane."""
    profiles = Profiles(sentry.client("bedrock", sentry.bedrock_endpoint))
    yield profiles
    for arn in list(profiles.made):
        profiles.delete(arn)


def refused(sentry, model):
    """Returns the details and the message of the refusal of a model. Checks that neither the ledger nor Bedrock was called."""
    sent = document(model)
    before = sentry.calls()
    answer = sentry.ask(sent)
    details = check_error(answer, "UnknownModel", sent)
    assert details["path"] == "model"
    assert sentry.calls() == before
    assert not sentry.ledger_items(f"model#{model.rsplit('/', 1)[-1]}")
    return details, answer["error"]["message"]


# Names that are not models


@pytest.mark.local
def test_name_that_is_no_model(sentry):
    details, message = refused(sentry, "claude-99-imaginary")
    assert set(details) == {"path"}
    assert "alias" in message


@pytest.mark.local
@pytest.mark.parametrize(
    "name",
    [
        "claude-3-7-sonnet",
        "anthropic.claude-3-7-sonnet-20250219-v1:0",
        "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
        "command-r",
    ],
)
def test_retired_name_says_since_when_and_what_to_use(sentry, name):
    details, message = refused(sentry, name)
    assert details["retired"] and details["replacement"]
    assert details["replacement"] in message
    check_succeeded(sentry.ask(document(details["replacement"])))


@pytest.mark.local
def test_model_that_the_region_has_not_got(sentry):
    details, message = refused(sentry, "eu.anthropic.claude-haiku-4-5-20251001-v1:0")
    assert details["region"] == sentry.region and sentry.region in message
    assert "eu-*" in details["regions"]


# ARNs of Amazon


@pytest.mark.parametrize(
    "arn, model_id",
    [
        ("arn:aws:bedrock:{region}::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        (f"arn:aws:bedrock:{{region}}:{{account}}:inference-profile/{HAIKU}", HAIKU),
    ],
    ids=["of a foundation model", "of a cross-Region profile"],
)
def test_arn_of_amazon_is_called_as_it_is_and_shares_budget_and_price_of_its_id(sentry, arn, model_id):
    arn = arn.format(region=sentry.region, account=sentry.account)
    costs = []
    for name in (arn, model_id):
        sent = document(name, parameters={"max_tokens": 900}, **COUNTS)
        answer = check_succeeded(sentry.ask(sent), sent)
        assert answer["model"] == {"requested": name, "modelId": name, "modelMetric": model_id}
        assert answer["budget"][0]["scope"] == f"model#{model_id}"
        costs.append(answer["cost"])
    assert costs[0] == costs[1] and costs[0]["priced"]


# Other Regions


COMMON = read("sentry-models", "catalogue", "common.json")
# The forms of ids that can be called without a Region in the price's row.
# Source: Amazon Bedrock User Guide, "Supported Regions and models for inference profiles".
FORMS = {"eu-central-1": {"eu", "global", "bare"}, "us-gov-west-1": {"us-gov"}}
# At least so many aliases resolve. In November 2026 they are 107 and 32.
LEAST_RESOLVED = {"eu-central-1": 70, "us-gov-west-1": 20}


class Abroad(Catalogue):
    """The catalogue as it applies to calls from a Region of `FORMS`."""

    def is_here(self, form):
        return form in FORMS[self.region]

    def aliases(self):
        return [*COMMON["aliases"], *(alias for model in self.models.values() for alias in model.get("aliases", ()))]

    def expected(self, alias):
        """Returns the end of an alias, `resolved`, `retired` or `elsewhere`, and the id if it is resolved."""
        meant = COMMON["aliases"].get(alias, alias)
        name = self.heir(meant) if alias in COMMON["lasting"] else meant
        if self.has_ended(name):
            return "retired", None
        if self.named(name):
            found = self.callable(name)
        else:
            form, _, model = name.partition(".")
            found = name if self.has_form(model, form) else None
        return ("resolved", found) if found else ("elsewhere", None)


@contextmanager
def moved(sentry, region, folder):
    """Runs `Validate And Tag` as in another Region inside the context.

    Lambda itself sets `AWS_REGION`. So the function becomes a script that changes it and starts the real program. The Region gets
    a catalogue table without items.
    """
    function = sentry.functions.get_function(FunctionName=sentry.function_name("ValidateAndTagFunction"))
    with urllib.request.urlopen(function["Code"]["Location"], timeout=30) as location:
        package = zipfile.ZipFile(io.BytesIO(location.read()))
    program = folder / "bootstrap"
    program.write_bytes(package.read("bootstrap"))
    program.chmod(0o755)
    dynamodb = sentry.session.client("dynamodb", region_name=region, endpoint_url=sentry.endpoint)
    dynamodb.create_table(
        TableName=sentry.catalogue.name,
        AttributeDefinitions=sentry.catalogue.attribute_definitions,
        KeySchema=sentry.catalogue.key_schema,
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        script = f"#!/bin/sh\nAWS_REGION={region} exec {shlex.quote(str(program))}\n"
        with sentry.replaced("ValidateAndTagFunction", script.encode()):
            yield
    finally:
        dynamodb.delete_table(TableName=sentry.catalogue.name)


def end_of(answer, sent, region):
    """Returns the end of an alias as in `Abroad.expected`. Checks that a refusal has its reason."""
    if "modelId" in answer["model"]:
        check_error(answer, "BudgetExceeded", sent)
        return "resolved", answer["model"]["modelId"]
    details, message = check_error(answer, "UnknownModel", sent), answer["error"]["message"]
    if "retired" in details:
        assert details["replacement"] in message
        return "retired", None
    assert details["region"] == region and region in message and details["regions"]
    return "elsewhere", None


@pytest.mark.local
@pytest.mark.parametrize("region", FORMS)
def test_every_alias_resolves_or_is_refused_with_the_reason_in_another_region(sentry, region, tmp_path, say):
    """A limit of 0 denies the requests whose alias resolves, because the simulator is in the Region of the stack."""
    center, there = unique("e2e-region"), Abroad(region)
    sentry.set_limit(f"costCenter#{center}", {"requests": 0})
    sent = {alias: document(alias, tags={"applicationId": SOMEBODY, "costCenter": center}) for alias in there.aliases()}
    with moved(sentry, region, tmp_path):
        done = sentry.execute_all(sent)
    ends = {alias: end_of(done[alias]["output"], sent[alias], region) for alias in sent}
    wrong = {alias: (end, there.expected(alias)) for alias, end in ends.items() if end != there.expected(alias)}
    assert not wrong, wrong
    counts = Counter(end for end, _ in ends.values())
    say(f"{region}: {', '.join(f'{count} {end}' for end, count in sorted(counts.items()))}")
    assert len(ends) >= 120 and counts["resolved"] >= LEAST_RESOLVED[region]


# Application inference profiles


@pytest.mark.local
def test_profile_that_does_not_exist(sentry, profile):
    arn = profile("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0")
    profile.delete(arn)
    details, message = refused(sentry, arn)
    assert (details["modelId"], details["bedrockError"]) == (arn, "ResourceNotFoundException")
    assert "does not exist" in message


@pytest.mark.local
def test_profile_of_another_region(sentry):
    arn = f"arn:aws:bedrock:eu-west-1:{sentry.account}:application-inference-profile/abcdefghijkl"
    details, message = refused(sentry, arn)
    assert details["modelId"] == arn and "another Region" in message


@pytest.mark.local
def test_profile_that_cannot_be_looked_up_now_is_refused_for_now(sentry):
    arn, bare = sentry.profile_arn()
    sent = document(arn)
    with sentry.reconfigured("ValidateAndTagFunction", AWS_ENDPOINT_URL_BEDROCK=UNREACHABLE):
        answer = sentry.ask(sent)
    assert check_error(answer, "LedgerUnavailable", sent, unresolved=True) == {"reason": "ModelLookup"}
    assert sentry.calls(bare) == 0
    check_succeeded(sentry.ask(sent), sent)


@pytest.mark.local
@pytest.mark.parametrize(
    "source, usd",
    [
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "0.000237000"),
        (f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/{HAIKU}", "0.005335000"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{UNLISTED}", None),
    ],
    ids=["of a model", "of a cross-Region profile", "of an unpriced model"],
)
def test_profile_has_the_family_limits_and_price_of_its_model(sentry, profile, source, usd):
    arn = profile(source)
    sent = document(arn, parameters={"max_tokens": 900}, **COUNTS)
    answer = check_succeeded(sentry.ask(sent), sent)
    assert answer["model"] == {"requested": arn, "modelId": arn, "modelMetric": arn.rsplit("/", 1)[-1]}
    assert answer["cost"] == ({"priced": True, "usd": usd} if usd else {"priced": False})


@pytest.mark.local
def test_profile_of_a_model_that_cannot_honor_a_parameter_is_refused_by_name(sentry, profile):
    arn = profile("arn:aws:bedrock:us-east-1::foundation-model/qwen.qwen3-32b-v1:0")
    sent = document(arn, parameters={"top_k": 5})
    details = check_error(sentry.ask(sent), "InvalidRequest", sent)
    assert (details["path"], details["parameter"]) == ("prompt.parameters.top_k", "top_k")
    assert sentry.calls(arn.rsplit("/", 1)[-1]) == 0


# Models that administrators add


@pytest.mark.local
def test_added_model_is_served_at_its_price_and_within_its_limit(sentry, catalogue):
    model = f"writer.{unique('palmyra')}-v1:0"
    catalogue(
        model,
        outputLimit=1000,
        price={"input": "2", "output": "6"},
        priceSource="the offer of a test",
        defaults={"max_tokens": 950},
    )
    answer = check_succeeded(sentry.ask(document(model, **COUNTS)))
    assert answer["cost"] == {"priced": True, "usd": "0.006100000"}
    sent = document(model, parameters={"max_tokens": 1001})
    details = check_error(sentry.ask(sent), "InvalidRequest", sent)
    assert (details["path"], details["limit"]) == ("prompt.parameters.max_tokens", 1000)


@pytest.mark.local
def test_added_alias_means_its_model(sentry, catalogue):
    name = unique("team")
    catalogue(f"alias#{name}", modelId="amazon.nova-micro-v1:0")
    answer = check_succeeded(sentry.ask(document(name)))
    assert (answer["model"]["requested"], answer["model"]["modelId"]) == (name, "amazon.nova-micro-v1:0")


@pytest.mark.local
def test_item_of_an_older_version_may_say_that_it_is_called_through_converse(sentry, catalogue):
    model = f"anthropic.{unique('claude-next')}-v1:0"
    catalogue(model, transport="converse", price={"input": "3", "output": "15"}, priceSource="the offer of a test")
    answer = check_succeeded(sentry.ask(document(model, parameters={"max_tokens": 900}, **COUNTS)))
    assert answer["cost"]["usd"] == "0.014550000"


@pytest.mark.local
@pytest.mark.parametrize(
    "field, fields",
    [
        ("price.input", {"price": {"input": "cheap", "output": "6"}, "priceSource": "a test"}),
        ("outputLimit", {"outputLimit": number("1.5")}),
        ("family", {"family": "klaus"}),
        ("color", {"color": "blue"}),
        ("transport", {"transport": "invoke-model"}),
    ],
)
def test_item_that_cannot_be_understood_is_named_with_its_field(sentry, catalogue, field, fields):
    model = f"writer.{unique('palmyra')}-v1:0"
    catalogue(model, **fields)
    details, message = refused(sentry, model)
    assert (details["entry"], details["field"]) == (model, field)
    assert field in message


@pytest.mark.local
def test_while_the_table_cannot_be_read_no_price_is_known(sentry):
    """The items of the table override the bundled catalogue, so the price of any model may be different."""
    asked = [document(model, tags={"applicationId": "e2e-catalogue"}) for model in ("nova-lite", "team-unknown")]
    with sentry.reconfigured("ValidateAndTagFunction", AWS_ENDPOINT_URL_DYNAMODB=UNREACHABLE):
        for sent in asked:
            assert check_error(sentry.ask(sent), "LedgerUnavailable", sent, unresolved=True) == {
                "reason": "ModelLookup"
            }
    check_succeeded(sentry.ask(asked[0]), asked[0])
    check_error(sentry.ask(asked[1]), "UnknownModel", asked[1])
