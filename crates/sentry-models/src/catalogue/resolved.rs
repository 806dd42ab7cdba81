//! The result of resolving a client's name for a model.

use std::fmt;

use chrono::NaiveDate;
use sentry_contract::request::{Model, Parameters};

use super::pictures::PictureRule;
use super::takes::Takes;
use crate::ids;

/// Token limits of a model. A limit that is not known is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// Limit for the sum of the tokens read and written.
    pub context_window: Option<u32>,
    /// Upper limit of the tokens written.
    pub output: Option<u32>,
    /// The rule for the tokens of one picture.
    pub picture: Option<PictureRule>,
}

/// A model that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// The id of the model that ends.
    pub model_id: String,
    /// The first day on which it cannot be called.
    pub ends: NaiveDate,
    /// The model to use instead: an alias, or an id if it has no alias.
    pub successor: String,
}

/// The text of a notice to the client.
impl fmt::Display for Retiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model_id, ends, successor } = self;
        write!(f, "{model_id} can be called until {ends} only; move to {successor}")
    }
}

/// A name whose model has ended and that now stands for a successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The name that the client used.
    pub requested: String,
    /// The model that the name stood for before.
    pub model: String,
    /// The first day on which that model could not be called.
    pub ended: NaiveDate,
    /// The model that answers now: an alias, or an id if it has no alias.
    pub by: String,
}

/// The text of a notice to the client.
impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requested, model, ended, by } = self;
        write!(f, "{requested} meant {model}, which was retired on {ended}; {by} answers in its place")
    }
}

/// A model that can be called, with everything that the catalogue and its table know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The model for the following states. Its `reasoning` comes from `takes`.
    pub model: Model,
    /// Defaults for parameters that a request does not set. `max_tokens` is always present.
    pub defaults: Parameters,
    /// The default of `max_tokens` for a request that makes the model think.
    pub thinking_max_tokens: u32,
    /// The token limits of the model.
    pub limits: TokenLimits,
    /// The capabilities of the model.
    pub takes: Takes,
    /// `true` if an entry or an item describes exactly this id. Otherwise a pattern, or an entry of the same model
    /// under another id, describes it.
    pub listed: bool,
    /// The id of a cheaper model that can answer instead. It can be called from this Region on this day.
    pub fallback: Option<String>,
    /// The first day on which the model cannot be called.
    pub ends: Option<NaiveDate>,
    /// The model to use after that day: an alias, or an id if it has no alias.
    pub successor: Option<String>,
    /// The notice about the model's end. Present from 60 days before the end.
    pub retiring: Option<Retiring>,
    /// Present if the name stood for another model that has ended.
    pub replaced: Option<Replaced>,
}

impl Resolved {
    /// Returns the same model, called through the application inference profile `arn`. `foundation` does not change.
    #[must_use]
    pub fn called_through(mut self, arn: &str) -> Self {
        self.model.model_metric = ids::metric_of(arn).to_owned();
        self.model.model_id = arn.to_owned();
        self
    }
}
