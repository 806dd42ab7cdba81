//! Definition of the command line. The doc comments are its help texts.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Run, test, and check the cost sentry on this machine. Requires Rust and Python 3.11 or newer
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

#[derive(Subcommand)]
pub enum Task {
    /// Start the local AWS, deploy template.yaml, and leave it running. A second run deploys what changed
    Up(UpArgs),
    /// Stop a local AWS that `up` started
    Down(DownArgs),
    /// Run everything that CI checks, and print the number of passed and failed checks
    Test(TestArgs),
    /// Install the clients that the tests send to the gateway, and print their folder. `test` does it by itself
    Clients,
    /// Check formatting, clippy, the Python programs, dependencies, the template, and the state machines
    Lint(LintArgs),
    /// Send real requests through a local AWS, and write an HTML report
    Demo(DemoArgs),
    /// Measure the functions, the overhead of the system, and the budget ledger
    Bench(BenchArgs),
    /// Count the AWS usage of a request on a local AWS, and print the cost of 100,000 requests on AWS, for the lambda
    /// and the native mode
    Cost,
    /// Simulate a month on a local AWS whose clock can be moved (Linux, five to eight minutes). Checks every figure of the
    /// usage history, and leaves the data in .sentry/PORT/month
    Month(MonthArgs),
    /// Write the state machines from their sources in statemachines/source
    States(WrittenArgs),
    /// Write the dashboard of dashboards/overview.yaml into template.yaml
    Dashboard(WrittenArgs),
    /// Update the model catalogue from public data, or compare it with newer data
    #[command(disable_help_flag = true)]
    Models {
        /// A task, import or check, and its files; --help shows the options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Write the report of a month of a local AWS: short for `cargo xtask sentry report`
    Report(SentryArgs),
    /// Run the command `sentry` against a local AWS that `up` started
    Sentry(SentryArgs),
}

#[derive(Args)]
pub struct SentryArgs {
    /// Port of the local AWS
    #[arg(long, default_value_t = 4566)]
    pub port: u16,
    /// Arguments of the command, e.g. `--month 2026-11 --by model --out report.html`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    pub arguments: Vec<String>,
}

#[derive(Args)]
pub struct WrittenArgs {
    /// Only compare. Fails if a written file differs from its sources
    #[arg(long)]
    pub check: bool,
}

// These options are the same for every task that starts a local AWS.
#[derive(Args, Clone, Default)]
pub struct LocalArgs {
    /// Use this Bedrock endpoint instead of the simulator, e.g. <http://127.0.0.1:9000>
    #[arg(long, value_name = "URL")]
    pub bedrock_endpoint: Option<String>,
    /// Set a parameter of template.yaml (repeatable)
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub parameters: Vec<String>,
    /// Pass an argument to the Bedrock simulator (repeatable), e.g. --sim-arg=--metrics-delay-seconds=1
    #[arg(long = "sim-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub sim_args: Vec<String>,
}

#[derive(Args)]
pub struct UpArgs {
    /// Port of the local AWS. 0 selects a free port
    #[arg(long, default_value_t = 4566)]
    pub port: u16,
    /// Name of the CloudFormation stack
    #[arg(long, default_value = "cost-sentry")]
    pub stack_name: String,
    /// Print one JSON object to stdout, for use by programs
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub local: LocalArgs,
}

#[derive(Args)]
pub struct DownArgs {
    /// Port of the local AWS to stop
    #[arg(long, default_value_t = 4566)]
    pub port: u16,
    /// Stop every local AWS of this checkout
    #[arg(long)]
    pub all: bool,
}

#[derive(Args)]
pub struct TestArgs {
    /// Run only the end-to-end tests
    #[arg(long)]
    pub end_to_end: bool,
    /// Arguments for pytest, after `--`, e.g. `-- -k budget`
    #[arg(last = true)]
    pub pytest: Vec<String>,
}

#[derive(Args)]
pub struct LintArgs {
    /// Also run `sam build` (about five minutes the first time)
    #[arg(long)]
    pub sam_build: bool,
}

#[derive(Args)]
pub struct DemoArgs {
    /// Port of the local AWS. 0 selects a free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Path of the report [default: .sentry/demo-report.html]
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
    /// Also run an afternoon of an administrator, with the command `sentry`. Its first build takes a minute or two
    #[arg(long)]
    pub admin: bool,
    #[command(flatten)]
    pub local: LocalArgs,
}

#[derive(Args)]
pub struct MonthArgs {
    /// Port of the local AWS
    #[arg(long, default_value_t = 4566)]
    pub port: u16,
    /// The month to simulate
    #[arg(long, default_value = "2026-11", value_name = "YYYY-MM")]
    pub month: String,
    /// Number of requests, approximately
    #[arg(long, default_value_t = 5400)]
    pub requests: u32,
    /// Start of the random numbers. The same number gives the same requests
    #[arg(long, default_value_t = 13)]
    pub seed: u64,
    /// Leave the local AWS running, at the end of the month
    #[arg(long)]
    pub keep: bool,
    /// Simulate the month twice, with plenty of budget and with tight limits. Check that `sentry limits backtest` finds
    /// from the audit lines of the first month the decisions of the second
    #[arg(long, conflicts_with = "keep")]
    pub backtest: bool,
}

/// A part of `bench`, the value of `--part`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchPart {
    /// The functions and the overhead of the system
    Functions,
    /// The budget ledger: scale, over-reservation, cost, and latency
    Ledger,
    /// Admission of a thousand concurrent requests, repeated 20 times (about ten minutes)
    Admission,
    /// The workflow compared with the design in the articles
    Articles,
    /// The performance analysis of the articles: 501 requests to models of 6.76 to 32.24 seconds (about three minutes)
    Performance,
    /// The request queue: 5,000 messages with throttled calls and killed functions, and a small team beside a large one
    /// (Linux, about fifteen minutes)
    Queue,
    /// The gateway: its overhead beside the workflow's, first bytes, keys, and a thousand streams (about ten minutes)
    Gateway,
    /// All of the above parts
    All,
}

#[derive(Args)]
pub struct BenchArgs {
    /// The part to measure
    #[arg(long, value_enum, default_value_t = BenchPart::All)]
    pub part: BenchPart,
    /// Number of requests in the end-to-end measurement
    #[arg(long, default_value_t = 200)]
    pub requests: u32,
    /// Number of invocations in the measurement of each function
    #[arg(long, default_value_t = 200)]
    pub invocations: u32,
    /// Also write the results as JSON to this file
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

impl BenchArgs {
    /// `true` if the user selected `part` or all parts.
    pub fn includes(&self, part: BenchPart) -> bool {
        self.part == part || self.part == BenchPart::All
    }
}

fn name_and_value(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
