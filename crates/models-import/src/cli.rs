//! Definition of the command line. The doc comments are its help texts.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};

/// Update the model catalogue from public data, or compare it with newer data
#[derive(Parser)]
#[command(
    name = "cargo xtask models",
    bin_name = "cargo xtask models",
    after_help = "The files are public:\n  https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonBedrock/current/us-east-1/index.json\n  https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonBedrockFoundationModels/current/us-east-1/index.json\n  https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json\n  https://raw.githubusercontent.com/pydantic/genai-prices/main/prices/data.json"
)]
pub struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

#[derive(Subcommand)]
pub enum Task {
    /// Write prices, limits, and end dates into the catalogue's files, and show the changes
    Import(Downloads),
    /// Only show the changes. Fails if a known value would change
    Check(Downloads),
}

#[derive(Args)]
pub struct Downloads {
    /// Offer files of the AWS Price List, LiteLLM's model map, or genai-prices' data.json
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Date on which the files were downloaded [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub read: Option<NaiveDate>,
}
