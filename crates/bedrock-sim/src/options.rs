//! The command line.

use clap::{ArgAction, Parser};

/// What the stand-in is started with.
#[derive(Debug, Clone, Parser)]
#[command(name = "bedrock-sim", version, about = "A stand-in for Amazon Bedrock on one local port")]
pub struct Options {
    /// Port on 127.0.0.1; 0 takes any free port
    #[arg(long, default_value_t = 4580)]
    pub port: u16,
    /// Milliseconds that every call takes
    #[arg(long, default_value_t = 20)]
    pub base_latency_ms: u64,
    /// Milliseconds that every output token adds
    #[arg(long, default_value_t = 0)]
    pub latency_ms_per_token: u64,
    /// CloudWatch endpoint (plain http) that AWS/Bedrock metrics are sent to; without it none are sent
    #[arg(long, value_name = "URL")]
    pub cloudwatch_endpoint: Option<String>,
    /// Seconds between a call and the arrival of its metrics
    #[arg(long, default_value_t = 60)]
    pub metrics_delay_seconds: u64,
    /// OpenAI-compatible server (plain http) that writes the replies, such as http://127.0.0.1:11434
    #[arg(long, value_name = "URL")]
    pub openai_endpoint: Option<String>,
    /// Model name for that server; without it the Bedrock model id is sent
    #[arg(long, value_name = "NAME", requires = "openai_endpoint")]
    pub openai_model: Option<String>,
    /// Answer for application inference profiles that were never created here, as if made from Mistral Large 3; not for deleted ones
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub accept_any_profile: bool,
    /// How many exchanges, prompts and answers included, are kept in memory and shown under /_sim/exchanges, for tests; 0 keeps none
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub record: usize,
    /// The time at which it starts, such as 2027-01-08T00:00:00Z, for models' ends of life and the prompt cache; without it the machine's
    #[arg(long, value_name = "TIME")]
    pub now: Option<String>,
    /// Region: which cross-Region profiles there are, and of profile ARNs and metrics
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,
}
