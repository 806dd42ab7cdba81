#![doc = include_str!("../README.md")]

mod answers;
mod api;
mod budget;
mod chat;
mod converse;
mod document;
mod ending;
mod errors;
mod fields;
mod frames;
mod identity;
pub mod lambda;
mod models;
mod page;
mod routes;
#[allow(dead_code, reason = "the APIs that use it are being written")]
mod sse;
mod steps;
mod stream;

pub use routes::{Gateway, router};
pub use steps::Steps;
