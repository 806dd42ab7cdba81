//! The deployed stack: its outputs and parameters, and the clients of its services.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client as DynamoDb;
use chrono::{DateTime, Utc};
use fn_lookup_limit::{BudgetTags, LimitsTable};
use fn_validate_and_tag::{PolicyParameter, ProfilesByTags, Resolver};
use sentry_domain::Discount;
use sentry_history::History;
use sentry_lambda::{Connections, http_client, without_sync_prefix};
use sentry_ledger::Ledger;
use sentry_models::Catalogue;
use sentry_profiles::{Directory, Listing, ProfileIndex, SharedProfiles};
use serde_json::Value;

use crate::failure::Failure;
use crate::options::Global;

/// Timeouts of one attempt, and of all attempts of a call.
const ATTEMPT: Duration = Duration::from_secs(20);
const OPERATION: Duration = Duration::from_mins(1);
/// Timeout of an execution: the five minutes of an Express workflow, and the way there and back.
const EXECUTION: Duration = Duration::from_secs(310);
/// Region in which Cost Explorer answers for every Region.
///
/// Source: AWS General Reference, "AWS Billing and Cost Management endpoints and quotas", read in November 2026.
const COST_EXPLORER_REGION: &str = "us-east-1";
/// Variables with the URLs of another Cost Explorer, Bedrock and tagging API. They have precedence over `--endpoint-url`, because a
/// local AWS has none of them.
///
/// Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints", read in November 2026.
const COST_EXPLORER_URL: &str = "AWS_ENDPOINT_URL_COST_EXPLORER";
const BEDROCK_URL: &str = "AWS_ENDPOINT_URL_BEDROCK";
const TAGGING_URL: &str = "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API";

/// A deployed stack of the sentry, and the clients' configuration for it.
pub struct Stack {
    pub name: String,
    pub region: String,
    config: SdkConfig,
    outputs: HashMap<String, String>,
    parameters: HashMap<String, String>,
    pub deployed: Deployed,
}

/// The state of the stack's last deployment.
pub struct Deployed {
    /// CloudFormation's word, such as `UPDATE_COMPLETE`.
    pub status: String,
    /// The cause that CloudFormation gives for a failure.
    pub reason: Option<String>,
    pub at: Option<DateTime<Utc>>,
}

/// A resource of the stack, as CloudFormation knows it.
#[derive(Clone, Debug)]
pub struct Resource {
    pub logical_id: String,
    pub physical_id: String,
    /// CloudFormation's type, such as `AWS::Lambda::Function`.
    pub kind: String,
    pub status: String,
    pub updated: Option<DateTime<Utc>>,
}

impl Stack {
    /// Looks up the stack of the options.
    ///
    /// # Errors
    /// If AWS cannot be reached, or there is no such stack.
    pub async fn find(global: &Global) -> Result<Self, Failure> {
        let config = config(global).await;
        let name = &global.stack_name;
        let doing = format!("the stack {name} cannot be found");
        let client = aws_sdk_cloudformation::Client::new(&config);
        let answer = client.describe_stacks().stack_name(name).send().await;
        let answer = answer.map_err(|error| Failure::of_call(&doing, &error))?;
        let stack = answer.stacks().first().ok_or(Failure::Refused(doing))?;
        let outputs = stack.outputs().iter();
        let outputs = outputs.filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)));
        let parameters = stack.parameters().iter();
        let parameters = parameters.filter_map(|it| Some((it.parameter_key.clone()?, it.parameter_value.clone()?)));
        let region = config.region().map(|region| region.as_ref().to_owned()).unwrap_or_default();
        let deployed = Deployed {
            status: stack.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            reason: stack.stack_status_reason.clone(),
            at: stack.last_updated_time().or(stack.creation_time()).and_then(instant),
        };
        let (outputs, parameters) = (outputs.collect(), parameters.collect());
        Ok(Self { name: name.clone(), region, outputs, parameters, config, deployed })
    }

    /// The value of an output.
    ///
    /// # Errors
    /// If the stack does not have it.
    pub fn output(&self, name: &str) -> Result<&str, Failure> {
        self.outputs.get(name).map(String::as_str).ok_or_else(|| {
            Failure::Refused(format!(
                "the stack {} has no output {name}: it is no cost sentry, or an older one",
                self.name
            ))
        })
    }

    /// The account's discount. None if the stack does not have the parameter.
    pub fn discount(&self) -> Discount {
        self.parameters.get("DiscountPercent").and_then(|percent| percent.parse().ok()).unwrap_or_default()
    }

    pub fn dynamodb(&self) -> DynamoDb {
        DynamoDb::new(&self.config)
    }

    /// The usage history.
    ///
    /// # Errors
    /// If the stack does not have one.
    pub fn history(&self) -> Result<History, Failure> {
        Ok(History::new(self.dynamodb(), self.output("UsageTableName")?.to_owned()))
    }

    pub fn logs(&self) -> aws_sdk_cloudwatchlogs::Client {
        aws_sdk_cloudwatchlogs::Client::new(&self.config)
    }

    pub fn bedrock(&self) -> aws_sdk_bedrock::Client {
        let mut config = aws_sdk_bedrock::config::Builder::from(&self.config);
        if let Ok(url) = std::env::var(BEDROCK_URL) {
            config.set_endpoint_url(Some(url));
        }
        aws_sdk_bedrock::Client::from_conf(config.build())
    }

    pub fn cost_explorer(&self) -> aws_sdk_costexplorer::Client {
        let mut config = aws_sdk_costexplorer::config::Builder::from(&self.config);
        config.set_region(Some(Region::from_static(COST_EXPLORER_REGION)));
        if let Ok(url) = std::env::var(COST_EXPLORER_URL) {
            config.set_endpoint_url(Some(url));
        }
        aws_sdk_costexplorer::Client::from_conf(config.build())
    }

    /// The table of requests.
    ///
    /// # Errors
    /// If AWS cannot be reached, or the stack has no such table.
    pub async fn requests_table(&self) -> Result<String, Failure> {
        self.resource("RequestsTable").await
    }

    /// The physical id of a resource that is in no output, such as the name of `RequestsTable`.
    ///
    /// # Errors
    /// If AWS cannot be reached, or the stack has no such resource.
    pub async fn resource(&self, logical_id: &str) -> Result<String, Failure> {
        let doing = format!("the resource {logical_id} of the stack {} cannot be found", self.name);
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let call = client.describe_stack_resource().stack_name(&self.name).logical_resource_id(logical_id);
        let answer = call.send().await.map_err(|error| Failure::of_call(&doing, &error))?;
        let detail = answer.stack_resource_detail.and_then(|detail| detail.physical_resource_id);
        detail.ok_or(Failure::Refused(doing))
    }

    /// All resources, from every page.
    ///
    /// # Errors
    /// If AWS cannot be reached, or refuses.
    pub async fn resources(&self) -> Result<Vec<Resource>, Failure> {
        let doing = format!("the resources of the stack {} cannot be listed", self.name);
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let mut resources = Vec::new();
        let mut token = None;
        loop {
            let call = client.list_stack_resources().stack_name(&self.name).set_next_token(token);
            let page = call.send().await.map_err(|error| Failure::of_call(&doing, &error))?;
            resources.extend(page.stack_resource_summaries().iter().map(|resource| Resource {
                logical_id: resource.logical_resource_id().unwrap_or_default().to_owned(),
                physical_id: resource.physical_resource_id().unwrap_or_default().to_owned(),
                kind: resource.resource_type().unwrap_or_default().to_owned(),
                status: resource.resource_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
                updated: resource.last_updated_timestamp().and_then(instant),
            }));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(resources);
            }
        }
    }

    /// The value of a parameter of the stack. `None` if the stack does not have it.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The tags that have budgets beside the three dimensions.
    ///
    /// # Errors
    /// If the stack's parameter cannot be understood.
    pub fn budget_tags(&self) -> Result<BudgetTags, Failure> {
        let declared = self.parameter("BudgetTags").unwrap_or_default();
        declared
            .parse()
            .map_err(|error| Failure::Refused(format!("the parameter BudgetTags cannot be understood: {error}")))
    }

    /// The limits table, read as the functions read it.
    ///
    /// # Errors
    /// If the stack does not have one.
    pub fn limits_table(&self) -> Result<LimitsTable, Failure> {
        let name = self.output("LimitsTableName")?.to_owned();
        Ok(LimitsTable::new(self.dynamodb(), name, self.budget_tags()?))
    }

    /// The ledger of budgets and requests.
    ///
    /// # Errors
    /// If AWS cannot be reached, or the stack does not have one.
    pub async fn ledger(&self) -> Result<Ledger, Failure> {
        let table = self.output("LedgerTableName")?.to_owned();
        Ok(Ledger::new(self.dynamodb(), table, self.requests_table().await?))
    }

    /// The catalogue of this program, with the account's discount.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn catalogue(&self) -> Result<Catalogue, Failure> {
        let catalogue = Catalogue::bundled().map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(catalogue.with_discount(self.discount()))
    }

    /// Resolves names of models as the stack does, with its `ProfilePolicy`. It writes nothing.
    ///
    /// # Errors
    /// If the stack lacks a table, or its parameter cannot be understood.
    pub fn resolver(&self) -> Result<Resolver, Failure> {
        let table = self.output("CatalogueTableName")?.to_owned();
        let resolver = Resolver::new(self.catalogue()?, self.dynamodb(), table, self.bedrock(), self.region.clone());
        let policy = self.parameter("ProfilePolicy").unwrap_or("off");
        let policy: PolicyParameter = policy.parse().map_err(|()| {
            Failure::Refused(format!(
                "the parameter ProfilePolicy is {policy}, which this version of the command does not know"
            ))
        })?;
        let PolicyParameter(Some(policy)) = policy else { return Ok(resolver) };
        let shared = SharedProfiles::new(self.dynamodb(), self.output("LedgerTableName")?.to_owned());
        let map = self.parameter("ProfileMapParameter").map(str::to_owned);
        let listing = Listing::new(Directory::new(self.bedrock(), self.tagging()), map, &self.config);
        let index = ProfileIndex::new(shared.without_writes(), listing);
        Ok(resolver.with_profiles(ProfilesByTags::new(policy, index)))
    }

    /// The ARN of the caller, for the record of who changed what.
    ///
    /// # Errors
    /// If AWS cannot be reached, or refuses the credentials.
    pub async fn caller(&self) -> Result<String, Failure> {
        let doing = "the caller's identity cannot be found";
        let answer = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| Failure::of_call(doing, &error))?;
        answer.arn.ok_or_else(|| Failure::Refused(doing.to_owned()))
    }

    /// Sends a request document through the rate limiter, and returns the answer document.
    ///
    /// A started execution is never retried, because it may have been paid for.
    ///
    /// # Errors
    /// If AWS cannot be reached, or the execution ends without an answer.
    pub async fn start_sync(&self, document: &Value) -> Result<Value, Failure> {
        let doing = "the request was not answered";
        let limits = TimeoutConfig::builder().operation_timeout(EXECUTION).operation_attempt_timeout(EXECUTION);
        let config = aws_sdk_sfn::config::Builder::from(&self.config)
            .timeout_config(limits.build())
            .retry_config(RetryConfig::disabled());
        let client = aws_sdk_sfn::Client::from_conf(config.build());
        let call = client
            .start_sync_execution()
            .state_machine_arn(self.output("RateLimiterArn")?)
            .input(document.to_string())
            .customize()
            .mutate_request(without_sync_prefix);
        let execution = call.send().await.map_err(|error| Failure::of_call(doing, &error))?;
        let output = execution.output().and_then(|output| serde_json::from_str(output).ok());
        output.ok_or_else(|| {
            let status = execution.status().as_str();
            let cause = execution.cause().or(execution.error()).unwrap_or("no cause");
            Failure::Refused(format!("{doing}: the execution ended as {status} ({cause})"))
        })
    }

    pub fn workflows(&self) -> aws_sdk_sfn::Client {
        aws_sdk_sfn::Client::new(&self.config)
    }

    pub fn queues(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    pub fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        aws_sdk_cloudwatch::Client::new(&self.config)
    }

    /// The application inference profiles by their tags.
    pub fn tagging(&self) -> aws_sdk_resourcegroupstagging::Client {
        let mut config = aws_sdk_resourcegroupstagging::config::Builder::from(&self.config);
        if let Ok(url) = std::env::var(TAGGING_URL) {
            config.set_endpoint_url(Some(url));
        }
        aws_sdk_resourcegroupstagging::Client::from_conf(config.build())
    }
}

fn instant(at: &aws_sdk_cloudformation::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.secs(), 0)
}

async fn config(global: &Global) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(Connections::Kept))
        .timeout_config(timeouts.build());
    if let Some(region) = &global.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &global.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &global.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}
