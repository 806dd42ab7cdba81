//! Checks the parts that put spend on the bill under its tags: profiles, their tags, and the cost allocation tag.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_costexplorer::Client;
use aws_sdk_costexplorer::types::{CostAllocationTag, CostAllocationTagStatus};
use chrono::{DateTime, Utc};
use sentry_profiles::KEYS;

use super::check::{Check, Gap, Seen, some_of};
use crate::failure::Failure;
use crate::profiles::directory::Profile;
use crate::profiles::show::SETTLED;

/// Maximum number of inference profiles of an account and Region. It can be raised.
///
/// Source: Service Quotas, Amazon Bedrock, "Inference profiles per account" (L-40EC9882), read in November 2026.
const MOST_PROFILES: usize = 1_000;
/// Number of profiles from which somebody should ask for more.
const NEARLY_ALL: usize = 900;

/// Tags of profiles by ARN.
pub type ProfileTags = HashMap<String, BTreeMap<String, String>>;

/// Judges the number of profiles by the quota.
pub fn quota(name: &'static str, profiles: &[Profile]) -> Check {
    let finding = format!("{} of {MOST_PROFILES} application inference profiles", profiles.len());
    if profiles.len() < NEARLY_ALL {
        return Check::ok(name, finding);
    }
    Check::warning(name, finding, "delete profiles, or ask Service Quotas to raise L-40EC9882")
}

/// Judges if each profile has a tag that selects it and groups its spend.
pub fn profile_tags(name: &'static str, profiles: &[Profile], tags: &ProfileTags, now: DateTime<Utc>) -> Check {
    let lacks = |profile: &&Profile| {
        let known = tags.get(&profile.arn);
        // The list of tags follows changes with a delay.
        let is_settled =
            known.is_some_and(|known| !known.is_empty()) || profile.created.is_none_or(|at| now - at >= SETTLED);
        is_settled && !KEYS.iter().any(|key| known.and_then(|known| known.get(*key)).is_some_and(|it| !it.is_empty()))
    };
    let lacking: Vec<&str> = profiles.iter().filter(lacks).map(|it| it.name.as_str()).collect();
    if lacking.is_empty() {
        return Check::ok(name, format!("each profile of {} has a tag of {}", profiles.len(), KEYS.join(", ")));
    }
    Check::warning(
        name,
        format!("{} of {} have no tag of {}: {}", lacking.len(), profiles.len(), KEYS.join(", "), some_of(&lacking)),
        "sentry profiles tag NAME costCenter=…",
    )
}

/// Asks if the cost allocation tag `key` is active. `None` if AWS does not know the key yet.
pub async fn allocation_tag(client: &Client, key: &str) -> Seen<Option<CostAllocationTag>> {
    let answer = client.list_cost_allocation_tags().tag_keys(key).send().await;
    let answer = answer.map_err(|error| {
        let failure = Failure::of_call("the cost allocation tags cannot be listed", &error);
        let gap = Gap::of("ce:ListCostAllocationTags", &failure);
        let command = format!("run aws ce list-cost-allocation-tags --tag-keys {key}");
        let todo = if gap.is_refusal() { format!("{}; or {command} with another profile", gap.todo) } else { command };
        Gap { todo, ..gap }
    })?;
    Ok(answer.cost_allocation_tags().iter().find(|tag| tag.tag_key() == key).cloned())
}

/// Judges the cost allocation tag `key`.
pub fn allocation(name: &'static str, key: &str, tag: Option<&CostAllocationTag>) -> Check {
    let Some(tag) = tag else {
        return Check::warning(
            name,
            format!("AWS does not know the tag key {key} yet"),
            "tag a profile and use it. The key appears up to 24 hours later",
        );
    };
    let used = tag.last_used_date().map_or("not used yet".to_owned(), |at| format!("last used {at}"));
    if *tag.status() == CostAllocationTagStatus::Active {
        return Check::ok(name, format!("{key} is active, {used}"));
    }
    Check::warning(
        name,
        format!("{key} is not active, so the bill does not have it ({used})"),
        format!("aws ce update-cost-allocation-tags-status --cost-allocation-tags-status TagKey={key},Status=Active"),
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_costexplorer::error::ErrorMetadata;
    use aws_sdk_costexplorer::operation::list_cost_allocation_tags::{
        ListCostAllocationTagsError, ListCostAllocationTagsOutput,
    };
    use aws_sdk_costexplorer::types::CostAllocationTagType;
    use aws_smithy_mocks::{RuleMode, mock};
    use chrono::TimeDelta;
    use test_support::mock_client;

    use super::super::check::State;
    use super::*;

    fn profile(name: &str, age: TimeDelta) -> Profile {
        Profile {
            name: name.to_owned(),
            arn: format!("arn:{name}"),
            id: name.to_owned(),
            model: None,
            status: "ACTIVE".to_owned(),
            created: Some(now() - age),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-11-21T14:05:00Z".parse().unwrap()
    }

    fn tag(status: CostAllocationTagStatus) -> CostAllocationTag {
        CostAllocationTag::builder()
            .tag_key("costCenter")
            .r#type(CostAllocationTagType::UserDefined)
            .status(status)
            .build()
            .unwrap()
    }

    #[test]
    fn a_profile_without_a_tag_is_named_once_aws_lists_tags() {
        let day = TimeDelta::days(1);
        let profiles =
            [profile("whole", day), profile("half", day), profile("bare", day), profile("young", TimeDelta::zero())];
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let tags = ProfileTags::from([
            ("arn:whole".to_owned(), of(&[("costCenter", "sales"), ("applicationId", "crm")])),
            ("arn:half".to_owned(), of(&[("costCenter", "sales")])),
        ]);
        let check = profile_tags("t", &profiles, &tags, now());
        assert_eq!(check.finding, "1 of 4 have no tag of applicationId, costCenter, environment: bare");
        assert_eq!(profile_tags("t", &profiles[..1], &tags, now()).state, State::Ok);
    }

    #[test]
    fn the_quota_is_a_warning_before_it_is_reached() {
        let profiles = |count| vec![profile("a", TimeDelta::days(1)); count];
        assert_eq!(quota("q", &profiles(899)).state, State::Ok);
        assert_eq!(quota("q", &profiles(900)).state, State::Warning);
    }

    #[test]
    fn a_tag_that_is_not_active_names_the_command_that_activates_it() {
        let check = allocation("t", "costCenter", Some(&tag(CostAllocationTagStatus::Inactive)));
        assert!(check.state == State::Warning && check.todo.contains("TagKey=costCenter,Status=Active"), "{check:?}");
        assert_eq!(allocation("t", "costCenter", Some(&tag(CostAllocationTagStatus::Active))).state, State::Ok);
        assert_eq!(allocation("t", "costCenter", None).state, State::Warning);
    }

    #[tokio::test]
    async fn without_the_permission_it_is_unknown_with_the_action_and_the_command() {
        let denied = mock!(Client::list_cost_allocation_tags).then_error(|| {
            ListCostAllocationTagsError::generic(ErrorMetadata::builder().code("AccessDeniedException").build())
        });
        let client = mock_client!(aws_sdk_costexplorer, RuleMode::MatchAny, &[&denied]);
        let gap = allocation_tag(&client, "costCenter").await.unwrap_err();
        assert_eq!(gap.reason, "the caller may not call ce:ListCostAllocationTags");
        assert!(gap.todo.contains("aws ce list-cost-allocation-tags --tag-keys costCenter"), "{gap:?}");
        let known = mock!(Client::list_cost_allocation_tags).then_output(|| {
            ListCostAllocationTagsOutput::builder().cost_allocation_tags(tag(CostAllocationTagStatus::Active)).build()
        });
        let client = mock_client!(aws_sdk_costexplorer, RuleMode::MatchAny, &[&known]);
        assert!(allocation_tag(&client, "costCenter").await.unwrap().is_some());
    }
}
