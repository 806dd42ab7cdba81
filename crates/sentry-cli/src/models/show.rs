//! `sentry models list`, `show` and `check`.

use std::time::Instant;

use chrono::{TimeDelta, Utc};
use fn_validate_and_tag::{AttributeItem, read_addition};
use sentry_models::{Resolved, home_of_profile};

use super::Whole;
use crate::catalogue::{CatalogueTable, aliases_of};
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{self, Column, Table};
use crate::profiles::record;
use crate::stack::Stack;

/// Mark of an entry that cannot be understood.
const INVALID: &str = "INVALID";

#[derive(clap::Args)]
pub struct ShowArgs {
    /// Alias, id or ARN, as a request names its model
    pub model: String,
}

#[derive(clap::Args)]
pub struct CheckArgs {
    /// Warn of prices of the catalogue that were read more days ago
    #[arg(long, default_value_t = 90, value_name = "DAYS")]
    pub price_days: u32,
}

async fn whole(stack: &Stack) -> Result<Whole, Failure> {
    Ok(Whole {
        catalogue: stack.catalogue()?,
        items: CatalogueTable::of(stack)?.all().await?,
        region: stack.region.clone(),
        today: Utc::now().date_naive(),
    })
}

/// Runs `sentry models list`.
pub async fn list(global: &Global) -> Result<(), Failure> {
    let whole = whole(&Stack::find(global).await?).await?;
    let mut rows = Vec::new();
    for known in whole.catalogue.known() {
        let name = known.aliases.first().unwrap_or(&known.model);
        rows.push(row(global, name, &known.model, whole.model(name), "catalogue"));
    }
    for (key, item) in &whole.items {
        let entry = read_addition(key, item.clone());
        rows.push(match entry.as_ref().map(|addition| addition.target()) {
            Ok(Some(target)) if home_of_profile(target).is_some() => plain(global, key, target, "table", "profile"),
            Ok(Some(target)) => row(global, key, target, whole.model(target), "table"),
            Ok(None) => match whole.added(key, key, item) {
                Ok(Some(resolved)) => row(global, key, key, Ok(resolved), "table"),
                Ok(None) => plain(global, key, key, "table", ""),
                Err(problem) => plain(global, key, key, "table", &format!("{INVALID}: {problem}")),
            },
            Err(invalid) => plain(global, key, key, "table", &format!("{INVALID}: {invalid}")),
        });
    }
    let mut columns: Vec<Column> = ["name", "id"].map(Column::text).into();
    columns.extend(["input", "output"].map(Column::dollars));
    columns.push(Column::text("note"));
    if global.output != Output::Table {
        columns.extend([
            Column::text("ends"),
            Column::text("family"),
            Column::count("contextWindow"),
            Column::count("outputLimit"),
            Column::text("from"),
        ]);
    }
    Table { columns, rows }.print(global.output)
}

fn row(global: &Global, name: &str, id: &str, resolved: Result<Resolved, String>, from: &str) -> Vec<String> {
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(problem) => return plain(global, name, id, from, &problem),
    };
    let price = resolved.model.price.map(|price| price.rates);
    let (answered_by, ending);
    let note = if let Some(replaced) = &resolved.replaced {
        answered_by = format!("answered by {}", replaced.by);
        &answered_by
    } else if let Some(retiring) = &resolved.retiring {
        ending = format!("ends {}", retiring.ends);
        &ending
    } else if price.is_none() {
        "no price"
    } else if from == "table" {
        "table"
    } else {
        ""
    };
    let mut row = vec![
        name.to_owned(),
        resolved.model.model_id,
        price.map(|rates| rates.input.to_string()).unwrap_or_default(),
        price.map(|rates| rates.output.to_string()).unwrap_or_default(),
        note.to_owned(),
    ];
    if global.output != Output::Table {
        let tokens = |tokens: Option<u32>| tokens.map(|tokens| tokens.to_string()).unwrap_or_default();
        row.push(resolved.ends.map(|day| day.to_string()).unwrap_or_default());
        row.push(resolved.model.family.name().to_owned());
        row.push(tokens(resolved.limits.context_window));
        row.push(tokens(resolved.limits.output));
        row.push(from.to_owned());
    }
    row
}

fn plain(global: &Global, name: &str, id: &str, from: &str, note: &str) -> Vec<String> {
    // The whole reason is in the other forms, and `show` and `check` have it.
    let short = match note {
        _ if global.output != Output::Table => note,
        _ if note.starts_with(INVALID) => INVALID,
        "profile" => note,
        _ => "not callable",
    };
    let mut row: Vec<String> = [name, id, "", "", short].map(str::to_owned).into();
    if global.output != Output::Table {
        row.extend(["", "", "", "", from].map(str::to_owned));
    }
    row
}

/// Runs `sentry models show`.
pub async fn show(global: &Global, args: &ShowArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let whole = whole(&stack).await?;
    let answer = stack.resolver()?.resolve(&args.model, whole.today, Instant::now()).await;
    let resolved = answer
        .map_err(|failure| Failure::Refused(format!("{} cannot be looked up: {failure}", args.model)))?
        .map_err(|refusal| {
            Failure::Refused(format!("{} names no model that can be called: {}", args.model, refusal.problem()))
        })?;
    let id = &resolved.model.model_id;
    let known = whole.catalogue.known().into_iter();
    let mut aliases: Vec<String> = known
        .filter(|known| Some(&known.model) == resolved.model.foundation.as_ref())
        .flat_map(|known| known.aliases)
        .collect();
    aliases.extend(aliases_of(&whole.items, id));
    let rates = resolved.model.price.map(|price| price.rates);
    let rate = |rate: Option<String>| rate.unwrap_or_else(|| "unknown".to_owned());
    let own_price = resolved.model.price_source != sentry_contract::request::PriceSource::Catalogue;
    let origin = whole.catalogue.price_origin(id, &whole.region);
    let source = match (own_price, origin) {
        (true, _) => "the catalogue table".to_owned(),
        (false, Some(origin)) => format!("{} (read {})", origin.source, origin.read),
        (false, None) => String::new(),
    };
    let tokens = |tokens: Option<u32>| tokens.map_or_else(|| "unknown".to_owned(), |tokens| tokens.to_string());
    let fields = [
        ("model", args.model.clone()),
        ("id", id.clone()),
        ("foundation", resolved.model.foundation.clone().unwrap_or_default()),
        ("family", resolved.model.family.name().to_owned()),
        ("aliases", aliases.join(" ")),
        ("inputPrice", rate(rates.map(|rates| rates.input.to_string()))),
        ("outputPrice", rate(rates.map(|rates| rates.output.to_string()))),
        ("cacheReadPrice", rate(rates.and_then(|rates| rates.cache_read).map(|rate| rate.to_string()))),
        ("cacheWritePrice", rate(rates.and_then(|rates| rates.cache_write_5m).map(|rate| rate.to_string()))),
        ("priceSource", source),
        ("contextWindow", tokens(resolved.limits.context_window)),
        ("outputLimit", tokens(resolved.limits.output)),
        ("defaultMaxTokens", tokens(resolved.defaults.max_tokens)),
        ("fallback", resolved.fallback.clone().unwrap_or_default()),
        ("ends", resolved.ends.map(|day| day.to_string()).unwrap_or_default()),
        ("successor", resolved.successor.clone().unwrap_or_default()),
    ];
    output::print(&record(&fields, global.output))
}

/// Runs `sentry models check`.
pub async fn check(global: &Global, args: &CheckArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let whole = whole(&stack).await?;
    let resolver = stack.resolver()?;
    let mut rows = Vec::new();
    let mut errors = 0_u32;
    for (key, item) in &whole.items {
        if let Err(problem) = callable(&whole, &resolver, key, item).await? {
            errors += 1;
            rows.push(vec!["error".to_owned(), key.clone(), problem]);
        }
    }
    for known in whole.catalogue.known() {
        let name = known.aliases.first().unwrap_or(&known.model);
        let Ok(resolved) = whole.model(name) else { continue };
        let mut warn = |problem: String| rows.push(vec!["warning".to_owned(), name.clone(), problem]);
        if let Some(retiring) = &resolved.retiring {
            warn(retiring.to_string());
        }
        if resolved.model.price.is_none() {
            warn("has no price, so dollar limits deny it".to_owned());
        }
        let origin = whole.catalogue.price_origin(&resolved.model.model_id, &whole.region);
        if let Some(origin) = origin.filter(|it| whole.today - it.read > TimeDelta::days(i64::from(args.price_days))) {
            warn(format!("its price was read on {}", origin.read));
        }
    }
    Table { columns: ["level", "entry", "problem"].map(Column::text).into(), rows }.print(global.output)?;
    if errors > 0 {
        return Err(Failure::Refused(format!(
            "{errors} entries of the catalogue table cannot be called. Correct them with `sentry models add` or remove them with `sentry models rm`"
        )));
    }
    Ok(())
}

/// Checks that requests can call the model that the item `key` describes. The inner error is the problem.
async fn callable(
    whole: &Whole,
    resolver: &fn_validate_and_tag::Resolver,
    key: &str,
    item: &AttributeItem,
) -> Result<Result<(), String>, Failure> {
    if let Err(invalid) = read_addition(key, item.clone()) {
        return Ok(Err(invalid.to_string()));
    }
    let name = key.strip_prefix("alias#").unwrap_or(key);
    let answer = resolver.resolve(name, whole.today, Instant::now()).await;
    let answer = answer.map_err(|failure| Failure::Unreachable(format!("{name} cannot be looked up: {failure}")))?;
    Ok(answer.map(drop).map_err(|refusal| refusal.problem().to_owned()))
}
