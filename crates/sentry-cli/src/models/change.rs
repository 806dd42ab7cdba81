//! `sentry models add` and `rm`.

use std::path::PathBuf;
use std::time::Instant;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use fn_validate_and_tag::{AttributeItem, KEY, read_addition};
use sentry_models::{Addition, AdditionError, ResolveError};
use serde_json::Value;

use crate::catalogue::{CatalogueTable, alias_item, alias_key};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::options::Global;
use crate::output::{Column, Table};
use crate::stack::Stack;

#[derive(clap::Args)]
#[group(id = "what", required = true, multiple = false)]
pub struct Source {
    /// JSON file with the entry
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The entry as JSON
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
    /// Name of an alias
    #[arg(long, value_name = "NAME", requires = "target")]
    alias: Option<String>,
}

#[derive(clap::Args)]
pub struct AddArgs {
    #[command(flatten)]
    source: Source,
    /// Id or ARN that the alias stands for
    #[arg(long, value_name = "ID", requires = "alias")]
    target: Option<String>,
}

#[derive(clap::Args)]
pub struct RmArgs {
    /// Key of the entry: an id, an ARN, or the name of an alias
    pub entry: String,
}

/// Runs `sentry models add`.
pub async fn add(global: &Global, args: &AddArgs) -> Result<(), Failure> {
    let (key, item) = wanted(args)?;
    let addition = read_addition(&key, item.clone()).map_err(|invalid| Failure::Usage(invalid.to_string()))?;
    let stack = Stack::find(global).await?;
    check(&stack, &key, &addition).await?;
    let table = CatalogueTable::of(&stack)?;
    let before = table.get(&key).await?;
    if before.as_ref() == Some(&item) {
        eprintln!("{key} is in the catalogue table already. Nothing was changed");
        return Ok(());
    }
    difference(global, before.as_ref(), Some(&item))?;
    confirm(global, &format!("Write the entry {key}? Requests see it within a minute."))?;
    table.put(&key, item, before.as_ref()).await
}

/// Runs `sentry models rm`.
pub async fn rm(global: &Global, args: &RmArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let table = CatalogueTable::of(&stack)?;
    let mut found = None;
    for key in [args.entry.clone(), alias_key(&args.entry)] {
        found = found.or(table.get(&key).await?.map(|item| (key, item)));
    }
    let (key, item) = found.ok_or_else(|| {
        Failure::Refused(format!("the catalogue table has no entry {}. `sentry models list` shows all", args.entry))
    })?;
    difference(global, Some(&item), None)?;
    confirm(global, &format!("Remove the entry {key}? Requests see it within a minute."))?;
    table.remove(&key, &item).await
}

/// The key and the item that the arguments describe.
fn wanted(args: &AddArgs) -> Result<(String, AttributeItem), Failure> {
    if let (Some(alias), Some(target)) = (&args.source.alias, &args.target) {
        let key = alias_key(alias);
        return Ok((key.clone(), alias_item(&key, target)));
    }
    let text = match (&args.source.json, &args.source.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))?,
        (None, None) => return Err(Failure::Usage("give FILE, --json, or --alias with --target".to_owned())),
    };
    let value: Value =
        serde_json::from_str(&text).map_err(|error| Failure::Usage(format!("the entry is no JSON: {error}")))?;
    let Value::Object(fields) = value else {
        return Err(Failure::Usage("the entry must be one JSON object".to_owned()));
    };
    let key = fields.get(KEY).and_then(Value::as_str).filter(|key| !key.is_empty());
    let key =
        key.ok_or_else(|| Failure::Usage(format!("the entry needs the field {KEY}: the model's id, or alias#NAME")))?;
    Ok((key.to_owned(), fields.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()))
}

/// Refuses an entry that requests could not call, by the rules of the functions.
async fn check(stack: &Stack, key: &str, addition: &Addition) -> Result<(), Failure> {
    let (catalogue, today) = (stack.catalogue()?, Utc::now().date_naive());
    let refused = |problem: String| Failure::Refused(format!("{key} was not written: {problem}"));
    let Some(target) = addition.target() else {
        if catalogue.item_key(key, &stack.region, today).as_deref() != Some(key) {
            return Err(refused("no request looks this key up; use the id or ARN that is called".to_owned()));
        }
        let resolved = catalogue.resolve_added(key, addition, &stack.region, today);
        return match resolved {
            Ok(_) | Err(AdditionError::Resolve(ResolveError::Profile(_))) => Ok(()),
            Err(AdditionError::Entry(invalid)) => Err(refused(invalid.to_string())),
            Err(AdditionError::Resolve(unresolved)) => Err(refused(unresolved.to_string())),
        };
    };
    let name = key.strip_prefix("alias#").unwrap_or(key);
    if Addition::alias_key(name).is_none() {
        return Err(refused(format!("{name:?} cannot be an alias; use letters of ASCII, digits, hyphens and dots")));
    }
    let is_unknown = matches!(catalogue.resolve(name, &stack.region, today), Err(ResolveError::Unknown));
    if !is_unknown && !catalogue.gives_way(name) {
        return Err(refused(format!("{name} is a name of the catalogue already, so no request would reach the alias")));
    }
    // An alias of an alias is not followed.
    if catalogue.item_key(target, &stack.region, today).as_deref() != Some(target) {
        return Err(refused(format!("{target} is no id or ARN; `sentry models show {target}` has the id")));
    }
    let answer = stack.resolver()?.resolve(target, today, Instant::now()).await;
    let answer = answer.map_err(|failure| Failure::Refused(format!("{target} cannot be looked up: {failure}")))?;
    answer
        .map(drop)
        .map_err(|refusal| refused(format!("{target} names no model that can be called: {}", refusal.problem())))
}

/// Prints the fields that differ.
fn difference(global: &Global, before: Option<&AttributeItem>, after: Option<&AttributeItem>) -> Result<(), Failure> {
    let mut names: Vec<&String> = before.into_iter().chain(after).flat_map(|item| item.keys()).collect();
    names.sort();
    names.dedup();
    let shown =
        |item: Option<&AttributeItem>, name: &str| item.and_then(|item| item.get(name)).map(shown).unwrap_or_default();
    let rows = names.into_iter().map(|name| vec![name.clone(), shown(before, name), shown(after, name)]);
    let rows = rows.filter(|row| row.get(1) != row.get(2)).collect();
    Table { columns: ["field", "before", "after"].map(Column::text).into(), rows }.print(global.output)
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(list) => AttributeValue::L(list.iter().map(attribute).collect()),
        Value::Object(map) => {
            AttributeValue::M(map.iter().map(|(name, value)| (name.clone(), attribute(value))).collect())
        }
    }
}

/// An attribute as JSON has it.
fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::Bool(truth) => truth.to_string(),
        AttributeValue::Null(_) => "null".to_owned(),
        AttributeValue::L(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        AttributeValue::M(map) => {
            let mut fields: Vec<String> = map.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(", "))
        }
        _ => "(a set or binary)".to_owned(),
    }
}
