//! `sentry profiles`: application inference profiles.

mod create;
pub mod directory;
pub mod rules;
pub mod show;
mod tags;

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{Column, Table};

#[derive(clap::Subcommand)]
pub enum Task {
    /// Create a profile with tags, and an alias for it. If a step fails, nothing is left behind
    ///
    /// The tags have the names that requests use: costCenter, applicationId, environment.
    ///
    /// Example:
    ///   sentry profiles create --cost-center sales --model claude-haiku-4-5 --alias sales
    #[command(verbatim_doc_comment)]
    Create(create::CreateArgs),
    /// Show all profiles with their models, aliases and tags
    List(show::ListArgs),
    /// Show one profile: tags, model, aliases, and the limits that name it or its tags
    Show(show::ShowArgs),
    /// Add or change tags of a profile
    Tag(tags::TagArgs),
    /// Remove tags of a profile
    Untag(tags::UntagArgs),
    /// Delete a profile. Refused while an alias or a limit names it
    Delete(tags::DeleteArgs),
}

/// Runs a command of `sentry profiles`.
pub async fn run(global: &Global, task: &Task) -> Result<(), Failure> {
    match task {
        Task::Create(args) => create::run(global, args).await,
        Task::List(args) => show::list(global, args).await,
        Task::Show(args) => show::show(global, args).await,
        Task::Tag(args) => tags::tag(global, args).await,
        Task::Untag(args) => tags::untag(global, args).await,
        Task::Delete(args) => tags::delete(global, args).await,
    }
}

/// One thing as text: an object in JSON, otherwise a line for each field.
pub fn record(fields: &[(&'static str, String)], output: Output) -> String {
    if output == Output::Json {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str())));
        return format!("{:#}\n", Value::Object(fields.collect::<Map<_, _>>()));
    }
    let rows = fields.iter().map(|(name, text)| vec![(*name).to_owned(), text.clone()]).collect();
    Table { columns: vec![Column::text("field"), Column::text("value")], rows }.written(output)
}
