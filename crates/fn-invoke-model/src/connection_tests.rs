//! The meaning of failed connections for the call, over real sockets.

use std::time::Duration;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::timeout::TimeoutConfig;
use sentry_contract::ErrorCode;
use sentry_contract::states::InvokeModelInput;
use sentry_lambda::{Connections, http_client};
use sentry_models::Catalogue;
use sentry_models::adapters::{self, Effect};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use test_support::offline_config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::Invoker;

fn request() -> Value {
    json!({"model": {"modelId": "amazon.nova-lite-v1:0", "family": "nova"},
           "prompt": {"messages": [{"role": "user", "content": "Hi"}]}})
}

fn client(endpoint: &str) -> Client {
    // The HTTP client of this configuration keeps connections. The invoker must not depend on it.
    let config = offline_config(http_client(Connections::Kept)).into_builder().endpoint_url(endpoint);
    let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_millis(200)).build();
    crate::client(&config.timeout_config(timeouts).build())
}

/// The error of one call to `endpoint`.
async fn ask(endpoint: &str) -> (ErrorCode, Effect) {
    let input: InvokeModelInput = serde_json::from_value(request()).unwrap();
    let failure = adapters::ask(&client(endpoint), &input, 9).await.unwrap_err();
    (failure.error.code, failure.effect)
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_connection_that_never_came_about_cost_nothing() {
    let (listener, port) = listener().await;
    // Nobody answers the TLS handshake.
    assert_eq!(
        ask(&format!("https://127.0.0.1:{port}")).await,
        (ErrorCode::ModelUnavailable, Effect::NothingYet),
        "timeout"
    );
    drop(listener);
    assert_eq!(
        ask(&format!("http://127.0.0.1:{port}")).await,
        (ErrorCode::ModelUnavailable, Effect::NothingYet),
        "refused"
    );
}

#[tokio::test]
async fn a_connection_that_is_lost_may_have_cost_something() {
    let (listener, port) = listener().await;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // Closes the connection only after the request has arrived. The call has then reached Bedrock.
            connection.readable().await.unwrap();
            drop(connection);
        }
    });
    assert_eq!(ask(&format!("http://127.0.0.1:{port}")).await, (ErrorCode::ModelUnavailable, Effect::Unknown));
}

#[tokio::test]
async fn a_model_that_is_silent_for_too_long_may_have_cost_something() {
    let (listener, port) = listener().await;
    let client = client(&format!("http://127.0.0.1:{port}"));
    let invoker =
        Invoker::new(client, Catalogue::bundled().unwrap(), "us-east-1".to_owned(), Duration::from_millis(300));
    let answer = serde_json::to_value(invoker.invoke(to_raw_value(&request()).unwrap()).await).unwrap();
    assert_eq!(answer["failure"]["error"]["code"], "ModelTimeout");
    assert!(answer["failure"].get("nothingSpent").is_none(), "{answer}");
    drop(listener);
}

/// Answers the first request of each connection with a reply of the model. Then closes the connection, either at once
/// or when a second request arrives, without reading it. A peer does the latter if it closed the connection while
/// Lambda had frozen the environment.
async fn answer_once(listener: TcpListener, close_at_once: bool) {
    let reply = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "S3"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 21, "outputTokens": 143, "totalTokens": 164}, "metrics": {"latencyMs": 1}
    })
    .to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{reply}", reply.len());
    while let Ok((mut connection, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut request = [0; 10_000];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            connection.write_all(answer.as_bytes()).await.unwrap();
            if !close_at_once {
                connection.readable().await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_connection_that_the_peer_has_closed_between_two_calls_loses_neither() {
    for close_at_once in [true, false] {
        let (listener, port) = listener().await;
        let client = client(&format!("http://127.0.0.1:{port}"));
        let server = tokio::spawn(answer_once(listener, close_at_once));
        let input: InvokeModelInput = serde_json::from_value(request()).unwrap();
        for call in ["first", "second"] {
            let reply = adapters::ask(&client, &input, 9).await;
            assert_eq!(reply.map(|reply| reply.text()), Ok("S3".to_owned()), "{call} call, {close_at_once}");
        }
        server.abort();
    }
}
