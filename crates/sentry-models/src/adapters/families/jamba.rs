//! AI21 Jamba: a chat completion like OpenAI's, without `top_k`.
//!
//! Sources: Amazon Bedrock User Guide, "AI21 Labs Jamba models", and "Supported models and model features": no images.

use super::super::adapter::{Adapter, Native, Support};
use super::openai::Chat;

static CHAT: Chat = Chat { max_tokens: "max_tokens", support: Support::NO_TOP_K.text_only(), reasoning: None };

pub struct Jamba;

impl Adapter for Jamba {
    fn converse(&self, _: &str) -> Support {
        Support::NO_TOP_K.no_images()
    }

    fn native(&self, _: &str) -> Option<&'static dyn Native> {
        Some(&CHAT)
    }
}
