#![doc = include_str!("../README.md")]

mod answers;
mod event_bus;
mod limiter;
mod message;
mod queues;
mod verdict;
mod worker;

pub use answers::{AnswersTable, Item, State, TableError};
pub use event_bus::{DETAIL_TYPE, EventBus, EventError, SOURCE};
pub use limiter::{Limiter, NoAnswer};
pub use message::{Asked, Poison};
pub use queues::{PutOff, QueueError, Queues};
pub use verdict::{Verdict, verdict};
pub use worker::Worker;
