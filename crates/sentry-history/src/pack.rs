//! Splits requests into groups, one for each transaction.

use std::collections::{BTreeSet, VecDeque};

use crate::decided::Decided;

/// The most actions of a transaction.
///
/// Source: API reference of Amazon DynamoDB, `TransactWriteItems`, read in November 2026. The items of a transaction
/// can have 4 MB together. An action has less than 10 KB.
pub const MOST_ACTIONS: usize = 100;

/// The requests `wanted` in groups. One transaction writes a group: a marker for each request, and one addition for
/// each scope and day. A request and its marker are always in the same group. A request that needs more than one
/// transaction is a group of its own, which DynamoDB rejects.
pub fn groups(decided: &[Decided], wanted: impl IntoIterator<Item = usize>) -> VecDeque<Vec<usize>> {
    let mut groups = VecDeque::new();
    let mut group = Vec::new();
    let mut keys = BTreeSet::new();
    for index in wanted {
        let Some(request) = decided.get(index) else { continue };
        let own = || request.scopes.iter().map(|scope| (scope.as_str(), request.day()));
        let added = 1 + own().filter(|key| !keys.contains(key)).count();
        if !group.is_empty() && group.len() + keys.len() + added > MOST_ACTIONS {
            groups.push_back(std::mem::take(&mut group));
            keys.clear();
        }
        keys.extend(own());
        group.push(index);
    }
    if !group.is_empty() {
        groups.push_back(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;

    use super::*;
    use crate::sums::Sums;

    fn decided(scopes: &[u16], day: i64) -> Decided {
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(day);
        let scopes = scopes.iter().map(|scope| format!("user#{scope}")).collect();
        Decided { id: String::new(), at, scopes, sums: Sums::default() }
    }

    #[test]
    fn requests_of_the_same_scopes_share_a_transaction() {
        let requests = vec![decided(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0); 100];
        let sizes: Vec<_> = groups(&requests, 0..100).iter().map(Vec::len).collect();
        assert_eq!(sizes, [90, 10]);
    }

    proptest! {
        #[test]
        fn every_request_is_in_one_group_and_every_group_fits(
            requests in prop::collection::vec((prop::collection::vec(0_u16..500, 0..40), 0_i64..3), 0..150)
        ) {
            let requests: Vec<_> = requests.iter().map(|(scopes, day)| decided(scopes, *day)).collect();
            let groups = groups(&requests, 0..requests.len());
            prop_assert_eq!(groups.iter().flatten().copied().collect::<Vec<_>>(), (0..requests.len()).collect::<Vec<_>>());
            for group in groups {
                let keys: BTreeSet<_> =
                    group.iter().flat_map(|at| requests[*at].scopes.iter().map(|scope| (scope, requests[*at].day()))).collect();
                prop_assert!(group.len() + keys.len() <= MOST_ACTIONS);
            }
        }
    }
}
