//! Changes one item: `set`, `rm`, and the parts that `stop`, `resume` and `raise` share with them.

use std::collections::HashMap;
use std::path::PathBuf;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use fn_lookup_limit::{Item, KEY, State, check};
use sentry_domain::Unit;

use super::change::{self, Change, ENTRY, LIMIT, LIMITS, MONTH, WINDOW};
use super::file;
use super::store::Store;
use super::{reach, yaml};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::print;
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct SetArgs {
    /// Key of the item: default, a model's alias or id, costCenter#support, user#jo, foundation#…, application#a+environment#b
    pub key: String,
    /// A limit on input, output, usd, requests or inFlight, such as usd=500. `usd=none` removes it. Several with commas
    #[arg(long = "limit", value_name = "UNIT=AMOUNT", value_delimiter = ',')]
    pub limits: Vec<String>,
    /// The window of the limits: minute, hour, day, week, month or total [default: the only window of the item, or month]
    #[arg(long, value_name = "WINDOW")]
    pub window: Option<String>,
    /// Percentages at which an alert is sent, such as 80,100
    #[arg(long, value_name = "PERCENT", value_delimiter = ',')]
    pub alert_at: Vec<String>,
    /// Time zone of the window, such as Europe/Paris [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// The treatment of a request that does not fit: deny or observe
    #[arg(long, value_name = "EFFECT")]
    pub enforce: Option<String>,
    /// A note for people
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Who is responsible for the limit
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// File with the whole item in YAML or JSON; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["limits", "window", "alert_at", "time_zone", "enforce", "note", "owner", "json"])]
    pub file: Option<PathBuf>,
    /// The whole item, such as '{"limit": {"usd": 500}}'
    #[arg(long, value_name = "JSON", conflicts_with_all = ["limits", "window", "alert_at", "time_zone", "enforce", "note", "owner"])]
    pub json: Option<String>,
}

#[derive(clap::Args)]
pub struct KeyArgs {
    /// Key of the item, such as costCenter#support
    pub key: String,
}

/// Runs `limits set`: adds or changes one item.
pub async fn set(global: &Global, args: &SetArgs) -> Result<(), Failure> {
    let whole = match (&args.file, &args.json) {
        (Some(path), _) => {
            let text = file::text_of(path)?;
            Some(file::parse_item(&text, Some(&args.key)).map_err(|invalid| file::refused(path, &invalid))?.item)
        }
        (None, Some(json)) => {
            let parsed = file::parse_item(json, Some(&args.key));
            Some(parsed.map_err(|invalid| Failure::Refused(format!("--json, {invalid}. Nothing was changed")))?.item)
        }
        (None, None) => None,
    };
    let stack = Stack::find(global).await?;
    let store = Store::of(&stack)?;
    let all = store.all().await?;
    let before = all.get(&args.key).cloned();
    let after = match whole {
        Some(whole) => whole,
        None => edited(&args.key, before.as_ref(), args)?,
    };
    valid(&args.key, &after)?;
    let change = Change { key: args.key.clone(), before, after: Some(after) };
    reach::check(&stack, std::slice::from_ref(&change), all).await?;
    write(global, &stack, &store, vec![change], "set").await
}

/// Runs `limits rm`: removes one item.
pub async fn rm(global: &Global, args: &KeyArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let store = Store::of(&stack)?;
    let before = store.get(&args.key).await?.ok_or_else(|| not_found(&args.key))?;
    let change = Change { key: args.key.clone(), before: Some(before), after: None };
    write(global, &stack, &store, vec![change], "rm").await
}

/// The refusal if there is no item under `key`.
pub fn not_found(key: &str) -> Failure {
    Failure::Refused(format!("there is no item {key}. `sentry limits list` shows all"))
}

/// Checks an item as the functions read it.
///
/// # Errors
/// The field that is not understood, and why.
pub fn valid(key: &str, item: &Item) -> Result<(), Failure> {
    check(key, item).map_err(|invalid| {
        Failure::Refused(format!(
            "the item {key} would be invalid: {} {}. Nothing was changed",
            invalid.field(),
            invalid.problem()
        ))
    })
}

/// Shows `changes`, asks, and writes them one after the other.
///
/// # Errors
/// If the answer is no, or a change cannot be written. The error says which changes were written before.
pub async fn write(
    global: &Global,
    stack: &Stack,
    store: &Store,
    changes: Vec<Change>,
    what: &str,
) -> Result<(), Failure> {
    let changes: Vec<Change> = changes.into_iter().filter(|change| !change.is_nothing()).collect();
    let table = change::table(&changes);
    if changes.is_empty() {
        eprintln!("nothing changes");
        return if global.output == Output::Table { Ok(()) } else { table.print(global.output) };
    }
    match global.output {
        Output::Table => table.print(Output::Table)?,
        Output::Json | Output::Csv if !global.yes => eprint!("{}", table.written(Output::Table)),
        Output::Json | Output::Csv => {}
    }
    let writer = store.writer(stack).await?;
    confirm(global, &question(&changes))?;
    for (position, change) in changes.iter().enumerate() {
        if let Err(failure) = writer.write(change, what).await {
            return Err(partly(&changes, position, failure));
        }
    }
    if global.output != Output::Table {
        print(&table.written(global.output))?;
    }
    eprintln!("{} written, recorded in the history", count(changes.len()));
    Ok(())
}

fn count(changes: usize) -> String {
    if changes == 1 { "1 item".to_owned() } else { format!("{changes} items") }
}

fn question(changes: &[Change]) -> String {
    match changes {
        [change] => {
            let verb = match change.action() {
                "add" => "Add",
                "remove" => "Remove",
                _ => "Change",
            };
            format!("{verb} the item {}?", change.key)
        }
        changes => {
            let of = |action: &str| changes.iter().filter(|change| change.action() == action).count();
            format!("Add {}, change {} and remove {} items?", of("add"), of("change"), of("remove"))
        }
    }
}

/// `failure` of the change at `position`, with what was written before it and what was not.
fn partly(changes: &[Change], position: usize, failure: Failure) -> Failure {
    if changes.len() == 1 {
        return failure;
    }
    let keys = |changes: &[Change]| {
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
    };
    let (done, left) = changes.split_at(position);
    let message = format!("{failure}. Written: {}. Not written: {}", keys(done), keys(left));
    match failure {
        Failure::Refused(_) => Failure::Refused(message),
        Failure::Usage(_) => Failure::Usage(message),
        Failure::Unreachable(_) => Failure::Unreachable(message),
        Failure::Conflict(_) => Failure::Conflict(message),
    }
}

/// The item `before` with the changes of `args`.
fn edited(key: &str, before: Option<&Item>, args: &SetArgs) -> Result<Item, Failure> {
    let mut item = before.cloned().unwrap_or_else(|| Item::from([(KEY.to_owned(), text(key))]));
    let units = units(&args.limits)?;
    let texts = [("note", &args.note), ("owner", &args.owner), ("enforce", &args.enforce)];
    let given = texts.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
    let mut nothing = true;
    for (name, value) in given {
        nothing = false;
        item.insert(name.to_owned(), text(value));
    }
    let of_entry = !units.is_empty() || !args.alert_at.is_empty() || args.time_zone.is_some();
    if nothing && !of_entry {
        return Err(Failure::Usage(
            "say what to set: --limit usd=500, --alert-at 80,100, --note, or the whole item with --file or --json"
                .to_owned(),
        ));
    }
    if !of_entry {
        return Ok(item);
    }
    let window = args.window.as_deref().unwrap_or(MONTH);
    let entry = entry_of(&mut item, window, args.window.is_some())?;
    let limit = entry.entry(LIMIT.to_owned()).or_insert_with(|| AttributeValue::M(HashMap::new()));
    let AttributeValue::M(limit) = limit else {
        return Err(Failure::Refused(format!("limit of the item {key} is no map; correct it with --json")));
    };
    for (unit, amount) in units {
        match amount {
            Some(amount) => limit.insert(unit.name().to_owned(), AttributeValue::N(amount)),
            None => limit.remove(unit.name()),
        };
    }
    if !args.alert_at.is_empty() {
        let percentages = args.alert_at.iter().map(|percent| number(percent)).collect::<Result<_, _>>()?;
        entry.insert("alertAt".to_owned(), AttributeValue::L(percentages));
    }
    if let Some(zone) = &args.time_zone {
        entry.insert("timeZone".to_owned(), text(zone));
    }
    Ok(item)
}

/// The part of `item` that has the limits of `window`. It is added if there is none. A short item with another window gets
/// the form with several windows.
fn entry_of<'i>(item: &'i mut Item, window: &str, is_given: bool) -> Result<&'i mut Item, Failure> {
    if !item.contains_key(LIMITS) {
        let is_empty = !item.contains_key(LIMIT);
        if is_empty || is_of(item, window) || !is_given && item.contains_key(WINDOW) {
            if is_empty {
                item.insert(WINDOW.to_owned(), text(window));
            }
            return Ok(item);
        }
        let moved = ENTRY.iter().filter_map(|name| item.remove_entry(*name)).collect();
        item.insert(LIMITS.to_owned(), AttributeValue::L(vec![AttributeValue::M(moved)]));
    }
    let Some(AttributeValue::L(entries)) = item.get_mut(LIMITS) else {
        return Err(Failure::Refused("limits of the item is no list; correct it with --json".to_owned()));
    };
    let fits = |entry: &AttributeValue| entry.as_m().is_ok_and(|entry| is_of(entry, window));
    let found: Vec<usize> = entries.iter().enumerate().filter(|(_, entry)| fits(entry)).map(|(at, _)| at).collect();
    let position = match found.as_slice() {
        [] => {
            entries.push(AttributeValue::M(HashMap::from([(WINDOW.to_owned(), text(window))])));
            entries.len() - 1
        }
        [position] => *position,
        _ => {
            let problem =
                format!("the item has several limits with the window {window}; give the whole item with --json");
            return Err(Failure::Refused(problem));
        }
    };
    match entries.get_mut(position) {
        Some(AttributeValue::M(entry)) => Ok(entry),
        _ => Err(Failure::Refused("an entry of limits is no map; correct it with --json".to_owned())),
    }
}

/// `true` if `entry` has windows of the kind `window`.
fn is_of(entry: &Item, window: &str) -> bool {
    match entry.get(WINDOW) {
        Some(AttributeValue::S(own)) => own == window,
        None => window == MONTH && !entry.contains_key("from"),
        Some(_) => false,
    }
}

/// Parses limits such as `usd=500`. `none` as amount removes the limit.
///
/// # Errors
/// If a limit has no known unit or no number.
pub fn units(given: &[String]) -> Result<Vec<(Unit, Option<String>)>, Failure> {
    let names = || Unit::ALL.map(Unit::name).join(", ");
    let parsed = given.iter().map(|limit| {
        let (name, amount) = limit
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--limit {limit} has no amount; write for instance usd=500")))?;
        let unit = Unit::ALL.into_iter().find(|unit| unit.name() == name);
        let unit =
            unit.ok_or_else(|| Failure::Usage(format!("{name} is no unit of a limit; known are {}", names())))?;
        match amount {
            "none" => Ok((unit, None)),
            amount if yaml::is_number(amount) => Ok((unit, Some(amount.to_owned()))),
            amount => Err(Failure::Usage(format!("--limit {name}={amount} is no number, such as {name}=500"))),
        }
    });
    let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
    if let Some((unit, _)) = parsed
        .iter()
        .enumerate()
        .find_map(|(at, one)| parsed.iter().take(at).any(|other| other.0 == one.0).then_some(one))
    {
        return Err(Failure::Usage(format!("--limit {} is given twice", unit.name())));
    }
    Ok(parsed)
}

fn number(digits: &str) -> Result<AttributeValue, Failure> {
    let is_number = yaml::is_number(digits);
    is_number
        .then(|| AttributeValue::N(digits.to_owned()))
        .ok_or_else(|| Failure::Usage(format!("{digits} is no number")))
}

/// An attribute of DynamoDB's type string.
pub fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// `item` without a stop. `None` if the item did nothing but stop its scope.
pub fn resumed(item: &Item) -> Option<Item> {
    let mut resumed = item.clone();
    resumed.remove("stopped");
    (resumed.contains_key(LIMIT) || resumed.contains_key(LIMITS)).then_some(resumed)
}

/// `item` with a raise of the limits in `units` until `until`. `window` chooses one of several windows.
///
/// # Errors
/// If no window limits the units, several do, or the raise is not higher.
pub fn raised(
    key: &str,
    item: &Item,
    units: &[(Unit, String)],
    until: &str,
    window: Option<&str>,
) -> Result<Item, Failure> {
    let state = State::of(key, item, Utc::now());
    let state = state.map_err(|invalid| Failure::Refused(format!("{invalid} `sentry limits set` corrects it")))?;
    let fits = state.entries.iter().enumerate().filter(|(_, entry)| {
        units.iter().all(|(unit, _)| entry.limits.get(*unit).is_some())
            && window.is_none_or(|window| entry.window == window)
    });
    let fits: Vec<_> = fits.collect();
    let names = || units.iter().map(|(unit, _)| unit.name()).collect::<Vec<_>>().join(" and ");
    let position = match fits.as_slice() {
        [(position, _)] => *position,
        [] => {
            let of = window.map(|window| format!(" with the window {window}")).unwrap_or_default();
            let problem = format!("the item {key} has no limit on {}{of}, so there is nothing to raise", names());
            return Err(Failure::Refused(format!("{problem}. `sentry limits get {key}` shows it")));
        }
        several => {
            let windows: Vec<&str> = several.iter().map(|(_, entry)| entry.window.as_str()).collect();
            let problem = format!("the item {key} limits {} in several windows; choose one with --window", names());
            return Err(Failure::Usage(format!("{problem}: {}", windows.join(", "))));
        }
    };
    let limit = units.iter().map(|(unit, amount)| (unit.name().to_owned(), AttributeValue::N(amount.clone())));
    let raise =
        HashMap::from([(LIMIT.to_owned(), AttributeValue::M(limit.collect())), ("until".to_owned(), text(until))]);
    let mut raised = item.clone();
    let entry = if item.contains_key(LIMITS) {
        match raised.get_mut(LIMITS) {
            Some(AttributeValue::L(entries)) => match entries.get_mut(position) {
                Some(AttributeValue::M(entry)) => Some(entry),
                _ => None,
            },
            _ => None,
        }
    } else {
        Some(&mut raised)
    };
    let entry = entry.ok_or_else(|| Failure::Refused(format!("the item {key} has no windows")))?;
    entry.insert("raise".to_owned(), AttributeValue::M(raise));
    valid(key, &raised)?;
    let now = State::of(key, &raised, Utc::now()).ok().and_then(|state| state.entries.into_iter().nth(position));
    let higher = now.is_some_and(|entry| {
        let raised = entry.raised.map_or(entry.limits, |(limits, _)| limits);
        units.iter().all(|(unit, _)| raised.get(*unit) > entry.limits.get(*unit))
    });
    if !higher {
        return Err(Failure::Refused(format!("the raise of {key} is not higher than the limit. Nothing was changed")));
    }
    Ok(raised)
}

#[cfg(test)]
mod tests;
