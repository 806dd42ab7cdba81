//! The alerts that are due, and the part of a limit that an item stores so that the sweep can find its alerts too.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sentry_domain::{Alert, Amount, Limits, ScopeLimit, Unit, Usd};
use thiserror::Error;

use crate::key::Key;

/// The alert thresholds of a limit. An item stores those that were in force at its last hold or lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Percentages of the limits. There is at least one.
    pub alert_at: BTreeSet<u8>,
    /// The limits that the percentages refer to.
    pub limits: Limits,
    /// The time at which the window ends. `None` if it never ends.
    pub resets_at: Option<DateTime<Utc>>,
    /// Name of the window, for example `2026-11`.
    pub window: String,
}

impl Watch {
    /// The part of `limit` that an item stores. `None` if the limit has no thresholds.
    #[must_use]
    pub fn of(limit: &ScopeLimit) -> Option<Self> {
        let alert_at: BTreeSet<u8> = limit.alert_at.iter().copied().collect();
        let window = &limit.window;
        (!alert_at.is_empty()).then(|| Self {
            alert_at,
            limits: limit.limits,
            resets_at: window.resets_at,
            window: window.name.clone(),
        })
    }

    /// The alerts of the thresholds that `used` has reached and that are not in `alerted`. `key` is the key of the
    /// scope's own item.
    #[must_use]
    pub fn due(&self, key: &Key, used: Amount, alerted: &BTreeSet<u8>) -> Vec<Alert> {
        let mut due = Vec::new();
        for &threshold in self.alert_at.difference(alerted) {
            if let Some((unit, most)) = self.reached(threshold, used) {
                due.push(Alert {
                    scope: key.scope.clone(),
                    window: self.window.clone(),
                    window_key: key.window.clone(),
                    resets_at: self.resets_at,
                    threshold,
                    unit,
                    limit: unit.written(most),
                    used: unit.written(used.get(unit)),
                });
            }
        }
        due
    }

    /// The first unit of which `used` has reached `threshold` percent, with its limit.
    fn reached(&self, threshold: u8, used: Amount) -> Option<(Unit, u128)> {
        self.limits.iter().find(|(unit, most)| *most > 0 && used.get(*unit) * 100 >= most * u128::from(threshold))
    }
}

/// The error for a text that is not a stored [`Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is no watch (percentages, five limits, seconds since 1970, a window's name)")]
pub struct NoWatch;

/// The stored form is `percentages input output picodollars requests inFlight resets window`. Commas separate the
/// percentages, and `-` stands for a missing value. The form is short because every write of the item pays for its
/// size.
impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alert_at: Vec<String> = self.alert_at.iter().map(u8::to_string).collect();
        let limits = Unit::ALL.map(|unit| written(self.limits.get(unit)));
        let resets_at = written(self.resets_at.map(|at| at.timestamp()));
        write!(f, "{} {} {resets_at} {}", alert_at.join(","), limits.join(" "), self.window)
    }
}

fn written(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

impl FromStr for Watch {
    type Err = NoWatch;

    fn from_str(text: &str) -> Result<Self, NoWatch> {
        let parts: Vec<&str> = text.splitn(8, ' ').collect();
        let Ok([alert_at, input, output, usd, requests, in_flight, resets_at, window]) = <[&str; 8]>::try_from(parts)
        else {
            return Err(NoWatch);
        };
        let alert_at = alert_at.split(',').map(number).collect::<Result<_, _>>()?;
        let limits = Limits {
            input: optional(input)?,
            output: optional(output)?,
            usd: optional(usd)?.map(Usd::from_picodollars),
            requests: optional(requests)?,
            in_flight: optional(in_flight)?,
        };
        let at = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(NoWatch);
        let resets_at = optional(resets_at)?.map(at).transpose()?;
        Ok(Self { alert_at, limits, resets_at, window: window.to_owned() })
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, NoWatch> {
    text.parse().map_err(|_| NoWatch)
}

fn optional<T: FromStr>(text: &str) -> Result<Option<T>, NoWatch> {
    if text == "-" { Ok(None) } else { number(text).map(Some) }
}

/// The alerts of the thresholds of `limit` that `used` has reached and that are not in `alerted`.
pub(crate) fn due_alerts(limit: &ScopeLimit, used: Amount, alerted: &BTreeSet<u8>) -> Vec<Alert> {
    Watch::of(limit).map(|watch| watch.due(&Key::of(limit, None), used, alerted)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_read_back_as_it_was_written() {
        let limits = Limits { output: Some(5_000), usd: Some(Usd::from_picodollars(7)), ..Limits::default() };
        let month = Watch {
            alert_at: BTreeSet::from([80, 100]),
            limits,
            resets_at: "2026-12-01T00:00:00Z".parse().ok(),
            window: "2026-11".into(),
        };
        assert_eq!(month.to_string(), "80,100 - 5000 7 - - 1796083200 2026-11");
        // No window has a name with a space today.
        let endless = Watch { resets_at: None, window: "2026 to 2027".into(), ..month.clone() };
        for watch in [month, endless] {
            assert_eq!(watch.to_string().parse(), Ok(watch));
        }
        for text in ["", "80", "x - - - - - - total", "80 - - - - - total", "80 -1 - - - - - total"] {
            assert_eq!(text.parse::<Watch>(), Err(NoWatch), "{text}");
        }
    }
}
