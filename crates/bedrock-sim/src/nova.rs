//! The body of `InvokeModel` for Amazon Nova. It differs little from Converse.
//!
//! Sources: Amazon Nova user guide, "Complete request schema"
//! (<https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html>); Amazon Nova 2 user guide, "Using the
//! Invoke API" (<https://docs.aws.amazon.com/nova/latest/nova2-userguide/using-invoke-api.html>); both read 2026-11-28.

use serde_json::{Map, Value, json};

use crate::{
    converse,
    error::ApiError,
    fields::{self, Fields},
    reply::Reply,
};

const SCHEMA: &str = "messages-v1";
const KNOWN: [&str; 5] = ["schemaVersion", "messages", "system", "inferenceConfig", "toolConfig"];

/// The Converse document with the meaning of this body.
///
/// # Errors
/// A `ValidationException` that names the field that Nova does not accept.
pub fn document(body: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let body = Fields::new(body, "#", &KNOWN)?;
    if body.string("schemaVersion")?.is_some_and(|version| version != SCHEMA) {
        return Err(fields::malformed(format_args!("#/schemaVersion: must be equal to constant {SCHEMA}")));
    }
    // Source: Amazon Nova 2 user guide, "Using the Invoke API": all features of Converse "except for document input". This
    // message is the simulator's own. It is not from AWS.
    let messages = body.list("messages")?.into_iter().flatten();
    let mut blocks = messages.filter_map(|message| message.get("content")?.as_array()).flatten();
    if blocks.any(|block| block.get("document").is_some()) {
        return Err(fields::malformed("#/messages: extraneous key [document] is not permitted"));
    }
    let same = ["messages", "system", "toolConfig"].into_iter();
    let mut document: Map<String, Value> =
        same.filter_map(|name| Some((name.to_owned(), body.get(name)?.clone()))).collect();
    if let Some(config) = body.object("inferenceConfig")? {
        let mut config = config.clone();
        if let Some(most) = config.remove("topK") {
            let extra = json!({"inferenceConfig": {"topK": most}});
            document.insert("additionalModelRequestFields".to_owned(), extra);
        }
        document.insert("inferenceConfig".to_owned(), config.into());
    }
    Ok(document)
}

/// The body of the answer for a reply.
pub fn answer(reply: &Reply) -> Value {
    let mut answer = converse::answer(reply, None);
    for surplus in ["metrics", "additionalModelResponseFields"] {
        if let Some(answer) = answer.as_object_mut() {
            answer.remove(surplus);
        }
    }
    set_usage(&mut answer, reply);
    answer
}

/// The events of a reply. Texts are split after every `words` words.
pub fn events(reply: &Reply, words: usize) -> Vec<Value> {
    let events = converse::events(reply, None, words).into_iter();
    events
        .map(|(name, mut fields)| {
            if name == "metadata" {
                set_usage(&mut fields, reply);
                fields::set(&mut fields, "metrics", json!({}));
                fields::set(&mut fields, "trace", json!({}));
            }
            json!({name: fields})
        })
        .collect()
}

/// Nova has other names than Converse for the tokens of the prompt cache, and always tells them.
fn set_usage(answer: &mut Value, reply: &Reply) {
    let usage = &reply.usage;
    if reply.usage_is_told {
        let told = json!({
            "inputTokens": usage.input,
            "outputTokens": usage.output,
            "totalTokens": usage.total(),
            "cacheReadInputTokenCount": usage.cache_read.unwrap_or(0),
            "cacheWriteInputTokenCount": usage.cache_write.unwrap_or(0),
        });
        fields::set(answer, "usage", told);
    }
}
