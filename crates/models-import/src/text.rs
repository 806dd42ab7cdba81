//! Line numbers and decimal numbers in a file.

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde_json::Value;

/// Finds the line numbers of parts of a text.
pub struct Lines<'t> {
    text: &'t str,
    /// Byte offset of each newline.
    ends: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Prepares the lookup of lines in `text`.
    pub fn of(text: &'t str) -> Self {
        Self { text, ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// The line number of `part`, which must be a slice of the text. The first line is 1.
    pub fn line(&self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        1 + self.ends.partition_point(|end| *end < offset)
    }
}

/// The number exactly as it is written in the file.
///
/// # Errors
/// If `value` is not a number, or if it is negative.
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
