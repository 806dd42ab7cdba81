//! Tests of thoughts, caching, structured output, and stop reasons in answers.

use serde_json::{Map, Value, json};

use super::{Server, messages};

const HAIKU: &str = "/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/converse";
const OPUS_5: &str = "/model/us.anthropic.claude-opus-5/converse";
const OPUS_5_5: &str = "/model/us.anthropic.claude-opus-5-5/converse";
const SONNET_5_5: &str = "/model/us.anthropic.claude-sonnet-5-5/converse";
const NOVA_2: &str = "/model/us.amazon.nova-2-lite-v1:0/converse";
const GPT: &str = "/model/us.openai.gpt-6-sol/converse";
const KIMI_K3: &str = "/model/us.moonshotai.kimi-k3/converse";
const KIMI_K3_1: &str = "/model/us.moonshotai.kimi-k3.1/converse";
const GPT_OSS: &str = "/model/openai.gpt-oss-120b-1:0/converse";

fn with(mut body: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("{fields} is not an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

fn extra(fields: Value) -> Value {
    Map::from_iter([("additionalModelRequestFields".to_owned(), fields)]).into()
}

fn budget() -> Value {
    extra(json!({"thinking": {"type": "enabled", "budget_tokens": 1_024}}))
}

#[tokio::test]
async fn each_family_thinks_in_its_own_words_and_thoughts_are_output() {
    let server = Server::start(&[]).await;
    for (path, fields, first) in [
        (HAIKU, json!({}), None),
        (HAIKU, budget(), Some("signed")),
        (OPUS_5, json!({}), Some("unseen")),
        (OPUS_5, extra(json!({"thinking": {"type": "disabled"}})), None),
        (OPUS_5, extra(json!({"thinking": {"type": "adaptive", "display": "summarized"}})), Some("signed")),
        (OPUS_5_5, json!({"outputConfig": {"effort": "max"}}), Some("unseen")),
        (NOVA_2, json!({}), None),
        (NOVA_2, extra(json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}})), Some("masked")),
        (GPT, extra(json!({"reasoning": {"effort": "high"}})), Some("encrypted")),
        (GPT, extra(json!({"reasoning": {"effort": "none"}})), None),
        (GPT_OSS, extra(json!({"reasoning_effort": "low"})), Some("plain")),
        (KIMI_K3, json!({}), Some("encrypted")),
        (KIMI_K3, extra(json!({"reasoning": {"effort": "none"}})), None),
        (KIMI_K3_1, extra(json!({"reasoning": {"effort": "low"}})), Some("encrypted")),
    ] {
        let answer = server.post(path, with(messages("Hi [[sim wanted-tokens=5]]"), fields.clone())).await.json();
        let thoughts = &answer["output"]["message"]["content"][0]["reasoningContent"];
        let told = &thoughts["reasoningText"];
        let form = match (thoughts.is_null(), told["text"].as_str(), told["signature"].is_string()) {
            (true, ..) => None,
            (_, Some(""), true) => Some("unseen"),
            (_, Some(_), true) => Some("signed"),
            (_, Some("[REDACTED]"), false) => Some("masked"),
            (_, Some(_), false) => Some("plain"),
            (_, None, _) => thoughts["redactedContent"].as_str().map(|_| "encrypted"),
        };
        assert_eq!(form, first, "{path} {fields}: {answer}");
        assert_eq!(answer["usage"]["outputTokens"].as_u64().unwrap() > 5, first.is_some(), "{path} {fields}");
    }
}

#[tokio::test]
async fn kimi_k3_ignores_the_words_of_other_models() {
    let server = Server::start(&[]).await;
    let words = async |fields: Value| {
        let body = with(messages("Hi [[sim wanted-tokens=5]]"), extra(fields));
        server.post(KIMI_K3, body).await.json()["usage"]["outputTokens"].as_u64().unwrap()
    };
    let unasked = words(json!({})).await;
    assert_eq!(words(json!({"reasoning_effort": "none"})).await, unasked);
    assert_eq!(words(json!({"thinking": {"type": "disabled"}})).await, unasked);
    assert!(words(json!({"reasoning": {"effort": "low"}})).await < unasked);
}

#[tokio::test]
async fn a_small_maximum_is_all_thoughts() {
    let server = Server::start(&[]).await;
    let body = with(messages("Hi"), json!({"inferenceConfig": {"maxTokens": 6}}));
    let answer = server.post(OPUS_5, body).await.json();
    assert_eq!((&answer["stopReason"], &answer["usage"]["outputTokens"]), (&json!("max_tokens"), &json!(6)));
    let content = answer["output"]["message"]["content"].as_array().unwrap();
    assert!(content.len() == 1 && content[0]["reasoningContent"].is_object(), "{answer}");
}

#[tokio::test]
async fn a_tool_loop_hands_thoughts_back_unchanged() {
    let server = Server::start(&[]).await;
    let tools = json!({"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}]});
    let all = with(budget(), json!({"toolConfig": tools}));
    let mut turns = vec![messages("Where? [[sim tool=find]]")["messages"][0].clone()];
    for round in ["[[sim tool=find]]", "done"] {
        let answer = server.post(HAIKU, with(json!({"messages": turns}), all.clone())).await;
        assert_eq!(answer.json()["stopReason"], "tool_use", "{}", answer.body);
        let message = answer.json()["output"]["message"].clone();
        let kinds: Vec<String> = message["content"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b.as_object().unwrap().keys().next().unwrap().clone())
            .collect();
        assert_eq!(kinds, ["reasoningContent", "text", "toolUse"]);
        let id = message["content"][2]["toolUse"]["toolUseId"].clone();
        turns.push(message);
        turns.push(
            json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": [{"text": round}]}}]}),
        );
    }
    assert_eq!(
        server.post(HAIKU, with(json!({"messages": turns}), all.clone())).await.json()["stopReason"],
        "end_turn"
    );

    let mut changed = turns.clone();
    changed[3]["content"][0]["reasoningContent"]["reasoningText"]["text"] = json!("Other thoughts.");
    let answer = server.post(HAIKU, with(json!({"messages": changed}), all.clone())).await;
    assert!(answer.body.contains("messages.3.content.0: Invalid `signature` in `thinking` block"), "{}", answer.body);
    turns[3]["content"].as_array_mut().unwrap().remove(0);
    let answer = server.post(HAIKU, with(json!({"messages": turns}), all)).await;
    assert!(answer.body.contains("messages.3.content.0.type: Expected `thinking`"), "{}", answer.body);
}

#[tokio::test]
async fn thoughts_of_the_newest_models_are_their_own_and_redacted_ones_come_back_too() {
    let server = Server::start(&[]).await;
    for (from, to, text, status) in [
        (OPUS_5_5, OPUS_5_5, "Hi", 200),
        (OPUS_5_5, SONNET_5_5, "Hi", 400),
        (OPUS_5, "/model/global.anthropic.claude-opus-5/converse", "Hi", 200),
        (HAIKU, HAIKU, "Hi [[sim reasoning=5 reasoning-form=redacted]]", 200),
        (GPT, GPT, "Hi", 200),
    ] {
        let first = server.post(from, messages(text)).await.json();
        let user = messages("More?")["messages"][0].clone();
        let turns = json!([messages(text)["messages"][0], first["output"]["message"], user]);
        let second = server.post(to, json!({"messages": turns})).await;
        assert_eq!(second.status.as_u16(), status, "{from} to {to}: {}", second.body);
    }
}

fn cached(ttl: &str, question: &str) -> Value {
    let document = "word ".repeat(5_000);
    json!({
        "system": [{"text": document}, {"cachePoint": {"type": "default", "ttl": ttl}}],
        "messages": [{"role": "user", "content": [{"text": question}]}],
    })
}

#[tokio::test]
async fn the_prompt_cache_is_written_read_and_ends() {
    let server = Server::start(&["--now", "2026-11-26T12:00:00Z"]).await;
    let usage = async |body: Value| server.post(HAIKU, body).await.json()["usage"].clone();
    let first = usage(cached("1h", "One?")).await;
    let written = 25_000 / 4 + 3;
    assert_eq!((&first["cacheWriteInputTokens"], &first["cacheReadInputTokens"]), (&json!(written), &json!(0)));
    assert_eq!(first["cacheDetails"], json!([{"ttl": "1h", "inputTokens": written}]));
    assert_eq!(first["inputTokens"], 1 + 3);
    server.post("/_sim/clock", json!({"advanceSeconds": 3_000})).await;
    let second = usage(cached("1h", "Two?")).await;
    assert_eq!((&second["cacheReadInputTokens"], &second["cacheDetails"]), (&json!(written), &json!([])));
    server.post("/_sim/clock", json!({"advanceSeconds": 3_601})).await;
    assert_eq!(usage(cached("1h", "Three?")).await["cacheReadInputTokens"], 0);
    let little =
        json!({"messages": [{"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}]}]});
    assert_eq!(usage(little).await["cacheWriteInputTokens"], 0);
}

#[tokio::test]
async fn two_lifetimes_stand_in_one_answer_and_directives_tell_both() {
    let server = Server::start(&[]).await;
    let mut body = cached("1h", &"more ".repeat(4_000));
    body["messages"][0]["content"]
        .as_array_mut()
        .unwrap()
        .push(json!({"cachePoint": {"type": "default", "ttl": "5m"}}));
    let usage = server.post(HAIKU, body.clone()).await.json()["usage"].clone();
    assert_eq!(
        usage["cacheDetails"],
        json!([{"ttl": "1h", "inputTokens": 6_253}, {"ttl": "5m", "inputTokens": 5_003}])
    );
    assert_eq!(usage["inputTokens"], 0);
    let count = json!({"input": {"converse": body}});
    let count = server.post("/model/anthropic.claude-haiku-4-5-20251001-v1:0/count-tokens", count).await.json();
    assert_eq!(count["inputTokens"], 6_253 + 5_003);
    let told = messages("Hi [[sim input-tokens=1 cache-read=2 cache-write=3 cache-write-1h=4]]");
    let usage = server.post(HAIKU, told).await.json()["usage"].clone();
    assert_eq!(usage["cacheWriteInputTokens"], 7);
    assert_eq!(usage["cacheDetails"], json!([{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 3}]));
    assert_eq!(usage["totalTokens"].as_u64().unwrap() - usage["outputTokens"].as_u64().unwrap(), 10);
}

#[tokio::test]
async fn a_schema_is_answered_with_json_that_fits_it() {
    let server = Server::start(&[]).await;
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}).to_string();
    let format = json!({"type": "json_schema", "structure": {"jsonSchema": {"schema": schema, "name": "trip"}}});
    let answer = server.post(HAIKU, with(messages("Hi"), json!({"outputConfig": {"textFormat": format}}))).await.json();
    let text = answer["output"]["message"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), json!({"city": "harbor", "days": 0}));
}

#[tokio::test]
async fn every_stop_reason_can_be_had() {
    let server = Server::start(&[]).await;
    for reason in ["malformed_model_output", "malformed_tool_use", "refusal", "model_context_window_exceeded"] {
        let answer = server.post(HAIKU, messages(&format!("Hi [[sim stop-reason={reason}]]"))).await.json();
        assert_eq!(answer["stopReason"], reason);
        assert!(!answer["output"]["message"]["content"][0]["text"].as_str().unwrap().is_empty());
    }
}
