//! Qwen: OpenAI's chat completion.
//!
//! Source: the format that public callers of `qwen.qwen3-…` use with InvokeModel; the User Guide's page on inference parameters has no
//! entry for Qwen (2026-11). On Converse, Bedrock answers "This model doesn't support the stopSequences field" (public report of 2025-09).

use super::super::adapter::{Adapter, Native, Support};
use super::openai::Chat;

static CHAT: Chat = Chat { max_tokens: "max_tokens", support: Support::NO_TOP_K.text_only(), reasoning: None };

pub struct Qwen;

impl Adapter for Qwen {
    fn converse(&self, _: &str) -> Support {
        Support { stop_sequences: false, ..Support::NO_TOP_K }
    }

    fn native(&self, _: &str) -> Option<&'static dyn Native> {
        Some(&CHAT)
    }
}
