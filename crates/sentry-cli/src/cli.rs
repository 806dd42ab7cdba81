//! Definition of the command line. The doc comments are its help texts.

use clap::{Parser, Subcommand};

use crate::options::Global;
use crate::{ask, budget, completions, keys, limits, models, profiles, prove, report, stop, trace, usage};

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
    Report(report::ReportArgs),
    /// Show the usage of a scope by day, or of all values of a tag
    Usage(usage::UsageArgs),
    /// Say if the stack is sound: deployed, wired, fresh, alarms, prices, profiles, limits. Exits with 1 at a fault
    Status,
    /// Show the story of one request: audit record, ledger, and log lines
    Trace(trace::TraceArgs),
    /// Write the completions of a shell to standard output
    Completions(completions::Args),
    /// Write the manual page to standard output
    Man,
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
