//! The headers of answers: facts of the sentry for which no API has a field.

use sentry_contract::answer::FinalAnswer;
use sentry_contract::states::Admitted;
use serde_json::json;

/// The headers of an answer that is complete.
pub fn of_answer(answer: &FinalAnswer) -> Vec<(&'static str, String)> {
    let cost = answer.cost.as_ref().map(|cost| json!(cost));
    let cost = cost.as_ref().and_then(|cost| cost.get("usd")?.as_str()).map(str::to_owned);
    let model = answer.model.as_ref().and_then(|model| model.model_id.clone());
    let facts = [
        ("x-sentry-request-id", answer.tags.get("requestId").map(str::to_owned)),
        ("x-sentry-model", model),
        ("x-sentry-cost-usd", cost),
        ("x-sentry-degraded", answer.degraded.as_ref().map(|degraded| degraded.action().to_owned())),
        ("x-sentry-replayed", answer.replayed.then(|| answer.replayed.to_string())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The headers of a stream, which begins before its cost is known.
pub fn of_admitted(admitted: &Admitted) -> Vec<(&'static str, String)> {
    let request_id = admitted.tags.get("requestId").unwrap_or_default().to_owned();
    let degraded = admitted.notes.degraded.as_ref().map(|degraded| degraded.action().to_owned());
    let always = [("x-sentry-request-id", request_id), ("x-sentry-model", admitted.model.model_id.clone())];
    always.into_iter().chain(degraded.map(|action| ("x-sentry-degraded", action))).collect()
}
