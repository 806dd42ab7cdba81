//! The calls that a run makes.

use std::sync::{Arc, Mutex};

use aws_sdk_bedrock::operation::list_inference_profiles::ListInferenceProfilesOutput;
use aws_sdk_bedrock::types::{
    InferenceProfileModel, InferenceProfileStatus, InferenceProfileSummary, InferenceProfileType,
};
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_resourcegroupstagging::error::ErrorMetadata;
use aws_sdk_resourcegroupstagging::operation::get_resources::{GetResourcesError, GetResourcesOutput};
use aws_sdk_resourcegroupstagging::types::{ResourceTagMapping, Tag};
use aws_smithy_mocks::{Rule, RuleMode, mock};
use chrono::TimeDelta;
use sentry_profiles::{Directory, Stored, TaggedProfile};
use test_support::{at, mock_client};

use super::*;

const ARN: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/";

fn now() -> DateTime<Utc> {
    at("2026-11-27T12:00:00Z")
}

/// Two pages of profiles: one per page, and one that the tags do not know.
fn lists() -> Vec<Rule> {
    let summary = |id: &str, model: &str| {
        let model =
            InferenceProfileModel::builder().model_arn(format!("arn:aws:bedrock:us-east-1::foundation-model/{model}"));
        InferenceProfileSummary::builder()
            .inference_profile_name(id)
            .inference_profile_arn(format!("{ARN}{id}"))
            .inference_profile_id(id)
            .models(model.build())
            .status(InferenceProfileStatus::Active)
            .r#type(InferenceProfileType::Application)
            .build()
            .unwrap()
    };
    let page = |token: Option<&'static str>, next: Option<&'static str>, profiles: Vec<InferenceProfileSummary>| {
        mock!(aws_sdk_bedrock::Client::list_inference_profiles)
            .match_requests(move |list| {
                list.next_token() == token && list.type_equals() == Some(&InferenceProfileType::Application)
            })
            .then_output(move || {
                let output = ListInferenceProfilesOutput::builder().set_next_token(next.map(str::to_owned));
                output.set_inference_profile_summaries(Some(profiles.clone())).build()
            })
    };
    vec![
        page(None, Some("2"), vec![summary("sales", "nova"), summary("untagged", "nova")]),
        page(Some("2"), None, vec![summary("new", "nova"), summary("test", "claude")]),
    ]
}

/// A short page, an empty page, and a last page with a deleted profile and one whose tags were removed.
fn tags() -> Vec<Rule> {
    let tagged = |id: &str, tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build().unwrap());
        ResourceTagMapping::builder().resource_arn(format!("{ARN}{id}")).set_tags(Some(tags.collect())).build()
    };
    let page = |token: Option<&'static str>, next: &'static str, resources: Vec<ResourceTagMapping>| {
        mock!(aws_sdk_resourcegroupstagging::Client::get_resources)
            .match_requests(move |get| {
                get.pagination_token() == token
                    && get.resource_type_filters() == ["bedrock:application-inference-profile"]
            })
            .then_output(move || {
                let output = GetResourcesOutput::builder().pagination_token(next);
                output.set_resource_tag_mapping_list(Some(resources.clone())).build()
            })
    };
    vec![
        page(None, "2", vec![tagged("sales", &[("costCenter", "sales"), ("team", "a")])]),
        page(Some("2"), "3", vec![]),
        page(
            Some("3"),
            "",
            vec![
                tagged("deleted", &[("costCenter", "sales")]),
                tagged("untagged", &[]),
                tagged("test", &[("environment", "test"), ("applicationId", "shop")]),
            ],
        ),
    ]
}

/// The ledger table: keeps what is written to the item.
fn table(stored: &Arc<Mutex<Option<Stored>>>, as_of: Option<DateTime<Utc>>) -> Vec<Rule> {
    let kept = Arc::clone(stored);
    let writes = mock!(aws_sdk_dynamodb::Client::update_item).then_compute_output(move |update| {
        let values = update.expression_attribute_values().unwrap();
        let packed = serde_json_string(values[":profiles"].as_s().unwrap());
        let as_of = values[":as_of"].as_n().unwrap().parse().unwrap();
        let profiles: Vec<TaggedProfile> = packed.open().unwrap();
        *kept.lock().unwrap() = Some(Stored { profiles, as_of: DateTime::from_timestamp_millis(as_of).unwrap() });
        UpdateItemOutput::builder().build()
    });
    let reads = mock!(aws_sdk_dynamodb::Client::get_item).then_output(move || {
        let Some(as_of) = as_of else { return GetItemOutput::builder().build() };
        let none: Vec<TaggedProfile> = Vec::new();
        let packed = sentry_contract::Sealed::new(&none).unwrap();
        let packed = serde_json::to_value(packed).unwrap().as_str().unwrap().to_owned();
        GetItemOutput::builder()
            .item("profiles", AttributeValue::S(packed))
            .item("asOf", AttributeValue::N(as_of.timestamp_millis().to_string()))
            .build()
    });
    vec![writes, reads]
}

fn serde_json_string(text: &str) -> sentry_contract::Sealed {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).unwrap()
}

fn publishes(ages: &Arc<Mutex<Vec<f64>>>) -> Rule {
    let ages = Arc::clone(ages);
    mock!(Client::put_metric_data).then_compute_output(move |put| {
        let [datum] = put.metric_data() else { panic!("one datum") };
        assert_eq!((put.namespace(), datum.metric_name()), (Some("GenAIRateLimiting"), Some("ProfileListAge")));
        assert_eq!(datum.unit(), Some(&StandardUnit::Seconds));
        ages.lock().unwrap().push(datum.value().unwrap());
        PutMetricDataOutput::builder().build()
    })
}

struct Run {
    outcome: Result<Report, Failure>,
    stored: Option<Stored>,
    ages: Vec<f64>,
}

async fn run(tags: Vec<Rule>, as_of: Option<DateTime<Utc>>) -> Run {
    let (stored, ages) = (Arc::default(), Arc::default());
    let (lists, table, publishes) = (lists(), table(&stored, as_of), publishes(&ages));
    let bedrock = mock_client!(aws_sdk_bedrock, RuleMode::MatchAny, &lists.iter().collect::<Vec<_>>());
    let tagging = mock_client!(aws_sdk_resourcegroupstagging, RuleMode::MatchAny, &tags.iter().collect::<Vec<_>>());
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &table.iter().collect::<Vec<_>>());
    let metrics = mock_client!(aws_sdk_cloudwatch, RuleMode::MatchAny, &[&publishes]);
    let shared = SharedProfiles::new(dynamodb, "ledger".to_owned());
    let outcome = IndexProfiles::new(Listing::Tags(Directory::new(bedrock, tagging)), shared, metrics).run(now).await;
    let (stored, ages) = (stored.lock().unwrap().clone(), ages.lock().unwrap().clone());
    Run { outcome, stored, ages }
}

#[tokio::test]
async fn all_pages_are_joined_and_stored() {
    let run = run(tags(), None).await;
    assert_eq!(run.outcome.unwrap(), Report { profiles: 2 });
    let profile = |id: &str, model: &str, values: [Option<&str>; 3]| TaggedProfile {
        arn: format!("{ARN}{id}"),
        model: model.to_owned(),
        values: values.map(|value| value.map(str::to_owned)),
    };
    let expected = vec![
        profile("sales", "nova", [None, Some("sales"), None]),
        profile("test", "claude", [Some("shop"), None, Some("test")]),
    ];
    assert_eq!(run.stored, Some(Stored { profiles: expected, as_of: now() }));
    assert_eq!(run.ages, [0.0]);
}

#[tokio::test]
async fn a_failed_listing_keeps_the_stored_list_and_publishes_its_age() {
    let refused = || {
        let refuses = || GetResourcesError::generic(ErrorMetadata::builder().code("AccessDeniedException").build());
        vec![mock!(aws_sdk_resourcegroupstagging::Client::get_resources).then_error(refuses)]
    };
    let failed = run(refused(), Some(now() - TimeDelta::seconds(90))).await;
    assert_eq!(failed.outcome.unwrap_err().name(), "LedgerUnavailable");
    assert_eq!((failed.stored, failed.ages), (None, vec![90.0]));
    // Nothing was stored yet, so there is no age.
    assert_eq!(run(refused(), None).await.ages, Vec::<f64>::new());
}
