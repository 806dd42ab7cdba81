//! The counts of a run. They are separate from the ledger's own counters, so that those can be checked.

use std::cell::RefCell;

/// The figures of a run.
#[derive(Default)]
pub struct Run {
    // Microseconds from arrival to approval, and from the end of the model call to the answer.
    pub reserved: Vec<u64>,
    pub settled: Vec<u64>,
    pub told_to_wait: u64,
    pub used_up: u64,
    pub wrongly_refused: u64,
    pub over_limit: u64,
    /// Requests that were denied because the ledger was not available.
    pub failed_closed: u64,
    /// Holds that stay until they expire.
    pub left: u64,
    pub duplicates: u64,
    /// The most holds at a time.
    pub most_in_flight: u64,
    pub looks: u64,
    pub full_looks: u64,
    pub renewals: u64,
}

/// The amounts that are really held and settled in a scope.
pub struct Truth {
    limit: u128,
    hold: u128,
    in_flight: u64,
    committed: u128,
    /// The time since which there has been room for one more request.
    room_since: Option<u64>,
}

/// The truth and the figures.
pub struct Observer {
    truth: RefCell<Truth>,
    pub run: RefCell<Run>,
}

impl Observer {
    pub fn new(limit: u128, hold: u128) -> Self {
        let truth = Truth { limit, hold, in_flight: 0, committed: 0, room_since: Some(0) };
        Self { truth: RefCell::new(truth), run: RefCell::default() }
    }

    /// Records that a hold is in the table, in every scope.
    pub fn held(&self, now: u64) {
        let (mut truth, mut run) = (self.truth.borrow_mut(), self.run.borrow_mut());
        truth.committed += truth.hold;
        truth.in_flight += 1;
        run.over_limit += u64::from(truth.committed > truth.limit);
        run.most_in_flight = run.most_in_flight.max(truth.in_flight);
        truth.see_room(now);
    }

    /// Records that a hold of the first scope was replaced by the usage.
    pub fn settled(&self, actual: u128, now: u64) {
        let mut truth = self.truth.borrow_mut();
        truth.committed = truth.committed - truth.hold + actual;
        truth.in_flight -= 1;
        truth.see_room(now);
    }

    /// Records that a request was denied by figures that were read since `looked`. The denial is wrong if there was
    /// room all that time.
    pub fn denied(&self, must_wait: bool, looked: u64) {
        let mut run = self.run.borrow_mut();
        *(if must_wait { &mut run.told_to_wait } else { &mut run.used_up }) += 1;
        run.wrongly_refused += u64::from(self.truth.borrow().room_since.is_some_and(|since| since <= looked));
    }
}

impl Truth {
    fn see_room(&mut self, now: u64) {
        let is_room = self.committed + self.hold <= self.limit;
        self.room_since = if is_room { self.room_since.or(Some(now)) } else { None };
    }
}

/// The median and the 99th percentile, in milliseconds.
pub fn percentiles(mut micros: Vec<u64>) -> (f64, f64) {
    micros.sort_unstable();
    let at = |part: usize| {
        let place = micros.len().saturating_sub(1) * part / 100;
        micros.get(place).map_or(0.0, |micros| *micros as f64 / 1_000.0)
    };
    (at(50), at(99))
}
