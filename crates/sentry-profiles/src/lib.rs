#![doc = include_str!("../README.md")]

mod directory;
mod index;
mod parameters;
mod shared;
mod snapshot;

pub use directory::{Directory, Listing, Profile, SweepError, Tags, all_tags, profiles};
pub use index::{ProfileIndex, Source, Store, Unavailable};
pub use parameters::{ParameterStore, ParametersError};
pub use shared::{SharedError, SharedProfiles, Stored};
pub use snapshot::{Ambiguous, KEYS, Snapshot, TaggedProfile, Values};
