//! Where in a file something stands, and the numbers in it.

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde_json::Value;

/// The lines of a text.
pub struct Lines<'t> {
    text: &'t str,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// The lines of `text`.
    pub fn of(text: &'t str) -> Self {
        Self { text, ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// The line of `part`, which is a part of the text; the first line is 1.
    pub fn line(&self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        1 + self.ends.partition_point(|end| *end < offset)
    }
}

/// The number exactly as it is written.
///
/// # Errors
/// If it is no number that is 0 or more.
pub fn decimal(value: &Value) -> Result<Decimal> {
    let Value::Number(number) = value else { bail!("{value} is no number") };
    let text = number.to_string();
    let parsed = if text.contains(['e', 'E']) { Decimal::from_scientific(&text) } else { text.parse() };
    let parsed = parsed.with_context(|| format!("{text} is no price"))?;
    if parsed.is_sign_negative() {
        bail!("{text} is negative");
    }
    Ok(parsed)
}
