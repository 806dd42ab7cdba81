//! An admin's item, understood to the letter or refused by name.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use sentry_contract::answer::LimitSource;
use sentry_contract::states::Limit;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenLimits;
use thiserror::Error;

/// Largest limit: numbers in a state machine are floats, exact up to 2^53.
const MOST_TOKENS: u64 = 1 << 53;

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

/// Reads the item that was found under `key`.
pub fn parse(key: &str, source: LimitSource, item: &HashMap<String, AttributeValue>) -> Result<Limit, Malformed> {
    let malformed =
        |field: &str, problem: &str| Malformed { key: key.into(), field: field.into(), problem: problem.into() };
    let mut names: Vec<_> = item.keys().map(String::as_str).collect();
    names.sort_unstable();
    if let Some(unknown) = names.iter().find(|name| !["modelId", "limit", "window"].contains(name)) {
        return Err(malformed(unknown, "is no setting of a limit; known are limit and window"));
    }
    match item.get("window") {
        None => {}
        Some(AttributeValue::S(window)) if window == "month" => {}
        Some(_) => return Err(malformed("window", "must be the string month")),
    }
    let limit = match item.get("limit") {
        Some(AttributeValue::M(limit)) => limit,
        Some(_) => return Err(malformed("limit", "must be a map such as {\"input\": 1000000, \"output\": 3000000}")),
        None => return Err(malformed("limit", "is missing")),
    };
    let mut names: Vec<_> = limit.keys().map(String::as_str).collect();
    names.sort_unstable();
    if let Some(unknown) = names.iter().find(|name| !["input", "output"].contains(name)) {
        return Err(malformed(&format!("limit.{unknown}"), "is no kind of limit; known are input and output"));
    }
    if limit.is_empty() {
        return Err(malformed("limit", "is empty; set input, output or both"));
    }
    let tokens = |kind: &str| {
        limit.get(kind).map(|value| {
            whole(value)
                .ok_or_else(|| malformed(&format!("limit.{kind}"), "must be a whole number of tokens from 0 to 2^53"))
        })
    };
    let tokens = TokenLimits { input: tokens("input").transpose()?, output: tokens("output").transpose()? };
    Ok(Limit { source, tokens })
}

/// A number of DynamoDB that is whole and not negative. DynamoDB writes large numbers as they came or as `1E+6`.
fn whole(value: &AttributeValue) -> Option<u64> {
    let AttributeValue::N(text) = value else { return None };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text.as_str(), 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits = digits.strip_prefix('+').unwrap_or(&digits);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u128 = digits.parse().ok()?;
    if number == 0 {
        return Some(0);
    }
    let power = 10_u128.checked_pow(shift.unsigned_abs())?;
    let number = if shift >= 0 {
        number.checked_mul(power)?
    } else if number.is_multiple_of(power) {
        number / power
    } else {
        return None;
    };
    u64::try_from(number).ok().filter(|tokens| *tokens <= MOST_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_whole_numbers_that_are_not_negative_are_tokens() {
        let number = |text: &str| whole(&AttributeValue::N(text.to_owned()));
        let cases = [
            ("1000000", Some(1_000_000)),
            ("0", Some(0)),
            ("1E+6", Some(1_000_000)),
            ("1.5e3", Some(1_500)),
            ("5.0", Some(5)),
            ("120E-1", Some(12)),
            ("9007199254740992", Some(1 << 53)),
            ("9007199254740993", None),
            ("18446744073709551616", None),
            ("1.5", None),
            ("-1", None),
            ("1E-1", None),
            ("9E+125", None),
            ("", None),
            ("many", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text}");
        }
        assert_eq!(whole(&AttributeValue::S("5".to_owned())), None);
    }

    proptest! {
        #[test]
        fn every_count_of_tokens_is_read_back(tokens in 0..=MOST_TOKENS) {
            prop_assert_eq!(whole(&AttributeValue::N(tokens.to_string())), Some(tokens));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9eE.]{0,12}") {
            let _ = whole(&AttributeValue::N(text));
        }
    }
}
