//! Requests with the profiles of a stored list.

use std::time::Instant;

use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_dynamodb::types::error::ResourceNotFoundException;
use aws_smithy_mocks::{Rule, RuleMode, mock};
use sentry_contract::Sealed;
use sentry_contract::states::Validated;
use sentry_profiles::{Directory, Listing, SharedProfiles};
use serde_json::Value;
use serde_json::value::to_raw_value;
use test_support::{at, mock_client};
use uuid::Uuid;

use super::*;
use crate::resolve::tests::{Aws, resolver};
use crate::validate_and_tag;

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOW: &str = "2026-11-21T05:00:00Z";

fn arn(id: &str) -> String {
    format!("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/{id}")
}

fn profile(id: &str, model: &str, values: Values<&str>) -> TaggedProfile {
    TaggedProfile { arn: arn(id), model: model.to_owned(), values: values.map(|value| value.map(str::to_owned)) }
}

/// The ledger table with a stored list.
fn stored(profiles: &[TaggedProfile]) -> Rule {
    let packed = serde_json::to_value(Sealed::new(&profiles).unwrap()).unwrap().as_str().unwrap().to_owned();
    mock!(aws_sdk_dynamodb::Client::get_item).then_output(move || {
        let as_of = N(at(NOW).timestamp_millis().to_string());
        GetItemOutput::builder().item("profiles", S(packed.clone())).item("asOf", as_of).build()
    })
}

async fn validate(policy: ProfilePolicy, table: Rule, aws: &Aws, document: &Value) -> Value {
    let bedrock = mock_client!(aws_sdk_bedrock, RuleMode::MatchAny, &[]);
    let tagging = mock_client!(aws_sdk_resourcegroupstagging, RuleMode::MatchAny, &[]);
    let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&table]);
    let shared = SharedProfiles::new(dynamodb, "ledger".to_owned());
    let index = ProfileIndex::new(shared, Listing::Tags(Directory::new(bedrock, tagging)));
    let resolver = resolver(aws).with_profiles(ProfilesByTags::new(policy, index));
    let document = to_raw_value(document).unwrap();
    let validated = validate_and_tag(&document, &resolver, at(NOW), Instant::now(), Uuid::nil()).await;
    if let Validated::Valid { .. } = validated {
        return serde_json::to_value(&validated).unwrap()["request"].clone();
    }
    serde_json::to_value(&validated).unwrap()
}

fn request(model: &str, tags: &Value) -> Value {
    json!({"model": model, "prompt": {"messages": [{"role": "user", "content": "Explain."}]}, "tags": tags})
}

fn sales() -> Vec<TaggedProfile> {
    vec![
        profile("sales", HAIKU, [None, Some("sales"), None]),
        profile("sonnet-shop", SONNET, [Some("shop"), None, None]),
    ]
}

/// An account in which each profile is for Claude Haiku 4.5.
fn haiku_behind() -> Aws {
    let in_region =
        |region| format!("arn:aws:bedrock:{region}::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0");
    Aws::with_profile_of(&[&in_region("us-east-1"), &in_region("us-west-2")])
}

#[tokio::test]
async fn a_request_by_model_goes_through_the_profile_with_its_tags() {
    let tags = json!({"applicationId": "crm", "costCenter": "Sales"});
    let document = request("claude-haiku-4-5", &tags);
    for policy in [ProfilePolicy::Preferred, ProfilePolicy::Required] {
        let found = validate(policy, stored(&sales()), &Aws::empty(), &document).await;
        let model = &found["model"];
        assert_eq!(
            (&model["modelId"], &model["modelMetric"], &found["tags"]["modelMetric"]),
            (&json!(arn("sales")), &json!("sales"), &json!("sales"))
        );
        assert_eq!(model["requested"], "claude-haiku-4-5");
        assert_eq!(model["price"]["input"], "1.10");
        assert_eq!(found["tags"]["costCenter"], "Sales");
    }
}

#[tokio::test]
async fn a_fallback_goes_through_its_own_profile() {
    let tags = json!({"applicationId": "shop", "costCenter": "sales"});
    let found =
        validate(ProfilePolicy::Required, stored(&sales()), &Aws::empty(), &request("claude-sonnet-4-5", &tags)).await;
    assert_eq!(found["model"]["modelId"], arn("sonnet-shop"));
    assert_eq!(found["fallback"]["model"]["modelId"], arn("sales"));
    // Without a profile, the fallback is left out if one is required.
    let tags = json!({"applicationId": "shop"});
    let document = request("claude-sonnet-4-5", &tags);
    let found = validate(ProfilePolicy::Required, stored(&sales()), &Aws::empty(), &document).await;
    assert_eq!(found["fallback"], Value::Null);
    let found = validate(ProfilePolicy::Preferred, stored(&sales()), &Aws::empty(), &document).await;
    assert_eq!(found["fallback"]["model"]["modelId"], HAIKU);
}

#[tokio::test]
async fn a_named_profile_gives_the_tags_that_the_request_does_not_have() {
    let profiles = [profile("sales", HAIKU, [None, Some("sales"), Some("prod")])];
    let document = request(&arn("sales"), &json!({"applicationId": "crm", "environment": "Prod"}));
    let found = validate(ProfilePolicy::Required, stored(&profiles), &haiku_behind(), &document).await;
    assert_eq!(found["model"]["modelId"], arn("sales"));
    assert_eq!((&found["tags"]["costCenter"], &found["tags"]["environment"]), (&json!("sales"), &json!("Prod")));
    // A profile without tags, or a new one, is called as it is.
    let document = request(&arn("new"), &json!({"applicationId": "crm"}));
    let found = validate(ProfilePolicy::Required, stored(&profiles), &haiku_behind(), &document).await;
    assert_eq!((&found["model"]["modelId"], &found["tags"]["costCenter"]), (&json!(arn("new")), &Value::Null));
}

#[tokio::test]
async fn a_tag_that_contradicts_the_named_profile_is_refused_by_its_path() {
    let document = request(&arn("sales"), &json!({"applicationId": "crm", "costCenter": "marketing"}));
    let refused = validate(ProfilePolicy::Preferred, stored(&sales()), &haiku_behind(), &document).await;
    let error = &refused["answer"]["error"];
    assert_eq!((&error["code"], &error["details"]["path"]), (&json!("InvalidRequest"), &json!("tags.costCenter")));
    assert_eq!(error["details"]["expected"], "sales");
}

#[tokio::test]
async fn without_a_profile_a_request_is_refused_only_if_one_is_required() {
    let document = request("claude-haiku-4-5", &json!({"applicationId": "crm", "costCenter": "support"}));
    let found = validate(ProfilePolicy::Preferred, stored(&sales()), &Aws::empty(), &document).await;
    assert_eq!(found["model"]["modelId"], HAIKU);
    let refused = validate(ProfilePolicy::Required, stored(&sales()), &Aws::empty(), &document).await;
    let error = &refused["answer"]["error"];
    assert_eq!((&error["code"], &error["details"]["path"]), (&json!("UnknownModel"), &json!("model")));
    assert!(error["message"].as_str().unwrap().contains("sentry profiles create"), "{error}");
}

#[tokio::test]
async fn two_profiles_that_fit_are_an_error_that_names_both() {
    let mut profiles = sales();
    profiles.push(profile("other", HAIKU, [Some("crm"), None, None]));
    let document = request("claude-haiku-4-5", &json!({"applicationId": "crm", "costCenter": "sales"}));
    for policy in [ProfilePolicy::Preferred, ProfilePolicy::Required] {
        let refused = validate(policy, stored(&profiles), &Aws::empty(), &document).await;
        let error = &refused["answer"]["error"];
        assert_eq!(error["code"], "UnknownModel");
        assert_eq!(error["details"]["profiles"], json!([arn("other"), arn("sales")]));
        for named in ["other", "sales"] {
            assert!(error["message"].as_str().unwrap().contains(&arn(named)), "{error}");
        }
    }
}

#[tokio::test]
async fn unknown_profiles_deny_the_request() {
    let unknown = mock!(aws_sdk_dynamodb::Client::get_item)
        .then_error(|| GetItemError::ResourceNotFoundException(ResourceNotFoundException::builder().build()));
    let document = request("claude-haiku-4-5", &json!({"applicationId": "crm"}));
    let denied = validate(ProfilePolicy::Preferred, unknown, &Aws::empty(), &document).await;
    let answer = &denied["answer"];
    assert_eq!((&answer["outcome"], &answer["error"]["code"]), (&json!("Denied"), &json!("LedgerUnavailable")));
    assert_eq!(answer["error"]["retryable"], true);
}

#[test]
fn the_parameter_has_three_values() {
    assert_eq!("off".parse(), Ok(PolicyParameter(None)));
    assert_eq!("preferred".parse(), Ok(PolicyParameter(Some(ProfilePolicy::Preferred))));
    assert_eq!("required".parse(), Ok(PolicyParameter(Some(ProfilePolicy::Required))));
    assert!("Required".parse::<PolicyParameter>().is_err());
}
