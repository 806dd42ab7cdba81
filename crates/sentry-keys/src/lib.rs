#![doc = include_str!("../README.md")]

mod key;
mod record;
mod table;

pub use key::{Key, KeyHash};
pub use record::{InvalidRecord, KeyRecord};
pub use table::{KeysTable, KeysUnavailable};
