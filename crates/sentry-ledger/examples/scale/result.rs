//! What a run counts, apart from the ledger's own counters: so that these can be checked.

use sentry_ledger::change::Change;

/// A run's figures.
pub struct Run {
    limit: u64,
    held: u64,
    settled: u64,
    /// How long the requests came.
    pub seconds: f64,
    /// Microseconds from arrival to approval.
    pub delays: Vec<u64>,
    model_micros: u64,
    /// Both tables.
    pub write_units: u64,
    pub read_units: u64,
    /// Bytes.
    pub largest: usize,
    pub told_to_wait: u64,
    pub used_up: u64,
    pub false_refusals: u64,
    pub over_limit: u64,
    pub failed_closed: u64,
    pub unsettled: u64,
    pub without_figures: u64,
}

impl Run {
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            held: 0,
            settled: 0,
            seconds: 0.0,
            delays: vec![],
            model_micros: 0,
            write_units: 0,
            read_units: 0,
            largest: 0,
            told_to_wait: 0,
            used_up: 0,
            false_refusals: 0,
            over_limit: 0,
            failed_closed: 0,
            unsettled: 0,
            without_figures: 0,
        }
    }

    /// A hold is in the table.
    pub fn hold(&mut self, tokens: u64) {
        self.held += tokens;
        self.over_limit += u64::from(self.held + self.settled > self.limit);
    }

    /// A hold is replaced by what was used.
    pub fn settle(&mut self, change: &Change) {
        if let Change::Settle { hold, actual, .. } = change {
            self.held -= hold.amount.output;
            self.settled += actual.output;
        }
    }

    /// The request was refused on what was read just now.
    pub fn denied(&mut self, wait: bool, needed: u64) {
        *(if wait { &mut self.told_to_wait } else { &mut self.used_up }) += 1;
        self.false_refusals += u64::from(self.held + self.settled + needed <= self.limit);
    }

    pub fn admitted(&mut self, model: u64) {
        self.model_micros += model;
    }

    /// How many were in flight on average.
    pub fn in_flight(&self) -> f64 {
        self.model_micros as f64 / 1_000_000.0 / self.seconds
    }

    /// Median and 99th percentile of the delay, in milliseconds.
    pub fn delay(&mut self) -> (f64, f64) {
        self.delays.sort_unstable();
        let at = |part: usize| {
            let place = self.delays.len().saturating_sub(1) * part / 100;
            self.delays.get(place).map_or(0.0, |micros| *micros as f64 / 1_000.0)
        };
        (at(50), at(99))
    }
}
