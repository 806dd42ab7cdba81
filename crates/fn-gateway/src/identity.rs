//! The client of a request: its key, and the tags that come from it.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use sentry_keys::{Key, KeyRecord, KeysTable};
use tracing::error;

use crate::errors::ApiError;

/// The header with tags that the key leaves open: a JSON object with texts.
pub const TAGS_HEADER: &str = "x-sentry-tags";
const BEARER: &str = "Bearer ";
/// The beginning of a signature of version 4. Clients that only know AWS credentials send their key as the access key id.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=";

/// The valid key that `headers` contain. The table is read once, and only for a text that looks like a key.
///
/// # Errors
/// The same error for a missing, malformed, unknown, expired or disabled key, or another one if the table cannot be
/// read.
pub async fn identify(keys: &KeysTable, headers: &HeaderMap, now: DateTime<Utc>) -> Result<KeyRecord, ApiError> {
    let key = credential(headers).ok_or_else(ApiError::no_key)?;
    let hash = key.hash();
    match keys.find(&hash).await {
        Ok(Some(Ok(record))) if record.is_valid(now) => Ok(record),
        Ok(Some(Err(invalid))) => {
            error!(key = hash.short(), cause = %invalid, "the item of a key is not understood");
            Err(ApiError::no_key())
        }
        Ok(_) => Err(ApiError::no_key()),
        Err(unavailable) => {
            error!(cause = sentry_lambda::cause(&unavailable), "the table of keys cannot be read");
            Err(ApiError::keys_unavailable())
        }
    }
}

/// The key in the header `Authorization`. `None` if there is no text that looks like one, or if the header comes twice.
fn credential(headers: &HeaderMap) -> Option<Key> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(text), None) = (given.next(), given.next()) else { return None };
    let text = text.to_str().ok()?;
    let key = match text.strip_prefix(SIGNATURE) {
        Some(rest) => rest.split('/').next()?,
        None => text.strip_prefix(BEARER)?,
    };
    Key::parse(key)
}

/// The tags of the request: those of the key, and those of `given` that the key leaves open.
///
/// # Errors
/// If a given tag contradicts the key.
pub fn tags(key: &KeyRecord, given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = given;
    for (name, value) in key.tags() {
        match tags.insert(name.to_owned(), value.to_owned()) {
            Some(claimed) if claimed != value => {
                let problem = format!("the tag {name} comes from the key and cannot be changed; leave it out");
                return Err(ApiError::access_denied(&problem));
            }
            _ => {}
        }
    }
    Ok(tags)
}

/// The tags in the header [`TAGS_HEADER`]. Empty without the header.
///
/// # Errors
/// If the header is not a JSON object with texts, or comes twice.
pub fn given_tags(headers: &HeaderMap) -> Result<BTreeMap<String, String>, ApiError> {
    let mut given = headers.get_all(TAGS_HEADER).iter();
    let Some(header) = given.next() else { return Ok(BTreeMap::new()) };
    if given.next().is_some() {
        return Err(ApiError::validation(&format!("the header {TAGS_HEADER} must come once")));
    }
    serde_json::from_slice(header.as_bytes()).map_err(|_| {
        ApiError::validation(&format!("the header {TAGS_HEADER} must be a JSON object whose values are texts"))
    })
}

#[cfg(test)]
mod tests {
    use sentry_lambda::{Connections, http_client};
    use test_support::offline_config;

    use super::*;
    use crate::errors::Reason;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn the_key_is_a_bearer_token_or_the_access_key_id_of_a_signature() {
        let key = Key::random();
        let text = key.reveal();
        for value in [
            format!("Bearer {text}"),
            format!(
                "AWS4-HMAC-SHA256 Credential={text}/20261128/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0"
            ),
        ] {
            assert_eq!(credential(&headers("authorization", &value)), Some(key.clone()), "{value}");
        }
        for value in [
            text.to_owned(),
            format!("bearer {text}"),
            format!("Bearer  {text}"),
            format!("Basic {text}"),
            "Bearer".into(),
        ] {
            assert_eq!(credential(&headers("authorization", &value)), None, "{value}");
        }
        assert_eq!(credential(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn a_text_that_is_no_key_causes_no_read() {
        // Every call of this client fails, so an answer other than 503 was given without one.
        let config = offline_config(http_client(Connections::Kept)).into_builder().endpoint_url("http://127.0.0.1:9");
        let table = KeysTable::new(aws_sdk_dynamodb::Client::new(&config.build()), "keys".into());
        let reason = async |headers: &HeaderMap| identify(&table, headers, Utc::now()).await.unwrap_err().reason;
        assert_eq!(reason(&HeaderMap::new()).await, Reason::NoKey);
        let key = Key::random().reveal().to_owned();
        for text in [key.to_uppercase(), key[1..].to_owned(), format!("{key}0"), "x".repeat(10_000)] {
            let header = format!("Bearer {text}");
            assert_eq!(reason(&headers("authorization", &header)).await, Reason::NoKey, "{text}");
        }
        let header = format!("Bearer {key}");
        assert_eq!(reason(&headers("authorization", &header)).await, Reason::KeysUnavailable);
    }

    #[test]
    fn a_header_that_comes_twice_is_no_key_and_gives_no_tags() {
        let twice = |name: &'static str, value: &str| {
            let mut headers = headers(name, value);
            headers.append(name, value.parse().unwrap());
            headers
        };
        let bearer = format!("Bearer {}", Key::random().reveal());
        assert_eq!(credential(&twice("authorization", &bearer)), None);
        let error = given_tags(&twice("x-sentry-tags", "{}")).unwrap_err();
        assert_eq!(error.status.as_u16(), 400);
    }

    fn record() -> KeyRecord {
        KeyRecord {
            hash: Key::random().hash(),
            application_id: "helper".into(),
            cost_center: Some("support".into()),
            environment: None,
            user_id: None,
            models: None,
            expires_at: None,
            enabled: true,
            created_at: None,
            note: None,
        }
    }

    #[test]
    fn a_header_adds_open_tags_and_changes_none_of_the_key() {
        let given = |value: &str| given_tags(&headers("x-sentry-tags", value)).unwrap();
        let merged = tags(&record(), given(r#"{"environment": "test", "costCenter": "support"}"#)).unwrap();
        let expected = [("applicationId", "helper"), ("costCenter", "support"), ("environment", "test")];
        assert_eq!(merged, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for claimed in [r#"{"costCenter": "sales"}"#, r#"{"applicationId": "other"}"#, r#"{"costCenter": "Support"}"#] {
            assert_eq!(tags(&record(), given(claimed)).unwrap_err().reason, Reason::AccessDenied, "{claimed}");
        }
    }

    #[test]
    fn a_header_that_is_no_object_of_texts_is_refused() {
        for value in ["", "[]", "{\"a\": 1}", "a=b"] {
            let error = given_tags(&headers("x-sentry-tags", value)).unwrap_err();
            assert_eq!(error.reason, Reason::Validation, "{value}");
        }
    }
}
