#![doc = include_str!("../README.md")]

mod queue;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::ErrorCode;
use sentry_lambda::Failure;
use sentry_ledger::{Ledger, LedgerError, Swept};
use serde::Serialize;
use tracing::{error, info};

pub use queue::AlertQueue;

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
    /// Alerts that were found due and queued; some may have been sent before.
    pub alerts: usize,
}

/// Settles every expired hold, gives back leases that nobody renewed, and queues the alerts that are due; twice, half a minute apart.
///
/// # Errors
/// `LedgerUnavailable` when the ledger could not be read, or some of it could not be settled or alerted; the next run tries again.
pub async fn sweep(ledger: &Ledger, queue: &AlertQueue, clock: impl Fn() -> DateTime<Utc>) -> Result<Report, Failure> {
    let deadline = clock() + PATIENCE;
    let mut run = Run::default();
    run.pass(ledger, queue, &clock, deadline).await?;
    if clock() < deadline {
        tokio::time::sleep(SECOND_PASS).await;
        run.pass(ledger, queue, &clock, deadline).await?;
    }
    let Run { report, failed } = run;
    let Report { settled, alerts, .. } = report;
    if settled > 0 {
        info!(settled, alerts, "expired holds were settled in full");
    }
    if failed > 0 {
        let message =
            format!("{failed} items of the ledger could not be settled or alerted; {settled} holds were settled");
        return Err(Failure::new(ErrorCode::LedgerUnavailable, message));
    }
    Ok(report)
}

#[derive(Debug, Default)]
struct Run {
    report: Report,
    /// Items that stay due.
    failed: usize,
}

impl Run {
    /// Looks at all items that are due, page by page. An item that fails stays due: it is not tried again in the same pass.
    async fn pass(
        &mut self,
        ledger: &Ledger,
        queue: &AlertQueue,
        clock: &impl Fn() -> DateTime<Utc>,
        deadline: DateTime<Utc>,
    ) -> Result<(), Failure> {
        loop {
            let page = ledger.sweep(clock()).await;
            let page = page.map_err(|error: LedgerError| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
            let Swept { settled, items, has_more, .. } = page;
            self.report.settled += settled;
            self.report.items += items;
            let mut failed = page.failed;
            match queue.send(&page.alerts).await {
                Ok(()) => {
                    self.report.alerts += page.alerts.len();
                    failed += ledger.sweep_again_later(page, clock()).await;
                }
                Err(reason) => {
                    error!(reason, "alerts cannot be queued; the next run finds them again");
                    failed = items;
                }
            }
            self.failed += failed;
            if !has_more || failed > 0 || clock() >= deadline {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
