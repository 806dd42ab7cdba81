#![doc = include_str!("../README.md")]

mod queue;
mod responses;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::ErrorCode;
use sentry_lambda::Failure;
use sentry_ledger::{Ledger, LedgerError, Swept};
use serde::Serialize;
use tracing::{error, info};

pub use queue::AlertQueue;
pub use responses::Responses;

/// Pause before the second pass. The schedule runs every minute, and the second pass handles items that become due in
/// its second half.
const SECOND_PASS: Duration = Duration::from_secs(30);
/// Time from the start of a run after which it starts no new work. The function has 55 seconds.
const PATIENCE: TimeDelta = TimeDelta::seconds(40);

/// The results of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Number of expired holds that this run settled in full.
    pub settled: usize,
    /// Number of due items that this run examined.
    pub items: usize,
    /// Number of alerts that were due and are queued. Some may have been sent before.
    pub alerts: usize,
}

/// Settles every expired hold, closes leases that were not renewed, and queues the alerts that are due. Makes two
/// passes, half a minute apart.
///
/// # Errors
/// Returns `LedgerUnavailable` if the ledger cannot be read, or if an item cannot be settled or alerted. The next run
/// retries.
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
    /// Number of items that stay due.
    failed: usize,
}

impl Run {
    /// Handles all due items, page by page. An item that fails stays due and is not retried in the same pass.
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
                    error!(%reason, "alerts cannot be queued; the next run finds them again");
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
