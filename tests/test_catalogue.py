"""Names that are refused before anything is spent, inference profiles, and models added to the catalogue table."""

import pytest

from contract import check_error, check_succeeded
from sentry_client import UNREACHABLE, document, number, unique

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
