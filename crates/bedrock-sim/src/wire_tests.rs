//! Tests of the server over a real connection, as a client uses it.

mod count_tokens;
mod invoke;
mod rich;
mod rules;
mod tagging;
mod thinking;

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use clap::Parser;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

use crate::{faults::Fault, options::Options, server::serve, state::Sim};

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

struct Server {
    client: Client<HttpConnector, Body>,
    base: String,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn error(&self) -> (u16, &str) {
        (self.status.as_u16(), self.header("x-amzn-errortype"))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    async fn start(options: &[&str]) -> Self {
        let options = ["bedrock-sim", "--base-latency-ms", "0"].iter().chain(options);
        let sim = Sim::new(&Options::try_parse_from(options).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, sim));
        Self { client: Client::builder(TokioExecutor::new()).build_http(), base }
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Option<Answer> {
        self.send_with(None, method, path, body).await
    }

    /// Sends a request with one more header.
    async fn send_with(&self, header: Option<(&str, &str)>, method: Method, path: &str, body: Value) -> Option<Answer> {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = header.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let request = request.body(body).unwrap();
        let response = self.client.request(request).await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(Body::new(response.into_body()), usize::MAX).await.ok()?;
        Some(Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() })
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Value::Null).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, body).await.unwrap()
    }

    async fn post_with(&self, header: (&str, &str), path: &str, body: Value) -> Answer {
        self.send_with(Some(header), Method::POST, path, body).await.unwrap()
    }

    async fn converse(&self, text: &str) -> Answer {
        self.post(&format!("/model/{HAIKU}/converse"), messages(text)).await
    }
}

fn messages(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

#[tokio::test]
async fn converse_answers_text_usage_and_latency() {
    let server = Server::start(&[]).await;
    let answer =
        server.converse("Hi [[sim input-tokens=21 output-tokens=143 cache-read=5 latency-ms=30]]").await.json();
    assert_eq!(
        answer["usage"],
        json!({"inputTokens": 21, "outputTokens": 143, "totalTokens": 169, "cacheReadInputTokens": 5})
    );
    assert_eq!(
        (&answer["output"]["message"]["role"], &answer["stopReason"]),
        (&json!("assistant"), &json!("end_turn"))
    );
    assert!(!answer["output"]["message"]["content"][0]["text"].as_str().unwrap().is_empty());
    assert!(answer["metrics"]["latencyMs"].as_u64().unwrap() >= 30);
    assert_eq!(server.converse("Hi").await.json()["usage"].as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn every_exception_has_its_status_and_header() {
    let server = Server::start(&[]).await;
    for (fault, status, kind) in [
        ("throttling", 429, "ThrottlingException"),
        ("quota", 400, "ServiceQuotaExceededException"),
        ("model-timeout", 408, "ModelTimeoutException"),
        ("model-error", 424, "ModelErrorException"),
        ("not-ready", 429, "ModelNotReadyException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("internal", 500, "InternalServerException"),
        ("access-denied", 403, "AccessDeniedException"),
        ("validation", 400, "ValidationException"),
        ("not-found", 404, "ResourceNotFoundException"),
    ] {
        let answer = server.converse(&format!("[[sim fault={fault}]]")).await;
        assert_eq!(answer.error(), (status, kind));
        assert!(!answer.json()["message"].as_str().unwrap().is_empty());
        assert!(!answer.header("x-amzn-requestid").is_empty());
    }
    let exceptions = Fault::ALL.iter().filter(|(_, fault)| matches!(fault, Fault::Exception(_))).count();
    assert_eq!(exceptions, 10);
}

#[tokio::test]
async fn an_exception_quotes_what_it_is_told_to() {
    let server = Server::start(&[]).await;
    let answer = server.converse("Hi [[sim fault=validation error-text=MARKER]]").await;
    assert_eq!(answer.error(), (400, "ValidationException"));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("Malformed input request") && message.contains("\"MARKER\""), "{message}");
    assert!(!server.converse("Hi [[sim fault=validation]]").await.body.contains("messages.0"));
}

#[tokio::test]
async fn a_fault_can_end_after_some_calls_with_the_same_text() {
    let server = Server::start(&[]).await;
    let mut statuses = Vec::new();
    for text in ["a", "a", "b", "a"] {
        statuses.push(server.converse(&format!("{text} [[sim fault=throttling times=2]]")).await.status.as_u16());
    }
    assert_eq!(statuses, [429, 429, 429, 200]);
}

#[tokio::test]
async fn hang_never_answers_and_close_answers_nothing() {
    let server = Server::start(&[]).await;
    assert!(timeout(Duration::from_millis(300), server.converse("[[sim fault=hang]]")).await.is_err());
    let path = format!("/model/{HAIKU}/converse");
    assert!(server.send(Method::POST, &path, messages("[[sim fault=close]]")).await.is_none());
    assert_eq!(server.converse("Hi").await.status, StatusCode::OK);
}

#[tokio::test]
async fn damaged_answers_are_successes_on_the_wire() {
    let server = Server::start(&[]).await;
    let malformed = server.converse("[[sim fault=malformed]]").await;
    assert_eq!(malformed.status, StatusCode::OK);
    assert!(serde_json::from_str::<Value>(&malformed.body).is_err());
    assert!(server.converse("[[sim fault=missing-usage]]").await.json().get("usage").is_none());
    assert_eq!(server.converse("[[sim fault=empty]]").await.json()["output"]["message"]["content"], json!([]));
}

#[tokio::test]
async fn exchanges_are_kept_only_on_request_and_only_the_last() {
    let server = Server::start(&[]).await;
    server.converse("Hi").await;
    assert_eq!(server.get("/_sim/exchanges").await.error(), (404, "ResourceNotFoundException"));

    let server = Server::start(&["--record", "2"]).await;
    for text in ["one", "two", "three [[sim fault=missing-usage]]"] {
        server.converse(text).await;
    }
    server.get("/_sim/health").await;
    let recorded = server.get("/_sim/exchanges").await.body;
    assert!(!recorded.contains("one"), "{recorded}");
    let kept = server.get("/_sim/exchanges").await.json();
    assert_eq!((&kept["total"], kept["exchanges"].as_array().unwrap().len()), (&json!(3), 2));
    let (second, third) = (&kept["exchanges"][0], &kept["exchanges"][1]);
    assert_eq!((&second["method"], &second["path"]), (&json!("POST"), &json!(format!("/model/{HAIKU}/converse"))));
    assert_eq!(second["request"]["body"], messages("two").to_string());
    assert_eq!((&second["status"], &second["damaged"], &third["damaged"]), (&json!(200), &json!(false), &json!(true)));
    assert!(second["answer"]["body"].as_str().unwrap().contains("\"usage\""));
    assert_eq!(second["answer"]["headers"], json!([["content-type", "application/json"]]));
}

#[tokio::test]
async fn an_exchange_has_its_time_and_what_it_used_even_if_the_answer_does_not_tell() {
    let server = Server::start(&["--record", "9"]).await;
    for fault in ["missing-usage", "malformed", "throttling"] {
        server.converse(&format!("Hi [[sim fault={fault} input-tokens=21 output-tokens=3 cache-write-1h=5]]")).await;
    }
    let kept = server.get("/_sim/exchanges").await.json();
    let spent = json!({"input": 21, "output": 3, "cacheRead": 0, "cacheWrite": 5, "cacheWrite1h": 5});
    assert_eq!(kept["exchanges"][0]["spent"], spent);
    assert_eq!(kept["exchanges"][1]["spent"], spent);
    assert_eq!(kept["exchanges"][2]["spent"], json!(null));
    let at = kept["exchanges"][0]["at"].as_str().unwrap();
    let at: std::time::SystemTime = crate::clock::time(at).unwrap();
    assert!(at.elapsed().unwrap().as_secs() < 60);
}

#[tokio::test]
async fn unknown_models_bodies_and_operations_are_refused() {
    let server = Server::start(&["--accept-any-profile", "false"]).await;
    let unknown_profile = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc";
    for model in ["acme.model-1", "gpt-4", unknown_profile] {
        let answer = server.post(&format!("/model/{model}/converse"), messages("Hi")).await;
        assert_eq!(answer.error(), (400, "ValidationException"));
        assert_eq!(answer.json()["message"], "The provided model identifier is invalid.");
    }
    for path in ["/model/anthropic.claude-v1/converse", "/model/meta.llama2-13b-chat-v1/converse"] {
        assert_eq!(server.post(path, messages("Hi")).await.error(), (404, "ResourceNotFoundException"));
    }
    let answer = server.post(&format!("/model/{HAIKU}/converse"), json!([])).await;
    assert_eq!(answer.error(), (400, "ValidationException"));
    let answer = server.post(&format!("/model/{HAIKU}/invoke-with-bidirectional-stream"), messages("Hi")).await;
    assert_eq!(answer.error(), (404, "UnknownOperationException"));
}

#[tokio::test]
async fn a_profile_is_created_described_called_and_deleted() {
    let server = Server::start(&["--accept-any-profile", "false"]).await;
    let request = json!({
        "inferenceProfileName": "sales",
        "modelSource": {"copyFrom": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"},
        "tags": [{"key": "costCenter", "value": "sales"}],
    });
    let created = server.post("/inference-profiles", request).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let arn = created.json()["inferenceProfileArn"].as_str().unwrap().to_owned();
    let path = arn.replace(':', "%3A").replace('/', "%2F");

    let described = server.get(&format!("/inference-profiles/{path}")).await.json();
    assert_eq!((&described["inferenceProfileName"], &described["type"]), (&json!("sales"), &json!("APPLICATION")));
    assert_eq!(described["models"].as_array().unwrap().len(), 1);
    let listed = server.get("/inference-profiles?type=APPLICATION").await.json();
    assert_eq!(listed["inferenceProfileSummaries"], json!([described]));
    let tags = server.post("/listTagsForResource", json!({"resourceARN": arn})).await.json();
    assert_eq!(tags["tags"], json!([{"key": "costCenter", "value": "sales"}]));

    assert_eq!(server.post(&format!("/model/{path}/converse"), messages("Hi")).await.status, StatusCode::OK);
    assert_eq!(server.get("/_sim/calls").await.json(), json!({"total": 1, "byModel": {arn: 1}, "countTokens": 0}));

    let deleted = server.send(Method::DELETE, &format!("/inference-profiles/{path}"), Value::Null).await.unwrap();
    assert_eq!(deleted.status, StatusCode::OK);
    assert_eq!(server.get(&format!("/inference-profiles/{path}")).await.error(), (404, "ResourceNotFoundException"));
}

#[tokio::test]
async fn a_profile_is_created_at_the_time_of_the_clock() {
    let server = Server::start(&["--now", "2027-01-07T23:59:00Z"]).await;
    server.post("/_sim/clock", json!({"advanceSeconds": 60})).await;
    let source = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0";
    let request = json!({"inferenceProfileName": "sales", "modelSource": {"copyFrom": source}});
    server.post("/inference-profiles", request).await;
    let listed = server.get("/inference-profiles").await.json();
    let profile = &listed["inferenceProfileSummaries"][0];
    assert!(profile["createdAt"].as_str().unwrap().starts_with("2027-01-08T00:00:"), "{profile}");
}

#[tokio::test]
async fn settings_change_while_it_runs() {
    let server = Server::start(&[]).await;
    assert_eq!(server.get("/_sim/health").await.json(), json!({"status": "ok"}));
    let changed = server.post("/_sim/defaults", json!({"baseLatencyMs": 60, "metricsDelaySeconds": 0})).await.json();
    assert_eq!(changed, json!({"baseLatencyMs": 60, "latencyMsPerToken": 0, "metricsDelaySeconds": 0}));
    assert!(server.converse("Hi").await.json()["metrics"]["latencyMs"].as_u64().unwrap() >= 60);
    assert_eq!(server.post("/_sim/defaults", json!({"latency": 1})).await.error(), (400, "ValidationException"));
}

#[tokio::test]
async fn an_openai_compatible_server_can_write_the_replies() {
    let completion = json!({"choices": [{"message": {"content": "Storage."}, "finish_reason": "stop"}],
                            "usage": {"prompt_tokens": 12, "completion_tokens": 2}});
    let route = axum::routing::post(|| async { axum::Json(completion) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let backend =
        tokio::spawn(async { axum::serve(listener, axum::Router::new().route("/v1/chat/completions", route)).await });

    let server = Server::start(&["--openai-endpoint", &endpoint]).await;
    let answer = server.converse("S3?").await.json();
    assert_eq!(answer["output"]["message"]["content"][0]["text"], "Storage.");
    assert_eq!((&answer["usage"]["inputTokens"], &answer["usage"]["outputTokens"]), (&json!(12), &json!(2)));

    backend.abort();
    let server = Server::start(&["--openai-endpoint", "http://127.0.0.1:1"]).await;
    assert_eq!(server.converse("S3?").await.error(), (503, "ServiceUnavailableException"));
}
