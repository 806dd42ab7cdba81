//! The caller of a request, whatever it has shown.

use std::collections::BTreeMap;

use sentry_keys::{KeyHash, KeyRecord};

use crate::ahead::ReadAhead;

/// A caller whose key, token or signature is valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// The thing that the tags come from, for messages to the client: "key".
    pub shown: &'static str,
    /// Tags that the caller cannot change, by name. They always have `applicationId`.
    pub tags: BTreeMap<&'static str, String>,
    /// Names, ids or ARNs of the models that the caller may use. `None` for all models.
    pub models: Option<Vec<String>>,
    /// The hash of the record of the caller. `None` for a caller with a token.
    pub record: Option<KeyHash>,
    /// Limits and budgets that were read together with the record.
    pub ahead: Option<ReadAhead>,
}

impl Caller {
    /// The caller that has shown `what` and has this record, which was read together with `ahead`.
    #[must_use]
    pub fn of_record(what: &'static str, record: KeyRecord, ahead: Option<ReadAhead>) -> Self {
        let tags = record.tags().map(|(name, value)| (name, value.to_owned())).collect();
        Self { shown: what, tags, models: record.models, record: Some(record.hash), ahead }
    }
}
