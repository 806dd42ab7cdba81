//! Tokens that are signed here, with the rules of RFC 7515, RFC 7519 and RFC 8725. No code of the gateway signs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::ring::rand::SystemRandom;
use ::ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_smithy_http_client::test_util::StaticReplayClient;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use test_support::{http_answer, offline_config};

use super::keys::{AGAIN, FIRST_AGAIN, FRESH, KEPT};
use super::*;

const ISSUER_URL: &str = "https://issuer.example.com/pool";
const MAPPING: &str = "applicationId=azp,costCenter=custom:cost_center,userId=sub";

/// An issuer with one key of P-256.
struct Issuer {
    pair: EcdsaKeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self { pair, id }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": coded(x), "y": coded(y)})
    }

    /// A token with this head and these claims.
    fn signed(&self, head: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", coded(head.to_string()), coded(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", coded(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.signed(&self.head(), claims)
    }

    fn head(&self) -> Value {
        json!({"alg": "ES256", "kid": self.id, "typ": "JWT"})
    }
}

fn coded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The answers of the issuer to one read of its keys.
fn answers(keys: &[Value]) -> [(u16, Value); 2] {
    [discovery(ISSUER_URL), (200, json!({"keys": keys}))]
}

fn discovery(issuer: &str) -> (u16, Value) {
    (200, json!({"issuer": issuer, "jwks_uri": "https://issuer.example.com/keys", "token_endpoint": "https://x"}))
}

fn tokens(answers: &[(u16, Value)]) -> (Tokens, StaticReplayClient) {
    let events = answers.iter().map(|(status, body)| http_answer(*status, &[], &body.to_string())).collect();
    let client = StaticReplayClient::new(events);
    let source = Source::new(offline_config(client.clone()), ISSUER_URL.to_owned(), false);
    let tokens = Tokens::new(source, ISSUER_URL.to_owned(), "sentry".to_owned(), MAPPING.parse().unwrap());
    (tokens, client)
}

fn claims(changes: Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({"iss": ISSUER_URL, "aud": "sentry", "exp": now + 300, "nbf": now - 5, "azp": "helper",
        "custom:cost_center": "support", "sub": "jo"});
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn in_seconds(seconds: i64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().checked_add_signed(seconds).unwrap()
}

async fn status(tokens: &Tokens, token: &str) -> u16 {
    status_at(tokens, token, Instant::now()).await
}

async fn status_at(tokens: &Tokens, token: &str, now: Instant) -> u16 {
    tokens.caller(token, now).await.map_or_else(|error| error.of_bedrock().status().as_u16(), |_| 200)
}

#[tokio::test]
async fn the_claims_of_a_valid_token_are_tags_that_cannot_be_changed() {
    let issuer = Issuer::new("1");
    let (tokens, client) = tokens(&answers(&[issuer.jwk()]));
    let caller = tokens.caller(&issuer.token(&claims(json!({}))), Instant::now()).await.unwrap();
    let expected = [("applicationId", "helper"), ("costCenter", "support"), ("userId", "jo")];
    assert_eq!(caller.tags, expected.map(|(name, value)| (name, value.to_owned())).into());
    assert_eq!(caller.models, None);
    let given = BTreeMap::from([("costCenter".to_owned(), "sales".to_owned())]);
    let refused = crate::identity::tags(&caller, given).unwrap_err();
    assert!(refused.message.contains("comes from the token"), "{}", refused.message);
    let uris: Vec<_> = client.actual_requests().map(|request| request.uri().to_owned()).collect();
    let configuration = format!("{ISSUER_URL}/.well-known/openid-configuration");
    assert_eq!(uris, [configuration, "https://issuer.example.com/keys".to_owned()]);
}

#[tokio::test]
async fn every_kind_of_token_that_is_not_valid_has_the_same_answer() {
    let (issuer, stranger) = (Issuer::new("1"), Issuer::new("1"));
    let (tokens, _) = tokens(&answers(&[issuer.jwk()]));
    assert_eq!(status(&tokens, &issuer.token(&claims(json!({})))).await, 200);
    let wrong_claims = [
        json!({"iss": "https://other.example.com"}),
        json!({"iss": [ISSUER_URL]}),
        json!({"iss": null}),
        json!({"aud": "other"}),
        json!({"aud": null}),
        json!({"exp": in_seconds(-60)}),
        json!({"exp": null}),
        json!({"exp": in_seconds(300).to_string()}),
        json!({"nbf": in_seconds(60)}),
    ];
    let mut wrong: Vec<String> = wrong_claims.map(|changes| issuer.token(&claims(changes))).into();
    let with = |name: &str, value: Value| {
        let mut head = issuer.head();
        head[name] = value;
        head
    };
    for head in [
        with("kid", Value::Null),
        with("kid", json!("2")),
        with("alg", json!("none")),
        with("alg", json!("HS256")),
        with("alg", json!("RS256")),
        with("alg", json!("ES384")),
        with("crit", json!(["b64"])),
    ] {
        wrong.push(issuer.signed(&head, &claims(json!({}))));
    }
    wrong.push(stranger.token(&claims(json!({}))));
    let valid = issuer.token(&claims(json!({})));
    let (message, signature) = valid.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    wrong.push(format!("{head}.{}.{signature}", coded(claims(json!({"azp": "other"})).to_string())));
    wrong.push(format!("{message}.{}", coded([0; 64])));
    wrong.push(format!("{message}.e30"));
    let answers = futures_util::future::join_all(wrong.iter().map(|token| tokens.caller(token, Instant::now()))).await;
    let expected = ApiError::no_key();
    for (answer, token) in answers.into_iter().zip(&wrong) {
        let error = answer.expect_err(token);
        assert_eq!((error.reason, &error.message), (expected.reason, &expected.message), "{token}");
    }
}

#[tokio::test]
async fn a_token_may_be_half_a_minute_late_or_early_and_have_several_audiences() {
    let issuer = Issuer::new("1");
    let (tokens, _) = tokens(&answers(&[issuer.jwk()]));
    for changes in [
        json!({"exp": in_seconds(-20)}),
        json!({"nbf": in_seconds(20)}),
        json!({"nbf": null}),
        json!({"aud": ["other", "sentry"]}),
    ] {
        assert_eq!(status(&tokens, &issuer.token(&claims(changes.clone()))).await, 200, "{changes}");
    }
}

#[tokio::test]
async fn a_valid_token_without_a_claim_for_a_tag_is_told_which() {
    let issuer = Issuer::new("1");
    let (tokens, _) = tokens(&answers(&[issuer.jwk()]));
    for (changes, claim) in [
        (json!({"azp": null}), "azp"),
        (json!({"azp": 7}), "azp"),
        (json!({"azp": ""}), "azp"),
        (json!({"azp": " helper"}), "azp"),
        (json!({"custom:cost_center": null}), "custom:cost_center"),
        (json!({"sub": "x".repeat(256)}), "sub"),
    ] {
        let error = tokens.caller(&issuer.token(&claims(changes.clone())), Instant::now()).await.unwrap_err();
        assert_eq!(error.of_bedrock().status().as_u16(), 403, "{changes}");
        assert!(error.message.contains(&format!("claim {claim} ")), "{}", error.message);
    }
}

#[tokio::test]
async fn a_new_key_is_found_after_a_minute_at_the_latest() {
    let (old, new) = (Issuer::new("1"), Issuer::new("2"));
    let reads = [answers(&[old.jwk()]), answers(&[old.jwk(), new.jwk()])].concat();
    let (tokens, client) = tokens(&reads);
    let start = Instant::now();
    assert_eq!(status_at(&tokens, &old.token(&claims(json!({}))), start).await, 200);
    let token = new.token(&claims(json!({})));
    for early in [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(59)] {
        assert_eq!(status_at(&tokens, &token, start + early).await, 401);
    }
    assert_eq!(client.actual_requests().count(), 2, "one read");
    assert_eq!(status_at(&tokens, &token, start + AGAIN).await, 200);
    assert_eq!(client.actual_requests().count(), 4);
}

#[tokio::test]
async fn an_outage_of_the_issuer_keeps_the_last_keys_for_a_day_and_then_nothing_is_accepted() {
    let (issuer, stranger) = (Issuer::new("1"), Issuer::new("1"));
    let down = (503, json!({}));
    let reads = [answers(&[issuer.jwk()]).to_vec(), vec![down; 3], answers(&[issuer.jwk()]).to_vec()].concat();
    let (tokens, client) = tokens(&reads);
    let (token, start) = (issuer.token(&claims(json!({}))), Instant::now());
    assert_eq!(status_at(&tokens, &token, start).await, 200);
    assert_eq!(status_at(&tokens, &token, start + FRESH).await, 200);
    assert_eq!(client.actual_requests().count(), 3, "old keys are used after a read that failed");
    assert_eq!(status_at(&tokens, &token, start + FRESH + Duration::from_secs(59)).await, 200);
    assert_eq!(client.actual_requests().count(), 3, "no second read in the same minute");
    assert_eq!(status_at(&tokens, &stranger.token(&claims(json!({}))), start + FRESH + AGAIN).await, 401);
    assert_eq!(status_at(&tokens, &token, start + KEPT).await, 503);
    assert_eq!(status_at(&tokens, &token, start + KEPT + AGAIN).await, 200, "the issuer is back");
}

#[tokio::test]
async fn nothing_is_accepted_before_the_keys_are_known() {
    let issuer = Issuer::new("1");
    let keys = |keys: Value| [discovery(ISSUER_URL), (200, keys)].to_vec();
    for first in [
        vec![(302, json!({}))],
        vec![discovery("https://issuer.example.com/pool/")],
        vec![(200, json!({"issuer": ISSUER_URL, "jwks_uri": "http://issuer.example.com/keys"}))],
        vec![(200, json!([]))],
        keys(json!({"keys": []})),
        keys(json!({"keys": [{"kty": "oct", "kid": "1", "k": "AAAA", "alg": "HS256"}]})),
    ] {
        let (tokens, client) = tokens(&[first.clone(), answers(&[issuer.jwk()]).to_vec()].concat());
        let (token, start) = (issuer.token(&claims(json!({}))), Instant::now());
        assert_eq!(status_at(&tokens, &token, start).await, 503, "{first:?}");
        assert_eq!(status_at(&tokens, &token, start + Duration::from_secs(1)).await, 503);
        assert_eq!(client.actual_requests().count(), first.len());
        assert_eq!(status_at(&tokens, &token, start + FIRST_AGAIN).await, 200);
    }
}

#[tokio::test]
async fn keys_for_other_purposes_are_left_out() {
    let issuer = Issuer::new("1");
    for (field, value) in
        [("use", json!("enc")), ("alg", json!("RS256")), ("crv", json!("P-384")), ("kid", Value::Null)]
    {
        let (mut key, other) = (issuer.jwk(), Issuer::new("2"));
        key[field] = value;
        let unknown = json!({"kty": "AKP", "kid": "3", "alg": "ML-DSA-44", "pub": "AAAA"});
        let (tokens, _) = tokens(&answers(&[key, unknown, other.jwk()]));
        assert_eq!(status(&tokens, &issuer.token(&claims(json!({})))).await, 401, "{field}");
        assert_eq!(status(&tokens, &other.token(&claims(json!({})))).await, 200);
    }
}

/// Source: RFC 7515, appendix A.2.
#[tokio::test]
async fn a_signature_with_rsa_is_verified() {
    let modulus = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let head = "eyJhbGciOiJSUzI1NiJ9";
    // One digit of `exp` is altered below.
    let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let (tokens, _) = tokens(&[]);
    let key = DecodingKey::from_rsa_components(modulus, "AQAB").unwrap();
    let reason = |token: String| tokens.verified(&token, Algorithm::RS256, &key).unwrap_err();
    // The claims have no audience, but they are looked at only after the signature.
    let complete = reason(format!("{head}.{payload}.{signature}"));
    assert!(complete.contains("Missing required claim"), "{complete}");
    let altered = reason(format!("{head}.{}.{signature}", payload.replace("MDA4", "MDA5")));
    assert_eq!(altered, reason(format!("{head}.{payload}.AAAA")));
    assert!(!altered.contains("Missing required claim"), "{altered}");
}

#[test]
fn a_key_is_no_token_and_a_token_is_no_key() {
    let key = sentry_keys::Key::random();
    let token = Issuer::new("1").token(&claims(json!({})));
    assert!(is_token(&token) && sentry_keys::Key::parse(&token).is_none());
    for text in [key.reveal(), "", "a.b", "a..b", "a.b.c.d", ".a.b", "a.b.c=", &"a.b.c".repeat(4000)] {
        assert!(!is_token(text), "{text}");
    }
}

#[test]
fn models_are_a_list_or_words() {
    let mapping: Claims = "applicationId=azp, models=https://example.com/models".parse().unwrap();
    let read = |value: Value| {
        let claims = json!({"azp": "helper", "https://example.com/models": value});
        mapping.caller(claims.as_object().unwrap()).map(|caller| caller.models.unwrap())
    };
    assert_eq!(read(json!(["nova-lite", "m"])).unwrap(), ["nova-lite", "m"]);
    assert_eq!(read(json!("nova-lite m")).unwrap(), ["nova-lite", "m"]);
    // An empty list allows nothing.
    assert!(read(json!([])).unwrap().is_empty());
    for wrong in [Value::Null, json!(true), json!(["m", 1]), json!({"m": true})] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_mapping_that_is_not_understood_is_refused() {
    for (text, problem) in [
        ("", "not tag=claim"),
        ("applicationId", "not tag=claim"),
        ("applicationId=", "not tag=claim"),
        ("costCenter=a", "applicationId has no claim"),
        ("applicationId=a,applicationId=b", "two claims"),
        ("applicationId=a,requestId=jti", "requestId"),
        ("applicationId=a,", "not tag=claim"),
    ] {
        let error = text.parse::<Claims>().unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

#[test]
fn only_https_or_a_local_address_that_is_asked_for_is_an_issuer() {
    assert_eq!(origin("https://a.example.com:8443/x?y", false).unwrap(), "https://a.example.com:8443");
    assert_eq!(origin("http://127.0.0.1:9/x", true).unwrap(), "http://127.0.0.1:9");
    for (url, local) in [
        ("http://127.0.0.1:9/x", false),
        ("http://example.com/x", true),
        ("http://127.0.0.1.example.com/x", true),
        ("http://127.0.0.1@example.com/x", true),
        ("https://a@example.com/x", false),
        ("file:///etc/passwd", true),
        ("/x", true),
    ] {
        assert_eq!(origin(url, local), None, "{url}");
    }
}
