//! What a client's name for a model means.

use std::fmt;

use chrono::NaiveDate;
use sentry_contract::request::{Model, Parameters};

use super::pictures::PictureRule;
use super::takes::Takes;
use crate::ids;

/// How many tokens a model can take; a limit that is not known is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// Read and written, together.
    pub context_window: Option<u32>,
    /// Written.
    pub output: Option<u32>,
    /// Read, of one picture.
    pub picture: Option<PictureRule>,
}

/// A model that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// The id that ends.
    pub model_id: String,
    /// The first day on which it cannot be called.
    pub ends: NaiveDate,
    /// What to use then: an alias, or else an id.
    pub successor: String,
}

/// The text of a notice.
impl fmt::Display for Retiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model_id, ends, successor } = self;
        write!(f, "{model_id} can be called until {ends} only; move to {successor}")
    }
}

/// A name whose model has ended and that leads on to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The name.
    pub requested: String,
    /// The model that it meant.
    pub model: String,
    /// The first day on which that could not be called.
    pub ended: NaiveDate,
    /// The model that answers now: an alias, or else an id.
    pub by: String,
}

/// The text of a notice.
impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested, model, ended, by } = self;
        write!(f, "{requested} meant {model}, which was retired on {ended}; {by} answers in its place")
    }
}

/// What a client's name for a model means.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// For the states that follow. `reasoning` is that of `takes`.
    pub model: Model,
    /// What a request need not say; `max_tokens` is filled in.
    pub defaults: Parameters,
    /// The default of `max_tokens` for a request that makes the model think.
    pub thinking_max_tokens: u32,
    /// How many tokens the model can take.
    pub limits: TokenLimits,
    /// What the model takes.
    pub takes: Takes,
    /// Whether an entry speaks for exactly this id; otherwise a pattern, or the entry of the same model under another id.
    pub listed: bool,
    /// The id of a cheaper model that can stand in for it here and today.
    pub fallback: Option<String>,
    /// The first day on which it cannot be called.
    pub ends: Option<NaiveDate>,
    /// What to use after that: an alias, or else an id.
    pub successor: Option<String>,
    /// Present from sixty days before its end.
    pub retiring: Option<Retiring>,
    /// Present where the name meant another model, which has ended.
    pub replaced: Option<Replaced>,
}

impl Resolved {
    /// The same model, called through the application inference profile `arn`. The foundation model stays the one behind it.
    #[must_use]
    pub fn called_through(mut self, arn: &str) -> Self {
        self.model.model_metric = ids::metric_of(arn).to_owned();
        self.model.model_id = arn.to_owned();
        self
    }
}
