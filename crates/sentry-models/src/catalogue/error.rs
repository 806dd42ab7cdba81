//! The errors of reading a catalogue and of resolving a name.

use chrono::NaiveDate;
use serde_json::{Value, json};
use thiserror::Error;

/// An entry of the catalogue that is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("entry {entry:?}, field {field}: {problem}")]
pub struct InvalidEntry {
    /// The model id, alias or pattern of the entry.
    pub entry: String,
    /// The field, such as `price.input`.
    pub field: String,
    /// A description of the problem.
    pub problem: String,
}

impl InvalidEntry {
    pub(super) fn new(entry: &str, field: &str, problem: impl Into<String>) -> Self {
        Self { entry: entry.to_owned(), field: field.to_owned(), problem: problem.into() }
    }
}

/// The reason why a catalogue cannot be used.
#[derive(Debug, Error)]
pub enum InvalidCatalogue {
    /// The file is not JSON, or has another structure. The message contains the line.
    #[error("the model catalogue cannot be read, file {file}: {problem}")]
    Unreadable {
        /// The file's name, such as `anthropic.json`.
        file: String,
        /// The error of the parser.
        problem: serde_json::Error,
    },
    /// An entry of a file is invalid.
    #[error("the model catalogue is wrong: {0}")]
    Entry(#[from] InvalidEntry),
}

/// The reason why a name stands for no model that can be called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// The name is not an alias, and not the id of a known family.
    #[error(
        "it is no alias of the catalogue and no id of a model family that the catalogue knows; \
         use an alias, a Bedrock model id, a cross-Region profile id or an ARN of Bedrock"
    )]
    Unknown,
    /// An ARN whose model only an item of the catalogue table can describe.
    #[error(
        "nothing tells what model {arn} is: an admin has to give an item under this ARN to the catalogue table, \
         with `family` and `price`; {missing}"
    )]
    Undescribed {
        /// The ARN, such as that of a provisioned model.
        arn: String,
        /// The part that the item lacks, as a clause, such as "its item has no `price`".
        missing: &'static str,
    },
    /// An application inference profile without an item. Only Bedrock knows the model behind it.
    #[error("the model behind {0} is not known")]
    Profile(String),
    /// The model has ended.
    #[error("{name} was retired on {since}; use {replacement} instead")]
    Retired {
        /// The alias or id of the model.
        name: String,
        /// The first day on which it cannot be called.
        since: NaiveDate,
        /// The model to use instead: an alias, or an id if it has no alias. "another model" if none is known.
        replacement: String,
    },
    /// The model is not offered in the Region of the stack.
    #[error("{model_id} is not offered in {region}, only in {}", .offered.join(", "))]
    Elsewhere {
        /// The id or ARN that the name stands for.
        model_id: String,
        /// The Region of the sentry.
        region: String,
        /// The Regions that offer the model, or prefixes of Regions such as `eu-*`.
        offered: Vec<String>,
    },
    /// Bedrock has no on-demand throughput for the model's own id.
    #[error("{model_id} can be called through an inference profile only; use {}", .profiles.join(" or "))]
    ProfileOnly {
        /// The model's own id.
        model_id: String,
        /// The profiles that the sentry's Region can call. If there are none, all profiles of the model.
        profiles: Vec<String>,
    },
}

impl ResolveError {
    /// Facts for the error's `details`, as pairs of name and value.
    #[must_use]
    pub fn details(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Unknown => Vec::new(),
            Self::Profile(arn) | Self::Undescribed { arn, .. } => vec![("modelId", json!(arn))],
            Self::Retired { since, replacement, .. } => {
                vec![("retired", json!(since)), ("replacement", json!(replacement))]
            }
            Self::Elsewhere { model_id, region, offered } => {
                vec![("modelId", json!(model_id)), ("region", json!(region)), ("regions", json!(offered))]
            }
            Self::ProfileOnly { model_id, profiles } => {
                vec![("modelId", json!(model_id)), ("profiles", json!(profiles))]
            }
        }
    }
}
