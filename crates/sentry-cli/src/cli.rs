//! Definition of the command line. The doc comments are its help texts.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};
use sentry_report::{Grouping, Month};

use crate::{ask, budget, completions, keys, limits, models, profiles, prove, stop};

/// Asks, limits, budgets, profiles, models, and reports of a cost sentry
#[derive(Parser)]
#[command(
    name = "sentry",
    version,
    after_help = "Exit codes: 0 done, 1 refused or not found, 2 wrong arguments, 3 AWS cannot be reached, 4 somebody else changed it meanwhile.\n\
                  Credentials come from the environment, from the AWS configuration files, or from the instance. For a profile with \
                  single sign-on, run `eval \"$(aws configure export-credentials --format env)\"` first."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub task: Task,
}

/// The options of every command.
#[derive(Args)]
pub struct Global {
    /// Name of the CloudFormation stack
    #[arg(long, global = true, env = "SENTRY_STACK_NAME", default_value = "cost-sentry", value_name = "NAME")]
    pub stack_name: String,
    /// AWS Region of the stack [default: that of the environment or of the profile]
    #[arg(long, global = true)]
    pub region: Option<String>,
    /// Profile of the AWS configuration files
    #[arg(long, global = true)]
    pub profile: Option<String>,
    /// URL of all AWS services, for a local AWS
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// Form of the output
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Do what the command would ask about. Without a terminal, a command that changes something needs it
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
}

/// A form of the output.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for a person
    Table,
    /// JSON with every digit
    Json,
    /// Comma-separated values with every digit
    Csv,
}

#[derive(Subcommand)]
pub enum Task {
    /// Send a request, or find out what would be decided
    Ask(Box<ask::Args>),
    /// Show, change, check, and try out the limits
    #[command(subcommand)]
    Limits(limits::Task),
    /// Stop everything of a scope until `resume`. The limits stay
    Stop(stop::StopArgs),
    /// Admit requests of a stopped scope again
    Resume(stop::ResumeArgs),
    /// Raise the limits of a scope until a moment
    Raise(stop::RaiseArgs),
    /// Show what is used, held and left of the budgets
    Budget(budget::Args),
    /// Send many requests at once on a budget for a few, and check that no more are admitted
    Prove(prove::Args),
    /// Create and change application inference profiles, which put the spend on the bill by tags
    #[command(subcommand)]
    Profiles(profiles::Task),
    /// Show, add, and check the models that can be called, with their prices
    #[command(subcommand)]
    Models(models::Task),
    /// Create, show and turn off the keys of the gateway's clients
    #[command(subcommand)]
    Keys(keys::Task),
    /// Write the report of a month: spend, budgets, forecast, and why the bill differs
    Report(ReportArgs),
    /// Show the usage of a scope by day, or of all values of a tag
    Usage(UsageArgs),
    /// Say if the stack is sound: deployed, wired, fresh, alarms, prices, profiles, limits. Exits with 1 at a fault
    Status,
    /// Show the story of one request: audit record, ledger, and log lines
    Trace(TraceArgs),
    /// Write the completions of a shell to standard output
    Completions(completions::Args),
    /// Write the manual page to standard output
    Man,
}

/// The form of a report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A page that needs nothing else
    Html,
    /// One line for each group
    Csv,
    /// All figures as one document
    Json,
}

#[derive(Args)]
pub struct ReportArgs {
    /// The month, in UTC days [default: this month]
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<Month>,
    /// The kind of the groups: costCenter, application, environment, model, foundation, user, or a declared budget tag
    #[arg(long, value_name = "KEY", default_value = "costCenter")]
    pub by: Grouping,
    /// Form of the report [default: html, or that of --output]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// File to write to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also ask Cost Explorer, and say why it differs. Costs $0.01 for each request to it: usually one, more for many groups
    #[arg(long)]
    pub trailing: bool,
    /// Make the report as of this moment. For simulated months: the days of the history up to it must be there
    #[arg(long, hide = true, value_name = "INSTANT")]
    pub now: Option<DateTime<Utc>>,
    /// Cost-allocation tag for --trailing [default: application or environment if that is the grouping, else costCenter]
    #[arg(long, value_name = "KEY", requires = "trailing")]
    pub tag: Option<String>,
}

#[derive(Args)]
pub struct UsageArgs {
    /// Show the days of this scope, such as costCenter#support or application#helper+model#us.amazon.nova-lite-v1:0
    #[arg(long, value_name = "SCOPE", conflicts_with = "by")]
    pub scope: Option<String>,
    /// Show the sums of all values of this kind of scope, such as costCenter or model. Reads the whole usage table
    #[arg(long, value_name = "KEY", default_value = "costCenter")]
    pub by: Grouping,
    /// First UTC day [default: the first day of this month]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub from: Option<NaiveDate>,
    /// Last UTC day [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub to: Option<NaiveDate>,
}

#[derive(Args)]
pub struct TraceArgs {
    /// The `requestId` of the request
    pub request_id: String,
    /// The application of the request, to look it up in the ledger if the logs do not have it
    #[arg(long, value_name = "ID")]
    pub application: Option<String>,
    /// Days to search the logs back
    #[arg(long, default_value_t = 3, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=400))]
    pub days: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_report_needs_no_option_and_the_bill_only_costs_if_asked_for() {
        let Task::Report(args) = Cli::parse_from(["sentry", "report"]).task else { panic!("another task") };
        assert_eq!((args.by.kind(), args.trailing, args.month), ("costCenter", false, None));
        assert!(Cli::try_parse_from(["sentry", "report", "--tag", "team"]).is_err());
        assert!(Cli::try_parse_from(["sentry", "report", "--month", "2026-13"]).is_err());
        assert!(Cli::try_parse_from(["sentry", "usage", "--scope", "user#jo", "--by", "model"]).is_err());
    }
}
