//! Which holds are settled, and when a run looks twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{self, S};
use aws_sdk_dynamodb::types::error::InternalServerError;
use aws_smithy_mocks::{MockResponseInterceptor, Rule, RuleMode, create_mock_http_client, mock};
use chrono::DateTime;
use sentry_lambda::offline_config;
use sentry_ledger::Ledger;

use crate::sweep;

const NOW: i64 = 1_795_262_400_000;

fn ledger(rules: &[&Rule]) -> Ledger {
    let interceptor = MockResponseInterceptor::new().rule_mode(RuleMode::MatchAny);
    let interceptor = rules.iter().fold(interceptor, |all, rule| all.with_rule(rule));
    let config = aws_sdk_dynamodb::config::Builder::from(&offline_config(create_mock_http_client()));
    Ledger::new(Client::from_conf(config.interceptor(interceptor).build()), "ledger".into(), String::new())
}

/// The table's answers, pages of one scan or scans of one page: in each the expiries of the holds of one item.
fn scan(pages: &'static [&'static [i64]], chained: bool) -> Rule {
    let page = move |number: usize| {
        let hold = |(place, expires): (usize, &i64)| {
            (format!("h#r{place}"), S(format!("10 20 0 {} {expires} run", expires - 360_000)))
        };
        let mut item: HashMap<String, AttributeValue> = pages[number].iter().enumerate().map(hold).collect();
        item.extend(
            [("scope", format!("model#{number}")), ("window", "2026-11".into())]
                .map(|(name, text)| (name.to_owned(), S(text))),
        );
        let next =
            (chained && number + 1 < pages.len()).then(|| HashMap::from([("scope".to_owned(), S(number.to_string()))]));
        ScanOutput::builder().items(item).set_last_evaluated_key(next).build()
    };
    let mut rule = mock!(Client::scan).sequence();
    for number in 0..pages.len() {
        rule = rule.output(move || page(number));
    }
    rule.build()
}

fn settles() -> Rule {
    mock!(Client::update_item).then_output(|| UpdateItemOutput::builder().build())
}

#[tokio::test]
async fn expired_holds_of_every_page_are_settled_and_the_others_left() {
    let (scan, update) = (scan(&[&[NOW - 1, NOW + 40_000], &[NOW], &[NOW + 31_000]], true), settles());
    let report = sweep(&ledger(&[&scan, &update]), || DateTime::from_timestamp_millis(NOW).unwrap()).await.unwrap();
    assert_eq!((report.settled, update.num_calls()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_expires_soon_is_not_left_for_the_next_run() {
    let (scan, update) = (scan(&[&[NOW + 29_000], &[NOW + 29_000]], false), settles());
    let clock = AtomicI64::new(NOW);
    let now = || DateTime::from_timestamp_millis(clock.fetch_add(20_000, Ordering::Relaxed)).unwrap();
    let report = sweep(&ledger(&[&scan, &update]), now).await.unwrap();
    assert_eq!(report.settled, 1);
}

#[tokio::test]
async fn what_cannot_be_settled_fails_the_run_after_everything_else_is_done() {
    let scan = scan(&[&[NOW - 1], &[NOW - 2]], true);
    let broken = mock!(Client::update_item)
        .match_requests(|update| update.key().unwrap()["scope"] == S("model#0".into()))
        .then_error(|| UpdateItemError::InternalServerError(InternalServerError::builder().build()));
    let update = settles();
    let failure =
        sweep(&ledger(&[&scan, &broken, &update]), || DateTime::from_timestamp_millis(NOW).unwrap()).await.unwrap_err();
    assert_eq!(failure.name(), "LedgerUnavailable");
    assert_eq!(update.num_calls(), 1);
    let unreadable =
        mock!(Client::scan).then_error(|| ScanError::InternalServerError(InternalServerError::builder().build()));
    assert!(sweep(&ledger(&[&unreadable]), || DateTime::from_timestamp_millis(NOW).unwrap()).await.is_err());
}
