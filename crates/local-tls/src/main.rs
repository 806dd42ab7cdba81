#![doc = include_str!("../README.md")]

mod certificate;
mod front;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Serve TLS on a port of this machine, and pass on to a server without TLS
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Port for TLS, on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Port of the server without TLS, on 127.0.0.1
    #[arg(long)]
    to: u16,
    /// Folder of the certificates. They are made if they are missing
    #[arg(long)]
    folder: PathBuf,
}

/// Failures of this program.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the certificate cannot be made: {0}")]
    Made(#[from] rcgen::Error),
    #[error("{0} cannot be read or written: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the certificate in {0} cannot be used: {1}; delete the folder")]
    Used(PathBuf, String),
    #[error("port {0} cannot be listened on: {1}")]
    Port(u16, std::io::Error),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("local-tls: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    certificate::ensure(&options.folder)?;
    let acceptor = certificate::acceptor(&options.folder)?;
    front::serve(options.port, options.to, acceptor).await
}
