//! `sentry profiles tag`, `untag` and `delete`.

use std::collections::BTreeMap;

use aws_sdk_bedrock::types::Tag;

use super::show::{Found, find, limits_naming};
use super::{directory, rules};
use crate::catalogue::{CatalogueTable, alias_key};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::options::Global;
use crate::output::{self, Column, Table};
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct TagArgs {
    /// Id, ARN, name or alias of the profile
    pub profile: String,
    /// The tags, such as environment=production
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = rules::pair)]
    pub tags: Vec<(String, String)>,
}

#[derive(clap::Args)]
pub struct UntagArgs {
    /// Id, ARN, name or alias of the profile
    pub profile: String,
    /// The keys of the tags
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,
}

#[derive(clap::Args)]
pub struct DeleteArgs {
    /// Id, ARN, name or alias of the profile
    pub profile: String,
    /// Also remove the aliases of the profile
    #[arg(long)]
    pub with_alias: bool,
}

/// Runs `sentry profiles tag`.
pub async fn tag(global: &Global, args: &TagArgs) -> Result<(), Failure> {
    let wanted: BTreeMap<String, String> = args.tags.iter().cloned().collect();
    if wanted.len() < args.tags.len() {
        return Err(Failure::Usage("a tag is given twice".to_owned()));
    }
    rules::check_tags(&wanted)?;
    let stack = Stack::find(global).await?;
    let arn = find(&stack, &args.profile).await?.profile.arn;
    let before = directory::tags_of(&stack.bedrock(), &arn).await?;
    let mut after = before.clone();
    after.extend(wanted.clone());
    rules::check_tags(&after)?;
    if !asked(global, &before, &after, &args.profile)? {
        return Ok(());
    }
    let mut call = stack.bedrock().tag_resource().resource_arn(&arn);
    for (key, value) in &wanted {
        let tag = Tag::builder().key(key).value(value).build();
        call = call.tags(tag.map_err(|error| Failure::Usage(format!("the tag {key} cannot be sent: {error}")))?);
    }
    let sent = call.send().await;
    sent.map(drop).map_err(|error| Failure::of_call(&format!("the profile {arn} cannot be tagged"), &error))
}

/// Runs `sentry profiles untag`.
pub async fn untag(global: &Global, args: &UntagArgs) -> Result<(), Failure> {
    args.keys.iter().try_for_each(|key| rules::check_key(key))?;
    let stack = Stack::find(global).await?;
    let arn = find(&stack, &args.profile).await?.profile.arn;
    let before = directory::tags_of(&stack.bedrock(), &arn).await?;
    if let Some(key) = args.keys.iter().find(|key| !before.contains_key(*key)) {
        return Err(Failure::Refused(format!("{} has no tag {key}. Nothing was changed", args.profile)));
    }
    let mut after = before.clone();
    after.retain(|key, _| !args.keys.contains(key));
    if !asked(global, &before, &after, &args.profile)? {
        return Ok(());
    }
    let call = stack.bedrock().untag_resource().resource_arn(&arn).set_tag_keys(Some(args.keys.clone()));
    let sent = call.send().await;
    sent.map(drop).map_err(|error| Failure::of_call(&format!("tags of the profile {arn} cannot be removed"), &error))
}

/// Shows the difference and asks. `false` if there is none.
fn asked(
    global: &Global,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    profile: &str,
) -> Result<bool, Failure> {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let rows = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let value = |tags: &BTreeMap<String, String>, key: &String| tags.get(key).cloned().unwrap_or_default();
    let rows: Vec<_> = rows.map(|key| vec![key.clone(), value(before, key), value(after, key)]).collect();
    if rows.is_empty() {
        eprintln!("{profile} has these tags already. Nothing was changed");
        return Ok(false);
    }
    Table { columns: ["tag", "before", "after"].map(Column::text).into(), rows }.print(global.output)?;
    confirm(
        global,
        &format!("Change the tags of {profile}? The bill has them from now on, and past spend keeps the old ones."),
    )?;
    Ok(true)
}

/// Runs `sentry profiles delete`. The aliases go first, so that no alias points to a profile that is gone.
pub async fn delete(global: &Global, args: &DeleteArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let Found { profile, aliases } = find(&stack, &args.profile).await?;
    let limits = limits_naming(&stack, &profile, &aliases).await?;
    if !limits.is_empty() {
        return Err(Failure::Refused(format!(
            "limits name {}: {}. Remove them first with `sentry limits rm`. Nothing was changed",
            profile.name,
            limits.join(", ")
        )));
    }
    if !aliases.is_empty() && !args.with_alias {
        return Err(Failure::Refused(format!(
            "aliases stand for {}: {}. Requests by them would fail. Add --with-alias to remove them too. Nothing was changed",
            profile.name,
            aliases.join(", ")
        )));
    }
    let also = if aliases.is_empty() { String::new() } else { format!(" and the aliases {}", aliases.join(", ")) };
    confirm(global, &format!("Delete the profile {} ({}){also}?", profile.name, profile.arn))?;
    let table = CatalogueTable::of(&stack)?;
    for alias in &aliases {
        let key = alias_key(alias);
        if let Some(item) = table.get(&key).await? {
            table.remove(&key, &item).await?;
        }
    }
    directory::delete(&stack.bedrock(), &profile.arn).await.map_err(|failure| match (failure, aliases.as_slice()) {
        (Failure::Refused(text), [_, ..]) => Failure::Refused(format!(
            "{text}. The aliases {} are removed already; run the command again",
            aliases.join(", ")
        )),
        (failure, _) => failure,
    })?;
    let fields = [("deleted", profile.arn), ("aliases", aliases.join(" "))];
    output::print(&super::record(&fields, global.output))
}
