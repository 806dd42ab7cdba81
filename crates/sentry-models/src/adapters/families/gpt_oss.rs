//! OpenAI gpt-oss: OpenAI's chat completion.
//!
//! Source: Amazon Bedrock User Guide, "OpenAI models": through InvokeModel the model's reasoning stands before the text, between
//! `<reasoning>` tags; Converse has it in a block of its own. Neither is part of the answer. The page maps `stop` to Converse's
//! `stopSequences`, but Bedrock answers "This model doesn't support the stopSequences field" (public reports of 2025-08 to 2025-12).
//! The models read text only (OpenAI, gpt-oss model card).

use super::super::adapter::{Adapter, Native, Support};
use super::openai::Chat;

static CHAT: Chat = Chat {
    max_tokens: "max_completion_tokens",
    support: Support::NO_TOP_K.text_only(),
    reasoning: Some(("<reasoning>", "</reasoning>")),
};

pub struct GptOss;

impl Adapter for GptOss {
    fn converse(&self, _: &str) -> Support {
        Support { stop_sequences: false, ..Support::NO_TOP_K }.no_images()
    }

    fn native(&self, _: &str) -> Option<&'static dyn Native> {
        Some(&CHAT)
    }
}
