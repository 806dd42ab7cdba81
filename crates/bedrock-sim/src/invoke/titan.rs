//! InvokeModel of Amazon Titan Text.
//!
//! Source: Amazon Bedrock User Guide, "Amazon Titan Text models". It calls a finished answer `FINISHED`; the service says
//! `FINISH`.

use serde_json::{Map, Value, json};

use crate::{
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
    let fields = Fields::new(body, "#", &["inputText", "textGenerationConfig"])?;
    let text = fields.text("inputText")?;
    let empty = Map::new();
    let config = fields.object("textGenerationConfig")?.unwrap_or(&empty);
    let known = ["temperature", "topP", "maxTokenCount", "stopSequences"];
    let config = Fields::new(config, "#/textGenerationConfig", &known)?;
    Ok(Prompt {
        max_tokens: config.integer("maxTokenCount", 0)?,
        temperature: config.fraction("temperature")?,
        top_p: config.fraction("topP")?,
        stop_sequences: config.strings("stopSequences")?,
        ..Prompt::of_text(text)
    })
}

/// The answer for a reply.
pub fn answer(reply: &Reply) -> Value {
    let mut result = json!({
        "outputText": reply.text.as_ref().map(|text| format!("\n{text}")).unwrap_or_default(),
        "completionReason": completion_reason(&reply.stop_reason),
    });
    let mut answer = json!({});
    if reply.usage_is_told {
        fields::set(&mut answer, "inputTextTokenCount", reply.usage.input);
        fields::set(&mut result, "tokenCount", reply.usage.output);
    }
    fields::set(&mut answer, "results", json!([result]));
    answer
}

fn completion_reason(reason: &str) -> &str {
    match reason {
        "end_turn" => "FINISH",
        "max_tokens" => "LENGTH",
        "stop_sequence" => "STOP_CRITERIA_MET",
        "content_filtered" => "CONTENT_FILTERED",
        other => other,
    }
}
