//! Limits on the hold of one request.

use proptest::prelude::*;
use sentry_contract::ErrorCode;
use sentry_contract::request::{Family, PriceSource};
use sentry_domain::{Charges, Price};
use serde_json::{Value, json};

use super::*;

fn price() -> Price {
    serde_json::from_str(r#"{"input": "1", "output": "10"}"#).unwrap()
}

fn model() -> Model {
    let (requested, model_id, model_metric) = ("m".to_owned(), "m".to_owned(), "m".to_owned());
    Model {
        requested,
        model_id,
        model_metric,
        foundation: None,
        family: Family::Nova,
        price: None,
        price_source: PriceSource::Catalogue,
        reasoning: None,
    }
}

fn limit(scope: &str, more: Value) -> ScopeLimit {
    let window = json!({"name": "total", "key": "total", "start": "1970-01-01T00:00:00Z"});
    let mut limit = json!({"scope": scope, "source": "model", "item": "m", "window": window, "limits": {"input": 9}});
    limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(limit).unwrap()
}

fn ask(price: Option<&Price>, given: bool) -> Ask<'_> {
    Ask {
        input_tokens: 400,
        max_tokens: 1_000,
        given,
        has_fallback: false,
        price,
        charges: Charges::default(),
        budgets: Vec::new(),
    }
}

fn judged(ask: &Ask<'_>, limits: &[ScopeLimit]) -> Result<Judged, ErrorBody> {
    judge(ask, &limits.iter().collect::<Vec<_>>(), &model())
}

#[test]
fn the_limit_of_one_request_is_a_bound_in_every_unit() {
    let price = price();
    // 400 tokens at $1 a million, 1,000 at $10: $0.0104.
    let cases = [
        (json!({"input": 400}), None),
        (json!({"input": 399}), Some(("input", json!(400), json!(399)))),
        (json!({"output": 999}), Some(("output", json!(1000), json!(999)))),
        (json!({"usd": "0.0104"}), None),
        (json!({"usd": "0.01"}), Some(("usd", json!("0.0104"), json!("0.01")))),
    ];
    for (most, expected) in cases {
        let judged = judged(&ask(Some(&price), true), &[limit("model#m", json!({"perRequest": most}))]);
        match expected {
            None => assert_eq!(judged.unwrap(), Judged { max_tokens: 1_000, would_deny: Vec::new() }),
            Some((unit, needed, most)) => {
                let error = judged.unwrap_err();
                assert_eq!(error.code, ErrorCode::RequestTooLarge);
                let details =
                    json!({"scope": "model#m", "item": "m", "exceeded": unit, "needed": needed, "limit": most});
                assert_eq!(Value::Object(error.details), details);
            }
        }
    }
}

#[test]
fn max_tokens_that_the_client_left_open_are_lowered_but_not_below_16() {
    let price = price();
    let ask = ask(Some(&price), false);
    let cases = [
        (json!({"output": 300}), Some(300)),
        (json!({"usd": "0.0024"}), Some(200)),
        (json!({"output": 300, "usd": "0.0024"}), Some(200)),
        (json!({"output": 16}), Some(16)),
        (json!({"output": 15}), None),
        (json!({"usd": "0.0004"}), None),
        (json!({"input": 1}), None),
    ];
    for (most, expected) in cases {
        let judged = judged(&ask, &[limit("model#m", json!({"perRequest": most}))]);
        assert_eq!(judged.ok().map(|judged| judged.max_tokens), expected, "{most}");
    }
    let both =
        [limit("a#x", json!({"perRequest": {"output": 300}})), limit("b#x", json!({"perRequest": {"output": 200}}))];
    assert_eq!(judged(&ask, &both).unwrap().max_tokens, 200);
}

#[test]
fn dollars_need_a_price_whatever_they_limit() {
    for (more, field) in
        [(json!({"limits": {"usd": "1"}}), "limit.usd"), (json!({"perRequest": {"usd": "1"}}), "perRequest.usd")]
    {
        let error = judged(&ask(None, true), &[limit("model#m", more.clone())]).unwrap_err();
        assert_eq!((error.code, &error.details["field"]), (ErrorCode::ModelNotPriced, &json!(field)));
        let mut more = more;
        more["enforce"] = json!("observe");
        // Two windows of one scope need one price.
        let observing = [limit("a#x", more.clone()), limit("a#x", more.clone()), limit("b#x", more)];
        let codes: Vec<_> =
            judged(&ask(None, true), &observing).unwrap().would_deny.iter().map(|error| error.code).collect();
        assert_eq!(codes, [ErrorCode::ModelNotPriced; 2]);
    }
}

#[test]
fn a_limit_that_observes_says_what_it_would_deny_and_lowers_nothing() {
    let observing = |most: Value| [limit("model#m", json!({"enforce": "observe", "perRequest": most}))];
    let denied = judged(&ask(None, true), &observing(json!({"output": 300}))).unwrap();
    assert_eq!(denied.would_deny.iter().map(|error| error.code).collect::<Vec<_>>(), [ErrorCode::RequestTooLarge]);
    // The request would have been lowered, not denied.
    let lowered = judged(&ask(None, false), &observing(json!({"output": 300}))).unwrap();
    assert_eq!(lowered, Judged { max_tokens: 1_000, would_deny: Vec::new() });
    assert_eq!(judged(&ask(None, false), &observing(json!({"output": 3}))).unwrap().would_deny.len(), 1);
}

proptest! {
    #[test]
    fn a_request_that_is_judged_to_fit_holds_no_more_than_one_request_may(
        input in 0_u64..600, output in 0_u64..2_000, cents in 0_u64..40, given: bool,
    ) {
        let (price, usd) = (price(), format!("0.000{cents:02}"));
        let ask = ask(Some(&price), given);
        let limits = [limit("model#m", json!({"perRequest": {"input": input, "output": output, "usd": usd}}))];
        if let Ok(Judged { max_tokens, would_deny }) = judged(&ask, &limits) {
            let hold = ask.hold(max_tokens);
            let limits = &limits.first().unwrap().per_request;
            prop_assert!(limits.iter().all(|(unit, most)| hold.get(unit) <= most));
            prop_assert!(would_deny.is_empty() && max_tokens <= ask.max_tokens);
            prop_assert!(!given || max_tokens == ask.max_tokens);
        }
    }
}
