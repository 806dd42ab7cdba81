//! The Lambda function of the state `Validate And Tag`.

use std::time::{Duration, Instant};

use chrono::Utc;
use fn_validate_and_tag::{PolicyParameter, ProfilesByTags, Resolver, validate_and_tag};
use sentry_lambda::{Failure, StartError, env};
use sentry_models::Catalogue;
use sentry_profiles::{Directory, Listing, ProfileIndex, SharedProfiles};
use serde_json::value::RawValue;
use uuid::Uuid;

/// Timeout of one attempt. A look-up takes milliseconds. A slower attempt is repeated.
const ATTEMPT: Duration = Duration::from_millis(900);
/// Timeout of all attempts of one look-up. Most requests need two look-ups: the item of the model, and that of its
/// fallback. Together they take less than the function's timeout, so the function can answer itself.
const OPERATION: Duration = Duration::from_millis(1_400);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let table = env::required("SENTRY_CATALOGUE_TABLE")?;
    let region = env::required("AWS_REGION")?;
    let discount = env::parsed("SENTRY_DISCOUNT_PERCENT", "a percentage from 0 to 99.99")?;
    let PolicyParameter(policy) = env::parsed("SENTRY_PROFILE_POLICY", "off, preferred or required")?;
    let catalogue = Catalogue::bundled().map_err(|error| StartError::Invalid(error.to_string()))?;
    let catalogue = catalogue.with_discount(discount);
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let (dynamodb, bedrock) = (aws_sdk_dynamodb::Client::new(&config), aws_sdk_bedrock::Client::new(&config));
    sentry_lambda::warm_up(|greeting| dynamodb.list_tables().customize().interceptor(greeting).send()).await;
    let by_tags = match policy {
        Some(policy) => {
            let shared = SharedProfiles::new(dynamodb.clone(), env::required("SENTRY_LEDGER_TABLE")?);
            let tagging = aws_sdk_resourcegroupstagging::Client::new(&config);
            let directory = Directory::new(bedrock.clone(), tagging);
            let index =
                ProfileIndex::new(shared, Listing::new(directory, env::optional("SENTRY_PROFILE_MAP"), &config));
            Some(ProfilesByTags::new(policy, index))
        }
        None => None,
    };
    let resolver = Resolver::new(catalogue, dynamodb, table, bedrock, region);
    let resolver = &match by_tags {
        Some(by_tags) => resolver.with_profiles(by_tags),
        None => resolver,
    };
    sentry_lambda::run(move |document: Box<RawValue>| async move {
        Ok::<_, Failure>(validate_and_tag(&document, resolver, Utc::now(), Instant::now(), Uuid::new_v4()).await)
    })
    .await
}
