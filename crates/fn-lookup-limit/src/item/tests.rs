//! Items as administrators write them, valid and malformed.

use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, L, M, N, Null, S};
use chrono_tz::Tz;
use proptest::prelude::*;
use sentry_contract::ErrorBody;
use sentry_domain::{Action, Enforcement, Limits, Reaction, Remedy, Usd, WindowKind};
use test_support::at;

use super::{Entry, Item, Settings, Span};

const NOON: &str = "2026-11-21T12:00:00Z";

fn parse(key: &str, item: &Item) -> Result<Settings, super::InvalidItem> {
    super::parse(key, item, key.ends_with("#default"))
}

fn number(text: &str) -> AttributeValue {
    N(text.to_owned())
}

fn text(text: &str) -> AttributeValue {
    S(text.to_owned())
}

fn list(numbers: &[&str]) -> AttributeValue {
    L(numbers.iter().map(|text| number(text)).collect())
}

fn map<const N: usize>(fields: [(&str, AttributeValue); N]) -> AttributeValue {
    M(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn limit(unit: &str, value: AttributeValue) -> Item {
    [("modelId".to_owned(), text("p1")), ("limit".to_owned(), map([(unit, value)]))].into()
}

/// A valid item with one more setting.
fn with(name: &str, value: AttributeValue) -> Item {
    let mut item = limit("input", number("5"));
    item.insert(name.to_owned(), value);
    item
}

/// An item with several windows.
fn windows<const N: usize>(entries: [AttributeValue; N]) -> Item {
    [("modelId".to_owned(), text("p1")), ("limits".to_owned(), L(entries.into()))].into()
}

/// A window with a limit on output.
fn window(name: &str, output: &str) -> AttributeValue {
    map([("window", text(name)), ("limit", map([("output", number(output))]))])
}

/// An item with two windows, the second of which has one more field.
fn window_with(name: &str, value: AttributeValue) -> Item {
    windows([window("day", "5"), map([("limit", map([("output", number("5"))])), (name, value)])])
}

fn malformed_field(item: &Item) -> String {
    let malformed = ErrorBody::from(parse("p1", item).unwrap_err());
    assert_eq!(malformed.code.name(), "LimitMalformed");
    assert_eq!(malformed.details["item"], "p1");
    let field = malformed.details["field"].as_str().unwrap().to_owned();
    assert!(malformed.message.contains(&field), "{}", malformed.message);
    field
}

fn entry(span: Span, limits: Limits) -> Entry {
    Entry { span, zone: Tz::UTC, from: None, until: None, limits, raise: None, alert_at: Vec::new(), respond: None }
}

/// Name and limits of every window that is in force.
fn in_force(item: &Item, now: &str) -> Vec<(String, Limits)> {
    let windows = parse("p1", item).unwrap().in_force(at(now));
    windows.into_iter().map(|each| (each.window.name().to_owned(), each.limits)).collect()
}

fn output(limit: u64) -> Limits {
    Limits { output: Some(limit), ..Limits::default() }
}

#[test]
fn an_item_with_a_limit_alone_has_a_month_in_utc_no_alerts_and_no_shards() {
    let limits = Limits { input: Some(5), ..Limits::default() };
    let entries = vec![entry(Span::Calendar(WindowKind::Month), limits)];
    let expected = Settings { entries, shards: 1, ..Settings::default() };
    assert_eq!(parse("p1", &limit("input", number("5"))), Ok(expected));
}

#[test]
fn every_setting_is_read() {
    let units = [("input", "1E+6"), ("output", "0"), ("usd", "1.25E+2"), ("requests", "7"), ("inFlight", "3")];
    let item = Item::from([
        ("modelId".to_owned(), text("team#default")),
        ("limit".to_owned(), map(units.map(|(unit, value)| (unit, number(value))))),
        ("window".to_owned(), text("week")),
        ("timeZone".to_owned(), text("Asia/Kathmandu")),
        ("alertAt".to_owned(), list(&["100", "50", "8E+1"])),
        (
            "respond".to_owned(),
            map([("at", number("90")), ("set", map([("usd", number("100")), ("input", number("0"))]))]),
        ),
        ("from".to_owned(), text("2026-11-01T00:00:00+05:45")),
        ("until".to_owned(), text("2026-12-01T00:00:00.000Z")),
        ("shards".to_owned(), number("256")),
        ("whenExceeded".to_owned(), L(vec![text("fallback"), text("clamp")])),
        ("perRequest".to_owned(), map([("output", number("4000")), ("usd", number("0.5"))])),
        ("enforce".to_owned(), text("observe")),
        ("stopped".to_owned(), text("a leak")),
        ("shared".to_owned(), Bool(true)),
    ]);
    let usd = |dollars: &str| Some(dollars.parse::<Usd>().unwrap());
    let limits =
        Limits { input: Some(1_000_000), output: Some(0), usd: usd("125"), requests: Some(7), in_flight: Some(3) };
    let entry = Entry {
        zone: Tz::Asia__Kathmandu,
        from: Some(at("2026-10-31T18:15:00Z")),
        until: Some(at("2026-12-01T00:00:00Z")),
        alert_at: vec![50, 80, 100],
        respond: Some((90, Reaction::Set(Limits { input: Some(0), usd: usd("100"), ..Limits::default() }))),
        ..entry(Span::Calendar(WindowKind::Week), limits)
    };
    let expected = Settings {
        entries: vec![entry],
        per_request: Limits { output: Some(4000), usd: usd("0.5"), ..Limits::default() },
        enforce: Enforcement::Observe,
        stopped: Some("a leak".to_owned()),
        shared: true,
        shards: 256,
        when_exceeded: vec![Remedy::Fallback, Remedy::Clamp],
    };
    assert_eq!(parse("team#default", &item), Ok(expected));
}

#[test]
fn several_windows_are_read_in_their_order_with_what_the_item_says_for_all_of_them() {
    let mut item = windows([
        map([("window", text("month")), ("limit", map([("usd", number("500"))])), ("alertAt", list(&["80", "100"]))]),
        map([("window", text("day")), ("limit", map([("usd", number("50"))])), ("timeZone", text("UTC"))]),
        map([("window", text("minute")), ("limit", map([("input", number("100000")), ("inFlight", number("2"))]))]),
        map([("window", text("total")), ("limit", map([("requests", number("9"))]))]),
    ]);
    item.insert("timeZone".to_owned(), text("Asia/Tokyo"));
    item.insert("alertAt".to_owned(), list(&["50"]));
    let found = parse("p1", &item).unwrap().in_force(at("2026-11-30T16:05:30Z"));
    let names: Vec<_> = found.iter().map(|each| (each.window.name(), each.alert_at.as_slice())).collect();
    let expected: [(&str, &[u8]); 5] = [
        ("2026-12", &[80, 100]),
        ("2026-11-30", &[50]),
        ("2026-12-01T01:05", &[50]),
        ("inFlight", &[]),
        ("total", &[50]),
    ];
    assert_eq!(names, expected);
    assert!(found.iter().all(|each| each.limits.in_flight.is_none() || each.window.name() == "inFlight"));
}

#[test]
fn a_period_is_a_window_of_its_own_and_an_end_takes_an_entry_out_of_force() {
    let period = |from: &str, until: &str| {
        map([("from", text(from)), ("until", text(until)), ("limit", map([("output", number("5"))]))])
    };
    let item = windows([
        period("2026-11-01T00:00:00Z", "2026-11-21T12:00:00Z"),
        period("2026-11-21T12:00:00Z", "2026-12-01T00:00:00Z"),
    ]);
    assert_eq!(in_force(&item, NOON), [("2026-11-21T12:00:00Z/2026-12-01T00:00:00Z".to_owned(), output(5))]);
    assert_eq!(
        in_force(&item, "2026-11-21T11:59:59Z"),
        [("2026-11-01T00:00:00Z/2026-11-21T12:00:00Z".to_owned(), output(5))]
    );
    assert_eq!(in_force(&item, "2026-12-01T00:00:00Z"), []);
    let until = with("until", text(NOON));
    assert_eq!(malformed_field(&until), "from");
    let mut month = limit("output", number("5"));
    month.insert("until".to_owned(), text(NOON));
    month.insert("window".to_owned(), text("month"));
    assert_eq!(in_force(&month, "2026-11-21T11:59:59Z").len(), 1);
    assert_eq!(in_force(&month, NOON), []);
}

#[test]
fn a_raise_holds_until_it_ends_and_never_lowers() {
    let raise = |output: &str| {
        let mut item = limit("output", number("5"));
        item.insert("raise".to_owned(), map([("limit", map([("output", number(output))])), ("until", text(NOON))]));
        item
    };
    let of = |item: &Item, now: &str| in_force(item, now).first().unwrap().1;
    assert_eq!(of(&raise("8"), "2026-11-21T11:59:59Z"), output(8));
    assert_eq!(of(&raise("8"), NOON), output(5));
    assert_eq!(of(&raise("3"), "2026-11-21T11:59:59Z"), output(5));
}

#[test]
fn a_stopped_scope_needs_no_limit() {
    let item = Item::from([("modelId".to_owned(), text("p1")), ("stopped".to_owned(), text("a leak"))]);
    let settings = parse("p1", &item).unwrap();
    assert_eq!((settings.stopped.as_deref(), settings.entries), (Some("a leak"), Vec::new()));
    let mut half = item;
    half.insert("window".to_owned(), text("day"));
    assert_eq!(malformed_field(&half), "limit");
}

#[test]
fn notes_and_null_are_carried_at_every_level() {
    let mut noted = limit("output", number("5"));
    for name in ["note", "owner", "updatedBy", "updatedAt", "ttl", "_ticket", "aws:rep:updatetime"] {
        noted.insert(name.to_owned(), map([("any", list(&["1"]))]));
    }
    for name in ["window", "timeZone", "alertAt", "whenExceeded", "shards", "limits", "raise", "stopped", "unheardOf"] {
        noted.insert(name.to_owned(), Null(true));
    }
    let inside = map([("output", number("5")), ("note", text("x")), ("usd", Null(true)), ("_x", Bool(false))]);
    noted.insert("limit".to_owned(), inside.clone());
    noted.insert("perRequest".to_owned(), inside.clone());
    noted.insert("raise".to_owned(), map([("limit", inside.clone()), ("until", text(NOON)), ("owner", text("jo"))]));
    assert_eq!(parse("p1", &noted).unwrap().entries.first().unwrap().limits, output(5));
    let list =
        windows([map([("window", text("day")), ("limit", inside), ("updatedAt", number("1")), ("raise", Null(true))])]);
    assert_eq!(in_force(&list, NOON), [("2026-11-21".to_owned(), output(5))]);
}

#[test]
fn a_set_is_a_list() {
    let mut item = limit("output", number("5"));
    item.insert("alertAt".to_owned(), AttributeValue::Ns(vec!["100".to_owned(), "50".to_owned()]));
    item.insert("whenExceeded".to_owned(), AttributeValue::Ss(vec!["fallback".to_owned(), "clamp".to_owned()]));
    let settings = parse("p1", &item).unwrap();
    assert_eq!(settings.entries.first().unwrap().alert_at, [50, 100]);
    // A set has no order of its own.
    assert_eq!(settings.when_exceeded, [Remedy::Clamp, Remedy::Fallback]);
}

#[test]
fn a_limit_that_cannot_be_understood_is_named_by_its_field() {
    let cases = [
        (limit("input", text("many")), "limit.input"),
        (limit("input", text("5")), "limit.input"),
        (limit("input", number("9007199254740993")), "limit.input"),
        (limit("output", number("-1")), "limit.output"),
        (limit("output", number("1.5")), "limit.output"),
        (limit("output", Null(true)), "limit"),
        (limit("inptu", number("1")), "limit.inptu"),
        (limit("usd", text("1.00")), "limit.usd"),
        (limit("usd", number("-0.01")), "limit.usd"),
        (limit("usd", number("9007199255")), "limit.usd"),
        (limit("requests", number("1.5")), "limit.requests"),
        (limit("inFlight", text("2")), "limit.inFlight"),
        (limit("inflight", number("2")), "limit.inflight"),
        (with("limit", M(Item::new())), "limit"),
        (with("limit", text("1000")), "limit"),
        (with("limit", number("1000")), "limit"),
        (with("limit", Null(true)), "limit"),
        (Item::from([("modelId".to_owned(), text("p1"))]), "limit"),
    ];
    for (item, field) in cases {
        assert_eq!(malformed_field(&item), field, "{item:?}");
    }
}

#[test]
fn a_response_is_read_and_belongs_to_its_window() {
    let respond = |at, change: (&'static str, AttributeValue)| map([("at", number(at)), change]);
    let items = windows([
        map([
            ("window", text("day")),
            ("limit", map([("output", number("1000")), ("inFlight", number("2"))])),
            ("respond", respond("90", ("set", map([("output", number("950"))])))),
        ]),
        map([
            ("window", text("month")),
            ("limit", map([("output", number("9000"))])),
            ("respond", respond("100", ("action", text("fallback")))),
        ]),
    ]);
    let found = parse("p1", &items).unwrap().in_force(at("2026-11-21T12:00:00Z"));
    let set = Reaction::Set(output(950));
    let expected = [Some((90, set)), None, Some((100, Reaction::Action(Action::Fallback)))];
    assert_eq!(found.iter().map(|window| window.respond).collect::<Vec<_>>(), expected);
}

#[test]
fn a_response_that_cannot_be_understood_is_named_by_its_path() {
    let item = |fields: &[(&'static str, AttributeValue)]| {
        let mut item = limit("output", number("1000"));
        item.insert(
            "respond".to_owned(),
            M(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()),
        );
        item
    };
    let (at, set) = (("at", number("90")), ("set", map([("output", number("950"))])));
    let fallback = ("action", text("fallback"));
    assert!(parse("p1", &item(&[at.clone(), set.clone()])).is_ok());
    let set_to = |unit, value| ("set", map([(unit, number(value))]));
    let cases = [
        (item(std::slice::from_ref(&at)), "respond"),
        (item(&[at.clone(), set.clone(), fallback.clone()]), "respond"),
        (item(std::slice::from_ref(&set)), "respond.at"),
        (item(&[("at", number("0")), fallback.clone()]), "respond.at"),
        (item(&[("at", number("101")), fallback.clone()]), "respond.at"),
        (item(&[("at", text("90")), fallback.clone()]), "respond.at"),
        (item(&[at.clone(), ("action", text("stop"))]), "respond.action"),
        (item(&[at.clone(), ("set", number("950"))]), "respond.set"),
        (item(&[at.clone(), set_to("output", "1000")]), "respond.set.output"),
        (item(&[at.clone(), set_to("input", "5")]), "respond.set.input"),
        (item(&[at.clone(), set_to("inFlight", "1")]), "respond.set.inFlight"),
        (item(&[at.clone(), fallback.clone(), ("until", text(NOON))]), "respond.until"),
    ];
    for (item, field) in cases {
        assert_eq!(malformed_field(&item), field, "{item:?}");
    }
    let mut beside = windows([window("day", "5")]);
    beside.insert("respond".to_owned(), map([at, fallback]));
    assert_eq!(malformed_field(&beside), "respond");
}

#[test]
fn windows_that_cannot_be_understood_are_named_by_their_path() {
    let raise = |fields: [(&str, AttributeValue); 2]| window_with("raise", map(fields));
    let (more, until) = (("limit", map([("output", number("9"))])), ("until", text(NOON)));
    let in_flight = |name: &str| map([("window", text(name)), ("limit", map([("inFlight", number("2"))]))]);
    let mut both = windows([window("day", "5")]);
    both.insert("limit".to_owned(), map([("output", number("5"))]));
    let mut beside = windows([window("day", "5")]);
    beside.insert("window".to_owned(), text("day"));
    let many = ["minute", "hour", "day", "week", "month"].map(|name| window(name, "5"));
    let cases = [
        (both, "limit"),
        (beside, "window"),
        (windows([]), "limits"),
        (windows(many), "limits"),
        (with("limits", text("x")), "limit"),
        (windows([text("day")]), "limits[0]"),
        (windows([window("day", "5"), window("fortnight", "5")]), "limits[1].window"),
        (windows([window("day", "5"), window("hour", "5"), window("day", "6")]), "limits[2].window"),
        (windows([window("month", "5"), map([("limit", map([("output", number("5"))]))])]), "limits[1].window"),
        (windows([in_flight("day"), in_flight("hour")]), "limits[1].limit.inFlight"),
        (windows([map([("window", text("day"))])]), "limits[0].limit"),
        (windows([window("day", "5"), map([("limit", map([("foo", number("5"))]))])]), "limits[1].limit.foo"),
        (window_with("whenExceeded", L(vec![text("clamp")])), "limits[1].whenExceeded"),
        (window_with("alertAt", list(&["101"])), "limits[1].alertAt[0]"),
        (window_with("timeZone", text("Mars")), "limits[1].timeZone"),
        (window_with("from", text("2026-12-01")), "limits[1].from"),
        (window_with("from", number("1795262400")), "limits[1].from"),
        (window_with("until", text("tomorrow")), "limits[1].until"),
        (window_with("until", text(NOON)), "limits[1].from"),
        (raise([more.clone(), ("until", Null(true))]), "limits[1].raise.until"),
        (raise([("limit", map([("usd", number("9"))])), until.clone()]), "limits[1].raise.limit.usd"),
        (raise([("limits", map([("output", number("9"))])), until.clone()]), "limits[1].raise.limits"),
        (window_with("raise", number("9")), "limits[1].raise"),
        (raise([more, ("until", number("1"))]), "limits[1].raise.until"),
    ];
    for (item, field) in cases {
        assert_eq!(malformed_field(&item), field, "{item:?}");
    }
    let mut backwards = with("from", text(NOON));
    backwards.insert("until".to_owned(), text(NOON));
    assert_eq!(malformed_field(&backwards), "until");
}

#[test]
fn the_same_kind_of_window_may_follow_itself() {
    let bounded =
        |bound: &str| map([("window", text("month")), ("limit", map([("output", number("5"))])), (bound, text(NOON))]);
    assert_eq!(in_force(&windows([bounded("until"), bounded("from")]), NOON).len(), 1);
    assert_eq!(malformed_field(&windows([bounded("until"), window("month", "6")])), "limits[1].window");
    let period = || map([("from", text(NOON)), ("limit", map([("output", number("5"))]))]);
    assert_eq!(malformed_field(&windows([period(), period()])), "limits[1].from");
}

#[test]
fn a_setting_that_cannot_be_understood_is_named_by_its_field() {
    let cases = [
        (with("window", text("fortnight")), "window"),
        (with("window", text("Month")), "window"),
        (with("window", text("inFlight")), "window"),
        (with("window", text("")), "window"),
        (with("window", number("1")), "window"),
        (with("timeZone", text("Europe/Pariss")), "timeZone"),
        (with("timeZone", text("europe/paris")), "timeZone"),
        (with("timeZone", text("+01:00")), "timeZone"),
        (with("timeZone", text("")), "timeZone"),
        (with("timeZone", number("1")), "timeZone"),
        (with("alertAt", list(&[])), "alertAt"),
        (with("alertAt", text("50")), "alertAt"),
        (with("alertAt", number("50")), "alertAt"),
        (with("alertAt", list(&["0"])), "alertAt[0]"),
        (with("alertAt", list(&["50", "101"])), "alertAt[1]"),
        (with("alertAt", list(&["50", "80.5"])), "alertAt[1]"),
        (with("alertAt", list(&["-50"])), "alertAt[0]"),
        (with("alertAt", list(&["50", "80", "5E+1"])), "alertAt[2]"),
        (with("alertAt", L(vec![text("50")])), "alertAt[0]"),
        (with("shards", number("0")), "shards"),
        (with("shards", number("257")), "shards"),
        (with("shards", number("-1")), "shards"),
        (with("shards", number("1.5")), "shards"),
        (with("shards", text("2")), "shards"),
        (with("shards", Bool(true)), "shards"),
        (with("windw", text("month")), "windw"),
        (with("whenExceeded", text("clamp")), "whenExceeded"),
        (with("whenExceeded", L(vec![])), "whenExceeded"),
        (with("whenExceeded", L(vec![text("deny")])), "whenExceeded[0]"),
        (with("whenExceeded", L(vec![text("clamp"), text("Fallback")])), "whenExceeded[1]"),
        (with("whenExceeded", L(vec![text("clamp"), text("fallback"), text("clamp")])), "whenExceeded[2]"),
        (with("whenExceeded", L(vec![number("1")])), "whenExceeded[0]"),
        (with("perRequest", number("1")), "perRequest"),
        (with("perRequest", M(Item::new())), "perRequest"),
        (with("perRequest", map([("requests", number("1"))])), "perRequest.requests"),
        (with("perRequest", map([("usd", text("1"))])), "perRequest.usd"),
        (with("enforce", text("Observe")), "enforce"),
        (with("enforce", Bool(false)), "enforce"),
        (with("stopped", text(" ")), "stopped"),
        (with("stopped", Bool(true)), "stopped"),
        (with("shared", text("true")), "shared"),
        (with("shared", Bool(true)), "shared"),
    ];
    for (item, field) in cases {
        assert_eq!(malformed_field(&item), field, "{item:?}");
    }
}

#[test]
fn an_item_with_several_faults_is_named_alike_every_time() {
    let mut item = with("windw", text("month"));
    item.insert("alertsAt".to_owned(), text("x"));
    assert_eq!(malformed_field(&item), "alertsAt");
}

proptest! {
    #[test]
    fn an_item_is_understood_in_every_setting_or_not_at_all(
        threshold in 0_u32..200,
        shards in 0_u32..300,
        tokens in "[-0-9.E+]{1,6}",
        window in "[a-z]{1,5}|minute|hour|day|week|month|total",
    ) {
        let mut item = limit("input", number(&tokens));
        item.insert("alertAt".to_owned(), list(&[&threshold.to_string()]));
        item.insert("shards".to_owned(), number(&shards.to_string()));
        item.insert("window".to_owned(), text(&window));
        if let Ok(settings) = parse("p1", &item) {
            let entry = settings.entries.first().unwrap();
            prop_assert!(entry.limits.input.is_some());
            prop_assert_eq!(&entry.alert_at, &vec![u8::try_from(threshold).unwrap()]);
            prop_assert!((1..=100).contains(&threshold));
            prop_assert_eq!(u32::from(settings.shards), shards);
            prop_assert!((1..=256).contains(&shards));
            prop_assert!(["minute", "hour", "day", "week", "month", "total"].contains(&window.as_str()));
        }
    }

    #[test]
    fn entries_that_are_in_force_together_have_windows_of_their_own(
        picks in prop::collection::vec((0_usize..7, 0_i64..4, 1_i64..4, any::<bool>()), 1..=4),
        hour in 0_i64..6,
    ) {
        let kinds = ["minute", "hour", "day", "week", "month", "total", ""];
        let day = |offset: i64| text(&format!("2026-06-0{}T00:00:00Z", offset + 1));
        let entries = picks.iter().map(|(kind, from, length, bounded)| {
            let mut entry = Item::from([("limit".to_owned(), map([("output", number("5"))]))]);
            if kinds[*kind].is_empty() || *bounded {
                entry.insert("from".to_owned(), day(*from));
                entry.insert("until".to_owned(), day(from + length));
            }
            if !kinds[*kind].is_empty() {
                entry.insert("window".to_owned(), text(kinds[*kind]));
            }
            M(entry)
        });
        let item = Item::from([("modelId".to_owned(), text("p1")), ("limits".to_owned(), L(entries.collect()))]);
        if let Ok(settings) = parse("p1", &item) {
            // Midnight is the first instant of a minute, an hour and a day. This midnight also begins a week and a
            // month.
            let now = at("2026-06-01T00:00:00Z") + chrono::TimeDelta::hours(hour * 12);
            let found = settings.in_force(now);
            let keys: std::collections::BTreeSet<_> = found.iter().map(|each| each.window.key()).collect();
            prop_assert_eq!(keys.len(), found.len());
        }
    }
}
