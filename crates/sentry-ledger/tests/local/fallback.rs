//! One hold for one of two models, whatever happens in between.

use sentry_domain::{Amount, Remedy, Reservation, ScopeLimit};
use sentry_ledger::{Admission, Choice, Earlier, Holder, Ledger};

use crate::support::{HOLD, ask, figures_of, ledger, limit, noon, output};

const FALLBACK: &[Remedy] = &[Remedy::Fallback];
const FALLBACK_FIRST: &[Remedy] = &[Remedy::Fallback, Remedy::Clamp];

/// The limits of a model with `own` tokens and the remedies `words`, and the limits of its fallback. Both models share
/// a cost center.
fn pair(own: u64, words: &[Remedy], other: u64, shards: u16) -> [Vec<ScopeLimit>; 2] {
    let dear = ScopeLimit { when_exceeded: words.to_vec(), ..limit("model#dear", own, shards) };
    let shared = limit("costCenter#c", 10_000, shards);
    [vec![dear, shared.clone()], vec![limit("model#cheap", other, shards), shared]]
}

async fn either(ledger: &Ledger, limits: &[Vec<ScopeLimit>; 2], id: &str, run: &str) -> (Admission, Choice) {
    let holder = Holder { request_id: id, execution_id: run };
    let fallback = ask(&limits[1], 60);
    ledger.reserve_either(holder, &ask(&limits[0], 60), Some(&fallback), None, noon(), HOLD).await.unwrap()
}

fn taken((admission, choice): (Admission, Choice), expected: Choice) -> Reservation {
    assert_eq!(choice, expected);
    let Admission::Approved { reservation, .. } = admission else { panic!("not approved: {admission:?}") };
    let scope = if choice == Choice::Wanted { "model#dear" } else { "model#cheap" };
    assert_eq!(reservation.scopes[0].limit.scope, scope);
    reservation
}

/// The held amounts of the scopes: the model, its fallback, and the cost center.
async fn held(ledger: &Ledger, limits: &[Vec<ScopeLimit>; 2]) -> [u64; 3] {
    let mut held = [0; 3];
    let scopes = [&limits[0][0], &limits[1][0], &limits[0][1]];
    for (held, limit) in held.iter_mut().zip(scopes) {
        *held = figures_of(ledger, limit).await.1;
    }
    held
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_repeat_finds_the_hold_for_whichever_model_it_was() {
    for shards in [1, 3] {
        let (ledger, limits) = (ledger().await, pair(100, FALLBACK, 100, shards));
        let first = taken(either(&ledger, &limits, "a", "run-1").await, Choice::Wanted);
        assert_eq!(taken(either(&ledger, &limits, "a", "run-1").await, Choice::Wanted), first);
        ledger.settle(&first, Some(output(60)), noon()).await.unwrap();
        let second = taken(either(&ledger, &limits, "b", "run-2").await, Choice::Fallback);
        // There is room for the model itself meanwhile, but the hold is still the hold for the fallback.
        let roomy = pair(1_000, FALLBACK, 100, shards);
        for limits in [&limits, &roomy] {
            assert_eq!(taken(either(&ledger, limits, "b", "run-2").await, Choice::Fallback), second);
        }
        assert_eq!(held(&ledger, &limits).await, [0, 60, 60], "{shards} shards");
        assert_eq!(either(&ledger, &limits, "b", "run-3").await.0, Admission::Duplicate(Earlier::InFlight));
    }
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_request_that_fits_neither_model_has_the_first_models_denial_and_can_be_repeated() {
    let (ledger, limits) = (ledger().await, pair(50, FALLBACK, 40, 1));
    let (refused, choice) = either(&ledger, &limits, "a", "run-1").await;
    let Admission::Denied { shortage, budget, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((choice, shortage.remaining, budget.len()), (Choice::Wanted, 50, 2));
    assert_eq!(held(&ledger, &limits).await, [0; 3]);
    let roomy = pair(50, FALLBACK, 60, 1);
    taken(either(&ledger, &roomy, "a", "run-2").await, Choice::Fallback);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_shorter_answer_is_the_last_resort_where_it_is_the_last_word() {
    let (ledger, limits) = (ledger().await, pair(50, FALLBACK_FIRST, 40, 1));
    let clamped = taken(either(&ledger, &limits, "a", "run-1").await, Choice::Wanted);
    assert_eq!(clamped.max_tokens, 50);
    assert_eq!(taken(either(&ledger, &limits, "a", "run-1").await, Choice::Wanted), clamped);
    assert_eq!(held(&ledger, &limits).await, [50, 0, 50]);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn cancelling_gives_back_what_is_held_for_either() {
    let (ledger, limits) = (ledger().await, pair(50, FALLBACK, 60, 2));
    taken(either(&ledger, &limits, "a", "run-1").await, Choice::Fallback);
    let all = [&limits[0][0], &limits[0][1], &limits[1][0]];
    ledger.cancel(Holder { request_id: "a", execution_id: "run-1" }, &all, noon()).await.unwrap();
    assert_eq!(held(&ledger, &limits).await, [0; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn many_at_once_pass_neither_limit() {
    for shards in [1, 3] {
        let (ledger, limits) = (ledger().await, pair(620, FALLBACK, 300, shards));
        let spent = taken(either(&ledger, &limits, "first", "run").await, Choice::Wanted);
        ledger.settle(&spent, Some(Amount { input: 10, ..output(600) }), noon()).await.unwrap();
        let tasks = (0..60).map(|number| {
            let (ledger, limits) = (ledger.clone(), limits.clone());
            tokio::spawn(async move { either(&ledger, &limits, &format!("r{number}"), &format!("run-{number}")).await })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut approved = 0;
        for task in tasks {
            let (admission, choice) = task.await.unwrap();
            let is_approved = matches!(admission, Admission::Approved { .. });
            assert_eq!(is_approved, choice == Choice::Fallback);
            approved += usize::from(is_approved);
        }
        assert_eq!((approved, held(&ledger, &limits).await), (5, [0, 300, 300]), "{shards} shards");
    }
}
