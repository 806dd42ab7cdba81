//! The models in use: their ends, their prices, and if they were called through a profile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use chrono::{NaiveDate, TimeDelta};
use fn_lookup_limit::Item;
use sentry_contract::request::PriceSource;
use sentry_models::Catalogue;
use sentry_report::{DaysByScope, UNGOVERNED};

use super::check::{Check, Gap, Seen, some_of};
use crate::failure::Failure;
use crate::profiles::directory::Profile;
use crate::stack::Stack;

/// Age from which a price should be read again, as in `sentry models check`.
const OLD_PRICE: TimeDelta = TimeDelta::days(90);
const MODEL: &str = "model#";
const FOUNDATION: &str = "foundation#";
const DEFAULT: &str = "default";

/// A model that requests of this month or limits name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    pub name: String,
    /// The sentence about its end, if it ends within 60 days.
    pub ends: Option<String>,
    /// `true` if dollars are counted for it.
    pub is_priced: bool,
    /// The day on which the catalogue's price was read. `None` if the price is not the catalogue's.
    pub price_read: Option<NaiveDate>,
}

/// The names of the models that had requests this month, or have limits.
pub fn names(history: &Seen<DaysByScope>, limits: &Seen<BTreeMap<String, Item>>) -> BTreeSet<String> {
    let called = history.iter().flat_map(DaysByScope::keys).filter_map(|scope| called_model(scope)).map(str::to_owned);
    let limited = limits.iter().flat_map(BTreeMap::keys).filter_map(|key| match key.strip_prefix(FOUNDATION) {
        Some(id) => Some(id),
        None => Some(key.as_str()).filter(|key| !key.contains('#')),
    });
    called.chain(limited.filter(|name| *name != DEFAULT).map(str::to_owned)).collect()
}

/// The model of a scope of the history. `None` if the scope is not one model alone.
fn called_model(scope: &str) -> Option<&str> {
    scope.strip_prefix(MODEL).filter(|id| !id.contains('+'))
}

/// Resolves `names` as requests do. A name that no request can call is left out: the check of limits has it.
///
/// # Errors
/// If the catalogue table or Bedrock cannot be asked.
pub async fn in_use(
    stack: &Stack,
    names: BTreeSet<String>,
    profiles: &Seen<Vec<Profile>>,
    today: NaiveDate,
) -> Seen<Vec<InUse>> {
    let failed = |failure: Failure| Gap::of("dynamodb:GetItem on the catalogue table", &failure);
    let (resolver, catalogue) = (stack.resolver().map_err(failed)?, stack.catalogue().map_err(failed)?);
    let by_id: HashMap<&str, &Profile> = profiles.iter().flatten().map(|it| (it.id.as_str(), it)).collect();
    let mut found = Vec::new();
    for name in names {
        let profile = by_id.get(name.as_str());
        let requested = profile.map_or(name.as_str(), |profile| profile.arn.as_str());
        let answer = resolver.resolve(requested, today, Instant::now()).await.map_err(|failure| {
            Gap::of("dynamodb:GetItem on the catalogue table", &Failure::Unreachable(format!("{name}: {failure}")))
        })?;
        let Ok(resolved) = answer else { continue };
        let id = profile.and_then(|profile| profile.model.as_deref()).unwrap_or(&resolved.model.model_id);
        let of_catalogue = resolved.model.price_source == PriceSource::Catalogue;
        let origin = catalogue.price_origin(id, &stack.region).filter(|_| of_catalogue);
        found.push(InUse {
            name,
            ends: resolved.retiring.as_ref().map(ToString::to_string),
            is_priced: resolved.model.price.is_some(),
            price_read: origin.map(|origin| origin.read),
        });
    }
    Ok(found)
}

/// Judges the ends of the models.
pub fn ends(name: &'static str, models: &[InUse]) -> Check {
    let ending: Vec<&str> = models.iter().filter_map(|model| model.ends.as_deref()).collect();
    if ending.is_empty() {
        return Check::ok(name, format!("none of {} models in use ends within 60 days", models.len()));
    }
    Check::warning(name, some_of(&ending), "change the requests and limits to the successor")
}

/// Judges the prices of the models in use, or of the whole catalogue if none is.
pub fn prices(name: &'static str, models: &[InUse], catalogue: &Catalogue, region: &str, today: NaiveDate) -> Check {
    let unpriced: Vec<&str> = models.iter().filter(|model| !model.is_priced).map(|it| it.name.as_str()).collect();
    if !unpriced.is_empty() {
        return Check::warning(
            name,
            format!(
                "{} models in use have no price, so dollar limits deny them: {}",
                unpriced.len(),
                some_of(&unpriced)
            ),
            "sentry models add, with the price",
        );
    }
    let oldest = models.iter().filter_map(|model| model.price_read).min().or_else(|| {
        let ids = catalogue.known().into_iter();
        ids.filter_map(|known| Some(catalogue.price_origin(&known.model, region)?.read)).min()
    });
    let Some(oldest) = oldest else { return Check::ok(name, "all prices are the catalogue table's") };
    let age = (today - oldest).num_days();
    let finding = format!("the oldest price in use was read {age} days ago, on {oldest}");
    if today - oldest <= OLD_PRICE {
        return Check::ok(name, finding);
    }
    Check::warning(name, finding, "deploy a newer version, or correct the price with `sentry models add`")
}

/// Judges if the models of this month were called through a profile. Without one, the bill has no tag.
pub fn without_profile(name: &'static str, history: &DaysByScope) -> Check {
    let models: Vec<&str> = history.keys().filter_map(|scope| called_model(scope)).collect();
    // The id of a model has a provider before a dot, and that of an application inference profile has no dot.
    let bare: Vec<&str> = models.iter().copied().filter(|id| id.contains('.')).collect();
    if bare.is_empty() {
        return Check::ok(name, format!("all {} models of this month were called through a profile", models.len()));
    }
    Check::warning(
        name,
        format!("{} of {} of this month had no profile: {}", bare.len(), models.len(), some_of(&bare)),
        "their spend has no tag on the bill. See `sentry profiles create`",
    )
}

/// Judges the tokens of this month that bypassed the sentry.
pub fn bypassed(name: &'static str, history: &DaysByScope) -> Check {
    let mut tokens = 0_u128;
    let mut models = Vec::new();
    for (scope, days) in history {
        let Some(model) = scope.strip_prefix(UNGOVERNED).and_then(|rest| rest.strip_prefix('#')) else { continue };
        let of_model: u128 = days.iter().map(|day| day.sums.get("input") + day.sums.get("output")).sum();
        if of_model > 0 {
            tokens += of_model;
            models.push(model);
        }
    }
    if tokens == 0 {
        return Check::ok(name, "no tokens of this month bypassed the sentry");
    }
    Check::warning(
        name,
        format!("{tokens} tokens of this month bypassed the sentry: {}", some_of(&models)),
        "sentry prove --iam FILE lists who can, and the policy that denies it",
    )
}

/// Judges the items of the limits table with the code of `sentry limits lint`.
pub fn limits(name: &'static str, count: usize, problems: &[(String, String)]) -> Check {
    if count == 0 {
        return Check::fault(
            name,
            "there are no limits, so every request is denied",
            "sentry limits set default --limit usd=100",
        );
    }
    if problems.is_empty() {
        return Check::ok(name, format!("requests can reach each of {count} items"));
    }
    let keys: Vec<&str> = problems.iter().map(|(key, _)| key.as_str()).collect();
    Check::fault(
        name,
        format!("{} of {count} items have no effect or are malformed: {}", problems.len(), some_of(&keys)),
        "sentry limits lint",
    )
}

#[cfg(test)]
mod tests {
    use sentry_history::{Day, Sums};

    use super::super::check::State;
    use super::*;

    fn today() -> NaiveDate {
        "2026-11-21".parse().unwrap()
    }

    fn history(scopes: &[(&str, u64)]) -> DaysByScope {
        let days = scopes.iter().map(|(scope, input)| {
            let mut sums = Sums::default();
            sums.add("input", *input);
            ((*scope).to_owned(), vec![Day { day: today(), sums }])
        });
        days.collect()
    }

    fn model(name: &str) -> InUse {
        InUse { name: name.to_owned(), ends: None, is_priced: true, price_read: None }
    }

    #[test]
    fn models_in_use_are_those_of_the_history_and_of_the_limits() {
        let history =
            Ok(history(&[("model#us.amazon.nova-lite-v1:0", 1), ("model#a.b+user#jo", 1), ("costCenter#a", 1)]));
        let keys = ["default", "foundation#default", "foundation#amazon.nova-pro-v1:0", "nova-micro", "costCenter#a"];
        let limits = Ok(keys.map(|key| (key.to_owned(), Item::new())).into());
        let expected = ["amazon.nova-pro-v1:0", "nova-micro", "us.amazon.nova-lite-v1:0"];
        assert_eq!(names(&history, &limits), expected.map(str::to_owned).into());
    }

    #[test]
    fn a_model_without_a_profile_is_told_by_its_id() {
        let check = without_profile("p", &history(&[("model#amazon.nova-lite-v1:0", 1), ("model#a1b2c3", 1)]));
        assert_eq!(check.finding, "1 of 2 of this month had no profile: amazon.nova-lite-v1:0");
        assert_eq!(without_profile("p", &history(&[("model#a1b2c3", 1)])).state, State::Ok);
    }

    #[test]
    fn tokens_that_bypassed_are_summed_and_zero_is_ok() {
        let check = bypassed("b", &history(&[("ungoverned#a.b", 5), ("ungoverned#a.c", 7), ("model#a.b", 9)]));
        assert_eq!(
            (check.state, check.finding.as_str()),
            (State::Warning, "12 tokens of this month bypassed the sentry: a.b, a.c")
        );
        assert_eq!(bypassed("b", &history(&[("ungoverned#a.b", 0), ("model#a.b", 9)])).state, State::Ok);
    }

    #[test]
    fn an_old_price_a_missing_price_and_an_end_are_warnings() {
        let catalogue = Catalogue::bundled().unwrap();
        let judged = |models: &[InUse]| prices("p", models, &catalogue, "us-east-1", today());
        let read = |day: &str| InUse { price_read: Some(day.parse().unwrap()), ..model("m") };
        assert_eq!(judged(&[read("2026-08-23")]).state, State::Ok, "90 days");
        let check = judged(&[read("2026-11-20"), read("2026-08-22")]);
        assert!(check.state == State::Warning && check.finding.contains("91 days ago"), "{check:?}");
        assert!(judged(&[InUse { is_priced: false, ..model("m") }]).finding.contains("have no price"));
        assert!(judged(&[]).finding.contains("the oldest price"), "without a model in use it is the whole catalogue");
        assert_eq!(ends("e", &[model("m")]).state, State::Ok);
        let ending = InUse { ends: Some("m can be called until 2026-12-01 only; move to n".to_owned()), ..model("m") };
        assert_eq!(ends("e", &[ending]).state, State::Warning);
    }

    #[test]
    fn no_limit_at_all_and_one_without_effect_are_faults() {
        assert_eq!(limits("l", 0, &[]).state, State::Fault);
        assert_eq!(limits("l", 1, &[]).state, State::Ok);
        let problem = ("costCentre#a".to_owned(), "misspelled".to_owned());
        assert!(limits("l", 2, &[problem]).finding.contains("1 of 2 items"));
    }
}
