//! Refuses numbers in a tool's JSON that would not arrive as the client wrote them.
//!
//! The functions and the AWS SDK hold a number as a 64-bit integer or as a double. These keep 64-bit ids and doubles of
//! 17 digits. A longer number would be rounded silently, so it is refused with its path.

use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::field::Refusal;

/// Number of digits that a double always keeps. Source: IEEE 754-2019, binary64 (`DBL_DIG` in C).
const KEPT_DIGITS: usize = 15;
/// Fields whose content is the caller's own JSON: a tool's input, schema and result, the schema of the answer, and a
/// model's own fields.
const FREE_FORM: [&str; 4] = ["input", "json", "schema", "additionalModelRequestFields"];

/// Checks the numbers in the caller's own JSON in `document`. All other rules were checked before.
///
/// # Errors
/// Returns the path of the first number that would be rounded.
pub fn check(document: &RawValue) -> Result<(), Refusal> {
    if !has_long_digits(document.get()) {
        return Ok(());
    }
    match rounded(document, "", false) {
        Some(path) => {
            let problem = "is a number that would be rounded, because it is neither a 64-bit integer nor a double; send it as a string";
            Err(Refusal::new(path, problem))
        }
        None => Ok(()),
    }
}

/// `true` if `text` has more consecutive digits than a double always keeps. Digits in strings count too, and a decimal
/// point does not end the sequence.
fn has_long_digits(text: &str) -> bool {
    let mut run = 0_usize;
    text.bytes().any(|byte| {
        run = if byte.is_ascii_digit() || (byte == b'.' && run > 0) { run + 1 } else { 0 };
        run > KEPT_DIGITS
    })
}

/// The path of the first number in `value` that would be rounded. Numbers outside the caller's own JSON have other
/// limits.
fn rounded(value: &RawValue, path: &str, free: bool) -> Option<String> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'{' => {
            let Entries(entries) = serde_json::from_str(text).ok()?;
            entries.into_iter().find_map(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                rounded(value, &path, free || FREE_FORM.contains(&name.as_str()))
            })
        }
        b'[' => {
            let values: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            values.into_iter().enumerate().find_map(|(index, value)| rounded(value, &format!("{path}[{index}]"), free))
        }
        b'-' | b'0'..=b'9' if free && !arrives(text) => Some(path.to_owned()),
        _ => None,
    }
}

/// `true` if the number keeps its value when it is parsed and written again.
fn arrives(written: &str) -> bool {
    let number = written.parse::<serde_json::Number>();
    number.is_ok_and(|number| Decimal::of(&number.to_string()) == Decimal::of(written))
}

/// The digits of a number without leading and trailing zeros, and the exponent of the last digit.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Parses a JSON number. `None` if its exponent is out of range.
    fn of(written: &str) -> Option<Self> {
        let (negative, rest) = written.strip_prefix('-').map_or((false, written), |rest| (true, rest));
        let (significand, exponent) = match rest.split_once(['e', 'E']) {
            Some((significand, exponent)) => (significand, exponent.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = significand.split_once('.').unwrap_or((significand, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let dropped = i64::try_from(all.len() - digits.len()).ok()?;
        let after_point = i64::try_from(fraction.len()).ok()?;
        let digits = digits.trim_start_matches('0').to_owned();
        let exponent = if digits.is_empty() { 0 } else { exponent.checked_sub(after_point)?.checked_add(dropped)? };
        Some(Self { negative, digits, exponent })
    }
}

/// The fields of an object. The values are not parsed.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(document: &str) -> Option<String> {
        let raw: Box<RawValue> = serde_json::from_str(document).unwrap();
        check(&raw).err().map(|refusal| refusal.path)
    }

    #[test]
    fn sixty_four_bit_integers_and_doubles_arrive_in_every_spelling() {
        for number in [
            "9007199254740991",
            "1234567890123456789",
            "18446744073709551615",
            "-9223372036854775808",
            "0.30000000000000004",
            "2.2250738585072014e-308",
            "1000000000000000000000",
            "1.0000000000000000000",
            "-0.0000000000000000000",
            "12345678901234567e3",
        ] {
            assert_eq!(path_of(&format!("{{\"input\": {{\"x\": {number}}}}}")), None, "{number}");
        }
    }

    #[test]
    fn a_number_that_would_be_rounded_is_found_where_it_stands() {
        for number in
            ["18446744073709551617", "0.12345678901234567890", "12345678901234567890123", "-9223372036854775809.5"]
        {
            let document = format!("{{\"a\": [{{\"toolUse\": {{\"input\": {{\"x\": [0, {number}]}}}}}}]}}");
            assert_eq!(path_of(&document).as_deref(), Some("a[0].toolUse.input.x[1]"), "{number}");
        }
    }

    #[test]
    fn texts_and_numbers_outside_tools_are_not_judged() {
        for document in ["{\"input\": \"12345678901234567890123\"}", "{\"temperature\": 0.12345678901234567890}"] {
            assert_eq!(path_of(document), None, "{document}");
        }
    }
}
