//! `sentry models`: the models that can be called, and the entries of the catalogue table.

mod change;
mod show;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use fn_validate_and_tag::{AttributeItem, read_addition};
use sentry_models::{AdditionError, Catalogue, Resolved};

use crate::failure::Failure;
use crate::options::Global;

#[derive(clap::Subcommand)]
pub enum Task {
    /// Show all models of the catalogue and of the catalogue table, with their prices in this Region
    List,
    /// Show everything that is known about one model
    Show(show::ShowArgs),
    /// Add an entry to the catalogue table, or change one. The difference is shown and asked for
    ///
    /// Examples:
    ///   sentry models add --alias fast --target us.amazon.nova-lite-v1:0
    ///   sentry models add --json '{"entry": "us.amazon.nova-lite-v1:0", "price": {"input": "0.06", "output": "0.24"}}'
    #[command(verbatim_doc_comment)]
    Add(change::AddArgs),
    /// Remove an entry of the catalogue table
    Rm(change::RmArgs),
    /// Check the entries of the catalogue table, the ends of models and the age of prices. Exits with 1 at an error
    Check(show::CheckArgs),
}

/// Runs a command of `sentry models`.
pub async fn run(global: &Global, task: &Task) -> Result<(), Failure> {
    match task {
        Task::List => show::list(global).await,
        Task::Show(args) => show::show(global, args).await,
        Task::Add(args) => change::add(global, args).await,
        Task::Rm(args) => change::rm(global, args).await,
        Task::Check(args) => show::check(global, args).await,
    }
}

/// The catalogue with the items of its table, at a place and on a day.
struct Whole {
    catalogue: Catalogue,
    items: BTreeMap<String, AttributeItem>,
    region: String,
    today: NaiveDate,
}

impl Whole {
    /// The model `name` of the catalogue, with the item of the table that describes it.
    fn model(&self, name: &str) -> Result<Resolved, String> {
        let key = self.catalogue.item_key(name, &self.region, self.today);
        if let Some((key, item)) = key.and_then(|key| self.items.get_key_value(&key))
            && let Some(resolved) = self.added(name, key, item)?
        {
            return Ok(resolved);
        }
        self.catalogue.resolve(name, &self.region, self.today).map_err(|error| error.to_string())
    }

    /// The model that the item `key` describes. `None` if the item is an alias.
    fn added(&self, name: &str, key: &str, item: &AttributeItem) -> Result<Option<Resolved>, String> {
        let addition = read_addition(key, item.clone()).map_err(|invalid| invalid.to_string())?;
        let resolved = self.catalogue.resolve_added(name, &addition, &self.region, self.today);
        resolved.map_err(|error| match error {
            AdditionError::Entry(invalid) => invalid.to_string(),
            AdditionError::Resolve(unresolved) => unresolved.to_string(),
        })
    }
}
