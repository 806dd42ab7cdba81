//! Breaks and keeps each rule in `cases.json` once. Each case there names the source of its rule. More tests check
//! the limits.

use serde_json::{Map, Value, json};

use super::{Server, messages};

/// A request with the text "Hi", in which `fields` replace or extend the fields.
fn request(fields: &Map<String, Value>) -> Value {
    let mut body = messages("Hi");
    body.as_object_mut().unwrap().extend(fields.clone());
    body
}

#[tokio::test]
async fn every_rule_refuses_what_breaks_it_and_takes_what_keeps_it() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases.json")).unwrap();
    assert!(cases.len() > 70, "{}", cases.len());
    let server = Server::start(&["--now", "2026-11-26T12:00:00Z"]).await;
    for case in &cases {
        let text = |name: &str| case[name].as_str().unwrap_or_else(|| panic!("{case} has no {name}"));
        let rule = text("rule");
        assert!(text("source").starts_with("http") || text("source").starts_with("botocore"), "{rule}");
        let refused = server.post(&path(text("model")), request(case["refused"].as_object().unwrap())).await;
        assert_eq!(json!(refused.error().0), case["error"][0], "{rule}: {}", refused.body);
        assert_eq!(json!(refused.error().1), case["error"][1], "{rule}: {}", refused.body);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(case["error"][2].as_str().unwrap()), "{rule}: {message}");
        let accepted = server.post(&path(text("acceptedBy")), request(case["accepted"].as_object().unwrap())).await;
        assert_eq!(accepted.status.as_u16(), 200, "{rule}: {}", accepted.body);
    }
}

fn path(model: &str) -> String {
    format!("/model/{}/converse", model.replace(':', "%3A"))
}

/// A picture that consists of a PNG header and `more` zero bytes. The header is enough to read the size.
fn png(width: u32, height: u32, more: usize) -> String {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.resize(bytes.len() + 8 + more, 0);
    aws_smithy_types::base64::encode(bytes)
}

fn pictures(count: usize, bytes: &str) -> Value {
    let picture = json!({"image": {"format": "png", "source": {"bytes": bytes}}});
    let content: Vec<Value> = std::iter::once(json!({"text": "a"})).chain(vec![picture; count]).collect();
    json!({"messages": [{"role": "user", "content": content}]})
}

/// Sources: aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws issues 778 and 994.
#[tokio::test]
async fn pictures_have_limits_of_size() {
    let server = Server::start(&[]).await;
    let claude = path("us.anthropic.claude-sonnet-4-6");
    for (model, count, bytes, message) in [
        (&claude, 1, png(10, 10, 3_932_200), "image.source.bytes: image exceeds 5 MB maximum: "),
        (&path("amazon.nova-pro-v1:0"), 1, png(10, 10, 3_932_200), "3.75 MB"),
        (&claude, 1, png(8_001, 10, 0), "image dimensions exceed max allowed size: 8000 pixels"),
        (&claude, 21, png(2_001, 10, 0), "max allowed size for many-image requests: 2000 pixels"),
    ] {
        let answer = server.post(model, pictures(count, &bytes)).await;
        assert!(answer.status == 400 && answer.body.contains(message), "{}", answer.body);
    }
    for (count, bytes) in [(1, png(10, 10, 3_932_000)), (1, png(8_000, 8_000, 0)), (21, png(2_000, 2_000, 0))] {
        assert_eq!(server.post(&claude, pictures(count, &bytes)).await.status.as_u16(), 200);
    }
}

/// Sources: daisuke-awaji/moca issue 254, aws-samples/bedrock-chat issue 95.
#[tokio::test]
async fn prompts_have_limits_of_length() {
    let server = Server::start(&[]).await;
    let long = messages(&"word ".repeat(170_000));
    let answer = server.post(&path("us.anthropic.claude-haiku-4-5-20251001-v1:0"), long.clone()).await;
    assert!(answer.body.contains("prompt is too long: 212503 tokens > 200000 maximum"), "{}", answer.body);
    let answer = server.post(&path("openai.gpt-oss-20b-1:0"), long.clone()).await;
    assert_eq!(answer.json()["message"], "Input is too long for requested model.");
    assert_eq!(server.post(&path("us.anthropic.claude-sonnet-5"), long).await.status.as_u16(), 200);
}

#[tokio::test]
async fn models_end_by_the_clock_and_regions_have_their_profiles() {
    let server = Server::start(&["--now", "2027-01-07T23:59:00Z", "--region", "eu-west-1"]).await;
    let opus = path("eu.anthropic.claude-opus-4-1-20250805-v1:0");
    assert_eq!(server.post(&opus, messages("Hi")).await.status.as_u16(), 200);
    server.post("/_sim/clock", json!({"advanceSeconds": 60})).await;
    assert_eq!(server.post(&opus, messages("Hi")).await.error(), (404, "ResourceNotFoundException"));
    let back = server.post("/_sim/clock", json!({"now": "2026-11-26T00:00:00Z"})).await;
    assert_eq!(back.json()["now"], "2026-11-26T00:00:00Z");
    assert_eq!(server.post(&opus, messages("Hi")).await.status.as_u16(), 200);
    assert_eq!(server.post("/_sim/clock", json!({"now": "soon"})).await.error().0, 400);
    for (id, status) in [("us.anthropic.claude-opus-5", 400), ("global.anthropic.claude-opus-5", 200)] {
        assert_eq!(server.post(&path(id), messages("Hi")).await.status.as_u16(), status, "{id}");
    }
}
