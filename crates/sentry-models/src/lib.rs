#![doc = include_str!("../README.md")]

#[cfg(feature = "adapters")]
pub mod adapters;
pub mod catalogue;
mod ids;

pub use catalogue::{
    Addition, AdditionError, Cache, Catalogue, InvalidCatalogue, InvalidEntry, Known, Patches, PictureRule,
    PriceOrigin, Reasoning, Replaced, ResolveError, Resolved, Retiring, Sampling, Takes, Thinking, TokenLimits,
};
pub use ids::{REGION_GROUPS, home_of_profile, partition, region_group, source_of_profile, without_region_group};
