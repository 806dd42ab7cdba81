//! Items that admins write, right and wrong.

use aws_sdk_dynamodb::types::AttributeValue::{self, Bool, L, M, N, Null, S};
use chrono_tz::Tz;
use proptest::prelude::*;
use sentry_contract::ErrorBody;
use sentry_contract::states::Remedy;
use sentry_domain::{Limits, Usd, WindowKind};

use super::{Item, Settings, parse};

fn number(text: &str) -> AttributeValue {
    N(text.to_owned())
}

fn text(text: &str) -> AttributeValue {
    S(text.to_owned())
}

fn list(numbers: &[&str]) -> AttributeValue {
    L(numbers.iter().map(|text| number(text)).collect())
}

fn limit(unit: &str, value: AttributeValue) -> Item {
    let limit = M([(unit.to_owned(), value)].into());
    [("modelId".to_owned(), text("p1")), ("limit".to_owned(), limit)].into()
}

/// A good item with one more setting.
fn with(name: &str, value: AttributeValue) -> Item {
    let mut item = limit("input", number("5"));
    item.insert(name.to_owned(), value);
    item
}

fn refused_field(item: &Item) -> String {
    let refusal = ErrorBody::from(parse("p1", item).unwrap_err());
    assert_eq!(refusal.code.name(), "LimitMalformed");
    assert_eq!(refusal.details["item"], "p1");
    let field = refusal.details["field"].as_str().unwrap().to_owned();
    assert!(refusal.message.contains(&field), "{}", refusal.message);
    field
}

#[test]
fn an_item_with_a_limit_alone_has_a_month_in_utc_no_alerts_and_no_shards() {
    let limits = Limits { input: Some(5), ..Limits::default() };
    let (alert_at, when_exceeded) = (Vec::new(), Vec::new());
    let expected = Settings { limits, window: WindowKind::Month, zone: Tz::UTC, alert_at, shards: 1, when_exceeded };
    assert_eq!(parse("p1", &limit("input", number("5"))), Ok(expected));
}

#[test]
fn every_setting_is_read() {
    let units = [("input", "1E+6"), ("output", "0"), ("usd", "1.25E+2")];
    let item = Item::from([
        ("modelId".to_owned(), text("p1")),
        ("limit".to_owned(), M(units.map(|(unit, value)| (unit.to_owned(), number(value))).into())),
        ("window".to_owned(), text("week")),
        ("timeZone".to_owned(), text("Asia/Kathmandu")),
        ("alertAt".to_owned(), list(&["100", "50", "8E+1"])),
        ("shards".to_owned(), number("10")),
        ("whenExceeded".to_owned(), L(vec![text("fallback"), text("clamp")])),
    ]);
    let usd = Usd::from_picodollars(125_000_000_000_000);
    let expected = Settings {
        limits: Limits { input: Some(1_000_000), output: Some(0), usd: Some(usd) },
        window: WindowKind::Week,
        zone: Tz::Asia__Kathmandu,
        alert_at: vec![50, 80, 100],
        shards: 10,
        when_exceeded: vec![Remedy::Fallback, Remedy::Clamp],
    };
    assert_eq!(parse("p1", &item), Ok(expected));
}

#[test]
fn a_limit_that_cannot_be_understood_is_refused_by_its_field() {
    let cases = [
        (limit("input", text("many")), "limit.input"),
        (limit("input", text("5")), "limit.input"),
        (limit("input", number("9007199254740993")), "limit.input"),
        (limit("output", number("-1")), "limit.output"),
        (limit("output", number("1.5")), "limit.output"),
        (limit("output", Null(true)), "limit.output"),
        (limit("inptu", number("1")), "limit.inptu"),
        (limit("usd", text("1.00")), "limit.usd"),
        (limit("usd", number("-0.01")), "limit.usd"),
        (limit("usd", number("0.0000000000001")), "limit.usd"),
        (limit("usd", number("1E-13")), "limit.usd"),
        (limit("usd", number("9007199255")), "limit.usd"),
        (with("limit", M(Item::new())), "limit"),
        (with("limit", text("1000")), "limit"),
        (with("limit", number("1000")), "limit"),
        (Item::from([("modelId".to_owned(), text("p1"))]), "limit"),
    ];
    for (item, field) in cases {
        assert_eq!(refused_field(&item), field, "{item:?}");
    }
}

#[test]
fn a_setting_that_cannot_be_understood_is_refused_by_its_field() {
    let cases = [
        (with("window", text("fortnight")), "window"),
        (with("window", text("Month")), "window"),
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
        (with("alertAt", AttributeValue::Ns(vec!["50".to_owned()])), "alertAt"),
        (with("alertAt", list(&["0"])), "alertAt[0]"),
        (with("alertAt", list(&["50", "101"])), "alertAt[1]"),
        (with("alertAt", list(&["50", "80.5"])), "alertAt[1]"),
        (with("alertAt", list(&["-50"])), "alertAt[0]"),
        (with("alertAt", list(&["50", "80", "5E+1"])), "alertAt[2]"),
        (with("alertAt", L(vec![text("50")])), "alertAt[0]"),
        (with("shards", number("0")), "shards"),
        (with("shards", number("11")), "shards"),
        (with("shards", number("-1")), "shards"),
        (with("shards", number("1.5")), "shards"),
        (with("shards", text("2")), "shards"),
        (with("shards", Bool(true)), "shards"),
        (with("windw", text("month")), "windw"),
        (with("whenExceeded", text("clamp")), "whenExceeded"),
        (with("whenExceeded", L(vec![])), "whenExceeded"),
        (with("whenExceeded", Null(true)), "whenExceeded"),
        (with("whenExceeded", AttributeValue::Ss(vec!["clamp".to_owned()])), "whenExceeded"),
        (with("whenExceeded", L(vec![text("deny")])), "whenExceeded[0]"),
        (with("whenExceeded", L(vec![text("clamp"), text("Fallback")])), "whenExceeded[1]"),
        (with("whenExceeded", L(vec![text("clamp"), text("fallback"), text("clamp")])), "whenExceeded[2]"),
        (with("whenExceeded", L(vec![number("1")])), "whenExceeded[0]"),
    ];
    for (item, field) in cases {
        assert_eq!(refused_field(&item), field, "{item:?}");
    }
}

#[test]
fn an_item_with_several_faults_is_refused_alike_every_time() {
    let mut item = with("windw", text("month"));
    item.insert("alertsAt".to_owned(), text("x"));
    assert_eq!(refused_field(&item), "alertsAt");
}

proptest! {
    #[test]
    fn an_item_is_understood_in_every_setting_or_refused(
        threshold in 0_u32..200,
        shards in 0_u32..20,
        tokens in "[-0-9.E+]{1,6}",
        window in "[a-z]{1,5}|hour|day|week|month",
    ) {
        let mut item = limit("input", number(&tokens));
        item.insert("alertAt".to_owned(), list(&[&threshold.to_string()]));
        item.insert("shards".to_owned(), number(&shards.to_string()));
        item.insert("window".to_owned(), text(&window));
        if let Ok(settings) = parse("p1", &item) {
            prop_assert!(settings.limits.input.is_some());
            prop_assert_eq!(settings.alert_at, vec![u8::try_from(threshold).unwrap()]);
            prop_assert!((1..=100).contains(&threshold));
            prop_assert_eq!(u32::from(settings.shards), shards);
            prop_assert!((1..=10).contains(&shards));
            prop_assert!(["hour", "day", "week", "month"].contains(&window.as_str()));
        }
    }
}
