//! The event of Lambda's event source mapping for an SQS queue, and the answer to it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Messages of a queue.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages of this delivery.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// One message as it was received. `Debug` is not derived, because the body can have a prompt.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The id that SQS gave the message.
    pub message_id: String,
    /// The handle of this receipt.
    #[serde(default)]
    pub receipt_handle: String,
    /// The text of the message.
    pub body: String,
    /// Facts of SQS about the message.
    #[serde(default)]
    pub attributes: Facts,
    /// The attributes that the sender gave.
    #[serde(default)]
    pub message_attributes: HashMap<String, Attribute>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({})", self.message_id)
    }
}

/// Facts of SQS about a message.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Facts {
    /// The tenant for fair queues.
    pub message_group_id: Option<String>,
}

/// One attribute of the sender.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attribute {
    /// The value, if it is text.
    #[serde(default)]
    pub string_value: Option<String>,
}

impl Record {
    /// The text of an attribute. Empty text counts as absent.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let value = self.message_attributes.get(name)?.string_value.as_deref()?;
        Some(value).filter(|value| !value.is_empty())
    }
}

/// The messages that stay in the queue (`ReportBatchItemFailures`).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// Empty if every message is done.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// One message that stays in the queue.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// The id that SQS gave the message.
    pub item_identifier: String,
}
