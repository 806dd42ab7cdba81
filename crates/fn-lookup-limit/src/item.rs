//! Parses an administrator's item. An item with any part that is not understood is malformed.

mod map;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{Action, Enforcement, Limits, Reaction, Remedy, Unit, Usd, Window, WindowKind};
use thiserror::Error;

use self::map::{Fault, Map};

/// An item of the limits table.
pub type Item = HashMap<String, AttributeValue>;

/// The key attribute of the limits table.
pub const KEY: &str = "modelId";
/// The attribute with the entries of an item that has several.
const LIMITS: &str = "limits";
/// The settings that every item can have beside its key.
const SETTINGS: [&str; 6] = ["perRequest", "enforce", "stopped", "shared", "shards", "whenExceeded"];
/// The settings beside `limits` that its entries inherit. An entry can set its own.
const INHERITED: [&str; 2] = ["timeZone", "alertAt"];
/// The settings of an entry of `limits`. An item in the short form has these settings itself.
const ENTRY: [&str; 8] = ["limit", "window", "timeZone", "alertAt", "respond", "from", "until", "raise"];
/// The names of all attributes that an item can have beside its key, except for an administrator's own notes.
pub fn attributes() -> impl Iterator<Item = &'static str> {
    [LIMITS].into_iter().chain(ENTRY).chain(SETTINGS).chain(map::NOTES)
}

/// The units that `limit` can limit.
const UNITS: [Unit; 5] = Unit::ALL;
/// The units that `perRequest` can limit.
const UNITS_OF_A_REQUEST: [Unit; 3] = [Unit::Input, Unit::Output, Unit::Usd];
/// The units that an automated response can lower. Requests in flight belong to no window.
const UNITS_OF_A_RESPONSE: [Unit; 4] = [Unit::Input, Unit::Output, Unit::Usd, Unit::Requests];
/// Largest limit on a count. Numbers in a state machine are floats, which are exact up to 2^53.
const MOST_COUNT: u64 = 1 << 53;
/// Maximum number of items that a scope is spread over.
const MOST_SHARDS: u64 = 256;
/// Maximum number of entries of `limits`.
pub const MOST_ENTRIES: usize = 4;

/// The settings of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// One entry for each window. Empty only if the item does nothing but stop its scope.
    pub entries: Vec<Entry>,
    /// The most that one request may hold.
    pub per_request: Limits,
    /// The effect on a request that does not fit: deny it, or only observe.
    pub enforce: Enforcement,
    /// The reason why nothing is admitted, if the scope is stopped.
    pub stopped: Option<String>,
    /// `true` if all values without their own item share one budget.
    pub shared: bool,
    /// Minimum number of items that the scope is spread over, from 1 to 256.
    pub shards: u16,
    /// The remedies for a request that does not fit, in the administrator's order.
    pub when_exceeded: Vec<Remedy>,
}

/// A limit, and the time in which it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    span: Span,
    zone: Tz,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    /// At least one unit is limited.
    limits: Limits,
    raise: Option<Raise>,
    /// Percentages of a limit, ascending.
    alert_at: Vec<u8>,
    /// The automated response, and the percentage that sets it.
    respond: Option<(u8, Reaction)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    /// Windows of this kind, one after the other.
    Calendar(WindowKind),
    /// The time from `from` until `until`.
    Period,
}

/// Higher limits that end at `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raise {
    limits: Limits,
    until: DateTime<Utc>,
}

/// An entry that is in force, with its window at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The window that contains the moment.
    pub window: Window,
    /// At least one unit is limited. Only the window of requests in flight limits `in_flight`.
    pub limits: Limits,
    /// Percentages of a limit, ascending.
    pub alert_at: Vec<u8>,
    /// The automated response, and the percentage that sets it.
    pub respond: Option<(u8, Reaction)>,
}

/// The part of an item that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "The limits item {key} is invalid, so every request that it limits is denied: {field} {problem}. Correct the item; the next request reads it."
)]
pub struct InvalidItem {
    key: String,
    field: String,
    problem: String,
}

impl InvalidItem {
    /// The path of the field, such as `limits[1].limit.usd`. Empty for the item as a whole.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The problem: the rest of a sentence whose subject is the field.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl From<InvalidItem> for ErrorBody {
    fn from(malformed: InvalidItem) -> Self {
        Self::new(ErrorCode::LimitMalformed, malformed.to_string())
            .with("item", malformed.key)
            .with("field", malformed.field)
    }
}

/// Parses the item that was found under `key`. `of_all_values` is `true` for a fallback item that applies to all values
/// of a scope.
pub fn parse(key: &str, item: &Item, of_all_values: bool) -> Result<Settings, InvalidItem> {
    settings(item, of_all_values).map_err(|Fault { field, problem }| InvalidItem {
        key: key.to_owned(),
        field,
        problem,
    })
}

impl Settings {
    /// The windows that are in force at `now`, in the item's order, including the window of requests in flight.
    pub fn in_force(&self, now: DateTime<Utc>) -> Vec<InForce> {
        self.entries.iter().filter(|entry| entry.is_in_force(now)).flat_map(|entry| entry.windows(now)).collect()
    }
}

impl Settings {
    /// The end of the last entry. `None` if there is no entry, or if one of them does not end.
    pub fn last_end(&self) -> Option<DateTime<Utc>> {
        let ends: Option<Vec<_>> = self.entries.iter().map(|entry| entry.until).collect();
        ends?.into_iter().max()
    }
}

impl Entry {
    /// The window at `now`: such as `month`, or `from 2026-12-01T00:00:00Z until …` for a period.
    pub fn window_text(&self) -> String {
        let of = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let from = self.from.map(|from| format!("from {}", of(from)));
        let until = self.until.map(|until| format!("until {}", of(until)));
        let kind = match self.span {
            Span::Calendar(kind) => Some(format!("{kind:?}").to_lowercase()),
            Span::Period => None,
        };
        [kind, from, until].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// The limits without a raise.
    pub const fn own_limits(&self) -> Limits {
        self.limits
    }

    /// The limits of the raise that is in force at `now`, and its end.
    pub fn raised(&self, now: DateTime<Utc>) -> Option<(Limits, DateTime<Utc>)> {
        self.raise.filter(|raise| now < raise.until).map(|raise| (self.limits.raised_to(&raise.limits), raise.until))
    }

    /// `true` if the limit applies at `now`.
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    fn windows(&self, now: DateTime<Utc>) -> impl Iterator<Item = InForce> {
        let raise = self.raise.filter(|raise| now < raise.until);
        let limits = raise.map_or(self.limits, |raise| self.limits.raised_to(&raise.limits));
        let window = match (self.span, self.from) {
            (Span::Calendar(kind), _) => Window::containing(kind, self.zone, now),
            (Span::Period, from) => Window::period(from.unwrap_or(now), self.until),
        };
        let in_window = Limits { in_flight: None, ..limits };
        let in_flight = Limits { in_flight: limits.in_flight, ..Limits::default() };
        let alert_at = self.alert_at.clone();
        // Requests in flight are never spent, so they reach no alert threshold and set no response.
        let of_moment = InForce { window: Window::in_flight(), limits: in_flight, alert_at: Vec::new(), respond: None };
        let all = [InForce { window, limits: in_window, alert_at, respond: self.respond }, of_moment];
        all.into_iter().filter(|window| !window.limits.is_empty())
    }

    /// `true` if there is a moment at which both entries are in force.
    fn meets(&self, other: &Self) -> bool {
        let before = |until: Option<DateTime<Utc>>, from: Option<DateTime<Utc>>| match (until, from) {
            (Some(until), Some(from)) => until <= from,
            _ => false,
        };
        !before(self.until, other.from) && !before(other.until, self.from)
    }

    /// `true` if both entries are in force at the same time with the same kind of window, or are the same period.
    fn repeats(&self, other: &Self) -> bool {
        match (self.span, other.span) {
            (Span::Calendar(one), Span::Calendar(two)) => one == two && self.meets(other),
            (Span::Period, Span::Period) => self.from == other.from && self.until == other.until,
            _ => false,
        }
    }
}

fn settings(item: &Item, of_all_values: bool) -> Result<Settings, Fault> {
    let item = Map::root(item);
    item.only(&[&[KEY, LIMITS], ENTRY.as_slice(), SETTINGS.as_slice()].concat(), "is no setting of a limit")?;
    let stopped = item.get("stopped").map(|value| value.text("why nothing is allowed")).transpose()?;
    let shared = item.get("shared").map(|value| value.flag()).transpose()?.unwrap_or_default();
    if shared && !of_all_values {
        let problem = "is for items whose key ends in #default, which are for all values; this one is for one value";
        return Err(item.fault("shared", problem));
    }
    Ok(Settings {
        entries: entries(&item, stopped.is_some())?,
        per_request: item
            .get("perRequest")
            .map(|value| limits(&value.map(EXAMPLE_OF_A_REQUEST)?, &UNITS_OF_A_REQUEST))
            .transpose()?
            .unwrap_or_default(),
        enforce: item
            .get("enforce")
            .map(|value| value.one_of(&[("deny", Enforcement::Deny), ("observe", Enforcement::Observe)]))
            .transpose()?
            .unwrap_or_default(),
        stopped,
        shared,
        shards: item
            .get("shards")
            .map(|value| value.count(1, MOST_SHARDS))
            .transpose()?
            .and_then(|shards| u16::try_from(shards).ok())
            .unwrap_or(1),
        when_exceeded: when_exceeded(&item)?,
    })
}

const EXAMPLE: &str = "{\"input\": 1000000, \"output\": 3000000}";
const EXAMPLE_OF_A_RESPONSE: &str = "{\"at\": 90, \"set\": {\"output\": 1000}}";
const EXAMPLE_OF_A_REQUEST: &str = "{\"output\": 4000, \"usd\": 0.5}";

/// The entries of `limits`, or the single entry of the short form. A `stopped` item needs none.
fn entries(item: &Map<'_>, stopped: bool) -> Result<Vec<Entry>, Fault> {
    let Some(list) = item.get(LIMITS) else {
        let nothing = ENTRY.iter().all(|name| item.get(name).is_none());
        return if stopped && nothing { Ok(Vec::new()) } else { Ok(vec![entry(item, None)?]) };
    };
    let own = ENTRY.iter().find(|name| !INHERITED.contains(name) && item.get(name).is_some());
    if let Some(name) = own {
        let problem = if *name == "limit" {
            "stands beside limits; give one of the two"
        } else {
            "belongs into an entry of limits, since limits is given"
        };
        return Err(item.fault(name, problem));
    }
    let values = list.list("windows, such as [{\"window\": \"month\", \"limit\": {\"usd\": 500}}]")?;
    if values.len() > MOST_ENTRIES {
        return Err(list.fault(format!("has {} windows; at most {MOST_ENTRIES} are possible", values.len())));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(values.len());
    for value in values {
        let map = value.map("{\"window\": \"month\", \"limit\": {\"usd\": 500}}")?;
        map.only(&ENTRY, "is no setting of a window")?;
        let entry = entry(&map, Some(item))?;
        if entries.iter().any(|other| other.repeats(&entry)) {
            let name = if map.get("window").is_some() || entry.from.is_none() { "window" } else { "from" };
            return Err(map.fault(name, "is the window of an earlier entry too; give each window one limit"));
        }
        if entry.limits.in_flight.is_some() && entries.iter().any(|other| other.limits.in_flight.is_some()) {
            return Err(map.fault(
                "limit.inFlight",
                "is given twice; it counts the requests of the moment and has no window, so give it once",
            ));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// An entry of `limits`, or an item in the short form. A missing `timeZone` or `alertAt` is taken from `item`, if that
/// is a different map.
fn entry(map: &Map<'_>, item: Option<&Map<'_>>) -> Result<Entry, Fault> {
    let inherited = |name| map.get(name).or_else(|| item.and_then(|item| item.get(name)));
    let limit = map.get("limit").ok_or_else(|| map.fault("limit", "is missing"))?;
    let entry_limits = limits(&limit.map(EXAMPLE)?, &UNITS)?;
    let (from, until) = (instant(map, "from")?, instant(map, "until")?);
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        return Err(map.fault("until", "is not after from"));
    }
    let span = match map.get("window") {
        Some(window) => Span::Calendar(window.named("one of the strings minute, hour, day, week, month and total")?),
        None if from.is_some() => Span::Period,
        None if until.is_some() => {
            let problem = "is missing, because until alone has no beginning; give from for a period, or window for windows that end at until";
            return Err(map.fault("from", problem));
        }
        None => Span::Calendar(WindowKind::default()),
    };
    let zone = inherited("timeZone").map(|zone| zone.named("the name of an IANA time zone, such as Europe/Paris"));
    let alert_at = inherited("alertAt").map(|list| alert_at(&list)).transpose()?.unwrap_or_default();
    let raise = map.get("raise").map(|value| {
        raise(&value.map("{\"limit\": {\"usd\": 800}, \"until\": \"2026-12-01T00:00:00Z\"}")?, &entry_limits)
    });
    let respond = map.get("respond").map(|value| respond(&value.map(EXAMPLE_OF_A_RESPONSE)?, &entry_limits));
    Ok(Entry {
        span,
        zone: zone.transpose()?.unwrap_or(Tz::UTC),
        from,
        until,
        limits: entry_limits,
        raise: raise.transpose()?,
        alert_at,
        respond: respond.transpose()?,
    })
}

/// Parses an automated response to `limited`, the limits of the entry.
fn respond(map: &Map<'_>, limited: &Limits) -> Result<(u8, Reaction), Fault> {
    map.only(&["at", "set", "action"], "is no setting of a response")?;
    let at = map.get("at").ok_or_else(|| map.fault("at", "is missing: the percentage that sets the response"))?;
    let at = u8::try_from(at.count(1, 100)?).map_err(|_| at.fault("must be a whole number from 1 to 100"))?;
    let reaction = match (map.get("set"), map.get("action")) {
        (Some(set), None) => Reaction::Set(lowered(&set.map(EXAMPLE)?, limited)?),
        (None, Some(action)) => Reaction::Action(action.one_of(&[("fallback", Action::Fallback)])?),
        _ => return Err(map.itself("must have one of set and action".to_owned())),
    };
    Ok((at, reaction))
}

/// Parses limits that are lower than `limited`, and limit nothing else.
fn lowered(map: &Map<'_>, limited: &Limits) -> Result<Limits, Fault> {
    let set = limits(map, &UNITS_OF_A_RESPONSE)?;
    for (unit, most) in set.iter() {
        match limited.get(unit) {
            None => return Err(map.fault(unit.name(), "is not limited, so it cannot be lowered")),
            Some(limit) if most >= limit => return Err(map.fault(unit.name(), "is not lower than the limit")),
            Some(_) => {}
        }
    }
    Ok(set)
}

fn raise(map: &Map<'_>, raised: &Limits) -> Result<Raise, Fault> {
    map.only(&["limit", "until"], "is no setting of a raise")?;
    let limit = map.get("limit").ok_or_else(|| map.fault("limit", "is missing"))?;
    let limits = limits(&limit.map(EXAMPLE)?, &UNITS)?;
    if let Some((unit, _)) = limits.iter().find(|(unit, _)| raised.get(*unit).is_none()) {
        return Err(map.fault(&format!("limit.{}", unit.name()), "is not limited, so it cannot be raised"));
    }
    let until = instant(map, "until")?.ok_or_else(|| map.fault("until", "is missing: a raise ends by itself"))?;
    Ok(Raise { limits, until })
}

/// Parses the limits in `map`, which must limit at least one of `units`.
fn limits(map: &Map<'_>, units: &[Unit]) -> Result<Limits, Fault> {
    let names: Vec<&str> = units.iter().map(|unit| unit.name()).collect();
    map.only(&names, "is no kind of limit")?;
    let count = |unit: Unit| map.get(unit.name()).map(|value| value.count(0, MOST_COUNT)).transpose();
    let usd = map.get(Unit::Usd.name()).map(|value| value.dollars()).transpose()?;
    let limits = Limits {
        input: count(Unit::Input)?,
        output: count(Unit::Output)?,
        usd,
        requests: count(Unit::Requests)?,
        in_flight: count(Unit::InFlight)?,
    };
    if limits.is_empty() {
        return Err(map.itself(format!("is empty; set at least one of {}", names.join(", "))));
    }
    Ok(limits)
}

fn instant(map: &Map<'_>, name: &str) -> Result<Option<DateTime<Utc>>, Fault> {
    let Some(value) = map.get(name) else { return Ok(None) };
    let text = value.as_text().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let instant =
        text.ok_or_else(|| value.fault("must be an instant such as 2026-12-01T00:00:00Z, or with an offset"))?;
    Ok(Some(instant.to_utc()))
}

fn alert_at(list: &map::Value<'_>) -> Result<Vec<u8>, Fault> {
    let mut thresholds: Vec<u8> = Vec::new();
    for value in list.list("percentages such as [50, 80, 100]; leave it out for no alerts")? {
        let percent = value.count(1, 100)?;
        let percent = u8::try_from(percent).map_err(|_| value.fault("must be a whole number from 1 to 100"))?;
        if thresholds.contains(&percent) {
            return Err(value.fault("is there twice"));
        }
        thresholds.push(percent);
    }
    thresholds.sort_unstable();
    Ok(thresholds)
}

/// The remedies for a request that does not fit. A set has no order, so its remedies are tried in the order of
/// [`Remedy::ALL`].
fn when_exceeded(item: &Map<'_>) -> Result<Vec<Remedy>, Fault> {
    let Some(list) = item.get("whenExceeded") else { return Ok(Vec::new()) };
    let mut remedies: Vec<Remedy> = Vec::new();
    for value in list.list("remedies such as [\"clamp\", \"fallback\"]; leave it out to deny what does not fit")? {
        let remedy = value.one_of(&Remedy::ALL.map(|remedy| (remedy.name(), remedy)))?;
        if remedies.contains(&remedy) {
            return Err(value.fault("is there twice"));
        }
        remedies.push(remedy);
    }
    if list.is_set() {
        remedies.sort_by_key(|remedy| Remedy::ALL.iter().position(|other| other == remedy));
    }
    Ok(remedies)
}

#[cfg(test)]
mod tests;
