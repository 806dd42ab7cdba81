//! One file a family: what its models take, and the format of their own.

pub mod anthropic;
pub mod anthropic_text;
pub mod cohere;
pub mod deepseek;
pub mod gpt_oss;
pub mod jamba;
pub mod llama;
pub mod mistral;
pub mod nova;
mod openai;
pub mod plain;
pub mod qwen;
pub mod titan;
