//! The limit that applies if an automated response can be in force.

use sentry_domain::{Action, Reaction, ScopeLimit};

use crate::admission::Budget;
use crate::item::Item;

/// The limit of `budget` at the moment: with its response if that is in force, otherwise without. `own` is the scope's
/// own item. `falls_back` is `true` if a fallback can answer the request.
///
/// A response is in force from the moment at which the settled or seen usage has reached its percentage. The mark of
/// the alert keeps it in force for the rest of the window, also if the limit is raised. Without a fallback, a response
/// by the fallback changes nothing.
pub fn in_force<'a>(budget: &Budget<'a>, own: &Item, falls_back: bool) -> &'a ScopeLimit {
    let limit = budget.limit;
    let Some(response) = limit.respond.as_deref() else { return limit };
    let Some(then) = &response.then else { return limit };
    let is_set =
        own.alerted.contains(&response.at) || limit.limits.reached(own.settled.max(budget.seen), response.at).is_some();
    let has_effect = falls_back || response.reaction != Reaction::Action(Action::Fallback);
    if is_set && has_effect { then } else { limit }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sentry_domain::{Amount, Limits};
    use test_support::limit;

    use super::*;

    fn output(output: u64) -> Amount {
        Amount { output, ..Amount::ZERO }
    }

    fn applies(limit: &ScopeLimit, seen: u64, own: &Item, falls_back: bool) -> Option<u64> {
        in_force(&Budget { limit, seen: output(seen) }, own, falls_back).limits.output
    }

    #[test]
    fn a_response_is_in_force_from_its_percentage_on_or_once_its_alert_is_marked() {
        let set = Reaction::Set(Limits { output: Some(950), ..Limits::default() });
        let limits = Limits { output: Some(1_000), ..Limits::default() };
        let limit = limit("costCenter#a", limits, 1).responding(90, set);
        let used = |settled| Item { settled: output(settled), ..Item::default() };
        assert_eq!(applies(&limit, 0, &used(899), false), Some(1_000));
        assert_eq!(applies(&limit, 0, &used(900), false), Some(950));
        assert_eq!(applies(&limit, 900, &used(0), false), Some(950));
        let marked = Item { alerted: BTreeSet::from([90]), ..used(10) };
        assert_eq!(applies(&limit, 0, &marked, false), Some(950));
        let other = Item { alerted: BTreeSet::from([80, 100]), ..used(10) };
        assert_eq!(applies(&limit, 0, &other, false), Some(1_000));
        // The limit while the response is in force has no further response.
        let then = limit.respond.as_ref().unwrap().then.as_ref().unwrap();
        assert_eq!(applies(then, 0, &marked, false), Some(950));
    }

    #[test]
    fn a_response_by_the_fallback_needs_a_fallback() {
        let limits = Limits { output: Some(1_000), ..Limits::default() };
        let limit = limit("model#a", limits, 1).responding(90, Reaction::Action(Action::Fallback));
        let marked = Item { alerted: BTreeSet::from([90]), ..Item::default() };
        assert_eq!(applies(&limit, 0, &marked, true), Some(0));
        assert_eq!(applies(&limit, 0, &marked, false), Some(1_000));
    }
}
