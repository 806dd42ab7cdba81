#![doc = include_str!("../README.md")]

mod api;
mod body;
mod caller;
mod converse;
mod document;
mod ending;
mod errors;
mod fields;
mod frames;
mod identity;
mod invoke;
pub mod lambda;
mod messages;
mod native;
mod nova;
mod routes;
#[allow(dead_code, reason = "an API that is being written uses the rest")]
mod sse;
mod steps;
mod stream;
mod tokens;

pub use identity::Callers;
pub use routes::{Gateway, router};
pub use steps::Steps;
pub use tokens::Tokens;
