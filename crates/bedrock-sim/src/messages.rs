//! Anthropic's Messages, the body of `InvokeModel` for Claude.
//!
//! Sources: Bedrock user guide, "Anthropic Claude Messages API, Request and Response"
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>);
//! Claude docs, "Messages" (<https://platform.claude.com/docs/en/api/messages>) and "Streaming messages"
//! (<https://platform.claude.com/docs/en/build-with-claude/streaming>); all read 2026-11-28.

mod answer;
mod blocks;
mod events;
mod request;

pub use answer::{answer, knows_stop_reason};
pub use events::events;
pub use request::document;
