//! The end of automated responses.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::states::{EndReason, Ending, ResponseChange};
use sentry_history::{History, HistoryError, Remembered};
use sentry_lambda::{Failure, cause};
use thiserror::Error as ThisError;
use tracing::warn;

use crate::AlertQueue;
use crate::queue::SendError;

/// Key attribute of the limits table.
const KEY: &str = "modelId";
/// Attribute of an item, or of an entry of its `limits`, that has the response.
const RESPOND: &str = "respond";
/// Attribute of an item with several windows.
const LIMITS: &str = "limits";
/// Attribute of a response: the percentage that sets it.
const AT: &str = "at";

/// The responses in force, and the limits items that have them.
#[derive(Debug)]
pub struct Responses {
    history: History,
    client: Client,
    limits_table: String,
}

#[derive(Debug, ThisError)]
enum EndError {
    #[error("the responses in force are not known: {}", cause(.0))]
    History(#[from] HistoryError),
    #[error("a limits item cannot be read: {}", cause(.0))]
    Limits(Box<SdkError<GetItemError>>),
    #[error(transparent)]
    Queue(#[from] SendError),
}

impl Responses {
    /// The responses that `history` remembers, of items in `limits_table`.
    #[must_use]
    pub const fn new(history: History, client: Client, limits_table: String) -> Self {
        Self { history, client, limits_table }
    }

    /// Queues the end of each response whose window has ended, or that an administrator has removed from its limits
    /// item, and then forgets the response. Returns the number of responses that ended. Of two runs at the same time, one
    /// queues the end. If it dies before the response is forgotten, a run after a minute queues the same end again.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if a table cannot be reached or the queue does not accept an end. The next run
    /// retries.
    pub async fn end(&self, queue: &AlertQueue, now: DateTime<Utc>) -> Result<usize, Failure> {
        let ended = self.end_all(queue, now).await;
        ended.map_err(|error| Failure::new(ErrorCode::LedgerUnavailable, error.to_string()))
    }

    async fn end_all(&self, queue: &AlertQueue, now: DateTime<Utc>) -> Result<usize, EndError> {
        let mut ended = 0;
        for Remembered { name, text } in self.history.responses().await? {
            let Ok(change) = serde_json::from_str::<ResponseChange>(&text) else {
                warn!(response = name, "an automated response cannot be read, and is forgotten");
                self.history.forget_response(&name).await?;
                continue;
            };
            let Some(reason) = self.reason(&change, now).await? else { continue };
            if !self.history.claim_end(&name, now).await? {
                continue;
            }
            let change = ResponseChange { ended: Some(Ending { at: now, reason }), ..change };
            queue.send_responses(std::slice::from_ref(&change)).await?;
            self.history.forget_response(&name).await?;
            ended += 1;
        }
        Ok(ended)
    }

    /// The reason why a response has ended. `None` if it is in force.
    async fn reason(&self, change: &ResponseChange, now: DateTime<Utc>) -> Result<Option<EndReason>, EndError> {
        if change.resets_at.is_some_and(|at| at <= now) {
            return Ok(Some(EndReason::Window));
        }
        let read = self
            .client
            .get_item()
            .table_name(&self.limits_table)
            .key(KEY, AttributeValue::S(change.response.item.clone()))
            .consistent_read(true)
            .send()
            .await;
        let item = read.map_err(|error| EndError::Limits(Box::new(error)))?.item.unwrap_or_default();
        Ok((!responds(&item, change.at)).then_some(EndReason::TakenBack))
    }
}

/// `true` if a limits item, or one of its windows, has a response at the percentage `at`.
fn responds(item: &HashMap<String, AttributeValue>, at: u8) -> bool {
    let windows = item.get(LIMITS).and_then(|limits| limits.as_l().ok()).map_or(&[][..], Vec::as_slice);
    let maps = windows.iter().filter_map(|window| window.as_m().ok()).chain([item]);
    maps.filter_map(|map| map.get(RESPOND)?.as_m().ok()?.get(AT)?.as_n().ok()).any(|number| number.parse() == Ok(at))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
    use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
    use aws_sdk_dynamodb::types::AttributeValue::{L, M, N, S};
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_sdk_sqs::operation::send_message::{SendMessageError, SendMessageOutput};
    use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock};
    use serde_json::{Value, json};
    use test_support::{at, mock_client};

    use super::*;

    fn item(entries: Vec<(&str, AttributeValue)>) -> HashMap<String, AttributeValue> {
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn respond(at: &str) -> (&'static str, AttributeValue) {
        ("respond", M(item(vec![("at", N(at.to_owned()))])))
    }

    #[test]
    fn a_response_is_found_beside_the_limit_and_in_any_window() {
        let windows = L(vec![M(item(vec![])), M(item(vec![respond("80")]))]);
        assert!(responds(&item(vec![respond("90")]), 90));
        assert!(responds(&item(vec![("limits", windows.clone())]), 80));
        for other in
            [vec![], vec![respond("80")], vec![("limits", windows)], vec![("respond", AttributeValue::Null(true))]]
        {
            assert!(!responds(&item(other), 90));
        }
    }

    fn remembered() -> Rule {
        let text = json!({
            "scope": "costCenter#a", "window": "2026-11", "windowKey": "2026-11", "resetsAt": "2026-12-01T00:00:00Z",
            "at": 90, "unit": "output", "used": "900", "since": "2026-11-21T12:00:00Z",
            "response": {"item": "costCenter#default", "before": {"output": 1_000}, "set": {"output": 950}}
        });
        mock!(Client::query)
            .match_requests(|query| query.expression_attribute_values().unwrap()[":responses"] == S("responses".into()))
            .then_output(move || {
                let response = item(vec![("day", S("2026-11 costCenter#a".into())), ("response", S(text.to_string()))]);
                QueryOutput::builder().items(response).build()
            })
    }

    fn limits(response: Option<&'static str>) -> Rule {
        mock!(Client::get_item)
            .match_requests(|get| get.key().unwrap()["modelId"] == S("costCenter#default".into()))
            .then_output(move || GetItemOutput::builder().set_item(response.map(|at| item(vec![respond(at)]))).build())
    }

    fn forgets() -> Rule {
        mock!(Client::delete_item)
            .match_requests(|delete| delete.key().unwrap()["day"] == S("2026-11 costCenter#a".into()))
            .then_output(|| DeleteItemOutput::builder().build())
    }

    fn claims(claimed: bool) -> Rule {
        mock!(Client::update_item)
            .match_requests(|update| update.key().unwrap()["day"] == S("2026-11 costCenter#a".into()))
            .then_compute_response(move |_| {
                if claimed {
                    return MockResponse::Output(UpdateItemOutput::builder().build());
                }
                let refused = ConditionalCheckFailedException::builder().build();
                MockResponse::Error(UpdateItemError::ConditionalCheckFailedException(refused))
            })
    }

    fn accepts(reason: &'static str) -> Rule {
        mock!(aws_sdk_sqs::Client::send_message)
            .match_requests(move |message| {
                let body: Value = serde_json::from_str(message.message_body().unwrap()).unwrap();
                body["responses"][0]["ended"]["reason"] == reason && body["responses"][0]["scope"] == "costCenter#a"
            })
            .then_output(|| SendMessageOutput::builder().build())
    }

    async fn end(limits: &Rule, forgets: &Rule, queue: &Rule, now: &str) -> Result<usize, Failure> {
        end_if(true, limits, forgets, queue, now).await
    }

    async fn end_if(claimed: bool, limits: &Rule, forgets: &Rule, queue: &Rule, now: &str) -> Result<usize, Failure> {
        let (remembered, claims) = (remembered(), claims(claimed));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&remembered, &claims, limits, forgets]);
        let queue = AlertQueue::new(mock_client!(aws_sdk_sqs, RuleMode::MatchAny, &[queue]), "queue".into());
        let history = History::new(client.clone(), "usage".into());
        Responses::new(history, client, "limits".into()).end(&queue, at(now)).await
    }

    #[tokio::test]
    async fn a_response_stays_while_its_window_lasts_and_its_item_has_it() {
        let (forgets, queue) = (forgets(), accepts("window"));
        assert_eq!(end(&limits(Some("90")), &forgets, &queue, "2026-11-30T23:59:59Z").await.unwrap(), 0);
        assert_eq!((forgets.num_calls(), queue.num_calls()), (0, 0));
    }

    #[tokio::test]
    async fn an_end_that_another_run_has_claimed_is_not_queued_again() {
        let (forgets, queue) = (forgets(), accepts("takenBack"));
        assert_eq!(end_if(false, &limits(None), &forgets, &queue, "2026-11-22T00:00:00Z").await.unwrap(), 0);
        assert_eq!((forgets.num_calls(), queue.num_calls()), (0, 0));
    }

    #[tokio::test]
    async fn the_end_is_queued_before_the_response_is_forgotten() {
        for (limits, reason, now) in [
            (limits(Some("90")), "window", "2026-12-01T00:00:00Z"),
            (limits(None), "takenBack", "2026-11-22T00:00:00Z"),
            (limits(Some("95")), "takenBack", "2026-11-22T00:00:00Z"),
        ] {
            let (forgets, queue) = (forgets(), accepts(reason));
            assert_eq!(end(&limits, &forgets, &queue, now).await.unwrap(), 1, "{reason}");
            assert_eq!((forgets.num_calls(), queue.num_calls()), (1, 1));
        }
        let forgets = forgets();
        let refuses = mock!(aws_sdk_sqs::Client::send_message).then_error(|| {
            SendMessageError::generic(aws_sdk_sqs::error::ErrorMetadata::builder().code("Gone").build())
        });
        let failure = end(&limits(None), &forgets, &refuses, "2026-11-22T00:00:00Z").await.unwrap_err();
        assert_eq!((failure.name(), forgets.num_calls()), ("LedgerUnavailable", 0));
    }
}
