//! Directives and headers are the same for every family's body, and exchanges are kept only if that was asked for.

use serde_json::{Value, json};

use super::{Answer, HAIKU, Server, messages};

/// A model of every family and how its body carries a text.
const MODELS: [(&str, &str); 12] = [
    (
        HAIKU,
        r#"{"anthropic_version": "bedrock-2023-05-31", "max_tokens": 300, "messages": [{"role": "user", "content": "TEXT"}]}"#,
    ),
    ("anthropic.claude-v2:1", r#"{"prompt": "\n\nHuman: TEXT\n\nAssistant:", "max_tokens_to_sample": 300}"#),
    ("us.amazon.nova-micro-v1:0", r#"{"messages": [{"role": "user", "content": [{"text": "TEXT"}]}]}"#),
    ("amazon.titan-text-express-v1", r#"{"inputText": "TEXT"}"#),
    ("us.meta.llama3-3-70b-instruct-v1:0", r#"{"prompt": "TEXT", "max_gen_len": 300}"#),
    ("mistral.mixtral-8x7b-instruct-v0:1", r#"{"prompt": "<s>[INST] TEXT [/INST]", "max_tokens": 300}"#),
    ("mistral.mistral-large-2407-v1:0", r#"{"messages": [{"role": "user", "content": "TEXT"}]}"#),
    ("cohere.command-light-text-v14", r#"{"prompt": "TEXT"}"#),
    ("cohere.command-r-v1:0", r#"{"message": "TEXT"}"#),
    ("ai21.jamba-1-5-mini-v1:0", r#"{"messages": [{"role": "user", "content": "TEXT"}]}"#),
    ("us.deepseek.r1-v1:0", r#"{"prompt": "TEXT", "max_tokens": 300}"#),
    ("openai.gpt-oss-20b-1:0", r#"{"messages": [{"role": "user", "content": "TEXT"}]}"#),
];

impl Server {
    async fn invoke(&self, model: &str, body: &str, text: &str) -> Answer {
        let body: Value = serde_json::from_str(&body.replace("TEXT", text)).unwrap();
        self.post(&format!("/model/{model}/invoke"), body).await
    }
}

fn counts(answer: &Answer) -> [&str; 4] {
    ["input", "output", "cache-read-input", "cache-write-input"]
        .map(|kind| answer.header(&format!("x-amzn-bedrock-{kind}-token-count")))
}

#[tokio::test]
async fn directives_work_in_every_body() {
    let server = Server::start(&[]).await;
    for (model, body) in MODELS {
        let answer = server
            .invoke(model, body, "Hi [[sim input-tokens=21 output-tokens=143 cache-read=40 cache-write=7]]")
            .await;
        assert_eq!(
            (answer.status.as_u16(), counts(&answer)),
            (200, ["21", "143", "40", "7"]),
            "{model}: {}",
            answer.body
        );
        let plain = server.invoke(model, body, "Hi").await;
        assert!(counts(&plain)[0].parse::<u64>().unwrap() > 0, "{model}");
        assert_eq!(counts(&plain)[2..], ["", ""], "{model}");

        let untold =
            server.invoke(model, body, "Hi [[sim fault=missing-usage output-tokens=1437 input-tokens=2137]]").await;
        assert_eq!((untold.status.as_u16(), counts(&untold)), (200, ["", "", "", ""]), "{model}");
        assert!(!untold.body.contains("1437") && !untold.body.contains("2137"), "{model}: {}", untold.body);

        let sized = server.invoke(model, body, "Hi [[sim output-bytes=5000]]").await;
        assert!((5000..6000).contains(&sized.body.len()), "{model}: {}", sized.body.len());
        let strange = server.invoke(model, body, "Hi [[sim stop-reason=strange]]").await;
        assert!(strange.body.contains("\"strange\""), "{model}");
        assert_eq!(server.invoke(model, body, "Hi [[sim fault=empty]]").await.status.as_u16(), 200, "{model}");
        let throttled = server.invoke(model, body, "Hi [[sim fault=throttling]]").await;
        assert_eq!(throttled.error(), (429, "ThrottlingException"), "{model}");
        let malformed = server.invoke(model, body, "Hi [[sim fault=malformed]]").await;
        assert!(serde_json::from_str::<Value>(&malformed.body).is_err(), "{model}");
        let foreign = server.post(&format!("/model/{model}/invoke"), json!({"modelInput": "Hi"})).await;
        assert_eq!(foreign.error(), (400, "ValidationException"), "{model}");
    }
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
