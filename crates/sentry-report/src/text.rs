//! Numbers as a person reads them. Exact figures are in the JSON and the CSV.

use sentry_domain::{Usd, UsdDifference};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::signed::{Picodollars, size};

const DOLLAR: u128 = 1_000_000_000_000;
const CENT: u128 = DOLLAR / 100;

/// Dollars that are spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// The amount that is known.
    pub usd: Usd,
    /// `true` if something that is spent is not in `usd`, because its price is not known or its item cannot be read.
    pub is_floor: bool,
}

impl Serialize for Spend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Spend", 3)?;
        fields.serialize_field("usd", &self.usd)?;
        fields.serialize_field("isFloor", &self.is_floor)?;
        fields.serialize_field("text", &spend(self))?;
        fields.end()
    }
}

/// Dollars with two decimals and separators: `$1,204.50`. An amount below ten cents has four decimals, and one below a
/// hundredth of a cent is `<$0.0001`. It is rounded half up.
#[must_use]
pub fn dollars(amount: Usd) -> String {
    written(amount, true)
}

/// The spend. A floor is rounded down and ends with `+`, because the exact amount is not known: `$812.41+`.
pub fn spend(spend: &Spend) -> String {
    if spend.is_floor { format!("{}+", written(spend.usd, false)) } else { dollars(spend.usd) }
}

/// An exact difference: `$1.20` or `−$0.30`. A floor ends with `+`.
pub fn difference(exact: UsdDifference, is_floor: bool) -> String {
    let text = exact.to_string();
    let size = text.trim_start_matches('-').parse().unwrap_or_default();
    let sign = if text.starts_with('-') { "\u{2212}" } else { "" };
    format!("{sign}{}", spend(&Spend { usd: size, is_floor }))
}

/// The amount with its sign: `+$1.20`, `−$0.30`, `$0.00`.
pub fn change(picodollars: Picodollars) -> String {
    let text = dollars(size(picodollars));
    match picodollars {
        0 => text,
        1.. => format!("+{text}"),
        _ => format!("\u{2212}{text}"),
    }
}

fn written(amount: Usd, rounded: bool) -> String {
    let plain = amount.picodollars();
    let (unit, decimals) = if plain == 0 || plain >= 10 * CENT { (CENT, 2) } else { (CENT / 100, 4) };
    let half = if rounded { unit / 2 } else { 0 };
    let units = plain.saturating_add(half) / unit;
    if units == 0 && plain > 0 {
        return if rounded { "<$0.0001".to_owned() } else { "$0.00".to_owned() };
    }
    let of_dollar = DOLLAR / unit;
    format!("${}.{:0decimals$}", count(units / of_dollar), units % of_dollar)
}

/// A count with separators: `1,204,500`.
pub fn count(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with three significant digits: `950`, `12.3 k`, `4.56 M`. It is cut off, not rounded.
pub fn short(number: impl Into<u128>) -> String {
    let number = number.into();
    let units = [(1_000_000_000_000_u128, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| number >= *unit) else { return number.to_string() };
    let (whole, thousandths) = (number / unit, number % unit * 1_000 / unit);
    match whole {
        0..10 => format!("{whole}.{:02} {name}", thousandths / 10),
        10..100 => format!("{whole}.{} {name}", thousandths / 100),
        _ => format!("{} {name}", count(whole)),
    }
}

/// `part` of `whole` in tenths of a percent, rounded half up. `None` if `whole` is zero.
pub fn per_mille(part: u128, whole: u128) -> Option<u128> {
    let doubled = part.checked_mul(2_000)?.checked_add(whole)?;
    doubled.checked_div(whole.checked_mul(2)?)
}

/// A share as a percentage: `12.5 %`. A share that is not zero is at least `<0.1 %`.
pub fn percent(part: u128, whole: u128) -> String {
    match per_mille(part, whole) {
        None => "\u{2013}".to_owned(),
        Some(0) if part > 0 => "<0.1 %".to_owned(),
        Some(share) => format!("{}.{} %", count(share / 10), share % 10),
    }
}

/// `1 request`, `2 requests`.
pub fn some(number: impl Into<u128>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `text`, cut in the middle if it is longer than `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let head: String = characters.iter().take(head).collect();
    let tail: String = characters.iter().skip(characters.len() - tail).collect();
    format!("{head}\u{2026}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[test]
    fn dollars_have_cents_or_what_is_left_of_them() {
        let cases = [
            ("0", "$0.00"),
            ("812.414999", "$812.41"),
            ("812.415", "$812.42"),
            ("1234567.891", "$1,234,567.89"),
            ("0.1", "$0.10"),
            ("0.0999", "$0.0999"),
            ("0.0123", "$0.0123"),
            ("0.00004", "<$0.0001"),
            ("999.999", "$1,000.00"),
        ];
        for (amount, expected) in cases {
            assert_eq!(dollars(usd(amount)), expected, "{amount}");
        }
    }

    #[test]
    fn a_floor_is_rounded_down_and_says_so() {
        let floor = |text: &str| spend(&Spend { usd: usd(text), is_floor: true });
        assert_eq!(floor("812.419"), "$812.41+");
        assert_eq!(floor("0"), "$0.00+");
        assert_eq!(floor("0.00001"), "$0.00+");
        assert_eq!(spend(&Spend { usd: usd("812.419"), is_floor: false }), "$812.42");
    }

    #[test]
    fn counts_changes_and_shares_are_short_and_right() {
        assert_eq!(count(1_204_500_u64), "1,204,500");
        assert_eq!(count(999_u64), "999");
        assert_eq!([short(950_u64), short(12_345_u64), short(4_567_000_u64)], ["950", "12.3 k", "4.56 M"]);
        assert_eq!(change(-300_000_000_000), "\u{2212}$0.30");
        assert_eq!(change(1_200_000_000_000), "+$1.20");
        assert_eq!([percent(1, 8), percent(1, 100_000), percent(3, 0)], ["12.5 %", "<0.1 %", "\u{2013}"]);
        assert_eq!(some(1_u64, "request", "requests"), "1 request");
    }

    #[test]
    fn a_long_text_is_cut_in_the_middle() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("abcdefghij", 5), "ab\u{2026}ij");
    }
}
