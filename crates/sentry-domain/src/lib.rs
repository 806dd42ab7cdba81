#![doc = include_str!("../README.md")]

pub mod budget;
pub mod money;
pub mod price;
pub mod tokens;
pub mod usage_grid;
pub mod window;

pub use budget::{Amount, Limits, PerUnit, Unit};
pub use money::{Discount, Usd};
pub use price::{Charges, Price, Rates};
pub use tokens::{CacheTtl, ServiceTier, TokenUsage};
pub use usage_grid::UsageGrid;
pub use window::{Window, WindowKind};
