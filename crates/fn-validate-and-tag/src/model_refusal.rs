//! The reason why a client's name for a model is refused.

use sentry_contract::ErrorCode;
use sentry_models::{AdditionError, InvalidEntry, ResolveError};
use serde_json::{Value, json};

use crate::field::Refusal;

/// The reason why a name is refused: the end of a sentence, and facts for a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRefusal {
    pub(crate) problem: String,
    pub(crate) details: Vec<(&'static str, Value)>,
}

impl ModelRefusal {
    /// A refusal with its reason and its facts.
    pub(crate) const fn new(problem: String, details: Vec<(&'static str, Value)>) -> Self {
        Self { problem, details }
    }

    /// The reason: the end of a sentence.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// The refusal at `path`, the field that names the model.
    #[must_use]
    pub fn at(self, path: String) -> Refusal {
        let problem = format!("names no model that can be called: {}", self.problem);
        Refusal { code: ErrorCode::UnknownModel, path, problem, details: self.details }
    }
}

impl From<ResolveError> for ModelRefusal {
    fn from(unresolved: ResolveError) -> Self {
        Self { problem: unresolved.to_string(), details: unresolved.details() }
    }
}

impl From<InvalidEntry> for ModelRefusal {
    fn from(InvalidEntry { entry, field, problem }: InvalidEntry) -> Self {
        let text = format!(
            "its entry {entry} in the catalogue table cannot be understood ({field}: {problem}). An admin has to correct the entry, \
             which takes up to a minute to be seen"
        );
        Self { problem: text, details: vec![("entry", json!(entry)), ("field", json!(field))] }
    }
}

impl From<AdditionError> for ModelRefusal {
    fn from(unusable: AdditionError) -> Self {
        match unusable {
            AdditionError::Entry(invalid) => invalid.into(),
            AdditionError::Resolve(unresolved) => unresolved.into(),
        }
    }
}
