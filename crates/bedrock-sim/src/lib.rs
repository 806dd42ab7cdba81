#![doc = include_str!("../README.md")]

mod answer;
mod blocks;
mod cache;
mod call;
mod clock;
mod connection;
mod content;
mod controls;
mod converse;
mod count_tokens;
mod directives;
mod error;
mod facts;
mod faults;
mod fields;
mod fingerprint;
mod form;
mod guardrail;
mod invoke;
mod lock;
mod messages;
mod metrics;
mod models;
mod nova;
mod openai;
mod options;
mod pictures;
mod profiles;
mod prompt;
mod recorder;
mod reply;
mod schema;
mod server;
mod signature;
mod state;
mod stream;
mod tagging;
mod tags;
mod thinking;
mod tokens;
mod tools;
#[cfg(test)]
mod wire_tests;

pub use options::Options;
pub use server::{StartError, run};

/// Tokens that the simulator charges for the picture `bytes` when it is sent to the model with this id.
#[must_use]
pub fn picture_tokens(model_id: &str, bytes: &[u8]) -> u64 {
    pictures::tokens(models::Model::parse(model_id), pictures::size(bytes))
}
