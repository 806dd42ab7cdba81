//! Starts the Bedrock simulator and serves requests until SIGTERM or Ctrl-C.

use std::process::ExitCode;

use bedrock_sim::{Options, run};
use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bedrock-sim: {error}");
            ExitCode::FAILURE
        }
    }
}
