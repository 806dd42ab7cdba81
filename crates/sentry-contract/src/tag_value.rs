//! The rules for the values of tags, which also decide what scopes there can be.

/// Longest name and longest value of a tag, in characters.
pub const MOST_CHARS: usize = 255;

/// Checks that `text` can be the value of a tag. Values that look the same must be the same. Metrics encode the
/// characters that their dimensions cannot hold.
///
/// # Errors
/// The rule that `text` does not meet: the rest of a sentence whose subject is the value.
pub fn usable(text: &str) -> Result<(), String> {
    usable_at_length(text, text.chars().count())
}

/// The same as [`usable`], for a value that is `text` in lower case and has `chars` characters itself.
///
/// # Errors
/// The rule that the value does not meet.
pub fn usable_at_length(text: &str, chars: usize) -> Result<(), String> {
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else if chars > MOST_CHARS {
        Err(format!("must have at most {MOST_CHARS} characters"))
    } else if text.chars().any(char::is_control) {
        Err("must have no control characters".to_owned())
    } else if text.starts_with(':') {
        Err("must not start with a colon".to_owned())
    } else if text.trim().is_empty() {
        Err("must have a character that is not a space".to_owned())
    } else if text.trim() != text {
        // Two values that look the same would have two budgets.
        Err("must not begin or end with a space".to_owned())
    } else {
        Ok(())
    }
}
