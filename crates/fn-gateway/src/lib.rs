#![doc = include_str!("../README.md")]

mod ahead;
mod answers;
mod api;
mod body;
mod budget;
mod caller;
mod chat;
mod converse;
mod document;
mod ending;
mod errors;
mod facts;
mod fields;
mod frames;
mod gateway;
mod identity;
mod invoke;
mod invoke_headers;
pub mod lambda;
mod messages;
mod models;
mod native;
mod nova;
mod page;
mod replay;
mod routes;
mod sse;
mod steps;
mod stream;
mod tokens;

pub use ahead::Ahead;
pub use gateway::Gateway;
pub use identity::Callers;
pub use routes::router;
pub use steps::Steps;
pub use tokens::Tokens;
