//! The options of every command. The doc comments are help texts.

use clap::{Args, ValueEnum};

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
