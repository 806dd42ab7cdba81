//! Reads audit lines, and makes of each the request that is judged again.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::request::Tags;
use sentry_contract::states::{Asked, MetricsModel, StepMilliseconds};
use sentry_contract::{ErrorCode, Outcome};
use sentry_domain::{Charges, Price, Rates, Usd};
use serde::Deserialize;
use serde_json::Value;

use super::Span;

/// The value of `message` in the audit line of a request.
const REQUEST: &str = "request";
/// The duration of a request that was denied, in milliseconds, if no request to its model has a known one.
const USUAL_MS: u64 = 2_000;

/// The usage of a past request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// The line has its tokens.
    Known,
    /// Nobody knows it. The hold stays until it expires, and then counts in full.
    Unknown,
    /// The model certainly used nothing.
    Nothing,
}

/// The fields of an audit line that a replay needs. `docs/AUDIT.md` describes them.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    pub timestamp: DateTime<Utc>,
    #[serde(default)]
    pub execution_id: Option<String>,
    pub outcome: Outcome,
    #[serde(default)]
    pub code: Option<ErrorCode>,
    pub model: String,
    pub model_id: String,
    #[serde(default)]
    pub model_metric: Option<String>,
    #[serde(default)]
    pub foundation: Option<String>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    pub input_tokens: u64,
    #[serde(default)]
    pub output_tokens: u64,
    #[serde(default)]
    pub cache_read_tokens: u64,
    #[serde(default)]
    pub cache_write_tokens: u64,
    #[serde(default)]
    pub cost_usd: Option<Usd>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    asked: Option<Asked>,
    #[serde(default)]
    held_input_tokens: Option<u64>,
    #[serde(default)]
    held_output_tokens: Option<u64>,
    #[serde(default)]
    held_usd: Option<Usd>,
    #[serde(default)]
    degraded_from_tokens: Option<u32>,
    #[serde(default)]
    pub steps_ms: StepMilliseconds,
}

/// A request of the past, with all that its judgment needs.
#[derive(Clone, Debug)]
pub struct Past {
    pub line: Line,
    pub asked: Asked,
    /// `true` if the line does not have what the request asked for, so that `asked` is an approximation.
    pub is_approximate: bool,
    /// The time at which it was decided.
    pub decided_at: DateTime<Utc>,
    /// The time at which it was settled. For a denied request, the time at which it would have been.
    pub ended_at: DateTime<Utc>,
}

/// The requests that the lines of a log have.
#[derive(Debug, Default)]
pub struct History {
    /// The requests in the order of their decisions.
    pub requests: Vec<Past>,
    /// Lines of requests that cannot be read.
    pub unreadable: usize,
    /// Lines that repeat an execution. SQS can deliver a message twice.
    pub repeated: usize,
    /// Requests without the amounts that they asked for, and without another request of the application to the model
    /// that has them. They are left out.
    pub left_out: usize,
}

impl Line {
    /// The audit line in `text`. `None` if the text is another line of the log.
    ///
    /// # Errors
    /// If it is the audit line of a request, and a field is missing or wrong.
    pub fn of(text: &str) -> Option<Result<Self, serde_json::Error>> {
        // An export to S3 has the time of the line before it.
        let json = text.get(text.find('{')?..)?;
        let value: Value = serde_json::from_str(json).ok()?;
        (value.get("message")? == REQUEST).then(|| serde_json::from_value(value))
    }

    /// The usage. Lines before version 1 do not say it.
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or(match self.outcome {
            Outcome::Denied | Outcome::Invalid => Usage::Nothing,
            _ if self.input_tokens + self.output_tokens > 0 => Usage::Known,
            _ => Usage::Unknown,
        })
    }

    /// The name of the model's metric, which names its scope.
    pub fn metric(&self) -> &str {
        self.model_metric.as_deref().unwrap_or(&self.model_id)
    }

    pub fn tag(&self, name: &str) -> &str {
        self.tags.get(name).unwrap_or_default()
    }

    /// The name of the decision.
    pub fn identity(&self) -> String {
        let old = || format!("{} {}", self.tag(Tags::REQUEST_ID), self.timestamp);
        self.execution_id.clone().unwrap_or_else(old)
    }

    fn asked_by_hold(&self) -> Option<Asked> {
        let (input, output) = (self.held_input_tokens?, self.held_output_tokens?);
        let most = self.degraded_from_tokens.or_else(|| u32::try_from(output).ok())?;
        let price = self.held_usd.and_then(|usd| flat(usd, input.saturating_add(output)));
        let model = MetricsModel {
            requested: self.model.clone(),
            model_id: self.model_id.clone(),
            model_metric: self.model_metric.clone(),
            foundation: self.foundation.clone(),
            price,
            price_source: sentry_contract::request::PriceSource::Catalogue,
        };
        Some(Asked {
            input_tokens: input,
            max_tokens: most,
            max_tokens_given: true,
            charges: Charges::default(),
            model,
            fallback: None,
        })
    }
}

/// A price at which `tokens` of any kind cost `usd`. `None` if they cost nothing, because the model then has no price.
fn flat(usd: Usd, tokens: u64) -> Option<Price> {
    let per_million = usd.picodollars().checked_mul(1_000_000)?.checked_div(tokens.into())?;
    let rate = Usd::from_picodollars(per_million).to_string().parse().ok()?;
    let rates = Rates { input: rate, output: rate, cache_read: None, cache_write_5m: None, cache_write_1h: None };
    (per_million > 0).then(|| rates.into())
}

/// Reads the lines of a log one after the other. It keeps what a replay needs, not their texts.
pub struct Reader {
    span: Span,
    history: History,
    lines: Vec<Line>,
    seen: HashSet<String>,
}

impl Reader {
    /// A reader of the requests of a span of time.
    pub fn new(span: Span) -> Self {
        Self { span, history: History::default(), lines: Vec::new(), seen: HashSet::new() }
    }

    /// Reads a line. Lines that are not of a request are ignored.
    pub fn read(&mut self, text: &str) {
        let Some(line) = Line::of(text) else { return };
        let Ok(line) = line else {
            self.history.unreadable += 1;
            return;
        };
        let (from, until) = self.span;
        if from.is_some_and(|from| line.timestamp < from) || until.is_some_and(|until| line.timestamp >= until) {
            return;
        }
        if self.seen.insert(line.identity()) {
            self.lines.push(line);
        } else {
            self.history.repeated += 1;
        }
    }

    /// The number of requests that were read.
    pub const fn requests(&self) -> usize {
        self.lines.len()
    }

    /// The requests in the order of their decisions.
    pub fn finish(self) -> History {
        let Self { mut history, mut lines, .. } = self;
        lines.sort_by_key(|line| line.timestamp);
        history.add(lines);
        history.requests.sort_by_key(|past| past.decided_at);
        history
    }
}

impl History {
    /// The requests of a span of time in `texts`.
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>, span: Span) -> Self {
        let mut reader = Reader::new(span);
        texts.into_iter().for_each(|text| reader.read(text));
        reader.finish()
    }

    fn add(&mut self, lines: Vec<Line>) {
        let usual = durations(&lines);
        let mut last: HashMap<(String, String), Asked> = HashMap::new();
        for line in lines {
            let kind = (line.tag(Tags::APPLICATION_ID).to_owned(), line.model.clone());
            let exact = line.asked.clone();
            let is_approximate = exact.is_none();
            let Some(asked) = exact.or_else(|| line.asked_by_hold()).or_else(|| last.get(&kind).cloned()) else {
                self.left_out += 1;
                continue;
            };
            last.insert(kind, asked.clone());
            let (decided_at, ended_at) = times(&line, &usual);
            self.requests.push(Past { line, asked, is_approximate, decided_at, ended_at });
        }
    }
}

/// The mean duration of a model's calls in milliseconds, by the metric of the model.
fn durations(lines: &[Line]) -> HashMap<String, u64> {
    let mut sums: HashMap<String, (u64, u64)> = HashMap::new();
    for line in lines {
        if let Some(ms) = line.steps_ms.model {
            let (sum, count) = sums.entry(line.metric().to_owned()).or_default();
            (*sum, *count) = (sum.saturating_add(ms), *count + 1);
        }
    }
    sums.into_iter().filter_map(|(metric, (sum, count))| Some((metric, sum.checked_div(count)?))).collect()
}

/// The times of the decision and of the settlement. The timestamp of the line is that of the end of the validation.
fn times(line: &Line, usual: &HashMap<String, u64>) -> (DateTime<Utc>, DateTime<Utc>) {
    let steps = &line.steps_ms;
    let after = |at: DateTime<Utc>, ms: u64| at + TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(0));
    let validated = steps.validate.unwrap_or_default();
    let decision = steps.decision.map(|ms| ms.saturating_sub(validated));
    let decided_at = after(line.timestamp, decision.unwrap_or_default());
    if line.outcome == Outcome::Denied {
        let lasts = usual.get(line.metric()).copied().unwrap_or(USUAL_MS);
        return (decided_at, after(decided_at, lasts));
    }
    let total = steps.total.map(|ms| ms.saturating_sub(validated));
    let ended_at = total.map_or_else(|| after(decided_at, USUAL_MS), |ms| after(line.timestamp, ms));
    (decided_at, ended_at.max(decided_at))
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
