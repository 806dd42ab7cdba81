//! Tests of `InvokeModel` and `InvokeModelWithResponseStream`.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::{base64, event_stream::Message};
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{HAIKU, Server};

const NOVA: &str = "amazon.nova-lite-v1:0";

fn body(text: &str, more: &Value) -> Value {
    let messages = json!([{"role": "user", "content": text}]);
    let mut body = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 500, "messages": messages});
    for (name, value) in more.as_object().into_iter().flatten() {
        crate::fields::set(&mut body, name, value.clone());
    }
    body
}

fn nova(text: &str) -> Value {
    json!({
        "schemaVersion": "messages-v1", "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": text}]}],
        "inferenceConfig": {"maxTokens": 500, "topK": 5},
    })
}

fn tools() -> Value {
    json!({"tools": [{"name": "find", "input_schema": {"type": "object", "properties": {}}}]})
}

/// The events that a stream has sent before it ended or was cut.
struct Streamed {
    headers: HeaderMap,
    messages: Vec<Message>,
    is_cut: bool,
}

impl Streamed {
    /// The JSON in the chunks.
    fn parts(&self) -> Vec<Value> {
        self.messages.iter().filter(|message| header(message, ":event-type") == "chunk").map(part).collect()
    }

    fn names(&self) -> Vec<String> {
        self.parts().iter().map(|part| part["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let found = message.headers().iter().find(|header| header.name().as_str() == name);
    found.map_or("", |header| header.value().as_string().unwrap().as_str())
}

fn part(message: &Message) -> Value {
    let chunk: Value = serde_json::from_slice(message.payload()).unwrap();
    let fields: Vec<&String> = chunk.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["bytes", "p"]);
    serde_json::from_slice(&base64::decode(chunk["bytes"].as_str().unwrap()).unwrap()).unwrap()
}

async fn stream(server: &Server, model: &str, body: &Value) -> Streamed {
    let uri = format!("{}/model/{model}/invoke-with-response-stream", server.base);
    let response = server.client.request(Request::post(uri).body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let headers = response.headers().clone();
    let (mut bytes, mut is_cut) = (Vec::new(), false);
    let mut rest = Body::new(response.into_body()).into_data_stream();
    while let Some(data) = rest.next().await {
        match data {
            Ok(data) => bytes.extend(data),
            Err(_) => is_cut = true,
        }
    }
    let (mut frames, mut bytes, mut messages) = (MessageFrameDecoder::new(), bytes.as_slice(), Vec::new());
    while let DecodedFrame::Complete(message) = frames.decode_frame(&mut bytes).unwrap() {
        messages.push(message);
    }
    Streamed { headers, messages, is_cut }
}

#[tokio::test]
async fn a_message_has_the_form_of_anthropic_and_its_figures_in_headers() {
    let server = Server::start(&[]).await;
    let path = format!("/model/{HAIKU}/invoke");
    let text =
        "Hi [[sim input-tokens=21 output-tokens=9 cache-read=5 cache-write=3 cache-write-1h=4 reasoning=2 tool=find]]";
    let answer = server.post(&path, body(text, &tools())).await;
    let mut message = answer.json();
    assert!(message["id"].as_str().unwrap().starts_with("msg_bdrk_"));
    let content = message["content"].take();
    let usage = json!({
        "input_tokens": 21, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}, "output_tokens": 9,
    });
    let expected = json!({
        "model": "claude-haiku-4-5-20251001", "id": message["id"], "type": "message", "role": "assistant", "content": null,
        "stop_reason": "tool_use", "stop_sequence": null, "usage": usage,
    });
    assert_eq!(message, expected);
    let kinds: Vec<&Value> = content.as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use"]);
    for (name, value) in [("input", "21"), ("output", "9"), ("cache-read-input", "5"), ("cache-write-input", "7")] {
        assert_eq!(answer.header(&format!("x-amzn-bedrock-{name}-token-count")), value, "{name}");
    }
    assert!(!answer.header("x-amzn-bedrock-invocation-latency").is_empty());
}

#[tokio::test]
async fn the_tokens_text_and_count_of_calls_are_those_of_converse() {
    let server = Server::start(&["--record", "9"]).await;
    let converse = server.converse("Explain S3").await.json();
    let message = server.post(&format!("/model/{HAIKU}/invoke"), body("Explain S3", &json!({}))).await.json();
    assert_eq!(message["content"][0]["text"], converse["output"]["message"]["content"][0]["text"]);
    assert_eq!(message["usage"]["input_tokens"], converse["usage"]["inputTokens"]);
    assert_eq!(message["usage"]["output_tokens"], converse["usage"]["outputTokens"]);
    stream(&server, HAIKU, &body("Explain S3", &json!({}))).await;
    assert_eq!(server.get("/_sim/calls").await.json()["byModel"][HAIKU], 3);
    let kept = server.get("/_sim/exchanges").await.json();
    let kept = kept["exchanges"].as_array().unwrap();
    assert_eq!(kept[1]["spent"], kept[0]["spent"]);
    assert_eq!((&kept[1]["status"], &kept[2]["status"]), (&json!(200), &json!(null)));
    assert!(kept[2]["path"].as_str().unwrap().ends_with("/invoke-with-response-stream"));
}

#[tokio::test]
async fn the_chunks_together_are_the_message() {
    let server = Server::start(&[]).await;
    let body = body("Hi [[sim output-tokens=9 chunk-words=4 reasoning=6 tool=find chunk-delay-ms=1]]", &tools());
    let whole = server.post(&format!("/model/{HAIKU}/invoke"), body.clone()).await.json();
    let streamed = stream(&server, HAIKU, &body).await;
    assert_eq!(streamed.headers["content-type"], "application/vnd.amazon.eventstream");
    assert_eq!(streamed.headers["x-amzn-bedrock-content-type"], "application/json");
    let parts = streamed.parts();
    let of = |index: usize, field: &str| -> String {
        let deltas = parts.iter().filter(|part| part["index"] == json!(index)).map(|part| &part["delta"][field]);
        deltas.filter_map(Value::as_str).collect()
    };
    assert_eq!(of(0, "thinking"), whole["content"][0]["thinking"].as_str().unwrap());
    assert_eq!(of(0, "signature"), whole["content"][0]["signature"].as_str().unwrap());
    assert_eq!(of(1, "text"), whole["content"][1]["text"].as_str().unwrap());
    assert_eq!(serde_json::from_str::<Value>(&of(2, "partial_json")).unwrap(), whole["content"][2]["input"]);
    let starts: Vec<&Value> =
        parts.iter().map(|part| &part["content_block"]).filter(|start| !start.is_null()).collect();
    assert_eq!(*starts[0], json!({"type": "thinking", "thinking": "", "signature": ""}));
    assert_eq!(*starts[1], json!({"type": "text", "text": ""}));
    let id = &whole["content"][2]["id"];
    assert_eq!(*starts[2], json!({"type": "tool_use", "id": id, "name": "find", "input": {}}));
    let (first, end) = parts.split_first().unwrap();
    assert_eq!((&first["type"], &first["message"]["content"]), (&json!("message_start"), &json!([])));
    assert_eq!(
        (&first["message"]["stop_reason"], &first["message"]["usage"]["output_tokens"]),
        (&json!(null), &json!(1))
    );
    let delta = json!({"stop_reason": "tool_use", "stop_sequence": null});
    assert_eq!(end[end.len() - 2], json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}}));
    let metrics = &end[end.len() - 1]["amazon-bedrock-invocationMetrics"];
    assert_eq!(
        (&metrics["inputTokenCount"], &metrics["outputTokenCount"]),
        (&whole["usage"]["input_tokens"], &json!(9))
    );
    assert!(metrics["invocationLatency"].as_u64() > metrics["firstByteLatency"].as_u64());
}

#[tokio::test]
async fn a_stream_can_fail_or_be_cut_at_every_event() {
    let server = Server::start(&[]).await;
    let told = |directive: &str| body(&format!("Hi [[sim output-tokens=4 chunk-words=2 {directive}]]"), &json!({}));
    let all = stream(&server, HAIKU, &told("")).await.names();
    let deltas = ["content_block_delta"; 2];
    let ends = ["content_block_stop", "message_delta", "message_stop"];
    assert_eq!(all, [&["message_start", "content_block_start"][..], &deltas, &ends].concat());
    for after in 0..all.len() {
        let failed = stream(&server, HAIKU, &told(&format!("fail-after={after}"))).await;
        let last = failed.messages.last().unwrap();
        assert_eq!((failed.names().as_slice(), failed.is_cut), (&all[..after], false));
        assert_eq!(header(last, ":message-type"), "exception");
        assert_eq!(header(last, ":exception-type"), "modelStreamErrorException");
        let cut = stream(&server, HAIKU, &told(&format!("cut-after={after}"))).await;
        assert_eq!((cut.names().as_slice(), cut.is_cut), (&all[..after], true));
    }
}

#[tokio::test]
async fn an_answer_can_be_sent_back_with_the_result_of_its_tool() {
    let server = Server::start(&[]).await;
    let path = format!("/model/{HAIKU}/invoke");
    let thinking = json!({"type": "enabled", "budget_tokens": 1024});
    let more = json!({"tools": tools()["tools"], "thinking": thinking, "max_tokens": 2000});
    let asked = "Hi [[sim tool=find]]";
    let answer = server.post(&path, body(asked, &more)).await.json();
    let id = &answer["content"][2]["id"];
    let result = json!([{"type": "tool_result", "tool_use_id": id, "content": "Found."}]);
    let mut next = body(asked, &more);
    next["messages"] = json!([
        {"role": "user", "content": asked}, {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": result},
    ]);
    assert_eq!(server.post(&path, next.clone()).await.status.as_u16(), 200);
    next["messages"][1]["content"][0]["thinking"] = json!("Another thought.");
    let message = server.post(&path, next).await.json()["message"].clone();
    assert_eq!(message, "messages.1.content.0: Invalid `signature` in `thinking` block");
}

#[tokio::test]
async fn faults_are_those_of_the_operation() {
    let server = Server::start(&["--record", "9"]).await;
    for operation in ["invoke", "invoke-with-response-stream"] {
        let path = format!("/model/{HAIKU}/{operation}");
        let told = |fault: &str| body(&format!("Hi [[sim fault={fault}]]"), &json!({}));
        assert_eq!(server.post(&path, told("quota")).await.error(), (400, "ServiceQuotaExceededException"));
        assert_eq!(server.post(&path, told("throttling")).await.error(), (429, "ThrottlingException"));
    }
    let kept = server.get("/_sim/exchanges").await.json();
    assert!(kept["exchanges"].as_array().unwrap().iter().all(|each| each["damaged"] == json!(false)));
    let path = format!("/model/{HAIKU}/invoke");
    let empty = server.post(&path, body("[[sim fault=empty]]", &json!({}))).await.json();
    assert_eq!(empty["content"], json!([]));
    let untold = server.post(&path, body("[[sim fault=missing-usage]]", &json!({}))).await;
    assert!(untold.json().get("usage").is_none() && untold.header("x-amzn-bedrock-output-token-count").is_empty());
    let untold = stream(&server, HAIKU, &body("[[sim fault=missing-usage]]", &json!({}))).await.parts();
    assert!(!Value::from(untold).to_string().contains("oken"));
}

#[tokio::test]
async fn a_stop_sequence_is_told() {
    let server = Server::start(&[]).await;
    let stops = json!({"stop_sequences": ["never", "harbor"]});
    let answer = server.post(&format!("/model/{HAIKU}/invoke"), body("Explain S3", &stops)).await.json();
    assert_eq!((&answer["stop_reason"], &answer["stop_sequence"]), (&json!("stop_sequence"), &json!("harbor")));
    let mut asked = super::messages("Explain S3");
    asked["inferenceConfig"] = json!({"stopSequences": ["never", "harbor"]});
    asked["additionalModelResponseFieldPaths"] = json!(["/stop_sequence"]);
    let converse = server.post(&format!("/model/{HAIKU}/converse"), asked).await.json();
    assert_eq!(converse["additionalModelResponseFields"], json!({"stop_sequence": "harbor"}));
    let parts = stream(&server, HAIKU, &body("Explain S3", &stops)).await.parts();
    assert_eq!(parts[parts.len() - 2]["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "harbor"}));
}

#[tokio::test]
async fn settings_come_in_headers() {
    let server = Server::start(&[]).await;
    let path = format!("/model/{HAIKU}/invoke");
    let plain = body("Hi", &json!({}));
    for (header, value) in [
        ("x-amzn-bedrock-guardrailidentifier", "abc"),
        ("x-amzn-bedrock-service-tier", "reserved"),
        ("x-amzn-bedrock-request-metadata", "[]"),
        ("x-amzn-bedrock-request-metadata", "{\"a\":\"\u{22}!\"}"),
    ] {
        let answer = server.post_with((header, value), &path, plain.clone()).await;
        assert_eq!(answer.error(), (400, "ValidationException"), "{header}: {value}");
    }
    let answer = server.post_with(("x-amzn-bedrock-service-tier", "flex"), &path, plain.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-amzn-bedrock-service-tier")), (200, "flex"));
    for (id, action, stopped) in [("abc", "NONE", json!("end_turn")), ("blocksinput", "INTERVENED", json!(null))] {
        let uri = format!("{}{path}", server.base);
        let request = Request::post(uri).header("x-amzn-bedrock-guardrailidentifier", id);
        let request = request.header("x-amzn-bedrock-guardrailversion", "1").body(Body::from(plain.to_string()));
        let response = server.client.request(request.unwrap()).await.unwrap();
        let answer = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (answer["amazon-bedrock-guardrailAction"].as_str(), &answer["stop_reason"]),
            (Some(action), &stopped)
        );
    }
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_of_the_model_is_refused_in_its_words() {
    let server = Server::start(&[]).await;
    let path = format!("/model/{HAIKU}/invoke");
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 10}});
    for (sent, expected) in [
        (body("Hi", &thinking), "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"),
        (super::messages("Hi"), "Malformed input request: #: required key [anthropic_version] not found"),
    ] {
        let answer = server.post(&path, sent).await;
        assert_eq!(answer.error(), (400, "ValidationException"));
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(expected), "{message}");
    }
    let answer = server.post("/model/meta.llama3-3-70b-instruct-v1:0/invoke", json!({"prompt": "Hi"})).await;
    assert_eq!(answer.error(), (400, "ValidationException"));
}

#[tokio::test]
async fn nova_answers_in_its_own_form() {
    let server = Server::start(&[]).await;
    let sent = nova("Hi [[sim input-tokens=21 output-tokens=4 cache-read=5 chunk-words=2]]");
    let answer = server.post(&format!("/model/{NOVA}/invoke"), sent.clone()).await.json();
    let usage = json!({
        "inputTokens": 21, "outputTokens": 4, "totalTokens": 30, "cacheReadInputTokenCount": 5, "cacheWriteInputTokenCount": 0,
    });
    let message = json!({"role": "assistant", "content": answer["output"]["message"]["content"]});
    assert_eq!(answer, json!({"output": {"message": message}, "stopReason": "end_turn", "usage": usage}));
    let parts = stream(&server, NOVA, &sent).await.parts();
    let names: Vec<&String> = parts.iter().map(|part| part.as_object().unwrap().keys().next().unwrap()).collect();
    let deltas = ["contentBlockDelta", "contentBlockDelta", "contentBlockStop"];
    assert_eq!(names, [&["messageStart"][..], &deltas, &["messageStop", "metadata"]].concat());
    let last = &parts[parts.len() - 1];
    assert_eq!(last["metadata"], json!({"usage": usage, "metrics": {}, "trace": {}}));
    assert_eq!(last["amazon-bedrock-invocationMetrics"]["outputTokenCount"], 4);
    let document = json!({"document": {"format": "txt", "name": "a", "source": {"text": "a"}}});
    let asked = json!({"messages": [{"role": "user", "content": [{"text": "Hi"}, document]}]});
    for refused in [json!({"inputText": "Hi"}), asked] {
        let answer = server.post(&format!("/model/{NOVA}/invoke"), refused).await;
        assert_eq!(answer.error(), (400, "ValidationException"));
    }
}
