//! `sentry profiles list` and `show`.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use sentry_contract::request::Tags;

use super::directory::{self, Profile};
use super::record;
use crate::catalogue::{CatalogueTable, aliases_of};
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{self, Column, Table};
use crate::stack::Stack;

/// Age from which a missing profile in `GetResources` has no tags. That API follows changes with a delay without a
/// published limit.
pub const SETTLED: TimeDelta = TimeDelta::minutes(10);

#[derive(clap::Args)]
pub struct ListArgs {
    /// Only the profiles of this cost center
    #[arg(long, value_name = "NAME", conflicts_with = "untagged")]
    pub cost_center: Option<String>,
    /// Only the profiles without a tag `costCenter`, whose spend is under no cost center on the bill
    #[arg(long)]
    pub untagged: bool,
}

#[derive(clap::Args)]
pub struct ShowArgs {
    /// Id, ARN, name or alias of the profile
    pub profile: String,
}

/// Runs `sentry profiles list`.
pub async fn list(global: &Global, args: &ListArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let (bedrock, tagging, table) = (stack.bedrock(), stack.tagging(), CatalogueTable::of(&stack)?);
    let (profiles, mut tags, items) =
        tokio::try_join!(directory::profiles(&bedrock), directory::all_tags(&tagging), table.all())?;
    let mut young = 0_u32;
    let mut rows = Vec::new();
    for profile in profiles {
        let known = tags.remove(&profile.arn).unwrap_or_default();
        let is_young = known.is_empty() && profile.created.is_some_and(|at| Utc::now() - at < SETTLED);
        young += u32::from(is_young);
        let center = known.get(Tags::COST_CENTER).cloned().unwrap_or_default();
        let fits = args.cost_center.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&center));
        if !fits || args.untagged && !center.is_empty() {
            continue;
        }
        let value = |key: &str| known.get(key).cloned().unwrap_or_default();
        let (application, environment) = (value(Tags::APPLICATION_ID), value(Tags::ENVIRONMENT));
        let aliases = aliases_of(&items, &profile.arn).join(" ");
        let model = profile.model.unwrap_or_default();
        let mut row = vec![profile.name, profile.id, center, aliases, model];
        if global.output != Output::Table {
            row.extend([application, environment, joined(&known), profile.arn]);
        }
        rows.push(row);
    }
    let mut columns: Vec<Column> = ["name", "id", "costCenter", "aliases", "model"].map(Column::text).into();
    if global.output != Output::Table {
        columns.extend(["application", "environment", "tags", "arn"].map(Column::text));
    }
    Table { columns, rows }.print(global.output)?;
    if young > 0 {
        eprintln!(
            "note: AWS lists no tags yet for {young} profiles of the last {} minutes; `sentry profiles show` has them at once",
            SETTLED.num_minutes()
        );
    }
    Ok(())
}

/// Runs `sentry profiles show`.
pub async fn show(global: &Global, args: &ShowArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let Found { profile, aliases } = find(&stack, &args.profile).await?;
    let tags = directory::tags_of(&stack.bedrock(), &profile.arn).await?;
    let mut limits = limits_naming(&stack, &profile, &aliases).await?;
    let dimensions =
        [("costCenter", Tags::COST_CENTER), ("application", Tags::APPLICATION_ID), ("environment", Tags::ENVIRONMENT)];
    let of_tags = dimensions.into_iter().filter_map(|(kind, key)| Some(format!("{kind}#{}", tags.get(key)?)));
    let of_tags: Vec<String> = of_tags.collect();
    limits.extend(
        keys_of_limits(&stack).await?.into_iter().filter(|key| of_tags.iter().any(|it| it.eq_ignore_ascii_case(key))),
    );
    let fields = [
        ("name", profile.name),
        ("id", profile.id),
        ("arn", profile.arn),
        ("model", profile.model.unwrap_or_default()),
        ("status", profile.status),
        ("created", profile.created.map(|at| at.to_rfc3339()).unwrap_or_default()),
        ("tags", joined(&tags)),
        ("aliases", aliases.join(" ")),
        ("limits", limits.join(" ")),
    ];
    output::print(&record(&fields, global.output))
}

/// A profile with the names of its aliases.
pub struct Found {
    pub profile: Profile,
    pub aliases: Vec<String>,
}

/// The profile with the id, ARN, name or alias `named`.
///
/// # Errors
/// If there is none, or if several profiles have this name.
pub async fn find(stack: &Stack, named: &str) -> Result<Found, Failure> {
    let (bedrock, table) = (stack.bedrock(), CatalogueTable::of(stack)?);
    let (profiles, items) = tokio::try_join!(directory::profiles(&bedrock), table.all())?;
    let has_alias = |profile: &Profile| aliases_of(&items, &profile.arn).iter().any(|alias| alias == named);
    let mut fitting: Vec<Profile> = profiles
        .into_iter()
        .filter(|profile| {
            [&profile.id, &profile.arn, &profile.name].iter().any(|it| *it == named) || has_alias(profile)
        })
        .collect();
    let profile = fitting
        .pop()
        .ok_or_else(|| Failure::Refused(format!("there is no profile {named}. `sentry profiles list` shows all")))?;
    if !fitting.is_empty() {
        let ids: Vec<String> = fitting.into_iter().map(|other| other.id).chain([profile.id]).collect();
        return Err(Failure::Refused(format!(
            "{named} means several profiles. Name one of them by its id: {}",
            ids.join(", ")
        )));
    }
    let aliases = aliases_of(&items, &profile.arn);
    Ok(Found { profile, aliases })
}

/// The keys of the items of the limits table that name the profile.
///
/// # Errors
/// If the limits table cannot be read.
pub async fn limits_naming(stack: &Stack, profile: &Profile, aliases: &[String]) -> Result<Vec<String>, Failure> {
    let names: Vec<&str> = [&profile.id, &profile.arn].into_iter().chain(aliases).map(String::as_str).collect();
    Ok(keys_of_limits(stack).await?.into_iter().filter(|key| names.contains(&key.as_str())).collect())
}

async fn keys_of_limits(stack: &Stack) -> Result<Vec<String>, Failure> {
    let items = stack.limits_table()?.list(Utc::now()).await;
    let items = items.map_err(|failure| Failure::Unreachable(format!("the limits cannot be read: {failure}")))?;
    Ok(items.into_iter().map(|item| item.key).collect())
}

/// The tags as `key=value`, one space apart.
fn joined(tags: &BTreeMap<String, String>) -> String {
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    tags.join(" ")
}
