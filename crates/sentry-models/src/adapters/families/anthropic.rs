//! Anthropic Claude 3 and later: the Messages API.
//!
//! Sources: Amazon Bedrock User Guide, "Anthropic Claude Messages API: Request and Response"; Anthropic, "Handling stop reasons".

use sentry_contract::content::Block;
use sentry_domain::TokenUsage;
use serde_json::{Value, json};

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, block_texts, count, count_or_zero, text};
use super::super::converse::stop_reason;

/// The only version that Bedrock takes.
const VERSION: &str = "bedrock-2023-05-31";

pub struct Anthropic;

impl Adapter for Anthropic {
    /// 3.5 Haiku sees no pictures. Source: Amazon Bedrock User Guide, "Supported models and model features".
    fn converse(&self, model_id: &str) -> Support {
        if model_id.contains("claude-3-5-haiku") { Support::ALL.no_images() } else { Support::ALL }
    }

    fn native(&self, _: &str) -> Option<&'static dyn Native> {
        Some(&Messages)
    }
}

struct Messages;

impl Native for Messages {
    fn support(&self) -> Support {
        Support::ALL.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        let turns = call.conversation.turns.iter();
        let messages: Value =
            turns.map(|turn| json!({"role": turn.speaker, "content": texts(&turn.blocks())})).collect();
        let system = call.conversation.system_blocks();
        Ok(Fields::default()
            .with("anthropic_version", VERSION)
            .with("max_tokens", call.max_tokens)
            .with("messages", messages)
            .maybe("system", (!system.is_empty()).then(|| texts(&system)))
            .maybe("temperature", call.parameters().temperature)
            .maybe("top_p", call.parameters().top_p)
            .maybe("top_k", call.parameters().top_k)
            .list("stop_sequences", &call.parameters().stop_sequences)
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        let stopped = text(answer, "/stop_reason");
        Found { text: block_texts(answer, "/content"), stop_reason: stopped.map(stop_reason), usage: usage(answer) }
    }
}

/// Text blocks; others are refused before.
fn texts(blocks: &[Block]) -> Value {
    blocks.iter().filter_map(Block::as_text).map(|text| json!({"type": "text", "text": text})).collect()
}

/// `input_tokens` has no cached ones in it.
fn usage(answer: &Value) -> Option<TokenUsage> {
    Some(TokenUsage {
        input: count(answer, "/usage/input_tokens")?,
        output: count(answer, "/usage/output_tokens")?,
        cache_read: count_or_zero(answer, "/usage/cache_read_input_tokens")?,
        cache_write: count_or_zero(answer, "/usage/cache_creation_input_tokens")?,
        ..TokenUsage::default()
    })
}
