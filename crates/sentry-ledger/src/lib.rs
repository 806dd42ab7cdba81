#![doc = include_str!("../README.md")]

pub mod admission;
mod ahead;
pub mod alert;
mod attributes;
mod begin;
mod book;
pub mod change;
mod decision;
mod ending;
mod expression;
pub mod figures;
mod holder;
pub mod item;
mod key;
mod lease;
mod mark;
mod requests;
mod reserve;
mod response;
mod scope_items;
mod settle;
mod spread;
mod store;
mod sweep;
mod view;

pub use admission::{Ask, Budget, LEAST_OUTPUT_TOKENS, Shortage};
pub use ahead::ScopesAhead;
pub use book::Book;
pub use decision::{Admission, Choice};
pub use ending::{Settled, Used};
pub use figures::Figures;
pub use holder::Holder;
pub use key::Key;
pub use mark::{Claim, ClaimedUntil};
pub use requests::{Earlier, Entry};
pub use settle::After;
pub use store::{Ledger, LedgerError};
pub use sweep::Swept;
pub use view::Preview;

/// The decisions of the ledger between its reads and writes, without I/O. The model checker in `tests/model` calls the
/// same code.
pub mod steps {
    pub use crate::admission::{Standing, Verdict};
    pub use crate::key::{Key, delete_after};
    pub use crate::lease::{Groups, Place, close, closed, leased, opened};
    pub use crate::reserve::{Attempt, Step};
    pub use crate::scope_items::ScopeItems;
    pub use crate::settle::{barring, cancellation, expiries, places_of, settlements};
    pub use crate::spread::{MOST_SHARDS, candidates, grown, heated, shard, spread};
    pub use crate::store::{ROUNDS, longest_pause_ms};
    pub use crate::sweep::{next_look, returned};
}
