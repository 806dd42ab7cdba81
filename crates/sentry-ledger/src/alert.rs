//! The alerts that are due.

use std::collections::BTreeSet;

use sentry_contract::states::{Alert, ScopeLimit};
use sentry_domain::{Amount, Unit};

/// The thresholds of a limit that are reached by what is `used` and not yet reported.
pub(crate) fn due_alerts(limit: &ScopeLimit, used: Amount, alerted: &BTreeSet<u8>) -> Vec<Alert> {
    let reached = |threshold: u8| {
        limit.limits.iter().find(|(unit, most)| *most > 0 && used.get(*unit) * 100 >= most * u128::from(threshold))
    };
    let alert = |threshold: u8, (unit, most): (Unit, u128)| Alert {
        scope: limit.scope.clone(),
        window: limit.window.name.clone(),
        window_key: limit.window.key.clone(),
        resets_at: limit.window.resets_at,
        threshold,
        unit,
        limit: unit.written(most),
        used: unit.written(used.get(unit)),
    };
    let due: BTreeSet<u8> = limit.alert_at.iter().copied().filter(|threshold| !alerted.contains(threshold)).collect();
    due.into_iter().filter_map(|threshold| Some(alert(threshold, reached(threshold)?))).collect()
}
