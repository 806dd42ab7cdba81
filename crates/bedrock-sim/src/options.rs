//! The command-line options of `bedrock-sim`.

use clap::{ArgAction, Parser};

/// Command-line options of the simulator.
#[derive(Debug, Clone, Parser)]
#[command(name = "bedrock-sim", version, about = "A stand-in for Amazon Bedrock on one local port")]
pub struct Options {
    /// Port on 127.0.0.1. 0 selects a free port
    #[arg(long, default_value_t = 4580)]
    pub port: u16,
    /// Latency of every call, in milliseconds
    #[arg(long, default_value_t = 20)]
    pub base_latency_ms: u64,
    /// Additional latency for each output token, in milliseconds
    #[arg(long, default_value_t = 0)]
    pub latency_ms_per_token: u64,
    /// CloudWatch endpoint (plain http) for the AWS/Bedrock metrics. If it is absent, no metrics are sent
    #[arg(long, value_name = "URL")]
    pub cloudwatch_endpoint: Option<String>,
    /// Time from a call to the arrival of its metrics, in seconds
    #[arg(long, default_value_t = 60)]
    pub metrics_delay_seconds: u64,
    /// OpenAI-compatible server (plain http) that writes the replies, such as <http://127.0.0.1:11434>
    #[arg(long, value_name = "URL")]
    pub openai_endpoint: Option<String>,
    /// Model name for the OpenAI-compatible server. If it is absent, the Bedrock model id is sent
    #[arg(long, value_name = "NAME", requires = "openai_endpoint")]
    pub openai_model: Option<String>,
    /// Accept application inference profiles that were never created, as if created from Mistral Large 3. Deleted
    /// profiles are still rejected
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub accept_any_profile: bool,
    /// Number of exchanges to keep in memory and to show under /_sim/exchanges, for tests. They include prompts and
    /// answers. 0 keeps none
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub record: usize,
    /// Time of the simulator's clock at start, such as 2027-01-08T00:00:00Z. The clock controls when models reach
    /// their end of life, when cached prompts expire, and when profiles were created. If it is absent, the machine's
    /// time is used
    #[arg(long, value_name = "TIME")]
    pub now: Option<String>,
    /// AWS Region of the simulator. It determines the available cross-Region profiles, and the Region in profile ARNs
    /// and metrics
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub region: String,
}
