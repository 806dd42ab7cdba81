//! Bedrock's side of the tests: the models, and an answer of Converse. It is written from AWS's documents and
//! deliberately uses no code of the adapters.

use sentry_contract::request::Family;
use serde_json::{Value, json};

/// A model of every family, and models that differ within a family.
pub const MODELS: &[(Family, &str)] = &[
    (Family::Anthropic, "us.anthropic.claude-sonnet-4-20250514-v1:0"),
    (Family::Anthropic, "us.anthropic.claude-3-5-haiku-20241022-v1:0"),
    (Family::AnthropicText, "anthropic.claude-v2:1"),
    (Family::Nova, "amazon.nova-lite-v1:0"),
    (Family::Nova, "amazon.nova-micro-v1:0"),
    (Family::Titan, "amazon.titan-text-express-v1"),
    (Family::Llama, "us.meta.llama3-3-70b-instruct-v1:0"),
    (Family::Mistral, "mistral.mistral-7b-instruct-v0:2"),
    (Family::Mistral, "mistral.mistral-large-2407-v1:0"),
    (Family::Cohere, "cohere.command-text-v14"),
    (Family::Cohere, "cohere.command-r-plus-v1:0"),
    (Family::Jamba, "ai21.jamba-1-5-large-v1:0"),
    (Family::Deepseek, "us.deepseek.r1-v1:0"),
    (Family::GptOss, "openai.gpt-oss-120b-1:0"),
    (Family::Qwen, "qwen.qwen3-32b-v1:0"),
    (Family::Converse, "writer.palmyra-x5-v1:0"),
];

/// An answer with `text` and the stop reason `end_turn`. The tokens are `[input, output, cache read, cache write]`.
/// Half of the tokens written to the cache have a lifetime of one hour.
pub fn answer(text: &str, [input, output, read, write]: [u64; 4]) -> Value {
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}});
    json!({
        "output": {"message": {"role": "assistant", "content": [thought, {"text": text}]}},
        "stopReason": "end_turn", "metrics": {"latencyMs": 1}, "serviceTier": {"type": "default"},
        "usage": {"inputTokens": input, "outputTokens": output, "totalTokens": input + output,
                  "cacheReadInputTokens": read, "cacheWriteInputTokens": write,
                  "cacheDetails": [{"ttl": "1h", "inputTokens": write / 2}, {"ttl": "5m", "inputTokens": write - write / 2}]}
    })
}
