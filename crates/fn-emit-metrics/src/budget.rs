//! The part of a budget that is used, in percent.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{MetricDatum, StandardUnit};
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::RecordedEntry;
use sentry_domain::BudgetEntry;

use crate::metrics::{datum, dimension, time};
use crate::values::OTHER;

/// The shortest window with a forecast. A limit of a minute or an hour is a rate, and its forecast would end before
/// anybody could read it.
const FORECAST_WINDOW: TimeDelta = TimeDelta::days(1);
/// A window has a forecast after this part of it, in percent. Before, one request could forecast any figure.
const FORECAST_FROM_PERCENT: u128 = 5;

/// The state of a scope after one request, in hundredths of a percent. Each is the highest over the scope's windows and
/// units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeUsage {
    /// The scope, as the metric shows it.
    pub scope: String,
    /// The time of the figures.
    pub at: DateTime<Utc>,
    /// Used part of the limit.
    pub used: u128,
    /// Part of the limit that is used at the end of the window, if usage continues at the pace so far. `None` if no
    /// window has a forecast.
    pub forecast: Option<u128>,
}

/// The state of each scope in `budget`, whose figures are of `at`. A limit of 0 has no percentage, and neither has a
/// limit of requests in flight.
pub fn of(budget: &[RecordedEntry], at: DateTime<Utc>) -> Vec<ScopeUsage> {
    let mut scopes: BTreeMap<&str, ScopeUsage> = BTreeMap::new();
    for recorded in budget {
        let scope = &recorded.entry.scope;
        let (long, past) = recorded.window(at);
        for (limit, used) in amounts(&recorded.entry) {
            let percent = hundredths(used, limit);
            let forecast = past.map(|past| hundredths(used.saturating_mul(long), limit.saturating_mul(past)));
            let found =
                scopes.entry(scope).or_insert_with(|| ScopeUsage { scope: scope.clone(), at, used: 0, forecast: None });
            found.used = found.used.max(percent);
            found.forecast = found.forecast.max(forecast);
        }
    }
    scopes.into_values().collect()
}

trait InWindow {
    /// The length of the window, and the part that has passed at `at` if the window has a forecast, in milliseconds.
    fn window(&self, at: DateTime<Utc>) -> (u128, Option<u128>);
}

impl InWindow for RecordedEntry {
    fn window(&self, at: DateTime<Utc>) -> (u128, Option<u128>) {
        let (Some(start), Some(end)) = (self.starts_at, self.entry.resets_at) else { return (0, None) };
        let milliseconds = |span: TimeDelta| u128::try_from(span.num_milliseconds()).unwrap_or(0);
        let (long, past) = (milliseconds(end - start), milliseconds(at - start).min(milliseconds(end - start)));
        let is_forecast = end - start >= FORECAST_WINDOW && past * 100 >= long * FORECAST_FROM_PERCENT;
        (long, Some(past).filter(|_| is_forecast))
    }
}

/// Limit and usage of each unit that is limited to more than 0.
fn amounts(entry: &BudgetEntry) -> impl Iterator<Item = (u128, u128)> {
    let counts = [entry.input, entry.output, entry.requests].into_iter().flatten();
    let counts = counts.map(|count| (u128::from(count.limit), u128::from(count.used)));
    let dollars = entry.usd.map(|usd| (usd.limit.0.picodollars(), usd.used.0.picodollars()));
    counts.chain(dollars).filter(|(limit, _)| *limit > 0)
}

fn hundredths(used: u128, limit: u128) -> u128 {
    used.saturating_mul(10_000).checked_div(limit).unwrap_or(0)
}

/// `BudgetUsedPercent` and `BudgetForecastPercent`: for each scope the latest figures of a batch. `other` is many scopes,
/// so it has their highest figures.
pub fn data<'a>(figures: impl Iterator<Item = &'a ScopeUsage>) -> Vec<MetricDatum> {
    let mut latest: BTreeMap<&str, ScopeUsage> = BTreeMap::new();
    for figure in figures {
        let found = latest.entry(&figure.scope).or_insert_with(|| figure.clone());
        if figure.scope == OTHER {
            found.used = found.used.max(figure.used);
            found.forecast = found.forecast.max(figure.forecast);
            found.at = found.at.max(figure.at);
        } else if figure.at >= found.at {
            *found = figure.clone();
        }
    }
    let mut data = Vec::new();
    for (scope, ScopeUsage { at, used, forecast, .. }) in latest {
        let put = |name, hundredths| {
            let dimensions = vec![dimension("Scope", scope)];
            datum(name, percent(hundredths), StandardUnit::Percent, dimensions, time(at))
        };
        data.push(put("BudgetUsedPercent", used));
        data.extend(forecast.map(|forecast| put("BudgetForecastPercent", forecast)));
    }
    data
}

/// CloudWatch's values are floats.
#[expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "a percentage of a chart")]
fn percent(hundredths: u128) -> f64 {
    hundredths as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn used(budget: Value, at: &str) -> Vec<(String, u128, Option<u128>)> {
        let budget: Vec<RecordedEntry> = serde_json::from_value(budget).unwrap();
        of(&budget, instant(at)).into_iter().map(|used| (used.scope, used.used, used.forecast)).collect()
    }

    fn units(limit: u64, used: u64) -> Value {
        json!({"limit": limit, "used": used, "reserved": 7, "remaining": 0})
    }

    #[test]
    fn a_scope_has_its_highest_percentage_over_windows_and_units() {
        let dollars = json!({"limit": "10.00", "used": "2.345678", "reserved": "9.00", "remaining": "0.00"});
        let budget = json!([
            {"scope": "user#jo", "source": "user", "window": "2026-11-21", "startsAt": "2026-11-21T00:00:00Z", "resetsAt": "2026-11-22T00:00:00Z",
             "output": units(1_000, 125), "usd": dollars, "requests": units(0, 3)},
            {"scope": "user#jo", "source": "user", "window": "2026-11", "startsAt": "2026-11-01T00:00:00Z", "resetsAt": "2026-12-01T00:00:00Z",
             "input": units(3, 1)},
            {"scope": "user#jo", "source": "user", "window": "inFlight", "startsAt": "1970-01-01T00:00:00Z", "inFlight": units(2, 0)},
        ]);
        // The day is at noon, so its forecast doubles 23.45 %. The month is at 68.33 % of its days.
        assert_eq!(used(budget, "2026-11-21T12:00:00Z"), [("user#jo".to_owned(), 3_333, Some(4_878))]);
    }

    #[test]
    fn a_forecast_needs_a_long_window_and_some_of_it() {
        let hour = json!([{"scope": "user#jo", "source": "user", "window": "2026-11-21T12", "startsAt": "2026-11-21T12:00:00Z",
                           "resetsAt": "2026-11-21T13:00:00Z", "output": units(100, 90)}]);
        assert_eq!(used(hour, "2026-11-21T12:30:00Z"), [("user#jo".to_owned(), 9_000, None)]);
        let total = json!([{"scope": "user#jo", "source": "user", "window": "total", "startsAt": "1970-01-01T00:00:00Z", "output": units(100, 90)}]);
        assert_eq!(used(total, "2026-11-21T12:30:00Z"), [("user#jo".to_owned(), 9_000, None)]);
        let day = |at| {
            let day = json!([{"scope": "user#jo", "source": "user", "window": "2026-11-21", "startsAt": "2026-11-21T00:00:00Z",
                              "resetsAt": "2026-11-22T00:00:00Z", "output": units(100, 10)}]);
            used(day, at).remove(0).2
        };
        assert_eq!(day("2026-11-21T01:11:59Z"), None);
        assert_eq!(day("2026-11-21T01:12:00Z"), Some(20_000));
        assert_eq!(day("2026-11-22T00:00:01Z"), Some(1_000));
        let stopped = json!([{"scope": "user#jo", "source": "user", "window": "total", "output": units(0, 0)}]);
        assert_eq!(used(stopped, "2026-11-21T12:00:00Z"), []);
    }

    #[test]
    fn a_batch_has_the_latest_figures_of_a_scope_and_the_highest_of_the_others() {
        let figure =
            |scope: &str, at, used| ScopeUsage { scope: scope.to_owned(), at: instant(at), used, forecast: None };
        let figures = [
            figure("user#jo", "2026-11-21T12:00:02Z", 1_250),
            figure("user#jo", "2026-11-21T12:00:01Z", 9_000),
            figure("other", "2026-11-21T12:00:02Z", 100),
            figure("other", "2026-11-21T12:00:01Z", 800),
        ];
        let data = data(figures.iter());
        let shown: Vec<_> =
            data.iter().map(|datum| (datum.metric_name().unwrap(), datum.value().unwrap().to_string())).collect();
        assert_eq!(shown, [("BudgetUsedPercent", "8".to_owned()), ("BudgetUsedPercent", "12.5".to_owned())]);
    }
}
