//! The limits as a whole: `import`, `export` and `lint`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use fn_lookup_limit::{Item, State, check};

use super::change::{Change, UPDATED_AT, UPDATED_BY};
use super::store::Store;
use super::{change, edit, file, reach};
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::stack::Stack;

const STOPPED: &str = "stopped";
const LIMITS: &str = "limits";
const RAISE: &str = "raise";

#[derive(clap::Args)]
pub struct ImportArgs {
    /// File of limits in YAML or JSON; - is standard input
    pub file: PathBuf,
    /// Remove items that are not in the file. Items that are stopped stay
    #[arg(long)]
    pub prune: bool,
    /// Only show what would change
    #[arg(long)]
    pub plan: bool,
}

#[derive(clap::Args)]
pub struct ExportArgs {
    /// File to write to [default: standard output]
    pub file: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct LintArgs {
    /// File of limits to check instead of the table; - is standard input
    pub file: Option<PathBuf>,
}

/// Runs `limits import`: puts the items of a file into the table.
pub async fn import(global: &Global, args: &ImportArgs) -> Result<(), Failure> {
    let wanted = file::read(&args.file)?;
    let stack = Stack::find(global).await?;
    let store = Store::of(&stack)?;
    let table = store.all().await?;
    let wanted = wanted.into_iter().map(|item| (item.key, item.item)).collect();
    let (changes, notes) = planned(&table, wanted, args.prune);
    for note in &notes {
        eprintln!("note: {note}");
    }
    let others = table.into_iter();
    reach::check(&stack, &changes, others).await?;
    let of = |action: &str| changes.iter().filter(|change| change.action() == action).count();
    eprintln!("{} to add, {} to change, {} to remove, {} unchanged", of("add"), of("change"), of("remove"), of("keep"));
    if args.plan {
        return change::table(&changes).print(global.output);
    }
    edit::write(global, &stack, &store, changes, "import").await
}

/// The changes that give `table` the items `wanted`, and notes on what stays although the file does not have it.
fn planned(table: &BTreeMap<String, Item>, wanted: BTreeMap<String, Item>, prune: bool) -> (Vec<Change>, Vec<String>) {
    let mut notes = Vec::new();
    let mut changes = Vec::new();
    for (key, mut after) in wanted.clone() {
        let before = table.get(&key).cloned();
        if let Some(before) = &before {
            keep_live(&key, before, &mut after, &mut notes);
        }
        changes.push(Change { key, before, after: Some(after) });
    }
    for (key, item) in table.iter().filter(|(key, _)| prune && !wanted.contains_key(*key)) {
        if item.contains_key(STOPPED) {
            notes.push(format!("{key} stays, because it is stopped. `sentry resume` ends that"));
            continue;
        }
        changes.push(Change { key: key.clone(), before: Some(item.clone()), after: None });
    }
    (changes, notes)
}

/// Keeps what is not for a file in Git: a stop and a raise that an administrator made since, and what AWS wrote.
fn keep_live(key: &str, before: &Item, after: &mut Item, notes: &mut Vec<String>) {
    after.retain(|name, _| name != UPDATED_BY && name != UPDATED_AT);
    for (name, value) in before.iter().filter(|(name, _)| name.starts_with("aws:")) {
        after.entry(name.clone()).or_insert_with(|| value.clone());
    }
    if let Some(stopped) = before.get(STOPPED).filter(|_| !after.contains_key(STOPPED)) {
        notes.push(format!("{key} stays stopped ({}). `sentry resume` ends that", file::flow(stopped)));
        after.insert(STOPPED.to_owned(), stopped.clone());
    }
    let Ok(state) = State::of(key, before, Utc::now()) else { return };
    for (position, entry) in state.entries.iter().enumerate().filter(|(_, entry)| entry.raised.is_some()) {
        let raise = match before.get(LIMITS) {
            Some(AttributeValue::L(entries)) => entries.get(position).and_then(|entry| entry.as_m().ok()?.get(RAISE)),
            _ => before.get(RAISE),
        };
        let Some(raise) = raise else { continue };
        let mut with_raise = after.clone();
        if put_raise(key, &mut with_raise, &entry.window, raise) && check(key, &with_raise).is_ok() {
            *after = with_raise;
            notes.push(format!("the raise of {key} stays until it ends by itself"));
        }
    }
}

/// Puts `raise` into the entry with the window `window`. `false` if there is none, or it has a raise of its own.
fn put_raise(key: &str, item: &mut Item, window: &str, raise: &AttributeValue) -> bool {
    let Ok(state) = State::of(key, item, Utc::now()) else { return false };
    let Some(position) = state.entries.iter().position(|entry| entry.window == window) else { return false };
    let entry = if item.contains_key(LIMITS) {
        match item.get_mut(LIMITS) {
            Some(AttributeValue::L(entries)) => match entries.get_mut(position) {
                Some(AttributeValue::M(entry)) => entry,
                _ => return false,
            },
            _ => return false,
        }
    } else {
        item
    };
    if entry.contains_key(RAISE) {
        return false;
    }
    entry.insert(RAISE.to_owned(), raise.clone());
    true
}

/// Runs `limits export`: writes all items of the table to a file.
pub async fn export(global: &Global, args: &ExportArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let mut items = Store::of(&stack)?.all().await?;
    for (key, item) in &mut items {
        item.retain(|name, _| name != UPDATED_BY && name != UPDATED_AT && !name.starts_with("aws:"));
        if let Err(invalid) = check(key, item) {
            eprintln!("warning: {invalid} `sentry limits import` refuses the file until that is done");
        }
    }
    let text = match global.output {
        Output::Json => {
            let items: Vec<String> = items.values().map(file::json_item).collect();
            format!("{{\"limits\": [\n  {}\n]}}\n", items.join(",\n  "))
        }
        Output::Table => file::written(items.values()),
        Output::Csv => {
            let problem =
                "limits have no form in CSV; use --output json, or none for YAML. `limits list` has a CSV form";
            return Err(Failure::Usage(problem.to_owned()));
        }
    };
    match &args.file {
        None => print(&text),
        Some(path) => {
            let written = std::fs::write(path, text);
            written.map_err(|error| Failure::Refused(format!("{} cannot be written: {error}", path.display())))?;
            eprintln!("{} items written to {}", items.len(), path.display());
            Ok(())
        }
    }
}

/// The problems of `items`, in the order of their keys: no request can reach the item, or it is malformed.
///
/// # Errors
/// If AWS cannot be asked for the models.
pub async fn problems(stack: &Stack, items: &BTreeMap<String, Item>) -> Result<Vec<(String, String)>, Failure> {
    let keys: Vec<&str> = items.keys().map(String::as_str).collect();
    let by_key: HashMap<String, Item> = items.clone().into_iter().collect();
    let unreachable = reach::unreachable(stack, &by_key, &keys).await?;
    let unreachable = unreachable.into_iter().map(|(key, reason)| (key, format!("no request can reach it: {reason}")));
    let malformed = items.iter().filter_map(|(key, item)| {
        let invalid = check(key, item).err()?;
        let problem = format!(
            "it is malformed, so every request that it limits is denied: {} {}",
            invalid.field(),
            invalid.problem()
        );
        Some((key.clone(), problem))
    });
    let mut found: Vec<(String, String)> = unreachable.chain(malformed).collect();
    found.sort();
    Ok(found)
}

/// Runs `limits lint`: checks the items of the table, or of a file.
pub async fn lint(global: &Global, args: &LintArgs) -> Result<(), Failure> {
    let from_file = args.file.as_deref().map(file::read).transpose()?;
    let stack = Stack::find(global).await?;
    let items: BTreeMap<String, Item> = match from_file {
        Some(items) => items.into_iter().map(|item| (item.key, item.item)).collect(),
        None => Store::of(&stack)?.all().await?,
    };
    let found = problems(&stack, &items).await?;
    let rows: Vec<Vec<String>> = found.into_iter().map(|(key, problem)| vec![key, problem]).collect();
    let problems = rows.len();
    if problems > 0 || global.output != Output::Table {
        Table { columns: ["key", "problem"].map(Column::text).to_vec(), rows }.print(global.output)?;
    }
    if problems > 0 {
        return Err(Failure::Refused(format!("{problems} of {} items have a problem", items.len())));
    }
    eprintln!("{} items, and requests can reach each of them", items.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> BTreeMap<String, Item> {
        file::parse(text).unwrap().into_iter().map(|item| (item.key, item.item)).collect()
    }

    fn actions(table: &str, wanted: &str, prune: bool) -> (Vec<(String, String)>, Vec<String>) {
        let (changes, notes) = planned(&items(table), items(wanted), prune);
        let told = changes
            .iter()
            .map(|change| (format!("{} {}", change.action(), change.key), change::as_text(&change.fields())));
        (told.filter(|(action, _)| !action.starts_with("keep")).collect(), notes)
    }

    const TABLE: &str = "limits:
  - {modelId: a, limit: {usd: 1}, updatedBy: jo}
  - {modelId: b, limit: {usd: 2}, stopped: audit}
  - {modelId: c, limit: {usd: 3}, raise: {limit: {usd: 9}, until: \"2999-01-01T00:00:00Z\"}}
  - {modelId: d, stopped: audit}
";

    #[test]
    fn an_import_of_what_is_there_changes_nothing() {
        assert_eq!(actions(TABLE, TABLE, true), (Vec::new(), Vec::new()));
        let written = file::written(items(TABLE).values());
        assert_eq!(actions(TABLE, &written, true).0, []);
    }

    #[test]
    fn an_import_lifts_no_stop_and_ends_no_raise() {
        let wanted =
            "limits: [{modelId: b, limit: {usd: 7}}, {modelId: c, limit: {usd: 4}}, {modelId: e, limit: {usd: 5}}]";
        let (changes, notes) = actions(TABLE, wanted, true);
        let told: Vec<String> = changes.into_iter().map(|(action, fields)| format!("{action}: {fields}")).collect();
        assert_eq!(
            told,
            [
                "change b: month.limit.usd: 2 -> 7",
                "change c: month.limit.usd: 3 -> 4",
                "add e: month.limit.usd: 5 added",
                "remove a: month.limit.usd: 1 removed",
            ]
        );
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert!(notes[0].contains("b stays stopped (audit)") && notes[2].contains("d stays"), "{notes:?}");
    }

    #[test]
    fn a_stop_or_raise_in_the_file_replaces_that_of_the_table() {
        let (changes, _) = actions(TABLE, "limits: [{modelId: b, limit: {usd: 2}, stopped: other}]", false);
        assert_eq!(changes, [("change b".to_owned(), "stopped: audit -> other".to_owned())]);
    }
}
