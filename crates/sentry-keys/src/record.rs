//! The item of a key in the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, SecondsFormat, Utc};
use thiserror::Error;

use crate::key::KeyHash;
use crate::principal::Principal;

pub(crate) const HASH: &str = "keyHash";
const PRINCIPAL: &str = "principal";
const APPLICATION_ID: &str = "applicationId";
const COST_CENTER: &str = "costCenter";
const ENVIRONMENT: &str = "environment";
const USER_ID: &str = "userId";
const MODELS: &str = "models";
const EXPIRES_AT: &str = "expiresAt";
pub(crate) const ENABLED: &str = "enabled";
const CREATED_AT: &str = "createdAt";
const NOTE: &str = "note";

/// The attributes of an item.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The properties of a key, or of an IAM principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The hash of the key.
    pub hash: KeyHash,
    /// The IAM principal that the record stands for. `None` if it stands for a key.
    pub principal: Option<Principal>,
    /// The application of every request with this key.
    pub application_id: String,
    /// The cost center. `None` if the client states it.
    pub cost_center: Option<String>,
    /// The environment. `None` if the client states it.
    pub environment: Option<String>,
    /// The user. `None` if the client states it.
    pub user_id: Option<String>,
    /// Names, ids or ARNs of the models that the key may use. `None` for all models.
    pub models: Option<Vec<String>>,
    /// The instant from which the key is not valid. `None` if it never expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// `false` if an administrator has turned the key off.
    pub enabled: bool,
    /// The instant at which the key was made.
    pub created_at: Option<DateTime<Utc>>,
    /// A remark of the administrator.
    pub note: Option<String>,
}

/// An item that is not the item of a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the attribute {attribute} of the key is missing or of another type")]
pub struct InvalidRecord {
    /// The first such attribute.
    pub attribute: &'static str,
}

impl KeyRecord {
    /// `true` if the key may be used at `now`.
    #[must_use]
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.enabled && self.expires_at.is_none_or(|end| now < end)
    }

    /// The tags of the key, by name.
    pub fn tags(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let optional = [(COST_CENTER, &self.cost_center), (ENVIRONMENT, &self.environment), (USER_ID, &self.user_id)];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        std::iter::once((APPLICATION_ID, self.application_id.as_str())).chain(optional)
    }

    /// Reads an item of the table.
    ///
    /// # Errors
    /// If an attribute is missing or of another type. A restriction that is not understood is never ignored.
    pub fn read(item: &Item) -> Result<Self, InvalidRecord> {
        let text = |attribute| optional(item, attribute, |value| value.as_s().ok().cloned());
        let instant = |attribute| optional(item, attribute, |value| value.as_s().ok()?.parse().ok());
        let required = |attribute, value: Option<String>| value.ok_or(InvalidRecord { attribute });
        let models = optional(item, MODELS, |value| {
            value.as_l().ok()?.iter().map(|each| each.as_s().ok().cloned()).collect::<Option<Vec<_>>>()
        })?;
        Ok(Self {
            hash: KeyHash(required(HASH, text(HASH)?)?),
            principal: optional(item, PRINCIPAL, |value| Principal::parse(value.as_s().ok()?))?,
            application_id: required(APPLICATION_ID, text(APPLICATION_ID)?)?,
            cost_center: text(COST_CENTER)?,
            environment: text(ENVIRONMENT)?,
            user_id: text(USER_ID)?,
            models,
            expires_at: instant(EXPIRES_AT)?,
            enabled: optional(item, ENABLED, |value| value.as_bool().ok().copied())?
                .ok_or(InvalidRecord { attribute: ENABLED })?,
            created_at: instant(CREATED_AT)?,
            note: text(NOTE)?,
        })
    }

    /// The item of the key.
    #[must_use]
    pub fn item(&self) -> HashMap<String, AttributeValue> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let instant = |at: &DateTime<Utc>| AttributeValue::S(at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let models =
            self.models.as_ref().map(|models| AttributeValue::L(models.iter().map(|each| text(each)).collect()));
        let attributes = [
            (HASH, Some(text(&self.hash.0))),
            (PRINCIPAL, self.principal.as_ref().map(|principal| text(principal.arn()))),
            (APPLICATION_ID, Some(text(&self.application_id))),
            (COST_CENTER, self.cost_center.as_deref().map(text)),
            (ENVIRONMENT, self.environment.as_deref().map(text)),
            (USER_ID, self.user_id.as_deref().map(text)),
            (MODELS, models),
            (EXPIRES_AT, self.expires_at.as_ref().map(instant)),
            (ENABLED, Some(AttributeValue::Bool(self.enabled))),
            (CREATED_AT, self.created_at.as_ref().map(instant)),
            (NOTE, self.note.as_deref().map(text)),
        ];
        attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// The attribute, if it is there and not NULL.
fn optional<T>(
    item: &Item,
    attribute: &'static str,
    read: impl Fn(&AttributeValue) -> Option<T>,
) -> Result<Option<T>, InvalidRecord> {
    match item.get(attribute).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => read(value).map(Some).ok_or(InvalidRecord { attribute }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn record() -> KeyRecord {
        KeyRecord {
            hash: Key::random().hash(),
            principal: Principal::parse("arn:aws:iam::123456789012:role/helper"),
            application_id: "helper".into(),
            cost_center: Some("support".into()),
            environment: None,
            user_id: Some("jo".into()),
            models: Some(vec!["claude-haiku-4-5".into()]),
            expires_at: "2026-12-01T00:00:00Z".parse().ok(),
            enabled: true,
            created_at: "2026-11-01T00:00:00Z".parse().ok(),
            note: None,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let written = record();
        assert_eq!(KeyRecord::read(&written.item()), Ok(written));
        let tags: Vec<_> = record().tags().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(tags, ["applicationId=helper", "costCenter=support", "userId=jo"]);
    }

    #[test]
    fn a_key_ends_at_its_instant_or_when_it_is_turned_off() {
        let at = |text: &str| text.parse().unwrap();
        assert!(record().is_valid(at("2026-11-30T23:59:59Z")));
        assert!(!record().is_valid(at("2026-12-01T00:00:00Z")));
        assert!(!KeyRecord { enabled: false, ..record() }.is_valid(at("2026-11-02T00:00:00Z")));
        assert!(KeyRecord { expires_at: None, ..record() }.is_valid(at("2036-11-02T00:00:00Z")));
    }

    #[test]
    fn a_restriction_that_is_not_understood_makes_the_item_invalid() {
        let wrong = [
            (EXPIRES_AT, AttributeValue::S("soon".into())),
            (EXPIRES_AT, AttributeValue::N("1".into())),
            (MODELS, AttributeValue::S("claude".into())),
            (MODELS, AttributeValue::L(vec![AttributeValue::N("1".into())])),
            (ENABLED, AttributeValue::S("false".into())),
            (COST_CENTER, AttributeValue::N("7".into())),
            (PRINCIPAL, AttributeValue::S("helper".into())),
        ];
        for (attribute, value) in wrong {
            let mut item = record().item();
            item.insert(attribute.to_owned(), value);
            assert_eq!(KeyRecord::read(&item), Err(InvalidRecord { attribute }));
        }
        for attribute in [HASH, APPLICATION_ID, ENABLED] {
            let mut item = record().item();
            item.remove(attribute);
            assert_eq!(KeyRecord::read(&item), Err(InvalidRecord { attribute }));
        }
    }
}
