//! Tests of content blocks, tools, guardrails, and service tiers.

use serde_json::{Value, json};

use super::Server;

const NOVA: &str = "/model/amazon.nova-lite-v1:0/converse";

fn tools() -> Value {
    json!({"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}]})
}

fn user(content: &Value) -> Value {
    json!([{"role": "user", "content": content}])
}

#[tokio::test]
async fn blocks_are_read_and_counted() {
    let server = Server::start(&[]).await;
    let image = json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}});
    let pdf = json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}});
    let text = json!({"document": {"format": "txt", "name": "b", "source": {"text": "12345678"}}});
    let body = json!({"messages": user(&json!([{"text": "abcd"}, image, pdf, text]))});
    let answer = server.post(NOVA, body).await;
    assert_eq!(answer.json()["usage"]["inputTokens"], 4 + 1_600 + 1_500 + 2, "{}", answer.body);
    for wrong in [
        json!([{"image": {"format": "bmp", "source": {"bytes": "YQ=="}}}]),
        json!([{"image": {"format": "png", "source": {"bytes": "?"}}}]),
        json!([{"text": "a"}, {"document": {"format": "pdf", "name": "a.b", "source": {"bytes": "YQ=="}}}]),
        json!([{"document": {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}}]),
        json!([{"text": "a", "image": {}}]),
        json!([{"toolUse": {"toolUseId": "t", "name": "find", "input": {}}}]),
        json!([{"toolResult": {"toolUseId": "t", "content": []}}]),
    ] {
        let answer = server.post(NOVA, json!({"messages": user(&wrong)})).await;
        assert_eq!(answer.error(), (400, "ValidationException"), "{wrong}");
    }
}

#[tokio::test]
async fn a_tool_is_asked_for_where_that_is_demanded_and_its_result_is_read() {
    let server = Server::start(&[]).await;
    let asked = user(&json!([{"text": "Where? [[sim tool=find]]"}]));
    let first = server.post(NOVA, json!({"messages": asked, "toolConfig": tools()})).await.json();
    assert_eq!(first["stopReason"], "tool_use");
    let message = first["output"]["message"].clone();
    let id = &message["content"][1]["toolUse"]["toolUseId"];
    let result =
        json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": [{"json": {"at": 1}}]}}]});
    let all = json!([asked[0], message, result]);
    let second = server.post(NOVA, json!({"messages": all, "toolConfig": tools()})).await;
    assert_eq!(second.json()["stopReason"], "end_turn", "{}", second.body);
    assert_eq!(server.post(NOVA, json!({"messages": all})).await.error().0, 400);
    let mut forced = tools();
    forced["toolChoice"] = json!({"tool": {"name": "find"}});
    let plain = user(&json!([{"text": "Where?"}]));
    let forced = server.post(NOVA, json!({"messages": plain, "toolConfig": forced})).await.json();
    assert_eq!(forced["stopReason"], "tool_use");
    assert_eq!(server.post(NOVA, json!({"messages": asked})).await.error().0, 400);
}

#[tokio::test]
async fn guardrails_step_in_and_tiers_are_told() {
    let server = Server::start(&[]).await;
    for (id, stop, some) in [
        ("blocksinput", "guardrail_intervened", false),
        ("blocksoutput", "guardrail_intervened", true),
        ("abc", "end_turn", true),
    ] {
        let guardrail = json!({"guardrailIdentifier": id, "guardrailVersion": "1"});
        let body = json!({"messages": user(&json!([{"text": "Hi"}])), "guardrailConfig": guardrail, "serviceTier": {"type": "flex"}});
        let answer = server.post(NOVA, body).await.json();
        assert_eq!((&answer["stopReason"], &answer["serviceTier"]["type"]), (&json!(stop), &json!("flex")));
        assert_eq!(answer["usage"]["inputTokens"] != 0, some);
    }
    let wrong = json!({"messages": user(&json!([{"text": "Hi"}])), "serviceTier": {"type": "cheap"}});
    assert_eq!(server.post(NOVA, wrong).await.error().0, 400);
}
