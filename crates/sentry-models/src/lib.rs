#![doc = include_str!("../README.md")]

#[cfg(feature = "adapters")]
pub mod adapters;
pub mod catalogue;
mod ids;

pub use catalogue::{Catalogue, InvalidCatalogue, Unresolved};
