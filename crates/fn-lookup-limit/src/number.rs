//! Exact parsing of DynamoDB's numbers.

use aws_sdk_dynamodb::types::AttributeValue;
use sentry_domain::Usd;

/// Number of decimals that are kept. The last one is a picodollar.
const DECIMALS: u32 = 12;

/// A whole number from 0 to `most`. Decimals after the twelfth are cut off.
pub fn whole(value: &AttributeValue, most: u64) -> Option<u64> {
    let scaled = scaled(value)?;
    let one = 10_u128.pow(DECIMALS);
    u64::try_from(scaled / one).ok().filter(|number| scaled.is_multiple_of(one) && *number <= most)
}

/// A number of dollars that is not negative and not more than [`Usd`] allows. Decimals after the twelfth are cut off.
pub fn dollars(value: &AttributeValue) -> Option<Usd> {
    let amount = Usd::from_picodollars(scaled(value)?);
    // Parsing the text applies the upper bound of all amounts in dollars.
    amount.to_string().parse().ok()
}

/// The number in units of 10⁻¹², if it is not negative.
///
/// DynamoDB returns numbers as text: `1000000`, `0.5`, `1E+6`. A number that a program computed in binary can have more
/// decimals than intended, such as `275.00000000000006`.
fn scaled(value: &AttributeValue) -> Option<u128> {
    let AttributeValue::N(text) = value else { return None };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text.as_str(), 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.strip_prefix('+').unwrap_or(&digits);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u128 = digits.parse().ok()?;
    if number == 0 {
        return Some(0);
    }
    let decimals = i32::try_from(DECIMALS).ok()?;
    let shift = exponent.checked_add(decimals)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    match (10_u128.checked_pow(shift.unsigned_abs()), shift >= 0) {
        (Some(power), true) => number.checked_mul(power),
        (Some(power), false) => Some(number / power),
        (None, true) => None,
        // This power of ten is larger than every number.
        (None, false) => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: u64 = 1 << 53;

    fn number(text: &str) -> AttributeValue {
        AttributeValue::N(text.to_owned())
    }

    #[test]
    fn only_whole_numbers_that_are_not_negative_are_whole() {
        let cases = [
            ("1000000", Some(1_000_000)),
            ("0", Some(0)),
            ("0E-130", Some(0)),
            ("1E+6", Some(1_000_000)),
            ("1.5e3", Some(1_500)),
            ("5.0", Some(5)),
            ("120E-1", Some(12)),
            ("9007199254740992", Some(MOST)),
            ("9007199254740993", None),
            ("18446744073709551616", None),
            ("1.5", None),
            ("1000.00000000000006", Some(1000)),
            ("999.99999999999999", None),
            ("-1", None),
            ("1E-1", None),
            ("9E+125", None),
            ("1E+2147483647", None),
            ("", None),
            (".", None),
            ("many", None),
        ];
        for (text, expected) in cases {
            assert_eq!(whole(&number(text), MOST), expected, "{text}");
        }
        assert_eq!(whole(&AttributeValue::S("5".to_owned()), MOST), None);
    }

    #[test]
    fn dollars_are_exact_to_twelve_decimals_or_are_none() {
        let cases = [
            ("100", Some(100_000_000_000_000)),
            ("0", Some(0)),
            ("0.10", Some(100_000_000_000)),
            ("1E+2", Some(100_000_000_000_000)),
            ("2.5E-1", Some(250_000_000_000)),
            ("1E-12", Some(1)),
            ("0.000000000001", Some(1)),
            ("12.345678901234", Some(12_345_678_901_234)),
            ("9007199254", Some(9_007_199_254_000_000_000_000)),
            ("275.00000000000006", Some(275_000_000_000_000)),
            ("0.30000000000000004", Some(300_000_000_000)),
            ("9007199254.000000000001", None),
            ("9007199254.0000000000001", Some(9_007_199_254_000_000_000_000)),
            ("9007199255", None),
            ("1E+26", None),
            ("1E+125", None),
            ("1E-13", Some(0)),
            ("1E-130", Some(0)),
            ("0.0000000000001", Some(0)),
            ("1.2345678901234", Some(1_234_567_890_123)),
            ("-0.01", None),
            ("-1E-13", None),
            ("ten", None),
        ];
        for (text, expected) in cases {
            assert_eq!(dollars(&number(text)).map(Usd::picodollars), expected, "{text}");
        }
        assert_eq!(dollars(&AttributeValue::S("1.00".to_owned())), None);
    }

    proptest! {
        #[test]
        fn every_count_is_read_back(count in 0..=MOST) {
            prop_assert_eq!(whole(&number(&count.to_string()), MOST), Some(count));
        }

        #[test]
        fn every_amount_is_read_back_in_either_form(picodollars in 0_u128..9_007_199_254_000_000_000_000) {
            let amount = Usd::from_picodollars(picodollars);
            prop_assert_eq!(dollars(&number(&amount.to_string())), Some(amount));
            prop_assert_eq!(dollars(&number(&format!("{picodollars}E-12"))), Some(amount));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9eE.]{0,12}") {
            let _ = (whole(&number(&text), MOST), dollars(&number(&text)));
        }
    }
}
