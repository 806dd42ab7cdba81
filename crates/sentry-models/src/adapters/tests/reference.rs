//! The models' side of every format: how a model hears a request, and how it writes an answer. Written from the same documents as the
//! adapters, and on purpose without any of their code.

use sentry_contract::request::{Family, Transport};
use sentry_contract::states::Target;
use serde_json::{Value, json};

/// The formats that bodies come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Converse,
    Claude,
    ClaudeText,
    Nova,
    Titan,
    Llama3,
    Llama4,
    MistralText,
    OpenAi,
    GptOss,
    Command,
    CommandR,
    DeepseekR1,
}

/// A model of every format and family, on every transport that it has.
pub const MODELS: &[(Family, &str, Transport, Format)] = &[
    (Family::Anthropic, "us.anthropic.claude-sonnet-4-20250514-v1:0", Transport::Converse, Format::Converse),
    (Family::Anthropic, "us.anthropic.claude-sonnet-4-20250514-v1:0", Transport::InvokeModel, Format::Claude),
    (Family::Anthropic, "us.anthropic.claude-3-5-haiku-20241022-v1:0", Transport::Converse, Format::Converse),
    (Family::AnthropicText, "anthropic.claude-v2:1", Transport::Converse, Format::Converse),
    (Family::AnthropicText, "anthropic.claude-v2:1", Transport::InvokeModel, Format::ClaudeText),
    (Family::Nova, "amazon.nova-lite-v1:0", Transport::Converse, Format::Converse),
    (Family::Nova, "amazon.nova-lite-v1:0", Transport::InvokeModel, Format::Nova),
    (Family::Nova, "amazon.nova-micro-v1:0", Transport::Converse, Format::Converse),
    (Family::Titan, "amazon.titan-text-express-v1", Transport::Converse, Format::Converse),
    (Family::Titan, "amazon.titan-text-express-v1", Transport::InvokeModel, Format::Titan),
    (Family::Llama, "us.meta.llama3-3-70b-instruct-v1:0", Transport::Converse, Format::Converse),
    (Family::Llama, "us.meta.llama3-3-70b-instruct-v1:0", Transport::InvokeModel, Format::Llama3),
    (Family::Llama, "us.meta.llama4-scout-17b-instruct-v1:0", Transport::InvokeModel, Format::Llama4),
    (Family::Mistral, "mistral.mistral-7b-instruct-v0:2", Transport::Converse, Format::Converse),
    (Family::Mistral, "mistral.mixtral-8x7b-instruct-v0:1", Transport::InvokeModel, Format::MistralText),
    (Family::Mistral, "mistral.mistral-small-2402-v1:0", Transport::InvokeModel, Format::MistralText),
    (Family::Mistral, "mistral.mistral-large-2407-v1:0", Transport::Converse, Format::Converse),
    (Family::Mistral, "mistral.mistral-large-2407-v1:0", Transport::InvokeModel, Format::OpenAi),
    (Family::Cohere, "cohere.command-text-v14", Transport::Converse, Format::Converse),
    (Family::Cohere, "cohere.command-light-text-v14", Transport::InvokeModel, Format::Command),
    (Family::Cohere, "cohere.command-r-plus-v1:0", Transport::Converse, Format::Converse),
    (Family::Cohere, "cohere.command-r-plus-v1:0", Transport::InvokeModel, Format::CommandR),
    (Family::Jamba, "ai21.jamba-1-5-large-v1:0", Transport::Converse, Format::Converse),
    (Family::Jamba, "ai21.jamba-1-5-large-v1:0", Transport::InvokeModel, Format::OpenAi),
    (Family::Deepseek, "us.deepseek.r1-v1:0", Transport::Converse, Format::Converse),
    (Family::Deepseek, "us.deepseek.r1-v1:0", Transport::InvokeModel, Format::DeepseekR1),
    (Family::GptOss, "openai.gpt-oss-120b-1:0", Transport::Converse, Format::Converse),
    (Family::GptOss, "openai.gpt-oss-120b-1:0", Transport::InvokeModel, Format::GptOss),
    (Family::Qwen, "qwen.qwen3-32b-v1:0", Transport::Converse, Format::Converse),
    (Family::Qwen, "qwen.qwen3-32b-v1:0", Transport::InvokeModel, Format::OpenAi),
    (Family::Converse, "writer.palmyra-x5-v1:0", Transport::Converse, Format::Converse),
];

/// The model as the router gets it.
pub fn target(family: Family, model_id: &str, transport: Transport) -> Option<Target> {
    serde_json::from_value(json!({"modelId": model_id, "family": family, "transport": transport})).ok()
}

/// An answer of `text` that ends by itself, with `[input, output, cache read, cache write]` tokens where the format counts them.
pub fn answer(format: Format, text: &str, [input, output, read, write]: [u64; 4]) -> Value {
    match format {
        Format::Converse => json!({
            "output": {"message": {"role": "assistant", "content": [{"reasoningContent": {}}, {"text": text}]}},
            "stopReason": "end_turn", "metrics": {"latencyMs": 1},
            "usage": {"inputTokens": input, "outputTokens": output, "totalTokens": input + output,
                      "cacheReadInputTokens": read, "cacheWriteInputTokens": write}
        }),
        Format::Claude => json!({
            "type": "message", "role": "assistant", "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": input, "output_tokens": output,
                      "cache_read_input_tokens": read, "cache_creation_input_tokens": write}
        }),
        Format::ClaudeText => {
            json!({"completion": format!(" {text}"), "stop_reason": "stop_sequence", "stop": "\n\nHuman:"})
        }
        Format::Nova => json!({
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": input, "outputTokens": output, "totalTokens": input + output,
                      "cacheReadInputTokenCount": read, "cacheWriteInputTokenCount": write}
        }),
        Format::Titan => json!({
            "inputTextTokenCount": input,
            "results": [{"tokenCount": output, "outputText": format!("\n{text}\n"), "completionReason": "FINISHED"}]
        }),
        Format::Llama3 | Format::Llama4 => json!({
            "generation": format!("\n\n{text}"), "stop_reason": "stop",
            "prompt_token_count": input, "generation_token_count": output
        }),
        Format::MistralText => json!({"outputs": [{"text": format!(" {text}"), "stop_reason": "stop"}]}),
        Format::OpenAi => chat(text, [input, output, read]),
        Format::GptOss => chat(&format!("<reasoning>Hm.</reasoning>{text}"), [input, output, read]),
        Format::Command => json!({"generations": [{"text": format!(" {text}"), "finish_reason": "COMPLETE"}]}),
        Format::CommandR => json!({"text": text, "finish_reason": "COMPLETE", "chat_history": []}),
        Format::DeepseekR1 => json!({"choices": [{"text": format!("Hm.\n</think>\n\n{text}"), "stop_reason": "stop"}]}),
    }
}

fn chat(text: &str, [input, output, read]: [u64; 3]) -> Value {
    json!({
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": input + read, "completion_tokens": output,
                  "prompt_tokens_details": {"cached_tokens": read}}
    })
}
