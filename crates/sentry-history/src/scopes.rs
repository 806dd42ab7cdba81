//! The scopes that a request counts for.

use std::collections::BTreeSet;

use sentry_contract::request::Tags;
use sentry_contract::scope::{DIMENSIONS, UNSPECIFIED, of_foundation, of_model, of_tag};
use sentry_contract::states::MetricsRecord;

/// The longest partition key of DynamoDB, in bytes. A scope with a longer name cannot have a limit either.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas in Amazon DynamoDB", read in November 2026.
const MOST_KEY_BYTES: usize = 2_048;
/// The tags whose usage is counted for each model too.
const WITH_MODEL: [&str; 2] = ["application", "costCenter"];

/// The scopes of a request: the model, its foundation model, each tag, application × model, cost center × model, and
/// every scope that had a limit on the request.
///
/// A missing application, cost center, environment or tag of `budget_tags` counts as `unspecified`, as it does for
/// limits. So the values of each tag add up to the total. The user is included only if the request has one.
pub fn of(record: &MetricsRecord, budget_tags: &[String]) -> BTreeSet<String> {
    let tags = &record.tags;
    let mut scopes: BTreeSet<String> = record.scopes.iter().cloned().collect();
    if let Some(late) = &record.settlement {
        scopes.extend(late.reservation.scopes.iter().map(|scope| scope.limit.scope.clone()));
    }
    let metric = record.model.model_metric.as_deref().or_else(|| tags.get(Tags::MODEL_METRIC));
    let model = metric.map(of_model);
    scopes.extend(record.model.foundation.as_deref().map(of_foundation));
    for (name, tag) in DIMENSIONS {
        let scope = of_tag(name, tags.get(tag).unwrap_or(UNSPECIFIED));
        if let (Some(model), true) = (&model, WITH_MODEL.contains(&name)) {
            scopes.insert(format!("{scope}+{model}"));
        }
        scopes.insert(scope);
    }
    scopes.extend(model);
    scopes.extend(tags.get(Tags::USER_ID).map(|user| of_tag("user", user)));
    scopes.extend(budget_tags.iter().map(|name| of_tag(name, tags.get(name).unwrap_or(UNSPECIFIED))));
    scopes.retain(|scope| !scope.is_empty() && scope.len() <= MOST_KEY_BYTES);
    scopes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decided::tests::record;

    #[test]
    fn a_request_counts_for_all_that_it_belongs_to() {
        let tags = json!({"applicationId": "Helper", "costCenter": "a+b", "userId": "Jo", "run": "7", "team": "x",
                          "timestamp": "2026-11-21T05:00:00Z", "modelMetric": "nova"});
        let found = of(
            &record(json!({"tags": tags, "scopes": ["application#helper+environment#unspecified", "model#nova"]})),
            &["run".to_owned(), "project".to_owned()],
        );
        let expected = [
            "application#helper",
            "application#helper+environment#unspecified",
            "application#helper+model#us.claude",
            "costCenter#a%2bb",
            "costCenter#a%2bb+model#us.claude",
            "environment#unspecified",
            "foundation#claude",
            "model#nova",
            "model#us.claude",
            "project#unspecified",
            "run#7",
            "user#jo",
        ];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_message_of_an_older_version_counts_for_the_model_of_its_tags() {
        let mut old =
            record(json!({"tags": {"applicationId": "a", "timestamp": "2026-11-21T05:00:00Z", "modelMetric": "nova"}}));
        (old.model.model_metric, old.model.foundation) = (None, None);
        assert!(of(&old, &[]).contains("model#nova"));
    }

    #[test]
    fn a_name_that_is_no_key_is_left_out() {
        let found = of(&record(json!({"scopes": ["x".repeat(2_049), "", "y".repeat(2_048)]})), &[]);
        assert!(found.contains(&"y".repeat(2_048)));
        assert!(!found.iter().any(|scope| scope.is_empty() || scope.len() > 2_048));
    }
}
