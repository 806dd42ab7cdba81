//! InvokeModel of Amazon Nova: the body of schema `messages-v1`.

use serde_json::{Map, Value, json};

use crate::{
    content,
    error::ApiError,
    fields::{self, Fields},
    prompt::Prompt,
    reply::Reply,
};

/// Reads a request.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &["schemaVersion", "messages", "system", "inferenceConfig", "toolConfig"])?;
    if fields.string("schemaVersion")?.is_some_and(|version| version != "messages-v1") {
        return Err(ApiError::validation("#/schemaVersion: must be messages-v1"));
    }
    let mut prompt = settings(fields.object("inferenceConfig")?)?;
    content::read_conversation(&fields, &mut prompt, content::text_turn)?;
    Ok(prompt)
}

/// The answer for a reply.
pub fn answer(reply: &Reply) -> Value {
    let content: Vec<Value> = reply.text.iter().map(|text| json!({"text": text})).collect();
    let mut answer = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reply.stop_reason,
    });
    if reply.usage_is_told {
        let usage = reply.usage;
        let told = json!({
            "inputTokens": usage.input,
            "outputTokens": usage.output,
            "totalTokens": usage.total(),
            "cacheReadInputTokenCount": usage.cache_read.unwrap_or(0),
            "cacheWriteInputTokenCount": usage.cache_write.unwrap_or(0),
        });
        fields::set(&mut answer, "usage", told);
    }
    answer
}

fn settings(config: Option<&Map<String, Value>>) -> Result<Prompt, ApiError> {
    let Some(config) = config else { return Ok(Prompt::default()) };
    let known = ["maxTokens", "max_new_tokens", "temperature", "topP", "topK", "stopSequences"];
    let config = Fields::new(config, "#/inferenceConfig", &known)?;
    config.integer("topK", 0)?;
    Ok(Prompt {
        max_tokens: config.integer("maxTokens", 1)?.or(config.integer("max_new_tokens", 1)?),
        temperature: config.fraction("temperature")?,
        top_p: config.fraction("topP")?,
        stop_sequences: config.strings("stopSequences")?,
        ..Prompt::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_request_is_read() {
        let body = json!({
            "schemaVersion": "messages-v1",
            "system": [{"text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"text": "S3?"}]}],
            "inferenceConfig": {"max_new_tokens": 9, "temperature": 0.5, "topP": 0.9, "topK": 5, "stopSequences": ["x"]},
        });
        let prompt = parse(body.as_object().unwrap()).ok().unwrap();
        assert_eq!((prompt.max_tokens, prompt.last_user_text(), prompt.system.len()), (Some(9), "S3?", 1));
    }

    #[test]
    fn what_bedrock_refuses_is_refused() {
        let messages = json!([{"role": "user", "content": [{"text": "S3?"}]}]);
        for body in [
            json!({}),
            json!({"messages": messages, "max_tokens": 1}),
            json!({"messages": messages, "schemaVersion": "v2"}),
            json!({"messages": messages, "inferenceConfig": {"maxTokens": 0}}),
            json!({"messages": [{"role": "user", "content": "S3?"}]}),
        ] {
            assert_eq!(parse(body.as_object().unwrap()).err().unwrap().kind, "ValidationException");
        }
    }
}
