//! An event of an answer that arrives in events.

use serde_json::Value;

/// An event, in the form of Bedrock's API.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// The name, such as `contentBlockDelta`.
    pub name: &'static str,
    /// The fields of the event, as JSON.
    pub fields: Value,
}

/// Hides the fields from logs.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({})", self.name)
    }
}
