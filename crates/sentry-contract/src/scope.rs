//! The names of scopes. Each scope has a budget.

use std::fmt::Write;

use crate::request::Tags;

/// The value of a tag that a request does not have.
pub const UNSPECIFIED: &str = "unspecified";
/// The tags that are always scopes, alone and in combinations. Each entry has the name in scopes and the name of the
/// tag. The entries are in alphabetical order, as in the name of a combination.
pub const DIMENSIONS: [(&str, &str); 3] =
    [("application", Tags::APPLICATION_ID), ("costCenter", Tags::COST_CENTER), ("environment", Tags::ENVIRONMENT)];

/// The scope of the model whose `ModelId` dimension in CloudWatch is `metric`.
#[must_use]
pub fn of_model(metric: &str) -> String {
    format!("model#{metric}")
}

/// The scope of all ids and profiles of the foundation model `id`.
#[must_use]
pub fn of_foundation(id: &str) -> String {
    format!("foundation#{id}")
}

/// The scope of the value of a tag. Case is ignored: `Marketing` and `marketing` share one budget.
#[must_use]
pub fn of_tag(name: &str, value: &str) -> String {
    format!("{name}#{}", encoded(value).to_lowercase())
}

/// `value` with `%`, `+` and `#` percent-encoded. These characters separate the parts of scope names, so a tag value
/// cannot imitate another scope.
#[must_use]
pub fn encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '%' | '+' | '#' => {
                let _ = write!(encoded, "%{:02X}", u32::from(character));
            }
            other => encoded.push(other),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_a_value_are_encoded_and_case_is_ignored() {
        assert_eq!(of_tag("costCenter", "Marketing"), "costCenter#marketing");
        assert_eq!(of_tag("costCenter", "a#B+c%d e"), "costCenter#a%23b%2bc%25d e");
        assert_eq!(of_tag("user", "BÜRO"), "user#büro");
        assert_eq!(encoded("a#B"), "a%23B");
    }
}
