#![doc = include_str!("../README.md")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_lambda::Failure;
use sentry_ledger::{Ledger, LedgerError, Swept};
use serde::Serialize;
use tracing::info;

/// The schedule runs every minute; a hold that expires in the first half of it is not left for the next run.
const SECOND_PASS: Duration = Duration::from_secs(30);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Expired holds that are settled in full now.
    pub settled: usize,
}

/// Settles every expired hold; twice, half a minute apart, when some expire in between.
///
/// # Errors
/// `LedgerUnavailable` when the ledger could not be read, or some of it could not be settled; the next run tries again.
pub async fn sweep(ledger: &Ledger, clock: impl Fn() -> DateTime<Utc>) -> Result<Report, Failure> {
    let unavailable = |error: LedgerError| Failure::caused(ErrorCode::LedgerUnavailable, &error);
    let first = ledger.sweep(clock()).await.map_err(unavailable)?;
    let soon = (clock() + SECOND_PASS).timestamp_millis();
    let second = if first.next_expiry_ms.is_some_and(|expiry| expiry < soon) {
        tokio::time::sleep(SECOND_PASS).await;
        ledger.sweep(clock()).await.map_err(unavailable)?
    } else {
        Swept::default()
    };
    let (settled, failed) = (first.settled + second.settled, first.failed + second.failed);
    if settled > 0 {
        info!(settled, "expired holds were settled in full");
    }
    if failed > 0 {
        let message = format!("{failed} expired holds or items could not be settled; {settled} were");
        return Err(Failure::new(ErrorCode::LedgerUnavailable, message));
    }
    Ok(Report { settled })
}

#[cfg(test)]
mod tests;
