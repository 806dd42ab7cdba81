#![doc = include_str!("../README.md")]

mod catalogue;
mod cli;
mod genai;
mod layout;
mod litellm;
mod offer;
mod text;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chrono::{NaiveDate, Utc};
use clap::Parser;

use catalogue::{Change, Files};
use cli::{Cli, Task};

/// A parsed source file.
enum Source {
    Offer(offer::Offer),
    Litellm(litellm::ModelMap),
    Genai(genai::Prices),
}

fn main() -> ExitCode {
    match run(&models_crate(), &Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The crate with the catalogue's files, in the checkout in which `cargo` runs this program.
fn models_crate() -> PathBuf {
    let own =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.join("../sentry-models")
}

/// Imports the files, or only compares them, with the catalogue in the crate `models`.
///
/// # Errors
/// If a file cannot be read or written, or if a row in a file is invalid. The error names the file and the line.
fn run(models: &Path, task: &Task) -> Result<ExitCode> {
    let (args, write) = match task {
        Task::Import(args) => (args, true),
        Task::Check(args) => (args, false),
    };
    let today = Utc::now().date_naive();
    let shipped = Files::open(models)?;
    let mut sources = Vec::new();
    for path in &args.files {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| name.clone())?;
        sources.push(recognize(&name, &text)?);
    }
    let updated = update(shipped.clone(), &sources, args.read.unwrap_or(today))?;
    let changes = shipped.changes(&updated.files, today);
    for line in updated.left_out.iter().chain(changes.iter().map(|change| &change.line)) {
        eprintln!("{line}");
    }
    eprintln!("{} change(s)", changes.len());
    if write {
        updated.files.save()?;
        return Ok(ExitCode::SUCCESS);
    }
    let drifted = changes.iter().any(Change::is_drift);
    Ok(if drifted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Parses a file, after its kind is recognized from its content.
fn recognize(name: &str, text: &str) -> Result<Source> {
    let start = text.trim_start();
    if start.starts_with('[') {
        return Ok(Source::Genai(genai::read(name, text)?));
    }
    if offer::is_offer(text) {
        return Ok(Source::Offer(offer::read(name, text)?));
    }
    if start.starts_with('{') {
        return Ok(Source::Litellm(litellm::read(name, text)?));
    }
    bail!("{name}: neither an offer file of the AWS Price List, nor LiteLLM's model map, nor genai-prices' data")
}

/// The catalogue's files after an update, with messages about source data that the catalogue cannot hold.
struct Updated {
    files: Files,
    left_out: Vec<String>,
}

/// Applies all sources to the files. LiteLLM's rows come first, because AWS offers take precedence over them.
/// genai-prices is only compared. Without a file of it, the rows of its last import are compared.
fn update(mut files: Files, sources: &[Source], read: NaiveDate) -> Result<Updated> {
    let mut left_out = Vec::new();
    for source in sources {
        if let Source::Litellm(map) = source {
            left_out.extend(litellm::take_over(&mut files, map, read)?);
        }
    }
    for source in sources {
        if let Source::Offer(offer) = source {
            left_out.extend(offer::take_over(&mut files, offer)?);
        }
    }
    for source in sources {
        if let Source::Genai(prices) = source {
            genai::compare(&mut files, prices)?;
        }
    }
    if !sources.iter().any(|source| matches!(source, Source::Genai(_)))
        && let Some(prices) = genai::of_extract(&files)?
    {
        genai::compare(&mut files, &prices)?;
    }
    Ok(Updated { files, left_out })
}

#[cfg(test)]
mod tests;
