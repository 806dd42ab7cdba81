//! An admin's item, understood to the letter or refused by name.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono_tz::Tz;
use sentry_contract::states::Remedy;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{Limits, WindowKind};
use thiserror::Error;

use crate::number::{dollars, whole};

/// A table's item.
pub type Item = HashMap<String, AttributeValue>;

/// The key attribute of the limits table.
pub const KEY: &str = "modelId";
/// What an item may say beside its key.
const SETTINGS: [&str; 6] = ["limit", "window", "timeZone", "alertAt", "shards", "whenExceeded"];
/// What `limit` may limit.
const UNITS: [&str; 3] = ["input", "output", "usd"];
/// Largest limit: numbers in a state machine are floats, exact up to 2^53.
const MOST_TOKENS: u64 = 1 << 53;
/// Most items that a scope is spread over.
const MOST_SHARDS: u64 = 10;

/// What an item says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At least one unit is limited.
    pub limits: Limits,
    /// How long a window is.
    pub window: WindowKind,
    /// Whose calendar it follows.
    pub zone: Tz,
    /// Percentages, ascending.
    pub alert_at: Vec<u8>,
    /// 1 to 10.
    pub shards: u8,
    /// In the admin's order.
    pub when_exceeded: Vec<Remedy>,
}

/// Why an item cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "The limits item {key} cannot be understood, so nothing is allowed: {field} {problem}. Correct the item; the next request sees it."
)]
pub struct Malformed {
    key: String,
    field: String,
    problem: String,
}

impl From<Malformed> for ErrorBody {
    fn from(malformed: Malformed) -> Self {
        Self::new(ErrorCode::LimitMalformed, malformed.to_string())
            .with("item", malformed.key)
            .with("field", malformed.field)
    }
}

/// A field and what is wrong with it.
struct Fault(String, String);

impl Fault {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self(field.into(), problem.into())
    }
}

/// Reads the item that was found under `key`.
pub fn parse(key: &str, item: &Item) -> Result<Settings, Malformed> {
    settings(item).map_err(|Fault(field, problem)| Malformed { key: key.to_owned(), field, problem })
}

fn settings(item: &Item) -> Result<Settings, Fault> {
    if let Some(unknown) = first_unknown(item, |name| name == KEY || SETTINGS.contains(&name)) {
        return Err(Fault::new(unknown, format!("is no setting of a limit; known are {}", SETTINGS.join(", "))));
    }
    Ok(Settings {
        limits: limits(item.get("limit"))?,
        window: window(item.get("window"))?,
        zone: zone(item.get("timeZone"))?,
        alert_at: alert_at(item.get("alertAt"))?,
        shards: shards(item.get("shards"))?,
        when_exceeded: when_exceeded(item.get("whenExceeded"))?,
    })
}

/// The first name by the alphabet that is not known, so that an item with several is refused alike every time.
fn first_unknown(map: &Item, known: impl Fn(&str) -> bool) -> Option<&str> {
    map.keys().map(String::as_str).filter(|name| !known(name)).min()
}

fn limits(value: Option<&AttributeValue>) -> Result<Limits, Fault> {
    let limit = match value {
        Some(AttributeValue::M(limit)) => limit,
        Some(_) => return Err(Fault::new("limit", "must be a map such as {\"input\": 1000000, \"output\": 3000000}")),
        None => return Err(Fault::new("limit", "is missing")),
    };
    if let Some(unknown) = first_unknown(limit, |name| UNITS.contains(&name)) {
        let problem = format!("is no kind of limit; known are {}", UNITS.join(", "));
        return Err(Fault::new(format!("limit.{unknown}"), problem));
    }
    if limit.is_empty() {
        return Err(Fault::new("limit", format!("is empty; set at least one of {}", UNITS.join(", "))));
    }
    let tokens = |unit: &str| {
        let fault = || Fault::new(format!("limit.{unit}"), "must be a whole number of tokens from 0 to 2^53");
        limit.get(unit).map(|value| whole(value, MOST_TOKENS).ok_or_else(fault)).transpose()
    };
    let usd = || {
        Fault::new("limit.usd", "must be a number of dollars (not a string) from 0 to 9007199254, at most 12 decimals")
    };
    Ok(Limits {
        input: tokens("input")?,
        output: tokens("output")?,
        usd: limit.get("usd").map(|value| dollars(value).ok_or_else(usd)).transpose()?,
    })
}

fn window(value: Option<&AttributeValue>) -> Result<WindowKind, Fault> {
    let Some(value) = value else { return Ok(WindowKind::default()) };
    let known = value.as_s().ok().and_then(|text| text.parse().ok());
    known.ok_or_else(|| Fault::new("window", "must be one of the strings hour, day, week and month"))
}

fn zone(value: Option<&AttributeValue>) -> Result<Tz, Fault> {
    let Some(value) = value else { return Ok(Tz::UTC) };
    let known = value.as_s().ok().and_then(|text| text.parse().ok());
    known.ok_or_else(|| Fault::new("timeZone", "must be the name of an IANA time zone, such as Europe/Paris"))
}

fn alert_at(value: Option<&AttributeValue>) -> Result<Vec<u8>, Fault> {
    let list = match value {
        None => return Ok(Vec::new()),
        Some(AttributeValue::L(list)) if !list.is_empty() => list,
        Some(_) => {
            return Err(Fault::new(
                "alertAt",
                "must be a list of percentages such as [50, 80, 100]; leave it out for no alerts",
            ));
        }
    };
    let mut thresholds: Vec<u8> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let fault = |problem: &str| Fault::new(format!("alertAt[{index}]"), problem);
        let percent = small(value, 100).ok_or_else(|| fault("must be a whole number from 1 to 100"))?;
        if thresholds.contains(&percent) {
            return Err(fault("is there twice"));
        }
        thresholds.push(percent);
    }
    thresholds.sort_unstable();
    Ok(thresholds)
}

fn shards(value: Option<&AttributeValue>) -> Result<u8, Fault> {
    let Some(value) = value else { return Ok(1) };
    small(value, MOST_SHARDS)
        .ok_or_else(|| Fault::new("shards", format!("must be a whole number from 1 to {MOST_SHARDS}")))
}

fn when_exceeded(value: Option<&AttributeValue>) -> Result<Vec<Remedy>, Fault> {
    let list = match value {
        None => return Ok(Vec::new()),
        Some(AttributeValue::L(list)) if !list.is_empty() => list,
        Some(_) => {
            return Err(Fault::new(
                "whenExceeded",
                "must be a list such as [\"clamp\", \"fallback\"]; leave it out to deny what does not fit",
            ));
        }
    };
    let mut remedies: Vec<Remedy> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let fault = |problem: &str| Fault::new(format!("whenExceeded[{index}]"), problem);
        let named = |remedy: &Remedy| value.as_s().is_ok_and(|name| name == remedy.name());
        let remedy = Remedy::ALL.into_iter().find(named);
        let remedy = remedy.ok_or_else(|| fault("must be one of the strings clamp and fallback"))?;
        if remedies.contains(&remedy) {
            return Err(fault("is there twice"));
        }
        remedies.push(remedy);
    }
    Ok(remedies)
}

/// A whole number from 1 to `most`.
fn small(value: &AttributeValue, most: u64) -> Option<u8> {
    whole(value, most).filter(|number| *number > 0).and_then(|number| u8::try_from(number).ok())
}

#[cfg(test)]
mod tests;
