//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Runs, tests and checks the cost sentry on this machine; needs Rust and Python 3.10 or newer.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// The tasks.
#[derive(Subcommand)]
pub enum Task {
    /// Start the local AWS, deploy template.yaml and leave it running; run again, it deploys what changed
    Up(UpArgs),
    /// Stop what `up` started
    Down(DownArgs),
    /// Everything that CI checks; ends with a pass/fail count
    Test(TestArgs),
    /// Formatting, clippy, dependencies, template and state machines
    Lint(LintArgs),
    /// Send real requests through the local AWS and leave an HTML report
    Demo(DemoArgs),
    /// Measure the functions, the system's own overhead and the budget ledger
    Bench(BenchArgs),
    /// Count what a request does on the local AWS and print what 100,000 cost on AWS, by function and natively
    Cost,
    /// Write the state machines from their sources in statemachines/source
    States(StatesArgs),
    /// Bring the model catalogue up to date from public data, or compare it with newer data
    Models(ModelsArgs),
}

/// Arguments of `states`.
#[derive(Args)]
pub struct StatesArgs {
    /// Only compare; fails where a state machine is not what its sources say
    #[arg(long)]
    pub check: bool,
}

/// What a local AWS is made of; the same for every task that starts one.
#[derive(Args, Clone, Default)]
pub struct LocalArgs {
    /// Another Bedrock in place of the simulator, e.g. <http://127.0.0.1:9000>
    #[arg(long, value_name = "URL")]
    pub bedrock_endpoint: Option<String>,
    /// A parameter of template.yaml (repeatable)
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub parameters: Vec<String>,
    /// An argument for the Bedrock simulator (repeatable), e.g. --sim-arg=--metrics-delay-seconds=1
    #[arg(long = "sim-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub sim_args: Vec<String>,
}

/// Arguments of `up`.
#[derive(Args)]
pub struct UpArgs {
    /// Port of the local AWS; 0 takes a free one
    #[arg(long, default_value_t = 4566)]
    pub port: u16,
    /// Name of the stack
    #[arg(long, default_value = "cost-sentry")]
    pub stack_name: String,
    /// Print one JSON object on stdout, for a program to read
    #[arg(long)]
    pub json: bool,
    /// What the local AWS is made of.
    #[command(flatten)]
    pub local: LocalArgs,
}

/// Arguments of `down`.
#[derive(Args)]
pub struct DownArgs {
    /// Port of the local AWS to stop
    #[arg(long, default_value_t = 4566)]
    pub port: u16,
    /// Stop every local AWS of this checkout
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `test`.
#[derive(Args)]
pub struct TestArgs {
    /// Only the end-to-end tests
    #[arg(long)]
    pub end_to_end: bool,
    /// Arguments for pytest, after `--`, e.g. `-- -k budget`
    #[arg(last = true)]
    pub pytest: Vec<String>,
}

/// Arguments of `lint`.
#[derive(Args)]
pub struct LintArgs {
    /// Also run `sam build` (about five minutes the first time)
    #[arg(long)]
    pub sam_build: bool,
}

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Port of the local AWS; a free one if not given
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Where the report goes [default: .sentry/demo-report.html]
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,
    /// What the local AWS is made of.
    #[command(flatten)]
    pub local: LocalArgs,
}

/// A part of `bench`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchPart {
    /// The functions and the system's own overhead
    Functions,
    /// The budget ledger: scale, over-reservation, cost and latency
    Ledger,
    /// As many requests as fit are admitted, 20 times over (about ten minutes)
    Admission,
    /// The workflow beside the articles' design
    Articles,
    /// All of these
    All,
}

/// Arguments of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(long, value_enum, default_value_t = BenchPart::All)]
    pub part: BenchPart,
    /// Requests of the end-to-end measurement
    #[arg(long, default_value_t = 200)]
    pub requests: u32,
    /// Invocations of each function's own measurement
    #[arg(long, default_value_t = 200)]
    pub invocations: u32,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
}

impl BenchArgs {
    /// Whether `part` is to be measured.
    pub fn includes(&self, part: BenchPart) -> bool {
        self.part == part || self.part == BenchPart::All
    }
}

/// Arguments of `models`.
#[derive(Args)]
#[command(
    after_help = "The files are public:\n  https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonBedrock/current/us-east-1/index.json\n  https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonBedrockFoundationModels/current/us-east-1/index.json\n  https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json\n  https://raw.githubusercontent.com/pydantic/genai-prices/main/prices/data.json"
)]
pub struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub task: ModelsTask,
}

/// What `models` does.
#[derive(Subcommand)]
pub enum ModelsTask {
    /// Take prices, limits and ends over into the catalogue's files, and show what changed
    Import(ModelsFiles),
    /// Only show what would change; fails where something that is shipped is another in the files
    Check(ModelsFiles),
}

/// Arguments of `models import` and `models check`.
#[derive(Args)]
pub struct ModelsFiles {
    /// Offer files of the AWS Price List, LiteLLM's model map, genai-prices' data.json
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The day on which the files were downloaded; today if not given
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub read: Option<chrono::NaiveDate>,
}

fn name_and_value(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
