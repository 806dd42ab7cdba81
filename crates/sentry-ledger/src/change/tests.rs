use super::*;
use crate::sweep::sooner_look;

fn amount(input: u64, output: u64) -> Amount {
    Amount { input, output, requests: 1, in_flight: 1, ..Amount::ZERO }
}

fn hold(input: u64, output: u64) -> Hold {
    Hold { amount: amount(input, output), taken_ms: 1_000, expires_ms: 361_000 }
}

fn spent(output: u64) -> Amount {
    amount(0, output).spent_in_full()
}

fn take(id: &str, output: u64, limit: u64, seen: u64) -> Option<Change> {
    let limits = Limits { output: Some(limit), ..Limits::default() };
    let bounds = Bounds::new(&limits, &amount(0, seen), &amount(0, output))?;
    Some(Change::Take {
        owner: id.into(),
        hold: hold(0, output),
        bounds,
        terms: "t".into(),
        watch: None,
        delete_after: None,
    })
}

#[test]
fn the_last_hold_that_fits_is_taken_and_no_other() {
    let mut item = Item::default();
    for id in ["a", "b"] {
        item = take(id, 10, 20, 0).unwrap().apply(&item).unwrap();
    }
    assert_eq!(take("c", 1, 20, 0).unwrap().apply(&item), None);
    assert_eq!(take("c", 21, 20, 0), None);
}

#[test]
fn usage_that_cloudwatch_has_seen_leaves_room_for_the_rest_only() {
    let item = take("a", 10, 20, 5).unwrap().apply(&Item::default()).unwrap();
    assert_eq!(take("b", 6, 20, 5).unwrap().apply(&item), None);
    assert!(take("b", 5, 20, 5).unwrap().apply(&item).is_some());
    assert_eq!(take("b", 5, 20, 16), None);
}

#[test]
fn settling_twice_changes_nothing_more() {
    let item = take("a", 10, 20, 0).unwrap().apply(&Item::default()).unwrap();
    let settle =
        Change::Settle { owner: "a".into(), hold: hold(0, 10), actual: spent(4), shard: false, lasted_ms: Some(5) };
    let settled = settle.apply(&item).unwrap();
    assert_eq!((settled.settled, settled.held), (spent(4), Amount::ZERO));
    assert_eq!((settled.calls, settled.busy_ms), (1, 5));
    assert_eq!(settle.apply(&settled), None);
}

#[test]
fn another_hold_of_the_same_name_is_left_alone() {
    let item = take("a", 10, 20, 0).unwrap().apply(&Item::default()).unwrap();
    let other = Hold { taken_ms: 2_000, ..hold(0, 10) };
    let settle = Change::Settle { owner: "a".into(), hold: other, actual: Amount::ZERO, shard: false, lasted_ms: None };
    assert_eq!(settle.apply(&item), None);
}

#[test]
fn a_lease_is_used_up_to_its_end_under_its_own_terms_and_in_its_time() {
    let free = |output| PerUnit { output, ..PerUnit::default() };
    let lease = Item { free: free(15), terms: Some("t".into()), lease_until_ms: 100, ..Item::default() };
    let draw = |owner: &str, output, terms: &str, now_ms| Change::Draw {
        owner: owner.into(),
        hold: hold(0, output),
        limited: PerUnit { output: true, ..PerUnit::default() },
        terms: terms.into(),
        now_ms,
    };
    let drawn = draw("a", 10, "t", 99).apply(&lease).unwrap();
    assert_eq!((drawn.free.output, drawn.held), (5, amount(0, 10)));
    assert_eq!(draw("b", 6, "t", 99).apply(&drawn), None);
    assert_eq!(draw("b", 5, "u", 99).apply(&drawn), None);
    assert_eq!(draw("b", 5, "t", 100).apply(&drawn), None);
    let settle =
        Change::Settle { owner: "a".into(), hold: hold(0, 10), actual: spent(3), shard: true, lasted_ms: None };
    assert_eq!(settle.apply(&drawn).unwrap().free.output, 12);
}

#[test]
fn a_barred_execution_takes_no_hold_and_keeps_the_one_that_it_has() {
    let bar = |owner: &str| Change::Bar { owner: owner.into(), until_ms: 5_000, delete_after: None };
    let item = bar("a").apply(&Item::default()).unwrap();
    assert_eq!(take("a", 10, 20, 0).unwrap().apply(&item), None);
    let item = bar("b").apply(&take("b", 10, 20, 0).unwrap().apply(&item).unwrap()).unwrap();
    assert_eq!((item.holds.len(), item.sweep_at_ms), (1, Some(5_000)));
    let unbar = vec!["a".into(), "b".into()];
    let swept = Change::NextLook { at_ms: 5_000, next_ms: Some(361_000), is_unheld: false, unbar };
    assert!(swept.apply(&item).unwrap().barred.is_empty());
}

#[test]
fn an_item_leaves_the_sweep_only_without_holds() {
    let item = take("a", 10, 20, 0).unwrap().apply(&Item::default()).unwrap();
    assert_eq!(item.sweep_at_ms, Some(361_000));
    let look = |next_ms, is_unheld| Change::NextLook { at_ms: 361_000, next_ms, is_unheld, unbar: vec![] };
    assert_eq!(look(None, true).apply(&item), None);
    assert_eq!(look(Some(400_000), true).apply(&item), None);
    assert_eq!(look(Some(400_000), false).apply(&item).unwrap().sweep_at_ms, Some(400_000));
    let settle =
        Change::Settle { owner: "a".into(), hold: hold(0, 10), actual: spent(10), shard: false, lasted_ms: None };
    assert_eq!(look(None, true).apply(&settle.apply(&item).unwrap()).unwrap().sweep_at_ms, None);
}

#[test]
fn a_hold_is_taken_only_if_the_sweep_comes_by_its_expiry() {
    let bar = |until_ms| Change::Bar { owner: "b".into(), until_ms, delete_after: None };
    let late = bar(361_001).apply(&Item::default()).unwrap();
    assert_eq!(take("a", 10, 20, 0).unwrap().apply(&late), None);
    let sooner = sooner_look(&late, 361_000).unwrap().apply(&late).unwrap();
    let held = take("a", 10, 20, 0).unwrap().apply(&sooner).unwrap();
    assert_eq!(held.sweep_at_ms, Some(361_000));
    let in_time = bar(361_000).apply(&Item::default()).unwrap();
    assert_eq!(sooner_look(&in_time, 361_000), None);
    assert!(take("a", 10, 20, 0).unwrap().apply(&in_time).is_some());
}
