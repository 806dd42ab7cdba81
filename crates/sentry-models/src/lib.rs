#![doc = include_str!("../README.md")]

#[cfg(feature = "adapters")]
pub mod adapters;
pub mod catalogue;
mod ids;

pub use catalogue::{
    Addition, AdditionError, Cache, Catalogue, InvalidCatalogue, InvalidEntry, Patches, PictureRule, Reasoning,
    Replaced, ResolveError, Resolved, Retiring, Sampling, Takes, Thinking, TokenLimits,
};
pub use catalogue::{Known, PriceOrigin};
pub use ids::{home_of_profile, source_of_profile};
pub use ids::{partition, region_group};
