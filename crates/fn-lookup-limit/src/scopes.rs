//! The scopes whose budgets a request draws on, and the keys under which each one's limits may be.

use std::fmt::Write;

use sentry_contract::request::{Model, Tags};

/// What the last part of every fallback's key is.
pub const DEFAULT: &str = "default";
/// The value of a tag that a request does not have.
const UNSPECIFIED: &str = "unspecified";
/// The tags that have limits, each with its name in keys; in alphabetical order, which is how combinations are spelt.
const DIMENSIONS: [(&str, &str); 3] =
    [("application", Tags::APPLICATION_ID), ("costCenter", Tags::COST_CENTER), ("environment", Tags::ENVIRONMENT)];
/// Longest partition key of a table, in bytes: no item can have a longer one, and asking for it is an error.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas in Amazon DynamoDB".
const MOST_KEY_BYTES: usize = 2_048;

/// A scope and where to look for its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `model#amazon.nova-lite-v1:0`, `application#helper+environment#production`.
    pub name: String,
    /// `model`, `application+environment`.
    pub kind: String,
    /// The keys that may hold its limits, first hit first, each once.
    pub keys: Vec<String>,
    /// The last resort; where the scope's own key is the same, it is among `keys` once.
    fallback: String,
}

impl Scope {
    fn new(name: String, kind: String, own: Vec<String>, fallback: String) -> Self {
        let mut keys: Vec<String> = Vec::with_capacity(own.len() + 1);
        for key in own.into_iter().chain([fallback.clone()]) {
            if key.len() <= MOST_KEY_BYTES && !keys.contains(&key) {
                keys.push(key);
            }
        }
        Self { name, kind, keys, fallback }
    }

    /// Whose limits those under `key` are: those of the scope's kind, or `default`.
    pub fn source<'s>(&'s self, key: &str) -> &'s str {
        if key == self.fallback { DEFAULT } else { &self.kind }
    }
}

/// The model's scope.
pub fn of_model(model: &Model) -> Scope {
    let own = vec![model.model_metric.clone(), model.model_id.clone(), model.requested.clone()];
    Scope::new(format!("model#{}", model.model_metric), "model".to_owned(), own, DEFAULT.to_owned())
}

/// The scopes of the tags: each dimension, each pair and all three, by name.
pub fn of_tags(tags: &Tags) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = (1..1 << DIMENSIONS.len()).map(|chosen: u8| combination(chosen, tags)).collect();
    scopes.sort_by(|one, other| one.name.cmp(&other.name));
    scopes
}

/// The scope of the dimensions whose bits are set in `chosen`.
fn combination(chosen: u8, tags: &Tags) -> Scope {
    let dimensions = || (0..).zip(DIMENSIONS).filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, dimension)| dimension);
    let joined = |part: &dyn Fn((&str, &str)) -> String| dimensions().map(part).collect::<Vec<_>>().join("+");
    let name = joined(&|(name, tag)| format!("{name}#{}", encoded(tags.get(tag).unwrap_or(UNSPECIFIED))));
    let kind = joined(&|(name, _)| name.to_owned());
    let fallback = joined(&|(name, _)| format!("{name}#{DEFAULT}"));
    Scope::new(name.clone(), kind, vec![name], fallback)
}

/// `value` without the characters that part the names of scopes, so that no tag's value can imitate another scope.
fn encoded(value: &str) -> String {
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use sentry_contract::request::Family;

    use super::*;

    fn tags(values: [Option<&str>; 3]) -> Tags {
        let given = DIMENSIONS.iter().zip(values);
        Tags(given.filter_map(|((_, tag), value)| Some(((*tag).to_owned(), value?.to_owned()))).collect())
    }

    fn names(tags: &Tags) -> Vec<String> {
        of_tags(tags).into_iter().map(|scope| scope.name).collect()
    }

    #[test]
    fn every_combination_of_tags_is_a_scope_by_name_with_a_fallback_of_its_own() {
        let scopes = of_tags(&tags([Some("helper"), Some("support"), Some("production")]));
        let found: Vec<_> = scopes.iter().map(|scope| (scope.kind.as_str(), scope.keys.join(" "))).collect();
        insta::assert_debug_snapshot!(found);
    }

    #[test]
    fn a_missing_tag_has_the_value_unspecified() {
        assert_eq!(
            names(&tags([Some("a"), None, None])),
            names(&tags([Some("a"), Some(UNSPECIFIED), Some(UNSPECIFIED)]))
        );
        assert!(names(&Tags::default()).contains(&"application#unspecified".to_owned()));
    }

    #[test]
    fn a_value_that_is_default_has_the_fallbacks_item() {
        let scopes = of_tags(&tags([Some("a"), Some(DEFAULT), None]));
        let scope = scopes.iter().find(|scope| scope.kind == "costCenter").unwrap();
        assert_eq!(
            (scope.keys.as_slice(), scope.source("costCenter#default")),
            (["costCenter#default".to_owned()].as_slice(), DEFAULT)
        );
    }

    #[test]
    fn what_parts_names_is_encoded_in_values() {
        assert_eq!(encoded("a#b+c%d e"), "a%23b%2Bc%25d e");
    }

    #[test]
    fn a_key_that_no_item_can_have_is_not_asked_for() {
        let long = "#".repeat(255);
        let scopes = of_tags(&tags([Some(&long), Some(&long), Some(&long)]));
        let all = scopes.iter().find(|scope| scope.kind.matches('+').count() == 2).unwrap();
        assert_eq!(all.keys, ["application#default+costCenter#default+environment#default"]);
    }

    #[test]
    fn the_models_keys_come_in_the_contracts_order_and_once() {
        let model = |requested: &str, id: &str, metric: &str| Model {
            requested: requested.into(),
            model_id: id.into(),
            model_metric: metric.into(),
            family: Family::Nova,
            transport: None,
            price: None,
        };
        let scope = of_model(&model("sales", "arn", "p1"));
        assert_eq!((scope.name.as_str(), scope.keys.join(" ").as_str()), ("model#p1", "p1 arn sales default"));
        assert_eq!((scope.source("sales"), scope.source("default")), ("model", "default"));
        assert_eq!(of_model(&model("x", "x", "x")).keys, ["x", "default"]);
    }

    proptest! {
        #[test]
        fn no_value_can_imitate_another_scope(
            values in prop::array::uniform3("[a#+%0-9D=]{1,6}"),
            others in prop::array::uniform3("[a#+%0-9D=]{1,6}"),
        ) {
            let of = |values: &[String; 3]| tags([Some(&values[0]), Some(&values[1]), Some(&values[2])]);
            let (one, other) = (of_tags(&of(&values)), of_tags(&of(&others)));
            let distinct: BTreeSet<_> = one.iter().map(|scope| &scope.name).collect();
            prop_assert_eq!(distinct.len(), 7);
            for (mine, theirs) in one.iter().flat_map(|mine| other.iter().map(move |theirs| (mine, theirs))) {
                let same_values = mine.kind == theirs.kind
                    && DIMENSIONS.iter().zip(values.iter().zip(&others)).all(|((name, _), (value, other))| {
                        !mine.kind.split('+').any(|part| part == *name) || value == other
                    });
                prop_assert_eq!(mine.name == theirs.name, same_values);
            }
        }

        #[test]
        fn a_name_has_as_many_marks_as_dimensions(value in "\\PC{1,20}") {
            for scope in of_tags(&tags([Some(&value), Some(&value), Some(&value)])) {
                let dimensions = scope.kind.split('+').count();
                prop_assert_eq!(scope.name.matches('#').count(), dimensions);
                prop_assert_eq!(scope.name.matches('+').count(), dimensions - 1);
            }
        }
    }
}
