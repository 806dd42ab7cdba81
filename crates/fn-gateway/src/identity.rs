//! Who the caller of a request is, and the tags that come from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use sentry_keys::{Key, KeyHash, KeyRecord, KeysTable, KeysUnavailable, Principal};
use tracing::error;

use crate::ahead::{Ahead, ReadAhead};
use crate::caller::Caller;
use crate::errors::{ApiError, Reason};
use crate::tokens::{Tokens, is_token};

/// The ways in which a caller can show who it is.
#[derive(Debug)]
pub struct Callers {
    /// The records of keys and of IAM principals.
    pub keys: KeysTable,
    /// Reads limits and budgets together with a record.
    pub ahead: Arc<Ahead>,
    /// The issuer whose tokens are accepted beside keys.
    pub tokens: Option<Tokens>,
    /// `true` if every caller is an IAM principal. Then no key and no token is accepted.
    pub are_principals: bool,
}

/// The ARN of the IAM principal whose signature Lambda has verified. Only an event of Lambda gives it to a request.
#[derive(Clone, Debug)]
pub struct Verified(pub String);

/// The header with tags that the key leaves open: a JSON object with texts.
pub const TAGS_HEADER: &str = "x-sentry-tags";
/// The header in which clients of Anthropic's API send their key.
const API_KEY_HEADER: &str = "x-api-key";
const BEARER: &str = "Bearer ";
/// The beginning of a signature of version 4. Clients that only know AWS credentials send their key as the access key id.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=";

/// The caller of the request with this head. The table is read once, and only if the request has a credential.
///
/// # Errors
/// The same error for a missing, malformed, unknown, expired or disabled key or token. Another one if the table or the
/// issuer cannot be read, or if a valid token or principal has no tags.
pub async fn identify(callers: &Callers, head: &Parts, now: DateTime<Utc>) -> Result<Caller, ApiError> {
    if callers.are_principals {
        return principal(callers, head.extensions.get().ok_or_else(ApiError::no_key)?, now).await;
    }
    if let (Some(tokens), Some(token)) = (&callers.tokens, bearer(&head.headers).filter(|text| is_token(text))) {
        return tokens.caller(token, Instant::now()).await;
    }
    let text = credential(&head.headers).ok_or_else(ApiError::no_key)?;
    // The table is read for any text, so that the time of the answer does not show if the text has the form of a key.
    let (record, ahead) = record(callers, &KeyHash::of(text), now).await?;
    Key::parse(text).map(|_| Caller::of_record("key", record, ahead)).ok_or_else(ApiError::no_key)
}

/// The caller that Lambda has verified. Its record can be turned off like a key.
async fn principal(callers: &Callers, Verified(arn): &Verified, now: DateTime<Utc>) -> Result<Caller, ApiError> {
    let unknown = || {
        let problem = format!("{arn} has no valid record; `sentry keys create --principal` makes one");
        ApiError::access_denied(&problem)
    };
    let principal = Principal::parse(arn).ok_or_else(unknown)?;
    match record(callers, &principal.hash(), now).await {
        Ok((record, ahead)) if record.principal == Some(principal) => {
            Ok(Caller::of_record("IAM principal", record, ahead))
        }
        Err(unavailable) if unavailable.reason == Reason::KeysUnavailable => Err(unavailable),
        _ => Err(unknown()),
    }
}

/// The valid record under `hash`, and the limits and budgets that were read together with it.
async fn record(
    callers: &Callers,
    hash: &KeyHash,
    now: DateTime<Utc>,
) -> Result<(KeyRecord, Option<ReadAhead>), ApiError> {
    let (found, ahead) = match callers.ahead.read(&callers.keys, hash).await {
        Some((item, ahead)) => (item.map(|item| KeyRecord::read(&item)), Some(ahead)),
        None => (callers.keys.find(hash).await.map_err(unavailable)?, None),
    };
    match found {
        Some(Ok(record)) if record.is_valid(now) => return Ok((record, ahead)),
        Some(Err(invalid)) => {
            error!(key = hash.short(), cause = %invalid, "the item of a key is not understood");
        }
        _ => {}
    }
    callers.ahead.forget(hash);
    Err(ApiError::no_key())
}

fn unavailable(unavailable: KeysUnavailable) -> ApiError {
    error!(cause = sentry_lambda::cause(&unavailable), "the table of keys cannot be read");
    ApiError::keys_unavailable()
}

/// The text in the place of a key: in the header `Authorization` or, without this header, in `x-api-key`. `None` if there
/// is none, or if the header comes twice.
fn credential(headers: &HeaderMap) -> Option<&str> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return only(headers, API_KEY_HEADER);
    }
    match only(headers, header::AUTHORIZATION)?.strip_prefix(SIGNATURE) {
        Some(rest) => rest.split('/').next(),
        None => bearer(headers),
    }
}

/// The bearer token in the header `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    only(headers, header::AUTHORIZATION)?.strip_prefix(BEARER)
}

/// The text of a header. `None` if it is absent, comes twice, or is not ASCII.
fn only(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    let mut given = headers.get_all(name).iter();
    let (Some(text), None) = (given.next(), given.next()) else { return None };
    text.to_str().ok()
}

/// The tags of the request: those of the caller, and those of `given` that the caller's leave open.
///
/// # Errors
/// If a given tag contradicts one of the caller.
pub fn tags(caller: &Caller, given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = given;
    for (name, value) in &caller.tags {
        match tags.insert((*name).to_owned(), value.clone()) {
            Some(claimed) if claimed != *value => {
                let problem =
                    format!("the tag {name} comes from the {} and cannot be changed; leave it out", caller.shown);
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
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
    use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
    use aws_smithy_mocks::{RuleMode, mock};
    use sentry_lambda::{Connections, http_client};
    use test_support::{mock_client, offline_config};

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
            assert_eq!(credential(&headers("authorization", &value)), Some(text), "{value}");
        }
        for value in [text.to_owned(), format!("bearer {text}"), format!("Basic {text}"), "Bearer".into()] {
            assert_eq!(credential(&headers("authorization", &value)), None, "{value}");
        }
        assert_eq!(credential(&HeaderMap::new()), None);
    }

    fn head(headers: &HeaderMap) -> Parts {
        let mut head = axum::http::Request::new(()).into_parts().0;
        head.headers = headers.clone();
        head
    }

    #[test]
    fn a_client_of_anthropic_sends_the_key_in_a_header_of_its_own() {
        let (key, other) = (Key::random(), Key::random());
        let mut both = headers("x-api-key", key.reveal());
        assert_eq!(credential(&both), Some(key.reveal()));
        both.insert(header::AUTHORIZATION, format!("Bearer {}", other.reveal()).parse().unwrap());
        assert_eq!(credential(&both), Some(other.reveal()));
        both.insert(header::AUTHORIZATION, "Basic x".parse().unwrap());
        assert_eq!(credential(&both), None);
    }

    #[tokio::test]
    async fn only_a_request_without_a_credential_causes_no_read() {
        // Every call of this client fails, so an answer other than 503 was given without one.
        let config = offline_config(http_client(Connections::Kept)).into_builder().endpoint_url("http://127.0.0.1:9");
        let callers = callers(aws_sdk_dynamodb::Client::new(&config.build()), false);
        let reason =
            async |headers: &HeaderMap| identify(&callers, &head(headers), Utc::now()).await.unwrap_err().reason;
        assert_eq!(reason(&HeaderMap::new()).await, Reason::NoKey);
        assert_eq!(reason(&headers("authorization", "Bearer")).await, Reason::NoKey);
        for text in [Key::random().reveal(), "csk_0"] {
            let header = format!("Bearer {text}");
            assert_eq!(reason(&headers("authorization", &header)).await, Reason::KeysUnavailable, "{text}");
        }
    }

    #[tokio::test]
    async fn a_text_without_the_form_of_a_key_is_no_key_whatever_the_table_has() {
        // The table has the record of a principal under the hash of its ARN.
        let callers = with_record(Some(&record()), false);
        let key = Key::random().reveal().to_owned();
        for text in
            [key.to_uppercase(), key[1..].to_owned(), format!("{key}0"), "arn:aws:iam::123456789012:role/jo".into()]
        {
            let head = head(&headers("authorization", &format!("Bearer {text}")));
            assert_eq!(identify(&callers, &head, Utc::now()).await.unwrap_err().reason, Reason::NoKey, "{text}");
        }
        let head = head(&headers("authorization", &format!("Bearer {key}")));
        assert_eq!(identify(&callers, &head, Utc::now()).await.unwrap().tags["costCenter"], "support");
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
        assert_eq!(error.reason, Reason::Validation);
    }

    fn record() -> KeyRecord {
        KeyRecord {
            hash: Key::random().hash(),
            principal: None,
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

    fn helper() -> Caller {
        Caller::of_record("key", record(), None)
    }

    /// Callers whose table has `item` for every key.
    fn with_record(item: Option<&KeyRecord>, are_principals: bool) -> Callers {
        let item = item.map(KeyRecord::item);
        let read = mock!(Client::get_item).then_output(move || GetItemOutput::builder().set_item(item.clone()).build());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&read]);
        callers(client, are_principals)
    }

    fn callers(client: Client, are_principals: bool) -> Callers {
        let ahead = Arc::new(Ahead::new(client.clone(), "limits".into(), "ledger".into()));
        Callers { keys: KeysTable::new(client, "keys".into()), ahead, tokens: None, are_principals }
    }

    /// The answer to a request of the principal `arn`, if the table has `item` for every key.
    async fn of_principal(arn: &str, item: Option<&KeyRecord>, are_principals: bool) -> Result<Caller, ApiError> {
        let callers = with_record(item, are_principals);
        let mut head = head(&HeaderMap::new());
        head.extensions.insert(Verified(arn.to_owned()));
        identify(&callers, &head, Utc::now()).await
    }

    #[tokio::test]
    async fn a_key_that_was_disabled_since_its_last_request_is_no_key() {
        let key = Key::random();
        let known = KeyRecord { hash: key.hash(), ..record() };
        for (stored, accepted) in
            [(Some(known.clone()), true), (Some(KeyRecord { enabled: false, ..known }), false), (None, false)]
        {
            let found: Vec<_> = stored.iter().map(KeyRecord::item).collect();
            let read = mock!(Client::batch_get_item)
                .then_output(move || BatchGetItemOutput::builder().responses("keys", found.clone()).build());
            let alone = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
            let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&read, &alone]);
            let callers = callers(client, false);
            callers.ahead.remember_limits(&key.hash(), std::iter::once("default".to_owned()).collect());
            let head = head(&headers("authorization", &format!("Bearer {}", key.reveal())));
            for calls in 1..=2 {
                let caller = identify(&callers, &head, Utc::now()).await;
                assert_eq!(caller.is_ok(), accepted, "{stored:?}");
                // A key that is not valid is read alone the next time.
                assert_eq!(read.num_calls(), if accepted { calls } else { 1 });
                assert_eq!(caller.is_ok_and(|caller| caller.ahead.is_some()), accepted);
            }
        }
    }

    #[tokio::test]
    async fn a_principal_is_the_one_of_its_record_and_only_where_principals_are_accepted() {
        let principal = Principal::parse("arn:aws:iam::123456789012:role/helper").unwrap();
        let record = KeyRecord { hash: principal.hash(), principal: Some(principal), ..record() };
        let session = "arn:aws:sts::123456789012:assumed-role/helper/i-1";
        let caller = of_principal(session, Some(&record), true).await.unwrap();
        assert_eq!(caller.tags["costCenter"], "support");
        assert_eq!(of_principal(session, Some(&record), false).await.unwrap_err().reason, Reason::NoKey);
        let key = KeyRecord { principal: None, ..record.clone() };
        let disabled = KeyRecord { enabled: false, ..record.clone() };
        for (arn, item) in [
            ("arn:aws:sts::123456789012:assumed-role/other/i-1", Some(&record)),
            ("arn:aws:iam::123456789012:root", Some(&record)),
            (session, Some(&key)),
            (session, Some(&disabled)),
            (session, None),
        ] {
            let error = of_principal(arn, item, true).await.unwrap_err();
            assert_eq!(error.reason, Reason::AccessDenied);
            assert!(error.message.starts_with(arn), "{}", error.message);
        }
    }

    #[test]
    fn a_header_adds_open_tags_and_changes_none_of_the_key() {
        let given = |value: &str| given_tags(&headers("x-sentry-tags", value)).unwrap();
        let merged = tags(&helper(), given(r#"{"environment": "test", "costCenter": "support"}"#)).unwrap();
        let expected = [("applicationId", "helper"), ("costCenter", "support"), ("environment", "test")];
        assert_eq!(merged, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for claimed in [r#"{"costCenter": "sales"}"#, r#"{"applicationId": "other"}"#, r#"{"costCenter": "Support"}"#] {
            assert_eq!(tags(&helper(), given(claimed)).unwrap_err().reason, Reason::AccessDenied, "{claimed}");
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
