#![doc = include_str!("../README.md")]

mod api;
mod body;
mod converse;
mod ending;
mod errors;
mod frames;
mod identity;
pub mod lambda;
mod routes;
mod steps;
mod stream;

pub use routes::{Gateway, router};
pub use steps::Steps;
