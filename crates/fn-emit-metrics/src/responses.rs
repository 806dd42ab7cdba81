//! The audit record of automated responses. It has no text of a request.

use std::io::Write;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::{EndReason, ResponseChange, timestamp};
use sentry_domain::{Action, Alert, Limits, Reaction, Unit};
use sentry_history::{History, HistoryError};
use serde::Serialize;

/// Time after the end of a window until the sweep has certainly noticed the end of its responses.
const NOTICED: TimeDelta = TimeDelta::days(7);

/// Remembers the response that `alert` sets at `now`, so that the sweep notices its end. A repeated call returns the
/// first result. `None` if the alert sets none.
///
/// # Errors
/// If the table cannot be reached.
pub async fn remember(
    history: &History,
    alert: &Alert,
    now: DateTime<Utc>,
) -> Result<Option<ResponseChange>, HistoryError> {
    let Some(change) = ResponseChange::set_by(alert, now) else { return Ok(None) };
    let name = format!("{} {}", change.window_key, change.scope);
    let Ok(text) = serde_json::to_string(&change) else { return Ok(Some(change)) };
    let first = history.remember_response(&name, &text, change.resets_at.map(|at| at + NOTICED)).await?;
    Ok(Some(serde_json::from_str(&first).unwrap_or(change)))
}

/// Writes the line at every log level.
pub fn write(change: &ResponseChange) {
    let Ok(line) = serde_json::to_string(&line(change)) else { return };
    // If the log cannot be written to, there is nowhere to report it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The fields of the line. Limits are objects by unit; dollars are decimal strings.
#[derive(Debug, Serialize)]
struct Line<'a> {
    level: &'static str,
    message: &'static str,
    v: u8,
    timestamp: String,
    /// `set` at the beginning of a response, `ended` at its end.
    change: &'static str,
    scope: &'a str,
    window: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<String>,
    item: &'a str,
    at: u8,
    unit: Unit,
    used: &'a str,
    limit_before: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_after: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    /// `automatic`, or `admin` if an administrator has taken the response back.
    by: &'static str,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<EndReason>,
}

fn line(change: &ResponseChange) -> Line<'_> {
    let (before, reaction) = (change.response.before, change.response.reaction);
    let is_taken_back = change.ended.is_some_and(|ended| ended.reason == EndReason::TakenBack);
    let changed = match reaction {
        Reaction::Set(limits) => (before, Some(before.replaced_by(&limits))),
        Reaction::Action(_) => (before, None),
    };
    // At the end, the limits change back.
    let (limit_before, limit_after) = match (changed, change.ended) {
        ((before, Some(after)), Some(_)) => (after, Some(before)),
        (changed, _) => changed,
    };
    Line {
        level: "INFO",
        message: "response",
        v: 1,
        timestamp: timestamp(change.ended.map_or(change.since, |ended| ended.at)),
        change: if change.ended.is_some() { "ended" } else { "set" },
        scope: &change.scope,
        window: &change.window,
        resets_at: change.resets_at.map(timestamp),
        item: &change.response.item,
        at: change.at,
        unit: change.unit,
        used: &change.used,
        limit_before,
        limit_after,
        action: match reaction {
            Reaction::Action(action) => Some(action),
            Reaction::Set(_) => None,
        },
        by: if is_taken_back { "admin" } else { "automatic" },
        since: timestamp(change.since),
        reason: change.ended.map(|ended| ended.reason),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
    use aws_sdk_dynamodb::types::AttributeValue::{N, S};
    use aws_smithy_mocks::{RuleMode, mock};
    use sentry_contract::states::Ending;
    use serde_json::{Value, json};
    use test_support::{at, mock_client};

    use super::*;

    fn change(reaction: Value) -> ResponseChange {
        let mut response = json!({"item": "costCenter#default", "before": {"output": 1_000, "usd": "5"}});
        response.as_object_mut().unwrap().extend(reaction.as_object().unwrap().clone());
        let alert: Alert = serde_json::from_value(json!({
            "scope": "costCenter#a", "window": "2026-11", "windowKey": "2026-11", "resetsAt": "2026-12-01T00:00:00Z",
            "threshold": 90, "unit": "output", "limit": "1000", "used": "901", "response": response
        }))
        .unwrap();
        ResponseChange::set_by(&alert, "2026-11-21T12:00:00Z".parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_response_that_is_remembered_again_keeps_its_first_time() {
        let first = change(json!({"set": {"output": 950}}));
        let text = serde_json::to_string(&first).unwrap();
        let table = mock!(aws_sdk_dynamodb::Client::update_item)
            .match_requests(|update| {
                let expected = "SET #response = if_not_exists(#response, :response), #expires = :expires";
                // Seven days after the window: 2026-12-08.
                update.update_expression() == Some(expected)
                    && update.key().unwrap()["day"] == S("2026-11 costCenter#a".into())
                    && update.expression_attribute_values().unwrap()[":expires"] == N("1796688000".into())
            })
            .then_output(move || {
                let item = [("response".to_owned(), S(text.clone()))].into();
                UpdateItemOutput::builder().set_attributes(Some(item)).build()
            });
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&table]);
        let history = History::new(client, "usage".into());
        let alert = |response| Alert {
            scope: first.scope.clone(),
            window: first.window.clone(),
            window_key: first.window_key.clone(),
            resets_at: first.resets_at,
            threshold: first.at,
            unit: first.unit,
            limit: "1000".into(),
            used: "950".into(),
            response,
        };
        let later = at("2026-11-21T13:00:00Z");
        let again = remember(&history, &alert(Some(first.response.clone())), later).await.unwrap();
        assert_eq!(again, Some(first.clone()));
        assert_eq!((remember(&history, &alert(None), later).await.unwrap(), table.num_calls()), (None, 1));
    }

    #[test]
    fn a_response_is_set_with_the_limits_before_and_after() {
        let line = serde_json::to_value(line(&change(json!({"set": {"output": 950}})))).unwrap();
        assert_eq!(
            line,
            json!({
                "level": "INFO", "message": "response", "v": 1, "timestamp": "2026-11-21T12:00:00.000000Z",
                "change": "set", "scope": "costCenter#a", "window": "2026-11",
                "resets_at": "2026-12-01T00:00:00.000000Z", "item": "costCenter#default", "at": 90, "unit": "output",
                "used": "901", "limit_before": {"output": 1_000, "usd": "5.000000000"},
                "limit_after": {"output": 950, "usd": "5.000000000"}, "by": "automatic", "since": "2026-11-21T12:00:00.000000Z"
            })
        );
    }

    #[test]
    fn a_response_that_ends_says_why_and_by_whom() {
        let ended = |reason| {
            let at = "2026-11-22T00:00:00Z".parse().unwrap();
            let change = ResponseChange { ended: Some(Ending { at, reason }), ..change(json!({"action": "fallback"})) };
            let line = serde_json::to_value(line(&change)).unwrap();
            ["timestamp", "change", "reason", "by", "action"].map(|name| line[name].as_str().unwrap().to_owned())
        };
        let at = "2026-11-22T00:00:00.000000Z";
        assert_eq!(ended(EndReason::Window), [at, "ended", "window", "automatic", "fallback"]);
        assert_eq!(ended(EndReason::TakenBack), [at, "ended", "takenBack", "admin", "fallback"]);
        let change = change(json!({"set": {"output": 950}}));
        let at = "2026-11-22T00:00:00Z".parse().unwrap();
        let change = ResponseChange { ended: Some(Ending { at, reason: EndReason::Window }), ..change };
        let line = line(&change);
        assert_eq!((line.limit_before.output, line.limit_after.unwrap().output), (Some(950), Some(1_000)));
    }
}
