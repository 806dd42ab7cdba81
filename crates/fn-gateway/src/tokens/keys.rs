//! The public keys of the issuer, which are read from its address and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use axum::http::Uri;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use sentry_lambda::SdkConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tracing::error;

/// Time for which keys are used without a look at the issuer.
pub const FRESH: Duration = Duration::from_secs(60 * 60);
/// Time for which keys are used while the issuer cannot be reached. Later, every token is answered with 503.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest time between two reads, whatever tokens come.
pub const AGAIN: Duration = Duration::from_secs(60);
/// Shortest time between two reads as long as no read was successful.
pub const FIRST_AGAIN: Duration = Duration::from_secs(5);

/// A public key, and the only algorithm that it may be used with (RFC 8725, 3.1).
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// RS256 or ES256, as the issuer's document says.
    pub algorithm: Algorithm,
    /// The key in the form of `jsonwebtoken`.
    pub key: DecodingKey,
}

/// The keys of an issuer, by their id (`kid`).
pub type ById = HashMap<String, PublicKey>;

/// The answer to the search for a key.
#[derive(Debug)]
pub enum Found {
    /// The issuer has published the key, and it was read recently enough.
    Key(PublicKey),
    /// The issuer has no such key.
    Unknown,
    /// The keys of the issuer are not known.
    Unavailable,
}

/// The keys cannot be read.
#[derive(Debug, Error)]
#[error("{url}: {problem}")]
pub struct Unreadable {
    /// The address that was read: the discovery document or the `jwks_uri`.
    pub url: String,
    /// The problem with it.
    pub problem: String,
}

/// The keys of one issuer.
#[derive(Debug)]
pub struct IssuerKeys {
    source: Source,
    known: Mutex<Option<Known>>,
    /// The time of the last read. Only one task reads.
    last_read: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Known {
    keys: Arc<ById>,
    read_at: Instant,
}

impl IssuerKeys {
    /// The keys of `source`. Nothing is read before the first token.
    pub fn new(source: Source) -> Self {
        Self { source, known: Mutex::default(), last_read: tokio::sync::Mutex::default() }
    }

    /// The key with `id`. The issuer is read if the keys are old or do not contain it, but not more often than every
    /// [`AGAIN`].
    pub async fn find(&self, id: &str, now: Instant) -> Found {
        if let Some(key) = self.fresh(id, now) {
            return Found::Key(key);
        }
        let mut last_read = self.last_read.lock().await;
        // Another task may have read the issuer while this one has waited.
        if let Some(key) = self.fresh(id, now) {
            return Found::Key(key);
        }
        let pause = if self.known().is_some() { AGAIN } else { FIRST_AGAIN };
        if last_read.is_none_or(|last| now.saturating_duration_since(last) >= pause) {
            *last_read = Some(now);
            match self.source.read().await {
                Ok(keys) => self.remember(Known { keys: Arc::new(keys), read_at: now }),
                Err(unreadable) => error!(cause = %unreadable, "the keys of the token issuer cannot be read"),
            }
        }
        match self.known().filter(|known| now.saturating_duration_since(known.read_at) < KEPT) {
            Some(known) => known.keys.get(id).map_or(Found::Unknown, |key| Found::Key(key.clone())),
            None => Found::Unavailable,
        }
    }

    fn fresh(&self, id: &str, now: Instant) -> Option<PublicKey> {
        let known = self.known().filter(|known| now.saturating_duration_since(known.read_at) < FRESH)?;
        known.keys.get(id).cloned()
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

/// The place of the keys: an issuer that follows `OpenID` Connect Discovery 1.0.
#[derive(Clone, Debug)]
pub struct Source {
    config: SdkConfig,
    issuer: String,
    local: bool,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The keys are read one by one, because a set may have keys of kinds that are not known (RFC 7517, 5).
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl Source {
    /// The keys of `issuer`, read by the HTTP client and within the time limits of `config`. `local` also accepts
    /// `http://127.0.0.1`.
    pub fn new(config: SdkConfig, issuer: String, local: bool) -> Self {
        Self { config, issuer, local }
    }

    async fn read(&self) -> Result<ById, Unreadable> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery: Discovery = self.get(&url).await?;
        if discovery.issuer != self.issuer {
            let problem = "the field issuer is not the parameter JwtIssuer, character by character".to_owned();
            return Err(Unreadable { url, problem });
        }
        let set: KeySet = self.get(&discovery.jwks_uri).await?;
        let keys: ById =
            set.keys.into_iter().filter_map(|key| public_key(&serde_json::from_value(key).ok()?)).collect();
        if keys.is_empty() {
            let problem = "no key for RS256 or ES256 that has a kid".to_owned();
            return Err(Unreadable { url: discovery.jwks_uri, problem });
        }
        Ok(keys)
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, Unreadable> {
        let unreadable = |problem: &str| Unreadable { url: url.to_owned(), problem: problem.to_owned() };
        let origin = origin(url, self.local).ok_or_else(|| unreadable("it must begin with https://"))?;
        let mut call =
            Operation::builder().service_name("issuer").operation_name("Read").endpoint_url(&origin).no_auth();
        if let Some(client) = self.config.http_client() {
            call = call.http_client(client);
        }
        if let Some(timeouts) = self.config.timeout_config() {
            call = call.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = self.config.sleep_impl() {
            call = call.sleep_impl(sleep);
        }
        let call = call.no_retry().serializer(request).deserializer(answered).build();
        let sent: Result<Body, SdkError<NoDocument, HttpResponse>> = call.invoke(url.to_owned()).await;
        let Body(body) = sent.map_err(|error| match error.as_service_error() {
            Some(no_document) => unreadable(&no_document.to_string()),
            None => unreadable(&sentry_lambda::cause(&error)),
        })?;
        serde_json::from_slice(&body).map_err(|_| unreadable("the answer is no such document"))
    }
}

/// Scheme and host of `url`. `None` if it is not `https`, nor a `local` address.
pub fn origin(url: &str, local: bool) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let accepted = scheme == "https" || (local && scheme == "http" && authority.host() == "127.0.0.1");
    (accepted && !authority.as_str().contains('@')).then(|| format!("{scheme}://{authority}"))
}

/// The body of an answer.
#[derive(Debug)]
struct Body(Vec<u8>);

/// The answer has another status than 200.
#[derive(Debug, Error)]
#[error("the answer has the status {0}")]
struct NoDocument(u16);

fn request(url: String) -> Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
    let mut request = HttpRequest::empty();
    request.set_method("GET")?;
    request.set_uri(url)?;
    request.headers_mut().try_insert("accept", "application/json")?;
    Ok(request)
}

fn answered(answer: &HttpResponse) -> Result<Body, OrchestratorError<NoDocument>> {
    match answer.status().as_u16() {
        200 => Ok(Body(answer.body().bytes().unwrap_or_default().to_vec())),
        // A redirection could lead to another host, so none is followed.
        status => Err(OrchestratorError::operation(NoDocument(status))),
    }
}

/// The key, with its id. `None` if it has no id, or is not meant for RS256 or ES256.
fn public_key(key: &Jwk) -> Option<(String, PublicKey)> {
    if !matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match (&key.algorithm, key.common.key_algorithm) {
        (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
        (AlgorithmParameters::EllipticCurve(point), None | Some(KeyAlgorithm::ES256))
            if point.curve == EllipticCurve::P256 =>
        {
            Algorithm::ES256
        }
        _ => return None,
    };
    Some((key.common.key_id.clone()?, PublicKey { algorithm, key: DecodingKey::from_jwk(key).ok()? }))
}
