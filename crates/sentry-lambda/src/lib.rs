#![doc = include_str!("../README.md")]

#[cfg(feature = "aws")]
mod aws;
pub mod env;
mod failure;
mod start;

#[cfg(feature = "offline")]
pub use aws::offline_config;
#[cfg(feature = "aws")]
pub use aws::{aws_config, cause};
pub use env::InvalidSetting;
pub use failure::Failure;
pub use start::{StartError, run};
