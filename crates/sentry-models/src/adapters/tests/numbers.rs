//! Numbers in a tool's JSON keep every digit, in the request and in the answer.

use sentry_contract::content::Block;
use sentry_contract::request::Family;
use serde_json::{Value, json};

use super::{asking, wire};
use crate::adapters::{self};

/// Integers with more digits than a 64-bit float can distinguish, and floats with all the digits that it can. Without
/// its feature `float_roundtrip`, `serde_json` reads the last number as an adjacent float.
const NUMBERS: [&str; 5] =
    ["9007199254740991", "0.30000000000000004", "1234567890123456789", "18446744073709551615", "31.245270191439438"];

fn numbers() -> Value {
    serde_json::from_str(&format!("[{}]", NUMBERS.join(","))).unwrap()
}

/// The number of places where `text` contains all of them, one after the other.
fn times(text: &str) -> usize {
    text.matches(&NUMBERS.join(",")).count()
}

#[tokio::test]
async fn every_digit_reaches_the_wire_and_comes_back() {
    let asked = json!({"toolUse": {"toolUseId": "t1", "name": "find", "input": {"numbers": numbers()}}});
    let answer = json!({
        "output": {"message": {"role": "assistant", "content": [asked]}}, "stopReason": "tool_use",
        "usage": {"inputTokens": 21, "outputTokens": 143, "totalTokens": 164}, "metrics": {"latencyMs": 1}
    });
    let (client, wire) = wire::client(200, "", &answer.to_string());
    let schema = json!({"type": "object", "enum": numbers()});
    let result = json!({"toolUseId": "t1", "content": [{"json": {"numbers": numbers()}}]});
    let prompt = json!({
        "messages": [
            {"role": "user", "content": "Find it."},
            {"role": "assistant", "content": [asked]},
            {"role": "user", "content": [{"toolResult": result}]}
        ],
        "tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": schema}}}]
    });
    let request = asking(Family::Nova, "amazon.nova-lite-v1:0", &prompt);
    let reply = adapters::ask(&client, &request, 9).await.unwrap();
    let sent = wire.actual_requests().next().unwrap().body().bytes().unwrap();
    assert_eq!(times(std::str::from_utf8(sent).unwrap()), 3, "schema, input and result");
    let [Block::ToolUse(back)] = reply.content.as_slice() else { panic!("another answer") };
    assert_eq!(back.input.to_string(), format!(r#"{{"numbers":[{}]}}"#, NUMBERS.join(",")));
}
