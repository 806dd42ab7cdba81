#![doc = include_str!("../README.md")]

pub mod budget;
pub mod money;
pub mod tokens;
pub mod usage_grid;
pub mod window;

pub use budget::{Amount, Limits, PerUnit, Unit};
pub use money::{Discount, Price, Usd};
pub use tokens::TokenUsage;
pub use usage_grid::UsageGrid;
pub use window::{Window, WindowKind};
