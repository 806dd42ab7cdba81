//! Why a catalogue cannot be used, and why a name means no model.

use chrono::NaiveDate;
use serde_json::{Value, json};
use thiserror::Error;

/// An entry that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("entry {entry:?}, field {field}: {problem}")]
pub struct InvalidEntry {
    /// The model id, alias or pattern.
    pub entry: String,
    /// Such as `price.input`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl InvalidEntry {
    pub(super) fn new(entry: &str, field: &str, problem: impl Into<String>) -> Self {
        Self { entry: entry.to_owned(), field: field.to_owned(), problem: problem.into() }
    }
}

/// Why a catalogue cannot be used.
#[derive(Debug, Error)]
pub enum InvalidCatalogue {
    /// Not JSON, or not such a file; the message gives the line.
    #[error("the model catalogue cannot be read, file {file}: {problem}")]
    Unreadable {
        /// Such as `anthropic.json`.
        file: String,
        /// What is wrong with it.
        problem: serde_json::Error,
    },
    /// An entry that makes no sense.
    #[error("the model catalogue is wrong: {0}")]
    Entry(#[from] InvalidEntry),
}

/// Why a name means no model that can be called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// Neither an alias nor the id of a known family.
    #[error(
        "it is no alias of the catalogue and no id of a model family that the catalogue knows; \
         use an alias, a Bedrock model id, a cross-Region profile id or an ARN of Bedrock"
    )]
    Unknown,
    /// An ARN whose model only the catalogue table can tell.
    #[error(
        "nothing tells what model {arn} is: an admin has to give an item under this ARN to the catalogue table, \
         with `family` and `price`; {missing}"
    )]
    Undescribed {
        /// The ARN, such as that of a provisioned model.
        arn: String,
        /// What the item lacks: `there is none`, say.
        missing: &'static str,
    },
    /// An application inference profile without an entry: Bedrock knows what is behind it.
    #[error("the model behind {0} is not known")]
    Profile(String),
    /// It was a model once.
    #[error("{name} was retired on {since}; use {replacement} instead")]
    Retired {
        /// The alias or id.
        name: String,
        /// The first day on which it cannot be called.
        since: NaiveDate,
        /// What to use instead: an alias, or else an id.
        replacement: String,
    },
    /// Not offered in the Region of the stack.
    #[error("{model_id} is not offered in {region}, only in {}", .offered.join(", "))]
    Elsewhere {
        /// What the name means.
        model_id: String,
        /// Where the sentry runs.
        region: String,
        /// Where it is offered: Regions, or their beginnings such as `eu-*`.
        offered: Vec<String>,
    },
    /// Bedrock has no on-demand throughput for the model's own id.
    #[error("{model_id} can be called through an inference profile only; use {}", .profiles.join(" or "))]
    ProfileOnly {
        /// The model's own id.
        model_id: String,
        /// The profiles that can be called from the sentry's Region, or else all that it has.
        profiles: Vec<String>,
    },
}

impl Unresolved {
    /// Facts for a machine.
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
