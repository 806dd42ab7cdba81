//! The events of a function URL as HTTP requests, and responses as streams.

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::{LambdaEvent, MetadataPrelude, StreamResponse};
use serde::Deserialize;
use std::collections::BTreeMap;
use tower::ServiceExt;

use crate::identity::Verified;

/// An event of a function URL (payload format 2.0). Only the fields that the gateway reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: Context,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Debug, Deserialize)]
struct Context {
    http: Http,
    #[serde(default)]
    authorizer: Option<Authorizer>,
}

/// It is there if the URL has the authorization type `AWS_IAM`. Lambda has verified the signature.
#[derive(Debug, Deserialize)]
struct Authorizer {
    iam: Option<Iam>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Iam {
    user_arn: String,
}

#[derive(Debug, Deserialize)]
struct Http {
    method: String,
}

/// Answers an event with `router`.
///
/// # Errors
/// Never: an event that is no request has the answer 400.
pub async fn serve(
    router: Router,
    event: LambdaEvent<Event>,
) -> Result<StreamResponse<BodyDataStream>, lambda_runtime::Error> {
    let response = match request(event.payload) {
        Some(request) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
        None => bad_request(),
    };
    let (head, body) = response.into_parts();
    let prelude = MetadataPrelude { status_code: head.status, headers: head.headers, cookies: Vec::new() };
    Ok(StreamResponse { metadata_prelude: prelude, stream: body.into_data_stream() })
}

fn bad_request() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// The request of an event. `None` if it has a path, a header or a body that HTTP does not have.
fn request(event: Event) -> Option<Request<Body>> {
    let body = match (event.body, event.is_base64_encoded) {
        (None, _) => Vec::new(),
        (Some(text), false) => text.into_bytes(),
        (Some(text), true) => STANDARD.decode(text).ok()?,
    };
    // The path may have been decoded on the way. A model id has no question mark.
    let path = event.raw_path.replace(' ', "%20").replace('?', "%3F");
    let query = if event.raw_query_string.is_empty() { String::new() } else { format!("?{}", event.raw_query_string) };
    let mut request =
        Request::builder().method(event.request_context.http.method.as_str()).uri(format!("{path}{query}"));
    for (name, value) in &event.headers {
        request = request.header(name, value);
    }
    if let Some(iam) = event.request_context.authorizer.and_then(|authorizer| authorizer.iam) {
        request = request.extension(Verified(iam.user_arn));
    }
    request.body(Body::from(body)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(changes: Value) -> Event {
        let mut event = json!({
            "version": "2.0", "rawPath": "/model/m%3A0/converse", "rawQueryString": "a=1", "headers": {"authorization": "Bearer x"},
            "requestContext": {"http": {"method": "POST", "path": "/", "sourceIp": "127.0.0.1"}},
            "body": "{}", "isBase64Encoded": false});
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_event_is_the_request_that_the_client_sent() {
        let request = request(event(json!({}))).unwrap();
        assert_eq!(
            (request.method().as_str(), request.uri().to_string().as_str()),
            ("POST", "/model/m%3A0/converse?a=1")
        );
        assert_eq!(request.headers().get("authorization").unwrap(), "Bearer x");
    }

    /// Source: AWS Lambda Developer Guide, "Invoking Lambda function URLs", request payload format.
    #[test]
    fn the_principal_is_that_of_the_events_context_and_of_nothing_else() {
        let iam = json!({"accessKey": "AKIAIOSFODNN7EXAMPLE", "accountId": "111122223333",
            "callerId": "AIDACKCEVSQ6C2EXAMPLE", "cognitoIdentity": null, "principalOrgId": null,
            "userArn": "arn:aws:iam::111122223333:user/example-user", "userId": "AIDACOSFODNN7EXAMPLE2"});
        let principal = |changes| request(event(changes)).unwrap().extensions().get().map(|Verified(arn)| arn.clone());
        let context = json!({"http": {"method": "POST"}, "authorizer": {"iam": iam}});
        let expected = "arn:aws:iam::111122223333:user/example-user";
        assert_eq!(principal(json!({"requestContext": context})).as_deref(), Some(expected));
        for none in [
            json!({"requestContext": {"http": {"method": "POST"}, "authorizer": null}}),
            json!({"requestContext": {"http": {"method": "POST"}, "authorizer": {"jwt": {"claims": {}}}}}),
            json!({"authorizer": {"iam": iam}}),
            json!({"headers": {"authorizer": iam.to_string(), "userarn": expected}}),
        ] {
            assert_eq!(principal(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn an_event_that_is_no_request_is_none() {
        for wrong in [
            json!({"rawPath": "\u{0}"}),
            json!({"headers": {"a b": "c"}}),
            json!({"isBase64Encoded": true, "body": "?"}),
            json!({"requestContext": {"http": {"method": "P OST"}}}),
        ] {
            assert!(request(event(wrong.clone())).is_none(), "{wrong}");
        }
    }
}
