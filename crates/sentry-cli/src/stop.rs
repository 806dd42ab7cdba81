//! `sentry stop`, `sentry resume` and `sentry raise`.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use fn_lookup_limit::{Item, KEY, scope_of_key};

use crate::failure::Failure;
use crate::limits::change::Change;
use crate::limits::edit::{raised, resumed, text, units, valid, write};
use crate::limits::reach::{self, Models};
use crate::limits::store::Store;
use crate::options::Global;
use crate::stack::Stack;

const STOPPED: &str = "stopped";
const DEFAULT: &str = "default";
const MODEL: &str = "model#";
const FOUNDATION: &str = "foundation#";

#[derive(clap::Args)]
pub struct StopArgs {
    /// The scope: costCenter#support, user#jo, a model's alias or id, foundation#…, or the item default
    pub scope: String,
    /// The reason, which denied clients are told
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(clap::Args)]
pub struct ResumeArgs {
    /// The scope as for `stop`
    pub scope: String,
}

#[derive(clap::Args)]
pub struct RaiseArgs {
    /// The scope: costCenter#support, user#jo, a model's alias or id, foundation#…, or the item default
    pub scope: String,
    /// The higher limit: usd=800. Several with commas
    #[arg(long = "limit", value_name = "UNIT=AMOUNT", value_delimiter = ',', required = true)]
    pub limits: Vec<String>,
    /// The end of the raise: an instant, a UTC day such as 2026-12-01, tomorrow, or a time from now such as 30m, 2h, 3d, 1w
    #[arg(long, value_name = "MOMENT")]
    pub until: String,
    /// The window to raise, if several limit the same unit
    #[arg(long, value_name = "WINDOW")]
    pub window: Option<String>,
}

/// The items of a scope.
struct Target {
    /// The key under which an item applies to the whole scope.
    key: String,
    /// Keys of all items that are for the scope, or for a part of it, in the order in which they apply.
    existing: Vec<String>,
    /// `true` if the scope is a model.
    is_model: bool,
}

/// Runs `stop`: denies every request of a scope.
pub async fn stop(global: &Global, args: &StopArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let store = Store::of(&stack)?;
    let all = store.all().await?;
    let models = Models::of(&stack)?;
    let target = target(&args.scope, &all, &models).await?;
    let changes = stopping(&target, &all, &args.reason)?;
    reach::check(&stack, &changes, all).await?;
    if target.is_model && models.are_by_tags() {
        let scope = &args.scope;
        eprintln!(
            "note: requests of {scope} that go through a profile by tags have another model scope. To stop them too, stop foundation#…"
        );
    }
    write(global, &stack, &store, changes, "stop").await
}

/// Ends the stop of a scope.
pub async fn resume(global: &Global, args: &ResumeArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let store = Store::of(&stack)?;
    let all = store.all().await?;
    let target = target(&args.scope, &all, &Models::of(&stack)?).await?;
    let changes = resuming(&target, &all);
    if changes.is_empty() {
        return Err(Failure::Refused(format!("{} is not stopped", args.scope)));
    }
    write(global, &stack, &store, changes, "resume").await
}

/// Raises the limits of a scope.
pub async fn raise(global: &Global, args: &RaiseArgs) -> Result<(), Failure> {
    let until = moment(&args.until, Utc::now())?.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut amounts = Vec::new();
    for (unit, amount) in units(&args.limits)? {
        match amount {
            Some(amount) => amounts.push((unit, amount)),
            None => return Err(Failure::Usage(format!("--limit {}=none is no raise", unit.name()))),
        }
    }
    let stack = Stack::find(global).await?;
    let store = Store::of(&stack)?;
    let all = store.all().await?;
    let target = target(&args.scope, &all, &Models::of(&stack)?).await?;
    let key = raisable(&args.scope, &target)?;
    let before = all.get(key).cloned();
    let after = before.as_ref().map(|item| raised(key, item, &amounts, &until, args.window.as_deref())).transpose()?;
    let change = Change { key: key.to_owned(), before, after };
    reach::check(&stack, std::slice::from_ref(&change), all.clone()).await?;
    write(global, &stack, &store, vec![change], "raise").await
}

/// The items of `scope`.
async fn target(scope: &str, all: &BTreeMap<String, Item>, models: &Models) -> Result<Target, Failure> {
    let name = scope.strip_prefix(MODEL).unwrap_or(scope);
    if name == DEFAULT || name.starts_with(FOUNDATION) {
        let existing = all.contains_key(name).then(|| name.to_owned()).into_iter().collect();
        return Ok(Target { key: name.to_owned(), existing, is_model: false });
    }
    if name.contains('#') {
        return Ok(of_tags(name, all));
    }
    match models.named(name).await? {
        Ok(model) => {
            let mut existing: Vec<String> = Vec::new();
            for key in [&model.model_metric, &model.model_id, &model.requested] {
                if all.contains_key(key) && !existing.contains(key) {
                    existing.push(key.clone());
                }
            }
            Ok(Target { key: model.model_metric, existing, is_model: true })
        }
        Err(_) if all.contains_key(name) => {
            Ok(Target { key: name.to_owned(), existing: vec![name.to_owned()], is_model: true })
        }
        Err(reason) => Err(Failure::Refused(format!("{name} is no scope and no model: {reason}"))),
    }
}

/// The items of a scope of tags: those under its name, and under its values in other letters.
fn of_tags(name: &str, all: &BTreeMap<String, Item>) -> Target {
    let key = scope_of_key(name);
    let mut existing: Vec<String> = all.keys().filter(|other| scope_of_key(other) == key).cloned().collect();
    existing.sort_by_key(|other| (other != name, *other != key));
    Target { key, existing, is_model: false }
}

/// The changes that stop every request of the scope.
fn stopping(target: &Target, all: &BTreeMap<String, Item>, reason: &str) -> Result<Vec<Change>, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::Usage("--reason is empty; clients are told the reason".to_owned()));
    }
    // A model's first item decides. Every item of a tag decides for the requests that have its value in its letters.
    let mut keys: Vec<&String> = target.existing.iter().filter(|_| !target.is_model).collect();
    if !keys.contains(&&target.key) {
        keys.push(&target.key);
    }
    let changes = keys.into_iter().map(|key| {
        let before = all.get(key).cloned();
        let mut after = before.clone().unwrap_or_else(|| Item::from([(KEY.to_owned(), text(key))]));
        after.insert(STOPPED.to_owned(), text(reason));
        valid(key, &after)?;
        Ok(Change { key: key.clone(), before, after: Some(after) })
    });
    changes.collect()
}

/// The changes that end the stop of the scope. Items that did nothing else are removed.
fn resuming(target: &Target, all: &BTreeMap<String, Item>) -> Vec<Change> {
    let items = target.existing.iter().filter_map(|key| Some((key, all.get(key)?)));
    let stopped = items.filter(|(_, item)| item.get(STOPPED).is_some_and(|reason| !reason.is_null()));
    stopped.map(|(key, item)| Change { key: key.clone(), before: Some(item.clone()), after: resumed(item) }).collect()
}

/// The key of the item to raise.
fn raisable<'t>(scope: &str, target: &'t Target) -> Result<&'t str, Failure> {
    match target.existing.as_slice() {
        [key] => Ok(key),
        [] => Err(Failure::Refused(format!(
            "there is no item for {scope}, so it has no limit of its own to raise. `sentry limits list` shows all items"
        ))),
        [first, ..] if target.is_model || first == scope => Ok(first),
        several => Err(Failure::Usage(format!("{scope} has several items; name one of {}", several.join(", ")))),
    }
}

/// Parses the end of a raise.
pub fn moment(given: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).map(|midnight| midnight.and_utc());
    let parsed = if given == "tomorrow" {
        now.date_naive().succ_opt().and_then(midnight)
    } else if let Ok(day) = given.parse::<NaiveDate>() {
        midnight(day)
    } else if let Ok(instant) = DateTime::parse_from_rfc3339(given) {
        Some(instant.to_utc())
    } else {
        from_now(given).and_then(|span| now.checked_add_signed(span))
    };
    let until = parsed.ok_or_else(|| {
        Failure::Usage(format!(
            "--until {given} is no moment; write 2026-12-01T00:00:00Z, 2026-12-01, tomorrow, 30m, 2h, 3d or 1w"
        ))
    })?;
    if until <= now {
        return Err(Failure::Usage(format!("--until {given} is over")));
    }
    Ok(until)
}

fn from_now(given: &str) -> Option<TimeDelta> {
    let unit = given.chars().last()?;
    let amount: i64 = given.strip_suffix(unit)?.parse().ok()?;
    match unit {
        'm' => TimeDelta::try_minutes(amount),
        'h' => TimeDelta::try_hours(amount),
        'd' => TimeDelta::try_days(amount),
        'w' => TimeDelta::try_weeks(amount),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::change::as_text;
    use crate::limits::file;

    fn items(text: &str) -> BTreeMap<String, Item> {
        file::parse(text).unwrap().into_iter().map(|item| (item.key, item.item)).collect()
    }

    fn told(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| format!("{} {}: {}", change.action(), change.key, as_text(&change.fields())))
            .collect()
    }

    #[test]
    fn a_stop_reaches_the_value_in_all_letters_and_resume_undoes_it() {
        let all = items(
            "limits: [{modelId: costCenter#Marketing, limit: {usd: 5}}, {modelId: costCenter#sales, limit: {usd: 5}}]",
        );
        let changes = stopping(&of_tags("costCenter#MARKETING", &all), &all, "audit").unwrap();
        assert_eq!(
            told(&changes),
            ["change costCenter#Marketing: stopped: audit added", "add costCenter#marketing: stopped: audit added"]
        );
        let mut after = all.clone();
        after.extend(changes.into_iter().map(|change| (change.key, change.after.unwrap())));
        let changes = resuming(&of_tags("costCenter#marketing", &after), &after);
        assert_eq!(told(&changes).len(), 2);
        assert!(told(&changes).contains(&"remove costCenter#marketing: stopped: audit removed".to_owned()));
        assert_eq!(resuming(&of_tags("costCenter#sales", &after), &after), []);
        assert!(stopping(&of_tags("costCenter#a", &all), &all, " ").is_err());
    }

    #[test]
    fn a_raise_needs_one_item() {
        let all = items(
            "limits: [{modelId: costCenter#Marketing, limit: {usd: 5}}, {modelId: costCenter#MARKETING, limit: {usd: 5}}]",
        );
        let of = |scope: &str| {
            raisable(scope, &of_tags(scope, &all)).map(str::to_owned).map_err(|failure| failure.to_string())
        };
        assert_eq!(of("costCenter#Marketing").unwrap(), "costCenter#Marketing");
        assert!(of("costCenter#marketing").unwrap_err().contains("name one of"));
        assert!(of("costCenter#none").unwrap_err().contains("no item"));
    }

    #[test]
    fn an_end_is_an_instant_a_day_or_a_time_from_now() {
        let now = "2026-11-21T13:37:11Z".parse().unwrap();
        for (given, expected) in [
            ("2026-12-01T00:00:00+01:00", "2026-11-30T23:00:00Z"),
            ("2026-12-01", "2026-12-01T00:00:00Z"),
            ("tomorrow", "2026-11-22T00:00:00Z"),
            ("30m", "2026-11-21T14:07:11Z"),
            ("2h", "2026-11-21T15:37:11Z"),
            ("3d", "2026-11-24T13:37:11Z"),
            ("1w", "2026-11-28T13:37:11Z"),
        ] {
            assert_eq!(moment(given, now).unwrap().to_rfc3339_opts(SecondsFormat::Secs, true), expected, "{given}");
        }
        for given in ["", "soon", "2", "-2h", "0m", "9999999999999w", "2026-11-21", "2026-11-20T00:00:00Z", "2é"] {
            assert!(moment(given, now).is_err(), "{given}");
        }
    }
}
