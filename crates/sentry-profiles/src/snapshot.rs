//! All profiles at one time, by model and tags.

use std::collections::HashMap;

use sentry_contract::request::Tags;
use serde::{Deserialize, Serialize};

/// Keys of the tags that select a profile. A tag key of AWS is case-sensitive.
pub const KEYS: [&str; 3] = [Tags::APPLICATION_ID, Tags::COST_CENTER, Tags::ENVIRONMENT];

/// Values of [`KEYS`], in that order. `None` if there is no such tag.
pub type Values<T> = [Option<T>; KEYS.len()];

/// A profile, and the tags that select it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedProfile {
    /// ARN of the profile.
    pub arn: String,
    /// Id of the foundation model or system-defined profile that the profile was copied from.
    pub model: String,
    /// The tags, as written.
    pub values: Values<String>,
}

/// Several profiles fit a request equally well.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} fit the tags of the request equally well", .arns.join(" and "))]
pub struct Ambiguous {
    /// ARNs of the profiles, sorted.
    pub arns: Vec<String>,
}

/// All profiles at one time. It never changes; a newer snapshot replaces it as a whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    profiles: Vec<(TaggedProfile, Values<String>)>,
    by_arn: HashMap<String, usize>,
    by_model: HashMap<String, Vec<usize>>,
}

impl Snapshot {
    /// A snapshot of `profiles`.
    #[must_use]
    pub fn new(profiles: Vec<TaggedProfile>) -> Self {
        let mut snapshot = Self::default();
        for (number, profile) in profiles.into_iter().enumerate() {
            snapshot.by_arn.insert(profile.arn.clone(), number);
            snapshot.by_model.entry(profile.model.clone()).or_default().push(number);
            let folded = profile.values.each_ref().map(|value| value.as_deref().map(folded));
            snapshot.profiles.push((profile, folded));
        }
        snapshot
    }

    /// The profile with this ARN.
    #[must_use]
    pub fn by_arn(&self, arn: &str) -> Option<&TaggedProfile> {
        self.by_arn.get(arn).and_then(|number| self.profiles.get(*number)).map(|(profile, _)| profile)
    }

    /// The profile of `model` with the most tags of [`KEYS`], all of which have the request's values. A profile without
    /// such a tag never fits. Case is ignored, as in the names of scopes: a request of `Marketing` uses the budget of
    /// `marketing`, so it uses its profile too.
    ///
    /// # Errors
    /// [`Ambiguous`] if several profiles fit with the same number of tags.
    pub fn find(&self, model: &str, request: Values<&str>) -> Result<Option<&TaggedProfile>, Ambiguous> {
        let request = request.map(|value| value.map(folded));
        let (mut most, mut best): (usize, Vec<&TaggedProfile>) = (1, Vec::new());
        let of_model = self.by_model.get(model).into_iter().flatten();
        for (profile, values) in of_model.filter_map(|number| self.profiles.get(*number)) {
            match equal_tags(values, &request) {
                Some(equal) if equal > most => (most, best) = (equal, vec![profile]),
                Some(equal) if equal == most => best.push(profile),
                _ => {}
            }
        }
        if best.len() > 1 {
            let mut arns: Vec<String> = best.into_iter().map(|profile| profile.arn.clone()).collect();
            arns.sort();
            return Err(Ambiguous { arns });
        }
        Ok(best.pop())
    }
}

/// The number of tags in `own` if the request has all of them. `None` if it does not.
fn equal_tags(own: &Values<String>, request: &Values<String>) -> Option<usize> {
    let mut equal = 0;
    for (own, asked) in own.iter().zip(request) {
        if own.is_some() {
            if own != asked {
                return None;
            }
            equal += 1;
        }
    }
    Some(equal)
}

impl TaggedProfile {
    /// The first key whose value contradicts the request, with the value of the profile. A tag that the request does
    /// not have is no contradiction.
    #[must_use]
    pub fn contradiction(&self, request: Values<&str>) -> Option<(&'static str, &str)> {
        let pairs = KEYS.into_iter().zip(&self.values).zip(request);
        pairs.into_iter().find_map(|((key, own), asked)| {
            let (own, asked) = (own.as_deref()?, asked?);
            (folded(own) != folded(asked)).then_some((key, own))
        })
    }
}

fn folded(value: &str) -> String {
    value.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "amazon.nova-lite-v1:0";

    fn profile(arn: &str, values: Values<&str>) -> TaggedProfile {
        let values = values.map(|value| value.map(str::to_owned));
        TaggedProfile { arn: arn.to_owned(), model: MODEL.to_owned(), values }
    }

    #[test]
    fn the_profile_with_the_most_equal_tags_is_found() {
        let snapshot = Snapshot::new(vec![
            profile("none", [None, None, None]),
            profile("sales", [None, Some("sales"), None]),
            profile("sales-test", [None, Some("Sales"), Some("test")]),
            profile("shop", [Some("shop"), Some("sales"), Some("prod")]),
        ]);
        let find = |values| snapshot.find(MODEL, values).unwrap().map(|profile| profile.arn.as_str());
        assert_eq!(find([Some("crm"), Some("sales"), Some("prod")]), Some("sales"));
        assert_eq!(find([Some("crm"), Some("SALES"), Some("test")]), Some("sales-test"));
        assert_eq!(find([Some("shop"), Some("sales"), Some("prod")]), Some("shop"));
        assert_eq!(find([Some("crm"), Some("support"), None]), None);
        assert_eq!(find([None, None, None]), None);
        assert_eq!(snapshot.find("another", [None, Some("sales"), None]), Ok(None));
        assert_eq!(snapshot.by_arn("shop").map(|profile| profile.model.as_str()), Some(MODEL));
        assert_eq!(snapshot.by_arn("crm"), None);
    }

    #[test]
    fn profiles_that_fit_equally_well_are_all_named() {
        let snapshot = Snapshot::new(vec![
            profile("b", [None, Some("sales"), None]),
            profile("a", [Some("shop"), None, None]),
            profile("c", [Some("shop"), Some("sales"), Some("test")]),
        ]);
        let error = snapshot.find(MODEL, [Some("shop"), Some("sales"), None]).unwrap_err();
        assert_eq!(error.to_string(), "a and b fit the tags of the request equally well");
        assert!(snapshot.find(MODEL, [Some("shop"), Some("sales"), Some("test")]).is_ok());
    }

    #[test]
    fn a_value_contradicts_unless_it_is_equal_or_one_of_both_is_absent() {
        let profile = profile("a", [None, Some("Sales"), Some("test")]);
        assert_eq!(profile.contradiction([Some("shop"), Some("sales"), None]), None);
        assert_eq!(profile.contradiction([None, None, None]), None);
        assert_eq!(profile.contradiction([None, Some("support"), Some("x")]), Some(("costCenter", "Sales")));
        assert_eq!(profile.contradiction([None, None, Some("prod")]), Some(("environment", "test")));
    }
}
