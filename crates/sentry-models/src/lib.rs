#![doc = include_str!("../README.md")]

#[cfg(feature = "adapters")]
pub mod adapters;
pub mod catalogue;
mod ids;

pub use catalogue::{
    Addition, Catalogue, InvalidCatalogue, InvalidEntry, Patches, PictureRule, Resolved, TokenLimits, Unresolved,
    Unusable,
};
pub use ids::{home_of_profile, source_of_profile};
