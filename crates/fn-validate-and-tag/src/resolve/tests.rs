//! Look-ups: their number, their answers and the results.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_bedrock::operation::get_inference_profile::{GetInferenceProfileError, GetInferenceProfileOutput};
use aws_sdk_bedrock::types::error::{AccessDeniedException, ResourceNotFoundException, ThrottlingException};
use aws_sdk_bedrock::types::{InferenceProfileModel, InferenceProfileStatus, InferenceProfileType};
use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::AttributeValue::{M, N, S};
use aws_sdk_dynamodb::types::error::ProvisionedThroughputExceededException;
use aws_smithy_mocks::{Rule, RuleMode, mock};
use sentry_contract::request::{Family, PriceSource};
use test_support::mock_client;

use super::*;

const ARN: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";
const REGION: &str = "us-east-1";

/// A day on which every model of these tests can be called.
fn today() -> NaiveDate {
    "2026-11-21".parse().unwrap()
}

/// The answers of DynamoDB and Bedrock.
pub struct Aws {
    table: Rule,
    profiles: Rule,
    reads: Arc<AtomicUsize>,
}

impl Aws {
    /// An empty table, and no inference profiles.
    pub fn empty() -> Self {
        Self::new(
            &[],
            mock!(aws_sdk_bedrock::Client::get_inference_profile).then_error(|| {
                GetInferenceProfileError::ResourceNotFoundException(ResourceNotFoundException::builder().build())
            }),
        )
    }

    fn new(items: &[(&str, &[(&str, AttributeValue)])], profiles: Rule) -> Self {
        let reads = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reads);
        let items: Vec<(String, Vec<(String, AttributeValue)>)> = items
            .iter()
            .map(|(key, fields)| {
                ((*key).to_owned(), fields.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect())
            })
            .collect();
        let table = mock!(aws_sdk_dynamodb::Client::get_item).then_compute_output(move |request| {
            counter.fetch_add(1, Ordering::Relaxed);
            assert_eq!(request.table_name(), Some("catalogue"));
            let key = request.key().unwrap()["entry"].as_s().unwrap();
            let fields = items.iter().find(|(name, _)| name == key).map(|(_, fields)| fields.clone());
            let item = fields.map(|fields| fields.into_iter().chain([("entry".to_owned(), S(key.clone()))]).collect());
            GetItemOutput::builder().set_item(item).build()
        });
        Self { table, profiles, reads }
    }

    fn with_items(items: &[(&str, &[(&str, AttributeValue)])]) -> Self {
        Self::new(items, Self::empty().profiles)
    }

    pub fn with_profile_of(models: &[&str]) -> Self {
        let models: Vec<String> = models.iter().map(|model| (*model).to_owned()).collect();
        Self::new(
            &[],
            mock!(aws_sdk_bedrock::Client::get_inference_profile).then_output(move || {
                let models = models.iter().map(|arn| InferenceProfileModel::builder().model_arn(arn).build()).collect();
                GetInferenceProfileOutput::builder()
                    .inference_profile_name("sales")
                    .inference_profile_arn(ARN)
                    .inference_profile_id("p1")
                    .set_models(Some(models))
                    .status(InferenceProfileStatus::Active)
                    .r#type(InferenceProfileType::Application)
                    .build()
                    .unwrap()
            }),
        )
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

/// A resolver in us-east-1 with the deployed catalogue.
pub fn resolver(aws: &Aws) -> Resolver {
    Resolver::new(
        Catalogue::bundled().unwrap(),
        mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&aws.table]),
        "catalogue".to_owned(),
        mock_client!(aws_sdk_bedrock, RuleMode::MatchAny, &[&aws.profiles]),
        REGION.to_owned(),
    )
}

fn text(text: &str) -> AttributeValue {
    S(text.to_owned())
}

fn price() -> (&'static str, AttributeValue) {
    ("price", M([("input".to_owned(), text("1")), ("output".to_owned(), text("2"))].into()))
}

#[tokio::test]
async fn the_table_is_read_once_for_each_id_and_never_for_a_bundled_alias() {
    let aws = Aws::empty();
    let resolver = resolver(&aws);
    for name in ["nova-lite", "us.amazon.nova-lite-v1:0", "nova-lite"] {
        resolver.resolve(name, today(), Instant::now()).await.unwrap().unwrap();
    }
    assert_eq!((aws.reads(), aws.profiles.num_calls()), (1, 0));
}

#[tokio::test]
async fn an_admins_item_wins_over_the_bundled_entry_field_by_field() {
    let item = [("contextWindow", N("123456".to_owned())), price(), ("priceSource", text("our contract"))];
    let aws = Aws::with_items(&[("us.amazon.nova-lite-v1:0", &item)]);
    let bundled = resolver(&Aws::empty()).resolve("nova-lite", today(), Instant::now()).await.unwrap().unwrap();
    let found = resolver(&aws).resolve("nova-lite", today(), Instant::now()).await.unwrap().unwrap();
    assert_eq!((found.limits.context_window, found.limits.output), (Some(123_456), bundled.limits.output));
    assert_ne!(found.model.price, bundled.model.price);
    let sources = (found.model.price_source, bundled.model.price_source);
    assert_eq!(sources, (PriceSource::CatalogueTable, PriceSource::Catalogue));
    assert_eq!(serde_json::to_value(found.model.price).unwrap(), json!({"input": "1.00", "output": "2.00"}));
}

#[tokio::test]
async fn an_added_model_is_found_by_its_id_and_by_its_alias_and_read_once_a_minute() {
    let model =
        [("family", text("llama")), ("outputLimit", N("500".to_owned())), price(), ("priceSource", text("2026-10-01"))];
    let aws = Aws::with_items(&[("acme.giant-v1", &model), ("alias#giant", &[("modelId", text("acme.giant-v1"))])]);
    let (resolver, start) = (resolver(&aws), Instant::now());
    let found = resolver.resolve("giant", today(), start).await.unwrap().unwrap();
    assert_eq!((found.model.model_id.as_str(), found.model.family), ("acme.giant-v1", Family::Llama));
    assert_eq!(found.limits.output, Some(500));
    assert!(found.model.price.is_some() && found.model.requested == "giant");
    assert_eq!(aws.reads(), 2);
    resolver.resolve("giant", today(), start + Duration::from_secs(59)).await.unwrap().unwrap();
    assert_eq!(aws.reads(), 2);
    resolver.resolve("acme.giant-v1", today(), start + Duration::from_secs(61)).await.unwrap().unwrap();
    assert_eq!(aws.reads(), 4);
}

#[tokio::test]
async fn an_addition_prices_what_the_catalogue_knows_by_its_family_only() {
    let id = "anthropic.claude-next-v1:0";
    let aws = Aws::with_items(&[(id, &[price(), ("priceSource", text("2026-10-01"))])]);
    let found = resolver(&aws).resolve(id, today(), Instant::now()).await.unwrap().unwrap();
    assert!(found.model.price.is_some() && found.model.family == Family::Anthropic);
    let without = resolver(&Aws::empty()).resolve(id, today(), Instant::now()).await.unwrap().unwrap();
    assert!(without.model.price.is_none() && without.model.family == Family::Anthropic);
}

#[tokio::test]
async fn a_name_without_a_meaning_is_looked_up_once() {
    let aws = Aws::empty();
    let (resolver, now) = (resolver(&aws), Instant::now());
    for _ in 0..3 {
        let refusal = resolver.resolve("gpt-4", today(), now).await.unwrap().unwrap_err();
        assert_eq!(refusal.details, []);
    }
    assert_eq!(aws.reads(), 1);
    for name in ["", "größe", "default"] {
        assert!(resolver.resolve(name, today(), now).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_malformed_addition_is_named_for_the_admin() {
    let aws = Aws::with_items(&[
        ("acme.a", &[("family", text("supernova"))]),
        ("alias#b", &[("model", text("acme.a"))]),
        ("acme.c", &[("family", AttributeValue::Ss(vec!["llama".to_owned()]))]),
        ("acme.d", &[("outputLimit", N("9".to_owned()))]),
    ]);
    for (name, entry, field) in [
        ("acme.a", "acme.a", "family"),
        ("b", "alias#b", "model"),
        ("acme.c", "acme.c", "$"),
        ("acme.d", "acme.d", "family"),
    ] {
        let refusal = resolver(&aws).resolve(name, today(), Instant::now()).await.unwrap().unwrap_err();
        assert_eq!(refusal.details, [("entry", json!(entry)), ("field", json!(field))], "{name}");
        assert!(refusal.problem.contains("admin"), "{}", refusal.problem);
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_read_fails_closed() {
    let table = mock!(aws_sdk_dynamodb::Client::get_item).then_error(|| {
        let throttled = ProvisionedThroughputExceededException::builder().message("slow").build();
        GetItemError::ProvisionedThroughputExceededException(throttled)
    });
    let aws = Aws { table, ..Aws::empty() };
    let failure = resolver(&aws).resolve("gpt-4", today(), Instant::now()).await.unwrap_err();
    assert_eq!(failure.name(), "LedgerUnavailable");
}

#[tokio::test]
async fn a_profile_has_the_family_and_price_of_the_model_behind_it() {
    let models = ["us-east-1", "us-west-2"]
        .map(|region| format!("arn:aws:bedrock:{region}::foundation-model/amazon.nova-lite-v1:0"));
    let aws = Aws::with_profile_of(&[models[0].as_str(), models[1].as_str()]);
    let (resolver, now) = (resolver(&aws), Instant::now());
    for age in [0, 299] {
        let found = resolver.resolve(ARN, today(), now + Duration::from_secs(age)).await.unwrap().unwrap();
        assert_eq!((found.model.model_id.as_str(), found.model.model_metric.as_str()), (ARN, "p1"));
        assert_eq!((found.model.family, found.limits.output), (Family::Nova, Some(10_000)));
        assert!(found.model.price.is_some() && found.model.requested == ARN);
    }
    // Each round reads the item of the profile, and the item of the model behind it.
    assert_eq!((aws.profiles.num_calls(), aws.reads()), (1, 4));
    resolver.resolve(ARN, today(), now + Duration::from_secs(300)).await.unwrap().unwrap();
    assert_eq!(aws.profiles.num_calls(), 2);
}

#[tokio::test]
async fn an_alias_of_the_table_may_mean_a_profile() {
    let profile = Aws::with_profile_of(&["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"]).profiles;
    let aws = Aws::new(&[("alias#marketing", &[("modelId", text(ARN))])], profile);
    let found = resolver(&aws).resolve("marketing", today(), Instant::now()).await.unwrap().unwrap();
    assert_eq!((found.model.requested.as_str(), found.model.model_id.as_str()), ("marketing", ARN));
}

#[tokio::test]
async fn a_profile_that_cannot_be_resolved_is_refused() {
    let denied = mock!(aws_sdk_bedrock::Client::get_inference_profile)
        .then_error(|| GetInferenceProfileError::AccessDeniedException(AccessDeniedException::builder().build()));
    let retired = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-7-sonnet-20250219-v1:0";
    let cases = [
        (Aws::empty(), json!("ResourceNotFoundException")),
        (Aws::new(&[], denied), json!("AccessDeniedException")),
        (Aws::with_profile_of(&[]), serde_json::Value::Null),
        (Aws::with_profile_of(&[retired]), serde_json::Value::Null),
    ];
    for (aws, bedrock_error) in cases {
        let refusal = resolver(&aws).resolve(ARN, today(), Instant::now()).await.unwrap().unwrap_err();
        let detail = |name| {
            refusal
                .details
                .iter()
                .find(|(key, _)| *key == name)
                .map_or(serde_json::Value::Null, |(_, value)| value.clone())
        };
        assert_eq!(detail("bedrockError"), bedrock_error, "{refusal:?}");
    }
    let elsewhere = ARN.replace("us-east-1", "eu-west-1");
    let aws = Aws::empty();
    assert!(resolver(&aws).resolve(&elsewhere, today(), Instant::now()).await.unwrap().is_err());
    assert_eq!(aws.profiles.num_calls(), 0);
}

#[tokio::test]
async fn a_control_plane_that_does_not_answer_fails_closed_and_is_asked_again() {
    let throttled = mock!(aws_sdk_bedrock::Client::get_inference_profile)
        .then_error(|| GetInferenceProfileError::ThrottlingException(ThrottlingException::builder().build()));
    let aws = Aws::new(&[], throttled);
    let resolver = resolver(&aws);
    for calls in 1..3 {
        let failure = resolver.resolve(ARN, today(), Instant::now()).await.unwrap_err();
        assert_eq!((failure.name(), aws.profiles.num_calls()), ("LedgerUnavailable", calls));
    }
}

/// The id and the name of the fallback for `name`.
async fn fallback_of(resolver: &Resolver, name: &str) -> Option<(String, String)> {
    let resolved = resolver.resolve(name, today(), Instant::now()).await.unwrap().unwrap();
    let fallback = resolver.fallback(&resolved, today(), Instant::now()).await?;
    Some((fallback.model.model_id, fallback.model.requested))
}

#[tokio::test]
async fn a_fallback_is_the_bundled_catalogues_or_an_additions() {
    let added = |fallback: &'static str| [("family", text("nova")), ("fallback", text(fallback))];
    let plain = [("family", text("nova"))];
    let (lite, through_us) = ("amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1:0");
    let (known, other, missing, malformed) = (added(lite), added("acme.b"), added("acme.nothing"), added("acme.bad"));
    let items: &[(&str, &[_])] = &[
        ("acme.a", &known),
        ("acme.o", &other),
        ("acme.b", &plain),
        ("acme.m", &missing),
        ("acme.c", &malformed),
        ("acme.bad", &[("famly", text("nova"))]),
    ];
    let aws = Aws::with_items(items);
    let resolver = resolver(&aws);
    let named = |id: &str, name: &str| Some((id.to_owned(), name.to_owned()));
    assert_eq!(fallback_of(&resolver, "nova-pro").await, named(through_us, "nova-lite"));
    assert_eq!(fallback_of(&resolver, "nova-micro").await, None);
    assert_eq!(fallback_of(&resolver, "acme.a").await, named(lite, "nova-lite"));
    assert_eq!(fallback_of(&resolver, "acme.o").await, named("acme.b", "acme.b"));
    // A fallback that cannot be called does not fail the request.
    assert_eq!((fallback_of(&resolver, "acme.m").await, fallback_of(&resolver, "acme.c").await), (None, None));
}

#[tokio::test]
async fn a_profile_falls_back_to_the_fallback_of_the_model_behind_it() {
    let aws = Aws::with_profile_of(&["arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"]);
    let found = fallback_of(&resolver(&aws), ARN).await.unwrap();
    assert_eq!(found, ("amazon.nova-lite-v1:0".to_owned(), "nova-lite".to_owned()));
}

#[tokio::test]
async fn an_alias_of_the_table_replaces_a_cost_center_and_no_name_of_a_model() {
    let items: [(&str, &[_]); 2] = [
        ("alias#sales", &[("modelId", text("us.amazon.nova-pro-v1:0"))]),
        ("alias#nova-lite", &[("modelId", text("us.amazon.nova-pro-v1:0"))]),
    ];
    for (items, name, id) in [
        (&items[..], "sales", "us.amazon.nova-pro-v1:0"),
        (&items[..], "nova-lite", "us.amazon.nova-lite-v1:0"),
        (&[], "sales", "us.amazon.nova-lite-v1:0"),
    ] {
        let answer = resolver(&Aws::with_items(items)).resolve(name, today(), Instant::now()).await;
        assert_eq!(answer.unwrap().unwrap().model.model_id, id, "{name}");
    }
}
