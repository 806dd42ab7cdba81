//! Tests that `CountTokens` agrees with model calls that have the same input.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Answer, HAIKU, Server, messages};

const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

impl Server {
    async fn count(&self, model: &str, input: Value) -> Answer {
        let path = model.replace(':', "%3A").replace('/', "%2F");
        self.post(&format!("/model/{path}/count-tokens"), json!({"input": input})).await
    }

    async fn count_text(&self, text: &str) -> Answer {
        self.count(SONNET, json!({"converse": messages(text)})).await
    }
}

#[tokio::test]
async fn the_count_is_what_a_call_with_the_same_input_reads() {
    let server = Server::start(&[]).await;
    let mut body = messages("How large is größer? 🦀");
    body["system"] = json!([{"text": "Be brief."}]);
    let answer = server.post(&format!("/model/us.{SONNET}/converse"), body.clone()).await.json();
    let count = server.count(SONNET, json!({"converse": body})).await;
    assert_eq!((count.status.as_u16(), count.json()), (200, json!({"inputTokens": answer["usage"]["inputTokens"]})));

    let arn = format!("arn:aws:bedrock:us-east-1::foundation-model/{SONNET}");
    assert_eq!(server.count(&arn, json!({"converse": messages("S3?")})).await.json(), json!({"inputTokens": 4}));

    let told = server.count_text("[[sim input-tokens=21 cache-read=5 cache-write=7 output-tokens=9]]").await;
    assert_eq!(told.json(), json!({"inputTokens": 33}));
}

#[tokio::test]
async fn a_call_that_cannot_be_counted_is_refused() {
    let server = Server::start(&[]).await;
    let profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
    let input = json!({"converse": messages("Hi")});
    for model in [
        "anthropic.claude-sonnet-5",
        HAIKU,
        "anthropic.claude-opus-4-8",
        "amazon.nova-lite-v1:0",
        &format!("us.{SONNET}"),
        profile,
    ] {
        let answer = server.count(model, input.clone()).await;
        assert_eq!(answer.error(), (400, "ValidationException"), "{model}");
        assert_eq!(answer.json()["message"], "The provided model doesn't support counting tokens.");
    }
    let answer = server.count("acme.model-1", input.clone()).await;
    assert_eq!(answer.json()["message"], "The provided model identifier is invalid.");
    for (input, named) in [
        (json!({}), "exactly one"),
        (json!({"converse": messages("Hi"), "invokeModel": {"body": ""}}), "exactly one"),
        (json!({"converse": {"messages": []}}), "start with a user message"),
        (json!({"converse": {"messages": [], "inferenceConfig": {}}}), "[inferenceConfig]"),
        (json!({"invokeModel": {"body": "e30="}}), "only the input of Converse"),
    ] {
        let answer = server.count(SONNET, input).await;
        assert_eq!(answer.error(), (400, "ValidationException"));
        assert!(answer.body.contains(named), "{} has no {named}", answer.body);
    }
    let server = Server::start(&["--openai-endpoint", "http://127.0.0.1:1"]).await;
    assert_eq!(server.count(SONNET, input).await.error(), (400, "ValidationException"));
}

#[tokio::test]
async fn it_has_faults_of_its_own_and_is_no_model_call() {
    let server = Server::start(&[]).await;
    assert_eq!(server.count_text("[[sim count-tokens=off]]").await.error(), (400, "ValidationException"));
    assert_eq!(server.count_text("[[sim count-tokens=throttle]]").await.error(), (429, "ThrottlingException"));
    let hanging = server.count_text("[[sim count-tokens=hang]]");
    assert!(timeout(Duration::from_millis(300), hanging).await.is_err());
    let once = "[[sim fault=throttling times=1]]";
    assert_eq!(server.count_text(once).await.status.as_u16(), 200);
    assert_eq!(server.converse(once).await.status.as_u16(), 429);
    assert_eq!(server.converse("[[sim count-tokens=hang]]").await.status.as_u16(), 200);
    let calls = json!({"total": 2, "byModel": {HAIKU: 2}, "countTokens": 4});
    assert_eq!(server.get("/_sim/calls").await.json(), calls);
}
