#![doc = include_str!("../README.md")]

pub mod alert;
pub mod budget;
pub mod budget_entry;
pub mod hash;
pub mod limit;
pub mod money;
pub mod price;
pub mod reservation;
pub mod response;
pub mod tokens;
pub mod usage_grid;
pub mod window;

pub use alert::Alert;
pub use budget::{Amount, Limits, PerUnit, Unit};
pub use budget_entry::{BudgetEntry, Dollars, Headroom};
pub use hash::fnv1a;
pub use limit::{
    Action, Enforcement, LimitWindow, MOST_BUDGET_TAGS, MOST_SCOPES, MOST_WINDOWS, Reaction, Remedy, Response,
    ScopeLimit,
};
pub use money::{Discount, Usd, UsdDifference};
pub use price::{Charges, Price, Rates};
pub use reservation::{Reservation, ReservedScope};
pub use response::AlertResponse;
pub use tokens::{CacheTtl, ServiceTier, TokenUsage};
pub use usage_grid::UsageGrid;
pub use window::{Window, WindowKind};
