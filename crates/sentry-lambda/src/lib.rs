#![doc = include_str!("../README.md")]

#[cfg(feature = "aws")]
mod aws;
pub mod env;
mod failure;
pub mod sqs;
mod start;
#[cfg(feature = "aws")]
mod warm_up;

#[cfg(feature = "aws")]
pub use aws::{Connections, aws_config, cause, http_client, without_sync_prefix};
#[cfg(feature = "aws")]
pub use aws_config::SdkConfig;
pub use env::InvalidSetting;
pub use failure::Failure;
pub use start::{StartError, run, start_logging};
#[cfg(feature = "aws")]
pub use warm_up::{Greeting, warm_up};
