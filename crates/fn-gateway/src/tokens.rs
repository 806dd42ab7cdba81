//! Tokens (JWT) of one issuer instead of keys of the sentry.
//!
//! The signature is verified first, and nothing of a token is used before. The rules are those of RFC 7519 and RFC 8725.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Instant;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use sentry_lambda::{SdkConfig, StartError, env};
use serde_json::{Map, Value};
use thiserror::Error;
use tracing::info;

use crate::caller::Caller;
use crate::errors::ApiError;
use keys::{Found, IssuerKeys, PublicKey, Source, origin};

mod keys;
mod ring;
#[cfg(test)]
mod tests;

/// Difference between the clocks of the issuer and the gateway that is accepted, in seconds.
const LEEWAY_SECONDS: u64 = 30;
/// Longest token, in bytes. The headers of a request to a function have about as much room.
const MAX_BYTES: usize = 8 * 1024;
const ISSUER: &str = "SENTRY_JWT_ISSUER";
const AUDIENCE: &str = "SENTRY_JWT_AUDIENCE";
const CLAIMS: &str = "SENTRY_JWT_CLAIMS";
/// With the value `on`, the issuer may be `http://127.0.0.1`. Only for a gateway on the same machine; no template sets it.
const LOCAL: &str = "SENTRY_JWT_LOCAL_ISSUER";

/// Tags that a claim can give.
const TAGS: [&str; 4] = [APPLICATION_ID, "costCenter", "environment", "userId"];
const APPLICATION_ID: &str = "applicationId";
const MODELS: &str = "models";

/// The issuer whose tokens are accepted.
#[derive(Debug)]
pub struct Tokens {
    keys: IssuerKeys,
    issuer: String,
    audience: String,
    claims: Claims,
}

/// The claim of each tag, and of the list of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    tags: BTreeMap<&'static str, String>,
    models: Option<String>,
}

/// A mapping that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("JwtClaims: {0}")]
pub struct InvalidClaims(String);

impl FromStr for Claims {
    type Err = InvalidClaims;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut claims = Self { tags: BTreeMap::new(), models: None };
        for entry in text.split(',').map(str::trim) {
            let pair = entry.split_once('=').filter(|(_, claim)| !claim.is_empty());
            let (tag, claim) = pair.ok_or_else(|| InvalidClaims(format!("{entry:?} is not tag=claim")))?;
            let before = if tag == MODELS {
                claims.models.replace(claim.to_owned())
            } else {
                let known = TAGS.iter().find(|known| **known == tag);
                let unknown = || format!("{tag:?} is not {} or {MODELS}", TAGS.join(", "));
                claims.tags.insert(known.ok_or_else(|| InvalidClaims(unknown()))?, claim.to_owned())
            };
            if before.is_some() {
                return Err(InvalidClaims(format!("{tag} has two claims")));
            }
        }
        if !claims.tags.contains_key(APPLICATION_ID) {
            return Err(InvalidClaims(format!("{APPLICATION_ID} has no claim")));
        }
        Ok(claims)
    }
}

/// `true` if `text` has the form of a signed token: three parts of base64url. A key of the sentry has no dots.
pub fn is_token(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= MAX_BYTES && text.split('.').count() == 3 && text.split('.').all(part)
}

impl Tokens {
    /// The tokens that the environment variables describe. `None` without an issuer. `config` has the HTTP client that
    /// reads the keys.
    ///
    /// # Errors
    /// If a variable is not understood.
    pub fn from_environment(config: &SdkConfig) -> Result<Option<Self>, StartError> {
        let Some(issuer) = env::optional(ISSUER) else { return Ok(None) };
        let local = env::optional(LOCAL).as_deref() == Some("on");
        if origin(&issuer, local).is_none() {
            return Err(StartError::Invalid(format!("{ISSUER}={issuer}: it must begin with https://")));
        }
        let claims = env::required(CLAIMS)?.parse();
        let claims = claims.map_err(|error: InvalidClaims| StartError::Invalid(error.to_string()))?;
        let source = Source::new(config.clone(), issuer.clone(), local);
        Ok(Some(Self::new(source, issuer, env::required(AUDIENCE)?, claims)))
    }

    fn new(source: Source, issuer: String, audience: String, claims: Claims) -> Self {
        ring::install();
        Self { keys: IssuerKeys::new(source), issuer, audience, claims }
    }

    /// The caller that shows `token`.
    ///
    /// # Errors
    /// The same error for every kind of token that is not valid, another one if it has no claim for a tag, and another
    /// one if the keys of the issuer are not known.
    pub async fn caller(&self, token: &str, now: Instant) -> Result<Caller, ApiError> {
        let refused = |reason: &str| {
            info!(reason, "a token was refused");
            ApiError::no_key()
        };
        let header = decode_header(token).map_err(|error| refused(&error.to_string()))?;
        // A header that must be understood and is not known (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(refused("it has critical headers"));
        }
        let Some(id) = header.kid else { return Err(refused("it has no kid")) };
        // Without this, a token with another algorithm would make the gateway read the issuer.
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Err(refused("its algorithm is not RS256 or ES256"));
        }
        let PublicKey { algorithm, key } = match self.keys.find(&id, now).await {
            Found::Key(key) => key,
            Found::Unknown => return Err(refused("its key is not known")),
            Found::Unavailable => return Err(ApiError::keys_unavailable()),
        };
        let claims = self.verified(token, algorithm, &key).map_err(|reason| refused(&reason))?;
        self.claims.caller(&claims)
    }

    /// The claims of a token that is valid now.
    fn verified(&self, token: &str, algorithm: Algorithm, key: &DecodingKey) -> Result<Map<String, Value>, String> {
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY_SECONDS;
        rules.validate_nbf = true;
        rules.set_audience(&[&self.audience]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        let claims = decode::<Map<String, Value>>(token, key, &rules).map_err(|error| error.to_string())?.claims;
        // The library also accepts a list that contains the issuer. The claim is one text (RFC 7519, 4.1.1).
        if claims.get("iss").and_then(Value::as_str) == Some(&self.issuer) {
            Ok(claims)
        } else {
            Err("iss is not one text".to_owned())
        }
    }
}

impl Claims {
    /// The caller with these verified claims. Every claim of the mapping must be there: a tag that only some tokens fix
    /// could be chosen by the others.
    fn caller(&self, claims: &Map<String, Value>) -> Result<Caller, ApiError> {
        let tags = self.tags.iter().map(|(tag, name)| {
            let value = claims.get(name).and_then(Value::as_str).filter(|value| is_tag(value));
            let value = value.ok_or_else(|| no_claim(name, tag, "a text of 1 to 255 characters"))?;
            Ok((*tag, value.to_owned()))
        });
        let tags = tags.collect::<Result<_, ApiError>>()?;
        let models = self.models.as_ref().map(|name| {
            let models = claims.get(name).and_then(models);
            models.ok_or_else(|| no_claim(name, MODELS, "a list of texts, or a text with names between spaces"))
        });
        Ok(Caller { shown: "token", tags, models: models.transpose()?, record: None, ahead: None })
    }
}

/// The rule of the sentry for the value of a tag: 1 to 255 characters, without control characters and spaces at the ends.
fn is_tag(value: &str) -> bool {
    value.trim() == value && (1..=255).contains(&value.chars().count()) && !value.chars().any(char::is_control)
}

fn models(claim: &Value) -> Option<Vec<String>> {
    match claim {
        Value::String(names) => Some(names.split_whitespace().map(str::to_owned).collect()),
        Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn no_claim(claim: &str, tag: &str, form: &str) -> ApiError {
    ApiError::access_denied(&format!("The token needs the claim {claim} for {tag}: {form}."))
}
