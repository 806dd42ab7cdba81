//! `models`: updates the catalogue's files from public data, or compares them with that data.
//!
//! It recognizes three kinds of files by their content: an offer file of the AWS Price List, LiteLLM's model map
//! (`model_prices_and_context_window.json`), and genai-prices' `data.json`.

mod catalogue;
mod genai;
mod layout;
mod litellm;
mod offer;
mod text;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chrono::{NaiveDate, Utc};

use crate::cli::{ModelsArgs, ModelsTask};
use crate::console;
use crate::workspace::Workspace;
use catalogue::{Change, Files};

/// A parsed source file.
enum Source {
    Offer(offer::Offer),
    Litellm(litellm::ModelMap),
    Genai(genai::Prices),
}

/// Runs `models import` or `models check`.
///
/// # Errors
/// If a file cannot be read or written, or if a row in a file is invalid. The error names the file and the line.
pub fn run(workspace: &Workspace, args: &ModelsArgs) -> Result<ExitCode> {
    let (args, write) = match &args.task {
        ModelsTask::Import(args) => (args, true),
        ModelsTask::Check(args) => (args, false),
    };
    let today = Utc::now().date_naive();
    let shipped = Files::open(&workspace.root().join("crates/sentry-models"))?;
    let mut sources = Vec::new();
    for path in &args.files {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| name.clone())?;
        sources.push(recognize(&name, &text)?);
    }
    let updated = update(shipped.clone(), &sources, args.read.unwrap_or(today))?;
    let changes = shipped.changes(&updated.files, today);
    for line in updated.left_out.iter().chain(changes.iter().map(|change| &change.line)) {
        console::line(line);
    }
    console::line(&format!("{} change(s)", changes.len()));
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
