#![doc = include_str!("../README.md")]

mod directory;
mod index;
mod shared;
mod snapshot;

pub use directory::{Directory, Profile, SweepError, Tags, all_tags, profiles};
pub use index::{ProfileIndex, Source, Store, Unavailable};
pub use shared::{SharedError, SharedProfiles, Stored};
pub use snapshot::{Ambiguous, KEYS, Snapshot, TaggedProfile, Values};
