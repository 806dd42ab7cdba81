//! Checks that a request can reach an item of the limits table, by the models that requests can name.

use std::collections::HashMap;
use std::time::Instant;

use chrono::{NaiveDate, Utc};
use fn_lookup_limit::{BudgetTags, Item, KnownModels, Reach, Unreachable};
use fn_validate_and_tag::Resolver;
use sentry_contract::request::Model;
use sentry_models::REGION_GROUPS;

use super::change::Change;
use crate::catalogue::CatalogueTable;
use crate::failure::Failure;
use crate::stack::Stack;

const FOUNDATION: &str = "foundation#";
const DEFAULT: &str = "default";

/// Finds the models behind names as the functions do: in the catalogue, in the catalogue table, and in Bedrock.
pub struct Models {
    resolver: Resolver,
    today: NaiveDate,
    table: CatalogueTable,
    bedrock: aws_sdk_bedrock::Client,
    profiles_by_tags: bool,
}

impl Models {
    /// The models of `stack`.
    ///
    /// # Errors
    /// If the stack has no catalogue table.
    pub fn of(stack: &Stack) -> Result<Self, Failure> {
        let (resolver, table, bedrock) = (stack.resolver()?, CatalogueTable::of(stack)?, stack.bedrock());
        let profiles_by_tags = stack.parameter("ProfilePolicy").is_some_and(|policy| policy != "off");
        Ok(Self { resolver, today: Utc::now().date_naive(), table, bedrock, profiles_by_tags })
    }

    /// `true` if a request for one model can be sent to a profile that has the request's tags.
    pub const fn are_by_tags(&self) -> bool {
        self.profiles_by_tags
    }

    /// The model that a request names `name`, or the reason why no request can name it.
    ///
    /// # Errors
    /// If AWS cannot be asked.
    pub async fn named(&self, name: &str) -> Result<Result<Model, String>, Failure> {
        let answer = self.resolver.resolve(name, self.today, Instant::now()).await.map_err(|failure| {
            let message = format!("the model {name} cannot be looked up: {failure}");
            if message.contains("AccessDenied") { Failure::Refused(message) } else { Failure::Unreachable(message) }
        })?;
        Ok(answer.map(|resolved| resolved.model).map_err(|refusal| refusal.problem().to_owned()))
    }

    /// The models that the items under `keys` can be for.
    ///
    /// # Errors
    /// If AWS cannot be asked.
    pub async fn known<'k>(&self, keys: impl Iterator<Item = &'k str>) -> Result<KnownModels, Failure> {
        let mut known = KnownModels { profiles_by_tags: self.profiles_by_tags, ..KnownModels::default() };
        let mut arns: Option<Vec<String>> = None;
        for key in keys.filter(|key| *key != DEFAULT) {
            if let Some(id) = key.strip_prefix(FOUNDATION).filter(|id| *id != DEFAULT) {
                known.by_name.insert(id.to_owned(), self.named(id).await?);
                for group in REGION_GROUPS {
                    known.others.extend(self.named(&format!("{group}.{id}")).await?.ok());
                }
            } else if !key.contains('#') {
                let named = self.named(key).await?;
                if named.is_err() {
                    let arns = match &mut arns {
                        Some(arns) => arns,
                        None => arns.insert(self.arns_of_table().await?),
                    };
                    known.others.extend(self.with_metric(key, arns).await?);
                }
                known.by_name.insert(key.to_owned(), named);
            }
        }
        Ok(known)
    }

    /// The models whose metrics are named `metric`, the last part of an ARN.
    async fn with_metric(&self, metric: &str, arns: &[String]) -> Result<Vec<Model>, Failure> {
        let mut found = Vec::new();
        let own = arns.iter().filter(|arn| arn.rsplit('/').next() == Some(metric)).cloned();
        for arn in own.chain(self.profile(metric).await?) {
            found.extend(self.named(&arn).await?.ok());
        }
        Ok(found)
    }

    /// The ARN of the application inference profile with the id `id`.
    async fn profile(&self, id: &str) -> Result<Option<String>, Failure> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Ok(None);
        }
        match self.bedrock.get_inference_profile().inference_profile_identifier(id).send().await {
            Ok(profile) => Ok(Some(profile.inference_profile_arn)),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_resource_not_found_exception() || service.is_validation_exception() => {
                    Ok(None)
                }
                _ => Err(Failure::of_call(&format!("the inference profile {id} cannot be looked up"), &error)),
            },
        }
    }

    /// The ARNs that the catalogue table describes, or has aliases of.
    async fn arns_of_table(&self) -> Result<Vec<String>, Failure> {
        let items = self.table.all().await?;
        let named = |item: &Item| ["entry", "modelId"].map(|name| item.get(name)?.as_s().ok().cloned());
        Ok(items.values().flat_map(named).flatten().filter(|name| name.starts_with("arn:")).collect())
    }
}

/// The items that no request reaches, each with the reason, in the order of `keys`.
///
/// # Errors
/// If AWS cannot be asked.
pub async fn unreachable(
    stack: &Stack,
    items: &HashMap<String, Item>,
    keys: &[&str],
) -> Result<Vec<(String, Unreachable)>, Failure> {
    let needs_models = |key: &&str| !key.contains('#') && *key != DEFAULT || key.starts_with(FOUNDATION);
    let models = if keys.iter().any(needs_models) {
        Models::of(stack)?.known(keys.iter().copied()).await?
    } else {
        KnownModels::default()
    };
    let budget_tags: BudgetTags = stack.budget_tags()?;
    let reach = Reach { budget_tags: &budget_tags, models: &models, items, now: Utc::now() };
    let judged = keys.iter().filter_map(|key| Some((*key, items.get(*key)?)));
    Ok(judged.filter_map(|(key, item)| Some((key.to_owned(), reach.check(key, item).err()?))).collect())
}

/// Checks that requests can reach what `changes` add or change, with `others` as the other items of the table.
///
/// # Errors
/// If no request can reach an item, or AWS cannot be asked.
pub async fn check(
    stack: &Stack,
    changes: &[Change],
    others: impl IntoIterator<Item = (String, Item)>,
) -> Result<(), Failure> {
    let mut items: HashMap<String, Item> = others.into_iter().collect();
    for change in changes {
        match &change.after {
            Some(after) => items.insert(change.key.clone(), after.clone()),
            None => items.remove(&change.key),
        };
    }
    let written = changes.iter().filter(|change| change.after.is_some() && !change.is_nothing());
    let mut keys: Vec<&str> = written.map(|change| change.key.as_str()).collect();
    let own = keys.len();
    // A new item of a model can stand before one that exists.
    if changes.iter().any(|change| change.before.is_none() && !change.key.contains('#')) {
        let others = items.keys().map(String::as_str).filter(|key| !key.contains('#') && !keys.contains(key));
        let others: Vec<&str> = others.collect();
        keys.extend(others);
    }
    let mut found = unreachable(stack, &items, &keys).await?;
    let written: Vec<&str> = keys.into_iter().take(own).collect();
    found.retain(|(key, reason)| {
        let is_own = written.contains(&key.as_str());
        if !is_own && matches!(reason, Unreachable::Shadowed(by) if written.contains(&by.as_str())) {
            eprintln!("note: the limits of {key} will not apply any more: {reason}");
        }
        is_own
    });
    if found.is_empty() {
        return Ok(());
    }
    let reasons = found.iter().map(|(key, reason)| format!("no request can reach the item {key}: {reason}"));
    let reasons = reasons.collect::<Vec<_>>().join("\n       ");
    Err(Failure::Refused(format!("{reasons}. Nothing was changed")))
}
