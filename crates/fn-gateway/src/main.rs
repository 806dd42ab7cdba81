//! The function behind the gateway's URL, or a server on this machine (`SENTRY_GATEWAY_LISTEN`).

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_bedrockruntime::config::Builder;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use chrono::TimeDelta;
use fn_count_tokens::TokenCounter;
use fn_fetch_usage::{SharedFigures, UsageSource};
use fn_gateway::{Ahead, Callers, Gateway, Steps, Tokens, lambda, router};
use fn_invoke_model::Invoker;
use fn_lookup_limit::{InvalidBudgetTags, LimitsTable};
use fn_reserve::Reserver;
use fn_settle::{AnswersTable, MetricsQueue, Settler};
use fn_validate_and_tag::{PolicyParameter, ProfilesByTags, Resolver};
use lambda_runtime::{LambdaEvent, service_fn};
use sentry_history::History;
use sentry_keys::KeysTable;
use sentry_lambda::{InvalidSetting, SdkConfig, StartError, env};
use sentry_ledger::Ledger;
use sentry_models::Catalogue;
use sentry_profiles::{Directory, Listing, ProfileIndex, SharedProfiles};

/// Time limit of one attempt of a look-up or a write, which usually takes milliseconds. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Time limit of all attempts of one operation.
const OPERATION: Duration = Duration::from_secs(5);
/// Time limits of a token count, as in `fn-count-tokens`: the request waits for the count, but does not need it.
const COUNT_ATTEMPT: Duration = Duration::from_millis(800);
const COUNT_OPERATION: Duration = Duration::from_millis(1_800);
/// The address on which the gateway listens as a server, such as `127.0.0.1:8080`. Without it, it is a function.
const LISTEN: &str = "SENTRY_GATEWAY_LISTEN";
/// The name of the limits table.
const LIMITS_TABLE: &str = "SENTRY_LIMITS_TABLE";
/// The name of the ledger table.
const LEDGER_TABLE: &str = "SENTRY_LEDGER_TABLE";
/// With the value `on`, callers are IAM principals, and the function's URL has the authorization type `AWS_IAM`.
const IAM: &str = "SENTRY_GATEWAY_IAM";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    sentry_lambda::start_logging();
    let app = router(Arc::new(gateway().await?));
    if let Ok(address) = env::required(LISTEN) {
        let invalid = |error: std::io::Error| StartError::Invalid(format!("{LISTEN}={address}: {error}"));
        let listener = tokio::net::TcpListener::bind(&address).await.map_err(invalid)?;
        return axum::serve(listener, app).await.map_err(invalid);
    }
    let app = &app;
    let handler = service_fn(move |event: LambdaEvent<lambda::Event>| lambda::serve(app.clone(), event));
    lambda_runtime::Runtime::new(handler).run().await.map_err(StartError::Runtime)
}

async fn gateway() -> Result<Gateway, StartError> {
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    sentry_lambda::warm_up(|greeting| dynamodb.list_tables().customize().interceptor(greeting).send()).await;
    let keys = KeysTable::new(dynamodb.clone(), env::required("SENTRY_KEYS_TABLE")?);
    let are_principals = env::optional(IAM).as_deref() == Some("on");
    let ahead = Ahead::new(dynamodb.clone(), env::required(LIMITS_TABLE)?, env::required(LEDGER_TABLE)?);
    let ahead = Arc::new(ahead);
    let tokens = Tokens::from_environment(&config)?;
    let callers = Callers { keys, ahead: Arc::clone(&ahead), tokens, are_principals };
    Ok(Gateway { callers, steps: steps(&config, &dynamodb, ahead).await? })
}

async fn steps(
    config: &SdkConfig,
    dynamodb: &aws_sdk_dynamodb::Client,
    ahead: Arc<Ahead>,
) -> Result<Steps, StartError> {
    let region = env::required("AWS_REGION")?;
    let timeout = Duration::from_secs(seconds("SENTRY_MODEL_TIMEOUT_SECONDS")?);
    let stream_limit = Duration::from_secs(seconds("SENTRY_STREAM_SECONDS")?);
    let ledger_table = env::required(LEDGER_TABLE)?;
    let ledger = || {
        let requests = env::required("SENTRY_REQUESTS_TABLE")?;
        Ok::<_, StartError>(Ledger::new(dynamodb.clone(), ledger_table.clone(), requests))
    };
    let history = History::new(dynamodb.clone(), env::required("SENTRY_USAGE_TABLE")?);
    let hold_for = Duration::from_secs(seconds("SENTRY_HOLD_SECONDS")?);
    // HoldSeconds is longer than a call with the timeout can take. A stream can take longer, and so does its hold.
    let hold_stream_for = hold_for + stream_limit.saturating_sub(timeout);
    let reserver = |hold_for| {
        let lasting = TimeDelta::from_std(hold_for).map_err(|error| StartError::Invalid(error.to_string()))?;
        Ok::<_, StartError>(Reserver::new(ledger()?.with_history(history.clone()), lasting))
    };
    let url = env::required("SENTRY_METRICS_QUEUE_URL")?;
    let queue = || MetricsQueue::new(aws_sdk_sqs::Client::new(config), url.clone());
    let shared = SharedFigures::new(dynamodb.clone(), ledger_table.clone());
    // The invoker enforces the timeout. The SDK's own limits are longer, so a timeout always has the same message.
    let later = timeout + Duration::from_secs(1);
    let model_client = fn_invoke_model::client(&sentry_lambda::aws_config(later, later).await);
    Ok(Steps {
        resolver: resolver(config, dynamodb, &region)?,
        usage: UsageSource::new(
            aws_sdk_cloudwatch::Client::new(config),
            shared,
            env::parsed("SENTRY_USAGE_CACHE_SECONDS", "a whole number of seconds")?,
        ),
        limits: limits(dynamodb)?,
        ahead,
        counter: counter().await,
        reserver: reserver(hold_for)?,
        stream_reserver: reserver(hold_stream_for)?,
        invoker: Invoker::new(model_client, catalogue()?, region, timeout).streaming_for(stream_limit),
        settler: Settler::new(ledger()?, queue(), timeout).keeping(AnswersTable::from_environment(dynamodb)?),
        queue: queue(),
    })
}

fn catalogue() -> Result<Catalogue, StartError> {
    let discount = env::parsed("SENTRY_DISCOUNT_PERCENT", "a percentage from 0 to 99.99")?;
    let catalogue = Catalogue::bundled().map_err(|error| StartError::Invalid(error.to_string()))?;
    Ok(catalogue.with_discount(discount))
}

fn seconds(name: &'static str) -> Result<u64, InvalidSetting> {
    env::parsed(name, "a whole number of seconds")
}

fn resolver(config: &SdkConfig, dynamodb: &aws_sdk_dynamodb::Client, region: &str) -> Result<Resolver, StartError> {
    let table = env::required("SENTRY_CATALOGUE_TABLE")?;
    let PolicyParameter(policy) = env::parsed("SENTRY_PROFILE_POLICY", "off, preferred or required")?;
    let bedrock = aws_sdk_bedrock::Client::new(config);
    let resolver = Resolver::new(catalogue()?, dynamodb.clone(), table, bedrock.clone(), region.to_owned());
    let Some(policy) = policy else { return Ok(resolver) };
    let shared = SharedProfiles::new(dynamodb.clone(), env::required("SENTRY_LEDGER_TABLE")?);
    let tagging = aws_sdk_resourcegroupstagging::Client::new(config);
    let listing = Listing::new(Directory::new(bedrock, tagging), env::optional("SENTRY_PROFILE_MAP"), config);
    let index = ProfileIndex::new(shared, listing);
    Ok(resolver.with_profiles(ProfilesByTags::new(policy, index)))
}

fn limits(dynamodb: &aws_sdk_dynamodb::Client) -> Result<LimitsTable, StartError> {
    let tags = std::env::var("SENTRY_BUDGET_TAGS").unwrap_or_default();
    let tags = tags.parse().map_err(|error: InvalidBudgetTags| StartError::Invalid(error.to_string()))?;
    Ok(LimitsTable::new(dynamodb.clone(), env::required(LIMITS_TABLE)?, tags))
}

async fn counter() -> TokenCounter {
    let config = sentry_lambda::aws_config(COUNT_ATTEMPT, COUNT_OPERATION).await;
    let retries = RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(100));
    TokenCounter::new(aws_sdk_bedrockruntime::Client::from_conf(Builder::from(&config).retry_config(retries).build()))
}
