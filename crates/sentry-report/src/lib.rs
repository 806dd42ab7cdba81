#![doc = include_str!("../README.md")]

mod bill;
mod budget;
mod chart;
mod compare;
mod csv;
mod figures;
mod forecast;
mod grouping;
mod html;
mod input;
mod month;
mod movers;
mod report;
mod signed;
mod text;

pub use bill::{Bill, Billed};
pub use budget::{Budget, BudgetUnit, Lasts, Pace, Status};
pub use compare::{Compared, Comparison, Reason, ReasonKind};
pub use csv::{csv, field as csv_field};
pub use figures::{Figures, Saved};
pub use forecast::{Forecast, MEAN_OF_DAYS};
pub use grouping::{Grouping, InvalidGrouping, decoded};
pub use html::html;
pub use input::{BudgetInput, DaysByScope, Input, Reading, UNGOVERNED};
pub use month::{InvalidMonth, Month};
pub use movers::{Mover, Movers};
pub use report::{DayTotal, Group, Report, UngovernedModel};
pub use text::{Spend, dollars};
