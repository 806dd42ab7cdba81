//! The key by which a report groups usage.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// The kind of scope whose values are the groups of a report: `costCenter`, `application`, `environment`, `model`,
/// `foundation`, `user`, or a tag of the parameter `BudgetTags`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping(String);

/// The error for a text that cannot be the kind of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no grouping: one of costCenter, application, environment, model, foundation, user, or the name of a tag in BudgetTags"
)]
pub struct InvalidGrouping(String);

impl Grouping {
    /// The grouping whose values add up to all requests: a request without a cost center counts as `unspecified`.
    #[must_use]
    pub fn of_all() -> Self {
        Self("costCenter".to_owned())
    }

    /// The kind of the scopes.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0
    }

    /// The value of `scope`, as the scope's name has it. `None` if the scope is of another kind, or a combination.
    #[must_use]
    pub fn value<'s>(&self, scope: &'s str) -> Option<&'s str> {
        let value = scope.strip_prefix(&self.0)?.strip_prefix('#')?;
        // A `+` of a value is encoded, so it always separates the parts of a combination.
        (!value.contains('+')).then_some(value)
    }

    /// The scope of `value`.
    #[must_use]
    pub fn scope(&self, value: &str) -> String {
        format!("{}#{value}", self.0)
    }

    /// `true` if the groups are models, and not values of a tag.
    #[must_use]
    pub fn is_of_models(&self) -> bool {
        ["model", "foundation"].contains(&self.kind())
    }

    /// The words for a heading: `cost center` for `costCenter`.
    #[must_use]
    pub fn noun(&self) -> String {
        match self.kind() {
            "costCenter" => "cost center".to_owned(),
            "foundation" => "foundation model".to_owned(),
            kind => kind.to_owned(),
        }
    }
}

impl FromStr for Grouping {
    type Err = InvalidGrouping;

    fn from_str(text: &str) -> Result<Self, InvalidGrouping> {
        let separates = |c: char| matches!(c, '#' | '+' | '%') || c.is_whitespace() || c.is_control();
        if text.is_empty() || text.contains(separates) || ["request", super::UNGOVERNED].contains(&text) {
            return Err(InvalidGrouping(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Grouping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The value of a tag as the client wrote it, except for its case: `%`, `+` and `#` are encoded in the names of scopes
/// (`sentry_contract::scope::encoded`).
#[must_use]
pub fn decoded(value: &str) -> String {
    // The percent sign comes last, so that an encoded `%2b` does not become a `+`.
    value.replace("%2b", "+").replace("%23", "#").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_scopes_of_the_kind_are_groups() {
        let center = Grouping::of_all();
        assert_eq!(center.value("costCenter#a%2bb"), Some("a%2bb"));
        assert_eq!(center.value("costCenter#a+model#m"), None);
        assert_eq!(center.value("costCenters#a"), None);
        assert_eq!(center.value("application#a"), None);
        assert_eq!(center.scope("a"), "costCenter#a");
    }

    #[test]
    fn a_value_is_shown_as_it_was_written() {
        assert_eq!(decoded("a%2bb%23c%25d"), "a+b#c%d");
        // The client wrote `%2b`, which is encoded as `%252b`.
        assert_eq!(decoded("%252b"), "%2b");
    }

    #[test]
    fn an_unknown_kind_of_scope_is_refused() {
        for text in ["", "a#b", "a+b", "a b", "request", "ungoverned"] {
            assert!(text.parse::<Grouping>().is_err(), "{text}");
        }
        assert_eq!("run".parse::<Grouping>().unwrap().to_string(), "run");
    }
}
