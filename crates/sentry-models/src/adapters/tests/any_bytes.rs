//! Any answer of a model becomes a reply with a usage, or an error that does not release the hold.
//! `examples/fuzz_answers.rs` checks the same with millions of damaged answers.

use proptest::prelude::*;
use sentry_contract::answer::StopReason;
use sentry_domain::Charges;
use serde_json::Value;

use super::reference::answer;
use crate::adapters::{Effect, ModelFailure, Reply, normalize};

fn read(body: &[u8]) -> Result<Reply, ModelFailure> {
    normalize(serde_json::from_slice(body).unwrap_or_default(), Charges::default())
}

fn holds(result: &Result<Reply, ModelFailure>) -> Result<(), TestCaseError> {
    match result {
        Ok(reply) => prop_assert!(reply.usage.read() > 0 || reply.stop_reason == StopReason::GuardrailIntervened),
        Err(failure) => prop_assert!(failure.effect == Effect::Unknown && !failure.nothing_spent()),
    }
    Ok(())
}

/// JSON with the field names and words of answers in the wrong places.
fn any_json() -> impl Strategy<Value = Value> {
    let words = "text|toolUse|toolUseId|name|content|usage|output|message|stopReason|inputTokens|totalTokens|reasoningContent|reasoningText|redactedContent|signature|cacheDetails|ttl|serviceTier|type";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words, inner), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_an_adapter_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), json in any_json()) {
        holds(&read(&bytes))?;
        holds(&read(json.to_string().as_bytes()))?;
    }

    #[test]
    fn no_piece_of_an_answer_replaced_makes_an_adapter_panic(index in any::<prop::sample::Index>(), piece in any_json()) {
        let mut whole = answer("S3", [1, 2, 3, 4]);
        let pieces = pointers(&whole, "");
        let place: &String = index.get(&pieces);
        *whole.pointer_mut(place).unwrap() = piece;
        holds(&read(whole.to_string().as_bytes()))?;
    }
}

/// The pointers to all places in a JSON value.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let mut found = vec![at.to_owned()];
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inner)| found.extend(pointers(inner, &format!("{at}/{name}"))));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| found.extend(pointers(inner, &format!("{at}/{index}"))));
        }
        _ => {}
    }
    found
}
