//! Finds numbers that the expressions of a state machine may round.

use serde_json::Value;

/// Number of significant digits that JSONata keeps when it writes a number. Source: `$string` of the reference
/// implementation, which rounds to 15 digits.
const MOST_DIGITS: usize = 15;

/// `true` if `value` contains a number with more significant digits, at any depth.
pub fn has_long_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let written = number.to_string();
            let significand = written.split('e').next().unwrap_or_default();
            let digits: String = significand.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').len() > MOST_DIGITS
        }
        Value::Array(values) => values.iter().any(has_long_number),
        Value::Object(fields) => fields.values().any(has_long_number),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sixteen_significant_digits_are_too_many_wherever_they_stand() {
        for short in [
            json!(123_456_789_012_345_u64),
            json!(0.1),
            json!(1e300),
            json!("1234567890123456789"),
            json!([null, true]),
        ] {
            assert!(!has_long_number(&short), "{short}");
        }
        for long in [json!(9_007_199_254_740_991_u64), json!({"a": [0.300_000_000_000_000_04]})] {
            assert!(has_long_number(&long), "{long}");
        }
    }
}
