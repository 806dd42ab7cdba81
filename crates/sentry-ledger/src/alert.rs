//! The alerts that are due, and the part of a limit that an item stores so that the sweep can find its alerts too.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sentry_domain::{Action, Alert, AlertResponse, Amount, Limits, Reaction, ScopeLimit, Unit, Usd};
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
    /// The automated response, and the percentage that sets it.
    pub respond: Option<(u8, AlertResponse)>,
}

impl Watch {
    /// The part of `limit` that an item stores. `None` if the limit has no thresholds.
    #[must_use]
    pub fn of(limit: &ScopeLimit) -> Option<Self> {
        let alert_at: BTreeSet<u8> = limit.alert_at.iter().copied().collect();
        let window = &limit.window;
        (!alert_at.is_empty()).then(|| Self {
            alert_at,
            limits: limit.configured(),
            resets_at: window.resets_at,
            window: window.name.clone(),
            respond: limit.alert_response(),
        })
    }

    /// The alerts of the thresholds that `used` has reached and that are not in `alerted`. `key` is the key of the
    /// scope's own item.
    #[must_use]
    pub fn due(&self, key: &Key, used: Amount, alerted: &BTreeSet<u8>) -> Vec<Alert> {
        let mut due = Vec::new();
        for &threshold in self.alert_at.difference(alerted) {
            if let Some((unit, most)) = self.limits.reached(used, threshold) {
                due.push(Alert {
                    scope: key.scope.clone(),
                    window: self.window.clone(),
                    window_key: key.window.clone(),
                    resets_at: self.resets_at,
                    threshold,
                    unit,
                    limit: unit.written(most),
                    used: unit.written(used.get(unit)),
                    response: self.response_at(threshold),
                });
            }
        }
        due
    }

    /// The automated response at `threshold`.
    fn response_at(&self, threshold: u8) -> Option<AlertResponse> {
        self.respond.as_ref().filter(|(at, _)| *at == threshold).map(|(_, response)| response.clone())
    }
}

/// The error for a text that is not a stored [`Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is no watch (percentages, five limits, seconds since 1970, a window's name)")]
pub struct NoWatch;

/// The stored form is `percentages input output picodollars requests inFlight resets window`. Commas separate the
/// percentages, and `-` stands for a missing value. The form is short because every write of the item pays for its
/// size.
///
/// The percentage of a response is followed by `=`, the limits that it sets (separated by `/`) or `fallback`, `@`, and
/// the key of the limits item, in which `%`, spaces and commas are percent-encoded.
impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alert_at: Vec<String> = self.alert_at.iter().map(|at| self.percentage(*at)).collect();
        let limits = five(&self.limits);
        let resets_at = written(self.resets_at.map(|at| at.timestamp()));
        write!(f, "{} {} {resets_at} {}", alert_at.join(","), limits.join(" "), self.window)
    }
}

impl Watch {
    fn percentage(&self, at: u8) -> String {
        let Some((_, response)) = self.respond.as_ref().filter(|(of, _)| *of == at) else { return at.to_string() };
        let change = match &response.reaction {
            Reaction::Set(limits) => five(limits).join("/"),
            Reaction::Action(Action::Fallback) => FALLBACK.to_owned(),
        };
        let item = response.item.replace('%', "%25").replace(' ', "%20").replace(',', "%2C");
        format!("{at}={change}@{item}")
    }
}

fn five(limits: &Limits) -> [String; 5] {
    Unit::ALL.map(|unit| written(limits.get(unit)))
}

/// The stored form of a response by the fallback.
const FALLBACK: &str = "fallback";

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
        let limits = limits([input, output, usd, requests, in_flight])?;
        let percentages: Vec<(u8, Option<AlertResponse>)> =
            alert_at.split(',').map(|text| percentage(text, limits)).collect::<Result<_, _>>()?;
        let alert_at = percentages.iter().map(|(at, _)| *at).collect();
        let respond = percentages.into_iter().find_map(|(at, response)| Some((at, response?)));
        let at = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(NoWatch);
        let resets_at = optional(resets_at)?.map(at).transpose()?;
        Ok(Self { alert_at, limits, resets_at, window: window.to_owned(), respond })
    }
}

/// A percentage, and its response if it has one. `before` are the limits without it.
fn percentage(text: &str, before: Limits) -> Result<(u8, Option<AlertResponse>), NoWatch> {
    let Some((at, response)) = text.split_once('=') else { return Ok((number(text)?, None)) };
    let (change, item) = response.split_once('@').ok_or(NoWatch)?;
    let reaction = if change == FALLBACK {
        Reaction::Action(Action::Fallback)
    } else {
        let numbers: Vec<&str> = change.split('/').collect();
        Reaction::Set(limits(<[&str; 5]>::try_from(numbers).map_err(|_| NoWatch)?)?)
    };
    let item = item.replace("%2C", ",").replace("%20", " ").replace("%25", "%");
    Ok((number(at)?, Some(AlertResponse { item, before, reaction })))
}

/// The limits with these numbers, in the order of [`Unit::ALL`].
fn limits([input, output, usd, requests, in_flight]: [&str; 5]) -> Result<Limits, NoWatch> {
    Ok(Limits {
        input: optional(input)?,
        output: optional(output)?,
        usd: optional(usd)?.map(Usd::from_picodollars),
        requests: optional(requests)?,
        in_flight: optional(in_flight)?,
    })
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
    fn the_alert_of_a_response_has_it_and_refers_to_the_limits_before() {
        let limits = Limits { output: Some(1_000), ..Limits::default() };
        let mut limit = test_support::limit("costCenter#c", limits, 1);
        limit.alert_at = vec![50, 100];
        let set = Reaction::Set(Limits { output: Some(950), ..Limits::default() });
        let limit = limit.responding(90, set);
        let then = limit.respond.as_ref().unwrap().then.as_ref().unwrap();
        let used = |output| Amount { output, ..Amount::ZERO };
        for limit in [&limit, then] {
            let due = due_alerts(limit, used(960), &BTreeSet::from([50]));
            assert_eq!(due.iter().map(|alert| alert.threshold).collect::<Vec<_>>(), [90]);
            let alert = due.first().unwrap();
            assert_eq!((alert.limit.as_str(), alert.used.as_str()), ("1000", "960"));
            let response = AlertResponse { item: "costCenter#c".into(), before: limits, reaction: set };
            assert_eq!(alert.response, Some(response));
            assert_eq!(due_alerts(limit, used(1_000), &BTreeSet::from([50, 90])).first().unwrap().response, None);
        }
    }

    #[test]
    fn a_watch_is_read_back_as_it_was_written() {
        let limits = Limits { output: Some(5_000), usd: Some(Usd::from_picodollars(7)), ..Limits::default() };
        let month = Watch {
            alert_at: BTreeSet::from([80, 100]),
            limits,
            resets_at: "2026-12-01T00:00:00Z".parse().ok(),
            window: "2026-11".into(),
            respond: None,
        };
        assert_eq!(month.to_string(), "80,100 - 5000 7 - - 1796083200 2026-11");
        // No window has a name with a space today.
        let endless = Watch { resets_at: None, window: "2026 to 2027".into(), ..month.clone() };
        let responding = |reaction| {
            let response = AlertResponse { item: "team#50 %, all".into(), before: limits, reaction };
            Watch { respond: Some((80, response)), ..month.clone() }
        };
        let set = responding(Reaction::Set(Limits { usd: Some(Usd::from_picodollars(3)), ..Limits::default() }));
        assert!(set.to_string().starts_with("80=-/-/3/-/-@team#50%20%25%2C%20all,100 - 5000"), "{set}");
        let fallback = responding(Reaction::Action(Action::Fallback));
        for watch in [month, endless, set, fallback] {
            assert_eq!(watch.to_string().parse(), Ok(watch));
        }
        for text in [
            "",
            "80",
            "x - - - - - - total",
            "80 - - - - - total",
            "80 -1 - - - - - total",
            "80=1@a - - - - - - total",
            "80=fallback - - - - - - total",
        ] {
            assert_eq!(text.parse::<Watch>(), Err(NoWatch), "{text}");
        }
    }
}
