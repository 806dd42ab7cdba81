#![doc = include_str!("../README.md")]

pub mod admission;
pub mod change;
mod ending;
mod expression;
pub mod figures;
pub mod item;
mod key;
mod lease;
mod reserve;
mod settle;
mod store;

pub use admission::{Ask, LEAST_OUTPUT_TOKENS, Shortage};
pub use figures::Figures;
pub use reserve::{Admission, Choice, Holder};
pub use settle::{After, Swept};
pub use store::{Ledger, LedgerError};

/// What the ledger does between its reads and writes, without these: the model checker takes the same steps.
pub mod steps {
    pub use crate::key::Key;
    pub use crate::reserve::{Attempt, Step};
    pub use crate::settle::{cancellations, expiries, settlements};
    pub use crate::store::{ROUNDS, ScopeItems, longest_pause_ms};
}
