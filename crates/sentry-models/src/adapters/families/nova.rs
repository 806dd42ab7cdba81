//! Amazon Nova. Its own format is nearly Converse's.
//!
//! Source: Amazon Nova User Guide, "Complete request schema"; of its answers, what Bedrock sends: Converse's, with cached tokens counted as
//! `cacheReadInputTokenCount` and `cacheWriteInputTokenCount`.

use sentry_domain::TokenUsage;
use serde_json::{Value, json};

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, block_texts, count, count_or_zero, text};
use super::super::converse::{conversation, stop_reason};

pub struct Nova;

impl Adapter for Nova {
    /// Micro takes text alone. Source: Amazon Bedrock User Guide, "Supported models and model features".
    fn converse(&self, model_id: &str) -> Support {
        if model_id.contains("nova-micro") {
            return Support { documents: false, ..Support::ALL.no_images() };
        }
        Support::ALL
    }

    fn top_k(&self, top_k: u32) -> Value {
        json!({"inferenceConfig": {"topK": top_k}})
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
        let (system, messages) = conversation(&call.conversation);
        let config = Fields::default()
            .with("maxTokens", call.max_tokens)
            .maybe("temperature", call.parameters().temperature)
            .maybe("topP", call.parameters().top_p)
            .maybe("topK", call.parameters().top_k)
            .list("stopSequences", &call.parameters().stop_sequences);
        Ok(Fields::default()
            .maybe("system", (!system.is_empty()).then(|| json!(system)))
            .with("messages", json!(messages))
            .with("inferenceConfig", config.done())
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        Found {
            text: block_texts(answer, "/output/message/content"),
            stop_reason: text(answer, "/stopReason").map(stop_reason),
            usage: usage(answer),
        }
    }
}

fn usage(answer: &Value) -> Option<TokenUsage> {
    let cached = |kind: &str| {
        let spellings = [format!("/usage/cache{kind}InputTokenCount"), format!("/usage/cache{kind}InputTokens")];
        let [first, second] = spellings.map(|pointer| count_or_zero(answer, &pointer));
        Some(first?.max(second?))
    };
    Some(TokenUsage {
        input: count(answer, "/usage/inputTokens")?,
        output: count(answer, "/usage/outputTokens")?,
        cache_read: cached("Read")?,
        cache_write: cached("Write")?,
        ..TokenUsage::default()
    })
}
