#![doc = include_str!("../README.md")]

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::ErrorCode;
use sentry_lambda::Failure;
use sentry_ledger::{Ledger, LedgerError, Swept};
use serde::Serialize;
use tracing::info;

/// The schedule runs every minute; items that are due in the second half of it are not left for the next run.
const SECOND_PASS: Duration = Duration::from_secs(30);
/// The time from the start of a run after which it begins nothing more. The function has 55 seconds.
const PATIENCE: TimeDelta = TimeDelta::seconds(40);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Expired holds that are settled in full now.
    pub settled: usize,
    /// Items that were due and looked at.
    pub items: usize,
}

/// Settles every expired hold and gives back leases that nobody renewed; twice, half a minute apart.
///
/// # Errors
/// `LedgerUnavailable` when the ledger could not be read, or some of it could not be settled; the next run tries again.
pub async fn sweep(ledger: &Ledger, clock: impl Fn() -> DateTime<Utc>) -> Result<Report, Failure> {
    let deadline = clock() + PATIENCE;
    let mut swept = pass(ledger, &clock, deadline).await?;
    if clock() < deadline {
        tokio::time::sleep(SECOND_PASS).await;
        let second = pass(ledger, &clock, deadline).await?;
        swept.settled += second.settled;
        swept.items += second.items;
        swept.failed += second.failed;
    }
    let Swept { settled, items, failed, .. } = swept;
    if settled > 0 {
        info!(settled, "expired holds were settled in full");
    }
    if failed > 0 {
        let message = format!("{failed} items of the ledger could not be settled; {settled} holds were");
        return Err(Failure::new(ErrorCode::LedgerUnavailable, message));
    }
    Ok(Report { settled, items })
}

/// Looks at all items that are due, page by page. An item that fails stays due: it is not tried again in the same pass.
async fn pass(ledger: &Ledger, clock: &impl Fn() -> DateTime<Utc>, deadline: DateTime<Utc>) -> Result<Swept, Failure> {
    let mut all = Swept::default();
    loop {
        let page = ledger.sweep(clock()).await;
        let page = page.map_err(|error: LedgerError| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        all.settled += page.settled;
        all.items += page.items;
        all.failed += page.failed;
        if !page.has_more || page.failed > 0 || clock() >= deadline {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests;
