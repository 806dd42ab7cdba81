//! The scopes whose budgets a request uses, and the keys under which their limits can be.

use std::str::FromStr;

use sentry_contract::request::{Model, Tags};
use sentry_contract::scope::{DIMENSIONS, UNSPECIFIED, encoded, of_foundation, of_model, of_tag};
use sentry_domain::MOST_BUDGET_TAGS;
use thiserror::Error;

/// The last part of the key of every fallback item.
pub const DEFAULT: &str = "default";
/// The kind of the model's scope.
pub const MODEL: &str = "model";
/// The kind of the foundation model's scope.
pub const FOUNDATION: &str = "foundation";
/// The kind of the user's scope.
pub const USER: &str = "user";
/// Longest partition key of a table, in bytes. No item can have a longer key, and reading one is an error.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas in Amazon DynamoDB".
pub const MOST_KEY_BYTES: usize = 2_048;
/// Longest name of a tag in `BudgetTags`, in characters.
const MOST_NAME_CHARS: usize = 64;

/// A scope, and the keys under which its limits can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Such as `model#amazon.nova-lite-v1:0` or `application#helper+environment#production`.
    pub name: String,
    /// Such as `model` or `application+environment`.
    pub kind: String,
    /// The keys of items that can have the limits, in order of precedence, without duplicates.
    pub keys: Vec<String>,
    /// The key of the fallback item. `keys` has it once, also if the scope's own key is the same.
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

    /// The source of the limits under `key`: `default` for the fallback item, otherwise the scope's kind.
    pub fn source<'s>(&'s self, key: &str) -> &'s str {
        if key == self.fallback { DEFAULT } else { &self.kind }
    }

    /// `true` if the item under `key` is for all values of the scope's tags. It is `false` for the item `default` of
    /// models, because CloudWatch reports each model separately.
    pub fn is_of_all_values(&self, key: &str) -> bool {
        key == self.fallback && self.kind != MODEL
    }
}

/// The scopes that depend on a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelScopes {
    /// The model's own scope, which must have a limit.
    pub own: Scope,
    /// The scope of the foundation model, if it is known.
    pub foundation: Option<Scope>,
}

impl ModelScopes {
    pub fn of(model: &Model) -> Self {
        let keys = vec![model.model_metric.clone(), model.model_id.clone(), model.requested.clone()];
        let own = Scope::new(of_model(&model.model_metric), MODEL.to_owned(), keys, DEFAULT.to_owned());
        let foundation = model.foundation.as_deref().map(|id| {
            let name = of_foundation(id);
            Scope::new(name.clone(), FOUNDATION.to_owned(), vec![name], format!("{FOUNDATION}#{DEFAULT}"))
        });
        Self { own, foundation }
    }

    /// The scopes, with the model's own first.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        std::iter::once(&self.own).chain(&self.foundation)
    }
}

/// The scopes of the tags, ordered by name: each dimension, each pair, all three, the user if there is one, and each
/// tag of `declared`.
pub fn of_tags(tags: &Tags, declared: &BudgetTags) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = (1..1 << DIMENSIONS.len()).map(|chosen: u8| combination(chosen, tags)).collect();
    scopes.extend(tags.get(Tags::USER_ID).map(|user| of_values(&[(USER, user)])));
    scopes.extend(declared.0.iter().map(|name| of_values(&[(name, tags.get(name).unwrap_or(UNSPECIFIED))])));
    scopes.sort_by(|one, other| one.name.cmp(&other.name));
    scopes
}

/// The scope of the dimensions whose bits are set in `chosen`.
fn combination(chosen: u8, tags: &Tags) -> Scope {
    let dimensions = (0..).zip(DIMENSIONS).filter(|(bit, _)| chosen >> bit & 1 == 1).map(|(_, dimension)| dimension);
    let values: Vec<(&str, &str)> =
        dimensions.map(|(name, tag)| (name, tags.get(tag).unwrap_or(UNSPECIFIED))).collect();
    of_values(&values)
}

/// The scope of all `values`, each with the name of its dimension. Its limits are looked up under the values as
/// written, then under the values in lower case.
fn of_values(values: &[(&str, &str)]) -> Scope {
    let joined = |part: &dyn Fn(&str, &str) -> String| {
        values.iter().map(|(name, value)| part(name, value)).collect::<Vec<_>>().join("+")
    };
    let as_written = joined(&|name, value| format!("{name}#{}", encoded(value)));
    let name = joined(&of_tag);
    let kind = joined(&|name, _| name.to_owned());
    let fallback = joined(&|name, _| format!("{name}#{DEFAULT}"));
    Scope::new(name.clone(), kind, vec![as_written, name], fallback)
}

/// The tags other than the dimensions that have budgets: the parameter `BudgetTags`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetTags(Vec<String>);

/// The reason why a list of tags cannot be `BudgetTags`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidBudgetTags {
    /// The list has too many names.
    #[error("BudgetTags names {0} tags; at most {MOST_BUDGET_TAGS} are possible")]
    TooMany(usize),
    /// A name is empty, too long, or has a character that separates the parts of scope names.
    #[error("BudgetTags names {0:?}: a name has 1 to {MOST_NAME_CHARS} letters, digits and _ . : / = @ -")]
    Malformed(String),
    /// A name has budgets already, or another meaning.
    #[error("BudgetTags names {0:?}, which has budgets without that or a meaning of its own")]
    Taken(String),
    /// A name is in the list twice.
    #[error("BudgetTags names {0:?} twice")]
    Twice(String),
}

impl BudgetTags {
    /// The names, in the order of the parameter.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// `true` if the tag `name` has budgets.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|other| other == name)
    }
}

impl FromStr for BudgetTags {
    type Err = InvalidBudgetTags;

    /// Parses names that are separated by commas. Spaces around a name are ignored.
    fn from_str(text: &str) -> Result<Self, InvalidBudgetTags> {
        let names = text.split(',').map(str::trim);
        let names: Vec<&str> = if text.trim().is_empty() { Vec::new() } else { names.collect() };
        if names.len() > MOST_BUDGET_TAGS {
            return Err(InvalidBudgetTags::TooMany(names.len()));
        }
        let mut tags = Self::default();
        for name in names {
            let well_formed =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '=' | '@' | '-');
            if name.is_empty() || name.len() > MOST_NAME_CHARS || !name.chars().all(well_formed) {
                return Err(InvalidBudgetTags::Malformed(name.to_owned()));
            }
            if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
                return Err(InvalidBudgetTags::Taken(name.to_owned()));
            }
            if tags.0.iter().any(|other| other == name) {
                return Err(InvalidBudgetTags::Twice(name.to_owned()));
            }
            tags.0.push(name.to_owned());
        }
        Ok(tags)
    }
}

/// Names that `BudgetTags` must not have: names of other scopes, and tags that have budgets already or belong to one
/// request.
const TAKEN: [&str; 13] = [
    "application",
    "costCenter",
    "environment",
    MODEL,
    FOUNDATION,
    USER,
    DEFAULT,
    Tags::APPLICATION_ID,
    Tags::COST_CENTER,
    Tags::USER_ID,
    Tags::REQUEST_ID,
    Tags::TIMESTAMP,
    Tags::MODEL_METRIC,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use sentry_contract::request::{Family, PriceSource};

    use super::*;

    fn tags(values: [Option<&str>; 3]) -> Tags {
        let given = DIMENSIONS.iter().zip(values);
        Tags(given.filter_map(|((_, tag), value)| Some(((*tag).to_owned(), value?.to_owned()))).collect())
    }

    fn names(tags: &Tags) -> Vec<String> {
        of_tags(tags, &BudgetTags::default()).into_iter().map(|scope| scope.name).collect()
    }

    #[test]
    fn every_combination_of_tags_is_a_scope_by_name_with_a_fallback_of_its_own() {
        let scopes = of_tags(&tags([Some("helper"), Some("Support"), Some("production")]), &BudgetTags::default());
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
        let scopes = of_tags(&tags([Some("a"), Some(DEFAULT), None]), &BudgetTags::default());
        let scope = scopes.iter().find(|scope| scope.kind == "costCenter").unwrap();
        assert_eq!(
            (scope.keys.as_slice(), scope.source("costCenter#default")),
            (["costCenter#default".to_owned()].as_slice(), DEFAULT)
        );
    }

    #[test]
    fn a_value_is_looked_up_as_it_is_written_and_then_in_lower_case_which_is_its_scope() {
        let scopes = of_tags(&tags([Some("Help+Desk"), Some("Marketing"), None]), &BudgetTags::default());
        let of = |kind: &str| scopes.iter().find(|scope| scope.kind == kind).unwrap();
        let center = of("costCenter");
        assert_eq!(center.name, "costCenter#marketing");
        assert_eq!(center.keys, ["costCenter#Marketing", "costCenter#marketing", "costCenter#default"]);
        let pair = of("application+costCenter");
        assert_eq!(pair.name, "application#help%2bdesk+costCenter#marketing");
        assert_eq!(pair.keys.first().unwrap(), "application#Help%2BDesk+costCenter#Marketing");
    }

    #[test]
    fn the_user_has_a_scope_where_there_is_one_and_declared_tags_always() {
        let declared: BudgetTags = "run, project".parse().unwrap();
        let mut sent = tags([Some("a"), None, None]);
        sent.set("project", "Apollo");
        assert_eq!(of_tags(&sent, &declared).len(), 9);
        sent.set(Tags::USER_ID, "Jo");
        let scopes = of_tags(&sent, &declared);
        let of = |kind: &str| scopes.iter().find(|scope| scope.kind == kind).unwrap();
        assert_eq!(of("user").keys, ["user#Jo", "user#jo", "user#default"]);
        assert_eq!(of("project").keys, ["project#Apollo", "project#apollo", "project#default"]);
        assert_eq!(of("run").keys, ["run#unspecified", "run#default"]);
        assert!(of("run").is_of_all_values("run#default") && !of("run").is_of_all_values("run#unspecified"));
        assert!(scopes.is_sorted_by(|one, other| one.name < other.name));
    }

    #[test]
    fn budget_tags_are_names_that_have_no_other_meaning() {
        for text in ["", " ", "run", "run, project ,Team", "a,b,c,d,e,f"] {
            assert!(text.parse::<BudgetTags>().is_ok(), "{text}");
        }
        for text in [
            "a,b,c,d,e,f,g",
            "run,,project",
            "run,",
            "a#b",
            "a+b",
            "büro",
            "run,run",
            "costCenter",
            "userid",
            "default",
            "Model",
        ] {
            assert!(text.parse::<BudgetTags>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_that_no_item_can_have_is_not_asked_for() {
        let long = "#".repeat(255);
        let scopes = of_tags(&tags([Some(&long), Some(&long), Some(&long)]), &BudgetTags::default());
        let all = scopes.iter().find(|scope| scope.kind.matches('+').count() == 2).unwrap();
        assert_eq!(all.keys, ["application#default+costCenter#default+environment#default"]);
    }

    fn model(requested: &str, id: &str, metric: &str) -> Model {
        Model {
            requested: requested.into(),
            model_id: id.into(),
            model_metric: metric.into(),
            foundation: (id != "x").then(|| "amazon.nova-lite-v1:0".into()),
            family: Family::Nova,
            price: None,
            price_source: PriceSource::Catalogue,
            reasoning: None,
        }
    }

    #[test]
    fn a_budget_tag_cannot_have_the_name_of_another_scope() {
        let mut sent = Tags::default();
        sent.set(Tags::USER_ID, "Jo");
        let of_model = ModelScopes::of(&model("sales", "arn", "p1"));
        let of_tags = of_tags(&sent, &BudgetTags::default());
        for kind in of_model.iter().chain(&of_tags).map(|scope| scope.kind.as_str()) {
            assert!(kind.parse::<BudgetTags>().is_err(), "{kind}");
        }
    }

    #[test]
    fn the_models_keys_come_in_the_contracts_order_and_once() {
        let scopes = ModelScopes::of(&model("sales", "arn", "p1"));
        let foundation = scopes.foundation.unwrap();
        assert_eq!(foundation.name, "foundation#amazon.nova-lite-v1:0");
        assert_eq!(foundation.keys, ["foundation#amazon.nova-lite-v1:0", "foundation#default"]);
        assert!(foundation.is_of_all_values("foundation#default") && !scopes.own.is_of_all_values("default"));
        let scope = scopes.own;
        assert_eq!((scope.name.as_str(), scope.keys.join(" ").as_str()), ("model#p1", "p1 arn sales default"));
        assert_eq!((scope.source("sales"), scope.source("default")), ("model", "default"));
        let unknown = ModelScopes::of(&model("x", "x", "x"));
        assert_eq!((unknown.own.keys, unknown.foundation), (vec!["x".to_owned(), "default".to_owned()], None));
    }

    proptest! {
        #[test]
        fn no_value_can_imitate_another_scope(
            values in prop::array::uniform3("[a#+%0-9D=]{1,6}"),
            others in prop::array::uniform3("[a#+%0-9D=]{1,6}"),
        ) {
            let of = |values: &[String; 3]| tags([Some(&values[0]), Some(&values[1]), Some(&values[2])]);
            let declared = BudgetTags::default();
            let (one, other) = (of_tags(&of(&values), &declared), of_tags(&of(&others), &declared));
            let distinct: BTreeSet<_> = one.iter().map(|scope| &scope.name).collect();
            prop_assert_eq!(distinct.len(), 7);
            for (mine, theirs) in one.iter().flat_map(|mine| other.iter().map(move |theirs| (mine, theirs))) {
                let same_values = mine.kind == theirs.kind
                    && DIMENSIONS.iter().zip(values.iter().zip(&others)).all(|((name, _), (value, other))| {
                        !mine.kind.split('+').any(|part| part == *name) || value.to_lowercase() == other.to_lowercase()
                    });
                prop_assert_eq!(mine.name == theirs.name, same_values);
            }
        }

        #[test]
        fn a_name_has_as_many_marks_as_dimensions(value in "\\PC{1,20}") {
            for scope in of_tags(&tags([Some(&value), Some(&value), Some(&value)]), &BudgetTags::default()) {
                let dimensions = scope.kind.split('+').count();
                prop_assert_eq!(scope.name.matches('#').count(), dimensions);
                prop_assert_eq!(scope.name.matches('+').count(), dimensions - 1);
            }
        }
    }
}
