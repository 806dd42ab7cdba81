//! Changes of items in memory.

use super::super::change::{as_text, differences};
use super::*;

fn item(text: &str) -> Item {
    file::parse_item(text, None).unwrap().item
}

fn args(given: &[&str]) -> SetArgs {
    use clap::Parser;
    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: SetArgs,
    }
    Only::parse_from(["set", "costCenter#a"].iter().chain(given)).args
}

fn set(before: Option<&str>, given: &[&str]) -> String {
    let before = before.map(item);
    let after = edited("costCenter#a", before.as_ref(), &args(given)).unwrap();
    valid("costCenter#a", &after).unwrap();
    as_text(&differences(before.as_ref(), Some(&after)))
}

fn refused(before: Option<&str>, given: &[&str]) -> String {
    let before = before.map(item);
    edited("costCenter#a", before.as_ref(), &args(given)).unwrap_err().to_string()
}

#[test]
fn a_limit_is_set_in_its_window() {
    let short = "{modelId: costCenter#a, limit: {usd: 5, output: 7}, alertAt: [80]}";
    let long = "{modelId: costCenter#a, limits: [{window: day, limit: {usd: 5}}, {limit: {usd: 50}}]}";
    assert_eq!(set(None, &["--limit", "usd=500.10"]), "month.limit.usd: 500.10 added");
    assert_eq!(
        set(Some(short), &["--limit", "usd=6,output=none", "--note", "x"]),
        "month.limit.output: 7 removed; month.limit.usd: 5 -> 6; note: x added"
    );
    assert_eq!(set(Some(short), &["--limit", "usd=1", "--window", "day"]), "day.limit.usd: 1 added");
    assert_eq!(set(Some(long), &["--limit", "usd=60"]), "month.limit.usd: 50 -> 60");
    assert_eq!(
        set(Some(long), &["--limit", "usd=6", "--window", "day", "--alert-at", "50,80"]),
        "day.alertAt: [50, 80] added; day.limit.usd: 5 -> 6"
    );
    assert_eq!(set(Some(long), &["--owner", "jo"]), "owner: jo added");
    let day = "{modelId: costCenter#a, window: day, limit: {usd: 5}}";
    assert_eq!(set(Some(day), &["--limit", "usd=6"]), "day.limit.usd: 5 -> 6", "the only window is meant");
}

#[test]
fn a_value_that_cannot_be_set_is_refused() {
    for (given, part) in [
        (&["--limit", "usd"][..], "no amount"),
        (&["--limit", "euro=5"], "no unit"),
        (&["--limit", "usd=much"], "no number"),
        (&["--limit", "usd=1,usd=2"], "twice"),
        (&["--alert-at", "x", "--limit", "usd=1"], "no number"),
        (&[], "say what to set"),
    ] {
        let message = refused(None, given);
        assert!(message.contains(part), "{given:?}: {message}");
    }
    let periods = "{modelId: costCenter#a, limits: [{window: day, limit: {usd: 5}, until: \"2026-11-01T00:00:00Z\"}, {window: day, limit: {usd: 6}, from: \"2026-11-01T00:00:00Z\"}]}";
    assert!(refused(Some(periods), &["--limit", "usd=7", "--window", "day"]).contains("several"));
}

#[test]
fn an_item_that_only_stops_goes_when_its_scope_is_resumed() {
    assert_eq!(resumed(&item("{modelId: a, stopped: audit, note: x}")), None);
    assert_eq!(
        resumed(&item("{modelId: a, stopped: audit, limit: {usd: 1}}")),
        Some(item("{modelId: a, limit: {usd: 1}}"))
    );
}

#[test]
fn a_raise_goes_into_the_window_that_limits_the_unit() {
    let raise = |text: &str, window: Option<&str>, amount: &str| {
        let before = item(text);
        let units = [(Unit::Usd, amount.to_owned())];
        raised("costCenter#a", &before, &units, "2999-01-01T00:00:00Z", window)
            .map(|after| as_text(&differences(Some(&before), Some(&after))))
            .map_err(|failure| failure.to_string())
    };
    let short = "{modelId: costCenter#a, limit: {usd: 500}}";
    let long = "{modelId: costCenter#a, limits: [{window: day, limit: {usd: 5}}, {window: month, limit: {usd: 50}}, {window: hour, limit: {output: 7}}]}";
    assert_eq!(
        raise(short, None, "800").unwrap(),
        "month.raise.limit.usd: 800 added; month.raise.until: 2999-01-01T00:00:00Z added"
    );
    assert_eq!(
        raise(long, Some("month"), "80").unwrap(),
        "month.raise.limit.usd: 80 added; month.raise.until: 2999-01-01T00:00:00Z added"
    );
    assert!(raise(long, None, "80").unwrap_err().contains("day, month"));
    assert!(raise(long, Some("hour"), "80").unwrap_err().contains("nothing to raise"));
    assert!(raise(short, None, "500").unwrap_err().contains("not higher"));
    assert!(raise(short, None, "-1").unwrap_err().contains("would be invalid"));
}

#[test]
fn the_items_written_before_a_failure_are_named() {
    let change = |key: &str| Change { key: key.to_owned(), before: None, after: None };
    let failure = partly(&[change("a"), change("b"), change("c")], 1, Failure::Conflict("b changed".to_owned()));
    assert_eq!(failure.to_string(), "b changed. Written: a. Not written: b, c");
    assert!(matches!(failure, Failure::Conflict(_)));
}
