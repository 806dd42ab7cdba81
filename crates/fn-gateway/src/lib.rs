#![doc = include_str!("../README.md")]

mod api;
mod caller;
mod converse;
mod ending;
mod errors;
mod frames;
mod identity;
pub mod lambda;
mod routes;
mod steps;
mod stream;
mod tokens;

pub use identity::Callers;
pub use routes::{Gateway, router};
pub use steps::Steps;
pub use tokens::Tokens;
