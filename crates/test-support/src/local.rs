//! The DynamoDB of the local AWS. `cargo xtask test` starts it and sets `SENTRY_TEST_ENDPOINT`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder, Credentials, Region};
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};

/// The longest duration of a call. The local AWS is slow under load.
const LONGEST: Duration = Duration::from_secs(60);
/// The number of names that this process has used.
static NAMES: AtomicUsize = AtomicUsize::new(0);

/// A client of the local AWS.
///
/// # Panics
/// If `SENTRY_TEST_ENDPOINT` is absent.
pub async fn client() -> Client {
    let endpoint = std::env::var("SENTRY_TEST_ENDPOINT").expect("SENTRY_TEST_ENDPOINT: cargo xtask test sets it");
    let shared = sentry_lambda::aws_config(LONGEST, LONGEST).await;
    let config = Builder::from(&shared)
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .build();
    Client::from_conf(config)
}

/// A name that begins with `prefix`, and that no other test uses.
#[must_use]
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

/// Creates a table with an unused name, which begins with `prefix`. `keys` are the partition key and the sort key, if
/// there is one. Both are texts. `more` adds to the request. Returns the name.
///
/// # Panics
/// If the table cannot be created.
pub async fn create_table(
    client: &Client,
    prefix: &str,
    keys: &[&str],
    more: impl FnOnce(CreateTableFluentBuilder) -> CreateTableFluentBuilder,
) -> String {
    let name = unique(prefix);
    let call = client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    let call = call.set_key_schema(Some(key_schema(keys)));
    let texts = keys.iter().map(|name| attribute(name, ScalarAttributeType::S));
    let call = texts.fold(
        call,
        aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder::attribute_definitions,
    );
    more(call).send().await.unwrap();
    name
}

/// The key of a table or an index: the partition key, and the sort key if there is one.
#[must_use]
pub fn key_schema(keys: &[&str]) -> Vec<KeySchemaElement> {
    let elements = keys.iter().zip([KeyType::Hash, KeyType::Range]);
    elements
        .map(|(name, kind)| KeySchemaElement::builder().attribute_name(*name).key_type(kind).build().unwrap())
        .collect()
}

/// The type of an attribute that is part of a key.
#[must_use]
pub fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}
