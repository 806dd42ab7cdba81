#![doc = include_str!("../README.md")]

mod key;
mod principal;
mod record;
mod table;

pub use key::{Key, KeyHash};
pub use principal::Principal;
pub use record::{InvalidRecord, KeyRecord};
pub use table::{KeysTable, KeysUnavailable};
